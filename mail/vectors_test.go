package mail

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"testing/cryptotest"
	"unicode/utf16"

	"codeberg.org/sourdine/sourdine/internal/golden"
)

// hexBytes are written as hexadecimal in JSON.
type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vectors is the shape of testdata/vectors.json, for other implementations to
// read: what goes in, and the bytes that come out.
type vectors struct {
	Comment string          `json:"comment"`
	Key     keyVector       `json:"key"`
	Parcel  []parcelVector  `json:"parcels"`
	Sealed  sealedVector    `json:"sealed"`
	Request []requestVector `json:"requests"`
	Reply   []replyVector   `json:"replies"`
	Clean   []cleanVector   `json:"clean"`
}

type keyVector struct {
	Private    hexBytes `json:"private"` // X-Wing seed
	Public     hexBytes `json:"public"`
	ID         hexBytes `json:"id"`
	Day        uint32   `json:"day"`
	SignerSeed hexBytes `json:"signer_seed"` // Ed25519 seed of the exit's identity
	Exit       hexBytes `json:"exit"`        // its public key
	Signature  hexBytes `json:"signature"`
}

type parcelVector struct {
	Expires     uint64             `json:"expires"`
	MessageID   hexBytes           `json:"message_id"`
	Date        uint32             `json:"date"`
	Name        string             `json:"name"` // of the persona
	References  []hexBytes         `json:"references"`
	Recipients  []Address          `json:"recipients"`
	Disclosed   bool               `json:"disclosed"`
	Subject     string             `json:"subject"`
	Body        string             `json:"body"`
	Attachments []attachmentVector `json:"attachments"`
	Padded      int                `json:"padded"`
	Plaintext   hexBytes           `json:"plaintext"`
	From        Address            `json:"from"`     // the exit's address
	Rendered    []string           `json:"rendered"` // for each recipient
}

type attachmentVector struct {
	Type Type     `json:"type"`
	Data hexBytes `json:"data"`
}

// parcel returns what the vector describes.
func (v *parcelVector) parcel() *Parcel {
	p := &Parcel{
		Expires: v.Expires, MessageID: [16]byte(v.MessageID), Date: v.Date, From: v.Name,
		Recipients: v.Recipients, Disclosed: v.Disclosed, Message: Message{Subject: v.Subject, Body: v.Body},
	}
	for _, r := range v.References {
		p.References = append(p.References, [16]byte(r))
	}
	for _, a := range v.Attachments {
		p.Attachments = append(p.Attachments, Attachment{a.Type, a.Data})
	}
	return p
}

type sealedVector struct {
	RequestSize int      `json:"request_size"`
	ID          hexBytes `json:"id"`
	Key         hexBytes `json:"key"`
	Expires     uint64   `json:"expires"`
	Fragments   int      `json:"fragments"`
	Data        hexBytes `json:"data"` // opens to the second parcel
}

type requestVector struct {
	Kind    Kind     `json:"kind"`
	Parcel  hexBytes `json:"parcel"`
	Key     hexBytes `json:"key"`
	Expires uint64   `json:"expires"`
	Index   uint8    `json:"index"`
	Count   uint8    `json:"count"`
	Data    hexBytes `json:"data"`
	Bytes   hexBytes `json:"bytes"`
}

type replyVector struct {
	Parcel  hexBytes `json:"parcel"`
	State   State    `json:"state"`
	Missing uint64   `json:"missing"`
	Reason  string   `json:"reason"`
	Results []Result `json:"results"`
	Keys    int      `json:"keys"` // how many times the key above, signed
	Bytes   hexBytes `json:"bytes"`
}

type cleanVector struct {
	Text    string `json:"text"`
	Subject string `json:"subject"`
	Body    string `json:"body"`
}

