// Package link is a gateway's connection to its entry: Katzenpost's Noise link
// protocol (core/wire), as it is. What a gateway writes are commands of one size:
// in each slot a packet and, behind it in the same write, the acknowledgement of
// a reply or, where there is none, an empty command; and another such
// acknowledgement or empty command half-way to the next slot.
//
// A stock entry pushes a reply only when the one before is acknowledged. There
// is one reply to each packet, so with one acknowledgement a slot, whatever once
// delayed a reply would delay all that follow for ever.
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
	"sync"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

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
	_, key, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
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

// Timeouts of a link.
const (
	handshakeTimeout = 30 * time.Second
	writeTimeout     = 30 * time.Second
)

// Conn is an established connection. One goroutine may write and another read.
type Conn struct {
	session  *wire.Session
	batch    *batchConn
	commands *commands.Commands
	geometry *geo.Geometry
	chunks   chunks
	close    sync.Once
}

// Handshake authenticates conn as the entry's and returns the link. A silence of
// the entry longer than readTimeout ends it: an idle entry says so every 10 s.
func Handshake(ctx context.Context, conn net.Conn, id *Identity, entry *directory.Member, g *geo.Geometry, readTimeout time.Duration) (*Conn, error) {
	batch := &batchConn{Conn: conn}
	session, err := wire.NewSession(&wire.SessionConfig{
		KEMScheme:         kemschemes.ByName(directory.LinkScheme),
		Geometry:          g,
		Authenticator:     expected{entry},
		AdditionalData:    id.client[:],
		AuthenticationKey: id.key,
		RandomReader:      rand.Reader,
		HandshakeTimeout:  handshakeTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
	}, true)
	if err != nil {
		return nil, fmt.Errorf("preparing a link: %w", err)
	}
	if err := session.Initialize(ctx, batch); err != nil {
		session.Close()
		// The engine's error describes the connection, addresses and all.
		return nil, errors.New("the link's handshake failed")
	}
	return &Conn{session: session, batch: batch, commands: session.GetCommands(), geometry: g}, nil
}

// expected authenticates one entry.
type expected struct{ entry *directory.Member }

func (e expected) IsPeerValid(c *wire.PeerCredentials) bool {
	id := e.entry.ID()
	return hmac.Equal(c.AdditionalData, id[:]) && e.entry.LinkKey().Equal(c.PublicKey)
}

// Close ends the connection. Any goroutine may call it, any number of times.
func (c *Conn) Close() { c.close.Do(c.session.Close) }

// ClockSkew is how far this machine's clock is ahead of the entry's.
func (c *Conn) ClockSkew() time.Duration { return c.session.ClockSkew() }

// SendSlot writes what goes at a slot's time: packet, and behind it the
// acknowledgement of the reply with sequence number *ack, or an empty command
// where ack is nil.
func (c *Conn) SendSlot(packet []byte, ack *uint32) error {
	return c.send(&commands.SendPacket{Cmds: c.commands, SphinxPacket: packet}, c.acknowledge(ack))
}

// SendAck writes what goes between two slots: an acknowledgement or an empty
// command, as SendSlot's second.
func (c *Conn) SendAck(ack *uint32) error { return c.send(c.acknowledge(ack)) }

func (c *Conn) acknowledge(ack *uint32) commands.Command {
	if ack == nil {
		return &commands.NoOp{Cmds: c.commands}
	}
	return &commands.MessageDelivered{Cmds: c.commands, Sequence: *ack}
}

// send writes commands as one.
func (c *Conn) send(list ...commands.Command) error {
	c.batch.hold()
	for _, cmd := range list {
		if err := c.session.SendCommand(context.Background(), cmd); err != nil {
			return errors.New("sealing a command failed")
		}
	}
	if err := c.batch.release(); err != nil {
		return errors.New("writing to the entry failed")
	}
	return nil
}

// RequestConsensus asks for an epoch's consensus. One request may be open at a
// time.
func (c *Conn) RequestConsensus(epoch uint64) error {
	if err := c.session.SendCommand(context.Background(), &commands.GetConsensus2{Cmds: c.commands, Epoch: epoch}); err != nil {
		return errors.New("asking for the consensus failed")
	}
	return nil
}

// Receive returns the next *Reply or *Consensus.
func (c *Conn) Receive() (any, error) {
	for {
		cmd, err := c.session.RecvCommand(context.Background())
		if err != nil {
			return nil, errors.New("the entry closed the link or fell silent")
		}
		switch cmd := cmd.(type) {
		case *commands.NoOp:
		case *commands.Message:
			return &Reply{Sequence: cmd.Sequence, ID: cmd.SURBID, Payload: cmd.Payload}, nil
		case *commands.Consensus2:
			if cmd.ErrorCode != commands.ConsensusOk {
				c.chunks = chunks{}
				return &Consensus{}, nil
			}
			doc, err := c.chunks.add(cmd)
			if err != nil {
				return nil, err
			}
			if doc != nil {
				return &Consensus{Raw: doc}, nil
			}
		default:
			return nil, errors.New("the entry sent a command that is none of an entry's")
		}
	}
}

// maxDocument bounds a consensus, compressed and not, in bytes.
const maxDocument = 8 << 20

// chunks joins a consensus that comes compressed and in pieces (Katzenpost
// core/pki/chunking.go, whose reader bounds neither).
type chunks struct {
	next, total uint32
	data        []byte
}

func (c *chunks) add(cmd *commands.Consensus2) ([]byte, error) {
	if c.next == 0 {
		c.total = cmd.ChunkTotal
	}
	if cmd.ChunkNum != c.next || cmd.ChunkTotal != c.total || len(c.data)+len(cmd.Payload) > maxDocument {
		return nil, errors.New("the entry sent a consensus in pieces that do not fit")
	}
	c.data = append(c.data, cmd.Payload...)
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

// batchConn collects the writes of a slot, so that they leave as one.
type batchConn struct {
	net.Conn
	holding bool
	held    []byte
}

func (b *batchConn) Write(p []byte) (int, error) {
	if !b.holding {
		return b.Conn.Write(p)
	}
	b.held = append(b.held, p...)
	return len(p), nil
}

func (b *batchConn) hold() { b.holding, b.held = true, b.held[:0] }

func (b *batchConn) release() error {
	b.holding = false
	b.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, err := b.Conn.Write(b.held)
	return err
}
