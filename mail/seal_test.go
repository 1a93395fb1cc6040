package mail

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// size is the length of a request in the network's default geometry.
const size = 30000

func newKey(t *testing.T, day uint32) (DayKey, hpke.PrivateKey) {
	t.Helper()
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return NewDayKey(day, private.PublicKey().Bytes()), private
}

// TestParcelWay sends random parcels their whole way: sealed, cut, marshalled,
// parsed, joined in another order, opened.
func TestParcelWay(t *testing.T) {
	key, private := newKey(t, 20780)
	rng := rand.New(rand.NewPCG(3, 4))
	for range 30 {
		n := []int{size, 2000, 700}[rng.IntN(3)]
		p := randomParcel(rng)
		sealed, err := SealParcel(p, key, n)
		if err != nil {
			t.Fatal(err)
		}
		fragments := make([][]byte, sealed.Fragments(n))
		if !slices.Contains(Buckets, len(fragments)) {
			t.Fatalf("%d fragments", len(fragments))
		}
		var first *Request
		for _, i := range rng.Perm(len(fragments)) {
			b, err := sealed.Request(i, n).Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			r, err := ParseRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			if int(r.Index) != i || int(r.Count) != len(fragments) {
				t.Fatalf("fragment %d of %d says %d of %d", i, len(fragments), r.Index, r.Count)
			}
			fragments[r.Index] = r.Data
			first = r
		}
		joined := Sealed{ID: first.Parcel, Key: first.Key, Expires: first.Expires, Data: bytes.Join(fragments, nil)}
		if !reflect.DeepEqual(joined, sealed) {
			t.Fatal("the fragments do not join to what was sealed")
		}
		got, err := OpenParcel(joined, private)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, p) {
			t.Fatalf("opened %+q, want %+q", got.Message, p.Message)
		}
	}
}

// TestSealIsBound changes each thing that a fragment says of its parcel, and
// the data at both ends. Nothing of it opens.
func TestSealIsBound(t *testing.T) {
	key, private := newKey(t, 1)
	_, other := newKey(t, 1)
	sealed, err := SealParcel(sample(), key, 2000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenParcel(sealed, private); err != nil {
		t.Fatalf("unchanged: %v", err)
	}
	for _, c := range []struct {
		name   string
		change func(s *Sealed)
	}{
		{"id", func(s *Sealed) { s.ID[15] ^= 1 }},
		{"key", func(s *Sealed) { s.Key[0] ^= 1 }},
		{"expiry", func(s *Sealed) { s.Expires++ }},
		{"ML-KEM ciphertext", func(s *Sealed) { s.Data[0] ^= 1 }},
		{"X25519 share", func(s *Sealed) { s.Data[encapsulatedSize-32] ^= 1 }},
		{"plaintext", func(s *Sealed) { s.Data[encapsulatedSize] ^= 1 }},
		{"tag", func(s *Sealed) { s.Data[len(s.Data)-1] ^= 1 }},
		{"one byte less", func(s *Sealed) { s.Data = s.Data[:len(s.Data)-1] }},
		{"one byte more", func(s *Sealed) { s.Data = append(s.Data, 0) }},
		{"too short", func(s *Sealed) { s.Data = s.Data[:sealOverhead-1] }},
		{"no plaintext", func(s *Sealed) { s.Data = s.Data[:sealOverhead] }},
		{"nothing", func(s *Sealed) { s.Data = nil }},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := sealed
			changed.Data = bytes.Clone(sealed.Data)
			c.change(&changed)
			if p, err := OpenParcel(changed, private); err == nil {
				t.Errorf("opened %+v", p)
			}
		})
	}
	if _, err := OpenParcel(sealed, other); err == nil {
		t.Error("opened with another key")
	}
}

