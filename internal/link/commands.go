package link

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Kind is what a command is; its value is the byte on the line. Of Katzenpost's
// commands (core/wire/commands) these are the ones that a network of mixes needs:
// votes and descriptors go to authorities over another kind of session, and what
// its storage replicas say is none of ours.
type Kind byte

const (
	// Both sides.
	KindNoOp       Kind = 0
	KindDisconnect Kind = 1

	// The initiator's.
	KindSendPacket         Kind = 2
	KindSendRetrievePacket Kind = 3 // with it a gateway that polls asks for a reply
	KindMessageDelivered   Kind = 5 // acknowledges a Message
	KindGetConsensus       Kind = 18
	KindGetConsensus2      Kind = 32

	// The responder's.
	KindSendRetrievePacketReply Kind = 4
	KindMessage                 Kind = 17 // a reply, to the gateway that it is for
	KindConsensus               Kind = 19 // the document, whole
	KindConsensus2              Kind = 31 // a piece of the document, compressed
)

// What a Consensus or a Consensus2 says of the document.
const (
	StatusOK       = 0
	StatusNotFound = 1 // later perhaps
	StatusGone     = 2
)

// Command is a command as a value. Which fields it has depends on its kind; the
// others are zero.
type Command struct {
	Kind Kind

	Sequence uint32         // Message, MessageDelivered
	Reply    sphinx.ReplyID // Message, SendRetrievePacketReply
	Epoch    uint64         // GetConsensus, GetConsensus2
	Status   byte           // Consensus, Consensus2
	Chunk    uint32         // Consensus2: which piece this is, from 0
	Chunks   uint32         // Consensus2: of how many

	// Data is the packet of a SendPacket and a SendRetrievePacket; of a Message
	// and a SendRetrievePacketReply the payload for sphinx.OpenReply, which the
	// latter may lack; of a Consensus and a Consensus2 the document or the piece.
	Data []byte
}

// Lengths in bytes of a command's parts.
const (
	commandHeader  = 1 + 1 + 4 // kind, a reserved byte, the length of what follows
	sequenceLength = 4
	epochLength    = 8
	statusLength   = 1
	chunkLength    = statusLength + 4 + 4
	messageHeader  = sequenceLength + sphinx.ReplyIDLength
)

// maxDocument bounds a consensus, compressed and not, in bytes. Katzenpost bounds
// none.
const maxDocument = 8 << 20

// sizes are the lengths in bytes that follow from a geometry.
type sizes struct {
	packet  int
	payload int // of a reply: tag and payload
	up      int // what an initiator's commands are padded to, and every empty command
	down    int // what a responder's are
}

func newSizes(g *sphinx.Geometry) sizes {
	return sizes{
		packet:  g.PacketLength,
		payload: g.PayloadTagLength + g.PayloadLength,
		up:      commandHeader + g.PacketLength,
		// A Message is padded as if a whole packet were in it.
		down: commandHeader + messageHeader + g.PacketLength,
	}
}

// largest is the length of the largest command that an initiator or a responder
// sends, but for a Consensus.
func (z sizes) largest(initiator bool) int {
	if initiator {
		return z.up
	}
	// Katzenpost cuts a consensus into pieces of the length that commands are padded
	// to, and puts their headers before that.
	return commandHeader + chunkLength + z.down
}

// total is the length of a command of a kind, header and padding included, whose
// header says that n bytes follow; ok says whether such a command exists.
func (z sizes) total(kind Kind, n int) (length int, ok bool) {
	switch kind {
	case KindNoOp, KindDisconnect:
		return z.up, n == 0
	case KindSendPacket, KindSendRetrievePacket:
		return z.up, n == z.packet
	case KindMessageDelivered:
		return z.up, n == sequenceLength
	case KindGetConsensus, KindGetConsensus2:
		return z.up, n == epochLength
	case KindMessage:
		return z.down, n == messageHeader+z.payload
	case KindSendRetrievePacketReply:
		return z.down, n == sphinx.ReplyIDLength || n == sphinx.ReplyIDLength+z.payload
	case KindConsensus:
		return commandHeader + n, n >= statusLength && n <= statusLength+maxDocument
	case KindConsensus2:
		return max(z.down, commandHeader+n), n >= chunkLength && n <= chunkLength+z.down
	}
	return 0, false
}

// sentBy says whether an initiator, or a responder, sends commands of a kind.
func (k Kind) sentBy(initiator bool) bool {
	switch k {
	case KindNoOp, KindDisconnect:
		return true
	case KindSendPacket, KindSendRetrievePacket, KindMessageDelivered, KindGetConsensus, KindGetConsensus2:
		return initiator
	case KindSendRetrievePacketReply, KindMessage, KindConsensus, KindConsensus2:
		return !initiator
	}
	return false
}

