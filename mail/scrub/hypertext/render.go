package hypertext

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/link"
)

// A renderer walks the tree.
type renderer struct {
	*writer
	found map[string]bool
}

// A state is what elements inherit.
type state struct {
	pre  bool
	tiny bool // too small to read
}

func render(root *node, found map[string]bool) (string, error) {
	r := &renderer{&writer{}, found}
	r.children(root, state{})
	r.block(false)
	if r.out.Len() > maxText {
		return "", &mail.Refusal{Reason: "The text of the formatted mail (HTML) is too long. Shorten it, or delete older quoted mails below it."}
	}
	return r.out.String(), nil
}

func (r *renderer) children(n *node, s state) {
	for _, child := range n.children {
		if r.out.Len() > maxText {
			return
		}
		r.node(child, s)
	}
}

// Elements that begin and end a line.
var (
	blocks = set("address article aside blockquote center dd details dialog dir div dl dt fieldset figcaption figure footer " +
		"form header hgroup h1 h2 h3 h4 h5 h6 legend li main menu nav ol optgroup p pre listing xmp plaintext search section summary " +
		"table caption tbody thead tfoot tr td th ul")
	spaced = set("blockquote dl fieldset figure h1 h2 h3 h4 h5 h6 menu dir ol p pre listing xmp table ul")
)

func (r *renderer) node(n *node, s state) {
	switch {
	case n.tag == "":
		r.words(n.text, s)
		return
	case isHidden(n):
		r.found[Hidden] = r.found[Hidden] || isShown(n)
		return
	}
	if notice, found := silent[n.tag]; found {
		if notice != "" {
			r.found[notice] = true
		}
		return
	}
	if n.look.font != 0 {
		s.tiny = n.look.font < 0
	}
	if n.look.space != 0 {
		s.pre = n.look.space > 0
	}
	switch n.tag {
	case "br":
		r.end()
	case "wbr":
	case "hr":
		r.block(true)
		if r.lines > 0 {
			r.write("----------")
			r.block(true)
		}
	case "img":
		r.image(n)
	case "input":
		r.found[Forms] = r.found[Forms] || n.attr["type"] != "hidden"
	case "object", "embed", "frame":
		r.found[Frames] = true
		r.children(n, s)
	case "a":
		r.link(n, s)
	case "sup", "sub":
		r.script(n, s)
	case "q":
		r.text("“")
		r.children(n, s)
		r.text("”")
	case "ol", "ul", "menu", "dir":
		r.list(n, s)
	case "table":
		r.table(n, s)
	default:
		r.element(n, s)
	}
}

// words writes a piece of text.
func (r *renderer) words(text string, s state) {
	switch {
	case s.tiny:
		r.found[Hidden] = r.found[Hidden] || isText(text)
	case s.pre:
		r.preformatted(text)
	default:
		r.text(text)
	}
}

// element writes what needs no treatment of its own.
func (r *renderer) element(n *node, s state) {
	switch n.tag {
	case "s", "strike", "del":
		r.found[StruckOut] = true
	case "pre", "listing", "xmp", "plaintext":
		s.pre = true
		if len(n.children) > 0 && n.children[0].tag == "" { // 13.1.2.5
			n.children[0].text = strings.TrimPrefix(strings.TrimPrefix(n.children[0].text, "\r"), "\n")
		}
	}
	if n.look.struck {
		r.found[StruckOut] = true
	}
	if n.look.ignore {
		return // the mark of an item of Word's, see item
	}
	signed := isSignature(n)
	if !blocks[n.tag] && !n.look.block {
		r.signed = r.signed || signed
		r.children(n, s)
		r.signed = r.signed && (!signed || len(r.line) > 0)
		return
	}
	if n.look.level > 0 && n.tag != "div" {
		r.wordItem(n, s)
		return
	}
	top, bottom := spaced[n.tag], spaced[n.tag]
	// Word and Outlook put no space around their paragraphs; style sheets, which
	// say so, are not read.
	if n.look.noTop || isWords(n) {
		top = false
	}
	if n.look.noBottom || isWords(n) {
		bottom = false
	}
	r.block(top)
	r.signed = r.signed || signed
	switch {
	case isQuotation(n):
		r.margin = r.margin || r.lines > 0 && r.last == r.prefix
		r.within("> ", func() { r.children(n, s) })
		bottom = true
	case n.tag == "dd":
		r.within("  ", func() { r.children(n, s) })
	default:
		r.children(n, s)
	}
	r.block(bottom)
	r.signed = r.signed && !signed // it was empty
}

// isQuotation reports whether an element quotes: HTML's own, but not where it
// only indents, as Gmail's does; and what Outlook and GMX draw a line beside.
func isQuotation(n *node) bool {
	switch n.tag {
	case "blockquote":
		return n.attr["type"] == "cite" || !n.look.noBorder || n.look.bar || strings.Contains(n.attr["class"], "quote")
	case "div":
		return n.look.bar
	}
	return false
}

