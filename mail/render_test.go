package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"

	"github.com/emersion/go-message"

	"codeberg.org/sourdine/sourdine/internal/golden"
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
		if got := fold("Subject:", encodeText(c.in)); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

// TestEncodeSubjectShape checks every length against RFC 2047 section 2 and
// decodes the words with another implementation.
func TestEncodeSubjectShape(t *testing.T) {
	for _, unit := range []string{"é", "日", "👩", "aé b"} {
		for n := 1; n*len(unit) <= MaxSubject; n++ {
			subject := strings.TrimSpace(strings.Repeat(unit, n))
			field := fold("Subject:", encodeText(subject))
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
			got, encoding := encodeBody(c.in, false)
			if encoding != c.encoding || got != c.want {
				t.Errorf("encodeBody(%q) = %q in %s, want %q in %s", c.in, got, encoding, c.want, c.encoding)
			}
		})
	}
}

// checkRendered holds a rendered message to what its description promises, and
// reads it back with other implementations: header and text with the standard
// library's, the parts with go-message.
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
		if len(line) > maxLine+2 || bytes.HasPrefix(line, []byte(".")) || bytes.HasPrefix(line, []byte("From ")) {
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
	checkHeader(t, p, from, recipient, m.Header)
	if len(p.Attachments) > 0 {
		checkParts(t, p, b)
		return
	}
	text := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		text = quotedprintable.NewReader(text)
	}
	if got, err := io.ReadAll(text); err != nil || strings.ReplaceAll(string(got), "\r\n", "\n") != p.Body {
		t.Fatalf("the body %+q decodes as %+q, %v", p.Body, got, err)
	}
	if got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil || got != p.Subject {
		t.Fatalf("the subject %+q decodes as %+q, %v", p.Subject, got, err)
	}
}

// checkHeader reads all but the content's fields.
func checkHeader(t *testing.T, p *Parcel, from Address, recipient int, h netmail.Header) {
	t.Helper()
	fields := 7 // From, To, Subject, Date, Message-ID, MIME-Version, Content-Type
	if len(p.Attachments) == 0 {
		fields++ // Content-Transfer-Encoding
	}
	if len(p.References) > 0 {
		fields += 2
	}
	if len(h) != fields {
		t.Fatalf("rendered %d fields, want %d: %v", len(h), fields, h)
	}
	sender, err := h.AddressList("From")
	if err != nil || len(sender) != 1 || sender[0].Address != string(from) || sender[0].Name != p.From {
		t.Fatalf("rendered From %q as of %+q: %v, %v", h.Get("From"), p.From, sender, err)
	}
	if domain := from.Domain(); strings.Count(fmt.Sprint(h["References"]), "@"+domain+">") != len(p.References) {
		t.Fatalf("rendered the references %q", h["References"])
	}
	to, err := h.AddressList("To")
	want := p.Recipients[recipient:][:1]
	if p.Disclosed {
		want = p.Recipients
	}
	if err != nil || len(to) != len(want) {
		t.Fatalf("rendered To %q, %v", h.Get("To"), err)
	}
	for i := range to {
		if to[i].Address != string(want[i]) || to[i].Name != "" {
			t.Fatalf("rendered To %q", h.Get("To"))
		}
	}
	if date, err := h.Date(); err != nil || date.Unix() != int64(p.Date)*86400 {
		t.Fatalf("rendered the date %v, %v", date, err)
	}
}

