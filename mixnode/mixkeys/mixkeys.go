package mixkeys

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/sphinx"
	"codeberg.org/sourdine/sourdine/sphinx/forget"
)

// ahead is for how many epochs after the current one there are keys: a descriptor for the next epoch
// has the keys of that and two more (Katzenpost core/pki, IsDescriptorWellFormed).
const ahead = 3

// maxEpoch is the last epoch that there can be keys for: file names and epochs.toml can say it.
const maxEpoch = math.MaxInt64

var (
	// ErrLost says that the key of an epoch was there once. The node works without it.
	ErrLost = errors.New("mix key lost")

	// ErrRunning says that another process has the keys.
	ErrRunning = errors.New("another node is running with these mix keys: stop it first")
)

// Keys are a node's mix keys. It is safe for concurrent use; Ensure may wait for the disk, the others do
// not wait for it.
type Keys struct {
	dir      string
	geometry *sphinx.Geometry
	sealer   *seal.Sealer
	prepare  func(epoch uint64) error // or nil
	lock     *os.File                 // nil once closed

	ensuring sync.Mutex // held by Ensure and Close, before mu
	made     ranges     // the epochs that got their key
	damaged  map[uint64]error
	untold   error // what Open put right and the next Ensure tells

	mu   sync.RWMutex
	keys map[uint64]*key // empty once closed
}

type key struct {
	public  []byte
	private sphinx.PrivateKey
}

// Open opens the mix keys in dir, which it creates if need be, with the secrets sealed by s, whose owner
// keeps it open as long as the keys. A key file that is damaged is set aside, and what that means is an
// error of Ensure.
//
// Ensure calls prepare, if there is one, before it stores the key of an epoch, and stores none if that
// fails. It may do so more than once for a key that could not be stored. So what belongs to a key, its
// file of replay tags, can be there before the key is, and a key without it has lost it.
func Open(dir string, g *sphinx.Geometry, s *seal.Sealer, prepare func(epoch uint64) error) (*Keys, error) {
	k := &Keys{dir: dir, geometry: g, sealer: s, prepare: prepare, damaged: map[uint64]error{}, keys: map[uint64]*key{}}
	if err := k.open(); err != nil {
		k.lock.Close() // which a nil file allows
		return nil, fmt.Errorf("opening the mix keys: %w", err)
	}
	return k, nil
}

