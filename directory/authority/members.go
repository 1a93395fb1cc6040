package authority

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/directory"
	files "codeberg.org/sourdine/sourdine/internal/config"
)

// Admitted is a member that this authority has let in. In the directory of members
// NAME.member is the file that the member signed, as it came, and NAME.toml what
// this authority says about it.
type Admitted struct {
	*directory.Member
	Since time.Time // zero: not known, its file was put there by hand
	Until time.Time // zero: for good
}

// admission is the text of NAME.toml.
type admission struct {
	Since time.Time `toml:"since,omitempty"`
	Until time.Time `toml:"until,omitempty"`
}

const (
	memberSuffix    = ".member"
	admissionSuffix = ".toml"
)

func parseAdmission(b []byte) (a admission, err error) {
	err = files.Decode(string(b), &a)
	return a, err
}

func (a admission) encode() ([]byte, error) {
	text := bytes.NewBufferString("# What this authority says about the member. Change it with `sourdine authority admit`.\n")
	err := toml.NewEncoder(text).Encode(a)
	return text.Bytes(), err
}

// Admit checks a member's public file and puts it among the admitted ones, until a
// moment or, if that is zero, for good. A file of a member that is admitted already
// takes the place of the older one.
func (c *Config) Admit(file []byte, until time.Time) (*Admitted, error) {
	m, err := directory.ParseMember(file)
	if err != nil {
		return nil, err
	}
	if m.Role == directory.RoleAuthority {
		return nil, fmt.Errorf("%s is an authority: authorities are fixed by the network file", m.Name)
	}
	n, err := c.ReadNetwork()
	if err != nil {
		return nil, err
	}
	if n != nil {
		if m.Layer > n.Parameters.Layers {
			return nil, fmt.Errorf("%s is of layer %d, the network has %d", m.Name, m.Layer, n.Parameters.Layers)
		}
		for _, other := range slices.Concat(n.Authorities, n.Entries) {
			if half(m, other) {
				return nil, fmt.Errorf("%s: the network file has a member with this name or this key, with another key or name", m.Name)
			}
		}
		if first := directory.EpochStart(directory.EpochAt(time.Now(), n.Parameters.Epoch)+2, n.Parameters.Epoch); !until.IsZero() && !until.After(first) {
			return nil, fmt.Errorf("%s: its time would be over before the first consensus that can list it, of the epoch that begins at %s", m.Name, first.Format(time.RFC3339))
		}
	}
	list, err := c.Admitted()
	if err != nil {
		return nil, err
	}
	a := &Admitted{Member: m, Since: time.Now().UTC().Truncate(time.Second), Until: until.UTC()}
	for _, other := range list {
		if half(m, other.Member) {
			return nil, fmt.Errorf("%s: a member with this name or this key is admitted already, with another key or name: remove it first if it is gone for good", m.Name)
		}
		if other.Name == m.Name && !other.Since.IsZero() {
			a.Since = other.Since
		}
	}
	if err := os.MkdirAll(c.Members, 0o700); err != nil {
		return nil, err
	}
	text, err := admission{a.Since, a.Until}.encode()
	if err != nil {
		return nil, err
	}
	// The member's own file last: with it the member is admitted.
	if err := files.WriteFile(c.memberPath(m.Name, admissionSuffix), text, 0o600); err != nil {
		return nil, err
	}
	return a, files.WriteFile(c.memberPath(m.Name, memberSuffix), file, 0o600)
}

// half says whether two members share a name or a key, and not both.
func half(a, b *directory.Member) bool { return (a.Name == b.Name) != (a.ID() == b.ID()) }

func (c *Config) memberPath(name, suffix string) string {
	return filepath.Join(c.Members, name+suffix)
}

