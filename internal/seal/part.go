package seal

import (
	"bytes"
	"errors"
	"fmt"
)

// Part returns a Sealer of the files that one part of a member has in the directory. What the part calls
// "name" is "part/name" to s. The part's root is derived from that of s and does not lead back to it, so
// a process that does one part's work need not hold what opens the rest: see [Sealer.Secret]. The caller
// wipes the part's Sealer before [Sealer.Finish] or [Sealer.Reseal] of s.
func (s *Sealer) Part(part string) (*Sealer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	switch {
	case s.lock == nil:
		return nil, ErrWiped
	case s.other != nil:
		return nil, errors.New("a change of how keys are sealed is to be finished first")
	}
	p, err := locked(s.dir)
	if err != nil {
		return nil, err
	}
	p.state = s.state
	if s.form.sealed() {
		if p.form.root, _, err = s.form.of(part + "/"); err != nil {
			p.Wipe()
			return nil, err
		}
	}
	return p, nil
}

// Secret returns a copy of the root, for [OpenPart] in the process that does the part's work; nil if the
// files are plain. The caller wipes it.
func (s *Sealer) Secret() []byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return bytes.Clone(s.form.root)
}

// OpenPart opens the files of a part by the secret that Secret returned in another process, whose
// directory dir is. Without a secret they must be plain.
func OpenPart(dir string, secret []byte) (*Sealer, error) {
	if secret == nil {
		return Open(Plain, dir, nil)
	}
	s, err := locked(dir)
	if err != nil {
		return nil, fmt.Errorf("opening sealed keys: %w", err)
	}
	s.state, err = readState(dir)
	switch {
	case err != nil:
	case s.state == nil:
		err = fmt.Errorf("the keys in %s are %w", dir, ErrPlain)
	case len(secret) != rootLength:
		err = fmt.Errorf("a secret of %d bytes was handed over, want %d", len(secret), rootLength)
	}
	if err != nil {
		s.Wipe()
		return nil, fmt.Errorf("opening sealed keys: %w", err)
	}
	s.form.root = bytes.Clone(secret)
	return s, nil
}
