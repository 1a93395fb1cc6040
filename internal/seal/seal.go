package seal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// Method is a way to seal, as a configuration names it.
type Method string

// The methods.
const (
	Systemd    Method = "systemd"
	Passphrase Method = "passphrase"
	Plain      Method = "plain"
)

// ParseMethod reads a configuration's keys = "…".
func ParseMethod(text string) (Method, error) {
	switch m := Method(text); m {
	case Systemd, Passphrase, Plain:
		return m, nil
	}
	return "", fmt.Errorf(`keys = %q: write "systemd" (a node that must start alone: a credential named %s opens its keys), "passphrase", or "plain" if whoever reads this disk may be this member`, text, CredentialName)
}

// Errors that a caller may decide on. What they are wrapped in says what to do.
var (
	ErrPassphrase = errors.New("wrong passphrase")
	ErrCredential = errors.New("no usable systemd credential named " + CredentialName)

	// ErrPlain and ErrSealed: the configuration and the disk say different things.
	ErrPlain  = errors.New("not sealed")
	ErrSealed = errors.New("sealed in another way")

	// ErrDamaged is about one file. The others may be whole.
	ErrDamaged = errors.New("damaged, or another file put in its place")

	// ErrBusy: a change of how keys are sealed wants to be alone.
	ErrBusy = errors.New("another process has the keys open: stop it first")

	// ErrWiped: a Sealer was used after Wipe.
	ErrWiped = errors.New("the keys were locked again")
)

// Sealer seals and opens the files of one directory. It is safe for concurrent use; its owner wipes it.
type Sealer struct {
	dir string

	mu    sync.RWMutex
	form  form      // of the files it writes
	other *form     // in which files may still be, while a change is unfinished
	state *state    // what seal.toml says; nil if there is none
	lock  *lockFile // shared with other Sealers, and exclusive during a change; nil once wiped
}

// form is what a file can be: plain, or sealed under a root.
type form struct {
	root []byte // rootLength bytes; nil if plain
}

func (f *form) sealed() bool { return f.root != nil }

// Create sets dir up, which must exist: from now on what is written there is sealed by method. For
// the method plain there is nothing to set up. It refuses a directory that was set up already or has
// sealed files, and does not touch others that lie there.
func Create(method Method, dir string, source Source) (*Sealer, error) {
	return create(method, dir, source, defaultCost)
}

func create(method Method, dir string, source Source, c cost) (*Sealer, error) {
	s, err := locked(dir)
	if err != nil {
		return nil, fmt.Errorf("setting up sealed keys: %w", err)
	}
	if err := s.create(method, source, c); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("setting up sealed keys: %w", err)
	}
	return s, nil
}

func (s *Sealer) create(method Method, source Source, c cost) error {
	if err := s.checkNew(); err != nil {
		return err
	}
	st, f, err := newState(method, source, c)
	if err != nil {
		return err
	}
	s.form, s.state = f, st
	if st == nil {
		return nil
	}
	// Two that set up the same directory must not both believe that they did.
	if err := s.lock.exclusive(); err != nil {
		return err
	}
	if err := s.checkNew(); err != nil {
		return err
	}
	return errors.Join(st.write(s.dir), s.lock.shared())
}

func (s *Sealer) checkNew() error {
	if st, err := readState(s.dir); err != nil {
		return err
	} else if st != nil {
		return fmt.Errorf("%s is there already, and it is never written over: move it away if no file needs it any more", statePath(s.dir))
	}
	path, err := s.unlisted(nil)
	if err == nil && path != "" {
		err = fmt.Errorf("%s is sealed, and opens by the %s that was here: put that back from a copy, or move what it sealed away", path, stateFile)
	}
	return err
}

// unlisted finds a sealed file in the directory or below that is none of those given. Files that were
// damaged and set aside, or whose writing was interrupted, do not count.
func (s *Sealer) unlisted(files []File) (found string, err error) {
	var listed []fs.FileInfo
	for _, f := range files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return "", err
		}
		listed = append(listed, info)
	}
	err = filepath.WalkDir(s.dir, func(path string, entry fs.DirEntry, err error) error {
		sealed := false
		if err == nil && entry.Type().IsRegular() && entry.Name()[0] != '.' && !strings.HasSuffix(path, ".damaged") {
			sealed, err = beginsSealed(path)
		}
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return nil // not ours, or on its way
		}
		if err != nil || !sealed {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(listed, func(l fs.FileInfo) bool { return os.SameFile(l, info) }) {
			found = path
			return fs.SkipAll
		}
		return nil
	})
	return found, err
}

func beginsSealed(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	b := make([]byte, len(magic))
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return isSealed(b[:n]), nil
}