// Remove lets a member go. It refuses to take away what the network cannot do
// without.
func (c *Config) Remove(name string) (*Admitted, error) {
	list, err := c.Admitted()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(a *Admitted) bool { return a.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("no member %q is admitted: `sourdine authority list` shows who is", name)
	}
	n, err := c.ReadNetwork()
	if err != nil {
		return nil, err
	}
	gone, rest := list[i], slices.Delete(slices.Clone(list), i, i+1)
	if n != nil && complete(list, n.Parameters.Layers) == nil && complete(rest, n.Parameters.Layers) != nil {
		return nil, fmt.Errorf("%s is the only %s that is admitted, and without one there is no consensus: admit another first", name, gone.kind())
	}
	// The member's own file first: without it the member is not admitted.
	if err := os.Remove(c.memberPath(name, memberSuffix)); err != nil {
		return nil, err
	}
	if err := os.Remove(c.memberPath(name, admissionSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return gone, files.SyncDir(c.Members)
}

// Admitted returns the admitted members by name, those among them whose time is over.
func (c *Config) Admitted() ([]*Admitted, error) {
	entries, err := os.ReadDir(c.Members)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*Admitted
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), memberSuffix)
		if !ok {
			continue
		}
		a, err := c.readMember(name)
		if err != nil {
			return nil, fmt.Errorf("%w; mend or remove the file", err)
		}
		list = append(list, a)
	}
	return list, nil
}

func (c *Config) readMember(name string) (*Admitted, error) {
	path := c.memberPath(name, memberSuffix)
	b, err := files.Read(path)
	if err != nil {
		return nil, err
	}
	m, err := directory.ParseMember(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Name != name {
		return nil, fmt.Errorf("%s: it is the file of %s", path, m.Name)
	}
	path = c.memberPath(name, admissionSuffix)
	b, err = files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Admitted{Member: m}, nil
	}
	if err != nil {
		return nil, err
	}
	says, err := parseAdmission(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &Admitted{Member: m, Since: says.Since, Until: says.Until}, nil
}

// ReadNetwork reads the network file, signed or not; nil if there is none yet.
func (c *Config) ReadNetwork() (*directory.Network, error) {
	b, err := files.Read(c.Network)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n, err := directory.ParseNetwork(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Network, err)
	}
	return n, nil
}

// kind is what a network needs one of.
type kind struct {
	role  directory.Role
	layer int // of a mix
}

func (a *Admitted) kind() kind { return kind{a.Role, a.Layer} }

func (k kind) String() string {
	if k.role == directory.RoleMix {
		return fmt.Sprintf("mix of layer %d", k.layer)
	}
	return string(k.role)
}

// complete says what a list lacks. The engine does not start without an entry, an
// exit and as many mixes as there are layers (Katzenpost server.New), and no
// consensus is well-formed without a mix in each (pki.IsDocumentWellFormed).
func complete(list []*Admitted, layers int) error {
	has := map[kind]bool{}
	for _, a := range list {
		has[a.kind()] = true
	}
	for layer := 1; layer <= layers; layer++ {
		if !has[kind{directory.RoleMix, layer}] {
			return fmt.Errorf("no mix of layer %d is admitted: run `sourdine authority admit` with one's public file", layer)
		}
	}
	if !has[kind{role: directory.RoleEntry}] || !has[kind{role: directory.RoleExit}] {
		return errors.New("an entry and an exit must be admitted before the authority can vote: run `sourdine authority admit` with their public files")
	}
	return nil
}

// counting returns the members whom an authority votes for in the consensus of an
// epoch that begins at a moment: those whose time is not over, and the last of
// their kind even then, because without them there would be no network.
func counting(list []*Admitted, begins time.Time) []*Admitted {
	over := func(a *Admitted) bool { return !a.Until.IsZero() && !a.Until.After(begins) }
	others := map[kind]bool{}
	for _, a := range list {
		others[a.kind()] = others[a.kind()] || !over(a)
	}
	return slices.DeleteFunc(slices.Clone(list), func(a *Admitted) bool { return over(a) && others[a.kind()] })
}
