package prose

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The lengths, in characters, of the longest line of a paragraph that a program
// wrapped: programs wrap at 66 to 80 columns. People who end lines where they
// want end them earlier.
const (
	minWrap = 66
	maxWrap = 80
)

// join undoes wrapping. A paragraph, which is lines of one depth without a blank
// line among them, becomes one line if
//
//   - none of its lines is indented, an item of a list, part of a table or a
//     drawing, or separates things;
//   - its longest line, quote marks not counted, has 66 to 80 characters, where
//     a single word that is longer than that and has a line to itself, such as
//     a web address, does not count;
//   - at no line's end would the next line's first word have fitted into the
//     length of the longest.
//
// What no-break spaces hold together, as French does "quand ?", is one word.
//
// Everything else keeps its lines: so lines under 66 characters are never joined.
func join(lines []line) []line {
	out := lines[:0]
	for start := 0; start < len(lines); {
		end := start
		for end < len(lines) && lines[end].depth == lines[start].depth && !isBoundary(lines[end]) {
			end++
		}
		if end-start < 2 {
			out = append(out, lines[start])
			start++
			continue
		}
		if paragraph := lines[start:end]; isWrapped(paragraph) {
			out = append(out, joined(paragraph))
		} else {
			out = append(out, paragraph...)
		}
		start = end
	}
	return out
}

// isBoundary reports whether a line belongs to no paragraph.
func isBoundary(l line) bool {
	return l.blank() || l.marker() || l.text == "--" || l.text == separator || isRule(l.text)
}

// isRule reports whether a line is a drawn one: at least five of one sign.
func isRule(text string) bool {
	text = strings.TrimSpace(text)
	return len(text) >= 5 && strings.IndexByte("-_=*~", text[0]) >= 0 && strings.Trim(text, text[:1]) == ""
}

func isWrapped(paragraph []line) bool {
	longest := 0
	for _, l := range paragraph {
		n := utf8.RuneCountInString(l.text)
		if n > maxWrap && strings.Count(l.text, " ") == l.glued {
			continue
		}
		if longest = max(longest, n); longest > maxWrap {
			return false
		}
	}
	if longest < minWrap {
		return false
	}
	for i, l := range paragraph {
		if isShaped(l.text) {
			return false
		}
		if i > 0 {
			last := paragraph[i-1].text
			if utf8.RuneCountInString(last)+len(gapBetween(last, l.text))+firstWord(l) <= longest {
				return false
			}
		}
	}
	return true
}

// isShaped reports whether a line's own shape matters: it is indented, an
// item of a list, a row of a table, or code.
func isShaped(text string) bool {
	if text[0] == ' ' || text[0] == '\t' || strings.HasPrefix(text, "\u3000") || strings.ContainsAny(text[:1], "|+#$`{}\\") ||
		strings.Contains(text, " | ") || strings.Contains(text, "   ") || strings.Contains(text, "\t") {
		return true
	}
	mark, rest, found := strings.Cut(text, " ")
	if !found || rest == "" {
		return false
	}
	switch mark {
	case "-", "*", "•", "·", "–", "—", "o", "◦", "▪", "‣", "→", "=>", "->":
		return true
	}
	number := strings.Trim(mark, "().]")
	return number != mark && len(number) <= 4 && (strings.Trim(number, "0123456789") == "" || len(number) == 1 && unicode.IsLetter(rune(number[0])))
}

// firstWord returns how many characters would have to fit: those up to the
// first space that a line can break at, or the first character of a script that
// breaks anywhere.
func firstWord(l line) int {
	if r, _ := utf8.DecodeRuneInString(l.text); breaksAnywhere(r) {
		return 1
	}
	end := 0
	for range l.glued {
		end += strings.IndexByte(l.text[end:], ' ') + 1
	}
	word, _, _ := strings.Cut(l.text[end:], " ")
	return utf8.RuneCountInString(l.text[:end] + word)
}

// gapBetween returns what stands between two joined lines.
func gapBetween(last, next string) string {
	before, _ := utf8.DecodeLastRuneInString(last)
	after, _ := utf8.DecodeRuneInString(next)
	if breaksAnywhere(before) && breaksAnywhere(after) {
		return ""
	}
	return " "
}

// breaksAnywhere reports whether a character belongs to Chinese or Japanese
// text, which has no spaces.
func breaksAnywhere(r rune) bool {
	return r >= 0x2e80 && !unicode.Is(unicode.M, r) && (unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) ||
		0x3000 <= r && r <= 0x303f || 0xff00 <= r && r <= 0xffef)
}

func joined(paragraph []line) line {
	var b strings.Builder
	for i, l := range paragraph {
		if i > 0 {
			b.WriteString(gapBetween(paragraph[i-1].text, l.text))
		}
		b.WriteString(l.text)
	}
	return line{depth: paragraph[0].depth, text: b.String(), glued: paragraph[0].glued}
}