// makeVectors is the generator of testdata/vectors.json.
func makeVectors(t *testing.T) []byte {
	cryptotest.SetGlobalRandom(t, 1) // the seal is the same in every run of one Go release
	must := func(b []byte, err error) hexBytes {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sequence := func(first byte, n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = first + byte(i)
		}
		return b
	}
	v := vectors{Comment: "Test vectors of docs/formats.md. Byte strings are hexadecimal. Written by: go test ./mail -update"}

	private, err := hpke.MLKEM768X25519().NewPrivateKey(sequence(0, 32))
	if err != nil {
		t.Fatal(err)
	}
	signer := ed25519.NewKeyFromSeed(sequence(32, ed25519.SeedSize))
	key := SignKey(NewDayKey(20780, private.PublicKey().Bytes()), signer)
	v.Key = keyVector{
		Private: sequence(0, 32), Public: key.Public, ID: key.ID[:], Day: key.Day,
		SignerSeed: signer.Seed(), Exit: hexBytes(signer.Public().(ed25519.PublicKey)), Signature: key.Signature,
	}

	const padded = 2000 - requestHeader - sealOverhead
	plain := parcelVector{
		Expires: 83160, MessageID: sequence(64, 16), Date: 20780,
		Recipients: []Address{"bob@example.net", "Carol@example.com"},
		Subject:    "Re: Café à huit heures", Body: "Bonjour,\n\n\tÀ huit heures.\n.\n",
	}
	attached := plain
	attached.Name, attached.Disclosed = "Zoë", true
	attached.References = []hexBytes{sequence(1, 16), sequence(2, 16)}
	attached.Attachments = []attachmentVector{
		{CSV, []byte("à,b\n")}, {JPEG, []byte("\xff\xd8\xff\xd9")}, {OpenPGP, []byte("\xd2\x01\x02")},
	}
	encrypted := plain
	encrypted.Subject, encrypted.Body = "", ""
	encrypted.Attachments = []attachmentVector{{OpenPGP, []byte("\xd2\x01\x02")}}
	for _, vector := range []parcelVector{plain, attached, encrypted} {
		p := vector.parcel()
		vector.Padded, vector.Plaintext, vector.From = padded, must(p.marshal(padded)), "post@exit.example"
		for i := range p.Recipients {
			vector.Rendered = append(vector.Rendered, string(p.Render(vector.From, i)))
		}
		v.Parcel = append(v.Parcel, vector)
	}

	p := v.Parcel[1].parcel()
	sealed, err := SealParcel(p, key.DayKey, 2000)
	if err != nil {
		t.Fatal(err)
	}
	v.Sealed = sealedVector{2000, sealed.ID[:], sealed.Key[:], sealed.Expires, sealed.Fragments(2000), sealed.Data}

	for _, r := range []*Request{
		{Kind: Cover},
		{Kind: Fragment, Parcel: ParcelID(sequence(80, 16)), Key: key.ID, Expires: 83160, Index: 2, Count: 3, Data: sequence(100, 28)},
		NewQuery(ParcelID(sequence(80, 16)), 83160),
	} {
		v.Request = append(v.Request, requestVector{r.Kind, r.Parcel[:], r.Key[:], r.Expires, r.Index, r.Count, r.Data, must(r.Marshal(64))})
	}
	for _, r := range []*Reply{
		{Keys: []SignedKey{key}},
		{Parcel: ParcelID(sequence(80, 16)), State: StateUnknown},
		{Parcel: ParcelID(sequence(80, 16)), State: StateIncomplete, Missing: 1<<35 | 1<<1},
		{Parcel: ParcelID(sequence(80, 16)), State: StateComplete},
		{Parcel: ParcelID(sequence(80, 16)), State: StateRefused, Reason: "no mail to that domain"},
		{Parcel: ParcelID(sequence(80, 16)), State: StateDone, Results: []Result{{Delivered, ""}, {Failed, "550 5.1.1 no such user"}, {Expired, "450 4.2.0 try later"}}},
	} {
		n := 128 + 1284*len(r.Keys)
		v.Reply = append(v.Reply, replyVector{r.Parcel[:], r.State, r.Missing, r.Reason, r.Results, len(r.Keys), must(r.Marshal(n))})
	}
	for _, text := range []string{
		" AW: RE\u00a0: cafe\u0301\u200b ", "a \r\n-- \r\n\r\n", "\ufeffa\u00adb\x07\u202ec\u2028d",
		"10\u202f000\u3000€", "می\u200cخواهم a\u200cb", "👩\u200d💻 ❤\ufe0f 1\ufe0f\u20e3 1\ufe0f", "葛\U000e0100 a\U000e0100",
	} {
		v.Clean = append(v.Clean, cleanVector{text, CleanSubject(text), CleanText(text)})
	}
	b, err := json.MarshalIndent(v, "", "  ")
	return append(escape(must(b, err)), '\n')
}

