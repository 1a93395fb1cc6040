package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/fxamacker/cbor/v2"

	"codeberg.org/sourdine/sourdine/mail"
)

// A stored value is framed: one byte of version, the CRC-32C of parcel id and content as a big-endian
// uint32, the content. The checksum finds a disk's slips, which bbolt's pages do not.
const (
	version   = 1
	frameSize = 1 + 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errVersion is about a file that this program is too old for.
var errVersion = errors.New("the queue was written by a newer version of this program: use that version")

func frame(id mail.ParcelID, content []byte) []byte {
	b := make([]byte, 0, frameSize+len(content))
	b = append(b, version)
	b = binary.BigEndian.AppendUint32(b, checksum(id, content))
	return append(b, content...)
}

func unframe(id mail.ParcelID, b []byte) ([]byte, error) {
	switch {
	case len(b) < frameSize || b[0] == 0:
		return nil, ErrDamaged
	case b[0] != version:
		return nil, errVersion
	case binary.BigEndian.Uint32(b[1:]) != checksum(id, b[frameSize:]):
		return nil, ErrDamaged
	}
	return b[frameSize:], nil
}

func checksum(id mail.ParcelID, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(id[:], castagnoli), castagnoli, content)
}

// record is the content of a mail's record: a CBOR array (RFC 8949) of its fields in this order, in the
// core deterministic encoding (section 4.2.1). The id is the key it is stored under. No field is
// the time of submission; but Expires lies a fixed time after it, and so tells its epoch.
type record struct {
	_         struct{} `cbor:",toarray"`
	Key       mail.KeyID
	Expires   uint64
	Fragments int
	Have      uint64
	Queries   []int64 // seconds since 1970-01-01 UTC
	State     mail.State
	Results   []byte
	Delivered int
	Failed    int
	Expired   int
	Waiting   int
	Final     bool
	Unknown   bool
	Card      []byte
	Tag       [32]byte
	Exit      [32]byte
}

// Limits of a record and of a sealed parcel. A hundred recipients with their longest reasons, and the
// largest bucket of fragments, fit several times.
const (
	maxParcel  = 8 << 20 // bytes
	maxQueries = 16
	maxOpaque  = 256 << 10 // bytes of Results, and of Card
	maxRecord  = 2*maxOpaque + 1024
	maxTime    = 1 << 38 // seconds: the year 10680
)

var (
	encoding = must(cbor.CoreDetEncOptions().EncMode())
	decoding = must(cbor.DecOptions{
		MaxNestedLevels:  4, // the least that cbor allows
		MaxArrayElements: maxQueries,
		MaxMapPairs:      maxQueries,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
	}.DecMode())
)

func must[T any](mode T, err error) T {
	if err != nil {
		panic(err)
	}
	return mode
}

// encode returns the mail's framed record, or an error if a field is out of bounds.
func (m *Mail) encode() ([]byte, error) {
	r := record{
		Exit: m.Exit, Key: m.Key, Expires: m.Expires, Fragments: m.Fragments, Have: m.Have, State: m.State,
		Results: m.Results, Delivered: m.Delivered, Failed: m.Failed, Expired: m.Expired, Waiting: m.Waiting,
		Final: m.Final, Unknown: m.Unknown, Card: m.Card, Tag: m.Tag,
	}
	for _, at := range m.Queries {
		r.Queries = append(r.Queries, at.Unix())
	}
	if err := r.valid(); err != nil {
		return nil, err
	}
	content, err := encoding.Marshal(&r)
	if err != nil {
		return nil, fmt.Errorf("encoding a record: %w", err)
	}
	return frame(m.ID, content), nil
}

// decode reads what encode returned for the mail with this id, and nothing else.
func decode(id mail.ParcelID, b []byte) (Mail, error) {
	content, err := unframe(id, b)
	if err != nil {
		return Mail{}, err
	}
	var r record
	if len(content) > maxRecord || decoding.Unmarshal(content, &r) != nil || r.valid() != nil {
		return Mail{}, ErrDamaged
	}
	if same, err := encoding.Marshal(&r); err != nil || !bytes.Equal(same, content) {
		return Mail{}, ErrDamaged
	}
	m := Mail{
		ID: id, Exit: r.Exit, Key: r.Key, Expires: r.Expires, Fragments: r.Fragments, Have: r.Have, State: r.State,
		Results: r.Results, Delivered: r.Delivered, Failed: r.Failed, Expired: r.Expired, Waiting: r.Waiting,
		Final: r.Final, Unknown: r.Unknown, Card: r.Card, Tag: r.Tag,
	}
	for _, at := range r.Queries {
		m.Queries = append(m.Queries, time.Unix(at, 0).UTC())
	}
	return m, nil
}

func (r *record) valid() error {
	switch {
	case r.Fragments < 1 || r.Fragments > mail.MaxFragments:
		return fmt.Errorf("a mail has 1 to %d fragments", mail.MaxFragments)
	case r.Have>>r.Fragments != 0:
		return errors.New("the exit has fragments that the mail does not")
	case r.State < mail.StateUnknown || r.State > mail.StateDone:
		return errors.New("a mail cannot be in this state")
	case len(r.Queries) > maxQueries:
		return fmt.Errorf("a mail is asked for at %d moments at most", maxQueries)
	case len(r.Results) > maxOpaque || len(r.Card) > maxOpaque:
		return fmt.Errorf("results and card have at most %d bytes each", maxOpaque)
	}
	for _, n := range []int{r.Delivered, r.Failed, r.Expired, r.Waiting} {
		if n < 0 || n > mail.MaxRecipients {
			return fmt.Errorf("a mail has at most %d recipients", mail.MaxRecipients)
		}
	}
	for _, at := range r.Queries {
		if at < 0 || at >= maxTime {
			return errors.New("a mail is asked for at an impossible moment")
		}
	}
	return nil
}
