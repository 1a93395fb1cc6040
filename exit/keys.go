package exit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mail"
)

// signingFile holds the Ed25519 seed (RFC 8032) that the exit is known by, in
// hexadecimal.
const signingFile = "signing.key"

// Part is the name by which a node's sealer knows the exit's part of it: see
// [seal.Sealer.Part].
const Part = "post office"

// Names under which the keys are sealed.
const signingName = "signing key"

func dayName(day uint32) string { return fmt.Sprintf("day key %d", day) }

// KeyFiles returns the secret files in dir by their names in the node, for
// [seal.Sealer.Reseal] and Finish.
func KeyFiles(dir string) ([]seal.File, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := []seal.File{{Path: filepath.Join(dir, signingFile), Name: Part + "/" + signingName}}
	for _, entry := range entries {
		if day, ok := keyDay(entry.Name()); ok {
			files = append(files, seal.File{Path: keyFile(dir, day), Name: Part + "/" + dayName(day)})
		}
	}
	return files, nil
}

// InitKeys makes the exit's signing key in dir, which it creates if need be, seals
// it by s, and returns the public half for the exit's descriptor. It never replaces
// a key.
func InitKeys(dir string, s *seal.Sealer) (ed25519.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err == nil {
		err = StoreKey(dir, s, private)
	}
	if err != nil {
		return nil, fmt.Errorf("making the exit's signing key: %w", err)
	}
	return public, nil
}

// StoreKey puts a signing key into dir, which it creates if need be, sealed by s. It
// never replaces a key.
func StoreKey(dir string, s *seal.Sealer, key ed25519.PrivateKey) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, signingFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists: keep it, for gateways know the exit by it", path)
	}
	text := append(hex.AppendEncode(nil, key.Seed()), '\n')
	defer clear(text)
	return s.WriteFile(path, signingName, text)
}

// PublicKey returns the public half of the signing key in dir, for the exit's
// descriptor.
func PublicKey(dir string, s *seal.Sealer) (ed25519.PublicKey, error) {
	signer, err := LoadKey(dir, s)
	if err != nil {
		return nil, err
	}
	return signer.Public().(ed25519.PublicKey), nil
}

// LoadKey returns the signing key in dir.
func LoadKey(dir string, s *seal.Sealer) (ed25519.PrivateKey, error) {
	path := filepath.Join(dir, signingFile)
	text, err := s.ReadFile(path, signingName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is missing: run `sourdine node init`, or put back the one that this exit had", path)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the signing key: %w", err)
	}
	defer clear(text)
	seed, err := hex.AppendDecode(nil, bytes.TrimSpace(text))
	defer clear(seed)
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s is damaged: put back the one that this exit had", path)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// keyring has the exit's day keys. Each private key lies in a file of its own
// beside the store, because a page that bbolt has freed keeps its bytes:
// a key is gone when its file is overwritten and removed, and what is left of
// old parcels in the store cannot be read any more.
type keyring struct {
	dir    string
	sealer *seal.Sealer
	signer ed25519.PrivateKey

	mu  sync.Mutex
	day map[uint32]*dayKey
}

type dayKey struct {
	mail.SignedKey
	private hpke.PrivateKey
	last    atomic.Uint64 // the last expiry that the key accepts; 0 while its day is not over
}

func keyFile(dir string, day uint32) string {
	return filepath.Join(dir, fmt.Sprintf("day-%d.key", day))
}

// keyDay is the day of the key in a file with this name.
func keyDay(name string) (day uint32, ok bool) {
	_, err := fmt.Sscanf(name, "day-%d.key", &day)
	return day, err == nil && name == keyFile("", day)
}

func openKeyring(dir string, s *seal.Sealer, db *bolt.DB, signer ed25519.PrivateKey) (*keyring, error) {
	k := &keyring{dir: dir, sealer: s, signer: signer, day: map[uint32]*dayKey{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		if strings.HasPrefix(entry.Name(), ".day-") { // config.WriteFile was interrupted
			if err := erase(path); err != nil {
				return nil, err
			}
		}
		day, ok := keyDay(entry.Name())
		if !ok {
			continue
		}
		b, err := s.ReadFile(path, dayName(day))
		if err != nil {
			return nil, err
		}
		private, err := hpke.MLKEM768X25519().NewPrivateKey(b)
		clear(b)
		if err != nil {
			return nil, fmt.Errorf("%s is damaged: put it back from a copy, or remove it and lose the mails of that day", path)
		}
		k.add(day, private)
	}
	return k, db.View(func(tx *bolt.Tx) error {
		for day, key := range k.day {
			var last uint64
			load(tx, days, binary.BigEndian.AppendUint32(nil, day), &last)
			key.last.Store(last)
		}
		return nil
	})
}

func (k *keyring) add(day uint32, private hpke.PrivateKey) {
	public := mail.NewDayKey(day, private.PublicKey().Bytes())
	k.day[day] = &dayKey{SignedKey: mail.SignKey(public, k.signer), private: private}
}

// announce returns the signed keys of today and tomorrow, and makes them if they
// are not there. With an error it returns those that are.
func (k *keyring) announce(today uint32) ([]mail.SignedKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var (
		keys   []mail.SignedKey
		failed error
	)
	for day := today; day <= today+1; day++ {
		if k.day[day] == nil {
			if err := k.create(day); err != nil {
				failed = fmt.Errorf("making a day key: %w", err)
				continue
			}
		}
		keys = append(keys, k.day[day].SignedKey)
	}
	return keys, failed
}

func (k *keyring) create(day uint32) error {
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return err
	}
	b, err := private.Bytes()
	if err != nil {
		return err
	}
	defer clear(b)
	if err := k.sealer.WriteFile(keyFile(k.dir, day), dayName(day), b); err != nil {
		return err
	}
	k.add(day, private)
	return nil
}

