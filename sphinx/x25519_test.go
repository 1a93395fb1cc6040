package sphinx

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/blake2b"
)

var basePoint = [curveLength]byte{9}

func unhex(t *testing.T, s string) [curveLength]byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != curveLength {
		t.Fatalf("%q is not %d bytes: %v", s, curveLength, err)
	}
	return [curveLength]byte(b)
}

// The test vectors of RFC 7748, Section 5.2.
func TestLadderVectors(t *testing.T) {
	for _, v := range []struct{ scalar, u, want string }{
		{
			"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
			"e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
			"c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
		},
		{
			"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
			"e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
			"95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
		},
	} {
		scalar, u := unhex(t, v.scalar), unhex(t, v.u)
		var got [curveLength]byte
		if !ladder(&got, &scalar, &u) || got != unhex(t, v.want) {
			t.Errorf("ladder(%s, %s) = %x, want %s", v.scalar, v.u, got, v.want)
		}
	}
	k, u := basePoint, basePoint
	for range 1000 {
		var next [curveLength]byte
		ladder(&next, &k, &u)
		k, u = next, k
	}
	if k != unhex(t, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51") {
		t.Errorf("after 1,000 iterations %x", k)
	}
}

// The ladder is crypto/ecdh's, on the curve and off it, and may write where it
// reads.
func TestLadderAsECDH(t *testing.T) {
	for range 200 {
		var scalar, u, got [curveLength]byte
		rand.Read(scalar[:])
		rand.Read(u[:])
		key, err := ecdh.X25519().NewPrivateKey(scalar[:])
		if err != nil {
			t.Fatal(err)
		}
		point, err := ecdh.X25519().NewPublicKey(u[:])
		if err != nil {
			t.Fatal(err)
		}
		want, err := key.ECDH(point)
		if err != nil {
			t.Fatal(err)
		}
		if !ladder(&got, &scalar, &u) || string(got[:]) != string(want) {
			t.Fatalf("ladder(%x, %x) = %x, want %x", scalar, u, got, want)
		}
		ladder(&u, &scalar, &u)
		if u != got {
			t.Fatalf("in place %x, want %x", u, got)
		}
		newExponent(&scalar).element(&got)
		if string(got[:]) != string(key.PublicKey().Bytes()) {
			t.Fatalf("the public key of %x is %x, want %x", scalar, got, key.PublicKey().Bytes())
		}
	}
}

// lowOrder are the coordinates of the points of low order, of curve and twist,
// with all their spellings in 32 bytes but the highest bit (RFC 7748, Section 7).
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func TestLadderRefusesLowOrder(t *testing.T) {
	for _, text := range lowOrder {
		for _, high := range []byte{0, 0x80} {
			u := unhex(t, text)
			u[31] |= high
			var scalar, got [curveLength]byte
			rand.Read(scalar[:])
			if ladder(&got, &scalar, &u) {
				t.Errorf("%x gives the secret %x", u, got)
			}
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
		for _, text := range lowOrder {
			u := unhex(t, text)
			copy(packet[g.routing()-curveLength:], u[:])
			if err := s.Unwrap(list[0].private, packet, new(Unwrapped)); err != errElement {
				t.Errorf("%s: element %s: %v", scheme, text, err)
			}
			copy(public[len(public)-curveLength:], u[:])
			if list[1].Key, err = g.PublicKey(public); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Wrap(path(list), make([]byte, g.PayloadLength)); err == nil {
				t.Errorf("%s: a packet was made for the key %s", scheme, text)
			}
			if _, _, err := s.NewReplyBlock(path(list)); err == nil {
				t.Errorf("%s: a reply block was made for the key %s", scheme, text)
			}
		}
	}
}

// One ladder with the exponent does what a ladder for each factor does, which is
// how the paper has it.
func TestExponent(t *testing.T) {
	for range 100 {
		var secret, u [curveLength]byte
		rand.Read(secret[:])
		rand.Read(u[:])
		ladder(&u, &u, &basePoint) // a point of the curve
		e := newExponent(&secret)
		element, shared := basePoint, u
		ladder(&element, &secret, &element)
		ladder(&shared, &secret, &shared)
		for hop := range MaxHops {
			var got [curveLength]byte
			scalar := e.clamped()
			if scalar[0]&7 != 0 || scalar[31]>>6 != 1 {
				t.Fatalf("hop %d: %x is not clamped", hop+1, scalar)
			}
			if e.element(&got); got != element {
				t.Fatalf("hop %d: element %x, want %x", hop+1, got, element)
			}
			if ladder(&got, &scalar, &u); got != shared {
				t.Fatalf("hop %d: secret %x, want %x", hop+1, got, shared)
			}
			var factor [curveLength]byte
			rand.Read(factor[:])
			e.blind(&factor)
			ladder(&element, &factor, &element)
			ladder(&shared, &factor, &shared)
		}
	}
}

func TestElGamalHash(t *testing.T) {
	for range 100 {
		var shared, public, ephemeral [curveLength]byte
		rand.Read(shared[:])
		rand.Read(public[:])
		rand.Read(ephemeral[:])
		h, err := blake2b.NewXOF(secretLength, shared[:])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(public[:])
		h.Write(ephemeral[:])
		var got, want [secretLength]byte
		if _, err := h.Read(want[:]); err != nil {
			t.Fatal(err)
		}
		if elGamalHash(&got, &shared, &public, &ephemeral); got != want {
			t.Fatalf("elGamalHash = %x, want %x", got, want)
		}
	}
}
