package mail

import (
	"bytes"
	"reflect"
	"testing"
)

func TestRequestRoundTrip(t *testing.T) {
	id := ParcelID{1, 2, 3}
	for _, r := range []*Request{
		{Kind: Cover},
		NewQuery(id, 83000),
		NewQuery(id, 0),
		{Kind: Fragment, Parcel: id, Key: KeyID{9}, Expires: 1<<64 - 1, Index: 35, Count: 36, Data: bytes.Repeat([]byte{7}, FragmentCapacity(100))},
		{Kind: Fragment, Parcel: id, Index: 0, Count: 1, Data: make([]byte, FragmentCapacity(100))},
	} {
		b, err := r.Marshal(100)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if len(b) != 100 {
			t.Errorf("kind %d takes %d bytes, want 100", r.Kind, len(b))
		}
		got, err := ParseRequest(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("parsed %+v, want %+v", got, r)
		}
		if b[len(b)-1] ^= 1; r.Kind != Fragment {
			if _, err := ParseRequest(b); err == nil {
				t.Errorf("kind %d: accepted padding that is not zero", r.Kind)
			}
		} else if got.Data[len(got.Data)-1] == b[len(b)-1] {
			t.Error("the fragment's data shares memory with the packet")
		}
	}
}

// TestRequestBounds changes one thing of a good request at a time. Neither
// direction takes it.
func TestRequestBounds(t *testing.T) {
	const n = 64
	fragment := func() *Request {
		return &Request{Kind: Fragment, Parcel: ParcelID{1}, Count: 4, Data: make([]byte, FragmentCapacity(n))}
	}
	for _, c := range []struct {
		name string
		make func() *Request
		ok   bool
	}{
		{"a fragment", fragment, true},
		{"an index as large as the count", func() *Request { r := fragment(); r.Index = 4; return r }, false},
		{"no count", func() *Request { r := fragment(); r.Count = 0; return r }, false},
		{"a count that is no bucket", func() *Request { r := fragment(); r.Count = 5; return r }, false},
		{"a count above the largest bucket", func() *Request { r := fragment(); r.Count = 48; return r }, false},
		{"a fragment of parcel zero", func() *Request { r := fragment(); r.Parcel = ParcelID{}; return r }, false},
		{"a query", func() *Request { return NewQuery(ParcelID{1}, 2) }, true},
		{"a query for parcel zero", func() *Request { return NewQuery(ParcelID{}, 2) }, false},
		{"a query with a key", func() *Request { r := NewQuery(ParcelID{1}, 2); r.Key[7] = 1; return r }, false},
		{"a query with an index", func() *Request { r := NewQuery(ParcelID{1}, 2); r.Index = 1; return r }, false},
		{"a query with a count", func() *Request { r := NewQuery(ParcelID{1}, 2); r.Count = 1; return r }, false},
		{"cover", func() *Request { return new(Request) }, true},
		{"cover with a parcel", func() *Request { return &Request{Parcel: ParcelID{1}} }, false},
		{"cover with an expiry", func() *Request { return &Request{Expires: 1} }, false},
		{"an unknown kind", func() *Request { return &Request{Kind: 3, Parcel: ParcelID{1}} }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := c.make()
			if _, err := r.Marshal(n); (err == nil) != c.ok {
				t.Errorf("Marshal: %v", err)
			}
			if _, err := ParseRequest(rawRequest(r, n)); (err == nil) != c.ok {
				t.Errorf("ParseRequest: %v", err)
			}
		})
	}
	for _, n := range []int{0, 1, requestHeader} {
		if _, err := new(Request).Marshal(n); err == nil {
			t.Errorf("marshalled a request of %d bytes", n)
		}
		if _, err := ParseRequest(rawRequest(new(Request), n)[:n]); err == nil {
			t.Errorf("parsed a request of %d bytes", n)
		}
	}
	if b, err := fragment().Marshal(n + 1); err == nil {
		t.Errorf("a fragment's data of the wrong size marshals to %d bytes", len(b))
	}
	b := rawRequest(new(Request), n)
	if b[0] = 2; b[0] == version {
		t.Fatal("the version is now 2")
	}
	if _, err := ParseRequest(b); err == nil {
		t.Error("accepted another version")
	}
}

// rawRequest writes what Marshal would if it checked nothing.
func rawRequest(r *Request, n int) []byte {
	b := make([]byte, max(n, requestHeader))
	b[0], b[1] = version, byte(r.Kind)
	copy(b[2:], r.Parcel[:])
	copy(b[18:], r.Key[:])
	for i := range 8 {
		b[26+i] = byte(r.Expires >> (56 - 8*i))
	}
	b[34], b[35] = r.Index, r.Count
	copy(b[36:], r.Data)
	return b
}
