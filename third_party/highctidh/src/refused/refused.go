// Package refused stands in for the CTIDH C library, which Sourdine does not
// build. It declares the names that github.com/katzenpost/hpqc needs to
// compile; whatever would compute with a key reports that the scheme is not in
// this build.
package refused

import (
	"errors"
	"io"
)

// ErrNotInThisBuild says that CTIDH was asked of a program built without it.
var ErrNotInThisBuild = errors.New("CTIDH is not in this build")

// PublicKey holds no key.
type PublicKey struct{}

// PrivateKey holds no key.
type PrivateKey struct{}

func NewEmptyPublicKey() *PublicKey   { return new(PublicKey) }
func NewEmptyPrivateKey() *PrivateKey { return new(PrivateKey) }

func GeneratePrivateKey(io.Reader) *PrivateKey                   { panic(ErrNotInThisBuild) }
func GenerateKeyPairWithRNG(io.Reader) (*PrivateKey, *PublicKey) { panic(ErrNotInThisBuild) }
func GenerateKeyPair() (*PrivateKey, *PublicKey)                 { panic(ErrNotInThisBuild) }
func DeriveSecret(*PrivateKey, *PublicKey) []byte                { panic(ErrNotInThisBuild) }
func DerivePublicKey(*PrivateKey) *PublicKey                     { panic(ErrNotInThisBuild) }
func Blind(*PrivateKey, *PublicKey) (*PublicKey, error)          { return nil, ErrNotInThisBuild }
func (*PublicKey) Blind(*PrivateKey) error                       { return ErrNotInThisBuild }
func (*PublicKey) Reset()                                        {}
func (*PublicKey) Bytes() []byte                                 { return nil }
func (*PublicKey) FromBytes([]byte) error                        { return ErrNotInThisBuild }
func (*PrivateKey) Public() *PublicKey                           { panic(ErrNotInThisBuild) }
func (*PrivateKey) Reset()                                       {}
func (*PrivateKey) Bytes() []byte                                { return nil }
func (*PrivateKey) FromBytes([]byte) error                       { return ErrNotInThisBuild }
func (*PrivateKey) MarshalBinary() ([]byte, error)               { return nil, ErrNotInThisBuild }
func (*PrivateKey) MarshalText() ([]byte, error)                 { return nil, ErrNotInThisBuild }
func (*PrivateKey) UnmarshalBinary([]byte) error                 { return ErrNotInThisBuild }
func (*PrivateKey) UnmarshalText([]byte) error                   { return ErrNotInThisBuild }
