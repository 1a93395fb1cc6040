package hypertext

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Bounds of what is shown as a table of data; what exceeds them is shown cell
// after cell, as are the tables that place things on a page.
const (
	maxCell    = 200 // characters of a cell
	maxColumns = 20
	maxAligned = 78 // columns of text up to which a table's are aligned
)

// table writes a table.
func (r *renderer) table(n *node, s state) {
	var rows [][]string
	header := false
	if !n.tables && n.attr["role"] != "presentation" && n.attr["role"] != "none" {
		rows, header = r.data(n, s)
	}
	r.block(spaced["table"])
	if rows == nil {
		r.element(&node{tag: "div", children: n.children}, s)
	} else {
		r.caption(n, s)
		r.rows(rows, header)
	}
	r.block(spaced["table"])
}

// caption writes the captions of a table.
func (r *renderer) caption(n *node, s state) {
	for _, child := range n.children {
		if child.tag == "caption" {
			r.node(child, s)
		}
	}
}

// data returns the cells of a table of data: one that holds at least two rows
// of at least two cells of one short line each, and nothing else. It returns nil
// for another. header tells whether the first row is one of headings.
func (r *renderer) data(n *node, s state) (rows [][]string, header bool) {
	full := 0 // rows of at least two cells that are not empty
	var add func(n *node) bool
	add = func(n *node) bool {
		for _, child := range n.children {
			switch {
			case child.tag == "caption" || child.tag == "col" || child.tag == "colgroup" || child.tag == "" && !isText(child.text):
			case isHidden(child):
				return false
			case child.tag == "thead" || child.tag == "tbody" || child.tag == "tfoot":
				if !add(child) {
					return false
				}
			case child.tag == "tr":
				cells, headings, filled, ok := r.cells(child, s)
				if !ok {
					return false
				}
				if filled >= 2 {
					full++
				}
				if filled > 0 {
					header = header || len(rows) == 0 && headings
					rows = append(rows, cells)
				}
			default:
				return false
			}
		}
		return true
	}
	if !add(n) || full < 2 {
		return nil, false
	}
	return rows, header
}

// cells returns the cells of a row, whether all are headings, and how many are
// not empty; ok is whether it can be a row of data.
func (r *renderer) cells(n *node, s state) (cells []string, headings bool, filled int, ok bool) {
	headings = true
	for _, child := range n.children {
		if child.tag == "" && !isText(child.text) {
			continue
		}
		if child.tag != "td" && child.tag != "th" || isHidden(child) || len(cells) == maxColumns {
			return nil, false, 0, false
		}
		headings = headings && child.tag == "th"
		inner := &renderer{&writer{}, r.found}
		inner.children(child, cellState(child, s))
		inner.block(false)
		text := strings.TrimSpace(inner.out.String())
		if strings.Contains(text, "\n") || strings.HasPrefix(text, "> ") || columns(text) > maxCell {
			return nil, false, 0, false
		}
		if text != "" {
			filled++
		}
		cells = append(cells, text)
	}
	return cells, headings, filled, true
}

func cellState(n *node, s state) state {
	if n.look.font != 0 {
		s.tiny = n.look.font < 0
	}
	return s
}

// rows writes the rows of a table of data: "name: value" where the first column
// is one of names, else with " | " between the cells, aligned if a line has room.
func (r *renderer) rows(rows [][]string, header bool) {
	widths := make([]int, maxColumns)
	named := true
	for _, cells := range rows {
		named = named && len(cells) == 2 && strings.HasSuffix(cells[0], ":")
		for i, cell := range cells {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	total := -len(" | ")
	for _, w := range widths {
		if w > 0 {
			total += w + len(" | ")
		}
	}
	for i, cells := range rows {
		var line strings.Builder
		for j, cell := range cells {
			switch {
			case j > 0 && named:
				line.WriteString(" ")
			case j > 0:
				line.WriteString(" | ")
			}
			line.WriteString(cell)
			if total <= maxAligned && !named && j < len(cells)-1 {
				line.WriteString(strings.Repeat(" ", widths[j]-columns(cell)))
			}
		}
		r.write(line.String())
		r.block(false)
		if i == 0 && header && total <= maxAligned && !named {
			for j := range cells {
				if j > 0 {
					r.write("-+-")
				}
				r.write(strings.Repeat("-", widths[j]))
			}
			r.block(false)
		}
		if r.out.Len() > maxText {
			return
		}
	}
}

// columns returns how many columns of a terminal text takes (UAX 11).
func columns(text string) int {
	n := 0
	for _, c := range text {
		switch kind := width.LookupRune(c).Kind(); {
		case kind == width.EastAsianWide || kind == width.EastAsianFullwidth:
			n += 2
		case !unicode.In(c, unicode.Mn, unicode.Me, unicode.Cf):
			n++
		}
	}
	return n
}
