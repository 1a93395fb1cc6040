// Package ref stands in for the SPHINCS+ reference C library, which Sourdine
// does not build. It declares the names that github.com/katzenpost/hpqc needs
// to compile; no key can be made, loaded or used.
package ref

import "errors"

// ErrNotInThisBuild says that SPHINCS+ was asked of a program built without it.
var ErrNotInThisBuild = errors.New("SPHINCS+ is not in this build")

// Sizes in bytes of SPHINCS+-SHAKE-256f.
const (
	PublicKeySize  = 64
	PrivateKeySize = 128
	SignatureSize  = 49856
)

// PublicKey holds no key.
type PublicKey struct{}

// PrivateKey holds no key.
type PrivateKey struct{}

func NewKeypair() (*PrivateKey, *PublicKey) { panic(ErrNotInThisBuild) }

func (*PublicKey) Reset()                  {}
func (*PublicKey) Bytes() []byte           { return nil }
func (*PublicKey) FromBytes([]byte) error  { return ErrNotInThisBuild }
func (*PublicKey) Verify(_, _ []byte) bool { return false }
func (*PrivateKey) Reset()                 {}
func (*PrivateKey) Bytes() []byte          { return nil }
func (*PrivateKey) FromBytes([]byte) error { return ErrNotInThisBuild }
func (*PrivateKey) Sign([]byte) []byte     { panic(ErrNotInThisBuild) }
