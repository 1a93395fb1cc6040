//go:build amd64 && !purego

package cipher

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

var accelerated = cpu.X86.HasAES && cpu.X86.HasAVX

// block is 16 bytes as memory has them.
type block [2]uint64

func load(b []byte) block {
	return block{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (b *block) store(dst []byte) {
	binary.LittleEndian.PutUint64(dst, b[0])
	binary.LittleEndian.PutUint64(dst[8:], b[1])
}

func (b block) xor(c block) block { return block{b[0] ^ c[0], b[1] ^ c[1]} }
