package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Render writes the message (RFC 5322) that the exit hands over for one of
// the parcel's recipients, named by its index. The parcel has passed
// [SealParcel] or comes from [OpenParcel]. The result is the same bytes for
// the same arguments: CRLF line ends, only printable ASCII and tabs in lines of
// at most 78 characters (as far as addresses and unbroken words of a subject
// allow), fields in a fixed order, and no others.
//
// A mail without attachments is text/plain. One OpenPGP message that is all there
// is becomes multipart/encrypted (RFC 3156). Everything else is
// multipart/mixed: the text, unless it is empty, then the attachments.
func (p *Parcel) Render(from Address, recipient int) []byte {
	var b bytes.Buffer
	date := time.Unix(int64(p.Date)*24*60*60, 0).UTC()
	to := p.Recipients
	if !p.Disclosed {
		to = to[recipient:][:1]
	}
	b.WriteString(encodeFrom(p.From, from))
	fmt.Fprintf(&b, "To: %s\r\n", oneALine(to, ","))
	b.WriteString(fold("Subject:", encodeText(p.Subject)))
	fmt.Fprintf(&b, "Date: %s\r\n", date.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: %s\r\n", p.messageID(p.MessageID, from))
	if len(p.References) > 0 {
		var ids []string
		for _, r := range p.References {
			ids = append(ids, p.messageID(r, from))
		}
		fmt.Fprintf(&b, "In-Reply-To: %s\r\n", ids[len(ids)-1])
		fmt.Fprintf(&b, "References: %s\r\n", oneALine(ids, ""))
	}
	b.WriteString("MIME-Version: 1.0\r\n")
	switch boundary := p.boundary(); {
	case len(p.Attachments) == 0:
		writeText(&b, Text.Media(), "", p.Body, false)
	case p.encryptedOnly():
		writeEncrypted(&b, boundary, p.Attachments[0].Data)
	default:
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%q\r\n", boundary)
		if p.Body != "" {
			fmt.Fprintf(&b, "\r\n--%s\r\n", boundary)
			writeText(&b, Text.Media(), "", p.Body, true)
		}
		for i, a := range p.Attachments {
			fmt.Fprintf(&b, "\r\n--%s\r\n", boundary)
			a.write(&b, i+1)
		}
		fmt.Fprintf(&b, "\r\n--%s--\r\n", boundary)
	}
	return b.Bytes()
}

// messageID writes the message id of this mail or of one it refers to, which the
// same exit handed over: the id in base32 at the exit's domain.
func (p *Parcel) messageID(id [MessageIDLength]byte, from Address) string {
	return "<" + lowerBase32(id[:]) + "@" + from.Domain() + ">"
}

func lowerBase32(b []byte) string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
}

// boundary is what divides the parts of the message. It follows from the message id
// by SHA-256, so it is as random, and nobody who knows another mail's finds this
// one's. "=_" at its beginning stands in no base64, no quoted-printable (RFC 2045
// section 6.7) and no text that writeText leaves as it is; so whoever wrote the mail,
// and whatever message id they chose, no text ends a part.
func (p *Parcel) boundary() string {
	sum := sha256.Sum256(append([]byte("sourdine boundary v1"), p.MessageID[:]...))
	return "=_" + lowerBase32(sum[:MessageIDLength])
}

// oneALine writes the items of a header field, each on a line of its own.
func oneALine[T ~string](items []T, separator string) string {
	var b strings.Builder
	for i, item := range items {
		if i > 0 {
			b.WriteString(separator + "\r\n ")
		}
		b.WriteString(string(item))
	}
	return b.String()
}

// writeText writes the fields and the content of a part that is text, with CRLF at
// the end of each line. It becomes quoted-printable where [encodeBody] says so, and,
// if it stands among other parts, where it has in it what begins a boundary.
func writeText(b *bytes.Buffer, media, name, text string, among bool) {
	body, encoding := encodeBody(text, among && strings.Contains(text, "=_"))
	fmt.Fprintf(b, "Content-Type: %s\r\n", media)
	if name != "" {
		fmt.Fprintf(b, "Content-Disposition: attachment; filename=%q\r\n", name)
	}
	fmt.Fprintf(b, "Content-Transfer-Encoding: %s\r\n\r\n", encoding)
	b.WriteString(body)
}

// write writes the attachment as the n-th part of its kind.
func (a *Attachment) write(b *bytes.Buffer, n int) {
	name := a.Type.FileName(n)
	if a.Type.isText() {
		writeText(b, a.Type.Media(), name, string(a.Data), true)
		return
	}
	fmt.Fprintf(b, "Content-Type: %s\r\n", a.Type.Media())
	fmt.Fprintf(b, "Content-Disposition: attachment; filename=%q\r\n", name)
	b.WriteString("Content-Transfer-Encoding: base64\r\n\r\n")
	writeBase64(b, a.Data, maxEncoded, "\r\n")
}

// writeBase64 writes data in lines of width characters, the last of which is shorter or
// as long. Each ends with end.
func writeBase64(b *bytes.Buffer, data []byte, width int, end string) {
	for len(data) > 0 {
		line := data[:min(len(data), width/4*3)]
		b.Write(base64.StdEncoding.AppendEncode(b.AvailableBuffer(), line))
		b.WriteString(end)
		data = data[len(line):]
	}
}

// armorWidth is the length of a line of ASCII armour that all programs write.
// RFC 9580 section 6 allows up to 76.
const armorWidth = 64

