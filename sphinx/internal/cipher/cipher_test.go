package cipher

import (
	"bytes"
	stdaes "crypto/aes"
	stdcipher "crypto/cipher"
	"math/rand/v2"
	"testing"

	"gitlab.com/yawning/aez.git"
)

// random returns n bytes that are the same in each run.
func random(rng *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	rng.Read(b)
	return b
}

// The wide block is AEZ's for every remainder of the length in pairs and in
// groups of pairs, and for packets' lengths.
func TestBlock(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{1})
	lengths := []int{2 << 10, 37_294, 1 << 20}
	for n := MinBlock; n < 700; n++ {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		key, nonce := [BlockKeySize]byte(random(rng, BlockKeySize)), [NonceSize]byte(random(rng, NonceSize))
		plain := random(rng, n)
		want := aez.Encrypt(key[:], nonce[:], nil, 0, plain, nil)
		got := bytes.Clone(plain)
		Encrypt(&key, &nonce, got)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: other than AEZ", n)
		}
		Decrypt(&key, &nonce, got)
		if !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: decrypted to something else", n)
		}
	}
}

// The stream is the standard library's, and its counter carries over all bytes.
func TestStream(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{2})
	for n := range 400 {
		key, nonce := [StreamKeySize]byte(random(rng, StreamKeySize)), [NonceSize]byte(random(rng, NonceSize))
		if n%2 == 1 {
			copy(nonce[n%16:], bytes.Repeat([]byte{0xff}, 16)) // as many as fit
		}
		got := random(rng, n)
		want := bytes.Clone(got)
		block, err := stdaes.NewCipher(key[:])
		if err != nil {
			t.Fatal(err)
		}
		stdcipher.NewCTR(block, nonce[:]).XORKeyStream(want, want)
		XORStream(&key, &nonce, got)
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: other than AES-CTR", n)
		}
	}
}

func TestShortMessagePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Encrypt(new([BlockKeySize]byte), new([NonceSize]byte), make([]byte, MinBlock-1))
}

func BenchmarkBlock(b *testing.B) {
	var (
		key     [BlockKeySize]byte
		nonce   [NonceSize]byte
		message = make([]byte, 32<<10)
	)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Decrypt(&key, &nonce, message)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			aez.Decrypt(key[:], nonce[:], nil, 0, message, nil)
		}
	})
}

func BenchmarkStream(b *testing.B) {
	var (
		key    [StreamKeySize]byte
		nonce  [NonceSize]byte
		header = make([]byte, 7212)
	)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			XORStream(&key, &nonce, header)
		}
	})
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			block, _ := stdaes.NewCipher(key[:])
			stdcipher.NewCTR(block, nonce[:]).XORKeyStream(header, header)
		}
	})
}
