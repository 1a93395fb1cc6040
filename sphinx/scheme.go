package sphinx

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// scheme is a key exchange: how the sender comes to share a secret with each hop,
// and what a header carries for it, its element. There are two kinds. A NIKE has
// one group element, which each hop blinds for the next. A KEM has a ciphertext
// for each hop, which the hop before finds in its routing info. Another scheme is
// another file with these methods, and a line in schemes.
type scheme interface {
	name() string
	consensusName() string
	blinds() bool                   // it is a NIKE
	lengths() (element, secret int) // bytes

	generateKey() (public, private []byte, err error)
	publicKey([]byte) (PublicKey, error)
	privateKey([]byte) (PrivateKey, error)

	// agree makes the elements and the keys of the hops of a path, whose public
	// keys are its own.
	agree(w *workspace, path []Hop, dst []agreement) error

	// nextElement makes a hop's element the next hop's: from the one that came
	// inline, behind the hop's commands, or with the hop's blinding factor.
	nextElement(element, inline []byte, k *keys)
}

// maxSecretLength is in bytes, and HMAC's longest key that need not be hashed.
const maxSecretLength = sha256.BlockSize

// agreement is what sender and hop agree on.
type agreement struct {
	element []byte
	keys    keys
}

// PublicKey is a hop's public mix key, parsed once for all packets to it.
type PublicKey interface{ scheme() scheme }

// PrivateKey is a hop's private mix key, with what can be computed once for all
// packets. It is safe for concurrent use.
type PrivateKey interface {
	scheme() scheme

	// sharedSecret finds the secret that belongs to an element, or reports that no
	// honest sender made it.
	sharedSecret(element, secret []byte) bool

	// Wipe clears the key when its time is over. Nothing may be using it; from then
	// on Unwrap refuses it.
	Wipe()
}

// keyOf is in every key, and says whose it is. A wiped key is nobody's.
type keyOf struct{ exchange scheme }

func (k keyOf) scheme() scheme { return k.exchange }

func checkLength(b []byte, want int) error {
	if len(b) != want {
		return fmt.Errorf("a key of %d bytes, want %d", len(b), want)
	}
	return nil
}

// schemes are the key exchanges that a network may name. Katzenpost knows more;
// those are left out because nothing is known to run on them, or because they
// need C.
var schemes = []scheme{xwingKEM{}, mlkem768{}, x25519KEM{}, x25519NIKE{}}

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
	if lower := strings.ToLower(name); strings.Contains(lower, "ctidh") || strings.Contains(lower, "sphincs") {
		return nil, fmt.Errorf("sphinx scheme %q is not in this build: it needs a C library; use %q", name, DefaultScheme)
	}
	return nil, fmt.Errorf("sphinx scheme %q is unknown; use one of %s", name, strings.Join(Schemes(), ", "))
}
