package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"fmt"

	"gitlab.com/yawning/aez.git"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// primitive is one cryptographic step of an unwrap as the standard library or a
// public one does it, with keys that are ready and on bytes of the right number.
type primitive struct {
	name  string
	bytes int
	work  func() error

	contender *contender
}

// Lengths in bytes that docs/sphinx.md explains.
const (
	macLength     = 32
	keysLength    = 128 // what a hop derives from the secret
	blindingSeed  = 32  // what a NIKE derives besides
	curveLength   = 32
	combinerInput = 134 // X-Wing's: four strings of 32 bytes and a label of 6
)

// newPrimitives lists what an unwrap does to a packet. The copy of the packet,
// which every contender that unwraps makes first, is one of them.
func newPrimitives(g *sphinx.Geometry, packet []byte) ([]primitive, error) {
	var (
		work    = make([]byte, len(packet))
		header  = work[:g.HeaderLength-macLength]
		element = work[2:][:g.ElementLength]
		payload = work[g.HeaderLength:]
		opened  = make([]byte, 0, len(payload))
		routing = make([]byte, g.RoutingInfoLength+g.HopInfoLength)
		key     = make([]byte, 48)
	)
	rand.Read(key)
	hash := func() error { sha512.Sum512_256(element); return nil }
	list := []primitive{
		{name: "copy of the packet", bytes: len(packet), work: func() error { copy(work, packet); return nil }},
		{name: "SHA-512/256 of the element", bytes: g.ElementLength, work: hash},
	}
	exchange, err := exchangePrimitives(g.Scheme)
	if err != nil {
		return nil, err
	}
	list = append(list, exchange...)
	derived := keysLength
	if g.Scheme == nike {
		derived += blindingSeed
	}
	return append(list,
		primitive{name: "HKDF-Expand-SHA-256", bytes: derived, work: func() error {
			_, err := hkdf.Expand(sha256.New, key[:32], "katzenpost-kdf-v0-hkdf-sha256", derived)
			return err
		}},
		primitive{name: "HMAC-SHA-256 of the header", bytes: len(header), work: func() error {
			h := hmac.New(sha256.New, key[:32])
			h.Write(header)
			h.Sum(nil)
			return nil
		}},
		primitive{name: "AES-256-CTR of the routing info", bytes: len(routing), work: func() error {
			block, err := aes.NewCipher(key[:32])
			if err != nil {
				return err
			}
			cipher.NewCTR(block, key[32:]).XORKeyStream(routing, routing)
			return nil
		}},
		primitive{name: "AEZ of the payload", bytes: len(payload), work: func() error {
			aez.Decrypt(key, key[:16], nil, 0, payload, opened)
			return nil
		}},
	), nil
}

// nike is the scheme that blinds its element.
const nike = "x25519"

// exchangePrimitives are those by which a hop has the secret.
func exchangePrimitives(scheme string) ([]primitive, error) {
	switch scheme {
	case nike:
		x, err := ladders(2)
		if err != nil {
			return nil, err
		}
		factor := primitive{name: "ChaCha20, the blinding factor", bytes: curveLength, work: func() error {
			var key [chacha20.KeySize]byte
			var nonce [chacha20.NonceSize]byte
			c, err := chacha20.NewUnauthenticatedCipher(key[:], nonce[:])
			if err != nil {
				return err
			}
			c.XORKeyStream(key[:], key[:])
			return nil
		}}
		return []primitive{x, factor}, nil
	case "x25519-kem":
		x, err := ladders(1)
		if err != nil {
			return nil, err
		}
		keys := make([]byte, 3*curveLength)
		rand.Read(keys)
		hash := primitive{name: "BLAKE2Xb of the keys", bytes: 2 * curveLength, work: func() error {
			h, err := blake2b.NewXOF(32, keys[:32])
			if err != nil {
				return err
			}
			h.Write(keys[32:])
			var secret [32]byte
			_, err = h.Read(secret[:])
			return err
		}}
		return []primitive{x, hash}, nil
	case "MLKEM768":
		m, err := decapsulation()
		return []primitive{m}, err
	case "Xwing":
		x, err := ladders(1)
		if err != nil {
			return nil, err
		}
		m, err := decapsulation()
		if err != nil {
			return nil, err
		}
		input := make([]byte, combinerInput)
		combiner := primitive{name: "SHA3-256 of the secrets", bytes: len(input), work: func() error { sha3.Sum256(input); return nil }}
		return []primitive{x, m, combiner}, nil
	}
	return nil, fmt.Errorf("the primitives of scheme %q are not known here", scheme)
}

// ladders multiplies a curve point so often.
func ladders(times int) (primitive, error) {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return primitive{}, err
	}
	other, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return primitive{}, err
	}
	name := "X25519"
	if times > 1 {
		name = fmt.Sprintf("X25519, %d times", times)
	}
	point := other.PublicKey()
	return primitive{name: name, bytes: times * curveLength, work: func() error {
		for range times {
			if _, err := key.ECDH(point); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

func decapsulation() (primitive, error) {
	key, err := mlkem.GenerateKey768()
	if err != nil {
		return primitive{}, err
	}
	_, ciphertext := key.EncapsulationKey().Encapsulate()
	return primitive{name: "ML-KEM-768 decapsulation", bytes: len(ciphertext), work: func() error {
		_, err := key.Decapsulate(ciphertext)
		return err
	}}, nil
}
