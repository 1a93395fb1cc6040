package prose

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what introduces a quotation.
const (
	maxIntroduction = 4   // lines
	maxLength       = 240 // characters
	maxFields       = 24  // lines of a quoted header
	maxName         = 25  // characters of a field's name: Content-Transfer-Encoding
)

// introduce puts a marker in place of each line or header by which a program
// introduces a quotation or a forwarded mail, and reports whether that changed
// anything.
func introduce(lines []line, found map[string]bool) ([]line, bool) {
	if !slices.ContainsFunc(lines, func(l line) bool { return !l.blank() && isCandidate(l.text) }) {
		return lines, false
	}
	out := make([]line, 0, len(lines))
	for i := 0; i < len(lines); {
		l := lines[i]
		if l.blank() || !isCandidate(l.text) {
			out = append(out, l)
			i++
			continue
		}
		if text, end, ok := header(lines, i); ok {
			out = dropRule(out, l.depth)
			out = mark(out, text, l.depth, lines[end:])
			if text != l.text || end > i+1 {
				found[Header] = true
			}
			i = end
			continue
		}
		if isEnd(l.text) {
			// The end of a forwarded mail, which mutt writes.
			out = append(out, line{depth: l.depth, gap: true})
			found[Header] = true
			i++
			continue
		}
		if back, ok := attribution(out, l, lines[i+1:]); ok {
			if l.text != theyWrote {
				found[Attribution] = true
			}
			out = mark(out[:len(out)-back], theyWrote, l.depth, lines[i+1:])
			i++
			continue
		}
		out = append(out, l)
		i++
	}
	out = space(out)
	return out, !slices.Equal(out, lines)
}

// isCandidate is quick: it tells lines of prose from those worth looking at.
func isCandidate(text string) bool {
	last := text[len(text)-1]
	if last == ':' || last == '-' || last == '_' || last == '*' || last == '=' || strings.HasSuffix(text, "：") || strings.HasPrefix(text, "--") {
		return true
	}
	head := text[:min(len(text), 40)]
	return strings.IndexByte(head, ':') >= 0 || strings.Contains(head, "：")
}

// mark appends a marker. One that begins a quotation and belongs to the rest
// of it stands before it, where other programs put theirs. Of two in a row the
// second stays.
func mark(out []line, text string, depth int, rest []line) []line {
	last := len(out) - 1
	for last >= 0 && out[last].blank() {
		last--
	}
	first := last < 0 || out[last].depth < depth
	if next, ok := nextText(rest); ok && first && depth > 0 && next.depth == depth {
		depth--
	}
	if last >= 0 && out[last].marker() && out[last].depth == depth {
		out = out[:last]
	}
	return append(out, line{depth: depth, text: text})
}

// nextText returns the next line that is not blank.
func nextText(lines []line) (line, bool) {
	for _, l := range lines {
		if !l.blank() {
			return l, true
		}
	}
	return line{}, false
}

// dropRule takes a drawn line off the end, which Outlook and others put before
// the header of what they quote.
func dropRule(out []line, depth int) []line {
	last := len(out) - 1
	for last >= 0 && out[last].blank() {
		last--
	}
	if last >= 0 && out[last].depth == depth && isRule(out[last].text) {
		return out[:last]
	}
	return out
}

// The kinds of fields in a quoted header.
const (
	from = 1 << iota
	date
	to
	subject
	other
)

// header recognises, at lines[i], a title such as "-----Original Message-----",
// a header block, or both, and returns the marker for it and where it ends.
func header(lines []line, i int) (text string, end int, ok bool) {
	text, titled := title(lines[i].text)
	start := i
	if titled {
		start++
		for start < len(lines) && start < i+4 && lines[start].blank() {
			start++
		}
	} else {
		kinds, end := fields(lines, start)
		return theyWrote, end, kinds&from != 0 && kinds&date != 0 && kinds&(to|subject) != 0
	}
	// One header can follow the other: Gmail's title stands above Outlook's header.
	for end = i + 1; start < len(lines); {
		kinds, next := fields(lines, start)
		depth := lines[start].depth - lines[i].depth // Apple quotes the header, too
		if kinds&from == 0 || kinds == from || depth != 0 && depth != 1 {
			break
		}
		end = next
		for start = next; start < len(lines) && start < next+3 && lines[start].blank(); {
			start++
		}
	}
	return text, end, true
}

