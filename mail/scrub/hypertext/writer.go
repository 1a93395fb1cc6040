package hypertext

import "strings"

// A writer joins pieces of text to lines. Blank lines wait until a line
// follows them, so that none stands at the beginning or the end.
type writer struct {
	out     strings.Builder
	lines   int
	prefix  string           // before every line: quotation marks and indentation
	bullet  string           // in place of the prefix's beginning on the next line
	line    []byte           // being written
	space   bool             // white space stands behind it
	blanks  int              // blank lines asked for
	margin  bool             // space asked for, which any blank line gives
	last    string           // the last line's prefix
	content string           // the last line without it
	signed  bool             // a signature begins with the next line
	copied  *strings.Builder // gets a copy of what is written, if not nil
}

// text writes text whose white space has no meaning, except that no-break
// spaces stay (CSS Text Module section 4.1).
func (w *writer) text(s string) {
	for s != "" {
		end := strings.IndexAny(s, " \t\n\r\f")
		if end < 0 {
			end = len(s)
		}
		if end > 0 {
			if w.space && len(w.line) > 0 {
				w.write(" ")
			}
			w.space = false
			w.write(strings.ReplaceAll(s[:end], "\u00a0", " "))
		}
		rest := strings.TrimLeft(s[end:], " \t\n\r\f")
		w.space = w.space || len(rest) < len(s)-end
		s = rest
	}
}

// preformatted writes text whose white space has a meaning.
func (w *writer) preformatted(s string) {
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u00a0", " ").Replace(s)
	for {
		line, rest, found := strings.Cut(s, "\n")
		if line != "" {
			if w.space && len(w.line) > 0 {
				w.write(" ")
			}
			w.space = false
			w.write(line)
		}
		if !found {
			return
		}
		w.end()
		s = rest
	}
}

func (w *writer) write(s string) {
	w.line = append(w.line, s...)
	w.copy(s)
}

// maxCopied is how many bytes of a link's words are compared with its address, which is
// shorter: links within links would copy a whole mail again and again.
const maxCopied = 2 * maxAttribute

// copy notes what is written within a link.
func (w *writer) copy(s string) {
	if w.copied != nil {
		w.copied.WriteString(s[:min(len(s), max(0, maxCopied-w.copied.Len()))])
	}
}

// end ends the line, even an empty one.
func (w *writer) end() {
	content := strings.TrimRight(string(w.line), " \t")
	if content == "--" && (w.space || len(w.line) > 2) {
		content = "-- " // a signature follows (RFC 3676 section 4.3)
	}
	w.line, w.space = w.line[:0], false
	w.copy(" ")
	if content == "" {
		w.blanks++
		return
	}
	if w.signed {
		w.signed = false
		if content != "-- " && w.content != "-- " && !strings.HasPrefix(content, "--") {
			w.put("-- ")
		}
	}
	w.put(content)
}

func (w *writer) put(content string) {
	if w.margin {
		w.blanks = max(w.blanks, 1)
	}
	if w.lines > 0 {
		between := strings.TrimRight(common(w.last, w.prefix), " ")
		// Bounded: a blank line costs at least the bytes of a tag.
		for range w.blanks {
			w.out.WriteString(between)
			w.out.WriteByte('\n')
			if w.out.Len() > maxText {
				return
			}
		}
	}
	w.out.WriteString(w.bullet)
	w.out.WriteString(w.prefix[len(w.bullet):])
	w.out.WriteString(content)
	w.out.WriteByte('\n')
	w.lines++
	w.bullet, w.last, w.content = "", w.prefix, content
	w.blanks, w.margin = 0, false
}

// block ends the line if there is one, and asks for space if margin is set,
// except between the mark of a list's item and the item.
func (w *writer) block(margin bool) {
	if len(w.line) > 0 {
		w.end()
	}
	w.space = false
	w.margin = w.margin || margin && w.bullet == ""
}

// within runs f with a longer prefix.
func (w *writer) within(prefix string, f func()) {
	outer := w.prefix
	w.prefix += prefix
	f()
	w.block(false)
	w.prefix = outer
	if len(w.bullet) > len(outer) {
		w.bullet = ""
	}
}

// common returns what two prefixes begin with.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}
