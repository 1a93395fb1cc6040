package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/golden"
	"codeberg.org/sourdine/sourdine/mail"
)

// clients are the recordings in testdata/clients/short and testdata/clients/long.
var clients = []string{"claws-mail", "curl", "go-message", "msmtp", "mutt", "neomutt", "s-nail", "smtplib", "swaks",
	"thunderbird", "thunderbird-html", "thunderbird-plain"}

// TestClients reads two mails, each as ten programs submit it. What the exit hands over
// is the same bytes for all.
func TestClients(t *testing.T) {
	for _, group := range []string{"short", "long"} {
		t.Run(group, func(t *testing.T) {
			dir := filepath.Join("testdata/clients", group)
			rendered := filepath.Join(dir, "rendered.eml")
			want := golden.File(t, rendered, func() []byte { return renderClient(t, filepath.Join(dir, "swaks.eml")) })
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil {
				t.Fatal(err)
			}
			var recorded []string
			for _, file := range files {
				if file == rendered {
					continue
				}
				recorded = append(recorded, strings.TrimSuffix(filepath.Base(file), ".eml"))
				if got := renderClient(t, file); !bytes.Equal(got, want) {
					t.Errorf("%s renders as\n%s\nwant\n%s", file, got, want)
				}
			}
			if slices.Sort(recorded); !slices.Equal(recorded, clients) {
				t.Errorf("recorded are %q, want %q", recorded, clients)
			}
		})
	}
}

func renderClient(t *testing.T, file string) []byte {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Scrub(data, Options{Room: room})
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	p := &mail.Parcel{
		MessageID:  [mail.MessageIDLength]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		Date:       20780,
		Recipients: []mail.Address{"bob@example.net", "carol@example.com"},
		Message:    r.Message,
	}
	return p.Render("sourdine@exit.example", 0)
}

