package scrub

import (
	"bytes"
	"fmt"
	"image"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/pdf"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// maxText is the largest attached text, in bytes as it is written.
const maxText = 4 << 20

// cleaned is an attachment that can be made at each of picture.Steps sizes.
type cleaned struct {
	kind    string // "a picture"
	written int
	at      func(step int) (mail.Attachment, error)
	shrinks bool // its size depends on the step
	removed func() []string
}

// attach cleans what is attached, and makes its pictures smaller until the mail fits.
func (s *scrubber) attach(files []file) error {
	if len(files) > mail.MaxAttachments {
		return refuse("The mail has %d attachments, and can have %d. Send it in several mails.", len(files), mail.MaxAttachments)
	}
	if err := countWork(files); err != nil {
		return err
	}
	var all []*cleaned
	for i, f := range files {
		c, err := clean(f)
		if err != nil {
			return in(fmt.Sprintf("Attachment %d", i+1), err)
		}
		all = append(all, c)
	}
	made := -1 // the step that the attachments are made at
	fits := func(step int) (bool, error) {
		made = step
		err := s.make(all, step)
		return err == nil && s.Message.Size() <= s.room, err
	}
	// The largest size that fits, or nearly: each step is smaller than the one before.
	if ok, err := fits(0); err != nil {
		return err
	} else if !ok {
		if ok, err := fits(picture.Steps - 1); err != nil {
			return err
		} else if !ok {
			return s.excess(all)
		}
		low, high := 1, picture.Steps-1 // high fits
		for low < high {
			ok, err := fits((low + high) / 2)
			if err != nil {
				return err
			}
			if ok {
				high = (low + high) / 2
			} else {
				low = (low+high)/2 + 1
			}
		}
		if made != high {
			if err := s.make(all, high); err != nil {
				return err
			}
		}
	}
	for i, c := range all {
		name := fmt.Sprintf("attachment %d", i+1)
		s.note(name, c.removed()...)
		s.note(name, fileName)
		s.Parts = append(s.Parts, Part{c.kind, c.written, len(s.Message.Attachments[i].Data)})
	}
	return nil
}

// How much of what takes long a mail may have: pixels of all its pictures together, and
// PDFs, each of which package pdf bounds.
const (
	maxPixels = 250e6
	maxPDFs   = 5
)

// countWork holds the files to these bounds, by what they begin with.
func countWork(files []file) error {
	total, documents := 0, 0
	for _, f := range files {
		if sniff(f.data).pdf {
			documents++
		}
		// What cannot be read package picture refuses.
		if c, _, err := image.DecodeConfig(bytes.NewReader(f.data)); err == nil {
			total += c.Width * c.Height
		}
	}
	if total > maxPixels {
		return refuseSize("The mail's pictures have %d million pixels together, and can have %d. Send them in several mails, or make them smaller.", total/1e6, int(maxPixels/1e6))
	}
	if documents > maxPDFs {
		return refuseSize("The mail has %d PDFs, and can have %d. Send them in several mails.", documents, maxPDFs)
	}
	return nil
}

// make makes all attachments at a step.
func (s *scrubber) make(all []*cleaned, step int) error {
	made := make([]mail.Attachment, len(all))
	for i, c := range all {
		if step > 0 && !c.shrinks {
			made[i] = s.Message.Attachments[i]
			continue
		}
		var err error
		if made[i], err = c.at(step); err != nil {
			return in(fmt.Sprintf("Attachment %d (%s)", i+1, c.kind), err)
		}
	}
	if len(made) > 0 {
		s.Message.Attachments = made
	}
	return nil
}

// excess says which part of a mail makes it too large, and by how much.
func (s *scrubber) excess(all []*cleaned) error {
	over := s.Message.Size() - s.room
	largest, name := len(s.Message.Body), "the text"
	for i, a := range s.Message.Attachments {
		if len(a.Data) > largest {
			largest, name = len(a.Data), fmt.Sprintf("attachment %d (%s)", i+1, all[i].kind)
		}
	}
	if name == "the text" {
		return textTooLong(largest, s.room)
	}
	return refuseSize("The mail is %d kB too large, even with its pictures made small: it takes %d kB of %d. The largest part is %s with %d kB: leave it out, or send it in a mail of its own.",
		kB(over), kB(s.Message.Size()), s.room/1000, name, kB(largest))
}

// clean finds out what a file is, by what is in it and not by its name, and cleans it.
func clean(f file) (*cleaned, error) {
	if len(f.data) == 0 {
		return nil, refuse("It is empty. Attach it again, or leave it out.")
	}
	if strings.EqualFold(strings.TrimSpace(f.part.header.Get("Content-Transfer-Encoding")), "binary") && !strings.HasPrefix(f.part.mediaType, "text/") {
		return nil, refuse("It is sent as raw bytes, which may have been changed on the way. Send it in base64, as mail programs do.")
	}
	kind := sniff(f.data)
	switch {
	case kind.picture:
		p, err := picture.Decode(f.data)
		if err != nil {
			return nil, err
		}
		return &cleaned{kind: "a picture", written: len(f.data), shrinks: true, removed: p.Removed, at: func(step int) (mail.Attachment, error) {
			data, mediaType, err := p.Encode(step)
			if mediaType == mail.PNG.Media() {
				return mail.Attachment{Type: mail.PNG, Data: data}, err
			}
			return mail.Attachment{Type: mail.JPEG, Data: data}, err
		}}, nil
	case kind.pdf:
		// It is opened anew for each size: open, it can take hundreds of megabytes.
		var removed []string
		return &cleaned{kind: "a PDF", written: len(f.data), shrinks: true, removed: func() []string { return removed }, at: func(step int) (mail.Attachment, error) {
			d, err := pdf.Open(f.data)
			if err != nil {
				return mail.Attachment{}, err
			}
			data, err := d.Encode(step)
			removed = d.Removed()
			return mail.Attachment{Type: mail.PDF, Data: data}, err
		}}, nil
	case kind.refusal != "":
		return nil, refuse("%s", kind.refusal)
	}
	return cleanText(f)
}

// cleanText cleans an attached text, the only kind left.
func cleanText(f file) (*cleaned, error) {
	unknown := refuse("It is of a kind that cannot be cleaned. Export it as PDF, or as a picture or plain text, and attach that.")
	if len(f.data) > maxText {
		return nil, unknown
	}
	text, err := decodeFile(f)
	if err != nil || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\f\r", r) }) {
		return nil, unknown
	}
	if f.part.mediaType == "text/html" || f.part.mediaType == "application/xhtml+xml" {
		return nil, refuse("%s", aPage) // which may begin with anything
	}
	if refusal := markup(text); refusal != "" {
		return nil, refuse("%s", refusal)
	}
	a := mail.Attachment{Type: mail.Text, Data: []byte(mail.CleanText(text))}
	kind := "a text"
	if f.part.table {
		a.Type, kind = mail.CSV, "a table"
	}
	if len(a.Data) == 0 {
		return nil, refuse("It has no text in it. Leave it out.")
	}
	return &cleaned{kind: kind, written: len(f.data), removed: func() []string { return nil }, at: func(int) (mail.Attachment, error) { return a, nil }}, nil
}

// decodeFile returns a text file in UTF-8. Its byte order mark tells more than the
// mail program, which does not look into files.
func decodeFile(f file) (string, error) {
	if bytes.HasPrefix(f.data, []byte("\xff\xfe")) || bytes.HasPrefix(f.data, []byte("\xfe\xff")) {
		text, err := unicode.UTF16(unicode.LittleEndian, unicode.ExpectBOM).NewDecoder().Bytes(f.data)
		if err != nil || bytes.ContainsRune(text, utf8.RuneError) {
			return "", refuse("It is not in the character set that it begins with.")
		}
		return string(text), nil
	}
	if utf8.Valid(f.data) {
		return string(f.data), nil
	}
	return decodeCharset(f.part.params["charset"], f.data)
}
