//go:build !amd64 || purego

package cipher

const accelerated = false

func xorStream(*[StreamKeySize]byte, *[NonceSize]byte, []byte) { panic("not reached") }
func crypt(*[BlockKeySize]byte, *[NonceSize]byte, []byte, int) { panic("not reached") }
