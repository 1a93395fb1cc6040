package sphinx

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/blake2b"
)

// Defaults of the network: X-Wing (ML-KEM-768 and X25519), entry, three mixes
// and exit, and a user payload that most mails fit. They make packets of
// 44,458 bytes with a header of 7,164.
const (
	DefaultScheme      = "Xwing"
	DefaultHops        = 5
	DefaultUserPayload = 30_000
)

// Bounds of a geometry that [NewGeometry] accepts.
const (
	MaxHops        = 20
	MaxUserPayload = 1 << 20
)

// Lengths in bytes of what every geometry has.
const (
	versionLength         = 2
	macLength             = 32
	payloadTagLength      = 32
	plaintextHeaderLength = 2 // a flag and a reserved byte
	payloadKeyLength      = 48 + 16
	nextLength            = 1 + NodeIDLength + macLength
	replyLength           = 1 + ReplyIDLength
)

// Geometry holds the sizes, in bytes, that all packets of a network share. Make
// one with [NewGeometry]; its zero value is not usable.
type Geometry struct {
	Scheme string // the key exchange, a name of [Schemes]
	Hops   int    // the longest path

	PacketLength      int // header, payload tag, payload
	HeaderLength      int // version, element, routing info, MAC
	ElementLength     int // a group element, or the ciphertext of an encapsulated key
	RoutingInfoLength int // all hops' routing info
	HopLength         int // one hop's share of it
	ReplyBlockLength  int // header, first hop, payload key
	PayloadTagLength  int
	PayloadLength     int // what Wrap takes: plaintext header, reply block, user payload
	UserPayloadLength int

	// The scheme's name in a consensus: one of them, for the two kinds.
	NIKEName, KEMName string

	exchange scheme
}

// NewGeometry derives all sizes from the key exchange's name, the longest path
// and the user payload's size in bytes, as Katzenpost's core/sphinx/geo does.
func NewGeometry(scheme string, hops, userPayload int) (*Geometry, error) {
	exchange, err := schemeByName(scheme)
	if err != nil {
		return nil, err
	}
	if hops < 1 || hops > MaxHops {
		return nil, fmt.Errorf("sphinx hops: %d is not between 1 and %d", hops, MaxHops)
	}
	if userPayload < 0 || userPayload > MaxUserPayload {
		return nil, fmt.Errorf("sphinx payload: %d is not between 0 and %d", userPayload, MaxUserPayload)
	}
	g := &Geometry{
		Scheme: scheme, Hops: hops, exchange: exchange,
		ElementLength:     exchange.elementLength(),
		HopLength:         nextLength + replyLength + inlined(exchange),
		PayloadTagLength:  payloadTagLength,
		UserPayloadLength: userPayload,
	}
	if exchange.blinds() {
		g.NIKEName = exchange.katzenpost()
	} else {
		g.KEMName = exchange.katzenpost()
	}
	g.RoutingInfoLength = g.HopLength * hops
	g.HeaderLength = versionLength + g.ElementLength + g.RoutingInfoLength + macLength
	g.ReplyBlockLength = g.HeaderLength + NodeIDLength + payloadKeyLength
	g.PayloadLength = plaintextHeaderLength + g.ReplyBlockLength + userPayload
	g.PacketLength = g.HeaderLength + payloadTagLength + g.PayloadLength
	return g, nil
}

// published is a geometry as Katzenpost publishes it (core/sphinx/geo): the
// section SphinxGeometry of its TOML files, and what a consensus has the hash of.
type published struct {
	PacketLength                int
	NrHops                      int
	HeaderLength                int
	RoutingInfoLength           int
	PerHopRoutingInfoLength     int
	SURBLength                  int
	SphinxPlaintextHeaderLength int
	PayloadTagLength            int
	ForwardPayloadLength        int
	UserForwardPayloadLength    int
	NextNodeHopLength           int
	SPRPKeyMaterialLength       int
	NIKEName                    string
	KEMName                     string
}

func (g *Geometry) published() published {
	return published{
		PacketLength: g.PacketLength, NrHops: g.Hops, HeaderLength: g.HeaderLength,
		RoutingInfoLength: g.RoutingInfoLength, PerHopRoutingInfoLength: g.HopLength,
		SURBLength: g.ReplyBlockLength, SphinxPlaintextHeaderLength: plaintextHeaderLength,
		PayloadTagLength: g.PayloadTagLength, ForwardPayloadLength: g.PayloadLength,
		UserForwardPayloadLength: g.UserPayloadLength, NextNodeHopLength: nextLength,
		SPRPKeyMaterialLength: payloadKeyLength, NIKEName: g.NIKEName, KEMName: g.KEMName,
	}
}

// maxGeometry bounds what ParseGeometry reads, in bytes.
const maxGeometry = 1 << 16

