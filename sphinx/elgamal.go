package sphinx

import (
	"codeberg.org/sourdine/sourdine/sphinx/internal/blake2x"
	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// x25519KEM is hashed ElGamal over X25519: the ciphertext is an ephemeral public
// key, and the secret BLAKE2Xb, keyed with the Diffie-Hellman result, of both
// public keys (hpqc's kem/adapter).
type x25519KEM struct {
	kem
	curve
}

func (x25519KEM) name() string          { return "x25519-kem" }
func (x25519KEM) consensusName() string { return "x25519" }

func (s x25519KEM) publicKey(b []byte) (PublicKey, error) { return newCurvePublic(s, b) }

func (p *curvePublic) encapsulate(ciphertext, secret []byte) error {
	var shared [x25519.Size]byte
	defer clear(shared[:])
	public := (*[x25519.Size]byte)(ciphertext)
	if err := x25519.Ephemeral(public, &shared, &p.u); err != nil {
		return err
	}
	blake2x.Sum((*[x25519.Size]byte)(secret), &shared, &p.u, public)
	return nil
}

type elGamalPrivate struct{ curvePrivate }

func (s x25519KEM) privateKey(b []byte) (PrivateKey, error) {
	k := new(elGamalPrivate)
	return k, k.parse(s, b)
}

func (k *elGamalPrivate) sharedSecret(element, secret []byte) bool {
	var shared [x25519.Size]byte
	public := (*[x25519.Size]byte)(element)
	good := x25519.ScalarMult(&shared, &k.scalar, public)
	blake2x.Sum((*[x25519.Size]byte)(secret), &shared, &k.u, public)
	clear(shared[:])
	return good
}
