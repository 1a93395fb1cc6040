package keyring

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/text/unicode/norm"
)

// ErrPassword says that no slot, or not the one asked for, opens with the password given.
var ErrPassword = errors.New("wrong password")

// sealVersion is the first byte of everything that Seal makes.
const sealVersion = 1

// saltLength is what RFC 9106 section 3.1 recommends for password hashing, in bytes.
const saltLength = 16

// Cost is the work of one password attempt, in the terms of Argon2id (RFC 9106 section 3.1).
type Cost struct {
	Memory  uint32 `json:"memory_kib"` // KiB
	Passes  uint32 `json:"passes"`
	Threads uint8  `json:"threads"`
}

// DefaultCost is the second recommended option of RFC 9106 section 4 (64 MiB, 3 passes), on one thread: the
// small boxes this runs on have other work to do.
var DefaultCost = Cost{Memory: 64 << 10, Passes: 3, Threads: 1}

// valid bounds what a file may ask of us: eight slots of the dearest cost take some seconds and 128 MiB.
func (c Cost) valid() bool {
	return c.Memory >= 8 && c.Memory <= 128<<10 &&
		c.Passes >= 1 && c.Passes <= 6 &&
		c.Threads >= 1 && c.Threads <= 4
}

// slot is the private key sealed under one password.
type slot struct {
	Name string `json:"name"`
	Salt []byte `json:"salt"`
	Cost
	Sealed []byte `json:"sealed"`
}

// Ring is an open key file: the public key, and the private key in its sealed slots. It is safe for concurrent
// use.
type Ring struct {
	public hpke.PublicKey

	unlocking sync.Mutex // one Argon2 at a time: each takes the memory of a slot's Cost; guards slots
	slots     []slot
}

// generate makes a ring with a new key pair and one slot.
func generate(name string, password []byte, cost Cost) (*Ring, error) {
	if !cost.valid() {
		return nil, fmt.Errorf("password cost out of bounds: %+v", cost)
	}
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making a key pair: %w", err)
	}
	seed, err := private.Bytes()
	if err != nil {
		return nil, fmt.Errorf("making a key pair: %w", err)
	}
	defer clear(seed)
	r := &Ring{public: private.PublicKey()}
	return r, r.give(name, password, seed, cost)
}

// Give makes password open the key under this name, besides the names there are. A name that is there gets the new
// password in place of its own. current is any password that opens the key now; without one that does, Give returns
// ErrPassword. The caller wipes both passwords, and calls Save.
func (r *Ring) Give(name string, current, password []byte) error {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	seed := r.seed(current)
	if seed == nil {
		return ErrPassword
	}
	defer clear(seed)
	return r.give(name, password, seed, r.slots[0].Cost)
}

// give seals the seed under a password. The caller holds r.unlocking, or the ring is new.
func (r *Ring) give(name string, password, seed []byte, cost Cost) error {
	at := r.find(name)
	switch {
	case len(password) == 0:
		return errors.New("the password is empty: choose one")
	case len(name) > maxSlotName:
		return fmt.Errorf("the name is longer than %d bytes: choose a shorter one", maxSlotName)
	case at < 0 && len(r.slots) == maxSlots:
		return fmt.Errorf("the key has %d passwords already: remove one first", maxSlots)
	}
	s := slot{Name: name, Salt: make([]byte, saltLength), Cost: cost}
	rand.Read(s.Salt)
	s.seal(password, seed)
	if at >= 0 {
		r.slots[at] = s
	} else {
		r.slots = append(r.slots, s)
	}
	return nil
}

// Take removes the password under this name, unless it is the last. A copy of the file that was made before still
// opens with it.
func (r *Ring) Take(name string) error {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	at := r.find(name)
	switch {
	case at < 0:
		return errors.New("the key has no password under this name")
	case len(r.slots) == 1:
		return errors.New("this is the key's last password: without it nobody could open the key")
	}
	r.slots = slices.Delete(r.slots, at, at+1)
	return nil
}

// Has reports whether there is a password under this name.
func (r *Ring) Has(name string) bool {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	return r.find(name) >= 0
}

