package mail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a parcel. MaxSubject and MaxName are in bytes of UTF-8; a subject of that
// length still fits one unfolded header line (998 bytes, RFC 5322 section
// 2.1.1) when a reader unfolds it. Eight references are what a thread needs to stay
// together when mails in between are missing (RFC 5322 section 3.6.4 wants all).
const (
	MessageIDLength = 16
	MaxRecipients   = 100
	MaxSubject      = 500
	MaxName         = 64
	MaxReferences   = 8
	MaxAttachments  = 30
)

// maxDate is 9999-12-31 in days since 1970-01-01: a date has four digits of
// year (RFC 5322 section 3.3).
const maxDate = 2932896

// Message is the canonical content of a mail. Subject and Body are
// valid UTF-8 in Unicode normalisation form C, without control characters and
// without invisible ones that change nothing a reader sees.
//
// Subject is one line of at most MaxSubject bytes, with single spaces. Body
// has LF line ends, no spaces at the end of a line, and unless it is empty
// ends with exactly one LF. There are at most MaxAttachments attachments.
type Message struct {
	Subject     string
	Body        string
	Attachments []Attachment
}

// Size is how many bytes of a parcel's plaintext the message takes.
func (m *Message) Size() int {
	size := 2 + len(m.Subject) + 4 + len(m.Body) + 1
	for _, a := range m.Attachments {
		size += 1 + 4 + len(a.Data)
	}
	return size
}

// Parcel is one mail with all its recipients, as the exit gets to read it.
type Parcel struct {
	Expires    uint64                  // the last epoch in which the exit tries to deliver it
	MessageID  [MessageIDLength]byte   // random, from crypto/rand
	Date       uint32                  // days since 1970-01-01 UTC
	From       string                  // the persona's name, see [ParseName]; may be empty
	References [][MessageIDLength]byte // earlier mails of the same persona, at most MaxReferences, the one answered last
	Recipients []Address               // 1 to MaxRecipients, each once
	Disclosed  bool                    // the writer asked that every recipient sees all the others
	Message
}

// Size is the length in bytes of the parcel's plaintext without padding. The
// parcel can be sealed for requests of n bytes if it is at most MaxMail(n).
func (p *Parcel) Size() int {
	size := 1 + MessageIDLength + 4 + 1 + 1 + len(p.From) + 1 + MessageIDLength*len(p.References) + 1 + p.Message.Size()
	for _, r := range p.Recipients {
		size += 1 + len(r)
	}
	return size
}

// parcelVersion is the first byte of a parcel's plaintext.
const parcelVersion = 2

// disclosed is the one flag of a parcel.
const disclosed = 1

// marshal writes the plaintext of p, padded with zeros to size bytes. Expires
// is not in it: it goes with every fragment, and the seal binds it.
func (p *Parcel) marshal(size int) ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if p.Size() > size {
		return nil, errors.New("the parcel does not fit")
	}
	b := make([]byte, 0, size)
	b = append(b, parcelVersion)
	b = append(b, p.MessageID[:]...)
	b = binary.BigEndian.AppendUint32(b, p.Date)
	flags := byte(0)
	if p.Disclosed {
		flags = disclosed
	}
	b = append(b, flags, byte(len(p.From)))
	b = append(b, p.From...)
	b = append(b, byte(len(p.References)))
	for _, r := range p.References {
		b = append(b, r[:]...)
	}
	b = append(b, byte(len(p.Recipients)))
	for _, r := range p.Recipients {
		b = append(b, byte(len(r)))
		b = append(b, r...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Subject)))
	b = append(b, p.Subject...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Body)))
	b = append(b, p.Body...)
	b = append(b, byte(len(p.Attachments)))
	for _, a := range p.Attachments {
		b = append(b, byte(a.Type))
		b = binary.BigEndian.AppendUint32(b, uint32(len(a.Data)))
		b = append(b, a.Data...)
	}
	return b[:size], nil
}