// fields reads header fields from lines[start], and returns their kinds and where
// they end. Lines between two fields belong to the first.
func fields(lines []line, start int) (kinds, end int) {
	end = start
	last := 0
	for i := start; i < len(lines) && i < start+maxFields && !lines[i].blank() && lines[i].depth == lines[start].depth; i++ {
		kind := field(lines[i].text)
		if i == start && kind == 0 {
			return 0, start
		}
		if kind != 0 {
			kinds |= kind
			end, last = i+1, kind
		}
	}
	// An address list goes on in lines with addresses; a field in indented ones.
	for end > start && end < start+2*maxFields && end < len(lines) && !lines[end].blank() && lines[end].depth == lines[start].depth {
		text := lines[end].text
		if text[0] != ' ' && text[0] != '\t' && !(last&(from|to|other) != 0 && hasAddress(text) && strings.ContainsAny(text, "<;")) {
			break
		}
		end++
	}
	return kinds, end
}

// field returns the kind of header field that a line is, or 0.
func field(text string) int {
	name, _, found := strings.Cut(text[:min(len(text), 60)], ":")
	name, _, wide := strings.Cut(name, "：")
	if !found && !wide {
		return 0
	}
	name = strings.Trim(name, " \t*_\u3000")
	if name == "" || utf8.RuneCountInString(name) > maxName {
		return 0
	}
	return fieldNames[strings.ToLower(name)]
}

// title recognises the lines that mail programs put over a quoted or a forwarded
// mail, and returns the marker for it.
func title(text string) (marker string, ok bool) {
	if text == theyWrote || text == Forwarded {
		return text, text == Forwarded
	}
	core := strings.Trim(text, "-_=*~# \t\u3000·—–")
	if core == "" || len(core) > 120 {
		return "", false
	}
	decorated := len(text)-len(core) >= 4 && strings.ContainsAny(text[:1], "-_=*~#—–")
	lower := strings.ToLower(core)
	colon := strings.HasSuffix(lower, ":") || strings.HasSuffix(lower, "：")
	lower = strings.TrimSpace(strings.TrimRight(lower, ":："))
	switch {
	case !decorated && !colon:
		return "", false
	case forwardTitles[lower]:
		return Forwarded, true
	case decorated && replyTitles[lower]:
		return theyWrote, true
	}
	// mutt and others name the sender: "Forwarded message from Anna <anna@example.org>".
	// aerc does so with the date, and draws nothing.
	for _, prefix := range forwardPrefixes {
		if (decorated || hasDate(lower)) && strings.HasPrefix(lower, prefix) {
			return Forwarded, true
		}
	}
	// nmh counts those behind the first: "------- Message 2".
	if number, found := strings.CutPrefix(lower, "message "); found && decorated && number != "" && len(number) <= 3 && strings.Trim(number, "0123456789") == "" {
		return Forwarded, true
	}
	return "", false
}

// isEnd recognises the line that mutt and others put under a forwarded mail.
func isEnd(text string) bool {
	core := strings.ToLower(strings.Trim(text, "- "))
	return strings.HasPrefix(text, "--") && (core == "end forwarded message" || core == "ende der weitergeleiteten nachricht" ||
		core == "fin du message transféré" || core == "end of forwarded message" || core == "end of forwarded messages" || core == "fin del mensaje reenviado")
}

// attribution recognises a line such as "On Tue, 3 Mar 2026 at 10:12, Anna
// <anna@example.org> wrote:", which can begin up to three lines before its end
// l. It returns how many lines at the end of before belong to it. after are the
// lines behind it.
func attribution(before []line, l line, after []line) (back int, ok bool) {
	if l.text == theyWrote {
		return 0, true
	}
	if !endsInColon(l.text) {
		return 0, false
	}
	if !hasVerb(l.text) && !hasFigure(l.text) && !slices.ContainsFunc(before[max(0, len(before)-maxIntroduction):], func(b line) bool { return hasFigure(b.text) }) {
		return 0, false // quick, for most lines that end in a colon
	}
	next, found := nextText(after)
	quoted := found && next.depth > l.depth
	if !quoted && found && next.depth == l.depth && l.depth > 0 {
		// The first line of a quotation, as Apple Mail writes it.
		last := len(before) - 1
		for last >= 0 && before[last].depth == l.depth && last > len(before)-maxIntroduction {
			last--
		}
		quoted = last < 0 || before[last].depth < l.depth
	}
	own := 0 // lines of this paragraph before l
	for own < len(before) && own < maxIntroduction {
		b := before[len(before)-1-own]
		if b.depth != l.depth || isBoundary(b) {
			break
		}
		own++
	}
	// The shortest that begins as these lines begin.
	text := l.text
	for k := 0; ; k++ {
		if opens(text) && introduces(text, quoted) {
			return k, true
		}
		if k == own || k == maxIntroduction-1 {
			break
		}
		text = before[len(before)-1-k].text + " " + text
	}
	// Else the whole paragraph, if its first line has part of what it must have,
	// else the line alone.
	if first := before[len(before)-own:]; 0 < own && own < maxIntroduction && (hasDate(first[0].text) || hasAddress(first[0].text)) && introduces(text, quoted) {
		return own, true
	}
	return 0, introduces(l.text, quoted)
}

