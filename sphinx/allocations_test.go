//go:build amd64 && !purego && !race

// Elsewhere libraries that allocate do the ciphers, and the race detector empties
// pools.

package sphinx

import (
	"crypto/mlkem"
	"testing"
)

// The hot path allocates nothing but what crypto/mlkem does.
func TestAllocations(t *testing.T) {
	decapsulation, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	_, ciphertext := decapsulation.EncapsulationKey().Encapsulate()
	inside := testing.AllocsPerRun(100, func() { decapsulation.Decapsulate(ciphertext) })
	t.Logf("crypto/mlkem allocates %v times", inside)
	for scheme, want := range map[string]float64{"x25519": 0, "x25519-kem": 0, "MLKEM768": inside, "Xwing": inside} {
		g := geometry(t, scheme, 5, 2000)
		s := New(g)
		list := nodes(t, g, 5)
		packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		work := make([]byte, len(packet))
		var u Unwrapped
		if n := testing.AllocsPerRun(100, func() {
			copy(work, packet)
			if err := s.Unwrap(list[0].private, work, &u); err != nil {
				t.Fatal(err)
			}
		}); n != want {
			t.Errorf("%s: Unwrap allocates %v times, want %v", scheme, n, want)
		}

		list[4].Delay = 0
		list[4].Recipient, list[4].Reply = new(RecipientID), new(ReplyID)
		_, keys, err := s.NewReplyBlock(path(list))
		if err != nil {
			t.Fatal(err)
		}
		reply, used := make([]byte, payloadTagLength+g.PayloadLength), make(ReplyKeys, len(keys))
		if n := testing.AllocsPerRun(100, func() {
			copy(used, keys)
			s.OpenReply(reply, used) // garbage, opened all the way
		}); n != 0 {
			t.Errorf("%s: OpenReply allocates %v times", scheme, n)
		}
	}
}