// find returns the index of the slot of this name, or -1. The caller holds r.unlocking.
func (r *Ring) find(name string) int {
	return slices.IndexFunc(r.slots, func(s slot) bool { return s.Name == name })
}

// Seal encrypts plaintext to the ring's public key; no secret is needed. The label names what the plaintext is
// (it becomes the HPKE info), and Key.Open must name the same. The result is 1,137 bytes longer than plaintext.
func (r *Ring) Seal(label string, plaintext []byte) ([]byte, error) {
	sealed, err := hpke.Seal(r.public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(label), plaintext)
	if err != nil {
		return nil, fmt.Errorf("sealing to the user's key: %w", err)
	}
	return append([]byte{sealVersion}, sealed...), nil
}

// Unlock opens the private key with any of its passwords, or returns ErrPassword. It tries every slot whether or not
// an earlier one opened, so its work tells nothing about which slot or whether one fits. Attempts wait for one
// another; the caller bounds how many wait. The caller wipes the password and, when done, the Key.
func (r *Ring) Unlock(password []byte) (*Key, error) {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	return r.unlocked(r.seed(password))
}

// UnlockAs is Unlock with the password under this name and no other. A name that is not there costs the work of one
// password, too, and the answer is the same.
func (r *Ring) UnlockAs(name string, password []byte) (*Key, error) {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	at := r.find(name)
	seed := r.slots[max(at, 0)].open(password)
	if at < 0 {
		clear(seed)
		seed = nil
	}
	return r.unlocked(seed)
}

// seed opens every slot with a password and returns the private key's seed, or nil. The caller holds r.unlocking, and
// wipes the seed.
func (r *Ring) seed(password []byte) []byte {
	var seed []byte
	for i := range r.slots {
		if opened := r.slots[i].open(password); opened != nil {
			seed = opened
		}
	}
	return seed
}

// unlocked makes a Key of the seed, and wipes the seed.
func (r *Ring) unlocked(seed []byte) (*Key, error) {
	if seed == nil {
		return nil, ErrPassword
	}
	defer clear(seed)
	key, err := newKey(seed)
	if err != nil {
		return nil, fmt.Errorf("unlocking the user's key: %w", err)
	}
	if !bytes.Equal(key.private.PublicKey().Bytes(), r.public.Bytes()) {
		key.Wipe()
		return nil, errors.New("the key file's public key is not the private key's: somebody changed the file; " +
			"what was sealed since cannot be opened, restore the file from a copy")
	}
	return key, nil
}

// seal fills the slot with the seed of the private key. The slot's key seals this one plaintext and never
// another, as its salt is fresh, so the nonce can be zero.
func (s *slot) seal(password, seed []byte) {
	key := s.key(password)
	defer clear(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // the key is 32 bytes
	}
	s.Sealed = aead.Seal(nil, make([]byte, aead.NonceSize()), seed, s.header())
}

// open returns the seed of the private key, or nil if the password or a byte of the slot is wrong.
func (s *slot) open(password []byte) []byte {
	key := s.key(password)
	defer clear(key)
	aead, err := chacha20poly1305.New(key)
	if err != nil {
		panic(err) // the key is 32 bytes
	}
	seed, err := aead.Open(nil, make([]byte, aead.NonceSize()), s.Sealed, s.header())
	if err != nil {
		return nil
	}
	return seed
}

// key stretches the password. It is brought to NFC first (RFC 8265 section 4.2.2), because two programs may
// spell the same accented password in different bytes.
func (s *slot) key(password []byte) []byte {
	normal := norm.NFC.Append(make([]byte, 0, 3*len(password)), password...)
	defer clear(normal[:cap(normal)])
	return argon2.IDKey(normal, s.Salt, s.Passes, s.Memory, s.Threads, chacha20poly1305.KeySize)
}

// header is everything in the slot but the sealed key, in one unambiguous string of bytes; it is authenticated
// together with the sealed key.
func (s *slot) header() []byte {
	h := sha256.New()
	writeParts(h, []byte("sourdine key slot v1"), []byte(s.Name), s.Salt)
	cost := binary.BigEndian.AppendUint32(nil, s.Memory)
	cost = binary.BigEndian.AppendUint32(cost, s.Passes)
	h.Write(append(cost, s.Threads))
	return h.Sum(nil)
}
