//go:build amd64 && !purego && !race

// Elsewhere libraries that allocate do the ciphers, and the race detector empties
// pools.

package sphinx

import (
	"bytes"
	"crypto/mlkem"
	"testing"
)

// insideMLKEM is how often crypto/mlkem allocates in a decapsulation: the shared
// key and the message that it decrypts, of 32 bytes each. docs/sphinx.md lists it.
const insideMLKEM = 2

func TestAllocationsInside(t *testing.T) {
	decapsulation, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	_, ciphertext := decapsulation.EncapsulationKey().Encapsulate()
	decapsulate := func() { decapsulation.Decapsulate(ciphertext) }
	if n := testing.AllocsPerRun(100, decapsulate); n != insideMLKEM {
		t.Errorf("crypto/mlkem allocates %v times, and docs/sphinx.md says %d", n, insideMLKEM)
	}
}

// A hop allocates nothing but what crypto/mlkem does, whatever the packet is: on
// its way, at its end, a reply or refused.
func TestAllocations(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 5, 2000)
		s := New(g)
		list := nodes(t, g, 5)
		packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		last, err := s.Wrap(path(list[4:]), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		block, keys, err := s.NewReplyBlock(backwards(list))
		if err != nil {
			t.Fatal(err)
		}
		oneHop, _, err := s.NewReplyBlock(backwards(list[4:]))
		if err != nil {
			t.Fatal(err)
		}
		answer, _, err := s.UseReplyBlock(block, nil)
		if err != nil {
			t.Fatal(err)
		}
		answerEnd, _, err := s.UseReplyBlock(oneHop, nil)
		if err != nil {
			t.Fatal(err)
		}
		changed := func(packet []byte, place int) []byte {
			packet = bytes.Clone(packet)
			packet[place] ^= 1
			return packet
		}
		lowOrder := bytes.Clone(packet)
		clear(lowOrder[g.routingOffset()-32:][:32])
		inside := 0.0
		if scheme == "MLKEM768" || scheme == "Xwing" {
			inside = insideMLKEM
		}
		first, end := list[0].private, list[4].private
		for _, c := range []struct {
			name   string
			key    PrivateKey
			packet []byte
			err    error
			want   float64
		}{
			{"a middle hop", first, packet, nil, inside},
			{"a reply's middle hop", first, answer, nil, inside},
			{"the last hop", end, last, nil, inside},
			{"a reply's last hop", end, answerEnd, nil, inside},
			{"a wrong length", first, packet[1:], errLength, 0},
			{"a wrong version", first, changed(packet, 0), errVersion, 0},
			{"a wrong element", first, changed(packet, versionLength), errMAC, inside},
			{"a wrong MAC", first, changed(packet, g.HeaderLength-1), errMAC, inside},
			{"low order", first, lowOrder, errElement, inside},
			{"unknown commands", first, retold(t, g, first, packet, []byte{4}), errCommands, inside},
			{"a changed payload", end, changed(last, len(last)-1), errPayload, inside},
			{"a wiped key", &nikePrivate{}, packet, errKey, 0},
		} {
			if c.err == errElement && scheme == "MLKEM768" {
				continue // it has none
			}
			work := make([]byte, len(c.packet))
			var u Unwrapped
			if n := testing.AllocsPerRun(50, func() {
				copy(work, c.packet)
				if err := s.Unwrap(c.key, work, &u); err != c.err {
					t.Fatalf("%s: %s: %v, want %v", scheme, c.name, err, c.err)
				}
			}); n != c.want {
				t.Errorf("%s: %s: Unwrap allocates %v times, want %v", scheme, c.name, n, c.want)
			}
		}

		reply, used := make([]byte, payloadTagLength+g.PayloadLength), make(ReplyKeys, len(keys))
		for name, keys := range map[string]ReplyKeys{"a damaged reply": keys, "keys that were used": make(ReplyKeys, len(keys))} {
			if n := testing.AllocsPerRun(50, func() {
				copy(used, keys)
				s.OpenReply(reply, used)
			}); n != 0 {
				t.Errorf("%s: OpenReply allocates %v times for %s", scheme, n, name)
			}
		}
	}
}
