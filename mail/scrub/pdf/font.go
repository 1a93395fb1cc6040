package pdf

import (
	"bytes"
	_ "embed"
	"regexp"
	"strings"
)

const (
	badFont     = "The PDF has a font in a form that cannot be cleaned. Print it to a new PDF, and attach that."
	notEmbedded = "The PDF uses a font that it does not carry. Export it again with all fonts embedded, and attach that."
)

const maxFontData = 8 << 20 // bytes of one font program: a larger one does not fit into a mail

// font rebuilds a font (ISO 32000-1 section 9). All embedded fonts are named
// F1, F2 and so on. A simple font that is not embedded becomes the nearest of the
// standard 14, as readers show it anyway where they do not have it.
func (b *builder) font(o any, s *scope) any {
	return b.once("font", o, func() any {
		in := b.f.dict(o)
		switch subtype := b.f.name(in["Subtype"]); subtype {
		case "Type0":
			return b.compositeFont(in)
		case "Type3":
			return b.drawnFont(in, s)
		case "Type1", "TrueType", "MMType1":
			return b.simpleFont(in, subtype)
		case "":
			return nil
		}
		refuse(badFont)
		return nil
	})
}

// program is an embedded font program, cleaned.
type program struct {
	name   name
	key    name // of the font descriptor
	stream ref
	glyphs map[string]string // new names of glyphs whose names are not common ones
	left   *Budget
}

// sources are the keys under which a descriptor has the program (ISO 32000-1 table 126).
var sources = []name{"FontFile", "FontFile2", "FontFile3"}

// program cleans the font program of a descriptor; nil if there is none.
func (b *builder) program(descriptor dict) *program {
	for _, key := range sources {
		s, ok := b.f.resolve(descriptor[key]).(*stream)
		if !ok {
			continue
		}
		p, _ := b.once("program", descriptor[key], func() any { return b.makeProgram(s) }).(*program)
		return p
	}
	return nil
}

func (b *builder) makeProgram(s *stream) *program {
	b.fonts++
	b.remove(noticeFonts)
	p := &program{name: numbered("F", b.fonts), glyphs: map[string]string{}, left: b.left}
	data := b.f.decode(s)
	if len(data) > maxFontData {
		refuse(tooMuch)
	}
	d := dict{}
	switch {
	case bytes.HasPrefix(data, []byte("%!")) || bytes.HasPrefix(data, []byte{0x80, 1}):
		p.key = "FontFile"
		clear, sealed := p.type1(b, data)
		d["Length1"], d["Length2"], d["Length3"] = len(clear), len(sealed), 0
		data = append(clear, sealed...)
	case bytes.HasPrefix(data, []byte{0, 1, 0, 0}) || bytes.HasPrefix(data, []byte("true")):
		p.key = "FontFile2"
		data = p.sfnt(b, data)
		d["Length1"] = len(data)
	case bytes.HasPrefix(data, []byte("OTTO")):
		// A PDF needs nothing else of an OpenType font with such outlines.
		data = sfntTables(data)["CFF "]
		fallthrough
	case len(data) > 4 && data[0] == 1:
		p.key, d["Subtype"] = "FontFile3", name("Type1C")
		data = p.cff(b, data)
	default:
		refuse(badFont)
	}
	p.stream = b.add(b.deflated(d, data))
	return p
}

// descriptor writes a font descriptor anew (ISO 32000-1 table 122).
func (b *builder) descriptor(in dict, p *program) any {
	d := dict{"Type": name("FontDescriptor"), "FontName": p.name, "Flags": b.f.integer(in["Flags"], 4) & 0x7006f, p.key: p.stream}
	for _, k := range []name{"ItalicAngle", "Ascent", "Descent", "Leading", "CapHeight", "XHeight", "StemV", "StemH", "AvgWidth", "MaxWidth", "MissingWidth"} {
		if v := b.f.resolve(in[k]); isNumber(v) {
			d[k] = v
		}
	}
	if box := b.f.numbers(in["FontBBox"], 4); box != nil {
		d["FontBBox"] = box
	}
	return b.add(d)
}

