package sphinx

import (
	"errors"
	"fmt"
)

var errLowOrder = errors.New("a hop's key is of low order")

func checkLength(b []byte, want int) error {
	if len(b) != want {
		return fmt.Errorf("a key of %d bytes, want %d", len(b), want)
	}
	return nil
}

// encapsulator is a public key of a KEM.
type encapsulator interface {
	// encapsulate makes a secret and the ciphertext from which the key's owner
	// has it.
	encapsulate(ciphertext []byte, secret *[secretLength]byte) error
}

// encapsulateAll is agree for every KEM.
func encapsulateAll(path []Hop, to []agreement) error {
	var secret [secretLength]byte
	defer clear(secret[:])
	for i, hop := range path {
		if err := hop.Key.(encapsulator).encapsulate(to[i].element, &secret); err != nil {
			return err
		}
		to[i].keys.derive(&secret, false)
	}
	return nil
}
