package hypertext

import "strings"

// A look is what an element's own style says that text depends on.
type look struct {
	hidden       bool
	font         int8 // -1 too small to read, +1 readable, 0 not said
	space        int8 // +1 white space is kept, -1 it is not, 0 not said
	block        bool // an inline element shown as a block
	bar          bool // a line at the left, as beside quotations
	noBorder     bool
	noTop        bool // no space above
	noBottom     bool // no space below
	ignore       bool // Word's own drawing of a list item's mark
	level        int  // of Word's list items, from 1; 0 is none
	struck       bool
	width        int // in pixels; -1 is not said
	height       int
	overflowGone bool
}

// parseStyle reads a style attribute (CSS Style Attributes; Word's own
// properties, whose names begin with "mso-").
func parseStyle(style string) look {
	l := look{width: -1, height: -1}
	if style == "" {
		return l
	}
	flat := false // no height or no width
	for declaration := range strings.SplitSeq(strings.ToLower(style), ";") {
		name, value, _ := strings.Cut(declaration, ":")
		value = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "!important"))
		switch strings.TrimSpace(name) {
		case "display":
			l.hidden = l.hidden || value == "none"
			l.block = value == "block"
		case "visibility":
			l.hidden = l.hidden || value == "hidden" || value == "collapse"
		case "opacity":
			l.hidden = l.hidden || isZero(value)
		case "color":
			l.hidden = l.hidden || value == "transparent"
		case "font-size":
			l.font = 1
			if isZero(value) || value == "1px" || value == "1pt" || strings.HasPrefix(value, "0.") && (strings.HasSuffix(value, "px") || strings.HasSuffix(value, "pt")) {
				l.font = -1
			}
		case "max-height", "max-width":
			flat = flat || isZero(value)
		case "height":
			l.height = pixels(value)
			flat = flat || isZero(value)
		case "width":
			l.width = pixels(value)
			flat = flat || isZero(value)
		case "overflow":
			l.overflowGone = value == "hidden"
		case "text-indent", "left", "top", "margin-left", "margin-top":
			// Far outside of the window: a thousand units or more.
			number := strings.TrimLeft(value, "-")
			digits := len(number) - len(strings.TrimLeft(number, "0123456789"))
			l.hidden = l.hidden || strings.HasPrefix(value, "-") && digits >= 4 || strings.HasPrefix(value, "-999")
			if strings.TrimSpace(name) == "margin-top" {
				l.noTop = isZero(value)
			}
		case "margin-bottom":
			l.noBottom = isZero(value)
		case "margin":
			if sides := strings.Fields(value); len(sides) > 0 {
				l.noTop, l.noBottom = isZero(sides[0]), isZero(sides[0])
				if len(sides) > 2 {
					l.noBottom = isZero(sides[2])
				}
			}
		case "white-space":
			if l.space = -1; strings.HasPrefix(value, "pre") || value == "break-spaces" {
				l.space = 1
			}
		case "border":
			first, _, _ := strings.Cut(value, " ")
			l.noBorder = first == "none" || isZero(first)
		case "border-left", "border-left-style":
			l.bar = value != "" && !strings.Contains(value, "none") && !isZero(value)
		case "mso-list":
			if value == "ignore" {
				l.ignore = true
			} else if _, level, found := strings.Cut(value, "level"); found && level != "" && '1' <= level[0] && level[0] <= '9' {
				l.level = int(level[0] - '0')
			}
		case "text-decoration", "text-decoration-line":
			l.struck = strings.Contains(value, "line-through")
		}
	}
	l.hidden = l.hidden || flat && l.overflowGone
	return l
}

// isZero reports whether a length or number is zero, whatever its unit.
func isZero(value string) bool {
	number := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyz%")
	return number != "" && strings.Trim(number, "0.") == "" && strings.Contains(number, "0")
}

// pixels returns the whole part of a length in pixels, at most 9999, or -1.
func pixels(value string) int {
	n, digits := 0, 0
	for digits < len(value) && digits < 4 && '0' <= value[digits] && value[digits] <= '9' {
		n = 10*n + int(value[digits]-'0')
		digits++
	}
	if unit := strings.TrimSpace(value[digits:]); digits == 0 || unit != "" && unit != "px" {
		return -1
	}
	return n
}