func (b *builder) simpleFont(in dict, subtype name) any {
	d := dict{"Type": name("Font"), "Subtype": subtype}
	b.widths(d, in)
	descriptor := b.f.dict(in["FontDescriptor"])
	p := b.program(descriptor)
	if p != nil {
		if p.key == "FontFile2" {
			d["Subtype"] = name("TrueType")
		}
		d["BaseFont"], d["FontDescriptor"] = p.name, b.descriptor(descriptor, p)
	} else {
		base := b.f.name(in["BaseFont"])
		standard, known := standardFont(string(base), b.f.integer(descriptor["Flags"], 0))
		if !known && b.f.integer(descriptor["Flags"], 0)&4 != 0 && in["Encoding"] == nil {
			refuse(notEmbedded) // its own signs, which no other font has
		}
		if standard != base {
			b.remove(noticeFonts)
		}
		d["Subtype"], d["BaseFont"] = name("Type1"), standard
		if subtype == "TrueType" && in["Encoding"] == nil {
			d["Encoding"] = name("WinAnsiEncoding")
		}
	}
	if encoding := b.encoding(in["Encoding"], p); encoding != nil {
		d["Encoding"] = encoding
	}
	b.toUnicode(d, in)
	return b.add(d)
}

func (b *builder) widths(d, in dict) {
	low, high := b.f.integer(in["FirstChar"], -1), b.f.integer(in["LastChar"], -1)
	widths := b.f.numbers(in["Widths"], -1)
	if low < 0 || low > 255 || high < low || high > 255 || widths == nil {
		return
	}
	widths = widths[:min(len(widths), high-low+1)]
	d["FirstChar"], d["LastChar"], d["Widths"] = low, low+len(widths)-1, widths
	if len(widths) == 0 {
		delete(d, "FirstChar")
		delete(d, "LastChar")
		delete(d, "Widths")
	}
}

// families are words in the names of fonts that look like one of the standard 14
// (ISO 32000-1 section 9.6.2.2), as readers know them.
var families = []struct{ word, family string }{
	{"zapfdingbats", "ZapfDingbats"}, {"symbol", "Symbol"}, {"courier", "Courier"}, {"helvetica", "Helvetica"},
	{"arial", "Helvetica"}, {"times", "Times"},
}

// standardFont returns the standard font that a name means, or the one that the
// flags of a descriptor (ISO 32000-1 table 123) are nearest to.
func standardFont(base string, flags int) (_ name, known bool) {
	if len(base) > 7 && base[6] == '+' {
		base = base[7:]
	}
	lower := strings.ToLower(strings.ReplaceAll(base, " ", ""))
	bold := strings.Contains(lower, "bold") || strings.Contains(lower, "black") || flags&(1<<18) != 0
	italic := strings.Contains(lower, "italic") || strings.Contains(lower, "oblique") || flags&(1<<6) != 0
	family := "Helvetica"
	switch {
	case flags&1 != 0:
		family = "Courier"
	case flags&2 != 0:
		family = "Times"
	}
	for _, f := range families {
		if strings.HasPrefix(lower, f.word) {
			family, known = f.family, true
			break
		}
	}
	style := ""
	switch family {
	case "Symbol", "ZapfDingbats":
		return name(family), known
	case "Times":
		style = map[[2]bool]string{{true, true}: "-BoldItalic", {true, false}: "-Bold", {false, true}: "-Italic", {}: "-Roman"}[[2]bool{bold, italic}]
	default:
		style = map[[2]bool]string{{true, true}: "-BoldOblique", {true, false}: "-Bold", {false, true}: "-Oblique", {}: ""}[[2]bool{bold, italic}]
	}
	return name(family + style), known
}

var encodings = map[name]bool{"WinAnsiEncoding": true, "MacRomanEncoding": true, "MacExpertEncoding": true, "StandardEncoding": true}

// encoding writes an encoding anew (ISO 32000-1 section 9.6.6).
func (b *builder) encoding(o any, p *program) any {
	switch e := b.f.resolve(o).(type) {
	case name:
		if encodings[e] {
			return e
		}
	case dict:
		d := dict{"Type": name("Encoding")}
		if base := b.f.name(e["BaseEncoding"]); encodings[base] {
			d["BaseEncoding"] = base
		}
		if p == nil {
			p = &program{left: b.left}
		}
		var differences array
		code := 0
		in := b.f.array(e["Differences"])
		take(&b.left.parsed, len(in)) // the copy stays
		for _, o := range in {
			switch v := b.f.resolve(o).(type) {
			case int:
				if code = v; code >= 0 && code <= 255 {
					differences = append(differences, code)
				}
			case name:
				if code >= 0 && code <= 255 {
					differences = append(differences, name(p.glyph(string(v))))
				}
				code++
			}
		}
		if differences != nil {
			d["Differences"] = differences
		}
		return d
	}
	return nil
}

