package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// File is a secret file as Reseal needs it.
type File struct{ Path, Name string }

// Reseal changes how a directory is sealed: to another method, from or to plain, or to a new passphrase
// or credential. It returns the Sealer that opens it from now on; s is wiped. The files are all the
// secret ones, each of which must open now; it refuses to leave out one that is sealed. No other process
// may have the directory open.
//
// The steps, each of them durable before the next:
//
//  1. seal.toml says how files are to be sealed, and beside it, sealed, how they may still be;
//  2. each file is replaced by one in the new form, and what was plain is overwritten;
//  3. seal.toml says only how files are sealed; if they are plain, it is removed.
//
// After each, [Open] reads every file, by the method that seal.toml names: the new one, or the old one
// while the change is to plain. [Sealer.Finish] then goes on, to the method by which it was opened. So
// the caller writes the new method into the configuration after Reseal, and whoever starts a node calls
// Finish. After an error the caller wipes s, and Open says where things stand.
//
// A crash within step 2 can leave the blocks of one plain file on the disk, as the disk itself may: who
// seals keys because somebody may have read them needs new keys.
func (s *Sealer) Reseal(method Method, source Source, files []File) (*Sealer, error) {
	return s.reseal(method, source, files, defaultCost, func() {})
}

// reseal calls step whenever something on the disk has changed.
func (s *Sealer) reseal(method Method, source Source, files []File, c cost, step func()) (*Sealer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return nil, ErrWiped
	}
	if err := s.lock.exclusive(); err != nil {
		return nil, fmt.Errorf("changing how keys are sealed: %w", err)
	}
	to, err := s.begin(method, source, files, c, step)
	if err != nil {
		return nil, fmt.Errorf("changing how keys are sealed: %w", errors.Join(err, s.lock.shared()))
	}
	to.lock, s.lock = s.lock, nil
	if err := errors.Join(to.finish(files, step), to.lock.shared()); err != nil {
		clear(s.form.root)
		to.Wipe()
		return nil, fmt.Errorf("changing how keys are sealed: %w", err)
	}
	return to, nil // and finish wiped the root of s
}

// begin is step 1.
func (s *Sealer) begin(method Method, source Source, files []File, c cost, step func()) (*Sealer, error) {
	if method == Plain && !s.form.sealed() {
		return nil, errors.New("the keys are plain already")
	}
	// What can be told beforehand is, while nothing has changed yet.
	if err := s.checkAll(files); err != nil {
		return nil, err
	}
	st, f, err := newState(method, source, c)
	if err != nil {
		return nil, err
	}
	if err := s.finish(files, step); err != nil { // a change before this one
		return nil, err
	}
	begun := s.state
	if st == nil {
		begun, err = begun.change(s.form.root, f)
	} else {
		begun, err = st.change(f.root, s.form)
	}
	if err != nil {
		return nil, err
	}
	if err := begun.write(s.dir); err != nil {
		return nil, err
	}
	step()
	return &Sealer{dir: s.dir, form: f, state: st, other: &s.form}, nil
}

// Finish ends a change that was interrupted: every file comes to have the Sealer's form. It does
// nothing if there was none. The files are as for [Sealer.Reseal], and no other process may have the
// directory open.
func (s *Sealer) Finish(files []File) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock == nil {
		return ErrWiped
	}
	if s.other == nil {
		return nil
	}
	if err := s.lock.exclusive(); err != nil {
		return fmt.Errorf("ending a change of how keys are sealed: %w", err)
	}
	err := s.checkAll(files)
	if err == nil {
		err = s.finish(files, func() {})
	}
	if err = errors.Join(err, s.lock.shared()); err != nil {
		return fmt.Errorf("ending a change of how keys are sealed: %w", err)
	}
	return nil
}

// checkAll makes sure that all files open, and that no other is sealed, which would be lost with the root.
func (s *Sealer) checkAll(files []File) error {
	if path, err := s.unlisted(files); err != nil {
		return err
	} else if path != "" {
		return fmt.Errorf("%s is sealed, and not known to be one of the keys: it would not open any more, so move it away", path)
	}
	for _, f := range files {
		secret, _, err := s.readFile(f.Path, f.Name)
		clear(secret)
		if err != nil {
			return err
		}
	}
	return nil
}

// finish is steps 2 and 3.
func (s *Sealer) finish(files []File, step func()) error {
	if s.other == nil {
		return nil
	}
	for _, f := range files {
		if err := s.convert(f); err != nil {
			return err
		}
		step()
	}
	if s.state == nil {
		// Not overwritten first: half of that would be a seal.toml that cannot be read.
		if err := os.Remove(statePath(s.dir)); err != nil {
			return err
		}
		if err := config.SyncDirIfPossible(s.dir); err != nil {
			return err
		}
	} else {
		done := *s.state
		done.Change = nil
		if err := done.write(s.dir); err != nil {
			return err
		}
		s.state = &done
	}
	clear(s.other.root)
	s.other = nil
	step()
	return nil
}

// convert brings a file into the Sealer's form.
func (s *Sealer) convert(f File) error {
	if err := eraseTemporary(f.Path); err != nil {
		return err
	}
	secret, form, err := s.readFile(f.Path, f.Name)
	if err != nil {
		return err
	}
	defer clear(secret)
	if form == &s.form {
		return nil
	}
	if form.sealed() {
		return s.form.write(f.Path, f.Name, secret)
	}
	// The plain file's blocks outlive its name, so it is kept open to be overwritten.
	old, err := os.OpenFile(f.Path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer old.Close()
	if err := s.form.write(f.Path, f.Name, secret); err != nil {
		return err
	}
	overwrite(old)
	return nil
}

// eraseTemporary erases what an interrupted config.WriteFile left of a file.
func eraseTemporary(path string) error {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "."+base+".") {
			if err := Erase(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
