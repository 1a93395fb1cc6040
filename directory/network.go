package directory

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/katzenpost/hpqc/sign"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Parameters are what all authorities of a network vote for alike.
type Parameters struct {
	Epoch   time.Duration `toml:"epoch"`         // between two consensus documents
	Slot    time.Duration `toml:"slot"`          // between two packets of a gateway
	Delay   time.Duration `toml:"delay"`         // mean at each mix
	Loop    time.Duration `toml:"loop,omitzero"` // mean between two packets that a node sends to itself; 0: the slot
	Layers  int           `toml:"layers"`        // of mixes
	Scheme  string        `toml:"scheme"`        // the packet's key exchange
	Payload int           `toml:"payload"`       // user payload in bytes
}

// DefaultParameters are those of a network for mail, which can wait.
func DefaultParameters() Parameters {
	return Parameters{
		Epoch: time.Hour, Slot: 20 * time.Second, Delay: time.Minute, Layers: 3,
		Scheme: sphinx.DefaultScheme, Payload: sphinx.DefaultUserPayload,
	}
}

// MinDelay bounds the mean delay at a mix from below. A stock node drops what it is
// asked to keep for longer than 27.6 of them (Katzenpost common.SafetyCap), and an
// exit keeps each answer for a second (mixnode).
const MinDelay = 40 * time.Millisecond

const (
	maxLayers      = 3 // what Katzenpost's authority allows
	minPayload     = 4_000
	maxAuthorities = 32
	maxEntries     = 256
)

// Check refuses parameters that no network can run with.
func (p *Parameters) Check() error {
	if err := checkEpoch(p.Epoch); err != nil {
		return err
	}
	if p.Slot < 10*time.Millisecond || p.Slot > p.Epoch/4 || p.Slot%time.Millisecond != 0 {
		return fmt.Errorf("slot %v is not between 10ms and a quarter of an epoch in whole milliseconds", p.Slot)
	}
	if p.Delay < MinDelay || p.Delay > p.Epoch/20 || p.Delay%time.Millisecond != 0 {
		return fmt.Errorf("delay %v is not between %v and a twentieth of an epoch in whole milliseconds: a packet and its reply must live well under an epoch", p.Delay, MinDelay)
	}
	if p.Loop != 0 && (p.Loop < 10*time.Millisecond || p.Loop > maxEpoch || p.Loop%time.Millisecond != 0) {
		return fmt.Errorf("loop %v is not between 10ms and %v in whole milliseconds", p.Loop, maxEpoch)
	}
	if p.Layers < 1 || p.Layers > maxLayers {
		return fmt.Errorf("layers: %d is not between 1 and %d", p.Layers, maxLayers)
	}
	if p.Payload < minPayload {
		return fmt.Errorf("payload: %d is less than %d bytes", p.Payload, minPayload)
	}
	_, err := p.Geometry()
	return err
}

// LoopMean is the mean between two packets that a node sends to itself.
func (p *Parameters) LoopMean() time.Duration { return cmp.Or(p.Loop, p.Slot) }

// Geometry returns the packet geometry that the parameters imply: one hop a
// layer, the entry and the exit.
func (p *Parameters) Geometry() (*sphinx.Geometry, error) {
	return sphinx.NewGeometry(p.Scheme, p.Layers+2, p.Payload)
}

// Network is the signed file that tells members and users what to trust. It is
// made once by the authorities and handed to everybody.
type Network struct {
	Name        string     `toml:"name"`
	Parameters  Parameters `toml:"parameters"`
	Authorities []*Member  `toml:"authority"`
	Entries     []*Member  `toml:"entry"`

	text []byte
	sigs Signatures
}

// NewNetwork makes an unsigned network of members: authorities that agree on
// their parameters, and entries.
func NewNetwork(name string, members []*Member) (*Network, error) {
	n := &Network{Name: name}
	for _, m := range members {
		switch m.Role {
		case RoleAuthority:
			if len(n.Authorities) > 0 && *m.Parameters != n.Parameters {
				return nil, fmt.Errorf("%s votes for other parameters than %s: their `authority init`, or `authority parameters`, must be given the same", m.Name, n.Authorities[0].Name)
			}
			n.Parameters = *m.Parameters
			a := *m
			a.Parameters = nil
			n.Authorities = append(n.Authorities, &a)
		case RoleEntry:
			n.Entries = append(n.Entries, m)
		default:
			return nil, fmt.Errorf("%s is a %s: a network file holds authorities and entries; let authorities admit it instead", m.Name, m.Role)
		}
	}
	// The same members make the same text in whatever order they are named.
	byName := func(a, b *Member) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(n.Authorities, byName)
	slices.SortFunc(n.Entries, byName)
	var err error
	if n.text, err = encode(n); err != nil {
		return nil, err
	}
	n.sigs = Signatures{}
	return n, n.check()
}

