package sphinx

import (
	"crypto/mlkem"

	"codeberg.org/sourdine/sourdine/sphinx/forget"
)

// mlkem768 is ML-KEM-768 (FIPS 203). A private key is the public one and behind
// it the seed of 64 bytes, as hpqc's kem/mlkem768 writes it.
type mlkem768 struct{ kem }

func (mlkem768) name() string                   { return "MLKEM768" }
func (mlkem768) consensusName() string          { return "MLKEM768" }
func (mlkem768) lengths() (element, secret int) { return mlkem.CiphertextSize768, mlkem.SharedKeySize }

func (mlkem768) generateKey() (public, private []byte, err error) {
	k, err := mlkem.GenerateKey768()
	if err != nil {
		return nil, nil, err
	}
	defer forget.DecapsulationKey(k)
	seed := k.Bytes()
	defer clear(seed)
	public = k.EncapsulationKey().Bytes()
	return public, append(public[:len(public):len(public)], seed...), nil
}

type mlkemPublic struct {
	keyOf
	k *mlkem.EncapsulationKey768
}

func (s mlkem768) publicKey(b []byte) (PublicKey, error) {
	k, err := mlkem.NewEncapsulationKey768(b)
	return &mlkemPublic{keyOf{s}, k}, err
}

func (p *mlkemPublic) encapsulate(ciphertext, secret []byte) error {
	shared, c := p.k.Encapsulate()
	copy(ciphertext, c)
	copy(secret, shared)
	clear(shared)
	return nil
}

type mlkemPrivate struct {
	keyOf
	k *mlkem.DecapsulationKey768
}

func (s mlkem768) privateKey(b []byte) (PrivateKey, error) {
	if err := checkLength(b, mlkem.EncapsulationKeySize768+mlkem.SeedSize); err != nil {
		return nil, err
	}
	k, err := mlkem.NewDecapsulationKey768(b[mlkem.EncapsulationKeySize768:])
	return &mlkemPrivate{keyOf{s}, k}, err
}

func (p *mlkemPrivate) sharedSecret(element, secret []byte) bool {
	shared, err := p.k.Decapsulate(element)
	copy(secret, shared)
	clear(shared)
	return err == nil // only a wrong length is an error: a forged one is another secret
}

func (p *mlkemPrivate) Wipe() {
	if p.k != nil {
		forget.DecapsulationKey(p.k)
	}
	*p = mlkemPrivate{}
}
