package sphinx

import (
	"crypto/rand"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// x25519NIKE is Sphinx as the paper has it, over Curve25519.
type x25519NIKE struct{ curve }

func (x25519NIKE) name() string          { return "x25519" }
func (x25519NIKE) consensusName() string { return "x25519" }
func (x25519NIKE) blinds() bool          { return true }

func (s x25519NIKE) publicKey(b []byte) (PublicKey, error) { return newCurvePublic(s, b) }

type nikePrivate struct{ curvePrivate }

func (s x25519NIKE) privateKey(b []byte) (PrivateKey, error) {
	k := new(nikePrivate)
	return k, k.parse(s, b)
}

func (k *nikePrivate) sharedSecret(element, secret []byte) bool {
	return x25519.ScalarMult((*[x25519.Size]byte)(secret), &k.scalar, (*[x25519.Size]byte)(element))
}

// agree computes the sequence (α_i, s_i, b_i) of the paper (Section 3.2): the
// exponent is the sender's secret times all blinding factors so far, α_i the base
// point's multiple, and s_i the hop's key's.
func (x25519NIKE) agree(w *workspace, path []Hop, dst []agreement) error {
	var (
		exponent       x25519.Exponent
		scalar, factor [x25519.Size]byte
		secret         = (*[x25519.Size]byte)(w.secret[:])
	)
	defer exponent.Wipe()
	defer clear(scalar[:])
	defer clear(factor[:])
	rand.Read(scalar[:])
	exponent.Set(&scalar)
	for i, hop := range path {
		if i > 0 {
			dst[i-1].keys.blindingFactor(factor[:])
			exponent.Blind(&factor)
		}
		exponent.BaseMult((*[x25519.Size]byte)(dst[i].element))
		exponent.Clamped(&scalar)
		if !x25519.ScalarMult(secret, &scalar, &hop.Key.(*curvePublic).u) {
			return fmt.Errorf("hop %d: %w", i+1, x25519.ErrLowOrder)
		}
		dst[i].keys.derive(w, secret[:], true)
	}
	return nil
}

// nextElement blinds: α_(i+1) = b_i·α_i.
func (x25519NIKE) nextElement(element, _ []byte, k *keys) {
	var factor [x25519.Size]byte
	k.blindingFactor(factor[:])
	u := (*[x25519.Size]byte)(element)
	x25519.ScalarMult(u, &factor, u)
	clear(factor[:])
}
