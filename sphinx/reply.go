package sphinx

import (
	"crypto/rand"
	"errors"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// ReplyKeys open one reply. They are of one use: OpenReply wipes them.
type ReplyKeys []byte

// NewReplyBlock makes a reply block of ReplyBlockLength bytes for path, and the
// keys that open its reply: those of the hops, the last first, and the
// answerer's.
func (s *Sphinx) NewReplyBlock(path []Hop) ([]byte, ReplyKeys, error) {
	g := s.geometry
	block := make([]byte, g.ReplyBlockLength)
	header, rest := block[:g.HeaderLength], block[g.HeaderLength:]
	first, answerer := rest[:NodeIDLength], rest[NodeIDLength:]
	rand.Read(answerer)
	hops, err := g.header(header, path, true)
	if err != nil {
		return nil, nil, fmt.Errorf("making a reply block: %w", err)
	}
	defer clear(hops)
	copy(first, path[0].ID[:])
	keys := make(ReplyKeys, 0, (len(hops)+1)*payloadKeyLength)
	for i := len(hops) - 1; i >= 0; i-- {
		k := &hops[i].keys
		keys = append(append(keys, k.payloadKey()[:]...), k.nonce()[:]...)
	}
	return block, append(keys, answerer...), nil
}

// UseReplyBlock makes the packet that answers with payload, at most PayloadLength
// bytes, which it fills up with zeros. It names the node the packet goes to first.
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
	cipher.Encrypt(payloadKey(rest[NodeIDLength:]), payloadNonce(rest[NodeIDLength:]), packet[g.HeaderLength:])
	return packet, NodeID(rest), nil
}

// OpenReply decrypts a reply's payload, of PayloadTagLength+PayloadLength bytes,
// in place and returns the PayloadLength bytes the answerer wrote. It wipes keys,
// and allocates nothing where Unwrap does not.
// A reply that is damaged, or that other keys belong to, is an ErrPacket.
func (s *Sphinx) OpenReply(payload []byte, keys ReplyKeys) ([]byte, error) {
	defer clear(keys)
	if len(keys) == 0 || len(keys)%payloadKeyLength != 0 || zero(keys) {
		return nil, errReplyKeys
	}
	if len(payload) != payloadTagLength+s.geometry.PayloadLength {
		return nil, errReply
	}
	// Every hop decrypted what the answerer encrypted once.
	for ; len(keys) > payloadKeyLength; keys = keys[payloadKeyLength:] {
		cipher.Encrypt(payloadKey(keys), payloadNonce(keys), payload)
	}
	cipher.Decrypt(payloadKey(keys), payloadNonce(keys), payload)
	if !zero(payload[:payloadTagLength]) {
		return nil, errReply
	}
	return payload[payloadTagLength:], nil
}

var (
	errReplyKeys = errors.New("opening a reply: its keys are none of a reply block's, or were used before")
	errReply     = fmt.Errorf("opening a reply: %w", ErrPacket)
)

// A payload key stands in front of its nonce, in a reply block and in its keys.
func payloadKey(b []byte) *[cipher.BlockKeySize]byte { return (*[cipher.BlockKeySize]byte)(b) }

func payloadNonce(b []byte) *[cipher.NonceSize]byte {
	return (*[cipher.NonceSize]byte)(b[cipher.BlockKeySize:])
}
