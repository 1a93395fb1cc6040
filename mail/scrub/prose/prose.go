// Package prose brings the plain text of a mail into one form that does not tell
// which program, device, language or employer it comes from, and leaves what
// the writer said.
//
//	text := prose.Unflow(text, delsp)                   // if it is format=flowed
//	clean, removed, warnings := prose.Clean(text, keep) // any text
//
// [Clean] does, in this order:
//
//   - what [mail.CleanText] does to characters and line ends;
//   - quote marks are written in one way, "> " for each level, and blank lines
//     around quotations are one; the ">" that a program put before a line's "From "
//     is none;
//   - web addresses lose what [link.Clean] takes out;
//   - the line or header by which a program introduces a quotation becomes
//     "They wrote:", and that of a forwarded mail "Forwarded message:";
//   - a paragraph that a program wrapped becomes one line (the rule: see join);
//   - signatures, "Sent from my phone", legal notices, footers of mailing lists
//     and advertisements go, in what is quoted, too.
//
// Clean changes nothing in its own result. It needs time and memory in
// proportion to the text, makes a text at most twice as long, and refuses
// nothing. What it recognises are closed lists of phrases in the languages that mail
// programs speak; who imitates them or uses another language is not recognised.
//
// It imports the standard library, and of Sourdine mail for the canonical form
// of text and mail/scrub/link.
package prose

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/link"
)

// Keep says what the writer allows to stay in one mail.
type Keep struct {
	Signature bool // the "-- " block below their own text
}

// What [Clean] can report as removed, in this order.
const (
	Invisible   = "invisible characters"
	Tracking    = "tracking marks in links"
	Attribution = "names and times in the lines above quoted text"
	Header      = "the header of a quoted or forwarded mail"
	Signature   = "a signature"
	Device      = "the line that names the device or mail program"
	Legal       = "a legal notice"
	List        = "the footer of a mailing list"
	Advert      = "an advertisement of a mail service or virus scanner"
)

var notices = []string{Invisible, Tracking, Attribution, Header, Signature, Device, Legal, List, Advert}

// QuotedAddresses is what [Clean] can warn of.
const QuotedAddresses = "the quoted text holds mail addresses"

// Forwarded is the line over what somebody else wrote and the writer forwards, and
// theyWrote that over what they quote.
const (
	Forwarded = "Forwarded message:"
	theyWrote = "They wrote:"
)

// A line is one line without its quote marks.
type line struct {
	depth  int    // of quotation
	text   string // without line feed
	gap    bool   // an empty line where something was removed
	glued  int    // how many of its first spaces do not end its first word, for no line breaks there
	barred bool   // it begins with ">From "
}

func (l line) blank() bool { return l.text == "" }

// marker reports whether the line introduces what somebody else wrote.
func (l line) marker() bool { return l.text == theyWrote || l.text == Forwarded }

// separator stands for "-- ", whose space the canonical form does not keep,
// until signatures are removed. The character is for private use.
const separator = "--\ue000"

// glue stands for a no-break space between two words, which the canonical form makes
// one like others, until it is known where lines could break. The character is for
// internal use (Unicode 15.0 section 23.7).
const glue = "\ufdd0"

// maxRounds bounds the time for texts made to need many.
const maxRounds = 20

// Clean returns text in the form that the package describes, and names what
// was removed and what the writer should look at, each once.
func Clean(text string, keep Keep) (clean string, removed, warnings []string) {
	found := map[string]bool{}
	hidden := invisible(text)
	clean = mail.CleanText(holdSeparators(holdSpaces(text)))
	found[Invisible] = hidden > invisible(clean)

	lines := space(unbar(parse(clean)))
	for i := range lines {
		lines[i].text = cleanLinks(lines[i].text, found)
	}
	// What one step leaves can be what another one knows, rarely more than once.
	for range maxRounds {
		var introduced, wrapped, signed bool
		lines, introduced = introduce(lines, found)
		lines = join(lines)
		lines, wrapped = introduce(lines, found)
		lines, signed = sign(lines, keep, found)
		if !introduced && !wrapped && !signed {
			break
		}
	}
	for i := range lines {
		if lines[i].text == separator {
			lines[i].text = "--" // kept
		}
	}

	for _, notice := range notices {
		if found[notice] {
			removed = append(removed, notice)
		}
	}
	others := false
	for _, l := range lines {
		if others = others || l.marker(); (others || l.depth > 0) && hasAddress(l.text) {
			warnings = []string{QuotedAddresses}
			break
		}
	}
	return write(lines), removed, warnings
}

