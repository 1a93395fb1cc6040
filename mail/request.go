package mail

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Kind is what a request asks of the exit.
type Kind uint8

// The kinds of requests. Their values are those on the wire.
const (
	Cover    Kind = iota // nothing but an answer
	Fragment             // keep this piece of a parcel
	Query                // say how a parcel fares
)

// Request is what one packet carries from a gateway to its exit.
//
// A Cover request has no other field. A Query has Parcel and Expires. A
// Fragment has them all: Key names the exit's key that the parcel is sealed to,
// Count is one of Buckets, Index is below Count, and Data fills the request.
type Request struct {
	Kind    Kind
	Parcel  ParcelID
	Key     KeyID
	Expires uint64 // epoch, see [Parcel]
	Index   uint8
	Count   uint8
	Data    []byte // FragmentCapacity(n) bytes
}

// requestHeader is the length in bytes of what precedes a fragment's data.
const requestHeader = 1 + 1 + 16 + 8 + 8 + 1 + 1

// FragmentCapacity is how many bytes of a sealed parcel a request of n bytes
// carries.
func FragmentCapacity(n int) int {
	return n - requestHeader
}

// Fragments is how many requests of n bytes carry s.
func (s Sealed) Fragments(n int) int {
	return len(s.Data) / FragmentCapacity(n)
}

// Request returns the request of n bytes for the fragment i, below
// s.Fragments(n). Its Data shares memory with s. The exit has s.Data back when
// it joins the fragments' Data in the order of their indices.
func (s Sealed) Request(i, n int) *Request {
	capacity := FragmentCapacity(n)
	return &Request{
		Kind: Fragment, Parcel: s.ID, Key: s.Key, Expires: s.Expires,
		Index: uint8(i), Count: uint8(s.Fragments(n)),
		Data: s.Data[i*capacity : (i+1)*capacity],
	}
}

// NewQuery returns a request for the state of a parcel.
func NewQuery(id ParcelID, expires uint64) *Request {
	return &Request{Kind: Query, Parcel: id, Expires: expires}
}

// Marshal returns the n bytes of the request. All kinds have the same length;
// what they do not fill is zero, since Sphinx encrypts the whole payload with a
// wide-block cipher, and nobody but the exit, who knows the kind anyway, ever
// sees it.
func (r *Request) Marshal(n int) ([]byte, error) {
	if !r.valid(n) {
		return nil, errors.New("marshalling a request: a field does not belong to its kind, or has the wrong size")
	}
	b := make([]byte, 0, n)
	b = append(b, version, byte(r.Kind))
	b = append(b, r.Parcel[:]...)
	b = append(b, r.Key[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Expires)
	b = append(b, r.Index, r.Count)
	b = append(b, r.Data...)
	return b[:n], nil
}

// ParseRequest parses the payload of one packet. The Request's Data is a copy.
// Whatever it accepts, Marshal(len(b)) writes back byte for byte.
func ParseRequest(b []byte) (*Request, error) {
	s := scanner{b: b}
	s.check(s.uint8() == version)
	r := &Request{Kind: Kind(s.uint8())}
	copy(r.Parcel[:], s.next(len(r.Parcel)))
	copy(r.Key[:], s.next(len(r.Key)))
	r.Expires = s.uint64()
	r.Index, r.Count = s.uint8(), s.uint8()
	if r.Kind == Fragment {
		r.Data = slices.Clone(s.next(len(s.b)))
	}
	s.padding()
	if s.bad || !r.valid(len(b)) {
		return nil, errors.New("parsing a request: it is malformed")
	}
	return r, nil
}

// valid reports whether r can be a request of n bytes.
func (r *Request) valid(n int) bool {
	if n <= requestHeader || (r.Kind == Cover) != (r.Parcel == ParcelID{}) {
		return false
	}
	if r.Kind == Fragment {
		return slices.Contains(Buckets, int(r.Count)) && r.Index < r.Count && len(r.Data) == FragmentCapacity(n)
	}
	bare := r.Key == KeyID{} && r.Index == 0 && r.Count == 0 && len(r.Data) == 0
	switch r.Kind {
	case Cover:
		return bare && r.Expires == 0
	case Query:
		return bare
	}
	return false
}
