// Package ctidh1024 stands in for CTIDH-1024; see package refused.
package ctidh1024

import "codeberg.org/vula/highctidh/src/refused"

// Sizes in bytes, as the scheme defines them.
const (
	PublicKeySize  = 128
	PrivateKeySize = 130
)

type (
	PublicKey  = refused.PublicKey
	PrivateKey = refused.PrivateKey
)

var (
	NewEmptyPublicKey      = refused.NewEmptyPublicKey
	NewEmptyPrivateKey     = refused.NewEmptyPrivateKey
	GeneratePrivateKey     = refused.GeneratePrivateKey
	GenerateKeyPairWithRNG = refused.GenerateKeyPairWithRNG
	GenerateKeyPair        = refused.GenerateKeyPair
	DeriveSecret           = refused.DeriveSecret
	DerivePublicKey        = refused.DerivePublicKey
	Blind                  = refused.Blind
)
