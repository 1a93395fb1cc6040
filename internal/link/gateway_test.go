package link

import (
	"bytes"
	"compress/gzip"
	"context"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/hpqc/kem"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// gateway is a gateway that is connected to an entry.
func gateway(t *testing.T, g *sphinx.Geometry) (*Conn, *Session, *Identity) {
	t.Helper()
	identity, _, err := signschemes.ByName(directory.SignatureScheme).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	member := &directory.Member{Role: directory.RoleEntry}
	entry := newParty(t, 0)
	name := hash.Sum256From(identity)
	entry.name = name[:]
	member.SetKeys(identity, entry.key.Public())
	id, err := NewIdentity()
	if err != nil {
		t.Fatal(err)
	}

	a, b := tcp(t)
	cfg := entry.config(NewFrames(g))
	var client []byte
	cfg.Peer = func(name []byte, _ kem.PublicKey) bool { client = name; return true }
	made := make(chan *Session)
	go func() {
		s, _ := Respond(context.Background(), b, cfg)
		made <- s
	}()
	conn, err := Handshake(context.Background(), a, id, member, g, time.Minute)
	session := <-made
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); session.Close() })
	if want := id.Client(); !bytes.Equal(client, want[:]) {
		t.Error("the entry is told another name than reply blocks have")
	}
	return conn, session, id
}

func TestGateway(t *testing.T) {
	g := small2k(t)
	conn, entry, _ := gateway(t, g)
	packet, payload, ack := random(g.PacketLength), random(g.PayloadTagLength+g.PayloadLength), uint32(5)
	for _, step := range []struct {
		do   func() error
		want []Command
	}{
		{func() error { return nil }, []Command{{Kind: KindMessageDelivered, Sequence: Clocked}}},
		{func() error { return conn.SendSlot(packet, nil) }, []Command{{Kind: KindSendPacket, Data: packet}, {Kind: KindNoOp}}},
		{func() error { return conn.SendSlot(packet, &ack) }, []Command{{Kind: KindSendPacket, Data: packet}, {Kind: KindMessageDelivered, Sequence: 5}}},
		{func() error { return conn.SendAck(nil) }, []Command{{Kind: KindNoOp}}},
		{func() error { return conn.SendAck(&ack) }, []Command{{Kind: KindMessageDelivered, Sequence: 5}}},
		{func() error { return conn.RequestConsensus(77) }, []Command{{Kind: KindGetConsensus2, Epoch: 77}}},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		for _, want := range step.want {
			f, got, err := entry.Receive()
			if err != nil || !same(got, want) {
				t.Fatalf("the entry receives %+v, %v, want %+v", got.Kind, err, want.Kind)
			}
			f.Release()
		}
	}
	if err := conn.SendSlot(packet[1:], nil); err == nil {
		t.Error("a packet of another length was sent")
	}

	if err := entry.Send(
		framed(t, entry.frames, Command{Kind: KindNoOp}),
		framed(t, entry.frames, Command{Kind: KindMessage, Sequence: 6, Reply: sphinx.ReplyID{1}, Data: payload}),
		framed(t, entry.frames, Command{Kind: KindConsensus2, Status: StatusNotFound, Chunks: 1}),
		framed(t, entry.frames, Command{Kind: KindMessage, Sequence: 7, Data: payload}),
	); err != nil {
		t.Fatal(err)
	}
	m, err := conn.Receive()
	if r, ok := m.(*Reply); err != nil || !ok || r.Sequence != 6 || r.ID != (sphinx.ReplyID{1}) || !bytes.Equal(r.Payload, payload) {
		t.Fatalf("%T, %v", m, err)
	}
	first := m.(*Reply)
	m, err = conn.Receive()
	if c, ok := m.(*Consensus); err != nil || !ok || c.Raw != nil {
		t.Fatalf("%T, %v", m, err)
	}
	if _, err := conn.Receive(); err != nil || !bytes.Equal(first.Payload, payload) {
		t.Error("a reply's payload did not outlive the next", err)
	}
	if conn.ClockSkew() < 0 || conn.ClockSkew() > time.Minute {
		t.Errorf("the clock is ahead by %v", conn.ClockSkew())
	}

	entry.Send(framed(t, entry.frames, Command{Kind: KindDisconnect}))
	if _, err := conn.Receive(); err == nil {
		t.Error("a gateway is told to disconnect, and does not")
	}
	conn.Close()
	conn.Close()
	if err := conn.SendAck(nil); err == nil {
		t.Error("a closed connection sends")
	}
}

