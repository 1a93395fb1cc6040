package sphinx

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/katzenpost/hpqc/kem"
	"github.com/katzenpost/hpqc/nike"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"
	"github.com/katzenpost/katzenpost/core/sphinx/commands"
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
	Key       []byte       // the node's public mix key
	Delay     uint32       // milliseconds; every hop of a forward packet and all but the last of a reply need one
	Recipient *RecipientID // at the last hop
	Reply     *ReplyID     // at the last hop of a reply block
}

// ReplyKeys open one reply. They are of one use: OpenReply wipes them.
type ReplyKeys []byte

// Unwrapped is what one hop learns of a packet.
type Unwrapped struct {
	Tag       [32]byte // replay tag: equal for equal packets under one key
	Next      *NodeID  // where the packet goes; nil at the last hop
	Delay     uint32   // milliseconds
	Recipient *RecipientID
	Reply     *ReplyID
	Payload   []byte // at the last hop: the plaintext, or for a reply what OpenReply takes
}

// ErrPacket is wrapped by every error that a damaged or forged packet causes.
var ErrPacket = errors.New("not a valid packet")

// Sphinx makes and opens packets of one geometry. It is safe for concurrent use.
type Sphinx struct {
	geometry *Geometry
	engine   *katzenpost.Sphinx
}

// New returns the packet format of a geometry that [NewGeometry] made.
func New(g *Geometry) (*Sphinx, error) {
	engine, err := katzenpost.FromGeometry(g.katzenpost)
	if err != nil {
		return nil, fmt.Errorf("sphinx: %w", err)
	}
	return &Sphinx{geometry: g, engine: engine}, nil
}

// Geometry returns the sizes that s works with.
func (s *Sphinx) Geometry() *Geometry { return s.geometry }

// Wrap makes a packet of PacketLength bytes that carries a payload of exactly
// PayloadLength bytes along path.
func (s *Sphinx) Wrap(path []Hop, payload []byte) ([]byte, error) {
	hops, err := s.hops(path)
	if err != nil {
		return nil, err
	}
	packet, err := s.engine.NewPacket(rand.Reader, hops, payload)
	if err != nil {
		return nil, fmt.Errorf("wrapping a packet: %w", err)
	}
	return packet, nil
}

// NewReplyBlock makes a reply block of ReplyBlockLength bytes for path, whose
// last hop carries Recipient and Reply, and the keys that open its reply.
func (s *Sphinx) NewReplyBlock(path []Hop) ([]byte, ReplyKeys, error) {
	hops, err := s.hops(path)
	if err != nil {
		return nil, nil, err
	}
	block, keys, err := s.engine.NewSURB(rand.Reader, hops)
	if err != nil {
		return nil, nil, fmt.Errorf("making a reply block: %w", err)
	}
	return block, keys, nil
}

// UseReplyBlock makes the packet that answers with payload, at most
// PayloadLength bytes, and names the node it goes to first.
func (s *Sphinx) UseReplyBlock(block, payload []byte) ([]byte, NodeID, error) {
	if len(payload) > s.geometry.PayloadLength {
		return nil, NodeID{}, fmt.Errorf("using a reply block: payload of %d bytes, at most %d fit", len(payload), s.geometry.PayloadLength)
	}
	padded := make([]byte, s.geometry.PayloadLength)
	copy(padded, payload)
	packet, first, err := s.engine.NewPacketFromSURB(block, padded)
	if err != nil {
		return nil, NodeID{}, fmt.Errorf("using a reply block: %w", err)
	}
	return packet, NodeID(*first), nil
}

// OpenReply decrypts a reply's payload, of PayloadTagLength+PayloadLength bytes,
// in place and returns the PayloadLength bytes the answerer wrote. It wipes keys.
func (s *Sphinx) OpenReply(payload []byte, keys ReplyKeys) ([]byte, error) {
	if len(payload) != s.geometry.PayloadTagLength+s.geometry.PayloadLength {
		return nil, fmt.Errorf("opening a reply of %d bytes: %w", len(payload), ErrPacket)
	}
	plain, err := s.engine.DecryptSURBPayload(payload, keys)
	if err != nil {
		return nil, fmt.Errorf("opening a reply: %w", ErrPacket)
	}
	return plain, nil
}