// ParseNetwork reads a network file. It may be unsigned: see [Network.Trusted].
func ParseNetwork(b []byte) (*Network, error) {
	text, sigs, err := splitSigned(b)
	if err != nil {
		return nil, err
	}
	n := &Network{text: text, sigs: sigs}
	if err := config.Decode(string(text), n); err != nil {
		return nil, err
	}
	return n, n.check()
}

func (n *Network) check() error {
	if err := CheckName(n.Name); err != nil {
		return fmt.Errorf("network: name: %w", err)
	}
	if err := n.Parameters.Check(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if len(n.Authorities) == 0 || len(n.Authorities) > maxAuthorities {
		return fmt.Errorf("network: %d authorities, want 1 to %d", len(n.Authorities), maxAuthorities)
	}
	if len(n.Entries) == 0 || len(n.Entries) > maxEntries {
		return fmt.Errorf("network: %d entries, want 1 to %d", len(n.Entries), maxEntries)
	}
	seen := map[sphinx.NodeID]string{}
	names := map[string]bool{}
	for _, m := range append(slices.Clone(n.Authorities), n.Entries...) {
		if m.Role == RoleAuthority {
			m.Parameters = &n.Parameters
		}
		err := m.check()
		if m.Role == RoleAuthority {
			m.Parameters = nil
		}
		if err != nil {
			return fmt.Errorf("network: %s: %w", m.Name, err)
		}
		if other, twice := seen[m.ID()]; twice {
			return fmt.Errorf("network: %s and %s have the same identity key", other, m.Name)
		}
		if names[m.Name] {
			return fmt.Errorf("network: two members are named %s", m.Name)
		}
		seen[m.ID()], names[m.Name] = m.Name, true
	}
	for _, m := range n.Authorities {
		if m.Role != RoleAuthority {
			return fmt.Errorf("network: %s is listed as an authority but is a %s", m.Name, m.Role)
		}
	}
	for _, m := range n.Entries {
		if m.Role != RoleEntry {
			return fmt.Errorf("network: %s is listed as an entry but is a %s", m.Name, m.Role)
		}
	}
	return nil
}

// Threshold is how many authorities must sign: more than half.
func (n *Network) Threshold() int { return len(n.Authorities)/2 + 1 }

// AddSignature signs the network with an authority's identity key.
func (n *Network) AddSignature(key sign.PrivateKey) error {
	public := key.Public().(sign.PublicKey)
	for _, a := range n.Authorities {
		if a.identity.Equal(public) {
			_, sigs, err := splitSigned(signText(n.text, key, public))
			if err != nil {
				return err
			}
			for id, sig := range sigs {
				n.sigs[id] = sig
			}
			return nil
		}
	}
	return errors.New("this authority is not one of the network's: make the network again with its public file")
}

// Merge takes over the good signatures of a copy of the same file.
func (n *Network) Merge(copy *Network) error {
	if !bytes.Equal(n.text, copy.text) {
		return fmt.Errorf("its text differs: its fingerprint is %s, not %s", copy.Fingerprint(), n.Fingerprint())
	}
	for _, a := range n.Authorities {
		if signedBy(copy.text, copy.sigs, a.identity) {
			n.sigs[a.ID()] = copy.sigs[a.ID()]
		}
	}
	return nil
}

// Signers names the authorities whose signatures are good.
func (n *Network) Signers() []string {
	var names []string
	for _, a := range n.Authorities {
		if signedBy(n.text, n.sigs, a.identity) {
			names = append(names, a.Name)
		}
	}
	return names
}

// Trusted is an error unless enough authorities signed the file. It does not
// say that these are the right authorities: compare [Network.Fingerprint].
func (n *Network) Trusted() error {
	if s := n.Signers(); len(s) < n.Threshold() {
		return fmt.Errorf("network file: signed by %d of its %d authorities, want %d: let more of them run `sourdine network sign`",
			len(s), len(n.Authorities), n.Threshold())
	}
	return nil
}

// Fingerprint is a short name of what is signed, for people to compare: eight
// groups of four hexadecimal digits of the text's SHA-256.
func (n *Network) Fingerprint() string {
	sum := sha256.Sum256(n.text)
	var groups []string
	for i := 0; i < 16; i += 2 {
		groups = append(groups, hex.EncodeToString(sum[i:i+2]))
	}
	return strings.Join(groups, " ")
}

// Bytes returns the file: the text and its signatures.
func (n *Network) Bytes() []byte {
	var b bytes.Buffer
	b.Write(n.text)
	for _, a := range n.Authorities {
		if sig, ok := n.sigs[a.ID()]; ok {
			b.Write(pemSignature(a.ID(), sig))
		}
	}
	return b.Bytes()
}

// Epoch returns the number of the epoch that t lies in.
func (n *Network) Epoch(t time.Time) uint64 { return EpochAt(t, n.Parameters.Epoch) }

// verifiers are the authorities' identity keys.
func (n *Network) verifiers() []sign.PublicKey {
	keys := make([]sign.PublicKey, len(n.Authorities))
	for i, a := range n.Authorities {
		keys[i] = a.identity
	}
	return keys
}
