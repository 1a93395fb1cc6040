package sphinx

import (
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha3"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// xwing is X-Wing (draft-connolly-cfrg-xwing-kem): a secret stays one as long as
// either ML-KEM-768 or X25519 holds. A private key is the public one and behind it
// the seed of 32 bytes, as hpqc's kem/xwing writes it.
type xwing struct{}

const (
	xwingPublicLength     = mlkem.EncapsulationKeySize768 + x25519.Size
	xwingSeedLength       = 32
	xwingCiphertextLength = mlkem.CiphertextSize768 + x25519.Size
)

func (xwing) name() string       { return "Xwing" }
func (xwing) katzenpost() string { return "XWING" }
func (xwing) blinds() bool       { return false }
func (xwing) elementLength() int { return xwingCiphertextLength }

func (xwing) agree(path []Hop, to []agreement) error { return encapsulateAll(path, to) }

// xwingPrivate is a seed expanded (draft, Section 5.2).
type xwingPrivate struct {
	m *mlkem.DecapsulationKey768
	x [x25519.Size]byte // X25519's scalar
	u [x25519.Size]byte // and public key
}

func newXwingPrivate(seed []byte) (*xwingPrivate, error) {
	expanded := sha3.SumSHAKE256(seed, mlkem.SeedSize+x25519.Size)
	defer clear(expanded)
	m, err := mlkem.NewDecapsulationKey768(expanded[:mlkem.SeedSize])
	if err != nil {
		return nil, err
	}
	k := &xwingPrivate{m: m, x: [x25519.Size]byte(expanded[mlkem.SeedSize:])}
	x25519.NewExponent(&k.x).Element(&k.u)
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
	u [x25519.Size]byte
}

func (*xwingPublic) scheme() scheme { return xwing{} }

func (xwing) publicKey(b []byte) (PublicKey, error) {
	if err := checkLength(b, xwingPublicLength); err != nil {
		return nil, err
	}
	m, err := mlkem.NewEncapsulationKey768(b[:mlkem.EncapsulationKeySize768])
	return &xwingPublic{m, [x25519.Size]byte(b[mlkem.EncapsulationKeySize768:])}, err
}

func (p *xwingPublic) encapsulate(ciphertext []byte, secret *[secretLength]byte) error {
	var scalar, ephemeral, shared [x25519.Size]byte
	defer clear(scalar[:])
	defer clear(shared[:])
	rand.Read(scalar[:])
	x25519.NewExponent(&scalar).Element(&ephemeral)
	if !x25519.Ladder(&shared, &scalar, &p.u) {
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
	var shared [x25519.Size]byte
	ephemeral := (*[x25519.Size]byte)(element[mlkem.CiphertextSize768:])
	good := x25519.Ladder(&shared, &p.x, ephemeral)
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
func combine(secret *[secretLength]byte, m []byte, x, ephemeral, public *[x25519.Size]byte) {
	var input [4*32 + len(xwingLabel)]byte
	n := copy(input[:], m)
	n += copy(input[n:], x[:])
	n += copy(input[n:], ephemeral[:])
	n += copy(input[n:], public[:])
	copy(input[n:], xwingLabel)
	*secret = sha3.Sum256(input[:])
	clear(input[:])
}