// writeEncrypted writes the fields and the content of a multipart/encrypted (RFC
// 3156 section 4).
func writeEncrypted(b *bytes.Buffer, boundary string, packets []byte) {
	fmt.Fprintf(b, "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\";\r\n boundary=%q\r\n", boundary)
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n", boundary)
	fmt.Fprintf(b, "\r\n--%s\r\nContent-Type: application/octet-stream\r\n\r\n", boundary)
	b.WriteString(strings.ReplaceAll(Armor(packets), "\n", "\r\n"))
	fmt.Fprintf(b, "\r\n--%s--\r\n", boundary)
}

// Armor writes the packets of an OpenPGP message as text (RFC 9580 section 6.2), with LF at
// the end of each line. It has no header and no checksum, which RFC 9580 section 6.1 makes
// optional: it says nothing of the program that encrypted.
func Armor(packets []byte) string {
	var b bytes.Buffer
	b.WriteString("-----BEGIN PGP MESSAGE-----\n\n")
	writeBase64(&b, packets, armorWidth, "\n")
	b.WriteString("-----END PGP MESSAGE-----\n")
	return b.String()
}

// maxLine is the line length in characters that RFC 5322 section 2.1.1
// recommends, without CRLF.
const maxLine = 78

// encodeFrom returns the From field: the address alone, or behind the name, which
// becomes a quoted-string (RFC 5322 section 3.2.4), or encoded-words where such a
// string would need a backslash or does not do.
func encodeFrom(name string, from Address) string {
	if name == "" {
		return fmt.Sprintf("From: %s\r\n", from)
	}
	words := []string{`"` + name + `"`}
	if !isASCII(name) || strings.Contains(name, "=?") || strings.ContainsAny(name, `"\`) {
		words = encodeWords(name)
	}
	return fold("From:", append(words, fmt.Sprintf("<%s>", from)))
}

// encodeText returns the words of an unstructured field.
func encodeText(text string) []string {
	if !isASCII(text) || strings.Contains(text, "=?") {
		return encodeWords(text)
	}
	return strings.Fields(text)
}

// fold returns a field of these words, broken before those that would exceed
// maxLine.
func fold(field string, words []string) string {
	var b strings.Builder
	b.WriteString(field)
	length := b.Len()
	for i, word := range words {
		if i > 0 && length+1+len(word) > maxLine {
			b.WriteString("\r\n")
			length = 0
		}
		b.WriteString(" " + word)
		length += 1 + len(word)
	}
	b.WriteString("\r\n")
	return b.String()
}

// maxWord is how many bytes of text one encoded-word holds: its 64 characters,
// behind "Subject: ", stay within the 76 that RFC 2047 section 2 allows a line.
const maxWord = 39

// encodeWords writes text as encoded-words (RFC 2047) in UTF-8 and B encoding,
// each holding as many whole characters as fit.
func encodeWords(text string) []string {
	var words []string
	for text != "" {
		end := 0
		for end < len(text) {
			_, size := utf8.DecodeRuneInString(text[end:])
			if end+size > maxWord {
				break
			}
			end += size
		}
		words = append(words, "=?utf-8?B?"+base64.StdEncoding.EncodeToString([]byte(text[:end]))+"?=")
		text = text[end:]
	}
	return words
}

// maxEncoded is the length in characters of a quoted-printable line, RFC 2045
// section 6.7 rule 5.
const maxEncoded = 76

// encodeBody returns the body with CRLF line ends and the name of its transfer
// encoding: 7bit if it is ASCII in lines of at most maxEncoded characters none
// of which begins with a dot or "From ", quoted-printable otherwise. (A careless
// relay loses such a dot or turns "From " into ">From ".) quote asks for the latter
// in any case.
func encodeBody(body string, quote bool) (encoded, name string) {
	name = "7bit"
	if quote {
		name = "quoted-printable"
	}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if len(line) > maxEncoded || !isASCII(strings.ReplaceAll(line, "\t", " ")) || isFragile(line) {
			name = "quoted-printable"
			break
		}
	}
	var b strings.Builder
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if name == "7bit" {
			b.WriteString(line)
		} else {
			quoteLine(&b, line)
		}
		b.WriteString("\r\n")
	}
	return b.String(), name
}

// quoteLine writes a line in quoted-printable (RFC 2045 section 6.7). A soft
// line break stands before each character that would not leave room for a "="
// behind it; it never divides a character. A space or tab at the line's end,
// and a dot or the F of "From " at the beginning of any written line are encoded.
func quoteLine(b *strings.Builder, line string) {
	length := 0
	for line != "" {
		_, size := utf8.DecodeRuneInString(line)
		char := line[:size]
		c := char[0]
		literal := ' ' < c && c <= '~' && c != '=' || (c == ' ' || c == '\t') && len(line) > 1
		width := 3 * size
		if literal {
			width = 1
		}
		if length+width >= maxEncoded {
			b.WriteString("=\r\n")
			length = 0
		}
		if literal && (length > 0 || !isFragile(line)) {
			b.WriteByte(c)
		} else {
			for i := range size {
				fmt.Fprintf(b, "=%02X", char[i])
			}
			width = 3 * size
		}
		length += width
		line = line[size:]
	}
}

// isFragile reports whether a line begins so that some relays change it.
func isFragile(line string) bool {
	return strings.HasPrefix(line, ".") || strings.HasPrefix(line, "From ")
}

// isASCII reports whether s has only printable ASCII and spaces.
func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
