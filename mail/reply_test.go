package mail

import (
	"bytes"
	"crypto/ed25519"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func signedKey(day uint32) SignedKey {
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	return SignKey(NewDayKey(day, bytes.Repeat([]byte{byte(day)}, publicSize)), signer)
}

func TestReplyRoundTrip(t *testing.T) {
	id := ParcelID{1, 2, 3}
	full := strings.Repeat("x", MaxReason)
	for _, r := range []*Reply{
		{},
		{Keys: []SignedKey{signedKey(1), signedKey(2)}},
		{Parcel: id, State: StateUnknown},
		{Parcel: id, State: StateIncomplete, Missing: 1<<35 | 1},
		{Parcel: id, State: StateComplete},
		{Parcel: id, State: StateComplete, Results: []Result{{Waiting, "450 4.2.0 greylisted"}, {Delivered, ""}}},
		{Parcel: id, State: StateRefused, Reason: "this exit does not deliver to that domain"},
		{Parcel: id, State: StateDone, Results: []Result{{Delivered, "250 ok"}, {Failed, "550 5.1.1 no such user"}, {Expired, ""}}},
		{Parcel: id, State: StateDone, Results: slices.Repeat([]Result{{Failed, full}}, MaxRecipients),
			Keys: []SignedKey{signedKey(1), signedKey(2), signedKey(3), signedKey(4)}},
	} {
		b, err := r.Marshal(size)
		if err != nil {
			t.Fatalf("%+v: %v", r, err)
		}
		if len(b) != size {
			t.Errorf("a reply takes %d bytes, want %d", len(b), size)
		}
		got, err := ParseReply(b)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("parsed %+v, want %+v", got, r)
		}
		exact := len(bytes.TrimRight(b, "\x00"))
		for n := range exact {
			if _, err := ParseReply(b[:n]); err == nil {
				t.Errorf("accepted the first %d bytes of %d", n, exact)
				break
			}
		}
		if b[size-1] = 1; exact < size {
			if _, err := ParseReply(b); err == nil {
				t.Error("accepted padding that is not zero")
			}
		}
	}
}

// TestReplyBounds gives fields values that do not belong to the state, or that
// are out of bounds. Neither direction takes them.
func TestReplyBounds(t *testing.T) {
	id := ParcelID{1}
	short, unsigned := signedKey(1), signedKey(1)
	short.Public = short.Public[1:]
	unsigned.Signature = nil
	done := func(results ...Result) *Reply { return &Reply{Parcel: id, State: StateDone, Results: results} }
	for _, c := range []struct {
		name string
		r    *Reply
	}{
		{"an unknown state", &Reply{Parcel: id, State: 6}},
		{"a parcel in the reply to cover", &Reply{Parcel: id}},
		{"no parcel", &Reply{State: StateUnknown}},
		{"nothing missing", &Reply{Parcel: id, State: StateIncomplete}},
		{"something missing of a complete parcel", &Reply{Parcel: id, State: StateComplete, Missing: 1}},
		{"a fragment missing that cannot be", &Reply{Parcel: id, State: StateIncomplete, Missing: 1 << MaxFragments}},
		{"a reason without a refusal", &Reply{Parcel: id, State: StateComplete, Reason: "a"}},
		{"a long reason", &Reply{Parcel: id, State: StateRefused, Reason: strings.Repeat("x", MaxReason+1)}},
		{"a reason outside ASCII", &Reply{Parcel: id, State: StateRefused, Reason: "\u00e9"}},
		{"a reason of two lines", done(Result{Failed, "550 a\n550 b"})},
		{"a long reason of a result", done(Result{Failed, strings.Repeat("x", MaxReason+1)})},
		{"an unknown outcome", done(Result{4, ""})},
		{"done, but waiting", done(Result{Delivered, ""}, Result{Waiting, ""})},
		{"done, without results", done()},
		{"results of an incomplete parcel", &Reply{Parcel: id, State: StateIncomplete, Missing: 1, Results: []Result{{Waiting, ""}}}},
		{"too many results", done(slices.Repeat([]Result{{Delivered, ""}}, MaxRecipients+1)...)},
		{"too many keys", &Reply{Keys: slices.Repeat([]SignedKey{signedKey(1)}, MaxKeys+1)}},
		{"a key of the wrong size", &Reply{Keys: []SignedKey{short}}},
		{"a key without a signature", &Reply{Keys: []SignedKey{unsigned}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := c.r.Marshal(size); err == nil {
				t.Error("Marshal took it")
			}
			if r, err := ParseReply(rawReply(c.r)); err == nil {
				t.Errorf("ParseReply took it in state %d", r.State)
			}
		})
	}
	if _, err := (&Reply{Keys: []SignedKey{signedKey(1)}}).Marshal(1300); err == nil {
		t.Error("a reply fits where it cannot")
	}
	b := rawReply(&Reply{})
	if _, err := ParseReply(b); err != nil {
		t.Fatal(err)
	}
	b[0]++
	if _, err := ParseReply(b); err == nil {
		t.Error("accepted another version")
	}
}