// To an entry that shows a clock, a gateway writes a packet in each slot and nothing
// else.
func TestClockedGateway(t *testing.T) {
	g := small2k(t)
	conn, entry, _ := gateway(t, g)
	packet, payload, ack := random(g.PacketLength), random(g.PayloadTagLength+g.PayloadLength), uint32(0)
	if err := entry.Send(framed(t, entry.frames, Command{Kind: KindMessage, Data: payload})); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Receive(); err != nil {
		t.Fatal(err)
	}
	for _, do := range []func() error{
		func() error { return conn.SendSlot(packet, nil) },
		func() error { return conn.SendAck(nil) },
		func() error { return conn.SendSlot(packet, &ack) },
		func() error { return conn.SendAck(&ack) },
		func() error { return conn.RequestConsensus(77) },
	} {
		if err := do(); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []Command{
		{Kind: KindMessageDelivered, Sequence: Clocked},
		{Kind: KindSendPacket, Data: packet}, {Kind: KindSendPacket, Data: packet}, {Kind: KindGetConsensus2, Epoch: 77},
	} {
		f, got, err := entry.Receive()
		if err != nil || !same(got, want) {
			t.Fatalf("the entry receives %+v, %v, want %+v", got.Kind, err, want.Kind)
		}
		f.Release()
	}
}

func zip(t *testing.T, b []byte) []byte {
	t.Helper()
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

// A consensus comes as Katzenpost cuts it, and whatever does not fit together, or
// is too large, is refused.
func TestConsensusInPieces(t *testing.T) {
	g := small2k(t)
	document := random(20_000)
	frames := NewFrames(g)
	pieces, err := pki.Chunk(document, frames.MaxChunk())
	if err != nil {
		t.Fatal(err)
	}
	if len(pieces) < 3 {
		t.Fatal("there are too few pieces to mix up")
	}
	n := uint32(len(pieces))
	whole := make([]Command, n)
	for i, p := range pieces {
		whole[i] = Command{Kind: KindConsensus2, Chunk: uint32(i), Chunks: n, Data: p}
	}
	one := func(data []byte) []Command {
		return []Command{{Kind: KindConsensus2, Chunks: 1, Data: data}}
	}
	change := func(f func(c []Command)) []Command {
		c := copyOf(whole)
		f(c)
		return c
	}
	for name, c := range map[string]struct {
		commands []Command
		want     []byte
	}{
		"whole":                  {whole, document},
		"after a refusal":        {append([]Command{whole[0], {Kind: KindConsensus2, Status: StatusGone, Chunks: 1}}, whole...), document},
		"one missing":            {append(copyOf(whole[:1]), whole[2:]...), nil},
		"not from the first on":  {whole[1:], nil},
		"of another number":      {change(func(c []Command) { c[1].Chunks++ }), nil},
		"one changed":            {change(func(c []Command) { c[1].Data = random(len(c[1].Data)) }), nil},
		"not compressed":         {one(document[:100]), nil},
		"nothing":                {one(zip(t, nil)), nil},
		"a document of zeros":    {one(zip(t, make([]byte, 5000))), make([]byte, 5000)},
		"all of a Consensus":     {[]Command{{Kind: KindConsensus}}, nil},
		"a piece of none":        {change(func(c []Command) { c[0].Chunks = 0; c[0].Data = zip(t, document[:9]) })[:1], nil},
		"an empty piece of none": {[]Command{{Kind: KindConsensus2}}, nil},
	} {
		conn := &Conn{frames: frames}
		var got *Consensus
		var err error
		for _, command := range c.commands {
			var m any
			if m, err = conn.take(&command); err != nil {
				break
			}
			if m != nil {
				got = m.(*Consensus)
			}
		}
		if (err == nil) != (c.want != nil) || err == nil && !bytes.Equal(got.Raw, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}

	bomb := zip(t, make([]byte, maxDocument+1))
	conn := &Conn{frames: frames}
	for i := 0; ; i++ {
		piece := bomb[:min(len(bomb), frames.MaxChunk())]
		bomb = bomb[len(piece):]
		m, err := conn.take(&Command{Kind: KindConsensus2, Chunk: uint32(i), Chunks: uint32(i) + 1 + uint32(len(bomb)+frames.MaxChunk()-1)/uint32(frames.MaxChunk()), Data: piece})
		if m != nil {
			t.Fatal("a bomb was a consensus")
		}
		if err != nil {
			break
		}
	}
	conn = &Conn{frames: frames}
	piece := random(frames.MaxChunk())
	for i := range uint32(2 * maxDocument / len(piece)) {
		if _, err = conn.take(&Command{Kind: KindConsensus2, Chunk: i, Chunks: 1 << 31, Data: piece}); err != nil {
			break
		}
	}
	if err == nil || len(conn.chunks.data) > maxDocument {
		t.Errorf("%d bytes of pieces are kept: %v", len(conn.chunks.data), err)
	}
}

func copyOf(c []Command) []Command { return append([]Command(nil), c...) }
