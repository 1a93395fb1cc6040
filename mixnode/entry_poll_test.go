package mixnode

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// A gateway that polls is told at once whether there is a reply, and the packet with
// which it asks goes to a mix as every other does: a mix lets go of who sends it
// anything else.
func TestPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleEntry)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		id := sphinx.RecipientID{1}
		s, _ := guestLine(t, ctx, n, id)
		defer s.Close()
		f, err := n.frames.Make(link.Command{
			Kind: link.KindSendRetrievePacket, Data: n.wrap(t, n.epoch(), sphinx.Hop{Delay: 1}, sphinx.Hop{ID: there, Recipient: new(sphinx.RecipientID)}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(f); err != nil {
			t.Fatal(err)
		}
		f, c, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if c.Kind != link.KindSendRetrievePacketReply || len(c.Data) != 0 {
			t.Errorf("who polls is sent a command of kind %d with %d bytes", c.Kind, len(c.Data))
		}
		f.Release()
		var list []*packet
		for range 100 { // its tag must be on disk
			time.Sleep(100 * time.Millisecond)
			n.mixer.move()
			if list = n.mixer.take(there, nil, 9); len(list) > 0 {
				break
			}
		}
		if len(list) != 1 {
			t.Fatalf("%d packets go to the mix, want 1", len(list))
		}
		ours, theirs := net.Pipe()
		got := make(chan link.Kind, 1)
		scheme := kemschemes.ByName(directory.LinkScheme)
		config := func() link.Config {
			_, key, err := scheme.GenerateKeyPair()
			if err != nil {
				t.Error(err)
			}
			return link.Config{Frames: n.frames, Key: key, Peer: func([]byte, kem.PublicKey) bool { return true }}
		}
		go func() {
			defer close(got)
			mix, err := link.Respond(ctx, theirs, config())
			if err != nil {
				return
			}
			defer mix.Close()
			if f, c, err := mix.Receive(); err == nil {
				f.Release()
				got <- c.Kind
			}
		}()
		line, err := link.Initiate(ctx, ours, config())
		if err != nil {
			t.Fatal(err)
		}
		defer line.Close()
		if err := line.Send(list[0].frame); err != nil {
			t.Fatal(err)
		}
		if kind := <-got; kind != link.KindSendPacket {
			t.Errorf("the mix is sent a command of kind %d", kind)
		}
	})
}
