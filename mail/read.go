package mail

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/textproto"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/ianaindex"
)

// Refusal is the error for a mail that cannot be sent. Reason is one or more
// sentences of ASCII for the person who wrote it: what is wrong and what to
// do. It never quotes the mail.
type Refusal struct{ Reason string }

func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) *Refusal {
	return &Refusal{fmt.Sprintf(format, args...)}
}

// Bounds on a submitted mail, far above what mail programs write.
const (
	MaxLine   = 64 << 10 // bytes of a line before decoding, CRLF not counted
	maxHeader = 64 << 10 // bytes of header
	maxFields = 1000     // header fields
)

// MaxSubmission is the largest mail, in bytes as a mail program submits it, that can
// fit into a parcel sent in requests of n bytes. A text whose letters are all outside
// ASCII is three times as long in quoted-printable (RFC 2045 section 6.7), with soft
// line breaks of 3 bytes in 78. Whether a mail does fit, its text decoded,
// [SealParcel] says.
func MaxSubmission(n int) int64 { return maxHeader + 3*int64(max(0, MaxMail(n)))*78/75 }

// Read parses a mail of at most limit bytes as a mail program submits it: the
// bytes after DATA (RFC 5321 section 4.1.1.4), dot-stuffing undone. It takes the
// subject and the text and nothing else. The error is a *[Refusal] for whatever
// is not one well-formed text/plain part that decodes in its charset; other
// errors are those of r.
func Read(r io.Reader, limit int64) (*Message, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading a mail: %w", err)
	}
	if int64(len(data)) > limit {
		return nil, refuse("The mail is too large: at most %d bytes can be sent. Shorten it.", limit)
	}
	head, body, err := split(data)
	if err != nil {
		return nil, err
	}
	header, err := parseHeader(head)
	if err != nil {
		return nil, err
	}
	subject, err := readSubject(header.Get("Subject"))
	if err != nil {
		return nil, err
	}
	text, err := readText(header, body)
	if err != nil {
		return nil, err
	}
	return &Message{Subject: subject, Body: CleanText(text)}, nil
}

// split checks every line and returns the header with its CRLFs, and the body
// after the empty line.
func split(data []byte) (head, body []byte, err error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, nil, refuse("The mail has a NUL byte in it, so it is not text. Send plain text.")
	}
	for start, inHeader := 0, true; start < len(data); {
		line := data[start:]
		end := bytes.IndexByte(line, '\n')
		if end < 0 {
			end = len(line) // BDAT (RFC 3030) can leave the last line open
		} else if line = line[:end]; bytes.HasSuffix(line, []byte("\r")) {
			line = line[:end-1]
		} else {
			return nil, nil, refuse("The mail has a line that ends with LF alone. Lines must end with CR LF: most programs do this by themselves, curl does with --crlf.")
		}
		if bytes.IndexByte(line, '\r') >= 0 {
			return nil, nil, refuse("The mail has a CR that no LF follows. Lines must end with CR LF.")
		}
		if len(line) > MaxLine {
			return nil, nil, refuse("The mail has a line of more than %d bytes. Break it into shorter ones.", MaxLine)
		}
		if inHeader && len(line) == 0 {
			inHeader = false
			head, body = data[:start], data[min(start+end+1, len(data)):]
		}
		start += end + 1
		if inHeader && start > maxHeader {
			return nil, nil, refuse("The mail's header is larger than %d bytes. It must begin with a few fields such as \"Subject: Hello\", then an empty line, then the text.", maxHeader)
		}
	}
	if head == nil {
		head = data // no empty line: there is no body (RFC 5322 section 3.5)
	}
	return head, body, nil
}

