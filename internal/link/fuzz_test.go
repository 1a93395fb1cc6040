package link

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/kem"
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

// FuzzHandshakeInitiator gives an initiator any bytes for its peer's. It sends the
// first message, which says nothing, and makes no session.
func FuzzHandshakeInitiator(f *testing.F) {
	frames := NewFrames(geometry(f, "x25519", 1, 0))
	me := newParty(f, 32)
	_, static := scheme.DeriveKeyPair(make([]byte, scheme.SeedSize()))
	s, err := static.Public().MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	second := make([]byte, messageLengths[2])
	copy(second[scheme.CiphertextSize():], s)
	f.Add([]byte{})
	f.Add(second)
	f.Add(second[1:])
	f.Add(append(bytes.Clone(second), make([]byte, messageLengths[4])...))
	f.Add(bytes.Repeat([]byte{0xff}, messageLengths[2]))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &stream{in: bytes.NewReader(b)}
		session, err := Initiate(t.Context(), s, me.config(frames))
		if err == nil {
			session.Close()
			t.Fatal("a session was made of nothing")
		}
		if s.written != messageLengths[1] {
			t.Fatalf("%d bytes were sent to a peer who proves nothing", s.written)
		}
	})
}

// FuzzHandshakePeer is the other side of a handshake, with keys of its own, and keeps
// to it in all but what it says: who it is, what stands in a responder's last message,
// and its first command. It gets a session by the right words alone.
func FuzzHandshakePeer(f *testing.F) {
	frames := NewFrames(geometry(f, "x25519", 1, 0))
	me, other := two(f)
	who := identity(bytes.Repeat([]byte{7}, 32), 1)
	idle := framed(f, frames, Command{Kind: KindNoOp}).command()
	packet := framed(f, frames, Command{Kind: KindSendPacket, Data: make([]byte, frames.packet)}).command()
	f.Add(true, who, []byte{}, idle)
	f.Add(false, who, []byte{}, packet)
	f.Add(false, who, []byte{}, idle[1:])
	f.Add(true, who[1:], []byte{}, idle)
	f.Add(true, append(bytes.Clone(who), 0), []byte{}, idle)
	f.Add(true, who, []byte("more"), idle)
	f.Add(true, bytes.Repeat([]byte{0xff}, identityLength), []byte{}, packet)
	f.Add(false, append([]byte{2}, bytes.Repeat([]byte{1}, identityLength-1)...), []byte{}, idle)
	f.Add(false, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, initiate bool, who, last, word []byte) {
		ours, theirs := pipe(t)
		var heard []byte
		cfg := me.config(frames)
		cfg.Peer = func(name []byte, key kem.PublicKey) bool {
			heard = bytes.Clone(name)
			return key.Equal(other.key.Public())
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer theirs.Close()
			peer := other.config(frames)
			peer.Peer = func([]byte, kem.PublicKey) bool { return true }
			act(theirs, &peer, !initiate, who, last, word)
		}()
		var session *Session
		var err error
		if initiate {
			session, err = Initiate(t.Context(), ours, cfg)
		} else {
			session, err = Respond(t.Context(), ours, cfg)
		}
		first, wrong := frames.parse(bytes.Clone(word), !initiate)
		named := len(who) == identityLength && zero(who[1+int(who[0]):1+maxName])
		good := named
		if initiate {
			good = named && len(last) == 0 && wrong == nil && first.Kind == KindNoOp
		}
		if (err == nil) != good {
			t.Fatalf("a session: %v; should there be one: %v", err, good)
		}
		if named && !bytes.Equal(heard, who[1:][:who[0]]) {
			t.Fatalf("the peer said %x, and %x was heard", who, heard)
		}
		if err == nil && !initiate {
			fr, got, err := session.Receive()
			if (err == nil) != (wrong == nil) || err == nil && !same(got, first) {
				t.Fatalf("the first command is %+v, %v, should be %+v, %v", got, err, first, wrong)
			}
			if err == nil {
				fr.Release()
			}
		}
		if session != nil {
			session.Close()
		}
		<-done
	})
}

