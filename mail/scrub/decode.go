package scrub

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"codeberg.org/sourdine/sourdine/mail"
)

// readSubject decodes the encoded-words (RFC 2047) of a subject and puts it into its
// canonical form. changed says that this is another than what was written, spaces
// apart.
func readSubject(field string) (subject string, changed bool, err error) {
	decoder := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(input)
		if err != nil {
			return nil, err
		}
		text, err := decodeCharset(charset, b)
		return strings.NewReader(text), err
	}}
	written, err := decoder.DecodeHeader(field)
	if err != nil || !utf8.ValidString(written) {
		return "", false, refuse("The subject cannot be decoded. Set the mail program to UTF-8.")
	}
	if subject = mail.CleanSubject(written); len(subject) > mail.MaxSubject {
		return "", false, refuse("The subject is too long: at most %d bytes can be sent. Shorten it.", mail.MaxSubject)
	}
	return subject, strings.Join(strings.Fields(written), " ") != subject, nil
}

// decodeTransfer undoes a content-transfer-encoding (RFC 2045 section 6).
func decodeTransfer(p *part) ([]byte, error) {
	switch strings.ToLower(strings.TrimSpace(p.header.Get("Content-Transfer-Encoding"))) {
	case "", "7bit", "8bit", "binary":
		return p.body, nil
	case "quoted-printable":
		// A buffer for the longest line: the decoder takes no longer line than it has room for.
		decoded, err := io.ReadAll(quotedprintable.NewReader(bufio.NewReaderSize(bytes.NewReader(p.body), MaxLine+2)))
		if err == nil {
			return decoded, nil
		}
	case "base64":
		// The decoder passes over line ends by itself.
		encoded := p.body
		if bytes.ContainsAny(encoded, " \t") {
			encoded = bytes.ReplaceAll(bytes.ReplaceAll(encoded, []byte(" "), nil), []byte("\t"), nil)
		}
		decoded := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
		if n, err := base64.StdEncoding.Decode(decoded, encoded); err == nil {
			return decoded[:n], nil
		}
	default:
		return nil, refuse("It is encoded in a way that is not known (Content-Transfer-Encoding). Use 8bit, quoted-printable or base64.")
	}
	return nil, refuse("It does not decode as its Content-Transfer-Encoding says. Send the mail again from another mail program.")
}

// decodeCharset returns b, which is in the named charset, in UTF-8. Text without a
// charset is UTF-8, of which US-ASCII (RFC 2045 section 5.2) is a part.
func decodeCharset(charset string, b []byte) (string, error) {
	wrong := refuse("The mail's text is not in the character set that it names. Set the mail program to UTF-8.")
	switch charset = strings.ToLower(strings.TrimSpace(charset)); charset {
	case "":
		wrong = refuse("The mail names no character set, and its text is not UTF-8. Set the mail program to UTF-8.")
		fallthrough
	case "utf-8", "utf8":
		if !utf8.Valid(b) {
			return "", wrong
		}
		return string(b), nil
	case "utf-16":
		// Its byte order mark says the order (RFC 2781 section 4.3), which browsers do not ask here.
		text, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewDecoder().Bytes(b)
		if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
			return "", wrong
		}
		return string(text), nil
	case "us-ascii", "ascii":
		if bytes.ContainsFunc(b, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return "", wrong
		}
		return string(b), nil
	}
	// As browsers read these names (WHATWG Encoding, ISO 8859-1 as its superset
	// Windows-1252), then as IANA registered them.
	var known encoding.Encoding
	known, err := htmlindex.Get(charset)
	if err != nil {
		known, err = ianaindex.MIME.Encoding(charset)
	}
	if err != nil || known == nil || known == encoding.Replacement || known == charmap.XUserDefined {
		return "", refuse("The mail's character set is not known. Set the mail program to UTF-8.")
	}
	text, err := known.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return "", wrong
	}
	return string(text), nil
}
