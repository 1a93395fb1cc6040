package hypertext

import (
	"maps"
	"slices"
	"strings"

	"codeberg.org/sourdine/sourdine/mail"
	"golang.org/x/net/html"
)

// A node is an element, or a piece of text if it has no tag.
type node struct {
	tag      string
	text     string
	attr     map[string]string // those of kept, nil if there are none
	look     look
	children []*node
	tables   bool // holds a table
}

// kept are the attributes that text depends on.
var kept = map[string]bool{"alt": true, "border": true, "class": true, "height": true, "hidden": true, "href": true,
	"id": true, "role": true, "src": true, "start": true, "style": true, "type": true, "value": true, "width": true}

// maxAttribute bounds, in bytes, what is kept of an attribute: no address that a
// program follows is longer.
const maxAttribute = 16 << 10

// Sets of elements (HTML Living Standard, sections 13.1.2 and 13.2.4.2).
var (
	void = set("area base basefont bgsound br col embed frame hr img input link meta param source track wbr keygen")

	// ends closes an open paragraph when it begins (13.2.6.4.7).
	ends = set("address article aside blockquote center details dialog dir div dl fieldset figcaption figure " +
		"footer header hgroup main menu nav ol p search section summary ul h1 h2 h3 h4 h5 h6 pre listing form table hr " +
		"li dd dt xmp plaintext")

	// scope is what an end tag inside does not reach beyond.
	scope = set("td th caption table html object template marquee applet")

	// breakout are the elements before which a drawing or formula ends (13.2.6.5).
	breakout = set("b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li " +
		"listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var")

	// silent elements hold nothing that is read.
	silent = map[string]string{"script": Scripts, "style": "", "title": "", "xml": "", "template": "",
		"textarea": Forms, "select": Forms, "button": "", "iframe": Frames, "noembed": "", "noframes": "",
		"audio": Frames, "video": Frames, "canvas": Frames, "svg": Drawings, "datalist": Forms,
		"annotation": "", "annotation-xml": ""} // of a formula: its source, which is not shown
)

func set(words string) map[string]bool {
	s := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		s[word] = true
	}
	return s
}

func union(a, b map[string]bool) map[string]bool {
	u := maps.Clone(a)
	maps.Copy(u, b)
	return u
}

// parse builds the tree of HTML.
func parse(source string, found map[string]bool) (*node, error) {
	root := &node{tag: "html"}
	b := builder{open: []*node{root}, walls: make([]wall, 1), places: map[string][]int{}}
	z := html.NewTokenizer(strings.NewReader(source))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return root, nil // the end: a string has no other error
		case html.TextToken:
			b.text(string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			n := &node{tag: string(name)}
			for more {
				var key, value []byte
				key, value, more = z.TagAttr()
				if k := string(key); kept[k] && (n.attr == nil || len(n.attr) < len(kept)) {
					if n.attr == nil {
						n.attr = map[string]string{}
					}
					if _, twice := n.attr[k]; !twice {
						n.attr[k] = string(value[:min(len(value), maxAttribute)])
					}
				}
			}
			n.look = parseStyle(n.attr["style"])
			if n.tag == "noscript" {
				z.NextIsNotRawText()
			}
			b.start(n)
		case html.EndTagToken:
			name, _ := z.TagName()
			b.end(string(name))
		case html.CommentToken:
			if isComment(string(z.Text())) {
				found[Comments] = true
			}
		}
		if b.nodes > maxNodes || len(b.open) > maxDepth || len(b.places["a"]) > maxLinks {
			return nil, &mail.Refusal{Reason: "The formatted text (HTML) is too involved to be turned into plain text. Delete older quoted mails below it, or send the mail as plain text."}
		}
	}
}

