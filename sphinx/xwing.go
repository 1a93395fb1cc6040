package sphinx

import (
	"crypto/rand"

	"codeberg.org/sourdine/sourdine/sphinx/internal/xwing"
)

// xwingKEM is X-Wing, of ML-KEM-768 and X25519. A private key is the public one and
// behind it the seed of 32 bytes, as hpqc's kem/xwing writes it.
type xwingKEM struct{ kem }

func (xwingKEM) name() string                   { return "Xwing" }
func (xwingKEM) consensusName() string          { return "XWING" }
func (xwingKEM) lengths() (element, secret int) { return xwing.CiphertextSize, xwing.SecretSize }

func (xwingKEM) generateKey() (public, private []byte, err error) {
	var seed [xwing.SeedSize]byte
	defer clear(seed[:])
	rand.Read(seed[:])
	k, err := xwing.NewPrivateKey(&seed)
	if err != nil {
		return nil, nil, err
	}
	defer k.Wipe()
	public = k.PublicKey()
	return public, append(public[:len(public):len(public)], seed[:]...), nil
}

type xwingPublic struct {
	keyOf
	k *xwing.PublicKey
}

func (s xwingKEM) publicKey(b []byte) (PublicKey, error) {
	k, err := xwing.NewPublicKey(b)
	return &xwingPublic{keyOf{s}, k}, err
}

func (p *xwingPublic) encapsulate(ciphertext, secret []byte) error {
	return p.k.Encapsulate(ciphertext, secret)
}

type xwingPrivate struct {
	keyOf
	k *xwing.PrivateKey
}

func (s xwingKEM) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, xwing.PublicKeySize+xwing.SeedSize); err != nil {
		return nil, err
	}
	k, err := xwing.NewPrivateKey((*[xwing.SeedSize]byte)(b[xwing.PublicKeySize:]))
	return &xwingPrivate{keyOf{s}, k}, err
}

func (p *xwingPrivate) sharedSecret(element, secret []byte) bool {
	return p.k.Decapsulate(element, secret)
}

func (p *xwingPrivate) Wipe() {
	p.k.Wipe()
	p.keyOf = keyOf{}
}
