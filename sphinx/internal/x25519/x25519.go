// Package x25519 is the key exchange of RFC 7748, Section 5, and what a sender of
// packets needs besides: a secret multiplied by blinding factors.
//
// The Montgomery ladder is written out here because the standard library's
// derives the public key of every scalar that it is given, which would cost a hop
// that blinds half as much again, and because it allocates.
//
// Every function wipes what it computed on. What filippo.io/edwards25519 leaves on
// the stack inside its own functions is beyond it.
package x25519

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"filippo.io/edwards25519"
	"filippo.io/edwards25519/field"
)

const Size = 32 // of a scalar and of a coordinate, in bytes

// ErrLowOrder is a public key's that has no secret to share.
var ErrLowOrder = errors.New("it is of low order")

// ladder is what a Montgomery ladder computes on, named as in RFC 7748.
type ladder struct {
	k                                                 [Size]byte
	x1, x2, z2, x3, z3, a, aa, b, bb, e, c, d, da, cb field.Element
}

// ScalarMult sets dst to X25519(scalar, u) (RFC 7748, Section 5). It reports
// false, as Section 6.1 advises, where the result is zero: u is of low order, or
// its sender wants every secret to be the same. It takes the same time for all
// scalars and coordinates. dst may be scalar or u.
func ScalarMult(dst, scalar, u *[Size]byte) bool {
	l := ladder{k: *scalar}
	l.k[0] &= 248
	l.k[31] = l.k[31]&127 | 64
	if _, err := l.x1.SetBytes(u[:]); err != nil {
		panic(err) // it has the length of one
	}
	l.x2.One()
	l.x3.Set(&l.x1)
	l.z3.One()
	swap := 0
	for t := 254; t >= 0; t-- {
		bit := int(l.k[t/8]>>(t%8)) & 1
		l.x2.Swap(&l.x3, swap^bit)
		l.z2.Swap(&l.z3, swap^bit)
		swap = bit

		// In an order in which neighbours do not wait for each other.
		l.a.Add(&l.x2, &l.z2)
		l.b.Subtract(&l.x2, &l.z2)
		l.c.Add(&l.x3, &l.z3)
		l.d.Subtract(&l.x3, &l.z3)
		l.da.Multiply(&l.d, &l.a)
		l.cb.Multiply(&l.c, &l.b)
		l.aa.Square(&l.a)
		l.bb.Square(&l.b)
		l.x3.Add(&l.da, &l.cb)
		l.z3.Subtract(&l.da, &l.cb)
		l.e.Subtract(&l.aa, &l.bb)
		l.x2.Multiply(&l.aa, &l.bb)
		l.z3.Square(&l.z3)
		l.z2.Mult32(&l.e, 121665)
		l.x3.Square(&l.x3)
		l.z2.Add(&l.z2, &l.aa)
		l.z3.Multiply(&l.z3, &l.x1)
		l.z2.Multiply(&l.z2, &l.e)
	}
	l.x2.Swap(&l.x3, swap)
	l.z2.Swap(&l.z3, swap)
	l.z2.Invert(&l.z2)
	l.x2.Multiply(&l.x2, &l.z2)
	result := l.x2.Bytes()
	var some byte
	for i, v := range result {
		dst[i] = v
		some |= v
	}
	clear(result)
	l = ladder{}
	return some != 0
}

// LowOrder reports whether there is no secret to share with the public key u:
// whether ScalarMult is false for it, whatever the scalar.
func LowOrder(u *[Size]byte) bool {
	// Clamped, the scalar 0 is 2^254, which makes nothing of exactly those points
	// whose order is a power of 2.
	var scalar, product [Size]byte
	return !ScalarMult(&product, &scalar, u)
}

// PublicKey sets dst to X25519(scalar, 9).
func PublicKey(dst, scalar *[Size]byte) {
	var e Exponent
	e.Set(scalar)
	e.BaseMult(dst)
	e.Wipe()
}

// Ephemeral sets public to the public key of a scalar that nobody learns, and
// shared to what X25519 makes of the scalar and the public key u.
func Ephemeral(public, shared, u *[Size]byte) error {
	var scalar [Size]byte
	defer clear(scalar[:])
	rand.Read(scalar[:])
	PublicKey(public, &scalar)
	if !ScalarMult(shared, &scalar, u) {
		return ErrLowOrder
	}
	return nil
}

// Exponent is the product of a sender's secret and of the blinding factors up to
// a hop, modulo the order of the base point.
type Exponent struct{ s edwards25519.Scalar }

// Set takes a scalar as X25519 does, clamped.
func (e *Exponent) Set(scalar *[Size]byte) {
	if _, err := e.s.SetBytesWithClamping(scalar[:]); err != nil {
		panic(err) // it has the length of one
	}
}

// Wipe makes e zero.
func (e *Exponent) Wipe() { *e = Exponent{} }

// Blind multiplies by a hop's blinding factor.
func (e *Exponent) Blind(factor *[Size]byte) {
	var f Exponent
	f.Set(factor)
	e.s.Multiply(&e.s, &f.s)
	f.Wipe()
}

// BaseMult sets dst to the base point multiplied, which is X25519 of the exponent
// and 9. A table of multiples of the base point makes it cheaper than a ladder.
func (e *Exponent) BaseMult(dst *[Size]byte) {
	var p edwards25519.Point
	copy(dst[:], p.ScalarBaseMult(&e.s).BytesMontgomery())
	p = edwards25519.Point{} // its other coordinates tell of the exponent
}

// eighth is 1/8 modulo the order of the base point, little-endian.
var eighth = func() *edwards25519.Scalar {
	eight, err := edwards25519.NewScalar().SetCanonicalBytes(append([]byte{8}, make([]byte, 31)...))
	if err != nil {
		panic(err)
	}
	return edwards25519.NewScalar().Invert(eight)
}()

// Clamped sets dst to the exponent as a scalar that X25519 takes as it is: a
// multiple of 8 with bit 254 set. So one ladder does what one for each blinding
// factor would, which is how the paper has it (Section 3.2).
//
// With t = e/8 modulo the order ℓ of the base point, 8t is a multiple of 8 below
// 8ℓ, a little more than 2^255. If its bit 254 is not set, that of 8(ℓ-t) is, and
// X25519 does not tell a point from its negative. Both fail with a probability
// below 2^-126; such a packet would be lost. On points of the curve, of low order
// or not, the result is that of the ladders, for both are multiples of 8. A key
// that is no point of the curve is a hop's own loss.
func (e *Exponent) Clamped(dst *[Size]byte) {
	var t, negative edwards25519.Scalar
	t.Multiply(&e.s, eighth)
	negative.Negate(&t)
	plus, minus := t.Bytes(), negative.Bytes()
	useMinus := plus[31]>>3&1 - 1 // all ones if bit 251 of t is 0
	for i := range plus {
		plus[i] ^= useMinus & (plus[i] ^ minus[i])
	}
	var carry uint64
	for i := 0; i < Size; i += 8 {
		word := binary.LittleEndian.Uint64(plus[i:])
		binary.LittleEndian.PutUint64(dst[i:], word<<3|carry)
		carry = word >> 61
	}
	clear(plus)
	clear(minus)
	t, negative = edwards25519.Scalar{}, edwards25519.Scalar{}
}
