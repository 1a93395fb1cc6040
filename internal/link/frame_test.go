package link

import (
	"bytes"
	"testing"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// A packet goes over three lines in one frame: received, unwrapped, sent on. At the
// last node it is a payload, and at the entry that is a gateway's a Message.
func TestInPlace(t *testing.T) {
	for _, g := range []*sphinx.Geometry{small2k(t), large(t)} {
		var (
			frames = NewFrames(g)
			s      = sphinx.New(g)
			path   = make([]sphinx.Hop, 3)
			keys   = make([]sphinx.PrivateKey, len(path))
			reply  = sphinx.ReplyID{9}
		)
		for i := range path {
			public, private, err := g.GenerateKey()
			if err != nil {
				t.Fatal(err)
			}
			path[i] = sphinx.Hop{ID: sphinx.NodeID{byte(i)}, Delay: 1}
			if path[i].Key, err = g.PublicKey(public); err != nil {
				t.Fatal(err)
			}
			if keys[i], err = g.PrivateKey(private); err != nil {
				t.Fatal(err)
			}
		}
		path[2].Recipient, path[2].Reply, path[2].Delay = &sphinx.RecipientID{1}, &reply, 0
		block, replyKeys, err := s.NewReplyBlock(path)
		if err != nil {
			t.Fatal(err)
		}
		text := random(g.PayloadLength)
		packet, _, err := s.UseReplyBlock(block, text)
		if err != nil {
			t.Fatal(err)
		}

		f := framed(t, frames, Command{Kind: KindSendPacket, Data: packet})
		var u sphinx.Unwrapped
		for _, key := range keys {
			from, to := sessions(t, frames, pipe)
			remember(from, to)
			if err := from.Send(f); err != nil {
				t.Fatal(err)
			}
			var c Command
			if f, c, err = to.Receive(); err != nil {
				t.Fatal(err)
			}
			if err := s.Unwrap(key, c.Data, &u); err != nil {
				t.Fatal(err)
			}
		}
		if !u.HasReply || u.Reply != reply {
			t.Fatal("it is no reply")
		}

		if &f.buf[sealedHeader+commandHeader+g.HeaderLength] != &u.Payload[0] {
			t.Error("the payload was copied")
		}
		if err := f.Set(Command{Kind: KindMessage, Sequence: 4, Reply: u.Reply, Data: u.Payload}); err != nil {
			t.Fatal(err)
		}
		gateway, entry := sessions(t, frames, pipe)
		remember(entry, gateway)
		if err := entry.Send(f); err != nil {
			t.Fatal(err)
		}
		f, c, err := gateway.Receive()
		if err != nil || c.Kind != KindMessage || c.Sequence != 4 || c.Reply != reply {
			t.Fatal(c.Kind, err)
		}
		if got, err := s.OpenReply(c.Data, replyKeys); err != nil || !bytes.Equal(got, text) {
			t.Errorf("the reply is another: %v", err)
		}
		f.Release()
	}
}

// Set moves Data that lies in the frame, wherever it is, and leaves nothing of what
// was there before.
func TestSet(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	f := framed(t, frames, Command{Kind: KindSendPacket, Data: random(g.PacketLength)})
	defer f.Release()
	for _, from := range []int{0, 7, 20, g.PacketLength - frames.payload} {
		data := f.buf[sealedHeader+commandHeader:][from:][:frames.payload]
		want := Command{Kind: KindMessage, Sequence: 1, Reply: sphinx.ReplyID{2}, Data: bytes.Clone(data)}
		c := want
		c.Data = data
		if err := f.Set(c); err != nil {
			t.Fatal(err)
		}
		got, err := frames.parse(f.command(), false)
		if err != nil || !same(got, want) {
			t.Errorf("Data at %d: %v", from, err)
		}
	}
	if err := f.Set(Command{Kind: KindConsensus, Data: make([]byte, frames.room)}); err == nil {
		t.Error("a frame grew")
	}
	if err := f.Set(Command{Kind: KindSendPacket}); err == nil {
		t.Error("a packet of no bytes was set")
	}
}

func TestRelease(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	for _, c := range []Command{
		{Kind: KindSendPacket, Data: random(g.PacketLength)},
		{Kind: KindConsensus, Data: random(2 * g.PacketLength)}, // has a frame of its own
	} {
		f := framed(t, frames, c)
		f.Release()
		if !zero(f.buf) {
			t.Error("a frame is not wiped")
		}
		for name, use := range map[string]func(){
			"released":     f.Release,
			"written over": func() { f.Set(Command{Kind: KindNoOp}) },
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("a frame that was released was %s", name)
					}
				}()
				use()
			}()
		}
	}
	lent := count(frames)
	for range 10 {
		f := framed(t, frames, Command{Kind: KindConsensus, Data: make([]byte, 2*g.PacketLength)})
		f.Release()
		if g := frames.get(frames.room); len(g.buf) != frames.room+aroundCommand {
			t.Error("a frame of another size is lent out")
		} else {
			g.Release()
		}
	}
	if *lent > 10 {
		t.Errorf("%d frames were made", *lent)
	}
}
