package keyring

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// ErrWiped says that a Key was used after Wipe.
var ErrWiped = errors.New("the user's key is locked again")

// Key is the unlocked private key. It is safe for concurrent use; its owner wipes it.
type Key struct {
	mu      sync.RWMutex
	private hpke.PrivateKey // nil once wiped
	tags    []byte          // the key of Tag; all zeros once wiped
}

// newKey makes a Key from the 32-byte seed of the private key, which stays the caller's.
func newKey(seed []byte) (*Key, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	tags, err := hkdf.Key(sha256.New, seed, nil, "sourdine tag key v1", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("deriving the tag key: %w", err)
	}
	return &Key{private: private, tags: tags}, nil
}

// Open decrypts what Ring.Seal made under the same label.
func (k *Key) Open(label string, sealed []byte) ([]byte, error) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.private == nil {
		return nil, ErrWiped
	}
	if len(sealed) == 0 || sealed[0] != sealVersion {
		return nil, errors.New("opening sealed data: not made by this version of the program")
	}
	plaintext, err := hpke.Open(k.private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(label), sealed[1:])
	if err != nil {
		return nil, fmt.Errorf("opening sealed data: %w", err)
	}
	return plaintext, nil
}

// Tag recognises data that was seen before: equal arguments give equal tags, and who lacks the key cannot test a
// guess. It is HMAC-SHA256 under a key derived from the private key, over the label and each piece of data with
// its length. A wiped Key gives tags that match no others of its ring.
func (k *Key) Tag(label string, data ...[]byte) [32]byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	mac := hmac.New(sha256.New, k.tags)
	writeParts(mac, append([][]byte{[]byte(label)}, data...)...)
	return [32]byte(mac.Sum(nil))
}

// Wipe forgets the key. The expanded forms inside the standard library's key types cannot be overwritten; they
// are left to the garbage collector.
func (k *Key) Wipe() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.private == nil {
		return
	}
	if seed, err := k.private.Bytes(); err == nil {
		clear(seed) // the key's own copy, not another
	}
	clear(k.tags)
	k.private = nil
}

// writeParts writes each part after its length, so that no two lists of parts give the same bytes. A hash never
// fails to be written to.
func writeParts(w io.Writer, parts ...[]byte) {
	for _, part := range parts {
		w.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		w.Write(part)
	}
}