// isWords reports whether Word wrote a paragraph, as it does for Outlook.
func isWords(n *node) bool {
	return strings.Contains(strings.ToLower(n.attr["class"]), "mso")
}

// signatures are the classes and ids of what mail programs insert as the
// writer's signature without the line "-- " before it.
var signatures = []string{"moz-signature", "gmail_signature", "ms-outlook-mobile-signature", "protonmail_signature_block",
	"tutanota_signature", "apple-mail-signature", "zimbra-signature"}

// isSignature reports whether a signature begins with the element.
func isSignature(n *node) bool {
	class, id := n.attr["class"], n.attr["id"]
	if class == "" && id == "" {
		return false
	}
	name := strings.ToLower(class + " " + id)
	if strings.Contains(name, "prefix") || strings.Contains(name, "-empty") {
		return false
	}
	return id == "Signature" || id == "x_Signature" || // Outlook on the web
		slices.ContainsFunc(signatures, func(signature string) bool { return strings.Contains(name, signature) })
}

// isHidden reports whether the element's own attributes hide it.
func isHidden(n *node) bool {
	_, hidden := n.attr["hidden"]
	return hidden || n.look.hidden
}

// isShown reports whether there is something in an element that it would show.
func isShown(n *node) bool {
	if n.tag == "" {
		return isText(n.text)
	}
	if n.tag == "img" {
		return true
	}
	for _, child := range n.children {
		if isShown(child) {
			return true
		}
	}
	return false
}

// isText reports whether something in text has a glyph.
func isText(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && unicode.IsGraphic(r) && r != '\u034f' && r != '\u2007'
	})
}

// link writes a link: its words and, unless they are the address, the address.
func (r *renderer) link(n *node, s state) {
	outer := r.copied
	var words strings.Builder
	r.copied = &words
	lines := r.lines
	r.element(&node{tag: "span", look: n.look, attr: n.attr, children: n.children}, s)
	r.copied = outer
	shown := strings.Join(strings.Fields(words.String()), " ")
	r.copy(words.String())
	target, ok := r.target(n.attr["href"])
	switch {
	case !ok || shown == "" && r.lines == lines:
	case strings.HasPrefix(target, "#") || link.Same(shown, target):
	default:
		if after, found := strings.CutPrefix(target, "mailto:"); found {
			if link.Same(shown, after) {
				return
			}
			target = after
		} else if cleaned, _ := link.Clean(shown); link.Same(cleaned, target) {
			return
		}
		if len(r.line) > 0 {
			r.write(" ")
		}
		r.space = false
		r.write("<" + target + ">")
	}
}

// schemes are those of addresses that are shown.
var schemes = []string{"https://", "http://", "ftp://", "mailto:", "tel:", "xmpp:"}

// target returns the address of a link as it is shown, and whether it is to be.
func (r *renderer) target(href string) (string, bool) {
	href = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == unicode.ReplacementChar {
			return -1
		}
		return c
	}, strings.TrimSpace(href))
	if href == "" || href[0] == '#' {
		return "", false
	}
	href = strings.NewReplacer(" ", "%20", "\u00a0", "%20", "<", "%3C", ">", "%3E").Replace(href)
	for _, scheme := range schemes {
		if len(href) <= len(scheme) || !strings.EqualFold(href[:len(scheme)], scheme) {
			continue
		}
		href = scheme + href[len(scheme):]
		if scheme == "mailto:" {
			href, _, _ = strings.Cut(href, "?")
			return href, len(href) > len(scheme)
		}
		clean, tracked := link.Clean(href)
		r.found[Tracking] = r.found[Tracking] || tracked
		return clean, true
	}
	r.found[OddLinks] = true
	return "", false
}

// image writes what stands for a picture.
func (r *renderer) image(n *node) {
	src, alt := strings.ToLower(strings.TrimSpace(n.attr["src"])), strings.Join(strings.Fields(n.attr["alt"]), " ")
	width, height := pixels(n.attr["width"]), pixels(n.attr["height"])
	if width < 0 {
		width = n.look.width
	}
	if height < 0 {
		height = n.look.height
	}
	web := strings.HasPrefix(src, "http:") || strings.HasPrefix(src, "https:") || strings.HasPrefix(src, "//")
	switch {
	case 0 <= width && width <= 3 || 0 <= height && height <= 3:
		r.found[Pixels] = r.found[Pixels] || web
		return
	case web:
		r.found[WebPictures] = true
	case strings.HasPrefix(src, "data:"):
		r.found[DataPicture] = true
	}
	switch {
	case alt != "" && len(alt) <= 32 && !strings.ContainsFunc(alt, func(c rune) bool { return c < 0x80 || unicode.IsLetter(c) }):
		r.text(alt) // an emoji
	case !web && src != "":
		r.text("[picture]")
	case alt != "" && len(alt) <= 500 && !isFileName(alt):
		r.text("[" + alt + "]")
	}
}

