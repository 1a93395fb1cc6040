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
	// at makes it, and says how many bytes it has. There is no data of one that is too large for the mail.
	at      func(step int) (mail.Attachment, int, error)
	shrinks bool // its size depends on the step
	partial bool // not all of it was looked at, as the mail does not fit: it may have more bytes than at says
	removed func() []string
}

// attach cleans what is attached, and makes its pictures smaller until the mail fits.
func (s *scrubber) attach(files []file) error {
	if len(files) > mail.MaxAttachments {
		return refuse("The mail has %d attachments, and can have %d. Send it in several mails.", len(files), mail.MaxAttachments)
	}
	s.pictures = picture.NewBudget(s.room - s.bare(len(files)))
	s.documents = pdf.NewBudget(s.pictures)
	if err := s.countPixels(files); err != nil {
		return err
	}
	// Documents come last, and get what pictures and texts leave of what a mail may take.
	all := make([]*cleaned, len(files))
	for i := range files {
		c, err := s.clean(&files[i])
		if err != nil {
			return in(fmt.Sprintf("Attachment %d", i+1), err)
		}
		all[i] = c
	}
	for i, c := range all {
		if c == nil {
			c, err := s.cleanPDF(&files[i])
			if err != nil {
				return in(fmt.Sprintf("Attachment %d (a PDF)", i+1), err)
			}
			all[i] = c
		}
	}
	if err := s.fit(all); err != nil {
		return err
	}
	for i, c := range all {
		name := fmt.Sprintf("attachment %d", i+1)
		s.note(name, c.removed()...)
		s.note(name, fileName)
		s.Parts = append(s.Parts, Part{c.kind, c.written, len(s.Message.Attachments[i].Data)})
	}
	return nil
}

// countPixels takes the pixels of all pictures, by what they begin with, before any is decoded.
func (s *scrubber) countPixels(files []file) error {
	total, enough := 0, true
	for _, f := range files {
		// What cannot be read package picture refuses.
		if c, _, err := image.DecodeConfig(bytes.NewReader(f.data)); err == nil {
			total += c.Width * c.Height
			enough = s.pictures.Draw(c.Width*c.Height) && enough
		}
	}
	if !enough {
		return refuseSize("The mail's pictures have %d million pixels together, and can have %d. Send them in several mails, or make them smaller.", total/1e6, int(picture.MailPixels/1e6))
	}
	return nil
}

// A trial is the attachments at a step.
type trial struct {
	made    []mail.Attachment // nil if they do not fit
	sizes   []int
	total   int // bytes of the mail; of what does not fit a guess, but at the last step
	shrinks int // bytes of what depends on the step
}

// try makes the attachments at a step. What does not fit it follows to its end only at the last step, after
// which the writer is told how much it is.
func (s *scrubber) try(all []*cleaned, step int) (*trial, error) {
	made, fits := make([]mail.Attachment, len(all)), true
	fixed := s.bare(len(all))
	t := &trial{sizes: make([]int, len(all)), total: fixed}
	for i, c := range all {
		a, size, err := c.at(step)
		if err != nil {
			return nil, in(fmt.Sprintf("Attachment %d (%s)", i+1, c.kind), err)
		}
		made[i], t.sizes[i] = a, size
		if c.shrinks {
			t.shrinks += size
		} else {
			fixed += size
		}
		t.total = fixed + t.shrinks
		if fits = fits && a.Data != nil && t.total <= s.room; !fits && step < picture.Steps-1 {
			t.shrinks = t.shrinks * len(all) / (i + 1)
			t.total = fixed + t.shrinks
			return t, nil
		}
	}
	if fits && t.total <= s.room {
		t.made = made
	}
	return t, nil
}

// bare is how many bytes the mail has with n empty attachments.
func (s *scrubber) bare(n int) int {
	m := s.Message
	m.Attachments = make([]mail.Attachment, n)
	return m.Size()
}

// shrinking is how many percent of the bytes of a step the next one has, about.
const shrinking = 66

// fit makes the attachments at the first step at which the mail fits: each has fewer bytes than
// the one before it. How much too large the first one is says where to look.
func (s *scrubber) fit(all []*cleaned) error {
	first, last := s.pictures.First(), picture.Steps-1
	var trials [picture.Steps]*trial
	var err error
	fits := func(step int) bool {
		if trials[step] == nil && err == nil {
			trials[step], err = s.try(all, step)
		}
		return err == nil && trials[step].made != nil
	}
	step := first
	if !fits(first) && err == nil && first < last {
		step++
		t := trials[first]
		for bytes := t.shrinks * shrinking / 100; step < last && t.total-t.shrinks+bytes > s.room; step++ {
			bytes = bytes * shrinking / 100
		}
		for step > first+1 && fits(step) && fits(step-1) {
			step--
		}
		for step < last && !fits(step) {
			step++
		}
	}
	switch ok := fits(step); {
	case err != nil:
		return err
	case !ok:
		return s.excess(all, trials[step])
	}
	if made := trials[step].made; len(made) > 0 {
		s.Message.Attachments = made
	}
	return nil
}