// parse reads a command that an initiator, or a responder, sent. Data points into
// b.
func (z sizes) parse(b []byte, initiator bool) (Command, error) {
	if len(b) < commandHeader {
		return Command{}, errCommand
	}
	kind, n := Kind(b[0]), binary.BigEndian.Uint32(b[2:])
	if b[1] != 0 || !kind.sentBy(initiator) || n > uint32(len(b)-commandHeader) {
		return Command{}, errCommand
	}
	length, ok := z.total(kind, int(n))
	if !ok || len(b) != length && !(kind == KindGetConsensus && len(b) == commandHeader+epochLength) {
		return Command{}, errCommand // Katzenpost can be told not to pad a GetConsensus
	}
	body, padding := b[commandHeader:][:n], b[commandHeader+n:]
	if !zero(padding) {
		return Command{}, errCommand
	}
	c := Command{Kind: kind}
	switch kind {
	case KindSendPacket, KindSendRetrievePacket:
		c.Data = body
	case KindMessageDelivered:
		c.Sequence = binary.BigEndian.Uint32(body)
	case KindGetConsensus, KindGetConsensus2:
		c.Epoch = binary.BigEndian.Uint64(body)
	case KindMessage:
		c.Sequence = binary.BigEndian.Uint32(body)
		c.Reply = sphinx.ReplyID(body[sequenceLength:])
		c.Data = body[messageHeader:]
	case KindSendRetrievePacketReply:
		c.Reply = sphinx.ReplyID(body)
		c.Data = body[sphinx.ReplyIDLength:]
	case KindConsensus:
		c.Status = body[0]
		c.Data = body[statusLength:]
	case KindConsensus2:
		c.Status = body[0]
		c.Chunk = binary.BigEndian.Uint32(body[statusLength:])
		c.Chunks = binary.BigEndian.Uint32(body[statusLength+4:])
		c.Data = body[chunkLength:]
	}
	return c, nil
}

var errCommand = fmt.Errorf("reading a command: %w", ErrProtocol)

// before is how many bytes stand between a command's header and its Data.
func (k Kind) before() int {
	switch k {
	case KindMessageDelivered:
		return sequenceLength
	case KindGetConsensus, KindGetConsensus2:
		return epochLength
	case KindMessage:
		return messageHeader
	case KindSendRetrievePacketReply:
		return sphinx.ReplyIDLength
	case KindConsensus:
		return statusLength
	case KindConsensus2:
		return chunkLength
	}
	return 0
}

// length is how long a command is, header and padding included; the error is that
// its kind or the length of its Data is none.
func (z sizes) length(c *Command) (int, error) {
	length, ok := z.total(c.Kind, c.Kind.before()+len(c.Data))
	if !ok {
		return 0, fmt.Errorf("writing a command of kind %d: it has no Data of %d bytes", c.Kind, len(c.Data))
	}
	return length, nil
}

// put writes a command over all of b, which is as long as length says. Data may
// lie anywhere in b: it is moved first.
func put(b []byte, c *Command) {
	body := b[commandHeader:]
	at := c.Kind.before()
	if len(c.Data) > 0 && &body[at] != &c.Data[0] {
		copy(body[at:], c.Data)
	}
	b[0], b[1] = byte(c.Kind), 0
	binary.BigEndian.PutUint32(b[2:], uint32(at+len(c.Data)))
	switch c.Kind {
	case KindMessageDelivered:
		binary.BigEndian.PutUint32(body, c.Sequence)
	case KindGetConsensus, KindGetConsensus2:
		binary.BigEndian.PutUint64(body, c.Epoch)
	case KindMessage:
		binary.BigEndian.PutUint32(body, c.Sequence)
		copy(body[sequenceLength:], c.Reply[:])
	case KindSendRetrievePacketReply:
		copy(body, c.Reply[:])
	case KindConsensus:
		body[0] = c.Status
	case KindConsensus2:
		body[0] = c.Status
		binary.BigEndian.PutUint32(body[statusLength:], c.Chunk)
		binary.BigEndian.PutUint32(body[statusLength+4:], c.Chunks)
	}
	clear(body[at+len(c.Data):])
}

// zero says whether b is nothing but zeros. It is no secret where it is not.
func zero(b []byte) bool {
	for len(b) > len(zeros) {
		if !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}

var zeros [1024]byte