// isFileName reports whether a picture's alternative is the name of its file.
func isFileName(alt string) bool {
	alt = strings.ToLower(alt)
	for _, end := range []string{".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".svg", ".emz", ".wmz"} {
		if strings.HasSuffix(alt, end) {
			return true
		}
	}
	return strings.Contains(alt, "://")
}

// script writes superscript and subscript digits as such, where the text
// would else read as another number.
func (r *renderer) script(n *node, s state) {
	digits := strings.NewReplacer("0", "⁰", "1", "¹", "2", "²", "3", "³", "4", "⁴", "5", "⁵", "6", "⁶", "7", "⁷", "8", "⁸", "9", "⁹",
		"+", "⁺", "-", "⁻", "−", "⁻", "(", "⁽", ")", "⁾", "n", "ⁿ")
	if n.tag == "sub" {
		digits = strings.NewReplacer("0", "₀", "1", "₁", "2", "₂", "3", "₃", "4", "₄", "5", "₅", "6", "₆", "7", "₇", "8", "₈", "9", "₉",
			"+", "₊", "-", "₋", "−", "₋", "(", "₍", ")", "₎")
	}
	if len(n.children) == 1 && n.children[0].tag == "" && !s.tiny {
		text := strings.TrimSpace(n.children[0].text)
		if raised := digits.Replace(text); strings.Trim(text, "0123456789+-−()n") == "" {
			r.text(raised)
			return
		}
	}
	r.element(n, s)
}

// list writes an ordered or unordered list.
func (r *renderer) list(n *node, s state) {
	nested := strings.HasSuffix(r.prefix, "  ")
	r.block(!nested)
	number := 1
	if start, err := strconv.Atoi(n.attr["start"]); err == nil && -1e6 < start && start < 1e6 {
		number = start
	}
	for _, child := range n.children {
		if r.out.Len() > maxText {
			return
		}
		if child.tag != "li" || isHidden(child) {
			if itemLists[child.tag] {
				r.within("  ", func() { r.node(child, s) })
			} else {
				r.node(child, s)
			}
			continue
		}
		if value, err := strconv.Atoi(child.attr["value"]); err == nil && -1e6 < value && value < 1e6 {
			number = value
		}
		mark := "- "
		if n.tag == "ol" {
			mark = ordinal(number, n.attr["type"])
			number++
		}
		r.item(mark, func() {
			item := *child
			item.tag, item.look.level = "span", 0
			if r.node(&item, s); child.look.block {
				r.block(false)
			}
		})
	}
	r.block(!nested)
}

var itemLists = set("ul ol menu dir")

// item writes an item of a list behind its mark.
func (r *renderer) item(mark string, f func()) {
	r.block(false)
	margin := r.margin
	r.within(strings.Repeat(" ", len(mark)), func() {
		r.bullet = r.prefix[:len(r.prefix)-len(mark)] + mark
		f()
		r.block(false)
		if r.bullet != "" {
			r.margin = margin // nothing was written: what was asked for before still is
		} else {
			r.margin = false
		}
	})
}

// ordinal returns the mark of an item of an ordered list.
func ordinal(number int, kind string) string {
	if (kind == "a" || kind == "A") && 1 <= number && number <= 26 {
		return string(rune(int(kind[0])+number-1)) + ". "
	}
	return strconv.Itoa(number) + ". "
}

// wordItem writes an item of a list of Word's, which is a paragraph whose mark
// is text in an element to be ignored.
func (r *renderer) wordItem(n *node, s state) {
	mark := "- "
	if drawn := strings.TrimSpace(strings.ReplaceAll(drawnMark(n), "\u00a0", " ")); drawn != "" && len(drawn) <= 8 &&
		(drawn[len(drawn)-1] == '.' || drawn[len(drawn)-1] == ')') {
		mark = drawn + " "
	}
	indent := strings.Repeat("  ", n.look.level-1)
	r.block(false)
	r.within(indent, func() {
		r.item(mark, func() { r.children(n, s) })
	})
}

// drawnMark returns the text of the element that Word has others ignore.
func drawnMark(n *node) string {
	if n.look.ignore {
		return wholeText(n)
	}
	for _, child := range n.children {
		if blocks[child.tag] {
			break // it stands before any block, and blocks within blocks would be searched again and again
		}
		if mark := drawnMark(child); mark != "" {
			return mark
		}
	}
	return ""
}

func wholeText(n *node) string {
	if n.tag == "" {
		return n.text
	}
	var b strings.Builder
	for _, child := range n.children {
		b.WriteString(wholeText(child))
		if b.Len() > 100 {
			break // longer than any mark
		}
	}
	return b.String()
}
