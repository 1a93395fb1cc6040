package link

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/katzenpost/katzenpost/core/wire/commands"
)

// FuzzCommand reads any bytes as a command of either side, as they are or padded
// with zeros to the side's size. What is accepted is written again as it was, and
// Katzenpost reads the same in it.
func FuzzCommand(f *testing.F) {
	g := geometry(f, "x25519", 1, 0)
	frames, cmds := NewFrames(g), commands.NewMixnetCommands(theirGeometry(g))
	for _, initiator := range []bool{true, false} {
		for _, p := range pairs(g, cmds, initiator) {
			b := p.theirs.ToBytes()
			f.Add(initiator, false, b)
			f.Add(initiator, true, b[:len(b)-1])
			f.Add(!initiator, true, b[:commandHeader])
		}
	}
	f.Fuzz(func(t *testing.T, initiator, pad bool, b []byte) {
		length := frames.down
		if initiator {
			length = frames.up
		}
		if pad && len(b) < length {
			b = append(bytes.Clone(b), make([]byte, length-len(b))...)
		}
		before := bytes.Clone(b)
		c, err := frames.parse(b, initiator)
		if !bytes.Equal(b, before) {
			t.Fatal("reading changed the bytes")
		}
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatal(err)
			}
			return
		}
		theirs, err := cmds.FromBytes(bytes.Clone(b))
		if err != nil {
			t.Fatalf("Katzenpost refuses a command of kind %d: %v", c.Kind, err)
		}
		if m, ok := theirs.(*commands.GetConsensus); ok {
			m.MixnetTransmission = len(b) > commandHeader+epochLength
		}
		if !bytes.Equal(written(g, theirs, cmds), b) && c.Kind != KindSendRetrievePacketReply {
			t.Fatalf("Katzenpost writes %T with other bytes", theirs)
		}
		again, err := frames.Make(c)
		if err != nil {
			t.Fatalf("a command of kind %d was read, and cannot be written: %v", c.Kind, err)
		}
		defer again.Release()
		if got := shorten(again).command(); !bytes.Equal(got, b) && c.Kind != KindGetConsensus {
			t.Fatalf("a command of kind %d is written with other bytes", c.Kind)
		}
	})
}

// stream is a connection on which any bytes come, and what is written is counted.
type stream struct {
	in      io.Reader
	written int
}

func (s *stream) Read(b []byte) (int, error)       { return s.in.Read(b) }
func (s *stream) Write(b []byte) (int, error)      { s.written += len(b); return len(b), nil }
func (s *stream) Close() error                     { return nil }
func (s *stream) LocalAddr() net.Addr              { return nil }
func (s *stream) RemoteAddr() net.Addr             { return nil }
func (s *stream) SetDeadline(time.Time) error      { return nil }
func (s *stream) SetReadDeadline(time.Time) error  { return nil }
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

// FuzzHandshakeResponder gives a responder any bytes for its peer's. It answers
// the first message at most, and makes no session.
func FuzzHandshakeResponder(f *testing.F) {
	frames := NewFrames(geometry(f, "x25519", 1, 0))
	me := newParty(f, 32)
	_, ephemeral := scheme.DeriveKeyPair(make([]byte, scheme.SeedSize()))
	e, err := ephemeral.Public().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	first := append([]byte{version}, e...)
	f.Add([]byte{})
	f.Add([]byte{2})
	f.Add(first)
	f.Add(first[:len(first)-1])
	f.Add(append(bytes.Clone(first), make([]byte, messageLengths[3])...))
	f.Add(append([]byte{version}, make([]byte, len(e))...))             // the neutral point
	f.Add(append([]byte{version}, bytes.Repeat([]byte{0xff}, 3000)...)) // no key at all
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &stream{in: bytes.NewReader(b)}
		session, err := Respond(t.Context(), s, me.config(frames))
		if err == nil {
			session.Close()
			t.Fatal("a session was made of nothing")
		}
		if s.written != 0 && (s.written != messageLengths[2] || len(b) < messageLengths[1]) {
			t.Fatalf("%d bytes were answered to %d", s.written, len(b))
		}
	})
}