// invisible counts the characters of text that a reader does not see.
func invisible(text string) int {
	n := 0
	for i, r := range text {
		switch {
		case r >= ' ' && r < 0x7f, r == '\n', r == '\t', r == '\r', r == '\ufeff' && i == 0:
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r),
			unicode.In(r, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point):
			n++
		}
	}
	return n
}

// holdSeparators marks the lines that separate a signature (RFC 3676 section 4.3).
func holdSeparators(text string) string {
	if !strings.Contains(text, "-- ") {
		return text
	}
	var b strings.Builder
	b.Grow(len(text) + 64)
	for line := range strings.Lines(text) {
		content := strings.TrimRight(line, "\r\n")
		if end := len(content) - len("-- "); end >= 0 && content[end:] == "-- " && strings.Trim(content[:end], "> ") == "" {
			b.WriteString(content[:end] + separator + line[len(content):])
		} else {
			b.WriteString(line)
		}
	}
	return b.String()
}

// holdSpaces marks the no-break spaces that hold two words together, one between them.
func holdSpaces(text string) string {
	text = strings.ReplaceAll(text, glue, " ")
	if !strings.ContainsAny(text, noBreak) {
		return text
	}
	// What is not in these classes, or is never seen, can be gone in the canonical form.
	solid := func(r rune) bool {
		return unicode.In(r, unicode.L, unicode.N, unicode.P, unicode.S) && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
	}
	var b strings.Builder
	b.Grow(len(text) + 64)
	last := rune(-1)
	for i, r := range text {
		next, size := utf8.DecodeRuneInString(text[min(i+utf8.RuneLen(r), len(text)):])
		if strings.ContainsRune(noBreak, r) && solid(last) && last != '>' && size > 0 && solid(next) {
			b.WriteString(glue)
		} else {
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

// noBreak are the spaces at which no line breaks (UAX 14, class GL).
const noBreak = "\u00a0\u2007\u202f"

// parse cuts canonical text into lines, and takes their quote marks off: each
// is a ">", with at most one space behind it.
func parse(text string) []line {
	lines := make([]line, 0, strings.Count(text, "\n"))
	for text := range strings.Lines(text) {
		l := line{text: strings.TrimSuffix(text, "\n"), barred: strings.HasPrefix(text, ">From ")}
		for strings.HasPrefix(l.text, ">") || l.depth > 0 && strings.HasPrefix(l.text, " >") {
			l.depth++
			l.text = strings.TrimPrefix(l.text, " ")[1:]
		}
		if l.depth > 0 {
			l.text = strings.TrimPrefix(l.text, " ")
		}
		word, _, _ := strings.Cut(l.text, " ")
		l.glued = strings.Count(word, glue)
		l.text = strings.ReplaceAll(l.text, glue, " ")
		lines = append(lines, l)
	}
	return lines
}

// unbar takes the ">" off that programs put before every line that begins with "From ",
// for in a mailbox such a line begins a mail (RFC 4155): Python's smtplib does so before
// it sends. A quotation has more than such lines, a space behind its ">", or something
// above that introduces it.
func unbar(lines []line) []line {
	for _, l := range lines {
		if l.depth == 0 && strings.HasPrefix(l.text, "From ") {
			return lines // no program went over them
		}
	}
	above := line{} // the last line that is not blank
	for start := 0; start < len(lines); {
		if !lines[start].barred {
			if !lines[start].blank() {
				above = lines[start]
			}
			start++
			continue
		}
		end := start + 1 // of such lines, with blank ones among them
		for i := end; i < len(lines) && (lines[i].barred || lines[i] == line{}); i++ {
			if lines[i].barred {
				end = i + 1
			}
		}
		below, _ := nextText(lines[end:])
		introduced := endsInColon(above.text) && (above.marker() || hasVerb(above.text) || hasAddress(above.text) || hasDate(above.text))
		if above.depth == 0 && below.depth == 0 && !introduced {
			for i := start; i < end; i++ {
				lines[i].depth = 0
			}
		}
		above, start = lines[end-1], end
	}
	return lines
}

// write joins lines to text.
func write(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		for i := range l.depth {
			if i < l.depth-1 || l.text != "" {
				b.WriteString("> ")
			} else {
				b.WriteString(">")
			}
		}
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.String()
}

// space brings the blank lines into order: none at the beginning and the end;
// one where the depth changes, if there was any; one before a marker, none
// between a marker and a quotation, and one between a marker and other text.
// Blank lines between two of one depth stay as many as they are, of the least depth
// among them, but where something was removed there is one.
func space(lines []line) []line {
	out := make([]line, 0, len(lines))
	blanks, depth, gap := 0, 0, false
	for _, l := range lines {
		if l.blank() {
			if blanks == 0 || l.depth < depth {
				depth = l.depth
			}
			blanks++
			gap = gap || l.gap
			continue
		}
		if len(out) > 0 {
			last := out[len(out)-1]
			if blanks == 0 {
				depth = l.depth
			}
			depth = min(depth, last.depth, l.depth)
			switch {
			case last.marker() && l.depth > last.depth:
				blanks = 0
			case last.marker() || l.marker() || gap:
				blanks = 1
			case last.depth != l.depth:
				blanks = min(blanks, 1)
			}
			for range blanks {
				out = append(out, line{depth: depth})
			}
		}
		out = append(out, l)
		blanks, gap = 0, false
	}
	return out
}

// cleanLinks cleans the web addresses in a line.
func cleanLinks(text string, found map[string]bool) string {
	if !strings.Contains(text, "://") {
		return text
	}
	var b strings.Builder
	for {
		start := strings.Index(text, "://")
		if start < 0 {
			b.WriteString(text)
			return b.String()
		}
		scheme := max(strings.LastIndexAny(text[:start], " \t\u3000<>\"'()[]")+1, 0)
		for _, s := range []string{"https", "http"} {
			if len(text[:start])-len(s) >= scheme && strings.EqualFold(text[start-len(s):start], s) {
				scheme = start - len(s)
				break
			}
		}
		end := start + len("://")
		for end < len(text) && text[end] > ' ' && !strings.ContainsRune("<>\"", rune(text[end])) {
			end++
		}
		address := text[scheme:end]
		if bare := strings.TrimRight(address, ".,;:!?)]'"); strings.Contains(bare, "://") {
			end -= len(address) - len(bare)
			address = bare
		}
		clean, tracked := link.Clean(address)
		found[Tracking] = found[Tracking] || tracked
		b.WriteString(text[:scheme] + clean)
		text = text[end:]
	}
}

// hasAddress reports whether text holds a mail address.
func hasAddress(text string) bool {
	for {
		at := strings.IndexByte(text, '@')
		if at < 0 {
			return false
		}
		domain := text[at+1:]
		end := strings.IndexFunc(domain, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '-' })
		if end >= 0 {
			domain = domain[:end]
		}
		dot := strings.IndexByte(strings.TrimRight(domain, "."), '.')
		if at > 0 && dot > 0 && (isWord(text[at-1]) || text[at-1] == '"') {
			return true
		}
		text = text[at+1:]
	}
}

func isWord(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= 0x80 || strings.IndexByte("._%+-", c) >= 0
}
