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
// To read it with the paper open: wrap.go makes a header and a payload (Section
// 3.2), unwrap.go is what a hop does (Section 3.6), keys.go has the hashes h_b, ρ,
// µ and π, scheme.go what a key exchange is, and one file each has the four there
// are. docs/sphinx.md describes the same bytes without Go.
//
// Secrets are wiped from memory that the package owns when they have served. What
// the standard library keeps inside is its own.
//
// The package knows packets only. It refuses to know nodes, epochs, disks or
// clocks, and imports no other package of the project.
package sphinx
