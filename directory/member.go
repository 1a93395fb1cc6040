package directory

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/hpqc/kem"
	kempem "github.com/katzenpost/hpqc/kem/pem"
	"github.com/katzenpost/hpqc/sign"
	signpem "github.com/katzenpost/hpqc/sign/pem"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Role is what a member does in the network.
type Role string

// The roles. One identity has one role.
const (
	RoleAuthority Role = "authority"
	RoleEntry     Role = "entry"
	RoleMix       Role = "mix"
	RoleExit      Role = "exit"
)

// Member is what an authority or a node makes public about itself: the file
// that `authority init` and `node init` write, and that others are given.
type Member struct {
	Role       Role        `toml:"role"`
	Name       string      `toml:"name"`
	Operator   string      `toml:"operator"`
	Address    string      `toml:"address"`              // IP and port where others reach it; of a mix or an exit perhaps the port alone
	Layer      int         `toml:"layer,omitzero"`       // of a mix: 1 is next to the entries
	Parameters *Parameters `toml:"parameters,omitempty"` // of an authority: what it votes for
	Identity   string      `toml:"identity"`             // public key in PEM
	Link       string      `toml:"link"`                 // public key in PEM

	identity sign.PublicKey
	link     kem.PublicKey
}

// SetKeys gives a member its public keys.
func (m *Member) SetKeys(identity sign.PublicKey, link kem.PublicKey) {
	m.identity, m.link = identity, link
	m.Identity, m.Link = signpem.ToPublicPEMString(identity), kempem.ToPublicPEMString(link)
}

// ID is the hash of the member's identity key, its name on the wire.
func (m *Member) ID() sphinx.NodeID { return hash.Sum256From(m.identity) }

// IdentityKey is the key that signs what the member publishes.
func (m *Member) IdentityKey() sign.PublicKey { return m.identity }

// LinkKey is the key that proves the member at the other end of a connection.
func (m *Member) LinkKey() kem.PublicKey { return m.link }

// Sign returns the member's public file: its text and its own signature, which
// proves that whoever wrote the file holds the identity key.
func (m *Member) Sign(key sign.PrivateKey) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	text, err := encode(m)
	if err != nil {
		return nil, err
	}
	return append(text, signText(text, key, m.identity)...), nil
}

// maxMember bounds a member's public file, in bytes; one of ours has about 8,000.
const maxMember = 64 << 10

// ParseMember reads a member's public file and checks its signature.
func ParseMember(b []byte) (*Member, error) {
	if len(b) > maxMember {
		return nil, fmt.Errorf("%d bytes are more than a member's file can have", len(b))
	}
	text, sigs, err := splitSigned(b)
	if err != nil {
		return nil, err
	}
	m := new(Member)
	if err := config.Decode(string(text), m); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if !signedBy(text, sigs, m.identity) {
		return nil, fmt.Errorf("%s: its signature does not match its text: ask for the file again", m.Name)
	}
	return m, nil
}

// check validates every field and parses the keys.
func (m *Member) check() (err error) {
	if err := m.Check(); err != nil {
		return err
	}
	if m.identity, err = parseIdentity(m.Identity); err != nil {
		return err
	}
	m.link, err = parseLink(m.Link)
	return err
}

// Check validates every field but the keys.
func (m *Member) Check() error {
	switch m.Role {
	case RoleAuthority:
		if m.Parameters == nil {
			return errors.New("an authority's file has no parameters")
		}
		if err := m.Parameters.Check(); err != nil {
			return err
		}
	case RoleEntry, RoleExit:
	case RoleMix:
		if m.Layer < 1 || m.Layer > maxLayers {
			return fmt.Errorf("layer %d is not between 1 and %d", m.Layer, maxLayers)
		}
	default:
		return fmt.Errorf("role %q is none of authority, entry, mix, exit", m.Role)
	}
	if m.Role != RoleMix && m.Layer != 0 {
		return fmt.Errorf("role %s has no layer", m.Role)
	}
	if m.Role != RoleAuthority && m.Parameters != nil {
		return fmt.Errorf("role %s has no parameters", m.Role)
	}
	if err := CheckName(m.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if err := CheckName(m.Operator); err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	check := CheckAddress
	if m.Role == RoleMix || m.Role == RoleExit { // others know them by their descriptors
		check = CheckPort
	}
	if err := check(m.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	return nil
}

// CheckName accepts what can name a member: 1 to 32 of a-z, 0-9 and inner hyphens.
func CheckName(s string) error {
	if len(s) < 1 || len(s) > 32 || s[0] == '-' || s[len(s)-1] == '-' {
		return fmt.Errorf("%q is not 1 to 32 of a-z, 0-9 and hyphens inside", s)
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%q is not 1 to 32 of a-z, 0-9 and hyphens inside", s)
		}
	}
	return nil
}

// CheckAddress accepts an IP address with a port. Host names are refused: to
// resolve one would tell a name server who takes part.
func CheckAddress(s string) error {
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return fmt.Errorf("%q is not an IP address with a port, as in 192.0.2.1:4242 or [2001:db8::1]:4242", s)
	}
	return nil
}

// CheckPort accepts what CheckAddress does, and a port alone, as of a node whose
// router says the rest.
func CheckPort(s string) error {
	if strings.HasPrefix(s, ":") {
		s = "0.0.0.0" + s
	}
	return CheckAddress(s)
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(v); err != nil {
		return nil, fmt.Errorf("encoding: %w", err)
	}
	return b.Bytes(), nil
}
