package scrub

import (
	"errors"
	"fmt"
	"strings"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/pdf"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
	"codeberg.org/sourdine/sourdine/mail/scrub/prose"
)

// MaxSubmission is the largest mail, in bytes as a mail program submits it: 25 MB of
// attachments in base64 (RFC 2045 section 6.8: 4 bytes for 3, and 2 for each line of
// 76), with room for the text.
const MaxSubmission = 35_000_000

// Options says what a mail may become.
type Options struct {
	// Room is how many bytes subject, text and attachments may take in a parcel, as
	// [mail.Message.Size] counts them.
	Room int
}

// Result is a mail that says nothing of its writer, and what was done to it.
type Result struct {
	Message mail.Message

	// MessageID and References are the ids of this mail and of those that it answers,
	// as its writer's program gave them, the nearest last. They never leave; they tell
	// a mail that is handed in twice, and what it answers.
	MessageID  string
	References []string

	// Disclose is set if the writer asked to tell the recipients of one another.
	Disclose bool

	Removed  []Note // what was removed or changed
	Warnings []Note // what was left, and its writer should know of
	Parts    []Part // what was written, in the order of the mail
}

// Note is one thing about a part of a mail, in plain words.
type Note struct {
	Part string `json:"part"` // "the header", "the text", "attachment 2"
	What string `json:"what"`
	Why  string `json:"why"`
}

// Part is a part of a mail as it was written, and what became of it.
type Part struct {
	Kind    string `json:"kind"`    // "a picture"
	Written int    `json:"written"` // bytes, decoded
	Leaves  int    `json:"leaves"`  // bytes; 0: nothing of it leaves by itself
}

// Allow is the header field by which a writer allows things for one mail that are
// removed otherwise: words of the list below, with commas between. It never leaves.
const Allow = "Sourdine-Allow"

// The words of [Allow].
const (
	allowRecipients = "recipients" // each recipient is told of the others
	allowSignature  = "signature"  // the block below "-- " stays
)

// Scrub takes a mail as a mail program submits it: the bytes after DATA (RFC 5321
// section 4.1.1.4), dot-stuffing undone; lines may end with LF alone, as in a file. It
// does not keep or change them. The error is a *[mail.Refusal].
func Scrub(written []byte, o Options) (*Result, error) {
	s := &scrubber{room: o.Room}
	if err := s.scrub(written); err != nil {
		return nil, err
	}
	return &s.Result, nil
}

// scrubber is the work on one mail.
type scrubber struct {
	Result
	room   int
	keep   prose.Keep
	parts  int // walked so far
	looked int // parts looked at for text
	length int // bytes of the texts found so far
	html   int // bytes of HTML that they were made of

	pictures  *picture.Budget
	documents *pdf.Budget
}

func (s *scrubber) scrub(written []byte) error {
	if len(written) > MaxSubmission {
		return tooLarge()
	}
	root, err := parse(written)
	if err != nil {
		return err
	}
	if err := s.header(root); err != nil {
		return err
	}
	found, err := s.walk(root, 0)
	if err != nil {
		return err
	}
	if err := s.text(found); err != nil || found.sealed != nil {
		return err
	}
	return s.attach(found.files)
}

// note records what was removed of a part, once.
func (s *scrubber) note(part string, removed ...string) {
	for _, what := range removed {
		n := Note{part, what, reason(part, what)}
		known := false
		for _, old := range s.Removed {
			known = known || old == n
		}
		if !known {
			s.Removed = append(s.Removed, n)
		}
	}
}

func (s *scrubber) warn(part string, warnings ...string) {
	for _, what := range warnings {
		s.Warnings = append(s.Warnings, Note{part, what, reason(part, what)})
	}
}

// header takes the fields of the mail's own header that say something for the new one.
func (s *scrubber) header(root *part) error {
	subject, changed, err := readSubject(root.header.Get("Subject"))
	if err != nil {
		return err
	}
	s.Message.Subject = subject
	if changed {
		s.note(inHeader, subjectForm)
	}
	s.MessageID = root.messageID()
	s.References = root.references()
	for _, field := range root.header.Values(Allow) {
		for word := range strings.SplitSeq(field, ",") {
			switch strings.ToLower(strings.TrimSpace(word)) {
			case "": // a field of the composer that was left empty
			case allowRecipients:
				s.Disclose = true
			case allowSignature:
				s.keep.Signature = true
			default:
				return refuse("The field %s of the mail's header has a word that is not known. It can hold %s and %s, with a comma between.", Allow, allowRecipients, allowSignature)
			}
		}
	}
	s.note(inHeader, droppedFields(&root.header)...)
	return nil
}

// longest is how long all texts together can be, in bytes: cleaning makes them shorter, but not
// to a quarter.
func (s *scrubber) longest() int { return 4*max(s.room, 0) + mail.MaxSubject }

// text makes the mail's one text of those that were found.
func (s *scrubber) text(found content) error {
	if found.sealed != nil {
		s.Message.Attachments = []mail.Attachment{{Type: mail.OpenPGP, Data: found.sealed}}
		if s.Message.Size() > s.room {
			return refuseSize("The encrypted mail is %d kB too large. Leave out what you attached, or make it smaller.", kB(s.Message.Size()-s.room))
		}
		s.Parts = []Part{{"an encrypted mail", found.written, len(found.sealed)}}
		return nil
	}
	if s.length > s.longest() {
		return textTooLong(s.length, s.room)
	}
	written := 0
	for _, t := range found.texts {
		written += t.written
	}
	var texts []string
	for _, t := range found.texts {
		if strings.TrimSpace(t.text) != "" {
			texts = append(texts, strings.TrimRight(t.text, "\n"))
		}
	}
	whole := strings.ReplaceAll(strings.Join(texts, "\n\n"), "\r\n", "\n")
	if armoured, ok, err := openPGPText(whole); err != nil {
		return err
	} else if ok {
		s.Message.Body = armoured
		s.warn(inText, encryptedUnseen)
	} else {
		if signed, ok := clearSigned(whole); ok {
			whole = signed
			s.note(inText, signature)
		}
		clean, removed, warnings := prose.Clean(whole, s.keep)
		s.Message.Body = clean
		s.note(inText, removed...)
		s.warn(inText, warnings...)
	}
	if written > 0 || s.Message.Body != "" {
		s.Parts = []Part{{"text", written, len(s.Message.Body)}}
	}
	return nil
}

// kB is a size in thousands of bytes, rounded up.
func kB(n int) int { return (n + 999) / 1000 }

func refuse(format string, args ...any) *mail.Refusal {
	return &mail.Refusal{Reason: fmt.Sprintf(format, args...)}
}

// in puts the part's name before a refusal.
func in(part string, err error) error {
	if r, ok := errors.AsType[*mail.Refusal](err); ok {
		return &mail.Refusal{Reason: part + ": " + r.Reason, TooLarge: r.TooLarge}
	}
	return err
}

// refuseSize refuses what a smaller mail would not be refused for.
func refuseSize(format string, args ...any) *mail.Refusal {
	r := refuse(format, args...)
	r.TooLarge = true
	return r
}

func textTooLong(length, room int) error {
	return refuseSize("The mail's text is too long: it has %d kB, and a mail can have %d. Shorten it, or send it in several mails.", kB(length), room/1000)
}

func tooLarge() error {
	return refuseSize("The mail is too large: at most %d MB can be handed in. Leave out an attachment, or make the pictures smaller.", MaxSubmission/1_000_000)
}
