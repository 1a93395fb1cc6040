package sphinx

import (
	"errors"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/forget"
)

// Lengths in bytes of the names that a header carries (Katzenpost
// core/sphinx/constants).
const (
	NodeIDLength      = 32
	RecipientIDLength = 32
	ReplyIDLength     = 16
)

type (
	// NodeID names a node: the BLAKE2b-256 hash of its identity key.
	NodeID [NodeIDLength]byte
	// RecipientID names an endpoint at the last node, padded with zeros.
	RecipientID [RecipientIDLength]byte
	// ReplyID lets the maker of a reply block find its keys again.
	ReplyID [ReplyIDLength]byte
)

// Hop is one node of a path and what it is told. Katzenpost's nodes drop, or fall
// over, packets whose hops are told anything else (its server/internal/packet,
// IsForward, IsToUser and IsSURBReply), so no others are made.
type Hop struct {
	ID        NodeID
	Key       PublicKey    // the node's mix key, from [Geometry.PublicKey]
	Delay     uint32       // milliseconds; with 0 a stock node drops the packet when it is busy. None at the last hop of a reply
	Recipient *RecipientID // at the last hop, and at no other
	Reply     *ReplyID     // at the last hop of a reply block, and at no other
}

// ErrPacket is wrapped by every error that a damaged or forged packet causes.
var ErrPacket = errors.New("not a valid packet")

// Sphinx makes and opens packets of one geometry. It is safe for concurrent use.
type Sphinx struct{ geometry *Geometry }

// New returns the packet format of a geometry that [NewGeometry] or
// [ParseGeometry] made.
func New(g *Geometry) *Sphinx { return &Sphinx{g} }

// Geometry returns the sizes that s works with.
func (s *Sphinx) Geometry() *Geometry { return s.geometry }

// GenerateKey makes a node's mix key pair.
func (g *Geometry) GenerateKey() (public, private []byte, err error) {
	forget.Stack(func() { public, private, err = g.exchange.generateKey() })
	if err != nil {
		return nil, nil, fmt.Errorf("making a mix key: %w", err)
	}
	return public, private, nil
}

// PublicKey parses a node's public mix key. One that no secret can be shared with
// is refused.
func (g *Geometry) PublicKey(b []byte) (PublicKey, error) {
	k, err := g.exchange.publicKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading a public mix key: %w", err)
	}
	return k, nil
}

// PrivateKey parses a node's private mix key.
func (g *Geometry) PrivateKey(b []byte) (PrivateKey, error) {
	var k PrivateKey
	var err error
	forget.Stack(func() { k, err = g.exchange.privateKey(b) })
	if err != nil {
		return nil, fmt.Errorf("reading a private mix key: %w", err)
	}
	return k, nil
}