// rawReply writes what Marshal would if it checked nothing.
func rawReply(r *Reply) []byte {
	b := []byte{version, byte(r.State)}
	b = append(b, r.Parcel[:]...)
	for i := range 8 {
		b = append(b, byte(r.Missing>>(56-8*i)))
	}
	b = append(append(b, byte(len(r.Reason))), r.Reason...)
	b = append(b, byte(len(r.Results)))
	for _, result := range r.Results {
		b = append(append(b, byte(result.Outcome), byte(len(result.Reason))), result.Reason...)
	}
	b = append(b, byte(len(r.Keys)))
	for _, k := range r.Keys {
		b = append(append(append(b, 0, 0, 0, byte(k.Day)), k.Public...), k.Signature...)
	}
	return b
}

func TestSignedKey(t *testing.T) {
	signer := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{5}, ed25519.SeedSize))
	exit := signer.Public().(ed25519.PublicKey)
	other := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	if !signedKey(1).Verify(exit) {
		t.Fatal("a good key does not verify")
	}
	for _, c := range []struct {
		name   string
		exit   ed25519.PublicKey
		change func(k *SignedKey)
	}{
		{"another exit", other, func(k *SignedKey) {}},
		{"no exit", nil, func(k *SignedKey) {}},
		{"another day", exit, func(k *SignedKey) { k.Day++ }},
		{"another key", exit, func(k *SignedKey) { k.DayKey = NewDayKey(k.Day, make([]byte, publicSize)) }},
		{"another id", exit, func(k *SignedKey) { k.ID[0] ^= 1 }},
		{"another signature", exit, func(k *SignedKey) { k.Signature[0] ^= 1 }},
		{"no signature", exit, func(k *SignedKey) { k.Signature = nil }},
		{"a key of another size", exit, func(k *SignedKey) { *k = SignKey(NewDayKey(1, []byte("short")), signer) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := signedKey(1)
			if c.change(&k); k.Verify(c.exit) {
				t.Error("verified")
			}
		})
	}
}

func TestCleanReason(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"550 5.1.1 no such user", "550 5.1.1 no such user"},
		{"550-a\r\n550 b\r\n", "550-a 550 b"},
		{"\x00caf\u00e9\x1b[0m \xff x ", "caf [0m x"},
		{strings.Repeat("x", 300), strings.Repeat("x", MaxReason)},
		{strings.Repeat("x", MaxReason-1) + " y", strings.Repeat("x", MaxReason-1)},
	} {
		got := CleanReason(c.in)
		if got != c.want || !isReason(got) {
			t.Errorf("CleanReason(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// Where the reasons of a hundred recipients do not fit, they are cut; the outcomes
// are all there.
func TestReasonsAreCut(t *testing.T) {
	r := &Reply{Parcel: ParcelID{1}, State: StateDone}
	for i := range MaxRecipients {
		r.Results = append(r.Results, Result{Outcome: Failed - Outcome(i%2), Reason: strings.Repeat("550 no. ", 25)})
	}
	b, err := r.Marshal(4000)
	if err != nil || len(b) != 4000 {
		t.Fatalf("%d bytes: %v", len(b), err)
	}
	back, err := ParseReply(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range back.Results {
		want := r.Results[i]
		if got.Outcome != want.Outcome || len(got.Reason) < 15 || !strings.HasPrefix(want.Reason, got.Reason) {
			t.Fatalf("result %d is %+v", i, got)
		}
	}
	if _, err := r.Marshal(200); err == nil {
		t.Error("a hundred outcomes fit into 200 bytes")
	}
}