// singular are the fields that say what the mail is, of which RFC 5322 section
// 3.6 and RFC 2045 section 3 allow one each. Two would be read differently
// by different programs.
var singular = []string{"From", "Subject", "Message-Id", "Mime-Version",
	"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}

// parseHeader checks and parses the header.
func parseHeader(head []byte) (*textproto.Header, error) {
	if !utf8.Valid(head) {
		return nil, refuse("The mail's header has bytes that are not UTF-8. Set the mail program to UTF-8.")
	}
	for line := range bytes.Lines(head) {
		name, _, found := bytes.Cut(line, []byte(":"))
		continued := (line[0] == ' ' || line[0] == '\t') && &line[0] != &head[0]
		if !continued && (!found || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })) {
			return nil, refuse("The mail's header has a line that is no field. A mail begins with fields such as \"Subject: Hello\", then comes an empty line, then the text.")
		}
	}
	header, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		// The library's error quotes the header.
		return nil, refuse("The mail's header cannot be read. A mail begins with fields such as \"Subject: Hello\", then comes an empty line, then the text.")
	}
	if header.Len() > maxFields {
		return nil, refuse("The mail's header has more than %d fields. Leave some out: only the subject is sent.", maxFields)
	}
	for _, name := range singular {
		if len(header.Values(name)) > 1 {
			return nil, refuse("The mail's header has the field %s more than once. Keep one.", name)
		}
	}
	return &header, nil
}

// readSubject decodes the encoded-words (RFC 2047) of a subject.
func readSubject(field string) (string, error) {
	decoder := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
		b, err := io.ReadAll(input)
		if err != nil {
			return nil, err
		}
		text, err := decodeCharset(charset, b)
		return strings.NewReader(text), err
	}}
	subject, err := decoder.DecodeHeader(field)
	if err != nil || !utf8.ValidString(subject) {
		return "", refuse("The subject cannot be decoded. Set the mail program to UTF-8.")
	}
	if subject = CleanSubject(subject); len(subject) > MaxSubject {
		return "", refuse("The subject is too long: at most %d bytes can be sent. Shorten it.", MaxSubject)
	}
	return subject, nil
}

// readText decodes the body, which must be the only part of the mail and plain
// text that is shown and not attached (RFC 2045 sections 5.2 and 6, RFC 2183).
func readText(header *textproto.Header, body []byte) (string, error) {
	mediaType, params := "text/plain", map[string]string{}
	if field := header.Get("Content-Type"); field != "" {
		var err error
		if mediaType, params, err = mime.ParseMediaType(field); err != nil {
			return "", refuse("The mail's Content-Type cannot be read. Send it as plain text.")
		}
	}
	if mediaType != "text/plain" {
		return "", refuse("Only plain text can be sent: turn off HTML, signing and encryption in the mail program, and attach nothing.")
	}
	if field := header.Get("Content-Disposition"); field != "" {
		disposition, _, err := mime.ParseMediaType(field)
		if err != nil || disposition != "inline" {
			return "", refuse("An attached file cannot be sent. Put its text into the mail.")
		}
	}
	b, err := decodeTransfer(header.Get("Content-Transfer-Encoding"), body)
	if err != nil {
		return "", err
	}
	text, err := decodeCharset(params["charset"], b)
	if err != nil {
		return "", err
	}
	if strings.EqualFold(params["format"], "flowed") {
		text = unflow(text, strings.EqualFold(params["delsp"], "yes"))
	}
	return text, nil
}

// decodeTransfer undoes a content-transfer-encoding (RFC 2045 section 6).
func decodeTransfer(encoding string, body []byte) ([]byte, error) {
	var decoded []byte
	var err error
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "7bit", "8bit", "binary":
		return body, nil
	case "quoted-printable":
		// A buffer for the longest line: the decoder takes no longer line than it has room for.
		decoded, err = io.ReadAll(quotedprintable.NewReader(bufio.NewReaderSize(bytes.NewReader(body), MaxLine+2)))
	case "base64":
		decoded, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(string(body)), ""))
	default:
		return nil, refuse("The mail's Content-Transfer-Encoding is not known. Use 8bit, quoted-printable or base64.")
	}
	if err != nil {
		return nil, refuse("The mail's text does not decode as its Content-Transfer-Encoding says. Send it again from another mail program.")
	}
	return decoded, nil
}

// decodeCharset returns b, which is in the named charset, in UTF-8. Text
// without a charset is UTF-8, of which US-ASCII (RFC 2045 section 5.2) is a part.
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
	if err != nil || known == nil || known == encoding.Replacement {
		return "", refuse("The mail's character set is not known. Set the mail program to UTF-8.")
	}
	text, err := known.NewDecoder().Bytes(b)
	if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
		return "", wrong
	}
	return string(text), nil
}