// hasFigure reports whether text has what every date and address has.
func hasFigure(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r == '@' || digitOf(r) >= 0 })
}

func endsInColon(text string) bool {
	text = strings.TrimRight(text, " *")
	return strings.HasSuffix(text, ":") || strings.HasSuffix(text, "：")
}

// introduces reports whether text introduces a quotation: by date, verb and
// address, or a known beginning and the time in place of the address, or, where
// a quotation does follow, by less.
func introduces(text string, quoted bool) bool {
	if utf8.RuneCountInString(text) > maxLength {
		return false
	}
	address, verb := hasAddress(text), hasVerb(text)
	if !address && !verb {
		return false
	}
	day := hasDate(text)
	switch {
	case day && verb && address:
		return true
	case day && verb && (quoted || opens(text) && hasTime(text)):
		return true
	case day && address && (quoted || hasTime(text) && endsInAddress(text)):
		return true
	case quoted && verb && address:
		return true
	}
	return quoted && verb && isNamed(text)
}

// endsInAddress reports whether text ends with an address and a colon, as
// Gmail's lines do in languages without a verb for it.
func endsInAddress(text string) bool {
	text = strings.TrimRight(text, " *:：)>]\"'")
	return hasAddress(text[strings.LastIndexAny(text, " <([")+1:])
}

// isNamed reports whether text consists of a name, in words that begin with
// capital letters or are particles of names, and of a verb and a colon.
func isNamed(text string) bool {
	words := strings.Fields(strings.TrimRight(text, " *:："))
	names := 0
	for _, word := range words {
		lower := strings.ToLower(strings.Trim(word, ",.()\"'*"))
		first, _ := utf8.DecodeRuneInString(strings.TrimLeft(word, "\"'(*"))
		switch {
		case verbs[lower] || auxiliaries[lower]:
		case pronouns[lower]:
			return false
		case particles[lower] || unicode.IsUpper(first):
			names++
		default:
			return false
		}
	}
	return 0 < names && names <= 4
}

// opens reports whether text begins as introductions do: with a preposition, a
// weekday or a number.
func opens(text string) bool {
	text = strings.TrimLeft(text, " *\t>")
	end := strings.IndexFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.Is(unicode.M, r) })
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		r, _ := utf8.DecodeRuneInString(text)
		return unicode.IsDigit(r)
	}
	return openers[strings.ToLower(text[:end])]
}

// hasVerb reports whether text has a word for "wrote".
func hasVerb(text string) bool {
	lower := strings.ToLower(text)
	for word := range strings.FieldsFuncSeq(lower, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.Is(unicode.M, r) }) {
		if verbs[word] {
			return true
		}
	}
	for _, verb := range unspaced {
		if strings.Contains(lower, verb) {
			return true
		}
	}
	return false
}

// hasDate reports whether text has a year, also of the Persian or the Buddhist
// calendar, or a day, month and year in digits.
func hasDate(text string) bool {
	var (
		digits, value int    // of the number being read
		numbers       int    // of at most two digits, one after the other
		between       string // what stands before it
	)
	for _, r := range text + "." {
		if digit := digitOf(r); digit >= 0 {
			if digits == 0 && between != "." && between != "/" && between != "-" && between != ". " {
				numbers = 0
			}
			digits, value, between = digits+1, min(10*value+digit, 1e6), ""
			continue
		}
		if digits == 4 && (1390 <= value && value < 1500 || 1900 <= value && value < 2100 || 2500 <= value && value < 2700) {
			return true
		}
		if digits > 0 {
			if numbers++; digits > 2 {
				numbers = 0
			}
			if numbers == 3 {
				return true
			}
		}
		if digits, value = 0, 0; len(between) < 4 {
			between += string(r)
		}
	}
	return false
}

// hasTime reports whether text has hours and minutes.
func hasTime(text string) bool {
	runes := []rune(text)
	for i := 1; i+2 < len(runes); i++ {
		if strings.ContainsRune(":h点", runes[i]) && digitOf(runes[i-1]) >= 0 && digitOf(runes[i+1]) >= 0 && digitOf(runes[i+2]) >= 0 {
			return true
		}
	}
	return strings.ContainsAny(text, "時시")
}

// digitOf returns the value of a decimal digit of any script, or -1: they come
// in tens whose first is a multiple of 10 from the beginning of its range.
func digitOf(r rune) int {
	switch {
	case '0' <= r && r <= '9':
		return int(r - '0')
	case r < 0x660:
		return -1
	}
	for _, zero := range []rune{0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10} {
		if zero <= r && r <= zero+9 {
			return int(r - zero)
		}
	}
	return -1
}