func TestRead(t *testing.T) {
	const plain = "Content-Type: text/plain; charset="
	for _, c := range []struct{ name, mail, subject, body string }{
		{"nothing at all", "", "", ""},
		{"a header only", "Subject: a\n", "a", ""},
		{"an empty body", "Subject: a\n\n", "a", ""},
		{"no header", "\nb\n", "", "b\n"},
		{"an open last line", "Subject: a\n\nb", "a", "b\n"},
		{"plain", "Subject: a\n\nb\n", "a", "b\n"},
		{"no charset but UTF-8", "Subject: é\n\né\n", "é", "é\n"},
		{"text/plain without a charset", "Content-Type: text/plain\n\né\n", "", "é\n"},
		{"us-ascii", plain + "us-ascii\n\nb\n", "", "b\n"},
		{"iso-8859-1", plain + "ISO-8859-1\n\ncaf\xe9\n", "", "café\n"},
		{"iso-8859-15", plain + "iso-8859-15\n\n\xa4\n", "", "€\n"},
		{"windows-1252", plain + "windows-1252\n\n\x93a\x94\n", "", "“a”\n"},
		{"windows-1251", plain + "windows-1251\n\n\xcf\xf0\xe8\n", "", "При\n"},
		{"koi8-r", plain + "koi8-r\n\n\xf0\xd2\xc9\n", "", "При\n"},
		{"iso-2022-jp", plain + "iso-2022-jp\n\n\x1b$B$\"\x1b(B!\n", "", "あ!\n"},
		{"shift_jis", plain + "Shift_JIS\n\n\x82\xa0\n", "", "あ\n"},
		{"gb18030", plain + "gb18030\n\n\xc4\xe3\n", "", "你\n"},
		{"IBM850, known to IANA only", plain + "IBM850\n\n\x82\n", "", "é\n"},
		{"a UTF-8 BOM", plain + "utf-8\n\n\ufeffb\n", "", "b\n"},
		{"utf-16 in base64", plain + "utf-16le\nContent-Transfer-Encoding: base64\n\nYQDpAAoA\n", "", "aé\n"},
		{"quoted-printable", plain + "utf-8\nContent-Transfer-Encoding: Quoted-Printable\n\ncaf=C3=A9 =\nb=3D=20\n", "", "café b=\n"},
		{"base64 with CRLF inside", "Content-Transfer-Encoding: base64\n\nYQ0KYg0K\nDQo=\n", "", "a\nb\n"},
		{"binary", "Content-Transfer-Encoding: binary\n\nb\n", "", "b\n"},
		{"inline", "Content-Disposition: inline; filename=x\n\nb\n", "", "b\n"},
		{"flowed", "Content-Type: text/plain; format=flowed\n\na \nb\n\n> q \n> r\n", "", "a b\n\n> q r\n"},
		{"flowed with delsp", "Content-Type: text/plain; format=Flowed; delsp=Yes\n\na \nb\n", "", "ab\n"},
		{"not flowed", "Content-Type: text/plain; format=fixed\n\na \nb\n", "", "a\nb\n"},
		{"a long line stays", "\n" + strings.Repeat("é ", 5000) + "x\n", "", strings.Repeat("é ", 5000) + "x\n"},
		{"a quoted line longer than 4096", "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("x", 10000) + "\n", "", strings.Repeat("x", 10000) + "\n"},
		{"a folded subject", "Subject: a\n b\n\tc\n\n", "a b c", ""},
		{"encoded-words", "Subject: =?iso-8859-1?Q?caf=E9?= =?utf-8?B?w6k=?= =?ISO-2022-JP?B?GyRCJCIbKEI=?= x\n\n", "caféé" + "あ x", ""},
		{"a character divided between encoded-words", "Subject: =?utf-8?Q?=C3?= =?utf-8?Q?=A9?=\n\n", "é", ""},
		{"an encoded line end", "Subject: =?utf-8?Q?a=0D=0ABcc:_x?=\n\n", "a Bcc: x", ""},
		{"no encoded-word after all", "Subject: =?utf-8?X?a?=\n\n", "=?utf-8?X?a?=", ""},
		{"other fields", "Received: x\nX-Mailer: y\nTo: z\nTo: z\nBcc: w\nSubject: a\n\nb\n", "a", "b\n"},
		{"as typed", "\n\n  indented\twith tabs\n\n-- \nme\n\n\n", "", "  indented\twith tabs\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := Scrub([]byte(strings.ReplaceAll(c.mail, "\n", "\r\n")), Options{Room: room})
			if err != nil {
				t.Fatal(err)
			}
			m := r.Message
			if m.Subject != c.subject || m.Body != c.body {
				t.Errorf("read %q, %q; want %q, %q", m.Subject, m.Body, c.subject, c.body)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	const secret = "hidden"
	for _, c := range []struct{ name, mail, reason string }{ // mail with the CRs it has on the wire
		{"a NUL", "Subject: a\r\n\r\nhidden\x00\r\n", "NUL byte"},
		{"a bare LF in the body", "Subject: a\r\n\r\nhidden\nb\r\n", "LF alone"},
		{"a bare LF in the header", "Subject: hidden\nTo: b\r\n\r\n", "LF alone"},
		{"a bare LF first", "\nhidden\r\n", "LF alone"},
		{"a bare CR", "\r\nhidden\rb\r\n", "CR that no LF"},
		{"two CRs", "\r\nhidden\r\r\n", "CR that no LF"},
		{"a CR last", "\r\nhidden\r", "CR that no LF"},
		{"a dot between bare ends", "\r\nhidden\r\n.\rb\r\n", "CR that no LF"},
		{"a line without a colon", "Subject: a\r\nhidden\r\n\r\nb\r\n", "no field"},
		{"text instead of a header", "hidden text\r\n", "no field"},
		{"a name with a space", "Sub hidden: a\r\n\r\n", "no field"},
		{"a space before the colon", "Subject : hidden\r\n\r\n", "no field"},
		{"no name", ": hidden\r\n\r\n", "no field"},
		{"a continuation of nothing", " hidden\r\n\r\n", "no field"},
		{"a name outside ASCII", "hidd\u00e9n: a\r\n\r\n", "no field"},
		{"a mailbox's From line", "From hidden Mon Nov 23 00:00:00 2026\r\nSubject: a\r\n\r\n", "no field"},
		{"8-bit header", "Subject: hidden \xe9\r\n\r\n", "not UTF-8"},
		{"a large header", strings.Repeat("X-Hidden: hidden\r\n ", 4000) + "\r\n\r\n", "larger than 65536 bytes"},
		{"many fields", strings.Repeat("X: hidden\r\n", 1001) + "\r\n", "more than 1000 fields"},
		{"two From", "From: hidden\r\nFrom: b\r\n\r\n", "From more than once"},
		{"two Content-Type", "content-type: text/plain\r\nContent-Type: text/hidden\r\n\r\n", "Content-Type more than once"},
		{"a long line", "\r\n" + strings.Repeat("hidden", 11000) + "\r\n", "more than 65536 bytes"},
		{"an unknown transfer encoding", "Content-Transfer-Encoding: x-hidden\r\n\r\nb\r\n", "(Content-Transfer-Encoding)"},
		{"broken base64", "Content-Transfer-Encoding: base64\r\n\r\nhidden!\r\n", "does not decode"},
		{"broken quoted-printable", "Content-Transfer-Encoding: quoted-printable\r\n\r\nhidden\x01\r\n", "does not decode"},
		{"no charset, not UTF-8", "\r\nhidden \xe9\r\n", "names no character set"},
		{"not the declared UTF-8", "Content-Type: text/plain; charset=utf-8\r\n\r\nhidden \xe9\r\n", "not in the character set"},
		{"not the declared US-ASCII", "Content-Type: text/plain; charset=us-ascii\r\n\r\nhidden \u00e9\r\n", "not in the character set"},
		{"not the declared Shift_JIS", "Content-Type: text/plain; charset=shift_jis\r\n\r\nhidden \x82\r\n", "not in the character set"},
		{"an unknown charset", "Content-Type: text/plain; charset=x-hidden\r\n\r\nb\r\n", "character set is not known"},
		{"a charset that cannot be decoded safely", "Content-Type: text/plain; charset=iso-2022-kr\r\n\r\nhidden\r\n", "character set is not known"},
		{"UTF-7", "Content-Type: text/plain; charset=utf-7\r\n\r\nhidden\r\n", "character set is not known"},
		{"a subject in an unknown charset", "Subject: =?x-hidden?Q?a?=\r\n\r\n", "subject cannot be decoded"},
		{"a subject that does not decode", "Subject: hidden =?utf-8?Q?=E9?=\r\n\r\n", "subject cannot be decoded"},
		{"a long subject", "Subject: " + strings.Repeat("hidden ", 72) + "\r\n\r\n", "at most 500 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckWire([]byte(c.mail))
			if err == nil {
				_, err = Scrub([]byte(c.mail), Options{Room: 30000})
			}
			refusal, ok := errors.AsType[*mail.Refusal](err)
			if !ok {
				t.Fatalf("%v; want a Refusal", err)
			}
			if !strings.Contains(refusal.Reason, c.reason) {
				t.Errorf("refused with %q, which does not say %q", refusal.Reason, c.reason)
			}
			if strings.Contains(strings.ToLower(refusal.Reason), secret) {
				t.Errorf("the refusal %q quotes the mail", refusal.Reason)
			}
			if strings.ContainsFunc(refusal.Reason, func(r rune) bool { return r < ' ' || r > '~' }) || len(refusal.Reason) > maxReason {
				t.Errorf("the refusal %q does not fit an SMTP reply", refusal.Reason)
			}
		})
	}
}

// header reads what is a header alone.
func header(t *testing.T, raw string) *part {
	t.Helper()
	p, err := parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMessageID(t *testing.T) {
	for _, test := range []struct{ raw, want string }{
		{"", ""},
		{"Subject: x\r\n\r\nMessage-ID: <in.the@body>\r\n", ""},
		{"Message-ID: <a@b>\r\n\r\n", "<a@b>"},
		{"Subject: x\r\nmessage-id:<a@b>\r\nTo: y\r\n\r\n", "<a@b>"},
		{"Message-ID:\r\n <a\r\n\t@b>\r\nSubject: x\r\n\r\n", "<a@b>"},
		{"Message-ID: <a@b>\r\n", "<a@b>"},
		{"Message-ID:\r\n\r\n", ""},
		{"X-Message-ID: <a@b>\r\n\r\n", ""},
		{"Subject: x\r\n Message-ID: <a@b>\r\n\r\n", ""},
		{"Message-ID: " + strings.Repeat("x", 2000) + "\r\n\r\n", strings.Repeat("x", 998)},
	} {
		if got := header(t, test.raw).messageID(); got != test.want {
			t.Errorf("%q: %q, want %q", test.raw, got, test.want)
		}
	}
}

func TestReferences(t *testing.T) {
	many := ""
	for i := range 60 {
		many += fmt.Sprintf(" <%d@x>", i)
	}
	for name, test := range map[string]struct {
		raw  string
		want []string
	}{
		"nothing":             {"Subject: x\r\n\r\nReferences: <in.the@body>\r\n", nil},
		"an answer":           {"In-Reply-To: <a@b>\r\nReferences: <a@b>\r\n\r\n", []string{"<a@b>"}},
		"a thread":            {"references:<a@b> <c@d>\r\n\t<e@f>\r\nin-reply-to: <e@f>\r\n\r\n", []string{"<a@b>", "<c@d>", "<e@f>"}},
		"answers an old one":  {"References: <a@b> <c@d>\r\nIn-Reply-To: <a@b>\r\n\r\n", []string{"<c@d>", "<a@b>"}},
		"no References":       {"In-Reply-To: Your mail of Monday <a@b>\r\n\r\n", []string{"<a@b>"}},
		"the same twice":      {"References: <a@b> <c@d> <a@b>\r\n\r\n", []string{"<c@d>", "<a@b>"}},
		"folded inside":       {"References: <a\r\n @b>\r\n\r\n", []string{"<a@b>"}},
		"no brackets":         {"References: a@b\r\nIn-Reply-To: x\r\n\r\n", nil},
		"open":                {"References: <a@b> <c@d\r\n\r\n", []string{"<a@b>"}},
		"the last fifty":      {"References:" + many + "\r\n\r\n", strings.Fields(many)[10:]},
		"answered last of 61": {"References:" + many + "\r\nIn-Reply-To: <y@x>\r\n\r\n", append(strings.Fields(many)[11:], "<y@x>")},
		"too long":            {"References: <" + strings.Repeat("x", 1000) + "@y> <a@b>\r\n\r\n", []string{"<a@b>"}},
	} {
		if got := header(t, test.raw).references(); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
