package scrub

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	mimeparts "mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"net/textproto"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/rogpeppe/go-internal/txtar"

	"codeberg.org/sourdine/sourdine/internal/golden"
	"codeberg.org/sourdine/sourdine/mail"
)

// The corpus: hostile and odd mails in testdata/corpus, each with what is expected of it.
//
// An archive is a group of mails. NAME.eml is a mail, its lines ending with LF for CR LF;
// what ends otherwise is in base64 within it. NAME.want is what comes out. The mails are
// made by the tables in corpus_make_test.go; -update writes both anew, and whoever does
// so reads what has changed. Without it, the archives alone count: they do not change
// with the encoders that made the files attached.

// submit does with a mail what the gateway does.
func submit(written []byte) (*Result, error) {
	if err := CheckWire(written); err != nil {
		return nil, err
	}
	return Scrub(written, Options{Room: room})
}

// minCorpus is how many mails the corpus has at least.
const minCorpus = 300

// marks stand in the mails wherever something tells of a writer. None may be found in
// what leaves, in any form that [marked] knows.
var marks = []string{
	"S3CRET", "Zwiebelfisch", "secret.example", "192.0.2.99",
	"1999-12-31", "1999:12:31", "31 Dec 1999", "19991231", "31.12.1999", "12/31/1999", "31/12/1999",
	"48.8584", "\x00\x07\x74\x88\x00\x00\x27\x10", // 488584/10000, as Exif writes it
}

// place is a mail of the corpus.
type place struct{ group, name string }

func (p place) String() string { return p.group + "/" + p.name }

// corpus calls f with all mails as they are on the wire, and what is expected of each.
func corpus(t *testing.T, f func(t *testing.T, p place, written []byte, want string)) {
	t.Helper()
	files, err := filepath.Glob("testdata/corpus/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	mails := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(archive.Files)%2 != 0 {
			t.Fatalf("%s has %d files, which are no pairs", file, len(archive.Files))
		}
		for pair := range slices.Chunk(archive.Files, 2) {
			p := place{strings.TrimSuffix(filepath.Base(file), ".txtar"), strings.TrimSuffix(pair[0].Name, ".eml")}
			if pair[1].Name != p.name+".want" {
				t.Fatalf("%s: %s follows %s", file, pair[1].Name, pair[0].Name)
			}
			mails++
			f(t, p, bytes.ReplaceAll(pair[0].Data, []byte("\n"), []byte("\r\n")), string(pair[1].Data))
		}
	}
	if mails < minCorpus {
		t.Errorf("the corpus has %d mails, want %d or more", mails, minCorpus)
	}
}

// TestCorpus scrubs all of the corpus, compares what comes out with what is expected,
// and looks for the marks in it.
func TestCorpus(t *testing.T) {
	if *golden.Update {
		writeCorpus(t)
	}
	made := map[place]bool{}
	for _, g := range corpusGroups {
		for _, l := range g.letters() {
			p := place{g.name, l.name}
			if made[p] {
				t.Errorf("%v is made twice", p)
			}
			made[p] = true
		}
	}
	withMarks := 0
	corpus(t, func(t *testing.T, p place, written []byte, want string) {
		if !made[p] {
			t.Errorf("%v is in testdata, and no table makes it", p)
		}
		delete(made, p)
		if marked(written) != "" {
			withMarks++
		}
		r, err := submit(written)
		if got := outcome(t, r, err); got != want {
			t.Errorf("%v comes out as\n%swant\n%s", p, got, want)
		}
		if err != nil {
			if found := marked([]byte(err.Error())); found != "" {
				t.Errorf("%v: the refusal %q has the mark %s", p, err, found)
			}
			return
		}
		if found := markedResult(t, r); found != "" {
			t.Errorf("%v: %s", p, found)
		}
	})
	for p := range made {
		t.Errorf("%v is not in testdata: go test ./mail/scrub -run Corpus -update", p)
	}
	if withMarks < minCorpus/2 {
		t.Errorf("only %d mails have a mark that could survive", withMarks)
	}
}