//go:embed glyphs.txt
var glyphList string

// common are the names of glyphs that any font may have: those of the Adobe
// Glyph List, of the standard encodings, and of TeX's fonts.
var common = func() map[string]bool {
	m := map[string]bool{}
	for n := range strings.SplitSeq(strings.TrimSuffix(glyphList, "\n"), "\n") {
		m[n] = true
	}
	return m
}()

var (
	numberedGlyph = regexp.MustCompile(`^(?:[A-Za-z]{1,2}[0-9A-F]{1,4}|(?:cid|gid|glyph|index|uni|char)[0-9A-Fa-f]{1,6}|uni(?:[0-9A-F]{4}){1,4}|[0-9]{1,4})$`)
	variant       = regexp.MustCompile(`^(?:alt|sc|smcp|c2sc|oldstyle|osf|onum|lf|lnum|tf|tnum|pnum|tosf|tlf|fitted|case|sup|sups|superior|sub|subs|inferior|sinf|numr|dnom|liga|dlig|init|medi|fina|isol|swash|swsh|small|cap|zero|ss[0-9]{2}|cv[0-9]{2}|[0-9]{1,3})$`)
)

const maxGlyphName = 64 // bytes of a common name

// isCommon says whether a glyph's name is a common one: in the list, a number with a
// letter or word before it, several of these joined by "_", or a variant of one.
func isCommon(glyph string) bool {
	if common[glyph] {
		return true
	}
	if len(glyph) > maxGlyphName {
		return false
	}
	base, suffix, found := strings.Cut(glyph, ".")
	if found {
		for part := range strings.SplitSeq(suffix, ".") {
			if !variant.MatchString(part) {
				return false
			}
		}
	}
	for part := range strings.SplitSeq(base, "_") {
		if !common[part] && !numberedGlyph.MatchString(part) {
			return false
		}
	}
	return true
}

// rename numbers the glyphs of a program whose names are not common, in their order.
func (p *program) rename(glyphs []string) {
	taken := map[string]bool{}
	for _, g := range glyphs {
		taken[g] = true
	}
	n := 0
	for _, g := range glyphs {
		if p.glyphs[g] != "" || p.isCommon(g) {
			continue
		}
		for n++; taken[string(numbered("g", n))]; n++ {
		}
		p.glyphs[g] = string(numbered("g", n))
	}
}

// glyph returns a glyph's new name.
func (p *program) glyph(old string) string {
	if p.isCommon(old) {
		return old
	}
	if p.glyphs[old] != "" {
		return p.glyphs[old]
	}
	return ".notdef"
}

// isCommon is the function isCommon, whose time is taken.
func (p *program) isCommon(glyph string) bool {
	if !common[glyph] {
		p.left.spend(costName * min(len(glyph), maxGlyphName))
	}
	return isCommon(glyph)
}

// drawnFont rebuilds a Type 3 font, whose glyphs are content streams (ISO 32000-1
// section 9.6.5).
func (b *builder) drawnFont(in dict, parent *scope) any {
	d := dict{"Type": name("Font"), "Subtype": name("Type3")}
	b.widths(d, in)
	box, m := b.f.numbers(in["FontBBox"], 4), b.f.numbers(in["FontMatrix"], 6)
	if box == nil || m == nil {
		return nil
	}
	d["FontBBox"], d["FontMatrix"] = box, m
	procs := b.f.dict(in["CharProcs"])
	p := &program{glyphs: map[string]string{}, left: b.left}
	var order []string
	known := map[string]bool{}
	differences := b.f.array(b.f.dict(in["Encoding"])["Differences"])
	for _, o := range differences { // only glyphs that have a code can be shown
		if g, ok := b.f.resolve(o).(name); ok && procs[g] != nil && !known[string(g)] {
			known[string(g)] = true
			order = append(order, string(g))
		}
	}
	b.left.takeGlyphs(len(order))
	p.rename(order)
	s := b.scope(in["Resources"], parent)
	made := dict{}
	for _, g := range order {
		if x, ok := b.f.resolve(procs[name(g)]).(*stream); ok {
			made[name(p.glyph(g))] = b.add(b.deflated(dict{}, b.content(b.f.decode(x), s)))
		}
	}
	d["CharProcs"], d["Resources"] = made, s.resources()
	if encoding := b.encoding(in["Encoding"], p); encoding != nil {
		d["Encoding"] = encoding
	}
	b.toUnicode(d, in)
	return b.add(d)
}

