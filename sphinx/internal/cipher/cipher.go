// Package cipher has the two ciphers of a packet, both made of AES: a stream for
// its header, and for its payload a wide block, of which one changed bit changes
// all.
//
// On amd64 with AES and AVX instructions they allocate nothing, and wipe the keys
// that they expand. Elsewhere, as on arm64 or with the build tag purego, the
// standard library and gitlab.com/yawning/aez.git do the work, in the same bytes;
// both allocate, AEZ as much as the message.
package cipher

import (
	stdaes "crypto/aes"
	stdcipher "crypto/cipher"

	"gitlab.com/yawning/aez.git"
)

// Lengths of keys and nonces in bytes.
const (
	StreamKeySize = 32
	BlockKeySize  = 48
	NonceSize     = 16

	// MinBlock is the shortest message of the wide block. AEZ knows shorter ones,
	// the packet format does not.
	MinBlock = 32
)

// XORStream adds the stream of AES-256 in counter mode (NIST SP 800-38A, Section
// 6.5; the nonce is the first counter, big-endian) to b.
func XORStream(key *[StreamKeySize]byte, nonce *[NonceSize]byte, b []byte) {
	if accelerated {
		xorStream(key, nonce, b)
		return
	}
	block, err := stdaes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key has the length of one
	}
	stdcipher.NewCTR(block, nonce[:]).XORKeyStream(b, b)
}

// Encrypt enciphers message in place with AEZ v5 (Hoang, Krovetz and Rogaway,
// "AEZ v5: Authenticated Encryption by Enciphering", 2017), the nonce its only
// header and without an authenticator. It panics if the message is shorter than
// MinBlock.
func Encrypt(key *[BlockKeySize]byte, nonce *[NonceSize]byte, message []byte) {
	checkLength(message)
	if accelerated {
		crypt(key, nonce, message, encrypt)
		return
	}
	result := aez.Encrypt(key[:], nonce[:], nil, 0, message, nil)
	copy(message, result)
	clear(result)
}

// Decrypt is the inverse of Encrypt.
func Decrypt(key *[BlockKeySize]byte, nonce *[NonceSize]byte, message []byte) {
	checkLength(message)
	if accelerated {
		crypt(key, nonce, message, decrypt)
		return
	}
	// Without an authenticator every message is the cipher of one.
	result, _ := aez.Decrypt(key[:], nonce[:], nil, 0, message, nil)
	copy(message, result)
	clear(result)
}

func checkLength(message []byte) {
	if len(message) < MinBlock {
		panic("cipher: a message of less than 32 bytes")
	}
}

// Directions, as AEZ-core counts them.
const (
	encrypt = 0
	decrypt = 1
)