// TestCorpusTwice scrubs what was scrubbed: only pictures in JPEG, alone or in a PDF,
// which no program encodes again to the same bytes, may differ.
func TestCorpusTwice(t *testing.T) {
	corpus(t, func(t *testing.T, p place, written []byte, _ string) {
		first, err := submit(written)
		if err != nil {
			return
		}
		// What is rendered is cleaned of nothing, but a picture can be a little larger.
		again := rendered(first)
		if bytes.Contains(bytes.ToLower(written), []byte("sourdine-allow:")) {
			again = append([]byte(Allow+": signature\r\n"), again...) // what was allowed once is allowed again
		}
		second, err := Scrub(again, Options{Room: room + room/20})
		if err != nil {
			t.Errorf("%v: what was scrubbed is refused: %v", p, err)
			return
		}
		a, b := first.Message, second.Message
		if a.Subject != b.Subject || a.Body != b.Body {
			t.Errorf("%v: scrubbed again, %q, %q becomes %q, %q", p, a.Subject, a.Body, b.Subject, b.Body)
		}
		if len(a.Attachments) != len(b.Attachments) {
			t.Errorf("%v: scrubbed again, %d attachments become %d", p, len(a.Attachments), len(b.Attachments))
			return
		}
		for i := range a.Attachments {
			x, y := a.Attachments[i], b.Attachments[i]
			lossy := x.Type == mail.JPEG || x.Type == mail.PDF && bytes.Contains(x.Data, []byte("/DCTDecode"))
			if x.Type != y.Type || !lossy && !bytes.Equal(x.Data, y.Data) {
				t.Errorf("%v: scrubbed again, attachment %d is another", p, i+1)
			}
		}
	})
}

// TestMarksAreFound plants a mark in every way in which it could survive.
func TestMarksAreFound(t *testing.T) {
	var deflated bytes.Buffer
	z := zlib.NewWriter(&deflated)
	z.Write([]byte("the S3CRET within"))
	z.Close()
	for name, m := range map[string]mail.Message{
		"subject":       {Subject: "a s3cret"},
		"long subject":  {Subject: strings.Repeat("ü", 30) + " Zwiebelfisch"},
		"body":          {Body: "on 1999-12-31\n"},
		"encoded body":  {Body: strings.Repeat("x", 70) + "secret.example é\n"},
		"attached text": {Body: "x\n", Attachments: []mail.Attachment{{Type: mail.Text, Data: []byte("at 48.8584\n")}}},
		"deflated":      {Attachments: []mail.Attachment{{Type: mail.PDF, Data: append([]byte("%PDF-1.7\nstream\n"), deflated.Bytes()...)}}},
		"UTF-16":        {Attachments: []mail.Attachment{{Type: mail.PDF, Data: []byte("%PDF-1.7\n\x00S\x003\x00C\x00R\x00E\x00T")}}},
		"UTF-16LE":      {Attachments: []mail.Attachment{{Type: mail.PDF, Data: []byte("%PDF-1.7\nS\x003\x00C\x00R\x00E\x00T\x00")}}},
		"hexadecimal":   {Attachments: []mail.Attachment{{Type: mail.PDF, Data: []byte("%PDF-1.7\n<533343524554>")}}},
		"Exif":          {Attachments: []mail.Attachment{{Type: mail.JPEG, Data: []byte("\xff\xd8\xff\xe1\x00\x07\x74\x88\x00\x00\x27\x10")}}},
		"base64":        {Body: "UzNDUkVU\n"},
	} {
		if markedResult(t, &Result{Message: m}) == "" {
			t.Errorf("%s: the mark is not found", name)
		}
		// And in what leaves alone, read without this project's code.
		if name != "base64" && markedMail(t, rendered(&Result{Message: m})) == "" {
			t.Errorf("%s: the mark is not found in the mail", name)
		}
	}
	clean := &Result{Message: mail.Message{Subject: "Lunch", Body: "At noon.\n"}}
	if found := markedResult(t, clean); found != "" {
		t.Errorf("a mark is found where there is none: %s", found)
	}
}

// rendered is the mail that an exit would hand over.
func rendered(r *Result) []byte {
	p := mail.Parcel{Date: 20780, Recipients: []mail.Address{"you@example.org"}, Message: r.Message}
	return p.Render("mail@exit.example", 0)
}

