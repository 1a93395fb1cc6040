// Package x25519 is the key exchange of RFC 7748, Section 5, and what a sender of
// packets needs besides: a secret multiplied by blinding factors.
//
// The Montgomery ladder is written out here because the standard library's
// derives the public key of every scalar that it is given, which would cost a hop
// that blinds half as much again, and because it allocates.
package x25519

import (
	"encoding/binary"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

const Size = 32 // of a scalar and of a coordinate, in bytes

// Ladder sets to to X25519(scalar, u) (RFC 7748, Section 5). It reports false,
// as Section 6.1 advises, where the result is zero: u is of low order, or its
// sender wants every secret to be the same. It takes the same time for all
// scalars and coordinates.
func Ladder(to, scalar, u *[Size]byte) bool {
	var x1, x2, z2, x3, z3, a, aa, b, bb, e, c, d, da, cb field.Element
	k := *scalar
	k[0] &= 248
	k[31] = k[31]&127 | 64
	if _, err := x1.SetBytes(u[:]); err != nil {
		panic(err) // it has the length of one
	}
	x2.One()
	x3.Set(&x1)
	z3.One()
	swap := 0
	for t := 254; t >= 0; t-- {
		bit := int(k[t/8]>>(t%8)) & 1
		x2.Swap(&x3, swap^bit)
		z2.Swap(&z3, swap^bit)
		swap = bit

		a.Add(&x2, &z2)
		aa.Square(&a)
		b.Subtract(&x2, &z2)
		bb.Square(&b)
		e.Subtract(&aa, &bb)
		c.Add(&x3, &z3)
		d.Subtract(&x3, &z3)
		da.Multiply(&d, &a)
		cb.Multiply(&c, &b)
		x3.Add(&da, &cb)
		x3.Square(&x3)
		z3.Subtract(&da, &cb)
		z3.Square(&z3)
		z3.Multiply(&z3, &x1)
		x2.Multiply(&aa, &bb)
		z2.Mult32(&e, 121665)
		z2.Add(&z2, &aa)
		z2.Multiply(&z2, &e)
	}
	x2.Swap(&x3, swap)
	z2.Swap(&z3, swap)
	z2.Invert(&z2)
	x2.Multiply(&x2, &z2)
	copy(to[:], x2.Bytes())
	clear(k[:])
	return x2.Equal(new(field.Element)) == 0
}

// Exponent is the product of a sender's secret and of the blinding factors up to
// a hop, modulo the order of the base point.
type Exponent struct{ s *edwards25519.Scalar }

// NewExponent takes a scalar as X25519 does, clamped.
func NewExponent(scalar *[Size]byte) Exponent {
	s, err := edwards25519.NewScalar().SetBytesWithClamping(scalar[:])
	if err != nil {
		panic(err) // it has the length of one
	}
	return Exponent{s}
}

// Blind multiplies by a hop's blinding factor.
func (e Exponent) Blind(factor *[Size]byte) { e.s.Multiply(e.s, NewExponent(factor).s) }

// Element sets to to the base point multiplied, which is X25519 of the exponent
// and 9. A table of multiples of the base point makes it cheaper than a ladder.
func (e Exponent) Element(to *[Size]byte) {
	copy(to[:], new(edwards25519.Point).ScalarBaseMult(e.s).BytesMontgomery())
}

// eighth is 1/8 modulo the order of the base point, little-endian.
var eighth = func() *edwards25519.Scalar {
	eight, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{8}, make([]byte, 31)...))
	if err != nil {
		panic(err)
	}
	return edwards25519.NewScalar().Invert(eight)
}()

// Clamped returns the exponent as a scalar that X25519 takes as it is: a multiple
// of 8 with bit 254 set. So one ladder does what one for each blinding factor
// would, which is how the paper has it (Section 3.2).
//
// With t = e/8 modulo the order ℓ of the base point, 8t is a multiple of 8 below
// 8ℓ, a little more than 2^255. If its bit 254 is not set, that of 8(ℓ-t) is, and
// X25519 does not tell a point from its negative. Both fail with a probability of
// 2^-125; such a packet would be lost. On points of the curve, of low order or
// not, the result is that of the ladders, for both are multiples of 8. A key that
// is no point of the curve is a hop's own loss.
func (e Exponent) Clamped() (scalar [Size]byte) {
	t := edwards25519.NewScalar().Multiply(e.s, eighth)
	negative := edwards25519.NewScalar().Negate(t)
	plus, minus := t.Bytes(), negative.Bytes()
	useMinus := plus[31]>>3&1 - 1 // all ones if bit 251 of t is 0
	for i := range plus {
		plus[i] ^= useMinus & (plus[i] ^ minus[i])
	}
	var carry uint64
	for i := 0; i < Size; i += 8 {
		word := binary.LittleEndian.Uint64(plus[i:])
		binary.LittleEndian.PutUint64(scalar[i:], word<<3|carry)
		carry = word >> 61
	}
	clear(plus)
	clear(minus)
	return scalar
}