// TestOpenParcelCleans seals text that a gateway of ours would have cleaned.
func TestOpenParcelCleans(t *testing.T) {
	key, private := newKey(t, 1)
	p := sample()
	p.From, p.Subject, p.Body = "A\u200bnn", "AW: a\u200bb", "e\u0301\u200b\n"
	p.Attachments = []Attachment{{Text, []byte("\u200b\n")}, {CSV, []byte("e\u0301,\u200b\n")}, {PDF, []byte("%PDF-\u200b")}}
	sealed, err := SealParcel(p, key, size)
	if err != nil {
		t.Fatal(err)
	}
	got, err := OpenParcel(sealed, private)
	if err != nil {
		t.Fatal(err)
	}
	want := Message{Subject: "Re: ab", Body: "é\n", Attachments: []Attachment{{CSV, []byte("é,\n")}, {PDF, []byte("%PDF-\u200b")}}}
	if got.From != "Ann" || !reflect.DeepEqual(got.Message, want) {
		t.Errorf("opened %+q of %+q, want %+q", got.Message, got.From, want)
	}
}

// TestBuckets seals the largest mail of each bucket, and one byte more.
func TestBuckets(t *testing.T) {
	if !slices.IsSorted(Buckets) || Buckets[0] != 1 || slices.Max(Buckets) != MaxFragments || MaxFragments > 64 {
		t.Fatalf("Buckets are %v", Buckets)
	}
	for i := 1; i < len(Buckets); i++ {
		if Buckets[i] > 2*Buckets[i-1] {
			t.Errorf("the bucket %d is more than twice the one before it", Buckets[i])
		}
	}
	key, _ := newKey(t, 1)
	for i, bucket := range Buckets {
		p := sample()
		p.Body = ""
		room := bucket*FragmentCapacity(size) - sealOverhead - p.Size()
		p.Body = strings.Repeat("x", room-1) + "\n"
		sealed, err := SealParcel(p, key, size)
		if err != nil {
			t.Fatal(err)
		}
		if got := sealed.Fragments(size); got != bucket || len(sealed.Data) != bucket*FragmentCapacity(size) {
			t.Errorf("%d bytes take %d fragments, want %d", p.Size(), got, bucket)
		}
		p.Body = "x" + p.Body
		sealed, err = SealParcel(p, key, size)
		if bucket == MaxFragments {
			var refusal *Refusal
			if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "1077568") {
				t.Errorf("%d bytes: %v, want a Refusal that names the limit", p.Size(), err)
			}
			if p.Size() != MaxMail(size)+1 {
				t.Errorf("MaxMail is %d, and %d bytes are the first too many", MaxMail(size), p.Size())
			}
		} else if got := sealed.Fragments(size); err != nil || got != Buckets[i+1] {
			t.Errorf("%d bytes take %d fragments, %v; want %d", p.Size(), got, err, Buckets[i+1])
		}
	}
}

func TestSealParcelRefuses(t *testing.T) {
	good, _ := newKey(t, 1)
	for _, c := range []struct {
		name string
		p    *Parcel
		key  DayKey
		n    int
	}{
		{"no recipients", &Parcel{}, good, size},
		{"no key", sample(), DayKey{}, size},
		{"half a key", sample(), NewDayKey(1, good.Public[:600]), size},
		{"a key that is none", sample(), NewDayKey(1, bytes.Repeat([]byte{0xff}, publicSize)), size},
		{"no room for a header", sample(), good, requestHeader},
		{"requests of no size", sample(), good, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			if s, err := SealParcel(c.p, c.key, c.n); err == nil {
				t.Errorf("sealed %d bytes", len(s.Data))
			}
		})
	}
}

// TestSealIsFresh seals the same parcel twice: nothing of the two is alike.
func TestSealIsFresh(t *testing.T) {
	key, _ := newKey(t, 1)
	a, err := SealParcel(sample(), key, 2000)
	if err != nil {
		t.Fatal(err)
	}
	b, err := SealParcel(sample(), key, 2000)
	if err != nil {
		t.Fatal(err)
	}
	if a.ID == b.ID || bytes.Equal(a.Data[:64], b.Data[:64]) || bytes.Equal(a.Data[encapsulatedSize:], b.Data[encapsulatedSize:]) {
		t.Error("two seals share an id or bytes")
	}
}