// find returns the key with this id, or nil.
func (k *keyring) find(id mail.KeyID) *dayKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.day {
		if key.ID == id {
			return key
		}
	}
	return nil
}

// accepts reports whether a new parcel with this expiry may be sealed to the
// key. A key whose day is over takes nothing beyond its last expiry, so that
// nobody can keep it from being erased.
func (k *keyring) accepts(id mail.KeyID, expires uint64) bool {
	key := k.find(id)
	return key != nil && (key.last.Load() == 0 || expires <= key.last.Load())
}

// rotate makes the keys of today and tomorrow, notes the last expiry that a key
// accepts when its day is over, and erases the keys that no parcel needs any
// more. That expiry is a parcel's whole life away and a while more, for gateways
// that did not hear of the next key in time. Only one rotate runs at a time.
func (o *Office) rotate() error {
	k := o.keys
	if _, err := k.announce(today()); err != nil {
		return err
	}
	for day, key := range k.snapshot() {
		if day >= today() {
			continue
		}
		name, last := binary.BigEndian.AppendUint32(nil, day), key.last.Load()
		switch {
		case last == 0:
			last = o.now() + o.cfg.Expiry + mail.Memory(o.cfg.Expiry)
			if err := o.write(func(w *writer) { w.save(days, name, last, nil) }); err != nil {
				return fmt.Errorf("retiring a day key: %w", err)
			}
			key.last.Store(last)
		case o.now() > last+mail.Memory(o.cfg.Expiry) && !o.needed(key.ID):
			if err := erase(keyFile(k.dir, day)); err != nil {
				return fmt.Errorf("erasing a day key: %w", err)
			}
			k.mu.Lock()
			delete(k.day, day)
			k.mu.Unlock()
			if err := o.write(func(w *writer) { w.remove(days, name) }); err != nil {
				return fmt.Errorf("erasing a day key: %w", err)
			}
		}
	}
	return nil
}

// snapshot lets rotate write to the store without holding mu, which transactions
// take.
func (k *keyring) snapshot() map[uint32]*dayKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.day)
}

// needed reports whether a remembered parcel is sealed to the key, or that
// cannot be told.
func (o *Office) needed(id mail.KeyID) bool {
	return o.view(func(tx *bolt.Tx) error {
		return tx.Bucket(parcels).ForEach(func(name, _ []byte) error {
			if p, ok := getParcel(tx, mail.ParcelID(name)); !ok || p.Key == id {
				return errors.New("needed")
			}
			return nil
		})
	}) != nil
}

// erase overwrites a file before it removes it. What the disk itself keeps of
// old blocks is beyond it.
func erase(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err := f.Write(make([]byte, info.Size())); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return config.SyncDir(filepath.Dir(path))
}

// reasonInfo is the HPKE info of a sealed reason: what it belongs to.
func reasonInfo(id mail.ParcelID, i int) []byte {
	return append([]byte("sourdine exit reason v1"), indexKey(id, i)...)
}

// sealReason seals a server's answer, which may name the recipient, to the
// parcel's own key (HPKE, RFC 9180). All results have the same length.
func (k *keyring) sealReason(key mail.KeyID, id mail.ParcelID, i int, reason string) []byte {
	day := k.find(key)
	if day == nil || reason == "" {
		return nil
	}
	padded := make([]byte, mail.MaxReason)
	copy(padded, reason)
	b, err := hpke.Seal(day.private.PublicKey(), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), reasonInfo(id, i), padded)
	if err != nil {
		return nil
	}
	return b
}

// openReason returns what sealReason sealed, or nothing if that is lost.
func (k *keyring) openReason(key mail.KeyID, id mail.ParcelID, i int, b []byte) string {
	day := k.find(key)
	if day == nil {
		return ""
	}
	padded, err := hpke.Open(day.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), reasonInfo(id, i), b)
	if err != nil {
		return ""
	}
	return string(bytes.TrimRight(padded, "\x00"))
}
