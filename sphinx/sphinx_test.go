package sphinx

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"
)

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
	list[n-1].Recipient = new(RecipientID)
	return list
}

// backwards makes a path one of a reply.
func backwards(list []node) []Hop {
	last := &list[len(list)-1]
	last.Delay, last.Reply = 0, new(ReplyID)
	return path(list)
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
			backwards(back)
			last.Recipient, last.Reply = &client, &reply
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
			if _, err := s.OpenReply(got.Payload, keys); err != errReplyKeys {
				t.Errorf("opening a reply again: %v", err)
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
		if got.Delay != n.Delay || got.HasDelay != (n.Reply == nil) {
			t.Errorf("hop %d: delay %d (%v), want %d", i+1, got.Delay, got.HasDelay, n.Delay)
		}
		if last := i == len(list)-1; got.Last != last || !last && got.Next != list[i+1].ID {
			t.Fatalf("hop %d: wrong next hop", i+1)
		}
	}
	return got
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