// markedResult says where a mark stands in what leaves: in the message, or in the mail
// made of it.
func markedResult(t *testing.T, r *Result) string {
	t.Helper()
	if found := marked([]byte(r.Message.Subject)); found != "" {
		return "the subject has the mark " + found
	}
	if found := marked([]byte(r.Message.Body)); found != "" {
		return "the text has the mark " + found
	}
	for i, a := range r.Message.Attachments {
		if found := marked(a.Data); found != "" {
			return fmt.Sprintf("attachment %d has the mark %s", i+1, found)
		}
	}
	return markedMail(t, rendered(r))
}

// markedMail looks for marks in a mail as it is and decoded, which the standard library
// does, not what is to be tested.
func markedMail(t *testing.T, written []byte) string {
	t.Helper()
	if found := marked(written); found != "" {
		return "the mail has the mark " + found
	}
	m, err := netmail.ReadMessage(bytes.NewReader(written))
	if err != nil {
		t.Fatalf("the standard library cannot read what leaves: %v", err)
	}
	for name, values := range m.Header {
		for _, v := range values {
			decoded, err := new(mime.WordDecoder).DecodeHeader(v)
			if err != nil {
				t.Fatalf("the field %s does not decode: %v", name, err)
			}
			if found := marked([]byte(decoded)); found != "" {
				return fmt.Sprintf("the field %s has the mark %s", name, found)
			}
		}
	}
	return markedPart(t, m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body)
}

func markedPart(t *testing.T, contentType, encoding string, body io.Reader) string {
	t.Helper()
	mediaType, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatalf("the standard library cannot read the type %q: %v", contentType, err)
	}
	if strings.HasPrefix(mediaType, "multipart/") {
		for parts := mimeparts.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return ""
			}
			if err != nil {
				t.Fatalf("the standard library cannot read the parts: %v", err)
			}
			if found := markedPart(t, part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part); found != "" {
				return found
			}
		}
	}
	decoded, err := io.ReadAll(decoder(encoding, body))
	if err != nil {
		t.Fatalf("the standard library cannot decode a part: %v", err)
	}
	if found := marked(decoded); found != "" {
		return fmt.Sprintf("a part of the type %s has the mark %s", mediaType, found)
	}
	return ""
}

// leaves returns the decoded parts of a mail that the standard library can read.
func leaves(written []byte) (all [][]byte) {
	m, err := netmail.ReadMessage(bytes.NewReader(written))
	if err != nil {
		return nil
	}
	var walk func(header textproto.MIMEHeader, body io.Reader)
	walk = func(header textproto.MIMEHeader, body io.Reader) {
		media, params, _ := mime.ParseMediaType(header.Get("Content-Type"))
		if strings.HasPrefix(media, "multipart/") {
			for parts := mimeparts.NewReader(body, params["boundary"]); ; {
				part, err := parts.NextRawPart()
				if err != nil {
					return
				}
				walk(part.Header, part)
			}
		}
		if data, err := io.ReadAll(decoder(header.Get("Content-Transfer-Encoding"), body)); err == nil {
			all = append(all, data)
		}
	}
	walk(textproto.MIMEHeader(m.Header), m.Body)
	return all
}

// decoder undoes an encoding for transfer (RFC 2045 section 6), by the standard library.
func decoder(encoding string, body io.Reader) io.Reader {
	switch encoding {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	}
	return body
}

// maxInflated bounds what is decompressed in search of marks.
const maxInflated = 4 << 20

// marked returns the mark that data has: as it is in any case, in UTF-16, in hexadecimal
// or in base64 wherever it begins, and within all that can be inflated.
func marked(data []byte) string {
	if m := markedPlain(data); m != "" {
		return m
	}
	for at := 0; at+1 < len(data); at++ {
		// The header of zlib (RFC 1950 section 2.2).
		if data[at]&0x8f != 8 || (int(data[at])<<8|int(data[at+1]))%31 != 0 {
			continue
		}
		z, err := zlib.NewReader(bytes.NewReader(data[at:]))
		if err != nil {
			continue
		}
		inflated, _ := io.ReadAll(io.LimitReader(z, maxInflated)) // as far as it goes
		if m := markedPlain(inflated); m != "" {
			return m + ", deflated"
		}
	}
	return ""
}

func markedPlain(data []byte) string {
	lower := bytes.ToLower(data)
	for _, f := range markForms {
		if f.exact && bytes.Contains(data, f.bytes) || !f.exact && bytes.Contains(lower, f.bytes) {
			return fmt.Sprintf("%q", f.mark)
		}
	}
	return ""
}

