//go:build !race

// The race detector empties pools.

package link

import (
	"testing"

	"github.com/katzenpost/nyquist"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// A command costs no memory but what the Noise library takes for its nonces and
// for the next key.
func TestAllocations(t *testing.T) {
	for _, g := range []*sphinx.Geometry{small2k(t), large(t)} {
		frames := NewFrames(g)
		initiator, responder := sessions(t, frames, pipe)
		remember(initiator, responder)
		inside := testing.AllocsPerRun(200, noise(initiator.tx)) + testing.AllocsPerRun(200, noise(responder.rx))
		initiator, responder = sessions(t, frames, pipe)
		remember(initiator, responder)

		f := framed(t, frames, Command{Kind: KindSendPacket, Data: random(g.PacketLength)})
		once := func() {
			if err := initiator.Send(f); err != nil {
				t.Fatal(err)
			}
			var err error
			if f, _, err = responder.Receive(); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(200, once); n > inside {
			t.Errorf("packets of %d bytes: sent and received with %v allocations, %v of them Noise's", g.PacketLength, n, inside)
		} else {
			t.Logf("packets of %d bytes: %v allocations, all of them Noise's", g.PacketLength, n)
		}
		f.Release()

		const batch = 8
		list := make([]*Frame, batch)
		many := func() {
			for i := range list {
				f, err := frames.Make(Command{Kind: KindMessageDelivered, Sequence: uint32(i)})
				if err != nil {
					t.Fatal(err)
				}
				list[i] = f
			}
			if err := initiator.Send(list...); err != nil {
				t.Fatal(err)
			}
			for range list {
				f, _, err := responder.Receive()
				if err != nil {
					t.Fatal(err)
				}
				f.Release()
			}
		}
		if n := testing.AllocsPerRun(100, many); n > batch*inside {
			t.Errorf("packets of %d bytes: %d at once with %v allocations, %v of them Noise's", g.PacketLength, batch, n, batch*inside)
		}
	}
}

// noise does what the library does for one record.
func noise(c *nyquist.CipherState) func() {
	header, body := make([]byte, sealedHeader), make([]byte, 100)
	return func() {
		c.EncryptWithAd(header[:0], nil, header[:lengthLength])
		c.EncryptWithAd(body[:0], nil, body[:50])
		c.Rekey()
	}
}
