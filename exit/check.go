package exit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/mail"
)

// errDamaged says that the store holds what no office writes.
var errDamaged = errors.New("it is damaged")

// Lengths in bytes of the store's keys.
const (
	numberLength = 8
	idLength     = len(mail.ParcelID{})
	indexLength  = idLength + 1
	dayLength    = 4
)

// maxFragment bounds a fragment's data, in bytes: what the largest packet carries.
const maxFragment = 1 << 20

// check refuses a store in which a bad disk has left anything but records and indexes
// that belong together: everything behind it relies on their lengths and bounds.
// Fragments, which are most of the store, are not looked at: a parcel whose fragments
// are damaged does not open.
func (s *store) check() error {
	return s.view(func(tx *bolt.Tx) error {
		var waits, stays int64
		for _, part := range []struct {
			bucket []byte
			sound  func(tx *bolt.Tx, key, value []byte) bool
		}{
			{parcels, soundParcel}, {recipients, soundRecipient}, {due, soundDue}, {ends, soundEnd}, {queue, soundTurn},
			{days, func(_ *bolt.Tx, key, value []byte) bool {
				return len(key) == dayLength && len(value) == numberLength
			}},
			{totals, func(_ *bolt.Tx, _, value []byte) bool {
				return len(value) == numberLength
			}},
		} {
			err := tx.Bucket(part.bucket).ForEach(func(key, value []byte) error {
				if !part.sound(tx, key, value) {
					return damagedIn(part.bucket)
				}
				if bytes.Equal(part.bucket, parcels) {
					p, _ := getParcel(tx, mail.ParcelID(key))
					waits, stays = waits+p.waits(), stays+p.stays()
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if total(tx, space) != waits || total(tx, kept) != stays {
			return damagedIn(totals)
		}
		return nil
	})
}

func damagedIn(bucket []byte) error { return fmt.Errorf("%w in its part %q", errDamaged, bucket) }

// waits and stays are a parcel's shares of the two totals.

func (p *parcel) waits() int64 {
	if p.Phase == incomplete {
		return p.bytes()
	}
	return 0
}

func (p *parcel) stays() int64 {
	switch p.Phase {
	case complete:
		return p.bytes() + p.records()
	case done:
		return p.records()
	}
	return 0
}

// soundParcel says whether a parcel is one, with its place in the indexes.
func soundParcel(tx *bolt.Tx, key, value []byte) bool {
	if len(key) != idLength || len(value) != binary.Size(parcel{}) {
		return false
	}
	id := mail.ParcelID(key)
	p, _ := getParcel(tx, id)
	if p.Phase > done || p.Count < 1 || p.Count > mail.MaxFragments || p.Size > maxFragment || p.Have&^p.all() != 0 ||
		p.End < p.Expires || tx.Bucket(ends).Get(endKey(id, &p)) == nil {
		return false
	}
	if p.Phase == incomplete {
		return p.Recipients == 0 && p.Have != p.all() && bytes.Equal(tx.Bucket(queue).Get(number(p.Turn)), key)
	}
	if p.Recipients < 1 || p.Recipients > mail.MaxRecipients || p.Have != p.all() || p.Turn != 0 {
		return false
	}
	for i := range int(p.Recipients) {
		if tx.Bucket(recipients).Get(indexKey(id, i)) == nil {
			return false
		}
	}
	return true
}

// soundRecipient says whether a recipient is one, of a parcel that has so many, and who
// waits if the parcel is not done.
func soundRecipient(tx *bolt.Tx, key, value []byte) bool {
	if len(key) != indexLength || len(value) < binary.Size(recipient{}) {
		return false
	}
	id, i := mail.ParcelID(key), int(key[idLength])
	p, ok := getParcel(tx, id)
	r, _, _ := getRecipient(tx, id, i)
	if !ok || i >= int(p.Recipients) || r.Outcome > mail.Expired {
		return false
	}
	if r.Outcome != mail.Waiting {
		return !r.Begun && r.Next == 0
	}
	return p.Phase == complete && tx.Bucket(due).Get(dueKey(r.Next, id, i)) != nil
}

// soundDue, soundEnd and soundTurn say whether what an index names is there.

func soundDue(tx *bolt.Tx, key, _ []byte) bool {
	if len(key) != numberLength+indexLength {
		return false
	}
	j := jobOf(key)
	r, _, ok := getRecipient(tx, j.id, j.index)
	return ok && r.Outcome == mail.Waiting && r.Next == j.at
}

func soundEnd(tx *bolt.Tx, key, _ []byte) bool {
	if len(key) != numberLength+idLength {
		return false
	}
	p, ok := getParcel(tx, mail.ParcelID(key[numberLength:]))
	return ok && p.End == binary.BigEndian.Uint64(key)
}

func soundTurn(tx *bolt.Tx, key, value []byte) bool {
	if len(key) != numberLength || len(value) != idLength {
		return false
	}
	p, ok := getParcel(tx, mail.ParcelID(value))
	return ok && p.Turn == binary.BigEndian.Uint64(key) && p.Turn != 0
}
