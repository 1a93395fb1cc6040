package mail

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// State is what an exit says of a parcel.
type State uint8

// The states of a parcel. Their values are those on the wire.
const (
	StateNone       State = iota // the reply to a cover request: about no parcel
	StateUnknown                 // the exit never heard of it, or forgot it
	StateIncomplete              // some fragments are there, Missing says which are not
	StateComplete                // on the exit's disk: it will be delivered
	StateRefused                 // the exit will not deliver it, Reason says why
	StateDone                    // every recipient's outcome is final
)

// Outcome is what became of one recipient's copy.
type Outcome uint8

// The outcomes. Their values are those on the wire.
const (
	Waiting   Outcome = iota // not handed over yet
	Delivered                // the recipient's server accepted it
	Failed                   // the recipient's server refused it for good
	Expired                  // the parcel's epoch passed before a server accepted it
)

// Result is the outcome for one recipient. Reason is one line of printable
// ASCII of at most MaxReason bytes, such as "550 5.1.1 no such user", or empty.
type Result struct {
	Outcome Outcome
	Reason  string
}

// Limits of a reply.
const (
	MaxReason = 200 // bytes
	MaxKeys   = 4
)

// Reply is what an exit answers to every request: the state of the parcel that
// the request was about, and its signed keys of today and tomorrow.
//
// Parcel is zero exactly in StateNone. Missing is not zero exactly in
// StateIncomplete. Reason is for StateRefused only. Results are for
// StateComplete, where they may be left out, and StateDone; they stand in the
// order of the parcel's recipients.
type Reply struct {
	Parcel  ParcelID
	State   State
	Missing uint64 // bit i (1<<i) is set if fragment i is missing
	Reason  string // like Result.Reason
	Results []Result
	Keys    []SignedKey // at most MaxKeys
}

// SignedKey is a DayKey that its exit vouches for. Signature is 64 bytes of
// Ed25519 (RFC 8032) over "sourdine day key v1", the day as a big-endian
// uint32, and the public key.
type SignedKey struct {
	DayKey
	Signature []byte
}

// SignKey signs k with the exit's identity key.
func SignKey(k DayKey, signer ed25519.PrivateKey) SignedKey {
	return SignedKey{DayKey: k, Signature: ed25519.Sign(signer, k.signed())}
}

// Verify reports whether the exit with this identity key signed k, and k's ID
// is that of its public key.
func (k SignedKey) Verify(exit ed25519.PublicKey) bool {
	return len(exit) == ed25519.PublicKeySize && len(k.Public) == publicSize &&
		k.ID == NewDayKey(k.Day, k.Public).ID && ed25519.Verify(exit, k.signed(), k.Signature)
}

func (k DayKey) signed() []byte {
	b := binary.BigEndian.AppendUint32([]byte("sourdine day key v1"), k.Day)
	return append(b, k.Public...)
}

// CleanReason makes a Reason of any text, such as the answer of a recipient's
// server: line ends and other bytes that are not printable ASCII become single
// spaces, and what is longer than MaxReason is cut.
func CleanReason(text string) string {
	clean := strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }), " ")
	return strings.TrimRight(clean[:min(len(clean), MaxReason)], " ")
}

// Marshal returns the reply padded with zeros to n bytes. Where it does not fit, its
// reasons are cut, all at the same length: outcomes matter more.
func (r *Reply) Marshal(n int) ([]byte, error) {
	if !r.valid() {
		return nil, errors.New("marshalling a reply: a field does not belong to its state, or is out of bounds")
	}
	const step = 20
	for limit := MaxReason; limit >= 0; limit -= step {
		if b := r.marshal(limit); len(b) <= n {
			return append(b, make([]byte, n-len(b))...), nil
		}
	}
	return nil, errors.New("marshalling a reply: it does not fit")
}

// marshal returns the reply without padding, its reasons cut at limit bytes.
func (r *Reply) marshal(limit int) []byte {
	cut := func(reason string) string { return strings.TrimRight(reason[:min(len(reason), limit)], " ") }
	if limit >= MaxReason {
		cut = func(reason string) string { return reason }
	}
	b := []byte{version, byte(r.State)}
	b = append(b, r.Parcel[:]...)
	b = binary.BigEndian.AppendUint64(b, r.Missing)
	reason := cut(r.Reason)
	b = append(b, byte(len(reason)))
	b = append(b, reason...)
	b = append(b, byte(len(r.Results)))
	for _, result := range r.Results {
		reason := cut(result.Reason)
		b = append(b, byte(result.Outcome), byte(len(reason)))
		b = append(b, reason...)
	}
	b = append(b, byte(len(r.Keys)))
	for _, k := range r.Keys {
		b = binary.BigEndian.AppendUint32(b, k.Day)
		b = append(b, k.Public...)
		b = append(b, k.Signature...)
	}
	return b
}

// ParseReply parses what Marshal wrote, and whatever it accepts, Marshal(len(b))
// writes back byte for byte. It does not verify signatures.
func ParseReply(b []byte) (*Reply, error) {
	s := scanner{b: b}
	s.check(s.uint8() == version)
	r := &Reply{State: State(s.uint8())}
	copy(r.Parcel[:], s.next(len(r.Parcel)))
	r.Missing = s.uint64()
	r.Reason = string(s.next(int(s.uint8())))
	for range s.uint8() {
		r.Results = append(r.Results, Result{Outcome(s.uint8()), string(s.next(int(s.uint8())))})
	}
	for range s.uint8() {
		day := s.uint32()
		k := NewDayKey(day, slices.Clone(s.next(publicSize)))
		r.Keys = append(r.Keys, SignedKey{k, slices.Clone(s.next(ed25519.SignatureSize))})
	}
	s.padding()
	if s.bad || !r.valid() {
		return nil, errors.New("parsing a reply: it is malformed")
	}
	return r, nil
}

// valid reports whether every field belongs to r's state and is in bounds.
func (r *Reply) valid() bool {
	for _, result := range r.Results {
		if result.Outcome > Expired || !isReason(result.Reason) || r.State == StateDone && result.Outcome == Waiting {
			return false
		}
	}
	for _, k := range r.Keys {
		if len(k.Public) != publicSize || len(k.Signature) != ed25519.SignatureSize {
			return false
		}
	}
	return r.State <= StateDone && isReason(r.Reason) &&
		len(r.Results) <= MaxRecipients && len(r.Keys) <= MaxKeys && r.Missing>>MaxFragments == 0 &&
		(r.State == StateNone) == (r.Parcel == ParcelID{}) &&
		(r.State == StateIncomplete) == (r.Missing != 0) &&
		(r.State == StateRefused || r.Reason == "") &&
		(r.State == StateDone || r.State == StateComplete || len(r.Results) == 0) &&
		(r.State != StateDone || len(r.Results) > 0)
}

func isReason(s string) bool {
	return len(s) <= MaxReason && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}
