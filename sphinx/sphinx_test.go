package sphinx

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

func TestNewGeometry(t *testing.T) {
	g, err := NewGeometry(DefaultScheme, DefaultHops, DefaultUserPayload)
	if err != nil {
		t.Fatal(err)
	}
	if g.PacketLength != 44_458 || g.HeaderLength != 7_164 {
		t.Errorf("default packet %d, header %d; want 44458 and 7164", g.PacketLength, g.HeaderLength)
	}
	for _, bad := range []struct {
		scheme        string
		hops, payload int
		want          string
	}{
		{"CTIDH1024-X25519", 5, 1000, "not in this build"},
		{"Sphincs+", 5, 1000, "not in this build"},
		{"rot13", 5, 1000, "unknown"},
		{DefaultScheme, 0, 1000, "hops"},
		{DefaultScheme, 21, 1000, "hops"},
		{DefaultScheme, 5, -1, "payload"},
		{DefaultScheme, 5, MaxUserPayload + 1, "payload"},
	} {
		if _, err := NewGeometry(bad.scheme, bad.hops, bad.payload); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("NewGeometry(%q, %d, %d) = %v, want an error with %q", bad.scheme, bad.hops, bad.payload, err, bad.want)
		}
	}
}

// node is a hop with its private key.
type node struct {
	Hop
	private PrivateKey
}

func nodes(t testing.TB, g *Geometry, n int) []node {
	t.Helper()
	list := make([]node, n)
	for i := range list {
		public, private, err := g.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		list[i].Delay = uint32(i + 1)
		if list[i].Key, err = g.PublicKey(public); err != nil {
			t.Fatal(err)
		}
		if list[i].private, err = g.PrivateKey(private); err != nil {
			t.Fatal(err)
		}
		rand.Read(list[i].ID[:])
	}
	return list
}

