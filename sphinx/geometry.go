package sphinx

import (
	"errors"
	"fmt"
	"strings"

	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	nikeschemes "github.com/katzenpost/hpqc/nike/schemes"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
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

// Geometry holds the sizes, in bytes, that all packets of a network share. Make
// one with [NewGeometry]; its zero value is not usable.
type Geometry struct {
	Scheme             string // the key exchange, a name of schemes
	Hops               int    // the longest path
	PacketLength       int
	HeaderLength       int
	ReplyBlockLength   int
	PayloadLength      int // what Wrap takes: plaintext header, reply block, user payload
	UserPayloadLength  int
	PayloadTagLength   int
	plaintextHeaderLen int
	katzenpost         *geo.Geometry
}

// schemes are the key exchanges that a network may name. hpqc knows more; those
// are left out because nothing is known to run on them, or because they need C.
var schemes = map[string]struct{ nike bool }{
	"Xwing":    {},
	"MLKEM768": {},
	"x25519":   {nike: true},
}

// NewGeometry derives all sizes from the key exchange's name, the longest path
// and the user payload's size in bytes, as Katzenpost's core/sphinx/geo does.
func NewGeometry(scheme string, hops, userPayload int) (*Geometry, error) {
	kind, known := schemes[scheme]
	if !known {
		if strings.Contains(strings.ToLower(scheme), "ctidh") || strings.Contains(strings.ToLower(scheme), "sphincs") {
			return nil, fmt.Errorf("sphinx scheme %q is not in this build: it needs a C library; use %q", scheme, DefaultScheme)
		}
		return nil, fmt.Errorf("sphinx scheme %q is unknown; use %q", scheme, DefaultScheme)
	}
	if hops < 1 || hops > MaxHops {
		return nil, fmt.Errorf("sphinx hops: %d is not between 1 and %d", hops, MaxHops)
	}
	if userPayload < 0 || userPayload > MaxUserPayload {
		return nil, fmt.Errorf("sphinx payload: %d is not between 0 and %d", userPayload, MaxUserPayload)
	}
	var g *geo.Geometry
	if kind.nike {
		g = geo.GeometryFromUserForwardPayloadLength(nikeschemes.ByName(scheme), userPayload, true, hops)
	} else {
		g = geo.KEMGeometryFromUserForwardPayloadLength(kemschemes.ByName(scheme), userPayload, true, hops)
	}
	return &Geometry{
		Scheme:             scheme,
		Hops:               hops,
		PacketLength:       g.PacketLength,
		HeaderLength:       g.HeaderLength,
		ReplyBlockLength:   g.SURBLength,
		PayloadLength:      g.ForwardPayloadLength,
		UserPayloadLength:  g.UserForwardPayloadLength,
		PayloadTagLength:   g.PayloadTagLength,
		plaintextHeaderLen: g.SphinxPlaintextHeaderLength,
		katzenpost:         g,
	}, nil
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
	n := copy(p[g.plaintextHeaderLen:], replyBlock)
	copy(p[g.plaintextHeaderLen+n:], user)
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
	end := g.plaintextHeaderLen + g.ReplyBlockLength
	if payload[0] == flagReplyBlock {
		replyBlock = payload[g.plaintextHeaderLen:end]
	}
	return replyBlock, payload[end:], nil
}

// Hash identifies the geometry in a consensus: BLAKE2b-256 of its canonical
// CBOR encoding (Katzenpost core/sphinx/geo).
func (g *Geometry) Hash() []byte { return g.katzenpost.Hash() }
