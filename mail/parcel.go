package mail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a parcel. MaxSubject is in bytes of UTF-8; a subject of that
// length still fits one unfolded header line (998 bytes, RFC 5322 section
// 2.1.1) when a reader unfolds it.
const (
	MessageIDLength = 16
	MaxRecipients   = 100
	MaxSubject      = 500
)

// maxDate is 9999-12-31 in days since 1970-01-01: a date has four digits of
// year (RFC 5322 section 3.3).
const maxDate = 2932896

// Message is the canonical content of a mail, as [Read] makes it. Both fields are
// valid UTF-8 in Unicode normalisation form C, without control characters and
// without invisible ones that change nothing a reader sees.
//
// Subject is one line of at most MaxSubject bytes, with single spaces. Body
// has LF line ends, no spaces at the end of a line, and unless it is empty
// ends with exactly one LF.
type Message struct {
	Subject string
	Body    string
}

// Parcel is one mail with all its recipients, as the exit gets to read it.
type Parcel struct {
	Expires    uint64                // the last epoch in which the exit tries to deliver it
	MessageID  [MessageIDLength]byte // random, from crypto/rand
	Date       uint32                // days since 1970-01-01 UTC
	Recipients []Address             // 1 to MaxRecipients, each once
	Message
}

// Size is the length in bytes of the parcel's plaintext without padding. The
// parcel can be sealed for requests of n bytes if it is at most MaxMail(n).
func (p *Parcel) Size() int {
	size := 1 + MessageIDLength + 4 + 1 + 2 + len(p.Subject) + 4 + len(p.Body)
	for _, r := range p.Recipients {
		size += 1 + len(r)
	}
	return size
}

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
	b = append(b, version)
	b = append(b, p.MessageID[:]...)
	b = binary.BigEndian.AppendUint32(b, p.Date)
	b = append(b, byte(len(p.Recipients)))
	for _, r := range p.Recipients {
		b = append(b, byte(len(r)))
		b = append(b, r...)
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Subject)))
	b = append(b, p.Subject...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Body)))
	b = append(b, p.Body...)
	return b[:size], nil
}

// unmarshalParcel parses a padded plaintext. Whatever it accepts, marshal
// writes back byte for byte.
func unmarshalParcel(b []byte) (*Parcel, error) {
	s := scanner{b: b}
	s.check(s.uint8() == version)
	p := new(Parcel)
	copy(p.MessageID[:], s.next(MessageIDLength))
	p.Date = s.uint32()
	for range s.uint8() {
		p.Recipients = append(p.Recipients, Address(s.next(int(s.uint8()))))
	}
	p.Subject = string(s.next(int(s.uint16())))
	p.Body = string(s.next(int(s.uint32())))
	s.padding()
	if s.bad {
		return nil, errors.New("the parcel is malformed")
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, nil
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
	if p.Date > maxDate {
		return errors.New("the date is after the year 9999")
	}
	if len(p.Subject) > MaxSubject || strings.ContainsAny(p.Subject, "\t\n") || !isText(p.Subject) ||
		strings.Contains(p.Subject, "  ") || strings.Trim(p.Subject, " ") != p.Subject {
		return errors.New("the subject is not in its canonical form")
	}
	if !isText(p.Body) || p.Body != trimLines(p.Body) {
		return errors.New("the body is not in its canonical form")
	}
	return nil
}

// isText reports whether s is valid UTF-8 without control characters other
// than tab and line feed.
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\t' && r != '\n'
	}) < 0
}
