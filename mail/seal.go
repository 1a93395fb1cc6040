package mail

import (
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// ParcelID names a parcel between gateway and exit. It is random and says
// nothing about the mail.
type ParcelID [16]byte

// KeyID is the first 8 bytes of the SHA-256 of a public key's bytes.
type KeyID [8]byte

// DayKey is an exit's public key of one day.
type DayKey struct {
	ID     KeyID
	Day    uint32 // days since 1970-01-01 UTC
	Public []byte // MLKEM768-X25519 (X-Wing, draft-ietf-hpke-pq), 1216 bytes
}

// NewDayKey returns the DayKey of a public key's bytes.
func NewDayKey(day uint32, public []byte) DayKey {
	digest := sha256.Sum256(public)
	return DayKey{ID: KeyID(digest[:]), Day: day, Public: public}
}

// Sizes in bytes of an X-Wing public key, an X-Wing encapsulation
// (draft-ietf-hpke-pq) and a Poly1305 tag (RFC 8439).
const (
	publicSize       = 1216
	encapsulatedSize = 1120
	sealOverhead     = encapsulatedSize + 16
)

// sealLabel is the HPKE info of every parcel.
const sealLabel = "sourdine parcel v1"

// Buckets are the numbers of fragments a sealed parcel may have, ascending, so
// that a parcel's size says little about the mail's: each is at most twice the one
// before it.
var Buckets = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 36}

// MaxFragments is the largest of Buckets.
const MaxFragments = 36

// Sealed is a parcel sealed to an exit's key. Its other fields go in clear
// (inside the packet) with every fragment of Data, and the seal binds them:
// opening fails if one was changed.
type Sealed struct {
	ID      ParcelID
	Key     KeyID
	Expires uint64 // epoch, see [Parcel]
	Data    []byte // HPKE encapsulation, ciphertext and tag; a whole number of fragments
}

// MaxMail is the largest [Parcel.Size] in bytes that fits into a parcel sent in
// requests of n bytes.
func MaxMail(n int) int {
	return MaxFragments*FragmentCapacity(n) - sealOverhead
}

// Room is how many bytes the message may take, by [Message.Size], for the parcel to be
// sealed for requests of n bytes, whatever earlier mails it refers to.
func (p *Parcel) Room(n int) int {
	besides := p.Size() - p.Message.Size() + MessageIDLength*(MaxReferences-len(p.References))
	return MaxMail(n) - besides
}

// SealParcel pads p with zeros to the smallest bucket of fragments for requests
// of n bytes, and seals it to the exit's key with HPKE (RFC 9180, base mode:
// MLKEM768-X25519, HKDF-SHA256, ChaCha20-Poly1305) under a fresh random id. The
// error is a *[Refusal] if the mail is too large, and otherwise says what is wrong
// with p or key.
func SealParcel(p *Parcel, key DayKey, n int) (Sealed, error) {
	if p.Size() > MaxMail(n) {
		return Sealed{}, refuse("The mail is too large: with its attachments and recipients it takes %d bytes, and at most %d can be sent. Shorten it, or attach less.", p.Size(), max(0, MaxMail(n)))
	}
	var plain int
	for _, count := range Buckets {
		if plain = count*FragmentCapacity(n) - sealOverhead; p.Size() <= plain {
			break
		}
	}
	b, err := p.marshal(plain)
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing a parcel: %w", err)
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(key.Public)
	if err != nil {
		return Sealed{}, fmt.Errorf("reading the exit's key: %w", err)
	}
	s := Sealed{Key: NewDayKey(key.Day, key.Public).ID, Expires: p.Expires}
	rand.Read(s.ID[:])
	encapsulated, sender, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(sealLabel))
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing a parcel: %w", err)
	}
	ciphertext, err := sender.Seal(s.bound(), b)
	if err != nil {
		return Sealed{}, fmt.Errorf("sealing a parcel: %w", err)
	}
	s.Data = append(encapsulated, ciphertext...)
	return s, nil
}

// OpenParcel opens what [SealParcel] sealed. It fails if any field of s was
// changed or the plaintext is not a well-formed parcel; the error quotes
// neither. It puts all texts into canonical form once more, so that an
// unusual gateway leaves no mark on what the exit hands over.
func OpenParcel(s Sealed, private hpke.PrivateKey) (*Parcel, error) {
	if len(s.Data) < sealOverhead {
		return nil, errors.New("opening a parcel: it is too short")
	}
	recipient, err := hpke.NewRecipient(s.Data[:encapsulatedSize], private, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), []byte(sealLabel))
	if err != nil {
		return nil, fmt.Errorf("opening a parcel: %w", err)
	}
	b, err := recipient.Open(s.bound(), s.Data[encapsulatedSize:])
	if err != nil {
		return nil, fmt.Errorf("opening a parcel: %w", err)
	}
	p, err := unmarshalParcel(b)
	if err != nil {
		return nil, fmt.Errorf("opening a parcel: %w", err)
	}
	p.Expires = s.Expires
	p.clean()
	return p, nil
}

// bound returns the HPKE additional data: id, key id and expiry.
func (s Sealed) bound() []byte {
	b := append(s.ID[:], s.Key[:]...)
	return binary.BigEndian.AppendUint64(b, s.Expires)
}
