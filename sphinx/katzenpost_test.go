package sphinx_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"testing"
	"testing/cryptotest"

	hpqcrand "github.com/katzenpost/hpqc/rand"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// both are the two implementations of one geometry, with a path that either
// knows.
type both struct {
	geometry *sphinx.Geometry
	ours     *sphinx.Sphinx
	theirs   *peer.Sphinx

	hops      []peer.Hop
	path      []sphinx.Hop
	theirPath []*katzenpost.PathHop
	keys      []sphinx.PrivateKey
	theirKeys []any
}

// newBoth makes a path of so many hops with keys of their own, which ends at a
// recipient, or if it leads back with a reply's name too.
func newBoth(t testing.TB, g *sphinx.Geometry, hops int, back bool) *both {
	t.Helper()
	list := make([]peer.Hop, hops)
	for i := range list {
		var err error
		if list[i], err = peer.NewHop(g); err != nil {
			t.Fatal(err)
		}
		rand.Read(list[i].ID[:])
		list[i].Delay = uint32(i) * 0x010203 // of no time at the first
	}
	end(list, back)
	return load(t, g, list)
}

// end tells the last hop of a path what it has to be told.
func end(list []peer.Hop, back bool) {
	last := &list[len(list)-1]
	last.Recipient = new(sphinx.RecipientID)
	rand.Read(last.Recipient[:])
	if back {
		last.Reply, last.Delay = new(sphinx.ReplyID), 0
		rand.Read(last.Reply[:])
	}
}

// load makes both implementations' keys of a path.
func load(t testing.TB, g *sphinx.Geometry, list []peer.Hop) *both {
	t.Helper()
	b := &both{geometry: g, ours: sphinx.New(g), hops: list}
	var err error
	if b.theirs, err = peer.New(g, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		h := &list[i]
		if h.Key, err = g.PublicKey(h.Public); err != nil {
			t.Fatal(err)
		}
		ours, err := g.PrivateKey(h.Private)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := b.theirs.PrivateKey(h.Private)
		if err != nil {
			t.Fatal(err)
		}
		b.path, b.keys, b.theirKeys = append(b.path, h.Hop), append(b.keys, ours), append(b.theirKeys, theirs)
	}
	if b.theirPath, err = b.theirs.Path(b.hops); err != nil {
		t.Fatal(err)
	}
	return b
}

// carry takes a packet along the path, at each hop through both implementations,
// which must find the same in every byte, and returns the payload at its end.
func (b *both) carry(t *testing.T, packet []byte) []byte {
	t.Helper()
	ours, theirs := bytes.Clone(packet), bytes.Clone(packet)
	var u sphinx.Unwrapped
	for i := range b.hops {
		if err := b.ours.Unwrap(b.keys[i], ours, &u); err != nil {
			t.Fatalf("hop %d: %v", i+1, err)
		}
		want, err := b.theirs.Open(b.theirKeys[i], theirs)
		if err != nil {
			t.Fatalf("hop %d: Katzenpost: %v", i+1, err)
		}
		if difference := compare(&u, &want); difference != "" {
			t.Fatalf("hop %d: %s", i+1, difference)
		}
		if u.Last {
			if i != len(b.hops)-1 {
				t.Fatalf("hop %d takes itself for the last", i+1)
			}
			return u.Payload
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("hop %d forwards another packet than Katzenpost", i+1)
		}
	}
	t.Fatal("the last hop would forward the packet")
	return nil
}

// compare tells in what two hops' findings differ.
func compare(ours, theirs *sphinx.Unwrapped) string {
	a, b := *ours, *theirs
	if !bytes.Equal(a.Payload, b.Payload) {
		return "another payload than Katzenpost"
	}
	a.Payload, b.Payload = nil, nil
	if fmt.Sprint(a) != fmt.Sprint(b) {
		return fmt.Sprintf("finds %+v, Katzenpost %+v", a, b)
	}
	return ""
}

// seed makes all randomness of both implementations begin anew, the same each
// time.
func seed(t *testing.T, b *both, n uint64) {
	t.Helper()
	cryptotest.SetGlobalRandom(t, n)
	hpqcrand.Reader = rand.Reader
	var err error
	if b.theirs, err = peer.New(b.geometry, rand.Reader); err != nil {
		t.Fatal(err)
	}
	if b.theirPath, err = b.theirs.Path(b.hops); err != nil {
		t.Fatal(err)
	}
	for i, h := range b.hops {
		if b.theirKeys[i], err = b.theirs.PrivateKey(h.Private); err != nil {
			t.Fatal(err)
		}
	}
}