func geometry(t testing.TB, scheme string, hops, userPayload int) *Geometry {
	t.Helper()
	g, err := NewGeometry(scheme, hops, userPayload)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// There and back: a packet crosses five hops, its reply four, for every scheme.
func TestRoundTrip(t *testing.T) {
	for _, scheme := range Schemes() {
		t.Run(scheme, func(t *testing.T) {
			g := geometry(t, scheme, 5, 1000)
			s := New(g)

			back := nodes(t, g, 4)
			reply, client := ReplyID{7}, RecipientID{8}
			last := &back[3]
			last.Delay, last.Recipient, last.Reply = 0, &client, &reply
			block, keys, err := s.NewReplyBlock(path(back))
			if err != nil {
				t.Fatal(err)
			}

			there := nodes(t, g, 5)
			endpoint := RecipientID{9}
			there[4].Recipient = &endpoint
			question := []byte("is anyone there?")
			plain, err := g.Plaintext(block, question)
			if err != nil {
				t.Fatal(err)
			}
			packet, err := s.Wrap(path(there), plain)
			if err != nil {
				t.Fatal(err)
			}
			got := carry(t, s, there, packet)
			if !got.HasRecipient || got.Recipient != endpoint || got.HasReply {
				t.Errorf("exit saw recipient %v and reply %v", got.Recipient, got.HasReply)
			}
			gotBlock, user, err := g.SplitPlaintext(got.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(gotBlock, block) || !bytes.HasPrefix(user, question) || len(user) != 1000 {
				t.Error("the exit does not see what was sent")
			}

			answer := []byte("yes")
			packet, first, err := s.UseReplyBlock(gotBlock, answer)
			if err != nil {
				t.Fatal(err)
			}
			if first != back[0].ID {
				t.Error("the reply goes to another first hop")
			}
			got = carry(t, s, back, packet)
			if got.Recipient != client || !got.HasReply || got.Reply != reply {
				t.Error("the entry does not learn whose reply this is")
			}
			opened, err := s.OpenReply(got.Payload, keys)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(opened, answer) {
				t.Error("the reply reads otherwise than it was written")
			}
			if !bytes.Equal(keys, make([]byte, len(keys))) {
				t.Error("the reply's keys were not wiped")
			}
			if _, err := s.OpenReply(got.Payload, keys[:0]); err == nil {
				t.Error("a reply was opened without keys")
			}
		})
	}
}

func path(list []node) []Hop {
	p := make([]Hop, len(list))
	for i := range list {
		p[i] = list[i].Hop
	}
	return p
}

// carry takes a packet through all nodes and returns what the last one sees.
func carry(t *testing.T, s *Sphinx, list []node, packet []byte) *Unwrapped {
	t.Helper()
	got := new(Unwrapped)
	for i, n := range list {
		if err := s.Unwrap(n.private, packet, got); err != nil {
			t.Fatalf("hop %d: %v", i+1, err)
		}
		if got.Delay != n.Delay {
			t.Errorf("hop %d: delay %d, want %d", i+1, got.Delay, n.Delay)
		}
		if last := i == len(list)-1; got.Last != last || !last && got.Next != list[i+1].ID {
			t.Fatalf("hop %d: wrong next hop", i+1)
		}
	}
	return got
}

func TestUnwrapRefusesForgedPackets(t *testing.T) {
	g := geometry(t, "x25519", 5, 100)
	s := New(g)
	list := nodes(t, g, 5)
	packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name string
		make func() []byte
	}{
		{"short", func() []byte { return packet[:len(packet)-1] }},
		{"long", func() []byte { return append(bytes.Clone(packet), 0) }},
		{"empty", func() []byte { return nil }},
		{"header", func() []byte { p := bytes.Clone(packet); p[g.HeaderLength/2] ^= 1; return p }},
		{"version", func() []byte { p := bytes.Clone(packet); p[0] ^= 1; return p }},
		{"low order", func() []byte { p := bytes.Clone(packet); clear(p[versionLength:][:x25519.Size]); return p }},
	} {
		bad := damage.make()
		before := bytes.Clone(bad)
		var u Unwrapped
		if err := s.Unwrap(list[0].private, bad, &u); !errors.Is(err, ErrPacket) {
			t.Errorf("%s: %v, want ErrPacket", damage.name, err)
		}
		if !bytes.Equal(bad, before) {
			t.Errorf("%s: the packet was changed", damage.name)
		}
	}
	if err := s.Unwrap(list[1].private, bytes.Clone(packet), new(Unwrapped)); !errors.Is(err, ErrPacket) {
		t.Errorf("another node's key: %v, want ErrPacket", err)
	}
}

func TestSplitPlaintextRefusesUnknownFlags(t *testing.T) {
	g := geometry(t, "x25519", 5, 100)
	for _, b := range [][]byte{nil, make([]byte, g.PayloadLength-1), append([]byte{2}, make([]byte, g.PayloadLength-1)...), append([]byte{0, 1}, make([]byte, g.PayloadLength-2)...)} {
		if _, _, err := g.SplitPlaintext(b); err == nil {
			t.Errorf("%d bytes starting % x were accepted", len(b), b[:min(2, len(b))])
		}
	}
}

func BenchmarkUnwrap(b *testing.B) {
	for _, scheme := range Schemes() {
		for _, size := range []int{2000, 30_000} {
			b.Run(fmt.Sprintf("%s/%d", scheme, size), func(b *testing.B) {
				g := geometry(b, scheme, 5, size)
				s := New(g)
				list := nodes(b, g, 5)
				packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
				if err != nil {
					b.Fatal(err)
				}
				work := make([]byte, len(packet))
				var u Unwrapped
				b.ReportAllocs()
				for b.Loop() {
					copy(work, packet)
					if err := s.Unwrap(list[0].private, work, &u); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// An element of low order is refused by a hop, and a key of low order by a
// sender, in every scheme that has a curve.
func TestLowOrder(t *testing.T) {
	for _, scheme := range []string{"x25519", "x25519-kem", "Xwing"} {
		g := geometry(t, scheme, 2, 1)
		s := New(g)
		list := nodes(t, g, 2)
		packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		public, _, err := g.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range [][x25519.Size]byte{{0}, {1}} {
			copy(packet[g.routing()-x25519.Size:], u[:])
			if err := s.Unwrap(list[0].private, packet, new(Unwrapped)); err != errElement {
				t.Errorf("%s: element %x: %v", scheme, u, err)
			}
			copy(public[len(public)-x25519.Size:], u[:])
			if list[1].Key, err = g.PublicKey(public); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Wrap(path(list), make([]byte, g.PayloadLength)); err == nil {
				t.Errorf("%s: a packet was made for the key %x", scheme, u)
			}
			if _, _, err := s.NewReplyBlock(path(list)); err == nil {
				t.Errorf("%s: a reply block was made for the key %x", scheme, u)
			}
		}
	}
}
