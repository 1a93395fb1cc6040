package mail

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// CleanText returns text in the canonical form of [Message.Body]: what a reader
// sees stays, and what only tells programs, keyboards or copies apart goes.
// CleanText changes nothing in its own result.
func CleanText(text string) string {
	return trimLines(norm.NFC.String(cleanRunes(lineEnds.Replace(text))))
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u2028", "\n", "\u2029", "\n")

// trimLines removes the spaces at the end of every line and the empty lines at
// the end of the text, and ends it with one line feed unless nothing is left.
func trimLines(text string) string {
	var b strings.Builder
	b.Grow(len(text) + 1)
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimRight(line, " \t\u3000\n"))
		b.WriteByte('\n')
	}
	trimmed := strings.TrimRight(b.String(), "\n")
	if trimmed == "" {
		return ""
	}
	return trimmed + "\n"
}

// CleanSubject returns text in the canonical form of [Message.Subject], its
// prefixes of replies and forwards in their English form. It does not shorten it
// to MaxSubject.
func CleanSubject(text string) string {
	text = cleanLine(text)
	var prefixes []string
	for {
		text = strings.TrimSpace(text)
		if len(text) > len("[fwd:]") && strings.EqualFold(text[:len("[fwd:")], "[fwd:") && strings.HasSuffix(text, "]") {
			text = text[1 : len(text)-1] // as older programs forward
		}
		if at := len(text) - len("(fwd)"); at > 0 && strings.EqualFold(text[at:], "(fwd)") {
			text = "Fwd: " + text[:at] // as Pine does
		}
		match := subjectPrefix.FindStringSubmatch(text)
		if match == nil {
			break
		}
		prefix := "Re:"
		if match[1] == "" {
			prefix = "Fwd:"
		}
		if len(prefixes) == 0 || prefixes[len(prefixes)-1] != prefix {
			prefixes = append(prefixes, prefix)
		}
		text = text[len(match[0]):]
	}
	return strings.TrimSpace(strings.Join(append(prefixes, text), " "))
}

// cleanLine returns text in canonical form as one line with single spaces.
func cleanLine(text string) string {
	return norm.NFC.String(strings.Join(strings.Fields(cleanRunes(lineEnds.Replace(text))), " "))
}

// ParseName returns the name of a persona in the one form in which it leaves, as
// recipients see it before the exit's address. The error is a *[Refusal].
func ParseName(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", refuse("The name is not UTF-8. Write it in UTF-8.")
	}
	switch name := cleanLine(text); {
	case len(name) > MaxName:
		return "", refuse("The name is too long: at most %d bytes can be sent. Shorten it.", MaxName)
	case strings.Contains(name, "@"):
		return "", refuse("The name has an @ in it, so that it would be taken for the sender's address, and the mail for a forgery. Leave it out.")
	default:
		return name, nil
	}
}

// subjectPrefix matches what mail programs put before the subject of a reply
// (first group) or of a forwarded mail, in the languages that have a word of
// their own for it, with a count such as "Re[2]:" or "Re^2:". The single letters
// are Italian, and always capital.
var subjectPrefix = regexp.MustCompile(`(?i)^(?:(re|aw|antw|ang|sv|vs|ref|réf|rif|(?-i:R)|res|odp|ynt|atb|bls|vá|απ|σχετ|השב|תגובה|رد|回复|答复|回覆)|` +
	`fwd|fw|wg|tr|vb|vl|fs|rv|(?-i:I)|enc|doorst|pd|trs|yml|ilt|İlt|továbbítás|πρθ|הועבר|إعادة توجيه|转发|轉寄)\.? ?(?:\[\d+\]|\(\d+\)|\^\d+)? ?[:：] ?`)

// maxMarks is how many combining marks a character keeps: more than any
// orthography stacks, and less than the 30 after which normalisation would put
// invisible characters between them (UAX 15 section 13).
const maxMarks = 16

// cleanRunes drops control and invisible characters other than tab and line
// feed, and turns every space character into U+0020 except the ideographic
// space U+3000, which is visibly wider. An invisible character that shapes what
// stands before it stays behind a character that it can shape. The result is
// decomposed, so that the answer for a character and its marks is the same
// however they were written.
func cleanRunes(text string) string {
	var (
		b        strings.Builder
		base     rune // the last character kept that is no mark
		joined   bool // a joiner was kept behind it
		selected bool // a joiner or a variation selector was kept behind it
		marks    int  // how many marks were kept behind it
	)
	b.Grow(len(text))
	text = norm.NFD.String(text)
	for i, r := range text {
		switch {
		case ' ' <= r && r < 0x7f: // quick: none of what follows
			base, joined, selected, marks = r, false, false, 0
		case isJoiner(r):
			if joined || !joins(base) {
				continue
			}
			joined, selected = true, true
		case unicode.Is(unicode.Variation_Selector, r):
			if selected || !varies(base, text[i:]) {
				continue
			}
			selected = true
		case isInvisible(r):
			continue
		case unicode.Is(unicode.M, r):
			if marks++; marks > maxMarks {
				continue
			}
		default:
			if unicode.Is(unicode.Zs, r) && r != '\u3000' {
				r = ' '
			}
			base, joined, selected, marks = r, false, false, 0
		}
		b.WriteRune(r)
	}
	return b.String()
}

// isInvisible reports whether r has no glyph: a control character other than
// tab and line feed, a format character (general category Cf) except those that
// are drawn around digits, or another default ignorable (Unicode 15.0 section
// 5.21), such as a filler or a tag.
func isInvisible(r rune) bool {
	return unicode.IsControl(r) && r != '\t' && r != '\n' ||
		unicode.Is(unicode.Cf, r) && !unicode.Is(unicode.Prepended_Concatenation_Mark, r) ||
		unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// isJoiner reports whether r is ZERO WIDTH NON-JOINER or ZERO WIDTH JOINER.
func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// joins reports whether a joiner behind base is part of the spelling (Unicode
// 15.0 sections 9.2 and 12.1) or of an emoji sequence (UTS 51, definition 16).
func joins(base rune) bool {
	return unicode.In(base, unicode.Arabic, unicode.Syriac, unicode.Mongolian, unicode.Nko,
		unicode.Devanagari, unicode.Bengali, unicode.Gurmukhi, unicode.Gujarati, unicode.Oriya,
		unicode.Tamil, unicode.Telugu, unicode.Kannada, unicode.Malayalam, unicode.Sinhala,
		unicode.Khmer, unicode.Myanmar, unicode.Tibetan) ||
		unicode.Is(unicode.So, base) || isSkinTone(base)
}

// isSkinTone reports whether r is an emoji modifier (UTS 51, definition 11).
func isSkinTone(r rune) bool { return 0x1f3fb <= r && r <= 0x1f3ff }

// varies reports whether the variation selector at the beginning of rest
// selects a glyph of base (Unicode 15.0 section 23.4).
func varies(base rune, rest string) bool {
	switch {
	case unicode.Is(unicode.Han, base):
		return true
	case unicode.Is(unicode.Mongolian, base):
		return strings.IndexAny(rest, "\u180b\u180c\u180d\u180f") == 0
	case strings.ContainsRune("0123456789#*", base):
		return strings.HasPrefix(rest, "\ufe0f\u20e3") // a keycap
	}
	return strings.IndexAny(rest, "\ufe0e\ufe0f") == 0 &&
		(unicode.IsSymbol(base) || strings.ContainsRune("‼⁉〰〽", base))
}
