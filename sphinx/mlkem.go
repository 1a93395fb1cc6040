package sphinx

import "crypto/mlkem"

// mlkem768 is ML-KEM-768 (FIPS 203). A private key is the public one and behind
// it the seed of 64 bytes, as hpqc's kem/mlkem768 writes it.
type mlkem768 struct{}

func (mlkem768) name() string       { return "MLKEM768" }
func (mlkem768) katzenpost() string { return "MLKEM768" }
func (mlkem768) blinds() bool       { return false }
func (mlkem768) elementLength() int { return mlkem.CiphertextSize768 }

func (mlkem768) agree(path []Hop, to []agreement) error { return encapsulateAll(path, to) }

func (mlkem768) generateKey() (public, private []byte, err error) {
	k, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, nil, err
	}
	public = k.EncapsulationKey().Bytes()
	return public, append(public[:len(public):len(public)], k.Bytes()...), nil
}

type mlkemPublic struct{ k *mlkem.EncapsulationKey768 }

func (mlkemPublic) scheme() scheme { return mlkem768{} }

func (mlkem768) publicKey(b []byte) (PublicKey, error) {
	k, err := mlkem.NewEncapsulationKey768(b)
	return mlkemPublic{k}, err
}

func (p mlkemPublic) encapsulate(ciphertext []byte, secret *[secretLength]byte) error {
	s, c := p.k.Encapsulate()
	copy(ciphertext, c)
	copy(secret[:], s)
	clear(s)
	return nil
}

type mlkemPrivate struct{ k *mlkem.DecapsulationKey768 }

func (mlkem768) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, mlkem.EncapsulationKeySize768+mlkem.SeedSize); err != nil {
		return nil, err
	}
	k, err := mlkem.NewDecapsulationKey768(b[mlkem.EncapsulationKeySize768:])
	return mlkemPrivate{k}, err
}

func (p mlkemPrivate) open(element []byte, secret *[secretLength]byte) bool {
	s, err := p.k.Decapsulate(element)
	copy(secret[:], s)
	clear(s)
	return err == nil // only a wrong length is an error: a forged one is another secret
}
