package sphinx

import (
	"crypto/rand"

	"codeberg.org/sourdine/sourdine/sphinx/internal/blake2x"
	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// x25519KEM is hashed ElGamal over X25519: the ciphertext is an ephemeral public
// key, and the secret a hash of the Diffie-Hellman result and both public keys
// (hpqc's kem/adapter). It shares its keys' form with x25519NIKE.
type x25519KEM struct{}

func (x25519KEM) name() string       { return "x25519-kem" }
func (x25519KEM) katzenpost() string { return "x25519" }
func (x25519KEM) blinds() bool       { return false }
func (x25519KEM) elementLength() int { return x25519.Size }

func (x25519KEM) agree(path []Hop, to []agreement) error { return encapsulateAll(path, to) }

func (x25519KEM) generateKey() (public, private []byte, err error) { return generateCurveKey() }

func (s x25519KEM) publicKey(b []byte) (PublicKey, error) { return parseCurvePublic(s, b) }

func (p *curvePublic) encapsulate(ciphertext []byte, secret *[secretLength]byte) error {
	var scalar, ephemeral, shared [x25519.Size]byte
	defer clear(scalar[:])
	defer clear(shared[:])
	rand.Read(scalar[:])
	x25519.NewExponent(&scalar).Element(&ephemeral)
	if !x25519.Ladder(&shared, &scalar, &p.u) {
		return errLowOrder
	}
	copy(ciphertext, ephemeral[:])
	elGamalHash(secret, &shared, &p.u, &ephemeral)
	return nil
}

// elGamalPrivate is a scalar and its public key.
type elGamalPrivate struct{ x, u [x25519.Size]byte }

func (x25519KEM) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, x25519.Size); err != nil {
		return nil, err
	}
	k := &elGamalPrivate{x: [x25519.Size]byte(b)}
	x25519.NewExponent(&k.x).Element(&k.u)
	return k, nil
}

func (k *elGamalPrivate) open(element []byte, secret *[secretLength]byte) bool {
	var shared [x25519.Size]byte
	ephemeral := (*[x25519.Size]byte)(element)
	good := x25519.Ladder(&shared, &k.x, ephemeral)
	elGamalHash(secret, &shared, &k.u, ephemeral)
	clear(shared[:])
	return good
}

// elGamalHash is BLAKE2Xb, keyed with the Diffie-Hellman result, of the two public
// keys.
func elGamalHash(to *[secretLength]byte, shared, public, ephemeral *[x25519.Size]byte) {
	var message [2 * x25519.Size]byte
	copy(message[:], public[:])
	copy(message[x25519.Size:], ephemeral[:])
	blake2x.Sum(to, shared, &message)
}
