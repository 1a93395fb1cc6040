package link

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Identity is what a gateway shows its entry: a key and a name made when the
// process starts and kept in memory only, so that an entry cannot tell one
// run's gateway from another's.
type Identity struct {
	key    kem.PrivateKey
	client sphinx.RecipientID
}

// NewIdentity makes an identity.
func NewIdentity() (*Identity, error) {
	_, key, err := scheme.GenerateKeyPair()
	if err != nil {
		return nil, fmt.Errorf("making a link key: %w", err)
	}
	id := &Identity{key: key}
	rand.Read(id.client[:])
	return id, nil
}

// Client is the recipient that reply blocks name at the entry.
func (i *Identity) Client() sphinx.RecipientID { return i.client }

// Reply is a reply that the entry pushed.
type Reply struct {
	Sequence uint32 // to acknowledge
	ID       sphinx.ReplyID
	Payload  []byte // for sphinx.OpenReply
}

// Consensus is the entry's answer to RequestConsensus: the document, or nil if
// the entry has none for that epoch.
type Consensus struct{ Raw []byte }

// Clocked is the sequence number in the first command of a gateway of ours: it
// acknowledges nothing, and asks the entry for a clock. A stock entry ignores it.
const Clocked = 1<<32 - 1

// Conn is a gateway's connection to its entry. One goroutine may write and another
// read.
//
// What a gateway writes are commands of one size. To an entry of ours that is a
// packet in each slot and nothing else, and the entry writes by a clock, too: a
// reply, a piece of the consensus or a dummy. Its Messages have the sequence number
// 0, by which the gateway knows it.
//
// To a stock entry a gateway writes, behind the packet and in the same write, the
// acknowledgement of a reply or, where there is none, an empty command; and another
// such acknowledgement or empty command half-way to the next slot. A stock entry
// pushes a reply only when the one before is acknowledged. There is one reply to
// each packet, so with one acknowledgement a slot, whatever once delayed a reply
// would delay all that follow for ever.
type Conn struct {
	session *Session
	frames  *Frames
	chunks  chunks
	clocked atomic.Bool // the entry is ours
}

// Handshake authenticates conn as the entry's and returns the link. A silence of
// the entry longer than readTimeout ends it: an idle entry says so every 10 s.
func Handshake(ctx context.Context, conn net.Conn, id *Identity, entry *directory.Member, g *sphinx.Geometry, readTimeout time.Duration) (*Conn, error) {
	frames := NewFrames(g)
	session, err := Initiate(ctx, conn, Config{
		Frames: frames, Key: id.key, Name: id.client[:], ReadTimeout: readTimeout,
		Peer: func(name []byte, key kem.PublicKey) bool {
			want := entry.ID()
			return hmac.Equal(name, want[:]) && entry.LinkKey().Equal(key)
		},
	})
	if err != nil {
		return nil, err
	}
	c := &Conn{session: session, frames: frames}
	if err := c.send(Command{Kind: KindMessageDelivered, Sequence: Clocked}); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close ends the connection. Any goroutine may call it, any number of times.
func (c *Conn) Close() { c.session.Close() }

// ClockSkew is how far this machine's clock is ahead of the entry's.
func (c *Conn) ClockSkew() time.Duration { return c.session.ClockSkew() }

// SendSlot writes what goes at a slot's time: packet, and behind it the
// acknowledgement of the reply with sequence number *ack, or an empty command
// where ack is nil.
func (c *Conn) SendSlot(packet []byte, ack *uint32) error {
	if c.clocked.Load() {
		return c.send(Command{Kind: KindSendPacket, Data: packet})
	}
	return c.send(Command{Kind: KindSendPacket, Data: packet}, acknowledge(ack))
}

// SendAck writes what goes between two slots: an acknowledgement or an empty
// command, as SendSlot's second; to an entry of ours nothing.
func (c *Conn) SendAck(ack *uint32) error {
	if c.clocked.Load() {
		return nil
	}
	return c.send(acknowledge(ack))
}

func acknowledge(ack *uint32) Command {
	if ack == nil {
		return Command{Kind: KindNoOp}
	}
	return Command{Kind: KindMessageDelivered, Sequence: *ack}
}

// RequestConsensus asks for an epoch's consensus. One request may be open at a
// time.
func (c *Conn) RequestConsensus(epoch uint64) error {
	return c.send(Command{Kind: KindGetConsensus2, Epoch: epoch})
}

// send writes commands as one.
func (c *Conn) send(list ...Command) error {
	frames := make([]*Frame, 0, 2)
	for _, command := range list {
		f, err := c.frames.Make(command)
		if err != nil {
			return err
		}
		frames = append(frames, f)
	}
	return c.session.Send(frames...)
}

// Receive returns the next *Reply or *Consensus.
func (c *Conn) Receive() (any, error) {
	for {
		f, command, err := c.session.Receive()
		if err != nil {
			return nil, err
		}
		message, err := c.take(&command)
		f.Release()
		if message != nil || err != nil {
			return message, err
		}
	}
}

// take returns what a command is to a gateway: a message, a part of one, or
// nothing. It keeps none of the command's Data.
func (c *Conn) take(command *Command) (any, error) {
	switch command.Kind {
	case KindNoOp:
		return nil, nil
	case KindMessage:
		if command.Sequence == 0 {
			c.clocked.Store(true)
		}
		return &Reply{Sequence: command.Sequence, ID: command.Reply, Payload: bytes.Clone(command.Data)}, nil
	case KindConsensus2:
		if command.Status != StatusOK {
			c.chunks = chunks{}
			return &Consensus{}, nil
		}
		doc, err := c.chunks.add(command)
		if doc == nil || err != nil {
			return nil, err
		}
		return &Consensus{Raw: doc}, nil
	}
	return nil, errors.New("the entry sent a command that is none of an entry's")
}

// chunks joins a consensus that comes compressed and in pieces (Katzenpost
// core/pki/chunking.go, whose reader bounds neither).
type chunks struct {
	next, total uint32
	data        []byte
}

func (c *chunks) add(command *Command) ([]byte, error) {
	if c.next == 0 {
		c.total = command.Chunks
	}
	if command.Chunk != c.next || command.Chunk >= command.Chunks || command.Chunks != c.total || len(c.data)+len(command.Data) > maxDocument {
		return nil, errors.New("the entry sent a consensus in pieces that do not fit")
	}
	c.data = append(c.data, command.Data...)
	if c.next++; c.next < c.total {
		return nil, nil
	}
	data := c.data
	*c = chunks{}
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, errors.New("the entry sent a consensus that is not compressed as agreed")
	}
	doc, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil || len(doc) > maxDocument || len(doc) == 0 {
		return nil, errors.New("the entry sent a consensus that is damaged or too large")
	}
	return doc, nil
}