// isComment reports whether a comment is more than a mark of Outlook's
// ("[if !mso]", "[endif]") or of the clipboard's ("StartFragment").
func isComment(text string) bool {
	text = strings.TrimSpace(text)
	switch {
	case text == "", text == "StartFragment", text == "EndFragment", text == "<![endif]":
		return false
	}
	if strings.HasPrefix(text, "[") {
		_, rest, _ := strings.Cut(text, "]")
		return rest != "" && rest != "><!"
	}
	return true
}

// A builder keeps the elements that are open, outermost first, and where those of
// each name are among them.
type builder struct {
	open   []*node
	walls  []wall // of each of them
	places map[string][]int
	nodes  int
}

// A wall says, for each of the barriers, where the nearest open element of it is, seen from
// an element that may be one itself; 0 if there is none.
type wall [anywhere]int

// A barrier is a set of elements that an end tag inside does not reach beyond.
type barrier int

const (
	inScope barrier = iota
	inItem
	inBlock
	inTable
	anywhere // beyond all
)

var barriers = [...]map[string]bool{inScope: scope, inItem: itemScope, inBlock: blockScope, inTable: tableScope}

func (b *builder) top() *node { return b.open[len(b.open)-1] }

func (b *builder) append(n *node) {
	b.nodes++
	top := b.top()
	top.children = append(top.children, n)
}

func (b *builder) text(text string) { b.append(&node{text: text}) }

func (b *builder) start(n *node) {
	switch n.tag {
	case "html", "head", "body":
		if n.attr["style"] == "" && n.attr["hidden"] == "" {
			return
		}
		n.tag = "div"
	case "image":
		n.tag = "img"
	}
	if breakout[n.tag] {
		b.close(anywhere, "svg", "math")
	}
	if ends[n.tag] {
		b.close(inScope, "p")
	}
	switch n.tag {
	case "a":
		b.close(inScope, "a")
	case "li":
		b.close(inItem, "li")
	case "dd", "dt":
		b.close(inItem, "dd", "dt")
	case "option":
		b.close(inScope, "option")
	case "td", "th":
		b.close(inTable, "td", "th", "caption")
	case "tr":
		b.close(inTable, "tr", "caption")
	case "tbody", "thead", "tfoot":
		b.close(inTable, "tbody", "thead", "tfoot", "caption")
	case "table":
		for _, open := range b.open {
			open.tables = true
		}
	}
	b.append(n)
	if !void[n.tag] {
		at := len(b.open)
		w := b.walls[at-1]
		for i, names := range barriers {
			if names[n.tag] {
				w[i] = at
			}
		}
		b.open, b.walls = append(b.open, n), append(b.walls, w)
		b.places[n.tag] = append(b.places[n.tag], at)
	}
}

func (b *builder) end(tag string) {
	switch {
	case tag == "br":
		b.append(&node{tag: "br"})
	case tag == "html" || tag == "head" || tag == "body":
	case tableParts[tag]:
		b.close(inTable, tag)
	case slices.Contains(headings, tag):
		b.close(inScope, headings...) // whichever is open (13.2.6.4.7)
	case tag == "a" || ends[tag]:
		b.close(inScope, tag)
	default:
		b.close(inBlock, tag)
	}
}

var (
	itemScope  = set("td th caption table html object template marquee applet ul ol menu dir dl")
	blockScope = union(scope, ends)
	tableScope = set("table template")
	tableParts = set("table caption colgroup thead tbody tfoot tr td th")
	headings   = []string{"h1", "h2", "h3", "h4", "h5", "h6"}
)

// close ends the innermost open element with one of the names, and what is open
// within it, unless an element of the barrier stands between.
func (b *builder) close(stop barrier, tags ...string) {
	at := 0
	for _, tag := range tags {
		if places := b.places[tag]; len(places) > 0 {
			at = max(at, places[len(places)-1])
		}
	}
	if at == 0 || stop != anywhere && at < b.walls[len(b.walls)-1][stop] {
		return
	}
	for _, closed := range b.open[at:] {
		places := b.places[closed.tag]
		b.places[closed.tag] = places[:len(places)-1]
	}
	b.open, b.walls = b.open[:at], b.walls[:at]
}
