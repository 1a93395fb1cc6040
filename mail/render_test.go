package mail

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
)

func TestRender(t *testing.T) {
	p := &Parcel{
		MessageID:  [MessageIDLength]byte{0xff, 0xff},
		Date:       0,
		Recipients: []Address{"bob@example.net", "Carol@example.com"},
		Message:    Message{Subject: "Hello", Body: "Text.\n"},
	}
	const want = "From: post@exit.example\r\n" +
		"To: Carol@example.com\r\n" +
		"Subject: Hello\r\n" +
		"Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n" +
		"Message-ID: <777qaaaaaaaaaaaaaaaaaaaaaa@exit.example>\r\n" +
		"MIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 7bit\r\n" +
		"\r\n" +
		"Text.\r\n"
	if got := string(p.Render("post@exit.example", 1)); got != want {
		t.Errorf("rendered\n%s\nwant\n%s", got, want)
	}
}

func TestEncodeSubject(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", "Subject:\r\n"},
		{"a b", "Subject: a b\r\n"},
		{strings.Repeat("a", 200), "Subject: " + strings.Repeat("a", 200) + "\r\n"},
		{strings.Repeat("a", 69) + " b", "Subject: " + strings.Repeat("a", 69) + "\r\n b\r\n"},
		{strings.Repeat("a", 67) + " b", "Subject: " + strings.Repeat("a", 67) + " b\r\n"},
		{"=?utf-8?Q?a?=", "Subject: =?utf-8?B?PT91dGYtOD9RP2E/PQ==?=\r\n"},
		{"é", "Subject: =?utf-8?B?w6k=?=\r\n"},
		{strings.Repeat("é", 20), "Subject: =?utf-8?B?" + strings.Repeat("w6nDqcOp", 6) + "w6k=?=\r\n =?utf-8?B?w6k=?=\r\n"},
	} {
		if got := encodeSubject(c.in); got != c.want {
			t.Errorf("encodeSubject(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

// TestEncodeSubjectShape checks every length against RFC 2047 section 2 and
// decodes the words with another implementation.
func TestEncodeSubjectShape(t *testing.T) {
	for _, unit := range []string{"é", "日", "👩", "aé b"} {
		for n := 1; n*len(unit) <= MaxSubject; n++ {
			subject := strings.TrimSpace(strings.Repeat(unit, n))
			field := encodeSubject(subject)
			for line := range strings.SplitSeq(strings.TrimSuffix(field, "\r\n"), "\r\n") {
				if len(line) > 76 {
					t.Fatalf("%d times %q makes a line of %d characters", n, unit, len(line))
				}
			}
			got, err := new(mime.WordDecoder).DecodeHeader(strings.ReplaceAll(strings.TrimPrefix(field, "Subject: "), "\r\n", ""))
			if err != nil || got != subject {
				t.Fatalf("%q decodes as %q, %v", subject, got, err)
			}
		}
	}
}

func TestEncodeBody(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	for _, c := range []struct{ name, in, encoding, want string }{
		{"empty", "", "7bit", ""},
		{"ASCII", "a\n\n\tb c\n", "7bit", "a\r\n\r\n\tb c\r\n"},
		{"76 characters", a(76) + "\n", "7bit", a(76) + "\r\n"},
		{"77 characters", a(77) + "\n", "quoted-printable", a(75) + "=\r\n" + a(2) + "\r\n"},
		{"a long line", a(151) + "\n", "quoted-printable", a(75) + "=\r\n" + a(75) + "=\r\na\r\n"},
		{"not ASCII", "é=\n", "quoted-printable", "=C3=A9=3D\r\n"},
		{"a character is not divided", a(70) + "é\n", "quoted-printable", a(70) + "=\r\n=C3=A9\r\n"},
		{"a character fits", a(69) + "é\n", "quoted-printable", a(69) + "=C3=A9\r\n"},
		{"a leading dot", ".\nb.\n", "quoted-printable", "=2E\r\nb.\r\n"},
		{"a dot after a soft break", a(75) + ".b\n", "quoted-printable", a(75) + "=\r\n=2Eb\r\n"},
		{"From", "From here\nFrom\n", "quoted-printable", "=46rom here\r\nFrom\r\n"},
		{"From after a soft break", a(75) + "From here\n", "quoted-printable", a(75) + "=\r\n=46rom here\r\n"},
		{"a space before a soft break", a(74) + " b c\n", "quoted-printable", a(74) + " =\r\nb c\r\n"},
		{"a control character", "a\rb\x00\n", "quoted-printable", "a=0Db=00\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, encoding := encodeBody(c.in)
			if encoding != c.encoding || got != c.want {
				t.Errorf("encodeBody(%q) = %q in %s, want %q in %s", c.in, got, encoding, c.want, c.encoding)
			}
		})
	}
}

// checkRendered holds a rendered message to what its description promises, and
// reads it back with the standard library and with Read.
func checkRendered(t *testing.T, p *Parcel, from Address, recipient int) {
	t.Helper()
	b := p.Render(from, recipient)
	for i, c := range b {
		switch {
		case c == '\r' && (i+1 == len(b) || b[i+1] != '\n'), c == '\n' && (i == 0 || b[i-1] != '\r'):
			t.Fatalf("a bare line end at byte %d", i)
		case c < ' ' && c != '\t' && c != '\r' && c != '\n', c > '~':
			t.Fatalf("byte %#x at %d", c, i)
		}
	}
	if !bytes.HasSuffix(b, []byte("\r\n")) {
		t.Fatal("no line end at the end")
	}
	head, body, _ := bytes.Cut(b, []byte("\r\n\r\n"))
	for line := range bytes.Lines(body) {
		if len(line) > maxEncoded+2 || bytes.HasPrefix(line, []byte(".")) || bytes.HasPrefix(line, []byte("From ")) {
			t.Fatalf("a body line %q", line)
		}
	}
	for line := range bytes.Lines(head) {
		if len(line) > 998 {
			t.Fatalf("a header line of %d bytes", len(line))
		}
	}
	m, err := netmail.ReadMessage(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Header) != 8 || m.Header.Get("To") != string(p.Recipients[recipient]) || m.Header.Get("From") != string(from) {
		t.Fatalf("rendered the header %v", m.Header)
	}
	if date, err := m.Header.Date(); err != nil || date.Unix() != int64(p.Date)*86400 {
		t.Fatalf("rendered the date %v, %v", date, err)
	}
	text := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		text = quotedprintable.NewReader(text)
	}
	if got, err := io.ReadAll(text); err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != p.Body {
		t.Fatalf("the body %+q decodes as %+q, %v", p.Body, got, err)
	}
	again, err := Read(bytes.NewReader(b), int64(len(b)))
	if err != nil || *again != p.Message {
		t.Fatalf("%+q reads back as %+q, %v", p.Message, again, err)
	}
}

func TestRenderDates(t *testing.T) {
	for _, date := range []uint32{0, 59, 20780, 2932896} {
		p := &Parcel{Date: date, Recipients: []Address{"b@example.net"}, Message: Message{Subject: "é", Body: "b\n"}}
		t.Run(fmt.Sprint(date), func(t *testing.T) { checkRendered(t, p, "post@exit.example", 0) })
	}
}