// Unwrap removes this hop's layer with the node's private mix key. The packet
// is transformed in place into the one to forward. A packet that was not made
// for this key, or was changed in its header, is ErrPacket at once; a changed
// payload is noticed only at the last hop, as the format intends.
func (s *Sphinx) Unwrap(private, packet []byte) (*Unwrapped, error) {
	if len(packet) != s.geometry.PacketLength {
		return nil, fmt.Errorf("unwrapping %d bytes: %w", len(packet), ErrPacket)
	}
	key, err := s.privateKey(private)
	if err != nil {
		return nil, err
	}
	payload, tag, cmds, err := s.engine.Unwrap(key, packet)
	if err != nil {
		return nil, fmt.Errorf("unwrapping: %w", ErrPacket)
	}
	u := &Unwrapped{Payload: payload}
	copy(u.Tag[:], tag)
	for _, cmd := range cmds {
		switch c := cmd.(type) {
		case *commands.NextNodeHop:
			u.Next = (*NodeID)(&c.ID)
		case *commands.NodeDelay:
			u.Delay = c.Delay
		case *commands.Recipient:
			u.Recipient = (*RecipientID)(&c.ID)
		case *commands.SURBReply:
			u.Reply = (*ReplyID)(&c.ID)
		}
	}
	return u, nil
}

// GenerateKey makes a node's mix key pair.
func (s *Sphinx) GenerateKey() (public, private []byte, err error) {
	if g := s.geometry.katzenpost; g.NIKEName != "" {
		pub, priv, err := g.NIKE().GenerateKeyPair()
		if err != nil {
			return nil, nil, fmt.Errorf("making a mix key: %w", err)
		}
		return pub.Bytes(), priv.Bytes(), nil
	}
	pub, priv, err := s.geometry.katzenpost.KEM().GenerateKeyPair()
	if err != nil {
		return nil, nil, fmt.Errorf("making a mix key: %w", err)
	}
	if public, err = pub.MarshalBinary(); err == nil {
		private, err = priv.MarshalBinary()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("encoding a mix key: %w", err)
	}
	return public, private, nil
}

func (s *Sphinx) privateKey(b []byte) (any, error) {
	var key any
	var err error
	if g := s.geometry.katzenpost; g.NIKEName != "" {
		key, err = g.NIKE().UnmarshalBinaryPrivateKey(b)
	} else {
		key, err = g.KEM().UnmarshalBinaryPrivateKey(b)
	}
	if err != nil {
		return nil, fmt.Errorf("reading a private mix key: %w", err)
	}
	return key, nil
}

func (s *Sphinx) hops(path []Hop) ([]*katzenpost.PathHop, error) {
	if len(path) == 0 || len(path) > s.geometry.Hops {
		return nil, fmt.Errorf("path of %d hops, want 1 to %d", len(path), s.geometry.Hops)
	}
	hops := make([]*katzenpost.PathHop, len(path))
	for i, h := range path {
		hop := &katzenpost.PathHop{ID: h.ID}
		var err error
		if hop.NIKEPublicKey, hop.KEMPublicKey, err = s.publicKey(h.Key); err != nil {
			return nil, fmt.Errorf("hop %d: reading its mix key: %w", i+1, err)
		}
		if h.Delay > 0 {
			hop.Commands = append(hop.Commands, &commands.NodeDelay{Delay: h.Delay})
		}
		if h.Recipient != nil {
			hop.Commands = append(hop.Commands, &commands.Recipient{ID: *h.Recipient})
		}
		if h.Reply != nil {
			hop.Commands = append(hop.Commands, &commands.SURBReply{ID: *h.Reply})
		}
		hops[i] = hop
	}
	return hops, nil
}

func (s *Sphinx) publicKey(b []byte) (nike.PublicKey, kem.PublicKey, error) {
	if g := s.geometry.katzenpost; g.NIKEName != "" {
		key, err := g.NIKE().UnmarshalBinaryPublicKey(b)
		return key, nil, err
	}
	key, err := s.geometry.katzenpost.KEM().UnmarshalBinaryPublicKey(b)
	return nil, key, err
}
