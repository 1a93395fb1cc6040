package sphinx

import (
	"errors"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// Lengths in bytes of the names that a header carries.
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

// Hop is one node of a path and what it is told.
type Hop struct {
	ID        NodeID
	Key       PublicKey    // the node's mix key, from [Geometry.PublicKey]
	Delay     uint32       // milliseconds; every hop of a forward packet and all but the last of a reply need one
	Recipient *RecipientID // at the last hop
	Reply     *ReplyID     // at the last hop of a reply block
}

// ReplyKeys open one reply. They are of one use: OpenReply wipes them.
type ReplyKeys []byte

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
	if public, private, err = g.exchange.generateKey(); err != nil {
		return nil, nil, fmt.Errorf("making a mix key: %w", err)
	}
	return public, private, nil
}

// PublicKey parses a node's public mix key.
func (g *Geometry) PublicKey(b []byte) (PublicKey, error) {
	k, err := g.exchange.publicKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading a public mix key: %w", err)
	}
	return k, nil
}

// PrivateKey parses a node's private mix key.
func (g *Geometry) PrivateKey(b []byte) (PrivateKey, error) {
	k, err := g.exchange.privateKey(b)
	if err != nil {
		return nil, fmt.Errorf("reading a private mix key: %w", err)
	}
	return k, nil
}

// Where the parts of a header and the payload begin.
func (g *Geometry) routing() int { return versionLength + g.ElementLength }
func (g *Geometry) mac() int     { return g.HeaderLength - macLength }

// UseReplyBlock makes the packet that answers with payload, at most
// PayloadLength bytes, and names the node it goes to first.
func (s *Sphinx) UseReplyBlock(block, payload []byte) ([]byte, NodeID, error) {
	g := s.geometry
	if len(block) != g.ReplyBlockLength {
		return nil, NodeID{}, fmt.Errorf("using a reply block: %d bytes, want %d", len(block), g.ReplyBlockLength)
	}
	if len(payload) > g.PayloadLength {
		return nil, NodeID{}, fmt.Errorf("using a reply block: payload of %d bytes, at most %d fit", len(payload), g.PayloadLength)
	}
	packet := make([]byte, g.PacketLength)
	header, rest := block[:g.HeaderLength], block[g.HeaderLength:]
	copy(packet, header)
	copy(packet[g.HeaderLength+payloadTagLength:], payload)
	encryptPayload(rest[NodeIDLength:], packet[g.HeaderLength:])
	return packet, NodeID(rest), nil
}

// OpenReply decrypts a reply's payload, of PayloadTagLength+PayloadLength bytes,
// in place and returns the PayloadLength bytes the answerer wrote. It wipes keys,
// and allocates nothing.
func (s *Sphinx) OpenReply(payload []byte, keys ReplyKeys) ([]byte, error) {
	g := s.geometry
	defer clear(keys)
	if len(keys) == 0 || len(keys)%payloadKeyLength != 0 {
		return nil, errReplyKeys
	}
	if len(payload) != payloadTagLength+g.PayloadLength {
		return nil, errReply
	}
	// Every hop decrypted what the answerer encrypted once.
	for ; len(keys) > payloadKeyLength; keys = keys[payloadKeyLength:] {
		encryptPayload(keys, payload)
	}
	decryptPayload(keys, payload)
	if !zero(payload[:payloadTagLength]) {
		return nil, errReply
	}
	return payload[payloadTagLength:], nil
}

var (
	errReplyKeys = errors.New("opening a reply: its keys are none of a reply block's, or were used before")
	errReply     = fmt.Errorf("opening a reply: %w", ErrPacket)
)

// encryptPayload and decryptPayload take the key and behind it the nonce.
func encryptPayload(key, payload []byte) {
	cipher.Encrypt((*[cipher.BlockKeySize]byte)(key), (*[cipher.NonceSize]byte)(key[cipher.BlockKeySize:]), payload)
}

func decryptPayload(key, payload []byte) {
	cipher.Decrypt((*[cipher.BlockKeySize]byte)(key), (*[cipher.NonceSize]byte)(key[cipher.BlockKeySize:]), payload)
}
