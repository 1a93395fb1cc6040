package sphinx

import "fmt"

// kem is what all KEMs have in common.
type kem struct{}

func (kem) blinds() bool { return false }

func (kem) nextElement(element, inline []byte, _ *keys) { copy(element, inline) }

func (kem) agree(w *workspace, path []Hop, dst []agreement) error {
	for i, hop := range path {
		_, length := hop.Key.scheme().lengths()
		secret := w.secret[:length]
		if err := hop.Key.(encapsulator).encapsulate(dst[i].element, secret); err != nil {
			return fmt.Errorf("hop %d: %w", i+1, err)
		}
		dst[i].keys.derive(w, secret, false)
	}
	return nil
}

// encapsulator is a public key of a KEM.
type encapsulator interface {
	// encapsulate makes a secret and the ciphertext from which the key's owner
	// has it.
	encapsulate(ciphertext, secret []byte) error
}
