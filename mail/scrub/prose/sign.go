package prose

import (
	"strings"
	"unicode/utf8"
)

// Bounds on what stands below a text.
const (
	maxLooseSignature = 8   // lines below "--" without its space
	maxSignatureLine  = 80  // characters of such a line
	maxFooter         = 12  // lines of a mailing list's footer, with the drawn one
	maxNotice         = 60  // lines of a paragraph that can be a notice
	maxDevice         = 120 // characters
	minLegal          = 60  // characters
	maxShort          = 320 // characters of an advertisement or a plea for trees
)

// sign removes signatures and footers at the end of every section: lines of one
// depth between markers. It reports whether there were any.
func sign(lines []line, keep Keep, found map[string]bool) ([]line, bool) {
	out := make([]line, 0, len(lines))
	changed := false
	own := true // nothing was quoted without quote marks yet
	for start := 0; start < len(lines); {
		if lines[start].marker() {
			own = false
			out = append(out, lines[start])
			start++
			continue
		}
		end := start
		for end < len(lines) && lines[end].depth == lines[start].depth && !lines[end].marker() {
			end++
		}
		section := lines[start:end]
		text := trimBlank(section)
		if left := trim(text, keep.Signature && own && section[0].depth == 0, found); len(left) < len(text) {
			out = append(append(out, left...), line{depth: section[0].depth, gap: true})
			changed = true
		} else {
			out = append(out, section...)
		}
		start = end
	}
	if !changed {
		return lines, false
	}
	return space(out), true
}

func trimBlank(section []line) []line {
	for len(section) > 0 && section[len(section)-1].blank() {
		section = section[:len(section)-1]
	}
	return section
}

// trim returns the section without what stands below its text.
func trim(section []line, keep bool, found map[string]bool) []line {
	if !keep {
		for i, l := range section {
			if l.text == separator {
				section = section[:i]
				found[Signature] = true
				break
			}
		}
	}
	for {
		section = trimBlank(section)
		last := section[len(section)-paragraphAt(section):]
		var left int
		var notice string
		if n := looseSignature(section); n > 0 && !keep {
			left, notice = n, Signature
		} else if n := listFooter(section); n > 0 {
			left, notice = n, List
		} else if len(last) == 0 {
			return section
		} else if text := last[len(last)-1].text; isDevice(text) {
			left, notice = 1, Device
		} else if len(last) == 1 && legalTitles[strings.ToLower(strings.Trim(text, " :*-_"))] && found[Legal] {
			left, notice = 1, Legal
		} else if n := legal(last); n > 0 {
			left, notice = n, Legal
		} else if n := short(last, environment); n > 0 {
			left, notice = n, Legal
		} else if n := short(last, adverts); n > 0 {
			left, notice = n, Advert
		} else {
			return section
		}
		section = section[:len(section)-left]
		found[notice] = true
	}
}

// paragraphAt returns how many lines the last paragraph of a section has, up to
// maxNotice.
func paragraphAt(section []line) int {
	n := 0
	for n < min(maxNotice, len(section)) && !section[len(section)-1-n].blank() {
		n++
	}
	return n
}

// looseSignature returns how many lines at the end are a signature below a "--"
// whose space was lost: few and short ones.
func looseSignature(section []line) int {
	below := 0
	for i := len(section) - 1; i >= 0 && below <= maxLooseSignature; i-- {
		switch text := section[i].text; {
		case text == "--":
			return len(section) - i
		case utf8.RuneCountInString(text) > maxSignatureLine:
			return 0
		case text != "":
			below++
		}
	}
	return 0
}

// listFooter returns how many lines at the end are a mailing list's footer,
// which begins with a drawn line.
func listFooter(section []line) int {
	known := false
	for n := 1; n <= min(maxFooter, len(section)); n++ {
		text := section[len(section)-n].text
		if isRule(text) {
			if known {
				return n
			}
			continue
		}
		known = known || containsAny(strings.ToLower(text), lists)
	}
	return 0
}

// isDevice reports whether a line names the device or program it was sent from.
func isDevice(text string) bool {
	if utf8.RuneCountInString(text) > maxDevice {
		return false
	}
	lower := strings.ToLower(strings.TrimLeft(text, " *_-[("))
	known := false
	for _, start := range deviceStarts {
		known = known || strings.HasPrefix(lower, start)
	}
	for _, end := range deviceEnds {
		known = known || strings.HasSuffix(strings.TrimRight(lower, "*_)] "), end)
	}
	return known && containsAny(lower, products)
}

// legal returns how many lines at the end of a paragraph are a notice to those
// who should not have the mail.
func legal(paragraph []line) int {
	var mail, secret, recipient bool
	length := 0
	for n := 1; n <= len(paragraph); n++ {
		lower := strings.ToLower(paragraph[len(paragraph)-n].text)
		length += utf8.RuneCountInString(lower)
		mail = mail || containsAny(lower, legalMail)
		secret = secret || containsAny(lower, legalSecret)
		recipient = recipient || containsAny(lower, legalRecipient)
		if !mail || !secret || !recipient || length < minLegal {
			continue
		}
		for n < len(paragraph) {
			above := strings.ToLower(paragraph[len(paragraph)-n-1].text)
			if !containsAny(above, legalSecret) && !containsAny(above, legalRecipient) && !legalTitles[strings.Trim(above, " :*-_")] {
				break
			}
			n++
		}
		return n
	}
	return 0
}

// short returns how many lines a paragraph has if it is short and has all the
// words of one of the lists.
func short(paragraph []line, phrases [][]string) int {
	var b strings.Builder
	for _, l := range paragraph {
		b.WriteString(strings.ToLower(l.text) + " ")
		if b.Len() > maxShort {
			return 0
		}
	}
	text := b.String()
	for _, words := range phrases {
		all := true
		for _, word := range words {
			all = all && strings.Contains(text, word)
		}
		if all {
			return len(paragraph)
		}
	}
	return 0
}

func containsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
