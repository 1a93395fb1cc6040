package blake2x

import (
	"crypto/rand"
	"testing"

	"golang.org/x/crypto/blake2b"
)

func TestSum(t *testing.T) {
	for range 100 {
		var key [keySize]byte
		var message [messageSize]byte
		rand.Read(key[:])
		rand.Read(message[:])
		h, err := blake2b.NewXOF(size, key[:])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(message[:])
		var got, want [size]byte
		if _, err := h.Read(want[:]); err != nil {
			t.Fatal(err)
		}
		if Sum(&got, &key, &message); got != want {
			t.Fatalf("Sum under %x of %x = %x, want %x", key, message, got, want)
		}
	}
}
