package bench

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// material is what the contenders of one scheme and size work on: a path, a
// packet for its first hop, and a reply that came along it; for us and, with the
// same keys and bytes, for Katzenpost.
type material struct {
	ours   *sphinx.Sphinx
	theirs *peer.Sphinx

	path       []sphinx.Hop
	theirPath  []*katzenpost.PathHop
	private    []sphinx.PrivateKey // of the hops
	theirFirst any                 // the first hop's private key

	plaintext, packet []byte
	reply             []byte // as the last hop passes it on
	keys              sphinx.ReplyKeys

	// What the contenders write to.
	work, replyWork []byte
	keysWork        sphinx.ReplyKeys
	unwrapped       sphinx.Unwrapped
}

// newMaterial makes everything, and checks that Katzenpost and we find the same
// in it.
func newMaterial(g *sphinx.Geometry) (*material, error) {
	m := &material{ours: sphinx.New(g), plaintext: make([]byte, g.PayloadLength), work: make([]byte, g.PacketLength)}
	rand.Read(m.plaintext)
	if err := m.makePath(g); err != nil {
		return nil, err
	}
	packet, err := m.theirs.NewPacket(rand.Reader, m.theirPath, m.plaintext)
	if err != nil {
		return nil, fmt.Errorf("in Katzenpost: %w", err)
	}
	if err := m.check(packet); err != nil {
		return nil, err
	}
	if m.packet, err = m.ours.Wrap(m.path, m.plaintext); err != nil {
		return nil, err
	}
	if err := m.check(m.packet); err != nil {
		return nil, err
	}
	return m, m.makeReply()
}

// makePath makes the hops, and Katzenpost's implementation that they work with.
func (m *material) makePath(g *sphinx.Geometry) (err error) {
	if m.theirs, err = peer.New(g, rand.Reader); err != nil {
		return err
	}
	var hops []peer.Hop
	for i := range g.Hops {
		hop, err := peer.NewHop(g)
		if err != nil {
			return err
		}
		rand.Read(hop.ID[:])
		hop.Delay = 1000
		if i == g.Hops-1 {
			hop.Recipient = &sphinx.RecipientID{1}
		}
		key, err := g.PrivateKey(hop.Private)
		if err != nil {
			return err
		}
		hops, m.path, m.private = append(hops, hop), append(m.path, hop.Hop), append(m.private, key)
	}
	if m.theirPath, err = m.theirs.Path(hops); err != nil {
		return fmt.Errorf("in Katzenpost: %w", err)
	}
	if m.theirFirst, err = m.theirs.PrivateKey(hops[0].Private); err != nil {
		return fmt.Errorf("in Katzenpost: %w", err)
	}
	return nil
}

var errDiffer = errors.New("what we make of a packet is not what Katzenpost makes of it")

// check fails if not both make the same of a packet.
func (m *material) check(packet []byte) error {
	ours, theirs := bytes.Clone(packet), bytes.Clone(packet)
	if err := m.ours.Unwrap(m.private[0], ours, &m.unwrapped); err != nil {
		return err
	}
	_, tag, _, err := m.theirs.Unwrap(m.theirFirst, theirs)
	if err != nil {
		return fmt.Errorf("in Katzenpost: %w", err)
	}
	if !bytes.Equal(ours, theirs) || !bytes.Equal(tag, m.unwrapped.Tag[:]) {
		return errDiffer
	}
	return nil
}

// makeReply takes a reply along the path.
func (m *material) makeReply() error {
	path := append([]sphinx.Hop(nil), m.path...)
	path[len(path)-1].Reply, path[len(path)-1].Delay = &sphinx.ReplyID{1}, 0
	block, keys, err := m.ours.NewReplyBlock(path)
	if err != nil {
		return err
	}
	packet, _, err := m.ours.UseReplyBlock(block, m.plaintext)
	if err != nil {
		return err
	}
	for _, key := range m.private {
		if err := m.ours.Unwrap(key, packet, &m.unwrapped); err != nil {
			return err
		}
	}
	m.reply, m.keys = m.unwrapped.Payload, keys
	m.replyWork, m.keysWork = make([]byte, len(m.reply)), make(sphinx.ReplyKeys, len(keys))

	copy(m.replyWork, m.reply)
	copy(m.keysWork, m.keys)
	ours, err := m.ours.OpenReply(m.replyWork, m.keysWork)
	if err != nil {
		return err
	}
	copy(m.keysWork, m.keys)
	theirs, err := m.theirs.DecryptSURBPayload(bytes.Clone(m.reply), m.keysWork)
	if err != nil {
		return fmt.Errorf("in Katzenpost: %w", err)
	}
	if !bytes.Equal(ours, theirs) || !bytes.Equal(ours, m.plaintext) {
		return errDiffer
	}
	return nil
}

// What the contenders do. Unwrapping changes the packet, and opening a reply its
// keys, so each begins with a copy.

func (m *material) unwrap() error {
	copy(m.work, m.packet)
	return m.ours.Unwrap(m.private[0], m.work, &m.unwrapped)
}

func (m *material) katzenpostUnwrap() error {
	copy(m.work, m.packet)
	_, _, _, err := m.theirs.Unwrap(m.theirFirst, m.work)
	return err
}

func (m *material) wrap() error {
	_, err := m.ours.Wrap(m.path, m.plaintext)
	return err
}

func (m *material) katzenpostWrap() error {
	_, err := m.theirs.NewPacket(rand.Reader, m.theirPath, m.plaintext)
	return err
}

func (m *material) open() error {
	copy(m.replyWork, m.reply)
	copy(m.keysWork, m.keys)
	_, err := m.ours.OpenReply(m.replyWork, m.keysWork)
	return err
}

func (m *material) katzenpostOpen() error {
	copy(m.replyWork, m.reply)
	copy(m.keysWork, m.keys)
	_, err := m.theirs.DecryptSURBPayload(m.replyWork, m.keysWork)
	return err
}

// batch unwraps batches with so many workers. The packets are copied before the
// clock runs, because one goroutine copies them.
func (m *material) batch(packets []sphinx.Packet, workers int) func(times int) (time.Duration, error) {
	return func(times int) (took time.Duration, err error) {
		for range times {
			for i := range packets {
				copy(packets[i].Bytes, m.packet)
			}
			start := time.Now()
			m.ours.UnwrapBatch(m.private[0], packets, workers)
			took += time.Since(start)
			for i := range packets {
				if packets[i].Err != nil {
					return 0, packets[i].Err
				}
			}
		}
		return took, nil
	}
}