// excess says which part of a mail makes it too large, and by how much.
func (s *scrubber) excess(all []*cleaned, t *trial) error {
	largest, name, partial := len(s.Message.Body), "the text", false
	for i, c := range all {
		partial = partial || c.partial
		if t.sizes[i] > largest {
			largest, name = t.sizes[i], fmt.Sprintf("attachment %d (%s)", i+1, c.kind)
		}
	}
	switch {
	case name == "the text":
		return textTooLong(largest, s.room)
	case partial:
		return refuseSize("The mail is too large, even with its pictures made small: it takes more than %d kB of %d. The largest part that was looked at is %s with %d kB: leave it out, or send it in a mail of its own.",
			kB(t.total), s.room/1000, name, kB(largest))
	}
	return refuseSize("The mail is %d kB too large, even with its pictures made small: it takes %d kB of %d. The largest part is %s with %d kB: leave it out, or send it in a mail of its own.",
		kB(t.total-s.room), kB(t.total), s.room/1000, name, kB(largest))
}

// clean finds out what a file is, by what is in it and not by its name, and cleans it. It
// returns nil for a PDF.
func (s *scrubber) clean(f *file) (*cleaned, error) {
	if len(f.data) == 0 {
		return nil, refuse("It is empty. Attach it again, or leave it out.")
	}
	if strings.EqualFold(strings.TrimSpace(f.part.header.Get("Content-Transfer-Encoding")), "binary") && !strings.HasPrefix(f.part.mediaType, "text/") {
		return nil, refuse("It is sent as raw bytes, which may have been changed on the way. Send it in base64, as mail programs do.")
	}
	kind := sniff(f.data)
	switch {
	case kind.picture:
		return s.cleanPicture(f)
	case kind.pdf:
		return nil, nil
	case kind.refusal != "":
		return nil, refuse("%s", kind.refusal)
	}
	return s.cleanText(f)
}

func (s *scrubber) cleanPicture(f *file) (*cleaned, error) {
	sized, err := s.pictures.Decode(f.data)
	if err != nil {
		return nil, err
	}
	c := &cleaned{kind: "a picture", written: len(f.data), shrinks: true, removed: sized.Removed}
	c.at = func(step int) (mail.Attachment, int, error) {
		data, mediaType, size, err := sized.At(step)
		a := mail.Attachment{Type: mail.JPEG, Data: data}
		if mediaType == mail.PNG.Media() {
			a.Type = mail.PNG
		}
		return a, size, err
	}
	f.data = nil
	return c, nil
}

func (s *scrubber) cleanPDF(f *file) (*cleaned, error) {
	d, err := pdf.Open(f.data, s.documents)
	if err != nil {
		return nil, err
	}
	c := &cleaned{kind: "a PDF", written: len(f.data), shrinks: true, partial: d.Partial(), removed: d.Removed}
	c.at = func(step int) (mail.Attachment, int, error) {
		data, size, err := d.Encode(step)
		return mail.Attachment{Type: mail.PDF, Data: data}, size, err
	}
	f.data = nil
	return c, nil
}

// cleanText cleans an attached text, the only kind left.
func (s *scrubber) cleanText(f *file) (*cleaned, error) {
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
	a, kind := mail.Attachment{Type: mail.Text}, "a text"
	if f.part.table {
		a.Type, kind = mail.CSV, "a table"
	}
	c := &cleaned{kind: kind, written: len(f.data), removed: func() []string { return nil }}
	size := 0
	if c.partial = !s.pictures.Fits(); !c.partial {
		a.Data = []byte(mail.CleanText(text))
		if size = len(a.Data); size == 0 {
			return nil, refuse("It has no text in it. Leave it out.")
		}
		if !s.pictures.Fill(size) {
			a.Data = nil // the mail does not fit for certain
		}
	}
	c.at = func(int) (mail.Attachment, int, error) { return a, size, nil }
	f.data = nil
	return c, nil
}

// decodeFile returns a text file in UTF-8. Its byte order mark tells more than the
// mail program, which does not look into files.
func decodeFile(f *file) (string, error) {
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
