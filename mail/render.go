package mail

import (
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
// allow), these fields in this order, and no others.
func (p *Parcel) Render(from Address, recipient int) []byte {
	var b strings.Builder
	body, encoding := encodeBody(p.Body)
	id := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(p.MessageID[:]))
	date := time.Unix(int64(p.Date)*24*60*60, 0).UTC()
	fmt.Fprintf(&b, "From: %s\r\n", from)
	fmt.Fprintf(&b, "To: %s\r\n", p.Recipients[recipient])
	b.WriteString(encodeSubject(p.Subject))
	fmt.Fprintf(&b, "Date: %s\r\n", date.Format(time.RFC1123Z))
	fmt.Fprintf(&b, "Message-ID: <%s@%s>\r\n", id, from.Domain())
	b.WriteString("MIME-Version: 1.0\r\n")
	b.WriteString("Content-Type: text/plain; charset=utf-8\r\n")
	fmt.Fprintf(&b, "Content-Transfer-Encoding: %s\r\n\r\n", encoding)
	b.WriteString(body)
	return []byte(b.String())
}

// maxLine is the line length in characters that RFC 5322 section 2.1.1
// recommends, without CRLF.
const maxLine = 78

// encodeSubject returns the Subject field, folded before the words that would
// exceed maxLine.
func encodeSubject(subject string) string {
	words := strings.Fields(subject)
	if !isASCII(subject) || strings.Contains(subject, "=?") {
		words = encodeWords(subject)
	}
	var b strings.Builder
	b.WriteString("Subject:")
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
// relay loses such a dot or turns "From " into ">From ".)
func encodeBody(body string) (encoded, name string) {
	name = "7bit"
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
