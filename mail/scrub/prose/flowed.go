package prose

import "strings"

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// Unflow undoes format=flowed (RFC 3676 sections 4.1 to 4.5): each paragraph
// becomes one line, with its quote marks and one space before it. An empty line
// ends a paragraph and stays, though the writer's program left it flowed. delsp
// says that the space at the end of a line that goes on is not part of the text.
func Unflow(text string, delsp bool) string {
	var b strings.Builder
	open, depth := false, 0 // whether the last line goes on, and its quote depth
	for line := range strings.Lines(lineEnds.Replace(text)) {
		line = strings.TrimSuffix(line, "\n")
		content := strings.TrimLeft(line, ">")
		quotes := len(line) - len(content)
		content = strings.TrimPrefix(content, " ")
		fixed := content == "-- " || !strings.HasSuffix(content, " ")
		if open && (quotes != depth || content == "-- " || content == "") {
			b.WriteByte('\n')
			open = false
		}
		if !open && quotes > 0 {
			b.WriteString(strings.Repeat(">", quotes) + " ")
		}
		if !fixed && delsp {
			content = content[:len(content)-1]
		}
		b.WriteString(content)
		if fixed {
			b.WriteByte('\n')
		}
		open, depth = !fixed, quotes
	}
	return b.String()
}
