package sphinx

import (
	"fmt"
	"strings"
)

// secretLength is the length in bytes of what a key exchange agrees on.
const secretLength = 32

// scheme is a key exchange: how the sender comes to share a secret with each hop,
// and what a header carries for it, its element. There are two kinds. A NIKE has
// one group element, which each hop blinds for the next. A KEM has a ciphertext
// for each hop, which the hop before finds in its routing info. Another scheme is
// another file with these methods, and a line in schemes.
type scheme interface {
	name() string
	katzenpost() string // its name in a consensus
	blinds() bool       // it is a NIKE
	elementLength() int // bytes

	generateKey() (public, private []byte, err error)
	publicKey([]byte) (PublicKey, error)
	privateKey([]byte) (PrivateKey, error)

	// agree makes the elements and the keys of the hops of a path, whose public
	// keys are its own.
	agree(path []Hop, to []agreement) error
}

// agreement is what sender and hop agree on.
type agreement struct {
	element []byte
	keys    keys
}

// PublicKey is a hop's public mix key, parsed once for all packets to it. The
// implementations are the schemes'.
type PublicKey interface{ scheme() scheme }

// PrivateKey is a hop's private mix key, with what can be computed once for all
// packets. It is safe for concurrent use.
type PrivateKey interface {
	// open finds the secret that belongs to an element, or reports that no
	// honest sender made it.
	open(element []byte, secret *[secretLength]byte) bool
}

// schemes are the key exchanges that a network may name. Katzenpost knows more;
// those are left out because nothing is known to run on them, or because they
// need C.
var schemes = []scheme{xwing{}, mlkem768{}, x25519KEM{}, x25519NIKE{}}

// Schemes returns the names of the key exchanges, the default first.
func Schemes() []string {
	var names []string
	for _, s := range schemes {
		names = append(names, s.name())
	}
	return names
}

func schemeByName(name string) (scheme, error) {
	for _, s := range schemes {
		if s.name() == name {
			return s, nil
		}
	}
	if strings.Contains(strings.ToLower(name), "ctidh") || strings.Contains(strings.ToLower(name), "sphincs") {
		return nil, fmt.Errorf("sphinx scheme %q is not in this build: it needs a C library; use %q", name, DefaultScheme)
	}
	return nil, fmt.Errorf("sphinx scheme %q is unknown; use one of %s", name, strings.Join(Schemes(), ", "))
}

// inlined is how many bytes of each hop's routing info the next hop's element
// takes.
func inlined(s scheme) int {
	if s.blinds() {
		return 0
	}
	return s.elementLength()
}
