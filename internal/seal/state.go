package seal

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime/debug"

	"github.com/BurntSushi/toml"
	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/keyring"
)

const (
	stateFile    = "seal.toml"
	stateVersion = 1
	maxState     = 4 << 10 // bytes; it takes about 500
	saltLength   = 16      // RFC 9106 section 3.1
	checkLength  = 32
	changeLength = 1 + rootLength
)

func statePath(dir string) string { return filepath.Join(dir, stateFile) }

// state is what lies open beside sealed files.
type state struct {
	Version int      `toml:"version"`
	Method  Method   `toml:"method"` // systemd or passphrase
	Salt    hexBytes `toml:"salt"`
	cost
	Check  hexBytes `toml:"check"`            // derived from the root: tells a wrong secret from a right one
	Change hexBytes `toml:"change,omitempty"` // sealed under the root: the other form that files may still have
}

// cost is the work of trying one passphrase, in the terms of Argon2id (RFC 9106 section 3.1).
type cost struct {
	Memory  uint32 `toml:"memory_kib,omitzero"`
	Passes  uint32 `toml:"passes,omitzero"`
	Threads uint8  `toml:"threads,omitzero"`
}

var defaultCost = cost(keyring.DefaultCost)

// valid bounds what a file may ask of us, as for the user's key file: some seconds and 128 MiB.
func (c cost) valid() bool {
	return c.Memory >= 8 && c.Memory <= 128<<10 &&
		c.Passes >= 1 && c.Passes <= 6 &&
		c.Threads >= 1 && c.Threads <= 4
}

// newState asks the source for a secret and makes a root from it. For the method plain there is no
// state.
func newState(method Method, source Source, c cost) (*state, form, error) {
	if _, err := ParseMethod(string(method)); err != nil {
		return nil, form{}, err
	}
	if method == Plain {
		return nil, form{}, nil
	}
	st := &state{Version: stateVersion, Method: method, Salt: make([]byte, saltLength)}
	rand.Read(st.Salt)
	if method == Passphrase {
		st.cost = c
	}
	root, err := st.root(source, true)
	if err != nil {
		return nil, form{}, err
	}
	st.Check, err = st.check(root)
	return st, form{root}, err
}

// open finds the root again, and the other form that files may have.
func (st *state) open(source Source) (form, *form, error) {
	root, err := st.root(source, false)
	if err != nil {
		return form{}, nil, err
	}
	f := form{root}
	check, err := st.check(root)
	if err != nil {
		return f, nil, err
	}
	if subtle.ConstantTimeCompare(check, st.Check) != 1 {
		clear(root)
		return form{}, nil, st.wrong()
	}
	if len(st.Change) == 0 {
		return f, nil, nil
	}
	change, err := openBytes(root, changeLabel, "", st.Change)
	if err != nil || len(change) != changeLength {
		return f, nil, errors.New("seal.toml: the note of an unfinished change is " + ErrDamaged.Error() + ": put the file back from a copy")
	}
	defer clear(change)
	other := new(form)
	if change[0] != 0 {
		other.root = append(other.root, change[1:]...)
	}
	return f, other, nil
}

// wrong is what a secret that is not the one of Check means.
func (st *state) wrong() error {
	if st.Method == Systemd {
		return fmt.Errorf("%w: there is one, and it is not the one that the keys were sealed by; give the unit that one again, from its copy", ErrCredential)
	}
	if len(st.Change) > 0 {
		return fmt.Errorf("%w; a change was begun, and if it was to another passphrase, give the new one", ErrPassphrase)
	}
	return ErrPassphrase
}

// change notes in a copy of st that files may also be in form f.
func (st *state) change(root []byte, f form) (*state, error) {
	note := make([]byte, changeLength)
	defer clear(note)
	if f.sealed() {
		note[0] = 1
		copy(note[1:], f.root)
	}
	sealed, err := sealBytes(root, changeLabel, "", note)
	if err != nil {
		return nil, err
	}
	with := *st
	with.Change = sealed
	return &with, nil
}