// act is a side of a handshake that says these things. It ends when the other side
// closes the connection.
func act(conn net.Conn, cfg *Config, initiator bool, who, last, word []byte) {
	h, err := newHandshake(conn, cfg, initiator)
	if err != nil {
		return
	}
	step := func(n int, payload []byte) bool {
		b, err := h.compose(n, payload)
		return err == nil && h.transmit(n, b) == nil
	}
	got := func(n int) bool { _, err := h.receive(n); return err == nil }
	fits := len(who) == identityLength // else the other side waits for more, or refuses
	if initiator && !(step(1, nil) && got(2) && step(3, who) && fits && got(4)) {
		return
	}
	if !initiator && !(got(1) && step(2, who) && fits && got(3) && step(4, last)) {
		return
	}
	tx, fromResponder := h.keys()
	if !initiator {
		tx = fromResponder
	}
	go func() { _, _ = io.Copy(io.Discard, conn) }() // a responder's first command; until conn is closed
	record := make([]byte, sealedHeader+len(word)+macLength)
	copy(record[sealedHeader:], word)
	if seal(tx, record) == nil {
		_, _ = conn.Write(record)
	}
}

// FuzzPieces gives a gateway a consensus in any pieces, of any numbers, with or without
// refusals between them. What it takes is what was sent, whole and in order.
func FuzzPieces(f *testing.F) {
	frames := NewFrames(geometry(f, "x25519", 1, 0))
	// A piece here is: its status 1, its number 4, the number of all 4, its length 2, and
	// so many bytes.
	pieces := func(list ...Command) (b []byte) {
		for _, c := range list {
			b = append(b, c.Status)
			b = binary.BigEndian.AppendUint32(b, c.Chunk)
			b = binary.BigEndian.AppendUint32(b, c.Chunks)
			b = binary.BigEndian.AppendUint16(b, uint16(len(c.Data)))
			b = append(b, c.Data...)
		}
		return b
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = w.Write([]byte("a consensus"))
	w.Close()
	doc := z.Bytes()
	one, two := Command{Chunks: 2, Data: doc[:9]}, Command{Chunk: 1, Chunks: 2, Data: doc[9:]}
	f.Add(pieces(one, two))
	f.Add(pieces(one, Command{Status: StatusGone, Chunks: 1}, one, two, one, two))
	f.Add(pieces(two, one))
	f.Add(pieces(Command{Data: doc}))
	f.Add(pieces(Command{Chunks: 1, Data: doc}, Command{Chunks: 1, Data: append(bytes.Clone(doc), doc...)}))
	f.Add(pieces(Command{Chunks: 1, Data: doc[:len(doc)-1]}))
	f.Add(pieces(Command{Chunks: 1, Data: []byte{31, 139, 8, 0xff}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := &Conn{frames: frames}
		var open []Command // the pieces since the last document or refusal
		for len(b) >= 11 {
			c := Command{Kind: KindConsensus2, Status: b[0], Chunk: binary.BigEndian.Uint32(b[1:]), Chunks: binary.BigEndian.Uint32(b[5:])}
			n := int(binary.BigEndian.Uint16(b[9:]))
			b = b[11:]
			c.Data, b = b[:min(n, len(b))], b[min(n, len(b)):]
			message, err := conn.take(&c)
			if len(conn.chunks.data) > maxDocument {
				t.Fatalf("%d bytes are kept", len(conn.chunks.data))
			}
			if err != nil {
				return
			}
			open = append(open, c)
			if message == nil {
				continue
			}
			raw := message.(*Consensus).Raw
			if (raw == nil) != (c.Status != StatusOK) {
				t.Fatalf("status %d, and %d bytes of a document", c.Status, len(raw))
			}
			if raw != nil {
				var all []byte
				for i, p := range open {
					if p.Status != StatusOK || p.Chunk != uint32(i) || p.Chunks != uint32(len(open)) {
						t.Fatalf("piece %d of %d is number %d of %d, status %d", i, len(open), p.Chunk, p.Chunks, p.Status)
					}
					all = append(all, p.Data...)
				}
				if len(raw) > maxDocument || !bytes.Equal(raw, unzip(t, all)) {
					t.Fatalf("a document of %d bytes is not what was sent", len(raw))
				}
			}
			open = nil
		}
	})
}

func unzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}
