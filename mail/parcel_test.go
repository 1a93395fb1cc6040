package mail

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// sample is a parcel with something in every field.
func sample() *Parcel {
	return &Parcel{
		Expires:    83000,
		MessageID:  [MessageIDLength]byte{0: 1, 15: 16},
		Date:       20780,
		Recipients: []Address{"bob@example.net", "Carol.Smith@example.com"},
		Message:    Message{Subject: "Café", Body: "À huit heures.\n\tViens !\n"},
	}
}

func TestParcelPlaintext(t *testing.T) {
	p := sample()
	for _, padding := range []int{0, 1, 1000} {
		b, err := p.marshal(p.Size() + padding)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != p.Size()+padding {
			t.Errorf("marshalled %d bytes, want %d", len(b), p.Size()+padding)
		}
		got, err := unmarshalParcel(b)
		if err != nil {
			t.Fatal(err)
		}
		got.Expires = p.Expires
		if !reflect.DeepEqual(got, p) {
			t.Errorf("unmarshalled %+v, want %+v", got, p)
		}
	}
	if _, err := p.marshal(p.Size() - 1); err == nil {
		t.Error("marshalled into fewer bytes than the parcel has")
	}
}

func TestParcelIsStrict(t *testing.T) {
	good, err := sample().marshal(500)
	if err != nil {
		t.Fatal(err)
	}
	size := sample().Size()
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
	}{
		{"nothing", func(b []byte) []byte { return nil }},
		{"another version", func(b []byte) []byte { b[0] = 2; return b }},
		{"no recipient", func(b []byte) []byte { b[21] = 0; return b }},
		{"too many recipients", func(b []byte) []byte { b[21] = 101; return b }},
		{"one recipient more than there is", func(b []byte) []byte { b[21]++; return b }},
		{"a date after the year 9999", func(b []byte) []byte { b[17] = 1; return b }},
		{"a domain in upper case", func(b []byte) []byte { b[27] = 'E'; return b }},
		{"a local part with a space", func(b []byte) []byte { b[23] = ' '; return b }},
		{"a byte of padding", func(b []byte) []byte { b[size] = 1; return b }},
		{"the last byte of padding", func(b []byte) []byte { b[len(b)-1] = 1; return b }},
		{"a body longer than what is left", func(b []byte) []byte { b[bodyAt(b)] = 1; return b }},
		{"a body of 4 GiB", func(b []byte) []byte { copy(b[bodyAt(b):], "\xff\xff\xff\xff"); return b }},
		{"a bare CR in the body", func(b []byte) []byte { b[bytes.IndexByte(b, '\t')] = '\r'; return b }},
		{"a NUL in the body", func(b []byte) []byte { b[bytes.IndexByte(b, '\t')] = 0; return b }},
		{"no line end at the end", func(b []byte) []byte { b[size-1] = 'x'; return b }},
		{"two line ends at the end", func(b []byte) []byte { b[size-2] = '\n'; return b }},
		{"a space before a line end", func(b []byte) []byte { b[size-2] = ' '; return b }},
		{"a subject that is not UTF-8", func(b []byte) []byte { b[bytes.Index(b, []byte("é"))] = 'x'; return b }},
		{"a line end in the subject", func(b []byte) []byte { b[bytes.Index(b, []byte("fé"))] = '\n'; return b }},
		{"a space before the subject", func(b []byte) []byte { b[bytes.Index(b, []byte("Café"))] = ' '; return b }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if p, err := unmarshalParcel(c.change(bytes.Clone(good))); err == nil {
				t.Errorf("accepted %+v", p)
			}
		})
	}
	for n := range size {
		if _, err := unmarshalParcel(good[:n]); err == nil {
			t.Errorf("accepted the first %d bytes", n)
		}
	}
}

// bodyAt finds the body's length field in a marshalled sample.
func bodyAt(b []byte) int { return bytes.Index(b, []byte("À huit")) - 4 }

func TestParcelCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(p *Parcel)
		ok     bool
	}{
		{"the sample", func(p *Parcel) {}, true},
		{"a hundred recipients", func(p *Parcel) { p.Recipients = recipients(100) }, true},
		{"one more", func(p *Parcel) { p.Recipients = recipients(101) }, false},
		{"no recipients", func(p *Parcel) { p.Recipients = nil }, false},
		{"the same twice", func(p *Parcel) { p.Recipients = []Address{"a@b.example", "a@b.example"} }, false},
		{"an address that was not parsed", func(p *Parcel) { p.Recipients = []Address{"a@b.example>\r\nRCPT TO:<c@d.example"} }, false},
		{"the longest subject", func(p *Parcel) { p.Subject = strings.Repeat("é", MaxSubject/2) }, true},
		{"a longer one", func(p *Parcel) { p.Subject = strings.Repeat("é", MaxSubject/2) + "a" }, false},
		{"a tab in the subject", func(p *Parcel) { p.Subject = "a\tb" }, false},
		{"two spaces in the subject", func(p *Parcel) { p.Subject = "a  b" }, false},
		{"a body of CRLF lines", func(p *Parcel) { p.Body = "a\r\n" }, false},
		{"a C1 control character", func(p *Parcel) { p.Body = "a\u0085\n" }, false},
		{"no body", func(p *Parcel) { p.Body = "" }, true},
		{"an empty line for a body", func(p *Parcel) { p.Body = "\n" }, false},
		{"a body that is not UTF-8", func(p *Parcel) { p.Body = "\xff\n" }, false},
		{"not normalised, which OpenParcel mends", func(p *Parcel) { p.Body = "e\u0301\n" }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := sample()
			c.change(p)
			if _, err := p.marshal(1 << 20); (err == nil) != c.ok {
				t.Errorf("marshal: %v", err)
			}
		})
	}
}

func recipients(n int) []Address {
	list := make([]Address, n)
	for i := range list {
		list[i] = Address(fmt.Sprintf("r%d@example.net", i))
	}
	return list
}

// randomParcel draws a parcel as a gateway makes them: of any text, cleaned.
func randomParcel(rng *rand.Rand) *Parcel {
	p := &Parcel{
		Expires:    rng.Uint64(),
		Date:       rng.Uint32N(maxDate + 1),
		Recipients: recipients(1 + rng.IntN(MaxRecipients)),
		Message:    Message{Body: CleanText(randomText(rng, rng.IntN(5000)))},
	}
	for i := range p.MessageID {
		p.MessageID[i] = byte(rng.Uint32())
	}
	for p.Subject = CleanSubject(randomText(rng, rng.IntN(60))); len(p.Subject) > MaxSubject; {
		p.Subject = CleanSubject(randomText(rng, rng.IntN(60)))
	}
	return p
}

// randomText draws n characters, many of them awkward.
func randomText(rng *rand.Rand, n int) string {
	awkward := []rune("\r\n\n\n \t\u00a0\u3000=.>-:Fromre[2]\u200b\u200c\u200d\ufe0f\u0301\u0308\u0344\u1e9b\u0323葛❤1\u20e3\u2adc\u034f\ufeff\u2028ᠠ\u180b")
	var b strings.Builder
	for range n {
		switch rng.IntN(4) {
		case 0:
			b.WriteRune(awkward[rng.IntN(len(awkward))])
		case 1:
			b.WriteRune(rune(rng.IntN(0x110000))) // a surrogate becomes U+FFFD
		default:
			b.WriteRune(' ' + rune(rng.IntN(95)))
		}
	}
	return b.String()
}

// TestParcelProperties draws random parcels: each survives its plaintext form
// and each rendering reads back as the same message.
func TestParcelProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		p := randomParcel(rng)
		b, err := p.marshal(p.Size() + rng.IntN(100))
		if err != nil {
			t.Fatalf("%+q: %v", p.Message, err)
		}
		got, err := unmarshalParcel(b)
		if err != nil {
			t.Fatal(err)
		}
		got.Expires = p.Expires
		if !reflect.DeepEqual(got, p) {
			t.Fatalf("unmarshalled %+q, want %+q", got.Message, p.Message)
		}
		checkRendered(t, p, "post@exit.example", rng.IntN(len(p.Recipients)))
	}
}
