package sphinx

import "crypto/rand"

// x25519NIKE is Sphinx as the paper has it, over Curve25519.
type x25519NIKE struct{}

func (x25519NIKE) name() string       { return "x25519" }
func (x25519NIKE) katzenpost() string { return "x25519" }
func (x25519NIKE) blinds() bool       { return true }
func (x25519NIKE) elementLength() int { return curveLength }

func (x25519NIKE) generateKey() (public, private []byte, err error) {
	return generateCurveKey()
}

// curvePublic is a public key of both schemes over X25519 alone.
type curvePublic struct {
	s scheme
	u [curveLength]byte
}

func (k *curvePublic) scheme() scheme { return k.s }

func parseCurvePublic(s scheme, b []byte) (PublicKey, error) {
	if err := checkLength(b, curveLength); err != nil {
		return nil, err
	}
	return &curvePublic{s, [curveLength]byte(b)}, nil
}

func generateCurveKey() (public, private []byte, err error) {
	var scalar, u [curveLength]byte
	rand.Read(scalar[:])
	newExponent(&scalar).element(&u)
	return u[:], scalar[:], nil
}

func (s x25519NIKE) publicKey(b []byte) (PublicKey, error) { return parseCurvePublic(s, b) }

// nikePrivate is a scalar.
type nikePrivate [curveLength]byte

func (x25519NIKE) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, curveLength); err != nil {
		return nil, err
	}
	k := nikePrivate(b)
	return &k, nil
}

func (k *nikePrivate) open(element []byte, secret *[secretLength]byte) bool {
	return ladder(secret, (*[curveLength]byte)(k), (*[curveLength]byte)(element))
}

// agree computes the sequence (α_i, s_i, b_i) of the paper (Section 3.2): the
// exponent is the sender's secret times all blinding factors so far, α_i the base
// point's multiple, and s_i the hop's key's.
func (x25519NIKE) agree(path []Hop, to []agreement) error {
	var scalar, factor, u, secret [curveLength]byte
	rand.Read(scalar[:])
	e := newExponent(&scalar)
	clear(scalar[:])
	for i, hop := range path {
		if i > 0 {
			to[i-1].keys.blinding(&factor)
			e.blind(&factor)
		}
		e.element(&u)
		copy(to[i].element, u[:])
		scalar = e.clamped()
		if !ladder(&secret, &scalar, &hop.Key.(*curvePublic).u) {
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
	var factor [curveLength]byte
	k.blinding(&factor)
	u := (*[curveLength]byte)(element)
	ladder(u, &factor, u)
	clear(factor[:])
}
