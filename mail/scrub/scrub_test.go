package scrub

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/color/palette"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"codeberg.org/sourdine/sourdine/mail"
)

// room is what a parcel of the default network has for a mail.
const room = 1_077_000

func scrub(t *testing.T, lines ...string) (*Result, error) {
	t.Helper()
	r, err := Scrub([]byte(strings.Join(lines, "\r\n")), Options{Room: room})
	if err == nil {
		return r, nil
	}
	refusal, ok := errors.AsType[*mail.Refusal](err)
	if !ok {
		t.Fatalf("an error that is no refusal: %v", err)
	}
	if len(refusal.Reason) > maxReason || strings.ContainsFunc(refusal.Reason, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("a refusal that a mail program cannot show: %q", refusal.Reason)
	}
	return nil, err
}

// maxReason is how long a refusal may be: an SMTP reply line without its code (RFC
// 5321 section 4.5.3.1.5), which a mail program shows in a dialogue.
const maxReason = 450

func TestTrees(t *testing.T) {
	for _, c := range []struct {
		name, mail, want string
	}{
		{"text", "Subject: Lunch\n\nAt noon.\n", "At noon.\n"},
		{"no body", "Subject: Lunch\n", ""},
		{"alternative", alternative("text/plain", "plain\n", "text/html", "<p>rich</p>\n"), "rich\n"},
		{"alternative, HTML first", alternative("text/html", "<p>rich</p>\n", "text/plain", "plain\n"), "plain\n"},
		{"alternative with an invitation", alternative("text/plain", "Come.\n", "text/calendar; method=REQUEST", "BEGIN:VCALENDAR\nEND:VCALENDAR\n"), "Come.\n"},
		{"two texts", multipart("mixed", "text/plain", "one\n", "text/plain", "two\n"), "one\n\ntwo\n"},
		{"unknown multipart", multipart("x-new", "text/plain", "one\n", "text/plain", "two\n"), "one\n\ntwo\n"},
		{"signed", multipart("signed", "text/plain", "one\n", "application/pgp-signature", "-----BEGIN PGP SIGNATURE-----\n"), "one\n"},
		{"S/MIME signed", multipart("signed", "text/plain", "one\n", "application/pkcs7-signature", "AAAA\n"), "one\n"},
		{"key attached", multipart("mixed", "text/plain", "one\n", "application/pgp-keys", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"), "one\n"},
		{"preamble and epilogue", "Content-Type: multipart/mixed; boundary=b\n\nsecret preamble\n--b\n\none\n--b--\nsecret epilogue\n", "one\n"},
		{"boundary within a boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\none\n--bb--\n--b\n\ntwo\n--b--\n", "one\n\ntwo\n"},
		{"no header in a part", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n", "one\n"},
		{"quoted-printable", "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nna=C3=AFve=\n ways\n", "naïve ways\n"},
		{"base64 with spaces", "Content-Transfer-Encoding: base64\n\nb25 lCg\n ==\n", "one\n"},
		{"latin1", "Content-Type: text/plain; charset=iso-8859-1\n\nna\xefve\n", "naïve\n"},
		{"koi8", "Content-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\xc9\xd7\xc5\xd4\n", "Привет\n"},
		{"iso-2022-jp", "Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$B$3$s\x1b(B\n", "こん\n"},
		{"broken type parameter", "Content-Type: text/plain; charset=utf-8; name=\n\none\n", "one\n"},
		{"flowed", "Content-Type: text/plain; format=flowed\n\nA line that \nflows.\n", "A line that flows.\n"},
		{"forwarded", multipart("mixed", "text/plain", "See:\n", "message/rfc822", "From: secret@example.org\nSubject: Old\nDate: today\n\nWords.\n"), "See:\n\nForwarded message:\n\nWords.\n"},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: Old\n\nWords.\n--b--\n", "Forwarded message:\n\nWords.\n"},
		{"clear signed", "Subject: x\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n- - one\n-----BEGIN PGP SIGNATURE-----\n\nAAAA\n=AAAA\n-----END PGP SIGNATURE-----\n", "- one\n"},
	} {
		for _, ending := range []string{"\r\n", "\n"} {
			r, err := scrub(t, strings.ReplaceAll(c.mail, "\n", ending))
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else if r.Message.Body != c.want || len(r.Message.Attachments) > 0 {
				t.Errorf("%s: %q and %d attachments, want %q", c.name, r.Message.Body, len(r.Message.Attachments), c.want)
			}
		}
	}
}

// multipart writes a mail with parts: types and bodies in turn.
func multipart(sub string, parts ...string) string {
	var b strings.Builder
	b.WriteString("Subject: x\nContent-Type: multipart/" + sub + "; boundary=\"=_b\"\n\nThis is a message in MIME format.\n")
	for i := 0; i < len(parts); i += 2 {
		b.WriteString("--=_b\nContent-Type: " + parts[i] + "\n\n" + parts[i+1])
	}
	b.WriteString("--=_b--\n")
	return b.String()
}

func alternative(parts ...string) string { return multipart("alternative", parts...) }

func TestRefusals(t *testing.T) {
	attached := func(disposition, body string) string {
		return multipart("mixed", "text/plain", "See.\n", "application/octet-stream; name=secret.bin\nContent-Disposition: "+disposition, body)
	}
	for _, c := range []struct {
		name, mail, want string
	}{
		{"NUL", "Subject: x\n\na\x00b\n", "NUL"},
		{"no header", "Hello there\nthis is no mail\n", "no field"},
		{"two subjects", "Subject: a\nSubject: b\n\nx\n", "more than once"},
		{"long line", "Subject: x\n\n" + strings.Repeat("x", MaxLine+1) + "\n", "Break it"},
		{"large header", strings.Repeat("X: "+strings.Repeat("y", 900)+"\n", 80) + "\nx\n", "header is larger"},
		{"long subject", "Subject: " + strings.Repeat("long ", 200) + "\n\nx\n", "Shorten it"},
		{"type", "Content-Type: ;;;\n\nx\n", "Content-Type"},
		{"no boundary", "Content-Type: multipart/mixed\n\nx\n", "where its parts begin"},
		{"no part", "Content-Type: multipart/mixed; boundary=b\n\n--b--\n", "there are none"},
		{"cut off", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", "cut off"},
		{"encoding", "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n", "Content-Transfer-Encoding"},
		{"bad base64", "Content-Transfer-Encoding: base64\n\n!!!!\n", "does not decode"},
		{"charset", "Content-Type: text/plain; charset=x-secret\n\nx\n", "character set"},
		{"wrong charset", "Content-Type: text/plain; charset=us-ascii\n\n\xc3\xaf\n", "UTF-8"},
		{"report", multipart("report; report-type=disposition-notification", "text/plain", "x\n", "message/disposition-notification", "x: y\n"), "receipt"},
		{"S/MIME", "Content-Type: application/pkcs7-mime\n\nAAAA\n", "S/MIME"},
		{"Outlook", multipart("mixed", "text/plain", "x\n", "application/ms-tnef", "x\n"), "winmail.dat"},
		{"partial", "Content-Type: message/partial; id=x; number=1\n\nx\n", "message/partial"},
		{"external", "Content-Type: message/external-body; access-type=ftp\n\nx\n", "message/external-body"},
		{"unknown allowance", "Sourdine-Allow: everything\n\nx\n", "Sourdine-Allow"},
		{"SSH's private key", "Subject: x\n\nHere:\n-----BEGIN OPENSSH PRIVATE KEY-----\n", "private key"},
		{"TLS's private key", "Subject: x\n\n> -----BEGIN PRIVATE KEY-----\n", "private key"},
		{"private key", "Subject: x\n\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n", "private key"},
		{"public key", "Subject: x\n\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "public key"},
		{"encrypted in part", "Subject: x\n\nSee:\n-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n", "in part"},
		{"empty file", attached("attachment", ""), "Attachment 1: It is empty"},
		{"unknown file", attached("attachment", "\x01\x02\x03\n"), "Export it as PDF"},
		{"Word", attached("attachment", "PK\x03\x04....word/document.xml\n"), "a Word document"},
		{"old Word", attached("attachment", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\n"), "old Office"},
		{"archive", attached("attachment", "PK\x03\x04....a.txt\n"), "Unpack it"},
		{"web page", attached("attachment", "<!DOCTYPE html><title>x</title>\n"), "web page"},
		{"card", attached("attachment", "BEGIN:VCARD\nFN:x\n"), "contact card"},
		{"invitation", attached("attachment", "BEGIN:VCALENDAR\n"), "time zone"},
		{"mail as a file", attached("attachment", "Return-Path: <x@y>\n"), "Forward it"},
		{"sound", attached("attachment", "ID3\x03xxxx\n"), "sound"},
		{"program", attached("attachment", "\x7fELFxxxx\n"), "program"},
	} {
		_, err := scrub(t, strings.ReplaceAll(c.mail, "\n", "\r\n"))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the refusal quotes the mail: %v", c.name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	deep := "Subject: x\n\none\n"
	for range maxDepth + 2 {
		deep = "Content-Type: message/rfc822\n\n" + deep
	}
	many := "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", maxParts+1) + "--b--\n"
	for name, c := range map[string]struct{ mail, want string }{
		"deep":       {deep, "deep"},
		"many parts": {many, "parts"},
		"long text":  {"Subject: x\n\n" + strings.Repeat("Eighty letters are in this line of the text, and there are many of these lines.\n", 60000), "too long"},
		"many files": {"Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\nContent-Disposition: attachment\n\nx\n", mail.MaxAttachments+1) + "--b--\n", "attachments"},
	} {
		if _, err := scrub(t, c.mail); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Scrub(make([]byte, MaxSubmission+1), Options{Room: room}); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("too large a mail: %v", err)
	}
}

func TestHeader(t *testing.T) {
	r, err := scrub(t, "From: Anna Secret <anna@secret.example>", "To: b@example.org", "Subject: AW: AW: Lunch", "Date: Sat, 28 Nov 2026 10:00:00 +0100",
		"Message-ID: <1234.5678", " @host.example>", "In-Reply-To: <b@x>", "References: <a@x> garbage <b@x>", "User-Agent: Mutt", "X-Secret: y", "Sourdine-Allow: Recipients , signature", "",
		"Words.", "-- ", "Anna")
	if err != nil {
		t.Fatal(err)
	}
	if r.Message.Subject != "Re: Lunch" || r.MessageID != "<1234.5678@host.example>" || strings.Join(r.References, " ") != "<a@x> <b@x>" || !r.Disclose {
		t.Errorf("subject %q, id %q, references %q, disclose %v", r.Message.Subject, r.MessageID, r.References, r.Disclose)
	}
	if r.Message.Body != "Words.\n\n-- \nAnna\n" && r.Message.Body != "Words.\n-- \nAnna\n" && r.Message.Body != "Words.\n--\nAnna\n" {
		t.Errorf("the signature that was allowed is %q", r.Message.Body)
	}
	var told []string
	for _, n := range r.Removed {
		if n.Part == inHeader {
			told = append(told, n.What)
		}
		if n.Why == "" {
			t.Errorf("nothing says why %q was removed", n.What)
		}
	}
	for _, field := range []string{"From", "To", "Date", "Message-Id", "User-Agent", "X-Secret", "In-Reply-To", "References"} {
		if !strings.Contains(strings.Join(told, " "), field) {
			t.Errorf("%s is not said to be removed: %q", field, told)
		}
	}
	r, err = scrub(t, "Subject: x", "", "Words.", "-- ", "Anna")
	if err != nil || r.Message.Body != "Words.\n" || r.Disclose {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAttachments cleans a file of each kind, makes the pictures as small as the room
// is, and cleans the result again.
func TestAttachments(t *testing.T) {
	photograph := image.NewRGBA(image.Rect(0, 0, 2400, 1600))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range photograph.Pix {
		photograph.Pix[i] = byte(i/9600) + byte(rng.IntN(60))
	}
	var jpegFile, pngFile bytes.Buffer
	if err := errors.Join(jpeg.Encode(&jpegFile, photograph, nil), png.Encode(&pngFile, image.NewPaletted(image.Rect(0, 0, 90, 40), palette.WebSafe))); err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("pdf/testdata/groff.pdf")
	if err != nil {
		t.Fatal(err)
	}
	written := attach("Look.\r\n",
		"image/png; name=Secret.jpg", jpegFile.Bytes(), // its kind is what is in it
		"application/octet-stream", pngFile.Bytes(),
		"application/pdf", document,
		"text/csv", []byte("name,\u200bsum  \r\na,1\r\n"),
		"application/octet-stream", []byte("\xff\xfeS\x00o\x00\n\x00"),
	)
	types := []mail.Type{mail.JPEG, mail.PNG, mail.PDF, mail.CSV, mail.Text}
	var sizes []int
	for _, room := range []int{1_000_000, 300_000, 90_000} {
		r, err := Scrub(written, Options{Room: room})
		if err != nil {
			t.Fatalf("with room for %d bytes: %v", room, err)
		}
		var got []mail.Type
		for _, a := range r.Message.Attachments {
			got = append(got, a.Type)
		}
		if !slices.Equal(got, types) || r.Message.Size() > room || r.Message.Body != "Look.\n" {
			t.Errorf("with room for %d bytes: %d bytes, %v, %q", room, r.Message.Size(), got, r.Message.Body)
		}
		if csv := string(r.Message.Attachments[3].Data); csv != "name,sum\na,1\n" {
			t.Errorf("the table is %q", csv)
		}
		if text := string(r.Message.Attachments[4].Data); text != "So\n" {
			t.Errorf("the text is %q", text)
		}
		sizes = append(sizes, len(r.Message.Attachments[0].Data))

		p := mail.Parcel{Recipients: []mail.Address{"you@example.org"}, Message: r.Message}
		again, err := Scrub(p.Render("mail@exit.example", 0), Options{Room: room + room/20})
		if err != nil {
			t.Fatalf("scrubbing again: %v", err)
		}
		for i, a := range again.Message.Attachments {
			first, second := r.Message.Attachments[i], a
			if first.Type == mail.JPEG {
				before, errBefore := jpeg.DecodeConfig(bytes.NewReader(first.Data))
				after, errAfter := jpeg.DecodeConfig(bytes.NewReader(second.Data))
				if errBefore != nil || errAfter != nil || before.Width != after.Width || before.Height != after.Height {
					t.Errorf("scrubbed again, a picture of %dx%d has %dx%d", before.Width, before.Height, after.Width, after.Height)
				}
			} else if first.Type != second.Type || !bytes.Equal(first.Data, second.Data) {
				t.Errorf("scrubbed again, attachment %d is another", i+1)
			}
		}
	}
	if sizes[0] <= sizes[1] || sizes[1] <= sizes[2] {
		t.Errorf("with less room, the picture has %d bytes", sizes)
	}
	if _, err := Scrub(written, Options{Room: 10_000}); err == nil || !strings.Contains(err.Error(), "kB too large") {
		t.Errorf("what cannot fit: %v", err)
	}
}

// attach writes a mail with a text and files: types and contents in turn.
func attach(text string, files ...any) []byte {
	var b bytes.Buffer
	b.WriteString("Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n" + text)
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(&b, "--b\r\nContent-Type: %s\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n", files[i])
		encoded := base64.StdEncoding.EncodeToString(files[i+1].([]byte))
		for line := range slices.Chunk([]byte(encoded), 76) {
			b.Write(line)
			b.WriteString("\r\n")
		}
	}
	b.WriteString("--b--\r\n")
	return b.Bytes()
}

func FuzzScrub(f *testing.F) {
	f.Add([]byte("Subject: x\r\n\r\nWords.\r\n"))
	f.Add([]byte(multipart("mixed", "text/plain", "x\n", "message/rfc822", "Subject: y\n\nz\n")))
	f.Add([]byte(alternative("text/plain", "x\n", "text/html", "<p>y<blockquote>z")))
	f.Add([]byte(multipart("encrypted; protocol=\"application/pgp-encrypted\"", "application/pgp-encrypted", "Version: 1\n", "application/octet-stream", "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := Scrub(data, Options{Room: 100_000})
		if err != nil {
			if refusal, ok := errors.AsType[*mail.Refusal](err); !ok || len(refusal.Reason) > maxReason {
				t.Fatalf("%v", err)
			}
			return
		}
		if !utf8.ValidString(r.Message.Body) || r.Message.Size() > 100_000 {
			t.Fatalf("%d bytes: %q", r.Message.Size(), r.Message.Body)
		}
		p := mail.Parcel{Recipients: []mail.Address{"you@example.org"}, Message: r.Message}
		second, err := Scrub(p.Render("mail@exit.example", 0), Options{Room: 100_000})
		if err != nil {
			t.Fatalf("scrubbing again: %v", err)
		}
		if second.Message.Subject != r.Message.Subject || second.Message.Body != r.Message.Body || len(second.Message.Attachments) != len(r.Message.Attachments) {
			t.Fatalf("scrubbed again %q, was %q", second.Message, r.Message)
		}
	})
}
