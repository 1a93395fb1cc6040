package mail

import (
	"errors"
	"fmt"
	"strings"
)

// Type is what an attachment is. No others are sent.
type Type uint8

// The types of attachments. Their values are those on the wire.
const (
	Text    Type = iota + 1 // plain text in UTF-8
	CSV                     // a table as text (RFC 4180), in UTF-8
	JPEG                    // a picture
	PNG                     // a picture
	PDF                     // a document
	OpenPGP                 // an encrypted message (RFC 9580), its packets in binary and not in ASCII armour
)

// types says of each Type how it is called in a message, how a file's name ends,
// and how its data begins (nothing of text, which is checked as text).
var types = [...]struct{ media, ending, magic string }{
	Text:    {"text/plain; charset=utf-8", "txt", ""},
	CSV:     {"text/csv; charset=utf-8", "csv", ""},
	JPEG:    {"image/jpeg", "jpg", "\xff\xd8\xff"},
	PNG:     {"image/png", "png", "\x89PNG\r\n\x1a\n"},
	PDF:     {"application/pdf", "pdf", "%PDF-"},
	OpenPGP: {"application/octet-stream", "pgp", ""},
}

func (t Type) valid() bool { return t >= Text && t <= OpenPGP }

// isText reports whether an attachment of this type is text in the form of
// [Message.Body].
func (t Type) isText() bool { return t == Text || t == CSV }

// Media returns the media type with its parameters, as it stands in a
// Content-Type field. t is one of the constants.
func (t Type) Media() string { return types[t].media }

// Ending returns how the name of such a file ends, without the dot: "jpg". t is
// one of the constants.
func (t Type) Ending() string { return types[t].ending }

// FileName is how the n-th attachment of a message is called if it is of this type:
// "attachment-1.jpg". t is one of the constants.
func (t Type) FileName(n int) string { return fmt.Sprintf("attachment-%d.%s", n, t.Ending()) }

// Attachment is a file that goes with a mail. It has no name but what its place
// and type give it.
type Attachment struct {
	Type Type
	Data []byte // not empty; text is in the canonical form of [Message.Body]
}

// check holds an attachment to what an exit can tell of it without decoding it:
// that text is text, and that the rest begins as its type does.
func (a *Attachment) check() error {
	switch {
	case !a.Type.valid():
		return errors.New("an attachment is of no known type")
	case len(a.Data) == 0:
		return errors.New("an attachment is empty")
	case a.Type.isText() && !isBody(string(a.Data)):
		return errors.New("an attached text is not in its canonical form")
	case a.Type == OpenPGP && a.Data[0] < 0x80:
		// Not the first byte of a packet (RFC 9580 section 4.2), but perhaps armour's hyphen.
		return errors.New("an attached OpenPGP message is not in binary packets")
	case !strings.HasPrefix(string(a.Data[:min(len(a.Data), 8)]), types[a.Type].magic):
		return errors.New("an attachment does not begin as its type does")
	}
	return nil
}

// clean puts an attached text into canonical form. Nothing may be left of it.
func (a *Attachment) clean() {
	if a.Type.isText() {
		a.Data = []byte(CleanText(string(a.Data)))
	}
}

// encryptedOnly reports whether the message is one OpenPGP message and nothing
// else.
func (m *Message) encryptedOnly() bool {
	return m.Body == "" && len(m.Attachments) == 1 && m.Attachments[0].Type == OpenPGP
}
