package xwing

import (
	"bytes"
	"crypto/rand"
	"testing"

	reference "github.com/katzenpost/hpqc/kem/xwing"

	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// What filippo.io/mlkem768/xwing encapsulates, by way of hpqc, we decapsulate,
// and the other way round.
func TestBothWays(t *testing.T) {
	scheme := reference.Scheme()
	for range 20 {
		var seed [SeedSize]byte
		rand.Read(seed[:])
		theirPublic, theirPrivate := scheme.DeriveKeyPair(bytes.Clone(seed[:]))
		private, err := NewPrivateKey(&seed)
		if err != nil {
			t.Fatal(err)
		}
		want, err := theirPublic.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(private.PublicKey(), want) {
			t.Fatal("another public key")
		}
		public, err := NewPublicKey(want)
		if err != nil {
			t.Fatal(err)
		}

		ciphertext, secret, found := make([]byte, CiphertextSize), make([]byte, SecretSize), make([]byte, SecretSize)
		if err := public.Encapsulate(ciphertext, secret); err != nil {
			t.Fatal(err)
		}
		if theirs, err := scheme.Decapsulate(theirPrivate, ciphertext); err != nil || !bytes.Equal(theirs, secret) {
			t.Fatalf("the reference finds another secret in our ciphertext: %v", err)
		}
		if !private.Decapsulate(ciphertext, found) || !bytes.Equal(found, secret) {
			t.Fatal("we find another secret in our ciphertext")
		}
		if ciphertext, secret, err = scheme.Encapsulate(theirPublic); err != nil {
			t.Fatal(err)
		}
		if !private.Decapsulate(ciphertext, found) || !bytes.Equal(found, secret) {
			t.Fatal("we find another secret in the reference's ciphertext")
		}
		ciphertext[0] ^= 1
		if !private.Decapsulate(ciphertext, found) || bytes.Equal(found, secret) {
			t.Fatal("a forged ciphertext gives the same secret, or none")
		}
		clear(ciphertext[CiphertextSize-x25519.Size:])
		if private.Decapsulate(ciphertext, found) {
			t.Fatal("an element of low order gives a secret")
		}
		if private.Wipe(); *private != (PrivateKey{}) {
			t.Fatal("after Wipe there is something left")
		}
	}
}

func TestNewPublicKeyRefuses(t *testing.T) {
	private, err := NewPrivateKey(new([SeedSize]byte))
	if err != nil {
		t.Fatal(err)
	}
	good := private.PublicKey()
	lowOrder := bytes.Clone(good)
	clear(lowOrder[PublicKeySize-x25519.Size:])
	for name, bad := range map[string][]byte{
		"nothing":               nil,
		"a byte less":           good[1:],
		"a byte more":           append(bytes.Clone(good), 0),
		"none of ML-KEM-768":    append(bytes.Repeat([]byte{0xff}, 3), good[3:]...),
		"X25519's of low order": lowOrder,
	} {
		if _, err := NewPublicKey(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