// ParseGeometry reads a geometry as Katzenpost publishes it: TOML with a section
// SphinxGeometry. All follows from the scheme, the hops and the user payload; the
// error names the first field that does not, or that is unknown or missing.
func ParseGeometry(text []byte) (*Geometry, error) {
	if len(text) > maxGeometry {
		return nil, fmt.Errorf("geometry of %d bytes: more than %d", len(text), maxGeometry)
	}
	var file struct{ SphinxGeometry published }
	meta, err := toml.NewDecoder(bytes.NewReader(text)).Decode(&file)
	if err != nil {
		return nil, fmt.Errorf("geometry: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("geometry: %s is unknown", unknown[0])
	}
	if !meta.IsDefined("SphinxGeometry") {
		return nil, errors.New("geometry: there is no section SphinxGeometry")
	}
	p := file.SphinxGeometry
	if (p.NIKEName == "") == (p.KEMName == "") {
		return nil, errors.New("geometry: one of NIKEName and KEMName must be set, and the other not")
	}
	name := ""
	for _, s := range schemes {
		if n := s.katzenpost(); s.blinds() && strings.EqualFold(n, p.NIKEName) || !s.blinds() && strings.EqualFold(n, p.KEMName) {
			name = s.name()
		}
	}
	if name == "" {
		return nil, fmt.Errorf("geometry: NIKEName %q or KEMName %q is unknown", p.NIKEName, p.KEMName)
	}
	g, err := NewGeometry(name, p.NrHops, p.UserForwardPayloadLength)
	if err != nil {
		return nil, fmt.Errorf("geometry: NrHops or UserForwardPayloadLength: %w", err)
	}
	g.NIKEName, g.KEMName = p.NIKEName, p.KEMName // as spelt: the hash is of that
	want := g.published()
	for _, f := range []struct {
		name      string
		got, want int
	}{
		{"PacketLength", p.PacketLength, want.PacketLength},
		{"HeaderLength", p.HeaderLength, want.HeaderLength},
		{"RoutingInfoLength", p.RoutingInfoLength, want.RoutingInfoLength},
		{"PerHopRoutingInfoLength", p.PerHopRoutingInfoLength, want.PerHopRoutingInfoLength},
		{"SURBLength", p.SURBLength, want.SURBLength},
		{"SphinxPlaintextHeaderLength", p.SphinxPlaintextHeaderLength, want.SphinxPlaintextHeaderLength},
		{"PayloadTagLength", p.PayloadTagLength, want.PayloadTagLength},
		{"ForwardPayloadLength", p.ForwardPayloadLength, want.ForwardPayloadLength},
		{"NextNodeHopLength", p.NextNodeHopLength, want.NextNodeHopLength},
		{"SPRPKeyMaterialLength", p.SPRPKeyMaterialLength, want.SPRPKeyMaterialLength},
	} {
		if f.got != f.want {
			return nil, fmt.Errorf("geometry: %s is %d, and follows as %d", f.name, f.got, f.want)
		}
	}
	return g, nil
}

// canonical is RFC 8949's core deterministic encoding with RFC 7049's order of
// keys, as the engine encodes.
var canonical = func() cbor.EncMode {
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are the library's own
	}
	return mode
}()

// Hash identifies the geometry in a consensus: BLAKE2b-256 of its canonical
// CBOR encoding (Katzenpost core/sphinx/geo).
func (g *Geometry) Hash() []byte {
	encoded, err := canonical.Marshal(g.published())
	if err != nil {
		panic(err) // a struct of numbers and names
	}
	sum := blake2b.Sum256(encoded)
	return sum[:]
}

// flagReplyBlock is the first byte of a plaintext that carries a reply block
// (Katzenpost server/internal/packet, ParseForwardPacket).
const flagReplyBlock = 1

// Plaintext builds the payload that Wrap takes from a reply block and at most
// UserPayloadLength bytes for the recipient, which it pads with zeros.
func (g *Geometry) Plaintext(replyBlock, user []byte) ([]byte, error) {
	if len(replyBlock) != g.ReplyBlockLength {
		return nil, fmt.Errorf("building a payload: reply block of %d bytes, want %d", len(replyBlock), g.ReplyBlockLength)
	}
	if len(user) > g.UserPayloadLength {
		return nil, fmt.Errorf("building a payload: %d bytes, at most %d fit", len(user), g.UserPayloadLength)
	}
	p := make([]byte, g.PayloadLength)
	p[0] = flagReplyBlock
	n := copy(p[plaintextHeaderLength:], replyBlock)
	copy(p[plaintextHeaderLength+n:], user)
	return p, nil
}

// SplitPlaintext is the inverse of Plaintext at the recipient. The slices point
// into payload; the reply block is nil when the sender gave none.
func (g *Geometry) SplitPlaintext(payload []byte) (replyBlock, user []byte, err error) {
	if len(payload) != g.PayloadLength {
		return nil, nil, fmt.Errorf("reading a payload: %d bytes, want %d", len(payload), g.PayloadLength)
	}
	if payload[0] > flagReplyBlock || payload[1] != 0 {
		return nil, nil, errors.New("reading a payload: unknown flags")
	}
	end := plaintextHeaderLength + g.ReplyBlockLength
	if payload[0] == flagReplyBlock {
		replyBlock = payload[plaintextHeaderLength:end]
	}
	return replyBlock, payload[end:], nil
}
