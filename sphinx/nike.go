package sphinx

import (
	"crypto/rand"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// x25519NIKE is Sphinx as the paper has it, over Curve25519.
type x25519NIKE struct{}

func (x25519NIKE) name() string       { return "x25519" }
func (x25519NIKE) katzenpost() string { return "x25519" }
func (x25519NIKE) blinds() bool       { return true }
func (x25519NIKE) elementLength() int { return x25519.Size }

func (x25519NIKE) generateKey() (public, private []byte, err error) {
	return generateCurveKey()
}

// curvePublic is a public key of both schemes over X25519 alone.
type curvePublic struct {
	s scheme
	u [x25519.Size]byte
}

func (k *curvePublic) scheme() scheme { return k.s }

func parseCurvePublic(s scheme, b []byte) (PublicKey, error) {
	if err := checkLength(b, x25519.Size); err != nil {
		return nil, err
	}
	return &curvePublic{s, [x25519.Size]byte(b)}, nil
}

func generateCurveKey() (public, private []byte, err error) {
	var scalar, u [x25519.Size]byte
	rand.Read(scalar[:])
	x25519.NewExponent(&scalar).Element(&u)
	return u[:], scalar[:], nil
}

func (s x25519NIKE) publicKey(b []byte) (PublicKey, error) { return parseCurvePublic(s, b) }

// nikePrivate is a scalar.
type nikePrivate [x25519.Size]byte

func (x25519NIKE) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, x25519.Size); err != nil {
		return nil, err
	}
	k := nikePrivate(b)
	return &k, nil
}

func (k *nikePrivate) open(element []byte, secret *[secretLength]byte) bool {
	return x25519.Ladder(secret, (*[x25519.Size]byte)(k), (*[x25519.Size]byte)(element))
}

// agree computes the sequence (α_i, s_i, b_i) of the paper (Section 3.2): the
// exponent is the sender's secret times all blinding factors so far, α_i the base
// point's multiple, and s_i the hop's key's.
func (x25519NIKE) agree(path []Hop, to []agreement) error {
	var scalar, factor, u, secret [x25519.Size]byte
	rand.Read(scalar[:])
	e := x25519.NewExponent(&scalar)
	clear(scalar[:])
	for i, hop := range path {
		if i > 0 {
			to[i-1].keys.blinding(&factor)
			e.Blind(&factor)
		}
		e.Element(&u)
		copy(to[i].element, u[:])
		scalar = e.Clamped()
		if !x25519.Ladder(&secret, &scalar, &hop.Key.(*curvePublic).u) {
			return errLowOrder
		}
		to[i].keys.derive(&secret, true)
	}
	clear(secret[:])
	clear(scalar[:])
	clear(factor[:])
	return nil
}

// blind replaces an element by the next hop's, α_(i+1) = b_i·α_i.
func blind(element []byte, k *keys) {
	var factor [x25519.Size]byte
	k.blinding(&factor)
	u := (*[x25519.Size]byte)(element)
	x25519.Ladder(u, &factor, u)
	clear(factor[:])
}