func (k *Keys) open() error {
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	if err := config.SyncDirIfPossible(filepath.Dir(filepath.Clean(k.dir))); err != nil {
		return err
	}
	if err := k.takeLock(); err != nil {
		return err
	}
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		// Nobody else writes here now, so a write that was interrupted stays so.
		if strings.HasPrefix(entry.Name(), "."+prefix) || strings.HasPrefix(entry.Name(), "."+madeName) {
			if err := seal.Erase(filepath.Join(k.dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := k.readMade(); err != nil {
		return err
	}
	changed := false
	for _, entry := range entries {
		epoch, rest := parseName(entry.Name())
		if rest != keySuffix && rest != keySuffix+damagedSuffix {
			continue
		}
		if rest == keySuffix {
			var err error
			if forget.Stack(func() { err = k.load(epoch) }); err != nil {
				return err
			}
		}
		changed = k.made.add(epoch) || changed // the process ended before it was noted
	}
	if changed {
		return k.writeMade(k.made)
	}
	return nil
}

// load reads the key file of an epoch, or sets it aside if it is damaged.
func (k *Keys) load(epoch uint64) error {
	path := keyPath(k.dir, epoch)
	data, err := k.sealer.ReadFile(path, sealName(epoch))
	if errors.Is(err, seal.ErrPlain) && !isPlainKey(path) {
		err = seal.ErrDamaged // neither sealed nor a key
	}
	if err == nil {
		defer clear(data)
		var loaded *key
		if loaded, err = k.parse(data, epoch); err == nil {
			k.keys[epoch] = loaded
			return nil
		}
	}
	if !errors.Is(err, seal.ErrDamaged) {
		return err
	}
	k.damaged[epoch] = err
	if err := os.Rename(path, path+damagedSuffix); err != nil {
		return err
	}
	return config.SyncDirIfPossible(k.dir)
}

// Ensure makes the keys that are missing from epoch now to three after it, and erases those of epochs
// before the previous one, with their replay tags. It does all it can. Its error tells what it could not
// do, and for each epoch from the previous on whose key is lost, an ErrLost: then too the other keys are
// good, and the node goes on with what Public returns.
func (k *Keys) Ensure(now uint64) error {
	k.ensuring.Lock()
	defer k.ensuring.Unlock()
	if k.lock == nil {
		return errors.New("the mix keys are closed")
	}
	if now > maxEpoch-ahead {
		return fmt.Errorf("there are no mix keys for epoch %d", now)
	}
	err := errors.Join(k.untold, k.remove(now), k.make(now), k.lost(now))
	k.untold = nil
	return err
}

// remove drops and erases everything of epochs before the one before now.
func (k *Keys) remove(now uint64) error {
	old := func(epoch uint64) bool { return epoch+1 < now }
	k.mu.Lock()
	for epoch := range k.keys {
		if old(epoch) {
			k.keys[epoch].private.Wipe()
			delete(k.keys, epoch)
		}
	}
	k.mu.Unlock()
	entries, err := os.ReadDir(k.dir)
	if err != nil {
		return fmt.Errorf("erasing old mix keys: %w", err)
	}
	// The keys first: a key must not be left without its tags.
	kept, removed := map[uint64]bool{}, false
	for _, isKey := range []bool{true, false} {
		for _, entry := range entries {
			epoch, rest := parseName(entry.Name())
			if rest == "" || !old(epoch) || isKey != strings.HasPrefix(rest, keySuffix) || kept[epoch] {
				continue
			}
			path := filepath.Join(k.dir, entry.Name())
			if removeErr := eraseOrRemove(path, isKey); removeErr != nil {
				kept[epoch] = true
				err = errors.Join(err, fmt.Errorf("erasing old mix keys: %w", removeErr))
			}
			removed = true
		}
	}
	if removed {
		err = errors.Join(err, config.SyncDirIfPossible(k.dir))
	}
	return err
}

// make makes the keys that epochs now and after lack, and never had.
func (k *Keys) make(now uint64) error {
	fresh := map[uint64]*key{}
	var err error
	for epoch := now; epoch <= now+ahead && err == nil; epoch++ {
		if k.made.has(epoch) {
			continue
		}
		var one *key
		if forget.Stack(func() { one, err = k.create(epoch) }); err == nil {
			fresh[epoch] = one
		}
	}
	if len(fresh) == 0 {
		return err
	}
	made := slices.Clone(k.made)
	for epoch := range fresh {
		made.add(epoch)
	}
	if noteErr := k.writeMade(made); noteErr != nil {
		return errors.Join(err, fmt.Errorf("noting new mix keys: %w", noteErr))
	}
	k.made = made
	k.mu.Lock()
	maps.Copy(k.keys, fresh)
	k.mu.Unlock()
	return err
}

// create makes the key of an epoch, and returns when it is on the disk.
func (k *Keys) create(epoch uint64) (*key, error) {
	if k.prepare != nil {
		if err := k.prepare(epoch); err != nil {
			return nil, fmt.Errorf("preparing the mix key of epoch %d: %w", epoch, err)
		}
	}
	public, private, err := k.geometry.GenerateKey()
	if err != nil {
		return nil, err
	}
	defer clear(private)
	parsed, err := k.geometry.PrivateKey(private)
	if err != nil {
		return nil, err
	}
	data := encode(k.geometry.Scheme, epoch, public, private)
	defer clear(data)
	if err := k.sealer.WriteFile(keyPath(k.dir, epoch), sealName(epoch), data); err != nil {
		return nil, fmt.Errorf("making the mix key of epoch %d: %w", epoch, err)
	}
	return &key{public, parsed}, nil
}

// lost has an ErrLost for each key that is.
func (k *Keys) lost(now uint64) error {
	var all []error
	for epoch := max(now, 1) - 1; epoch <= now+ahead; epoch++ {
		if !k.made.has(epoch) || k.Private(epoch) != nil {
			continue
		}
		path := keyPath(k.dir, epoch)
		what := path + " is missing"
		if reason := k.damaged[epoch]; reason != nil {
			what = fmt.Sprintf("%s could not be read (%v) and was renamed to %s", path, reason, filepath.Base(path)+damagedSuffix)
		} else if _, err := os.Lstat(path + damagedSuffix); err == nil {
			what = fmt.Sprintf("%s was damaged and renamed to %s", path, filepath.Base(path)+damagedSuffix)
		}
		all = append(all, fmt.Errorf("%w: %s; only epoch %d is concerned: packets to this node in it are lost and sent again by their senders, and the node stays out of it; nothing needs to be done, and a copy of the file that is put back before the node starts brings the key back", ErrLost, what, epoch))
	}
	return errors.Join(all...)
}

// Public returns the public key of an epoch as a descriptor has it, or nil if there is none. It is not to
// be changed.
func (k *Keys) Public(epoch uint64) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key := k.keys[epoch]; key != nil {
		return key.public
	}
	return nil
}

// Private returns the private key of an epoch, or nil if there is none. It is wiped when Ensure erases
// the key, and by Close: nothing may be using it then.
func (k *Keys) Private(epoch uint64) sphinx.PrivateKey {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if key := k.keys[epoch]; key != nil {
		return key.private
	}
	return nil
}

// TagsPath returns where the replay tags of an epoch's key belong. Files beside it whose names begin
// with its name are removed with it.
func (k *Keys) TagsPath(epoch uint64) string {
	return filepath.Join(k.dir, fmt.Sprintf("%s%d%s", prefix, epoch, tagsSuffix))
}

// Close forgets the keys, and lets another process open them.
func (k *Keys) Close() error {
	k.ensuring.Lock()
	defer k.ensuring.Unlock()
	if k.lock == nil {
		return nil
	}
	k.mu.Lock()
	for _, key := range k.keys {
		key.private.Wipe()
	}
	clear(k.keys)
	k.mu.Unlock()
	err := k.lock.Close()
	k.lock = nil
	return err
}

// Files returns the key files in dir, for [seal.Sealer.Reseal] and Finish. There are none if there is no
// dir. A damaged key that was set aside is not among them; it goes when its epoch is over.
func Files(dir string) ([]seal.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing the mix keys: %w", err)
	}
	var files []seal.File
	for _, entry := range entries {
		if epoch, rest := parseName(entry.Name()); rest == keySuffix {
			files = append(files, seal.File{Path: keyPath(dir, epoch), Name: sealName(epoch)})
		}
	}
	return files, nil
}

// Names of files: mix-17.key, mix-17.key.damaged, mix-17.tags.
const (
	prefix        = "mix-"
	keySuffix     = ".key"
	damagedSuffix = ".damaged"
	tagsSuffix    = ".tags"
	lockName      = "lock"
)

func keyPath(dir string, epoch uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%s%d%s", prefix, epoch, keySuffix))
}

// sealName is the name under which a key file is sealed.
func sealName(epoch uint64) string { return fmt.Sprintf("mix key of epoch %d", epoch) }

// parseName takes apart a file's name that begins with an epoch's. The rest is empty for all others.
func parseName(name string) (epoch uint64, rest string) {
	after, ok := strings.CutPrefix(name, prefix)
	dot := strings.IndexByte(after, '.')
	if !ok || dot < 0 {
		return 0, ""
	}
	epoch, err := strconv.ParseUint(after[:dot], 10, 64)
	if err != nil || epoch > maxEpoch || strconv.FormatUint(epoch, 10) != after[:dot] {
		return 0, ""
	}
	return epoch, after[dot:]
}

func (k *Keys) takeLock() (err error) {
	if k.lock, err = os.OpenFile(filepath.Join(k.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	for {
		err := unix.Flock(int(k.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrRunning
		default:
			return err
		}
	}
}

// eraseOrRemove erases a key, and only removes tags: they are hashes of what everybody on the packet's
// way knows, and may be many.
func eraseOrRemove(path string, isKey bool) error {
	if isKey {
		return seal.Erase(path)
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isPlainKey reports whether a file is a key that is not sealed.
func isPlainKey(path string) bool {
	data, err := config.Read(path)
	defer clear(data)
	return err == nil && strings.HasPrefix(string(data[:min(len(data), len(magic))]), magic)
}
