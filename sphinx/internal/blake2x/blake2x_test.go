package blake2x

import (
	"crypto/rand"
	"testing"

	"golang.org/x/crypto/blake2b"
)

func TestSum(t *testing.T) {
	for range 100 {
		var key, first, second [size]byte
		rand.Read(key[:])
		rand.Read(first[:])
		rand.Read(second[:])
		h, err := blake2b.NewXOF(size, key[:])
		if err != nil {
			t.Fatal(err)
		}
		h.Write(first[:])
		h.Write(second[:])
		var got, want [size]byte
		if _, err := h.Read(want[:]); err != nil {
			t.Fatal(err)
		}
		if Sum(&got, &key, &first, &second); got != want {
			t.Fatalf("Sum under %x of %x, %x = %x, want %x", key, first, second, got, want)
		}
	}
}
