package sphinx

import (
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha3"
)

// xwing is X-Wing (draft-connolly-cfrg-xwing-kem): a secret stays one as long as
// either ML-KEM-768 or X25519 holds. A private key is the public one and behind it
// the seed of 32 bytes, as hpqc's kem/xwing writes it.
type xwing struct{}

const (
	xwingPublicLength     = mlkem.EncapsulationKeySize768 + curveLength
	xwingSeedLength       = 32
	xwingCiphertextLength = mlkem.CiphertextSize768 + curveLength
)

func (xwing) name() string       { return "Xwing" }
func (xwing) katzenpost() string { return "XWING" }
func (xwing) blinds() bool       { return false }
func (xwing) elementLength() int { return xwingCiphertextLength }

func (xwing) agree(path []Hop, to []agreement) error { return encapsulateAll(path, to) }

// xwingPrivate is a seed expanded (draft, Section 5.2).
type xwingPrivate struct {
	m *mlkem.DecapsulationKey768
	x [curveLength]byte // X25519's scalar
	u [curveLength]byte // and public key
}

func newXwingPrivate(seed []byte) (*xwingPrivate, error) {
	expanded := sha3.SumSHAKE256(seed, mlkem.SeedSize+curveLength)
	defer clear(expanded)
	m, err := mlkem.NewDecapsulationKey768(expanded[:mlkem.SeedSize])
	if err != nil {
		return nil, err
	}
	k := &xwingPrivate{m: m, x: [curveLength]byte(expanded[mlkem.SeedSize:])}
	newExponent(&k.x).element(&k.u)
	return k, nil
}

func (xwing) generateKey() (public, private []byte, err error) {
	seed := make([]byte, xwingSeedLength)
	rand.Read(seed)
	k, err := newXwingPrivate(seed)
	if err != nil {
		return nil, nil, err
	}
	public = append(k.m.EncapsulationKey().Bytes(), k.u[:]...)
	return public, append(public[:len(public):len(public)], seed...), nil
}

func (xwing) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, xwingPublicLength+xwingSeedLength); err != nil {
		return nil, err
	}
	return newXwingPrivate(b[xwingPublicLength:])
}

type xwingPublic struct {
	m *mlkem.EncapsulationKey768
	u [curveLength]byte
}

func (*xwingPublic) scheme() scheme { return xwing{} }

func (xwing) publicKey(b []byte) (PublicKey, error) {
	if err := checkLength(b, xwingPublicLength); err != nil {
		return nil, err
	}
	m, err := mlkem.NewEncapsulationKey768(b[:mlkem.EncapsulationKeySize768])
	return &xwingPublic{m, [curveLength]byte(b[mlkem.EncapsulationKeySize768:])}, err
}

func (p *xwingPublic) encapsulate(ciphertext []byte, secret *[secretLength]byte) error {
	var scalar, ephemeral, shared [curveLength]byte
	defer clear(scalar[:])
	defer clear(shared[:])
	rand.Read(scalar[:])
	newExponent(&scalar).element(&ephemeral)
	if !ladder(&shared, &scalar, &p.u) {
		return errLowOrder
	}
	s, c := p.m.Encapsulate()
	copy(ciphertext, c)
	copy(ciphertext[len(c):], ephemeral[:])
	combine(secret, s, &shared, &ephemeral, &p.u)
	clear(s)
	return nil
}

func (p *xwingPrivate) open(element []byte, secret *[secretLength]byte) bool {
	var shared [curveLength]byte
	ephemeral := (*[curveLength]byte)(element[mlkem.CiphertextSize768:])
	good := ladder(&shared, &p.x, ephemeral)
	s, err := p.m.Decapsulate(element[:mlkem.CiphertextSize768])
	if err != nil {
		return false // of a wrong length, which it is not
	}
	combine(secret, s, &shared, ephemeral, &p.u)
	clear(s)
	clear(shared[:])
	return good
}

// xwingLabel is the draft's, in Section 5.3.
const xwingLabel = `\./` + `/^\`

// combine is X-Wing's combiner (draft, Section 5.3).
func combine(secret *[secretLength]byte, m []byte, x, ephemeral, public *[curveLength]byte) {
	var input [4*32 + len(xwingLabel)]byte
	n := copy(input[:], m)
	n += copy(input[n:], x[:])
	n += copy(input[n:], ephemeral[:])
	n += copy(input[n:], public[:])
	copy(input[n:], xwingLabel)
	*secret = sha3.Sum256(input[:])
	clear(input[:])
}