// Open opens what Create set up in dir. The method is the configuration's, and must be the one that the
// files are sealed by. The source is asked for a passphrase; for the method systemd it is nil, or the
// caller has the credential already and need not be given it by systemd. A passphrase takes about a second of a small machine and 64 MiB.
//
// A directory whose change from one method to another was interrupted opens by the new method, or by
// the old one if the new one was plain. Both forms are read then; [Sealer.Finish] ends the change.
func Open(method Method, dir string, source Source) (*Sealer, error) {
	s, err := locked(dir)
	if err != nil {
		return nil, fmt.Errorf("opening sealed keys: %w", err)
	}
	if err := s.open(method, source); err != nil {
		s.Wipe()
		return nil, fmt.Errorf("opening sealed keys: %w", err)
	}
	return s, nil
}

func (s *Sealer) open(method Method, source Source) error {
	if _, err := ParseMethod(string(method)); err != nil {
		return err
	}
	st, err := readState(s.dir)
	switch {
	case err != nil:
		return err
	case st == nil && method == Plain:
		return nil // the zero form
	case st == nil:
		return fmt.Errorf(`the keys in %s are %w, for there is no %s: write keys = "plain", or seal them; if they were sealed, put the file back from a copy, for nothing opens without it`, s.dir, ErrPlain, stateFile)
	case st.Method != method:
		return fmt.Errorf(`keys = %q, and the keys in %s are %w: write keys = %q`, method, s.dir, ErrSealed, st.Method)
	}
	s.state = st
	s.form, s.other, err = st.open(source)
	return err
}

// locked returns a Sealer of dir that has its shared lock, and nothing else yet.
func locked(dir string) (*Sealer, error) {
	lock, err := openLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	return &Sealer{dir: dir, lock: lock}, nil
}

// Method returns how the Sealer seals what it writes.
func (s *Sealer) Method() Method {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.method()
}

func (s *Sealer) method() Method {
	if s.state == nil {
		return Plain
	}
	return s.state.Method
}

// MaxSecret bounds what a file can hold, in bytes.
const MaxSecret = 1 << 20

// WriteFile writes a secret to path, for its owner's eyes only (0600), all of it or nothing, and on the
// disk when it returns. The name says what the file is; ReadFile must be given the same. The secret
// stays the caller's, who wipes it.
func (s *Sealer) WriteFile(path, name string, secret []byte) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.lock == nil {
		return fmt.Errorf("writing %s: %w", path, ErrWiped)
	}
	return s.form.write(path, name, secret)
}

// ReadFile reads the secret at path that WriteFile wrote under the same name. The caller wipes it. The
// error is ErrDamaged if the file does not open, ErrPlain or ErrSealed if it is not in the Sealer's
// form, and the disk's if it cannot be read.
func (s *Sealer) ReadFile(path, name string) ([]byte, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.lock == nil {
		return nil, fmt.Errorf("reading %s: %w", path, ErrWiped)
	}
	secret, _, err := s.readFile(path, name)
	return secret, err
}

// readFile also returns in which form the file is.
func (s *Sealer) readFile(path, name string) ([]byte, *form, error) {
	data, err := config.Read(path)
	if err != nil {
		return nil, nil, err
	}
	for _, f := range []*form{&s.form, s.other} {
		if f == nil {
			continue
		}
		secret, openErr := f.open(data, name)
		if openErr == nil {
			return secret, f, nil
		}
		// Of two errors the one that comes from trying tells more.
		if err == nil || !errors.Is(err, ErrDamaged) {
			err = openErr
		}
	}
	clear(data) // perhaps a plain secret
	switch {
	case errors.Is(err, ErrDamaged):
		err = fmt.Errorf("%s is %w: put it back from a copy", path, err)
	case errors.Is(err, ErrSealed):
		err = fmt.Errorf(`%s is %w, and there is no %s: put that back from a copy, and write keys = "systemd" or "passphrase" as before`, path, err, statePath(s.dir))
	case errors.Is(err, ErrPlain):
		err = fmt.Errorf(`%s is %w, or its beginning is damaged; here keys = %q: put it back from a copy`, path, err, s.method())
	default:
		err = fmt.Errorf("reading %s: %w", path, err)
	}
	return nil, nil, err
}

// Wipe forgets the root and lets other processes change how the directory is sealed. What the key
// derivation left in memory is beyond it.
func (s *Sealer) Wipe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.form.root)
	if s.other != nil {
		clear(s.other.root)
	}
	s.other = nil
	s.lock.close()
	s.lock = nil
}

// Erase overwrites a file and removes it, durably; that it is gone already is no error. A disk that
// writes elsewhere instead of over (flash, a journal, copies) may keep the old blocks, which is beyond
// it. If the file cannot be overwritten it is still removed.
func Erase(path string) error {
	overwritePath(path)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return config.SyncDirIfPossible(filepath.Dir(path))
}
