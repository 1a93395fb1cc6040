// Package sphinx is the packet format: what every packet of the network looks
// like, how a sender wraps one for a path, how a hop unwraps it, and how a
// reply block lets a stranger answer without learning whom.
//
// The format is KEM Sphinx or NIKE Sphinx as Katzenpost defines it
// (core/sphinx), after Danezis and Goldberg, "Sphinx: A Compact and Provably
// Secure Mix Format" (IEEE S&P 2009). A packet is a header and a payload:
//
//	version 2 | group element or ciphertext | routing info | MAC 32 || tag 32 | payload
//
// The payload that a sender hands to [Sphinx.Wrap] is a flag byte, a reserved
// byte, room for one reply block, and the user payload; [Geometry.Plaintext]
// builds it and [Geometry.SplitPlaintext] takes it apart.
//
// To read it with the paper open: wrap.go makes headers (Section 3.2) and forward
// packets, reply.go reply blocks, and unwrap.go is what a hop does (Section 3.6).
// The paper's names are
//
//	α            the element: nike.go, and one file for each KEM
//	β, γ, φ      routing info, MAC and filler: wrap.go
//	δ            payload tag and payload
//	µ, ρ, π      HMAC-SHA-256, AES-256 in counter mode, AEZ: keys.go, internal/cipher
//	h_µ, h_ρ, h_π, h_b
//	             parts of one output of HKDF: keys.go
//	h_τ          SHA-512/256: keys.go
//
// Where the format departs from it: a hop is told commands, of which one is the
// next hop's name and one the recipient, who stands in the payload of the paper's
// forward packets; γ is over version and α too; h_τ hashes α, and h_b the secret
// alone, where the paper has the secret, and both; behind the last hop's share are
// random bytes and no zeros; and a KEM has a ciphertext for each hop in place of α
// blinded. docs/sphinx.md describes the bytes without Go.
//
// Randomness is crypto/rand's and no argument: crypto/mlkem draws from nowhere
// else, and with a weak source a sender would lose all that the format promises.
// Tests set it with testing/cryptotest.
//
// The package wipes the secrets, keys and streams that it made when they have
// served, also after an error, and a private key when [PrivateKey].Wipe is called.
// It does not reach bytes of keys that callers hold, an expanded key of
// crypto/mlkem, what it and other libraries leave on stack and heap, and the
// blocks that its ciphers pass through.
//
// The package knows packets only. It refuses to know nodes, epochs, disks or
// clocks, and imports no other package of the project but those below it.
package sphinx
