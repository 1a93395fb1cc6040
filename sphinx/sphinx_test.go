package sphinx

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
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
	private []byte
}

func nodes(t *testing.T, s *Sphinx, n int) []node {
	t.Helper()
	list := make([]node, n)
	for i := range list {
		public, private, err := s.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		list[i] = node{Hop{Key: public, Delay: uint32(i + 1)}, private}
		rand.Read(list[i].ID[:])
	}
	return list
}

func path(list []node) []Hop {
	p := make([]Hop, len(list))
	for i := range list {
		p[i] = list[i].Hop
	}
	return p
}

// There and back: a packet crosses five hops, its reply four, for every scheme.
func TestRoundTrip(t *testing.T) {
	for scheme := range schemes {
		t.Run(scheme, func(t *testing.T) {
			g, err := NewGeometry(scheme, 5, 1000)
			if err != nil {
				t.Fatal(err)
			}
			s, err := New(g)
			if err != nil {
				t.Fatal(err)
			}

			back := nodes(t, s, 4)
			reply, client := ReplyID{7}, RecipientID{8}
			last := &back[3]
			last.Delay, last.Recipient, last.Reply = 0, &client, &reply
			block, keys, err := s.NewReplyBlock(path(back))
			if err != nil {
				t.Fatal(err)
			}

			there := nodes(t, s, 5)
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
			if *got.Recipient != endpoint || got.Reply != nil {
				t.Errorf("exit saw recipient %v and reply %v", got.Recipient, got.Reply)
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
			if *got.Recipient != client || *got.Reply != reply {
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
		})
	}
}

// carry takes a packet through all nodes and returns what the last one sees.
func carry(t *testing.T, s *Sphinx, list []node, packet []byte) *Unwrapped {
	t.Helper()
	for i, n := range list {
		got, err := s.Unwrap(n.private, packet)
		if err != nil {
			t.Fatalf("hop %d: %v", i+1, err)
		}
		if got.Delay != n.Delay {
			t.Errorf("hop %d: delay %d, want %d", i+1, got.Delay, n.Delay)
		}
		if i == len(list)-1 {
			return got
		}
		if got.Next == nil || *got.Next != list[i+1].ID {
			t.Fatalf("hop %d: wrong next hop", i+1)
		}
	}
	return nil
}

func TestUnwrapRefusesForgedPackets(t *testing.T) {
	g, _ := NewGeometry("x25519", 5, 100)
	s, err := New(g)
	if err != nil {
		t.Fatal(err)
	}
	list := nodes(t, s, 5)
	packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []struct {
		name string
		make func() []byte
	}{
		{"short", func() []byte { return packet[:len(packet)-1] }},
		{"empty", func() []byte { return nil }},
		{"header", func() []byte { p := bytes.Clone(packet); p[g.HeaderLength/2] ^= 1; return p }},
		{"version", func() []byte { p := bytes.Clone(packet); p[0] ^= 1; return p }},
	} {
		if _, err := s.Unwrap(list[0].private, damage.make()); !errors.Is(err, ErrPacket) {
			t.Errorf("%s: %v, want ErrPacket", damage.name, err)
		}
	}
	if _, err := s.Unwrap(list[1].private, bytes.Clone(packet)); !errors.Is(err, ErrPacket) {
		t.Errorf("another node's key: %v, want ErrPacket", err)
	}
}

func TestSplitPlaintextRefusesUnknownFlags(t *testing.T) {
	g, _ := NewGeometry("x25519", 5, 100)
	for _, b := range [][]byte{nil, make([]byte, g.PayloadLength-1), append([]byte{2}, make([]byte, g.PayloadLength-1)...), append([]byte{0, 1}, make([]byte, g.PayloadLength-2)...)} {
		if _, _, err := g.SplitPlaintext(b); err == nil {
			t.Errorf("%d bytes starting % x were accepted", len(b), b[:min(2, len(b))])
		}
	}
}