// unmarshalParcel parses a padded plaintext. Whatever it accepts, marshal
// writes back byte for byte.
func unmarshalParcel(b []byte) (*Parcel, error) {
	s := scanner{b: b}
	s.check(s.uint8() == parcelVersion)
	p := new(Parcel)
	copy(p.MessageID[:], s.next(MessageIDLength))
	p.Date = s.uint32()
	flags := s.uint8()
	s.check(flags&^disclosed == 0)
	p.Disclosed = flags == disclosed
	p.From = string(s.next(int(s.uint8())))
	for range s.uint8() {
		var id [MessageIDLength]byte
		copy(id[:], s.next(MessageIDLength))
		p.References = append(p.References, id)
	}
	for range s.uint8() {
		p.Recipients = append(p.Recipients, Address(s.next(int(s.uint8()))))
	}
	p.Subject = string(s.next(int(s.uint16())))
	p.Body = string(s.next(int(s.uint32())))
	for range s.uint8() {
		a := Attachment{Type: Type(s.uint8())}
		a.Data = bytes.Clone(s.next(int(s.uint32())))
		p.Attachments = append(p.Attachments, a)
	}
	s.padding()
	if s.bad {
		return nil, errors.New("the parcel is malformed")
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
}

// clean puts the texts of p into canonical form, as the tables of this Unicode
// version have it. What nothing is left of goes.
func (p *Parcel) clean() {
	p.From = cleanLine(p.From)
	p.Subject, p.Body = CleanSubject(p.Subject), CleanText(p.Body)
	for i := range p.Attachments {
		p.Attachments[i].clean()
	}
	p.Attachments = slices.DeleteFunc(p.Attachments, func(a Attachment) bool { return len(a.Data) == 0 })
}

// check holds a parcel to what every version of Unicode agrees on. The rest of
// the canonical form (normalisation, invisible characters) depends on Unicode
// tables that may be newer at one end, so it is made on both sides and never
// a reason to lose a mail.
func (p *Parcel) check() error {
	if len(p.Recipients) < 1 || len(p.Recipients) > MaxRecipients {
		return fmt.Errorf("a parcel has 1 to %d recipients", MaxRecipients)
	}
	seen := make(map[Address]bool, len(p.Recipients))
	for _, r := range p.Recipients {
		if canonical, err := ParseAddress(string(r)); err != nil || canonical != r {
			return errors.New("a recipient's address is not in its canonical form")
		}
		if seen[r] {
			return errors.New("a recipient is named twice")
		}
		seen[r] = true
	}
	if len(p.From) > MaxName || !isLine(p.From) || strings.Contains(p.From, "@") {
		return errors.New("the persona's name is not in its canonical form")
	}
	if len(p.References) > MaxReferences {
		return fmt.Errorf("a parcel refers to at most %d mails", MaxReferences)
	}
	for i, r := range p.References {
		if r == p.MessageID || slices.Contains(p.References[:i], r) {
			return errors.New("a parcel refers to itself, or to one mail twice")
		}
	}
	if p.Date > maxDate {
		return errors.New("the date is after the year 9999")
	}
	if len(p.Subject) > MaxSubject || !isLine(p.Subject) {
		return errors.New("the subject is not in its canonical form")
	}
	if !isBody(p.Body) {
		return errors.New("the body is not in its canonical form")
	}
	if len(p.Attachments) > MaxAttachments {
		return fmt.Errorf("a mail has at most %d attachments", MaxAttachments)
	}
	for i := range p.Attachments {
		if err := p.Attachments[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// isLine reports whether s can be a canonical subject or name: one line of text
// with single spaces, none of them at an end.
func isLine(s string) bool {
	return isText(s) && !strings.ContainsAny(s, "\t\n") && !strings.Contains(s, "  ") && strings.Trim(s, " ") == s
}

// isBody reports whether s can be a canonical body.
func isBody(s string) bool { return isText(s) && s == trimLines(s) }

// isText reports whether s is valid UTF-8 without control characters other
// than tab and line feed.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t' && r != '\n'
	}) < 0
}