// escape writes what is not printable ASCII in JSON as \u escapes, so that
// invisible characters can be seen in the file and survive an editor.
func escape(text []byte) []byte {
	var b []byte
	for _, r := range string(text) {
		switch {
		case r < 0x7f:
			b = append(b, byte(r))
		case r < 0x10000:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			high, low := utf16.EncodeRune(r)
			b = fmt.Appendf(b, `\u%04x\u%04x`, high, low)
		}
	}
	return b
}

// TestVectors checks both directions against testdata/vectors.json.
func TestVectors(t *testing.T) {
	b := golden.File(t, "testdata/vectors.json", func() []byte { return makeVectors(t) })
	var v vectors
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	equal := func(what string, got, want []byte, err error) {
		t.Helper()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %x; want %x", what, err, got, want)
		}
	}

	private, err := hpke.MLKEM768X25519().NewPrivateKey(v.Key.Private)
	if err != nil {
		t.Fatal(err)
	}
	equal("public key", private.PublicKey().Bytes(), v.Key.Public, nil)
	signer := ed25519.NewKeyFromSeed(v.Key.SignerSeed)
	key := SignKey(NewDayKey(v.Key.Day, v.Key.Public), signer)
	equal("key id", key.ID[:], v.Key.ID, nil)
	equal("signature", key.Signature, v.Key.Signature, nil)
	if !key.Verify(ed25519.PublicKey(v.Key.Exit)) {
		t.Error("the signed key does not verify")
	}

	if len(v.Parcel) != 3 {
		t.Fatal("parcels are missing")
	}
	for _, parcel := range v.Parcel {
		p := parcel.parcel()
		plaintext, err := p.marshal(parcel.Padded)
		equal("plaintext", plaintext, parcel.Plaintext, err)
		if len(parcel.Rendered) != len(p.Recipients) {
			t.Fatal("not every recipient has a rendering")
		}
		for i, want := range parcel.Rendered {
			equal("rendering", p.Render(parcel.From, i), []byte(want), nil)
		}
	}

	p := v.Parcel[1].parcel()
	sealed := Sealed{ParcelID(v.Sealed.ID), KeyID(v.Sealed.Key), v.Sealed.Expires, v.Sealed.Data}
	if got := sealed.Fragments(v.Sealed.RequestSize); got != v.Sealed.Fragments {
		t.Errorf("%d fragments, want %d", got, v.Sealed.Fragments)
	}
	if opened, err := OpenParcel(sealed, private); err != nil || !reflect.DeepEqual(opened, p) {
		t.Errorf("opened %+v, %v; want %+v", opened, err, p)
	}

	if len(v.Request) != 3 || len(v.Reply) != 6 || len(v.Clean) == 0 {
		t.Fatal("vectors are missing")
	}
	for _, want := range v.Request {
		r, err := ParseRequest(want.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := (requestVector{r.Kind, r.Parcel[:], r.Key[:], r.Expires, r.Index, r.Count, hexBytes(r.Data), want.Bytes}); !sameJSON(t, got, want) {
			t.Errorf("parsed the request %+v, want %+v", got, want)
		}
		b, err := r.Marshal(len(want.Bytes))
		equal("request", b, want.Bytes, err)
	}
	for _, want := range v.Reply {
		r, err := ParseReply(want.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if got := (replyVector{r.Parcel[:], r.State, r.Missing, r.Reason, r.Results, len(r.Keys), want.Bytes}); !sameJSON(t, got, want) {
			t.Errorf("parsed the reply %+v, want %+v", got, want)
		}
		for _, k := range r.Keys {
			if !reflect.DeepEqual(k, key) {
				t.Error("the reply has another key")
			}
		}
		b, err := r.Marshal(len(want.Bytes))
		equal("reply", b, want.Bytes, err)
	}
	for _, c := range v.Clean {
		equal("subject", []byte(CleanSubject(c.Text)), []byte(c.Subject), nil)
		equal("body", []byte(CleanText(c.Text)), []byte(c.Body), nil)
	}
}

// sameJSON compares as JSON does, for which an empty list is not a nil one
// only in name.
func sameJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	if errX != nil || errY != nil {
		t.Fatal(errX, errY)
	}
	return bytes.Equal(x, y)
}