// checkParts reads the parts back: the same text and attachments, and no part more.
func checkParts(t *testing.T, p *Parcel, rendered []byte) {
	t.Helper()
	e, err := message.Read(bytes.NewReader(rendered))
	if err != nil {
		t.Fatal(err)
	}
	parts := e.MultipartReader()
	next := func() (media, name string, content []byte) {
		t.Helper()
		part, err := parts.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		if content, err = io.ReadAll(part.Body); err != nil {
			t.Fatal(err)
		}
		disposition, params, _ := part.Header.ContentDisposition()
		if (disposition == "attachment") != (params["filename"] != "") {
			t.Fatalf("a part with the disposition %q, %q", disposition, params)
		}
		media, _, err = part.Header.ContentType()
		if err != nil {
			t.Fatal(err)
		}
		return media, params["filename"], content
	}
	media, params, err := e.Header.ContentType()
	if err != nil {
		t.Fatal(err)
	}
	if p.encryptedOnly() {
		control, _, version := next()
		sealed, _, armor := next()
		packets, err := dearmor(string(armor))
		if media != "multipart/encrypted" || params["protocol"] != "application/pgp-encrypted" || control != params["protocol"] ||
			string(version) != "Version: 1\r\n" || sealed != "application/octet-stream" || err != nil || !bytes.Equal(packets, p.Attachments[0].Data) {
			t.Fatalf("%s %s, %s %q, %s %q: %v", media, params, control, version, sealed, armor, err)
		}
	} else {
		if media != "multipart/mixed" {
			t.Fatalf("rendered as %s", media)
		}
		if p.Body != "" {
			if media, name, content := next(); media != "text/plain" || name != "" || strings.ReplaceAll(string(content), "\r\n", "\n") != p.Body {
				t.Fatalf("the text %+q reads back as %s %q %+q", p.Body, media, name, content)
			}
		}
		for i, a := range p.Attachments {
			media, name, content := next()
			if a.Type.isText() {
				content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
			}
			want, _, _ := strings.Cut(a.Type.Media(), ";")
			if media != want || name != fmt.Sprintf("attachment-%d.%s", i+1, a.Type.Ending()) || !bytes.Equal(content, a.Data) {
				t.Fatalf("attachment %d reads back as %s %q %+q, want %+q", i+1, media, name, content, a.Data)
			}
		}
	}
	if part, err := parts.NextPart(); err != io.EOF {
		t.Fatalf("one part more: %v, %v", part, err)
	}
}

// dearmor reads ASCII armour (RFC 9580 section 6) that has neither headers nor a
// checksum.
func dearmor(armor string) ([]byte, error) {
	text, found := strings.CutPrefix(armor, "-----BEGIN PGP MESSAGE-----\r\n\r\n")
	text, ended := strings.CutSuffix(text, "\r\n-----END PGP MESSAGE-----\r\n")
	if !found || !ended {
		return nil, errors.New("no armour")
	}
	return base64.StdEncoding.DecodeString(text) // which skips line ends
}

func TestRenderDates(t *testing.T) {
	for _, date := range []uint32{0, 59, 20780, 2932896} {
		p := &Parcel{Date: date, Recipients: []Address{"b@example.net"}, Message: Message{Subject: "é", Body: "b\n"}}
		t.Run(fmt.Sprint(date), func(t *testing.T) { checkRendered(t, p, "post@exit.example", 0) })
	}
}

// full has something of everything that a message can have.
func full() *Parcel {
	return &Parcel{
		MessageID:  [MessageIDLength]byte{1, 2, 3},
		Date:       20780,
		From:       "Café",
		References: [][MessageIDLength]byte{{4}, {5}},
		Recipients: []Address{"bob@example.net", "Carol.Smith@example.com"},
		Disclosed:  true,
		Message: Message{Subject: "Minutes", Body: "Here they are.\n", Attachments: []Attachment{
			{Text, []byte("Grüße\n")},
			{CSV, []byte("a,b\n1,2\n")},
			{JPEG, append([]byte("\xff\xd8\xff"), bytes.Repeat([]byte{7}, 100)...)},
			{PNG, []byte("\x89PNG\r\n\x1a\n...")},
			{PDF, []byte("%PDF-1.7\n...")},
			{OpenPGP, []byte("\xc1\x03\x01\x02\x03")},
		}},
	}
}

