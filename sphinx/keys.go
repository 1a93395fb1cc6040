package sphinx

import (
	"crypto/sha256"
	"crypto/sha512"
	"hash"
	"sync"

	"golang.org/x/crypto/chacha20"
)

// keys are what a hop derives from the secret: one output of HKDF-Expand with
// SHA-256 (RFC 5869, Section 2.3), the secret its PRK, cut up into what the paper
// has hash functions for. Their names stand behind.
type keys [160]byte

const kdfInfo = "katzenpost-kdf-v0-hkdf-sha256"

func (k *keys) macKey() *[32]byte     { return (*[32]byte)(k[0:]) }  // h_µ
func (k *keys) streamKey() *[32]byte  { return (*[32]byte)(k[32:]) } // h_ρ
func (k *keys) nonce() *[16]byte      { return (*[16]byte)(k[64:]) } // of ρ and π
func (k *keys) payloadKey() *[48]byte { return (*[48]byte)(k[80:]) } // h_π

// blindingFactor fills dst with the factor that makes a NIKE's element the next
// hop's, h_b: the beginning of a ChaCha20 stream (RFC 8439, Section 2.4) whose
// nonce is zero.
func (k *keys) blindingFactor(dst []byte) {
	c, err := chacha20.NewUnauthenticatedCipher(k[128:], zeroNonce[:])
	if err != nil {
		panic(err) // key and nonce have their lengths
	}
	clear(dst)
	c.XORKeyStream(dst, dst)
	*c = chacha20.Cipher{}
}

var zeroNonce [chacha20.NonceSize]byte

// derive fills k, of which only a NIKE needs the end.
func (k *keys) derive(w *workspace, secret []byte, blinds bool) {
	blocks := len(k) / sha256.Size
	if !blinds {
		blocks--
	}
	w.setKey(secret)
	var previous []byte
	for i := range blocks {
		w.counter[0] = byte(i + 1)
		w.hmac((*[32]byte)(k[i*sha256.Size:]), previous, info, w.counter[:])
		previous = k[i*sha256.Size:][:sha256.Size]
	}
}

var info = []byte(kdfInfo)

// workspace is the memory of one operation. It is kept for the next, so that
// none allocates.
type workspace struct {
	inner, outer [sha256.BlockSize]byte // HMAC's padded keys
	hash         hash.Hash              // SHA-256
	counter      [1]byte
	sum, digest  [sha256.Size]byte
	secret       [maxSecretLength]byte
	keys         keys
	routing      []byte // a hop's routing info, with room for one hop more
}

// setKey and hmac are HMAC-SHA-256 (RFC 2104) for keys of at most a block.
func (w *workspace) setKey(key []byte) {
	for i := range w.inner {
		w.inner[i], w.outer[i] = 0x36, 0x5c
	}
	for i, b := range key {
		w.inner[i] ^= b
		w.outer[i] ^= b
	}
}

func (w *workspace) hmac(dst *[sha256.Size]byte, message ...[]byte) {
	w.hash.Reset()
	w.hash.Write(w.inner[:])
	for _, part := range message {
		w.hash.Write(part)
	}
	w.hash.Sum(w.sum[:0])
	w.hash.Reset()
	w.hash.Write(w.outer[:])
	w.hash.Write(w.sum[:])
	w.hash.Sum(dst[:0])
}

// release wipes the workspace and keeps it for another operation.
func (w *workspace) release() {
	clear(w.inner[:])
	clear(w.outer[:])
	clear(w.sum[:])
	clear(w.digest[:])
	clear(w.secret[:])
	clear(w.keys[:])
	clear(w.routing)
	w.hash.Reset()
	w.hash.Write(w.sum[:]) // in place of the last inner hash, which its buffer holds
	w.hash.Reset()
	workspaces.Put(w)
}

var workspaces = sync.Pool{New: func() any { return &workspace{hash: sha256.New()} }}

// replayTag is what a node remembers of a packet, h_τ: the hash of its element,
// where the paper hashes the secret.
func replayTag(element []byte) [32]byte { return sha512.Sum512_256(element) }

// zero reports whether all bytes are zero, in a time that does not tell.
func zero(b []byte) bool {
	var all byte
	for _, v := range b {
		all |= v
	}
	return all == 0
}