// compositeFont rebuilds a Type 0 font (ISO 32000-1 section 9.7).
func (b *builder) compositeFont(in dict) any {
	descendants := b.f.array(in["DescendantFonts"])
	if len(descendants) != 1 {
		refuse(badFont)
	}
	inner := b.f.dict(descendants[0])
	descriptor := b.f.dict(inner["FontDescriptor"])
	d := dict{"Type": name("Font"), "Subtype": name("Type0")}
	identity := true
	switch e := b.f.resolve(in["Encoding"]).(type) {
	case name:
		if !predefined[e] {
			refuse(badFont)
		}
		d["Encoding"], identity = e, strings.HasPrefix(string(e), "Identity")
	case *stream:
		d["Encoding"], identity = b.once("cmap", in["Encoding"], func() any { return b.cmap(e) }), false
	default:
		refuse(badFont)
	}
	font := dict{"Type": name("Font"), "Subtype": b.f.name(inner["Subtype"])}
	if font["Subtype"] != name("CIDFontType0") && font["Subtype"] != name("CIDFontType2") {
		refuse(badFont)
	}
	info := b.systemInfo(inner["CIDSystemInfo"])
	font["CIDSystemInfo"] = info
	if p := b.program(descriptor); p != nil {
		font["BaseFont"], font["FontDescriptor"] = p.name, b.descriptor(descriptor, p)
		if p.key == "FontFile3" {
			b.objects[p.stream-1].(*outStream).dict["Subtype"] = name("CIDFontType0C")
		}
		if font["Subtype"] == name("CIDFontType2") {
			switch m := b.f.resolve(inner["CIDToGIDMap"]).(type) {
			case *stream:
				font["CIDToGIDMap"] = b.once("gids", inner["CIDToGIDMap"], func() any {
					data := b.f.decode(m)
					return b.add(b.deflated(dict{}, data[:min(len(data), 1<<17)]))
				})
			default:
				font["CIDToGIDMap"] = name("Identity")
			}
		}
	} else {
		if identity || info["Ordering"] == text("Identity") {
			refuse(notEmbedded)
		}
		b.fonts++
		b.remove(noticeFonts)
		p := program{name: numbered("F", b.fonts)}
		font["BaseFont"] = p.name
		fd := b.descriptor(descriptor, &p).(ref)
		delete(b.objects[fd-1].(dict), "")
		font["FontDescriptor"] = fd
	}
	d["BaseFont"] = font["BaseFont"]
	for _, k := range []name{"W", "W2"} {
		if widths := b.cidWidths(inner[k]); widths != nil {
			font[k] = widths
		}
	}
	if dw := b.f.resolve(inner["DW"]); isNumber(dw) {
		font["DW"] = dw
	}
	if dw := b.f.numbers(inner["DW2"], 2); dw != nil {
		font["DW2"] = dw
	}
	d["DescendantFonts"] = array{b.add(font)}
	b.toUnicode(d, in)
	return b.add(d)
}

// cidWidths keeps the numbers of a W or W2 array and of the arrays in it.
func (b *builder) cidWidths(o any) array {
	var out array
	in := b.f.array(o)
	take(&b.left.parsed, len(in)) // the copy stays
	for _, e := range in {
		switch e := b.f.resolve(e).(type) {
		case int, decimal:
			out = append(out, e)
		case array:
			out = append(out, b.f.numbers(e, -1))
		}
	}
	return out
}

// orderings are the character collections (ISO 32000-1 section 9.7.3) that all readers know.
var orderings = map[text]bool{"GB1": true, "CNS1": true, "Japan1": true, "Korea1": true, "KR": true}

func (b *builder) systemInfo(o any) dict {
	in := b.f.dict(o)
	registry, _ := b.f.resolve(in["Registry"]).(text)
	ordering, _ := b.f.resolve(in["Ordering"]).(text)
	if registry != "Adobe" || !orderings[ordering] {
		return dict{"Registry": text("Adobe"), "Ordering": text("Identity"), "Supplement": 0}
	}
	return dict{"Registry": registry, "Ordering": ordering, "Supplement": min(max(b.f.integer(in["Supplement"], 0), 0), 9)}
}
