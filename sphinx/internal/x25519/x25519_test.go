package x25519

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"testing"
)

var basePoint = [Size]byte{9}

func unhex(t *testing.T, s string) [Size]byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != Size {
		t.Fatalf("%q is not %d bytes: %v", s, Size, err)
	}
	return [Size]byte(b)
}

// The test vectors of RFC 7748, Section 5.2.
func TestScalarMultVectors(t *testing.T) {
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
		var got [Size]byte
		if !ScalarMult(&got, &scalar, &u) || got != unhex(t, v.want) {
			t.Errorf("ScalarMult(%s, %s) = %x, want %s", v.scalar, v.u, got, v.want)
		}
	}
	k, u := basePoint, basePoint
	for range 1000 {
		var next [Size]byte
		ScalarMult(&next, &k, &u)
		k, u = next, k
	}
	if k != unhex(t, "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51") {
		t.Errorf("after 1,000 iterations %x", k)
	}
}

// ScalarMult is crypto/ecdh's, on the curve and off it, and may write where it
// reads.
func TestScalarMultAsECDH(t *testing.T) {
	for range 200 {
		var scalar, u, got [Size]byte
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
		if LowOrder(&u) {
			t.Fatalf("%x is taken for a point of low order", u)
		}
		if !ScalarMult(&got, &scalar, &u) || string(got[:]) != string(want) {
			t.Fatalf("ScalarMult(%x, %x) = %x, want %x", scalar, u, got, want)
		}
		ScalarMult(&u, &scalar, &u)
		if u != got {
			t.Fatalf("in place %x, want %x", u, got)
		}
		PublicKey(&got, &scalar)
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

func TestScalarMultRefusesLowOrder(t *testing.T) {
	for _, text := range lowOrder {
		for _, high := range []byte{0, 0x80} {
			u := unhex(t, text)
			u[31] |= high
			var scalar, got [Size]byte
			rand.Read(scalar[:])
			if ScalarMult(&got, &scalar, &u) {
				t.Errorf("%x gives the secret %x", u, got)
			}
			if !LowOrder(&u) {
				t.Errorf("%x is not found to be of low order", u)
			}
		}
	}
}

// One ladder with the exponent does what a ladder for each factor does, which is
// how the paper has it.
func TestExponent(t *testing.T) {
	for range 100 {
		var secret, u [Size]byte
		rand.Read(secret[:])
		rand.Read(u[:])
		ScalarMult(&u, &u, &basePoint) // a point of the curve
		var e Exponent
		e.Set(&secret)
		element, shared := basePoint, u
		ScalarMult(&element, &secret, &element)
		ScalarMult(&shared, &secret, &shared)
		for hop := range 10 {
			var got, scalar [Size]byte
			e.Clamped(&scalar)
			if scalar[0]&7 != 0 || scalar[31]>>6 != 1 {
				t.Fatalf("hop %d: %x is not clamped", hop+1, scalar)
			}
			if e.BaseMult(&got); got != element {
				t.Fatalf("hop %d: element %x, want %x", hop+1, got, element)
			}
			if ScalarMult(&got, &scalar, &u); got != shared {
				t.Fatalf("hop %d: secret %x, want %x", hop+1, got, shared)
			}
			var factor [Size]byte
			rand.Read(factor[:])
			e.Blind(&factor)
			ScalarMult(&element, &factor, &element)
			ScalarMult(&shared, &factor, &shared)
		}
	}
}

func TestEphemeral(t *testing.T) {
	var scalar, u, public, shared, again [Size]byte
	rand.Read(scalar[:])
	PublicKey(&u, &scalar)
	if err := Ephemeral(&public, &shared, &u); err != nil {
		t.Fatal(err)
	}
	if !ScalarMult(&again, &scalar, &public) || again != shared {
		t.Error("the owner of the key finds another secret")
	}
	if err := Ephemeral(&public, &shared, new([Size]byte)); err != ErrLowOrder {
		t.Errorf("with a key of low order: %v", err)
	}
}

func TestWipe(t *testing.T) {
	var e Exponent
	e.Set(&basePoint)
	if e == (Exponent{}) {
		t.Fatal("there is nothing to wipe")
	}
	if e.Wipe(); e != (Exponent{}) {
		t.Errorf("after Wipe there is %v", e)
	}
}
