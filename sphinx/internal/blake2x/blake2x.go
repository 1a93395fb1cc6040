// Package blake2x is BLAKE2Xb ("BLAKE2X", Aumasson, Neves, Wilcox-O'Hearn and
// Winnerlein, 2016, Section 2) for the sizes that hashed ElGamal over X25519 needs:
// 32 bytes of output, a key of 32, a message of twice 32. Unlike x/crypto's it allocates
// nothing, and it wipes what it computed on.
package blake2x

import (
	"encoding/binary"
	"math/bits"
)

// The sizes, in bytes.
const (
	size      = 32 // of everything that Sum takes and gives
	blockSize = 128
)

// Sum sets dst to the hash of the message first || second under key. dst may be
// any of them.
func Sum(dst, key, first, second *[size]byte) {
	// The root: a tree's parameters that say how long the output is, the key in a
	// block of its own, the message.
	var block [blockSize]byte
	h := iv
	h[0] ^= 1<<24 | 1<<16 | size<<8 | 64
	h[1] ^= size << 32
	copy(block[:], key[:])
	compress(&h, &block, blockSize, false)
	copy(block[:], first[:])
	copy(block[size:], second[:])
	compress(&h, &block, blockSize+2*size, true)

	// The one node of output: it hashes the root.
	for i, word := range h {
		binary.LittleEndian.PutUint64(block[8*i:], word)
	}
	clear(block[64:])
	h = iv
	h[0] ^= 64<<32 | size
	h[1] ^= size << 32
	h[2] ^= 64 << 8
	compress(&h, &block, 64, true)
	for i := range size / 8 {
		binary.LittleEndian.PutUint64(dst[8*i:], h[i])
	}
	clear(block[:])
	clear(h[:])
}

// iv is RFC 7693, Section 2.6.
var iv = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// sigma is RFC 7693, Section 2.7.
var sigma = [12][16]byte{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
	{11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
	{7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
	{9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
	{2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
	{12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
	{13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
	{6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
	{10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
	{14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
}

// compress is the compression function (RFC 7693, Section 3.2) after length bytes
// in all.
func compress(h *[8]uint64, block *[blockSize]byte, length uint64, last bool) {
	var m, v [16]uint64
	for i := range m {
		m[i] = binary.LittleEndian.Uint64(block[8*i:])
	}
	copy(v[:8], h[:])
	copy(v[8:], iv[:])
	v[12] ^= length
	if last {
		v[14] = ^v[14]
	}
	mix := func(a, b, c, d int, x, y uint64) {
		v[a] += v[b] + x
		v[d] = bits.RotateLeft64(v[d]^v[a], -32)
		v[c] += v[d]
		v[b] = bits.RotateLeft64(v[b]^v[c], -24)
		v[a] += v[b] + y
		v[d] = bits.RotateLeft64(v[d]^v[a], -16)
		v[c] += v[d]
		v[b] = bits.RotateLeft64(v[b]^v[c], -63)
	}
	for _, s := range sigma {
		mix(0, 4, 8, 12, m[s[0]], m[s[1]])
		mix(1, 5, 9, 13, m[s[2]], m[s[3]])
		mix(2, 6, 10, 14, m[s[4]], m[s[5]])
		mix(3, 7, 11, 15, m[s[6]], m[s[7]])
		mix(0, 5, 10, 15, m[s[8]], m[s[9]])
		mix(1, 6, 11, 12, m[s[10]], m[s[11]])
		mix(2, 7, 8, 13, m[s[12]], m[s[13]])
		mix(3, 4, 9, 14, m[s[14]], m[s[15]])
	}
	for i := range h {
		h[i] ^= v[i] ^ v[i+8]
	}
	clear(m[:])
	clear(v[:])
}