// TestRenderGolden compares the whole messages.
func TestRenderGolden(t *testing.T) {
	for name, change := range map[string]func(*Parcel){
		"full":        func(*Parcel) {},
		"undisclosed": func(p *Parcel) { p.Disclosed, p.From = false, `Ann "the pen" =?` },
		"answer":      func(p *Parcel) { p.Attachments, p.From, p.References = nil, "Ann Bell", p.References[:1] },
		"pictures":    func(p *Parcel) { p.Body, p.Attachments, p.References = "", p.Attachments[2:4], nil },
		"encrypted": func(p *Parcel) {
			p.Body, p.Subject, p.From, p.Disclosed = "", "", "", false
			p.Attachments = []Attachment{{OpenPGP, append([]byte{0xd2, 0x60}, bytes.Repeat([]byte{1, 2, 3}, 32)...)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := full()
			change(p)
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
			got := p.Render("post@exit.example", 0)
			want := golden.File(t, "testdata/rendered/"+name+".eml", func() []byte { return got })
			if !bytes.Equal(got, want) {
				t.Errorf("rendered\n%s\nwant\n%s", got, want)
			}
			checkRendered(t, p, "post@exit.example", 0)
		})
	}
}

func TestEncodeFrom(t *testing.T) {
	long := strings.Repeat("é", MaxName/2)
	for _, c := range []struct{ in, want string }{
		{"", "From: a@b.example\r\n"},
		{"Ann", "From: \"Ann\" <a@b.example>\r\n"},
		{"Ann (the), <pen>; x", "From: \"Ann (the), <pen>; x\" <a@b.example>\r\n"},
		{`Ann "x"`, "From: =?utf-8?B?QW5uICJ4Ig==?= <a@b.example>\r\n"},
		{`a\b`, "From: =?utf-8?B?YVxi?= <a@b.example>\r\n"},
		{"=?utf-8?Q?a?=", "From: =?utf-8?B?PT91dGYtOD9RP2E/PQ==?= <a@b.example>\r\n"},
		{"é", "From: =?utf-8?B?w6k=?= <a@b.example>\r\n"},
		{strings.Repeat("a", MaxName), "From: \"" + strings.Repeat("a", MaxName) + "\"\r\n <a@b.example>\r\n"},
		{long, "From: =?utf-8?B?" + strings.Repeat("w6nDqcOp", 6) + "w6k=?=\r\n =?utf-8?B?" + strings.Repeat("w6nDqcOp", 4) + "w6k=?= <a@b.example>\r\n"},
	} {
		got := encodeFrom(c.in, "a@b.example")
		if got != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
		read, err := netmail.ParseAddress(strings.ReplaceAll(strings.TrimPrefix(got, "From: "), "\r\n", ""))
		if err != nil || read.Name != c.in || read.Address != "a@b.example" {
			t.Errorf("%q reads back as %v, %v", got, read, err)
		}
	}
}

// TestBoundaryInText has a gateway that knows the boundary, since it chose the message
// id, and puts it into a text: that ends no part.
func TestBoundaryInText(t *testing.T) {
	p := full()
	line := "--" + p.boundary() + "\n"
	evil := line + "Content-Type: text/html\n\n<p>\n" + line + strings.TrimSuffix(line, "\n") + "--\n"
	p.Body = evil
	p.Attachments[0].Data, p.Attachments[1].Data = []byte(evil), []byte("a,b\n"+evil)
	checkRendered(t, p, "post@exit.example", 0)
	p.Body = "Text.\n--=_ is quoted\n"
	checkRendered(t, p, "post@exit.example", 0)
	p.Attachments = nil // and alone it stays as it is
	if b := p.Render("post@exit.example", 0); !bytes.Contains(b, []byte("--=_ is quoted")) {
		t.Errorf("rendered %s", b)
	}
}

// TestBoundaries draws the boundaries of many mails: each has its own, of one shape.
func TestBoundaries(t *testing.T) {
	seen := map[string]bool{}
	for i := range 1000 {
		p := &Parcel{MessageID: [MessageIDLength]byte{byte(i), byte(i >> 8)}}
		b := p.boundary()
		if seen[b] || len(b) != 28 || strings.Contains(b, lowerBase32(p.MessageID[:])) {
			t.Fatalf("boundary %q", b)
		}
		seen[b] = true
	}
}