// shapes are the geometries and paths that are compared with Katzenpost: all
// lengths of a path, as long as the header allows and shorter, and all sizes of
// payload.
func shapes() (list []struct{ max, hops, payload int }) {
	add := func(max, hops, payload int) {
		list = append(list, struct{ max, hops, payload int }{max, hops, payload})
	}
	for hops := 1; hops <= 10; hops++ {
		add(hops, hops, 1000)
	}
	for hops := 1; hops < sphinx.DefaultHops; hops++ {
		add(sphinx.DefaultHops, hops, 1000)
	}
	for _, payload := range []int{0, 1, 2000, 30_000, sphinx.MaxUserPayload} {
		add(sphinx.DefaultHops, sphinx.DefaultHops, payload)
	}
	add(sphinx.MaxHops, sphinx.MaxHops, 1000)
	return list
}

// Given the same randomness, Katzenpost and we make the same packets and reply
// blocks, and find the same in them at every hop; a reply block of either is used
// by the other, and its reply opened by the first.
func TestSameAsKatzenpost(t *testing.T) {
	previous := hpqcrand.Reader
	defer func() { hpqcrand.Reader = previous }()
	for _, scheme := range sphinx.Schemes() {
		for i, shape := range shapes() {
			t.Run(fmt.Sprintf("%s/%d of %d hops/%d bytes", scheme, shape.hops, shape.max, shape.payload), func(t *testing.T) {
				g, err := sphinx.NewGeometry(scheme, shape.max, shape.payload)
				if err != nil {
					t.Fatal(err)
				}
				seed := func(b *both) { seed(t, b, uint64(i)) }
				there, back := newBoth(t, g, shape.hops, false), newBoth(t, g, shape.hops, true)

				payload := make([]byte, g.PayloadLength)
				rand.Read(payload)
				seed(there)
				ours, err := there.ours.Wrap(there.path, payload)
				if err != nil {
					t.Fatal(err)
				}
				seed(there)
				theirs, err := there.theirs.NewPacket(rand.Reader, there.theirPath, payload)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(ours, theirs) {
					t.Fatal("we make another packet than Katzenpost")
				}
				if !bytes.Equal(there.carry(t, ours), payload) {
					t.Error("the payload changed on its way")
				}

				seed(back)
				block, keys, err := back.ours.NewReplyBlock(back.path)
				if err != nil {
					t.Fatal(err)
				}
				seed(back)
				theirBlock, theirKeys, err := back.theirs.NewSURB(rand.Reader, back.theirPath)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(block, theirBlock) || !bytes.Equal(keys, theirKeys) {
					t.Fatal("we make another reply block than Katzenpost, or keep other keys")
				}
				answer, first, err := back.theirs.NewPacketFromSURB(block, payload)
				if err != nil {
					t.Fatal(err)
				}
				ourAnswer, ourFirst, err := back.ours.UseReplyBlock(theirBlock, payload)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(ourAnswer, answer) || ourFirst != *first {
					t.Fatal("we use a reply block otherwise than Katzenpost")
				}
				reply := back.carry(t, answer)
				opened, err := back.ours.OpenReply(bytes.Clone(reply), keys)
				if err != nil || !bytes.Equal(opened, payload) {
					t.Errorf("we do not open what Katzenpost answered: %v", err)
				}
				opened, err = back.theirs.DecryptSURBPayload(reply, theirKeys)
				if err != nil || !bytes.Equal(opened, payload) {
					t.Errorf("Katzenpost does not open what we answered: %v", err)
				}
			})
		}
	}
}

// Without a common randomness: what one makes the other opens.
func TestKatzenpostBothWays(t *testing.T) {
	for _, scheme := range sphinx.Schemes() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			g, err := sphinx.NewGeometry(scheme, sphinx.DefaultHops, 1000)
			if err != nil {
				t.Fatal(err)
			}
			b := newBoth(t, g, sphinx.DefaultHops, false)
			payload := make([]byte, g.PayloadLength)
			rand.Read(payload)
			ours, err := b.ours.Wrap(b.path, payload)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := b.theirs.NewPacket(rand.Reader, b.theirPath, payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, packet := range [][]byte{ours, theirs} {
				if !bytes.Equal(b.carry(t, packet), payload) {
					t.Error("the payload changed on its way")
				}
			}
		})
	}
}

