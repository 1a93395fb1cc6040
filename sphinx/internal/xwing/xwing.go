// Package xwing is X-Wing (draft-connolly-cfrg-xwing-kem): a secret stays one as
// long as either ML-KEM-768 or X25519 holds. Unlike filippo.io/mlkem768/xwing it
// keeps what can be computed once for a private key, and of its own it allocates
// nothing and wipes what it computed on.
package xwing

import (
	"crypto/mlkem"
	"crypto/sha3"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/forget"
	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// Lengths in bytes.
const (
	PublicKeySize  = mlkem.EncapsulationKeySize768 + x25519.Size
	SeedSize       = 32
	CiphertextSize = mlkem.CiphertextSize768 + x25519.Size
	SecretSize     = 32
)

// PublicKey is an encapsulation key.
type PublicKey struct {
	m *mlkem.EncapsulationKey768
	u [x25519.Size]byte
}

// NewPublicKey parses a public key.
func NewPublicKey(b []byte) (*PublicKey, error) {
	if len(b) != PublicKeySize {
		return nil, fmt.Errorf("a key of %d bytes, want %d", len(b), PublicKeySize)
	}
	m, err := mlkem.NewEncapsulationKey768(b[:mlkem.EncapsulationKeySize768])
	if err != nil {
		return nil, err
	}
	p := &PublicKey{m, [x25519.Size]byte(b[mlkem.EncapsulationKeySize768:])}
	if x25519.LowOrder(&p.u) {
		return nil, x25519.ErrLowOrder
	}
	return p, nil
}

// Encapsulate makes a secret and its ciphertext (Section 5.4).
func (p *PublicKey) Encapsulate(ciphertext, secret []byte) error {
	var shared [x25519.Size]byte
	defer clear(shared[:])
	public := (*[x25519.Size]byte)(ciphertext[mlkem.CiphertextSize768:])
	if err := x25519.Ephemeral(public, &shared, &p.u); err != nil {
		return err
	}
	m, c := p.m.Encapsulate()
	copy(ciphertext, c)
	combine(secret, m, &shared, public, &p.u)
	clear(m)
	return nil
}

// PrivateKey is a seed expanded (Section 5.2).
type PrivateKey struct {
	m         *mlkem.DecapsulationKey768
	scalar, u [x25519.Size]byte // X25519's private and public key
}

// NewPrivateKey expands a seed.
func NewPrivateKey(seed *[SeedSize]byte) (*PrivateKey, error) {
	expanded := sha3.SumSHAKE256(seed[:], mlkem.SeedSize+x25519.Size)
	defer clear(expanded)
	m, err := mlkem.NewDecapsulationKey768(expanded[:mlkem.SeedSize])
	if err != nil {
		return nil, err
	}
	p := &PrivateKey{m: m, scalar: [x25519.Size]byte(expanded[mlkem.SeedSize:])}
	x25519.PublicKey(&p.u, &p.scalar)
	return p, nil
}

// PublicKey returns the public key's bytes.
func (p *PrivateKey) PublicKey() []byte {
	return append(p.m.EncapsulationKey().Bytes(), p.u[:]...)
}

// Decapsulate finds the secret of a ciphertext of CiphertextSize bytes (Section
// 5.5), or reports that X25519 shares none with it. Of a forged ciphertext it
// finds another secret.
func (p *PrivateKey) Decapsulate(ciphertext, secret []byte) bool {
	var shared [x25519.Size]byte
	public := (*[x25519.Size]byte)(ciphertext[mlkem.CiphertextSize768:])
	good := x25519.ScalarMult(&shared, &p.scalar, public)
	m, err := p.m.Decapsulate(ciphertext[:mlkem.CiphertextSize768])
	combine(secret, m, &shared, public, &p.u)
	clear(m)
	clear(shared[:])
	return good && err == nil // only a wrong length is an error
}

// Wipe clears the key.
func (p *PrivateKey) Wipe() {
	if p.m != nil {
		forget.DecapsulationKey(p.m)
	}
	*p = PrivateKey{}
}

// label is the draft's, in Section 5.3.
const label = `\./` + `/^\`

// combine is the combiner (Section 5.3).
func combine(secret, m []byte, shared, ephemeral, public *[x25519.Size]byte) {
	var input [4*32 + len(label)]byte
	n := copy(input[:], m)
	n += copy(input[n:], shared[:])
	n += copy(input[n:], ephemeral[:])
	n += copy(input[n:], public[:])
	copy(input[n:], label)
	sum := sha3.Sum256(input[:])
	copy(secret, sum[:])
	clear(sum[:])
	clear(input[:])
}