// markForm is how a mark can be written.
type markForm struct {
	mark  string
	bytes []byte
	exact bool
}

var markForms = func() []markForm {
	var forms []markForm
	for _, m := range marks {
		lower := strings.ToLower(m)
		var big, little []byte
		for _, u := range utf16.Encode([]rune(lower)) {
			big = append(big, byte(u>>8), byte(u))
			little = append(little, byte(u), byte(u>>8))
		}
		for _, b := range [][]byte{[]byte(lower), big, little} {
			forms = append(forms, markForm{m, b, false}, markForm{m, []byte(hex.EncodeToString(b)), false})
		}
		forms = append(forms, markForm{m, []byte(hex.EncodeToString([]byte(m))), false})
		for shift := range 3 { // base64 at each place in a group, without the characters that depend on the neighbours
			encoded := base64.StdEncoding.EncodeToString(append(make([]byte, shift), m...))
			encoded = encoded[[]int{0, 2, 3}[shift]:]
			encoded = strings.TrimRight(encoded, "=")
			if (shift+len(m))%3 != 0 {
				encoded = encoded[:len(encoded)-1]
			}
			forms = append(forms, markForm{m, []byte(encoded), true})
		}
	}
	return forms
}()

// outcome writes what came of a mail, for people to read.
func outcome(t *testing.T, r *Result, err error) string {
	t.Helper()
	var b strings.Builder
	if err != nil {
		refusal, ok := errors.AsType[*mail.Refusal](err)
		if !ok {
			t.Fatalf("an error that is no refusal: %v", err)
		}
		if len(refusal.Reason) > maxReason || strings.ContainsFunc(refusal.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("a refusal that a mail program cannot show: %q", refusal.Reason)
		}
		fmt.Fprintf(&b, "refused: %s\n", refusal.Reason)
		return b.String()
	}
	m := r.Message
	if m.Subject != mail.CleanSubject(m.Subject) || m.Body != mail.CleanText(m.Body) || m.Size() > room {
		t.Errorf("%q, %q is not in the form of a parcel, or too large for one", m.Subject, m.Body)
	}
	fmt.Fprintf(&b, "subject: %s\n", m.Subject)
	indent := func(text string) {
		for line := range strings.Lines(text) {
			fmt.Fprintf(&b, "%s\n", strings.TrimRight("| "+strings.TrimSuffix(line, "\n"), " "))
		}
	}
	indent(m.Body)
	for _, a := range m.Attachments {
		fmt.Fprintf(&b, "attachment: %s, %d bytes, %x\n", a.Type.Media(), len(a.Data), sha256.Sum256(a.Data))
		if a.Type == mail.Text || a.Type == mail.CSV {
			indent(string(a.Data))
		}
	}
	if r.MessageID != "" {
		fmt.Fprintf(&b, "id: %s\n", r.MessageID)
	}
	for _, id := range r.References {
		fmt.Fprintf(&b, "answers: %s\n", id)
	}
	if r.Disclose {
		b.WriteString("disclosed\n")
	}
	for _, n := range r.Removed {
		fmt.Fprintf(&b, "removed of %s: %s\n", n.Part, n.What)
	}
	for _, n := range r.Warnings {
		fmt.Fprintf(&b, "warning of %s: %s\n", n.Part, n.What)
	}
	for _, n := range slices.Concat(r.Removed, r.Warnings) {
		if n.Why == "" {
			t.Errorf("nothing says why %q was removed or left", n.What)
		}
	}
	return b.String()
}

// writeCorpus writes the archives.
func writeCorpus(t *testing.T) {
	t.Helper()
	for _, g := range corpusGroups {
		archive := &txtar.Archive{Comment: []byte(g.about + "\n\n")}
		for _, l := range g.letters() {
			if !strings.HasSuffix(l.mail, "\n") {
				l.mail += "\n" // as the archive does
			}
			r, err := submit([]byte(strings.ReplaceAll(l.mail, "\n", "\r\n")))
			archive.Files = append(archive.Files,
				txtar.File{Name: l.name + ".eml", Data: []byte(l.mail)},
				txtar.File{Name: l.name + ".want", Data: []byte(outcome(t, r, err))})
		}
		golden.File(t, "testdata/corpus/"+g.name+".txtar", func() []byte { return txtar.Format(archive) })
	}
}