func (st *state) check(root []byte) ([]byte, error) { return derive(root, st.Salt, checkLabel) }

// root derives the root from the secret that the method and the source give.
func (st *state) root(source Source, isNew bool) ([]byte, error) {
	if st.Method == Systemd {
		read := readCredential
		if source != nil {
			read = func() ([]byte, error) { return source(isNew) }
		}
		secret, err := read()
		if err != nil {
			return nil, err
		}
		defer clear(secret)
		if len(secret) < minCredential {
			return nil, fmt.Errorf("%w: it has %d bytes, and must have %d random ones or more", ErrCredential, len(secret), minCredential)
		}
		return derive(secret, st.Salt, rootLabel)
	}
	if source == nil {
		return nil, errors.New(`keys = "passphrase", and nothing says where to read it`)
	}
	passphrase, err := source(isNew)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	if err := checkPassphrase(passphrase); err != nil {
		return nil, err
	}
	// Two machines may spell the same accented letters in different bytes (RFC 8265 section 4.2.2).
	normal := norm.NFC.Append(make([]byte, 0, 3*len(passphrase)), passphrase...)
	defer clear(normal[:cap(normal)])
	root := argon2.IDKey(normal, st.Salt, st.Passes, st.Memory, st.Threads, rootLength)
	// What Argon2 worked in is more than all else that a node takes, and is needed once:
	// the collector might let a process that does little keep it for hours.
	debug.FreeOSMemory()
	return root, nil
}

// readState returns nil if there is no seal.toml.
func readState(dir string) (*state, error) {
	data, err := config.Read(statePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	st, err := parseState(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", statePath(dir), err)
	}
	return st, nil
}

// parseState reads a seal.toml that anybody may have written. What it returns costs bounded time and
// memory to open.
func parseState(data []byte) (*state, error) {
	const advice = "; the file is damaged: put it back from a copy, for nothing opens without it"
	if len(data) > maxState {
		return nil, errors.New("too large" + advice)
	}
	// The version decides what the rest may look like, so it is read first.
	var v struct {
		Version int `toml:"version"`
	}
	if _, err := toml.Decode(string(data), &v); err != nil {
		return nil, fmt.Errorf("not TOML (%w)%s", err, advice)
	}
	if v.Version != stateVersion {
		return nil, fmt.Errorf("version %d, and this program reads version %d only: use the program that wrote it", v.Version, stateVersion)
	}
	st := new(state)
	if err := config.Decode(string(data), st); err != nil {
		return nil, fmt.Errorf("%w%s", err, advice)
	}
	switch {
	case st.Method != Systemd && st.Method != Passphrase:
		return nil, fmt.Errorf("method %q%s", st.Method, advice)
	case len(st.Salt) != saltLength:
		return nil, fmt.Errorf("salt of %d bytes%s", len(st.Salt), advice)
	case len(st.Check) != checkLength:
		return nil, fmt.Errorf("check of %d bytes%s", len(st.Check), advice)
	case len(st.Change) != 0 && len(st.Change) != overhead+changeLength:
		return nil, fmt.Errorf("change of %d bytes%s", len(st.Change), advice)
	case st.Method == Passphrase && !st.valid(), st.Method == Systemd && st.cost != cost{}:
		return nil, fmt.Errorf("cost out of bounds%s", advice)
	}
	return st, nil
}

const stateComment = `# How this member's secret files are sealed. It opens nothing by itself, and without it nothing opens: keep
# it with every copy of them.
`

func (st *state) write(dir string) error {
	text, err := toml.Marshal(st)
	if err != nil {
		return err
	}
	return config.WriteFile(statePath(dir), append([]byte(stateComment), text...), 0o600)
}

// hexBytes are bytes that a TOML file has in hexadecimal.
type hexBytes []byte

// MarshalText implements encoding.TextMarshaler.
func (b hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, b), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}