// A packet with one flipped bit, at any place and before any hop, is refused by
// both or by neither: at once if the bit is in the header, at the last hop if it
// is in the payload, and in a reply's payload by whoever opens it.
func TestFlippedBit(t *testing.T) {
	const hops = 2
	for _, scheme := range sphinx.Schemes() {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			g, err := sphinx.NewGeometry(scheme, hops, 0)
			if err != nil {
				t.Fatal(err)
			}
			there, back := newBoth(t, g, hops, false), newBoth(t, g, hops, true)
			packet, err := there.ours.Wrap(there.path, make([]byte, g.PayloadLength))
			if err != nil {
				t.Fatal(err)
			}
			there.flip(t, packet, nil)

			block, keys, err := back.ours.NewReplyBlock(back.path)
			if err != nil {
				t.Fatal(err)
			}
			answer, _, err := back.ours.UseReplyBlock(block, nil)
			if err != nil {
				t.Fatal(err)
			}
			back.flip(t, answer, keys)
		})
	}
}

// flip takes a packet along the path, and before each hop with each byte
// changed. A reply's keys are there if it is one.
func (b *both) flip(t *testing.T, packet []byte, keys sphinx.ReplyKeys) {
	t.Helper()
	for from := range b.hops {
		for place := range packet {
			b.follow(t, packet, from, place, 1<<(place%8), keys)
		}
		// The highest bit of an X25519 element means nothing to anyone but the MAC.
		b.follow(t, packet, from, 2+b.geometry.ElementLength-1, 0x80, keys)
		if err := b.ours.Unwrap(b.keys[from], packet, new(sphinx.Unwrapped)); err != nil {
			t.Fatal(err)
		}
	}
}

// follow changes a byte of a packet before a hop, and takes it along the rest of
// the path until either implementation refuses it.
func (b *both) follow(t *testing.T, packet []byte, from, place int, change byte, keys sphinx.ReplyKeys) {
	t.Helper()
	ours := bytes.Clone(packet)
	ours[place] ^= change
	theirs := bytes.Clone(ours)
	refusedAt := len(b.hops) - 1
	switch {
	case place < b.geometry.HeaderLength:
		refusedAt = from // all of the header is under the MAC
	case keys != nil:
		refusedAt = len(b.hops) // by whoever opens the reply
	}
	var u sphinx.Unwrapped
	for i := from; i < len(b.hops); i++ {
		err := b.ours.Unwrap(b.keys[i], ours, &u)
		want, theirErr := b.theirs.Open(b.theirKeys[i], theirs)
		if (err == nil) != (theirErr == nil) || (err != nil) != (i == refusedAt) {
			t.Fatalf("byte %d changed before hop %d: hop %d says %v, Katzenpost %v", place, from+1, i+1, err, theirErr)
		}
		if err != nil {
			return
		}
		if difference := compare(&u, &want); difference != "" || !u.Last && !bytes.Equal(ours, theirs) {
			t.Fatalf("byte %d changed before hop %d: hop %d differs from Katzenpost: %s", place, from+1, i+1, difference)
		}
	}
	_, theirErr := b.theirs.DecryptSURBPayload(bytes.Clone(u.Payload), bytes.Clone(keys))
	_, err := b.ours.OpenReply(u.Payload, bytes.Clone(keys))
	if !errors.Is(err, sphinx.ErrPacket) || theirErr == nil {
		t.Fatalf("byte %d changed before hop %d: opening the reply, we say %v, Katzenpost %v", place, from+1, err, theirErr)
	}
}

// A geometry of ours is Katzenpost's in every size, and has its hash.
func TestGeometryAsKatzenpost(t *testing.T) {
	for _, scheme := range sphinx.Schemes() {
		for _, shape := range shapes() {
			g, err := sphinx.NewGeometry(scheme, shape.max, shape.payload)
			if err != nil {
				t.Fatal(err)
			}
			p, err := peer.New(g, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			theirs := p.Geometry()
			if err := theirs.Validate(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(g.Hash(), theirs.Hash()) {
				t.Errorf("%s, %d hops, %d bytes: another geometry than %v", scheme, shape.max, shape.payload, theirs)
			}
			parsed, err := sphinx.ParseGeometry([]byte(theirs.Display()))
			if err != nil {
				t.Fatalf("reading Katzenpost's:\n%s\n%v", theirs.Display(), err)
			}
			if *parsed != *g {
				t.Errorf("read as %+v, want %+v", parsed, g)
			}
		}
	}
}
