package sphinx

import (
	"crypto/rand"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// curve is what both schemes over X25519 alone have in common: a private key is a
// scalar, a public key a coordinate.
type curve struct{}

func (curve) lengths() (element, secret int) { return x25519.Size, x25519.Size }

func (curve) generateKey() (public, private []byte, err error) {
	var scalar, u [x25519.Size]byte
	rand.Read(scalar[:])
	x25519.PublicKey(&u, &scalar)
	return u[:], scalar[:], nil
}

type curvePublic struct {
	keyOf
	u [x25519.Size]byte
}

func newCurvePublic(s scheme, b []byte) (PublicKey, error) {
	if err := checkLength(b, x25519.Size); err != nil {
		return nil, err
	}
	k := &curvePublic{keyOf{s}, [x25519.Size]byte(b)}
	if x25519.LowOrder(&k.u) {
		return nil, x25519.ErrLowOrder
	}
	return k, nil
}

type curvePrivate struct {
	keyOf
	scalar, u [x25519.Size]byte
}

// parse fills k, and leaves no copy of the scalar.
func (k *curvePrivate) parse(s scheme, b []byte) error {
	if err := checkLength(b, x25519.Size); err != nil {
		return err
	}
	k.exchange = s
	copy(k.scalar[:], b)
	x25519.PublicKey(&k.u, &k.scalar)
	return nil
}

func (k *curvePrivate) Wipe() { *k = curvePrivate{} }
