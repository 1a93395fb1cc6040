//go:build amd64 && !purego

package cipher

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

// streamKeys are the keys of the 14 rounds of AES-256, and of the step before.
type streamKeys [15]block

// expand is FIPS 197, Section 5.2. Words are as memory has them, so what the
// standard turns left is turned right.
func (k *streamKeys) expand(key *[StreamKeySize]byte) {
	var w [60]uint32
	for i := range 8 {
		w[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for i := 8; i < len(w); i++ {
		t := w[i-1]
		switch i % 8 {
		case 0:
			t = subWord(bits.RotateLeft32(t, -8)) ^ rcon
			rcon <<= 1
		case 4:
			t = subWord(t)
		}
		w[i] = w[i-8] ^ t
	}
	for i := range k {
		k[i] = block{uint64(w[4*i]) | uint64(w[4*i+1])<<32, uint64(w[4*i+2]) | uint64(w[4*i+3])<<32}
	}
	clear(w[:])
}

// lanes is how many blocks of the stream are made at once.
const lanes = 8

func xorStream(key *[StreamKeySize]byte, nonce *[NonceSize]byte, b []byte) {
	var (
		keys      streamKeys
		blocks    [lanes]block
		stream    [lanes * 16]byte
		high, low = binary.BigEndian.Uint64(nonce[:8]), binary.BigEndian.Uint64(nonce[8:])
		carry     uint64
	)
	keys.expand(key)
	for len(b) > 0 {
		for i := range blocks {
			blocks[i] = block{bits.ReverseBytes64(high), bits.ReverseBytes64(low)}
			low, carry = bits.Add64(low, 1, 0)
			high += carry
		}
		encryptLanes(&stream, &blocks, &keys)
		b = b[subtle.XORBytes(b, b, stream[:]):]
	}
	keys, blocks, stream = streamKeys{}, [lanes]block{}, [lanes * 16]byte{}
}

// subWord is AES's S-box on each byte of a word.
//
//go:noescape
func subWord(w uint32) uint32

// encryptLanes encrypts eight blocks with AES-256.
//
//go:noescape
func encryptLanes(dst *[lanes * 16]byte, blocks *[lanes]block, keys *streamKeys)
