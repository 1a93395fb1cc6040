package pdf

import (
	"bytes"
	"maps"
	"slices"
)

const (
	maxOperands = 40 // of one operator (ISO 32000-1 annex C: DeviceN has at most 32 components)
	maxNesting  = 24 // forms, patterns and glyphs within each other
	maxStates   = 256
)

// scope is what the names in one content stream stand for: the resources as they
// are in the file, and those used, under new names in the order of their first use.
type scope struct {
	in     dict
	out    map[name]dict    // by category
	names  map[[2]name]name // category and old name to new one, "" for what was dropped
	direct map[name]any     // colour spaces that need no resource
}

func (b *builder) scope(resources any, parent *scope) *scope {
	in := b.f.dict(resources)
	if in == nil && parent != nil {
		in = parent.in
	}
	return &scope{in: in, out: map[name]dict{}, names: map[[2]name]name{}, direct: map[name]any{}}
}

// resources is the dictionary of what was used (ISO 32000-1 section 7.8.3).
func (s *scope) resources() dict {
	d := dict{}
	for category, entries := range s.out {
		d[category] = entries
	}
	return d
}

// categories are the resources that operators name, with the first letter of their new names.
var categories = map[name]name{"ColorSpace": "C", "ExtGState": "G", "Font": "F", "Pattern": "P", "Shading": "S", "XObject": "X"}

// use returns the new name of a resource, "" if there is none or it is dropped.
func (b *builder) use(s *scope, category, old name) name {
	key := [2]name{category, old}
	if n, ok := s.names[key]; ok {
		return n
	}
	source, ok := b.f.dict(s.in[category])[old]
	if !ok {
		return ""
	}
	s.names[key] = s.add(category, b.resource(category, source, s))
	return s.names[key]
}

func (s *scope) add(category name, made any) name {
	if made == nil {
		return ""
	}
	if s.out[category] == nil {
		s.out[category] = dict{}
	}
	n := numbered(categories[category], len(s.out[category])+1)
	s.out[category][n] = made
	return n
}

func (b *builder) resource(category name, source any, s *scope) any {
	switch category {
	case "ColorSpace":
		return b.colorSpace(source, s, 0)
	case "ExtGState":
		return b.graphicsState(source, s)
	case "Font":
		return b.font(source, s)
	case "Pattern":
		return b.pattern(source, s)
	case "Shading":
		return b.shading(source, s)
	}
	return b.xObject(source, s)
}

// operators are the operators that are kept (ISO 32000-1 annex A), each with the
// types of its operands: n a number, s a string, a an array of strings and numbers,
// d an array of numbers, N a name, c the components of a colour. Those of marked content and compatibility are
// read and left out.
var operators = map[keyword]string{
	"b": "", "B": "", "b*": "", "B*": "", "BT": "", "c": "nnnnnn", "cm": "nnnnnn", "CS": "N", "cs": "N", "d": "dn",
	"d0": "nn", "d1": "nnnnnn", "Do": "N", "ET": "", "f": "", "F": "", "f*": "", "G": "n", "g": "n", "gs": "N", "h": "",
	"i": "n", "j": "n", "J": "n", "K": "nnnn", "k": "nnnn", "l": "nn", "m": "nn", "M": "n", "n": "", "q": "", "Q": "",
	"re": "nnnn", "RG": "nnn", "rg": "nnn", "ri": "N", "s": "", "S": "", "SC": "c", "sc": "c", "SCN": "c", "scn": "c",
	"sh": "N", "T*": "", "Tc": "n", "Td": "nn", "TD": "nn", "Tf": "Nn", "Tj": "s", "TJ": "a", "TL": "n", "Tm": "nnnnnn",
	"Tr": "n", "Ts": "n", "Tw": "n", "Tz": "n", "v": "nnnn", "w": "n", "W": "", "W*": "", "y": "nnnn", "'": "s", "\"": "nns",
	"BMC": "N", "BDC": "NN", "EMC": "", "MP": "N", "DP": "NN", "BX": "", "EX": "", "BI": "",
}

var (
	pathOperators  = set("m", "l", "c", "v", "y", "h", "re")
	paintOperators = set("b", "B", "b*", "B*", "f", "F", "f*", "s", "S", "n")
	intents        = map[name]bool{"AbsoluteColorimetric": true, "RelativeColorimetric": true, "Saturation": true, "Perceptual": true}
)

func set(words ...keyword) map[keyword]bool {
	m := map[keyword]bool{}
	for _, w := range words {
		m[w] = true
	}
	return m
}

// rewriter writes one content stream anew.
type rewriter struct {
	b     *builder
	s     *scope
	out   bytes.Buffer
	stack []any // operands

	states int // q without Q
	hidden int // marked content that is hidden, one within the other
	marked []bool
	text   bool // within BT and ET

	droppedText bool         // in this text object
	path        bytes.Buffer // while hidden
	pathOpen    bool         // a path was begun in what is shown
	clip        keyword      // W or W* while hidden
}

// content writes a content stream anew: the operators of the list with operands of
// their types, with the resources they use. Comments, marked content and unknown
// operators are left out, and what belongs to a layer that is switched off.
// What lies outside the page stays as it is.
func (b *builder) content(data []byte, s *scope) []byte {
	if b.nesting++; b.nesting > maxNesting {
		refuse(tooMuch)
	}
	defer func() { b.nesting-- }()
	b.left.spend(costContent * len(data))
	w := rewriter{b: b, s: s}
	l := lexer{data: data}
	for {
		switch o := l.object().(type) {
		case end:
			for ; w.states > 0; w.states-- {
				w.out.WriteString("Q\n")
			}
			return w.out.Bytes()
		case closing:
		case keyword:
			if o == "BI" {
				w.inlineImage(&l)
			} else {
				w.operator(o)
			}
			w.stack = w.stack[:0]
		default:
			if len(w.stack) == maxOperands {
				w.stack = slices.Delete(w.stack, 0, 1)
			}
			w.stack = append(w.stack, o)
		}
	}
}

func (w *rewriter) operator(op keyword) {
	types, ok := operators[op]
	if !ok {
		return
	}
	switch op {
	case "BMC", "BDC":
		off := op == "BDC" && w.hiddenBy()
		if len(w.marked) >= 1<<16 {
			refuse(tooMuch)
		}
		if w.marked = append(w.marked, off); off {
			w.hidden++
		}
		return
	case "EMC":
		w.endMarked()
		return
	case "MP", "DP", "BX", "EX":
		return
	}
	if types != "c" {
		if len(w.stack) < len(types) {
			return
		}
		w.stack = w.stack[len(w.stack)-len(types):]
		for i, t := range types {
			if w.stack[i] = operand(w.stack[i], t); w.stack[i] == nil {
				return
			}
		}
	}
	switch op {
	case "q":
		if w.states++; w.states > maxStates {
			refuse(tooMuch)
		}
	case "Q":
		if w.states == 0 {
			return
		}
		w.states--
	case "BT":
		w.text, w.droppedText = true, false
	case "ET":
		w.text = false
	case "CS", "cs":
		space := w.b.useColorSpace(w.s, w.stack[0].(name))
		if space == "" {
			return
		}
		w.stack[0] = space
	case "SC", "sc", "SCN", "scn":
		if !w.color() {
			return
		}
	case "gs", "Tf", "Do", "sh":
		if w.hidden > 0 && (op == "Do" || op == "sh") {
			return
		}
		category := map[keyword]name{"gs": "ExtGState", "Tf": "Font", "Do": "XObject", "sh": "Shading"}[op]
		n := w.b.use(w.s, category, w.stack[0].(name))
		if n == "" {
			return
		}
		w.stack[0] = n
	case "ri":
		if !intents[w.stack[0].(name)] {
			return
		}
	}
	if w.hidden > 0 && w.hide(op) {
		return
	}
	if pathOperators[op] {
		w.pathOpen = true
	} else if paintOperators[op] {
		w.pathOpen = false
	}
	w.emit(&w.out, op)
}

func (w *rewriter) emit(out *bytes.Buffer, op keyword) {
	for _, o := range w.stack {
		write(out, o)
		out.WriteByte(' ')
	}
	out.WriteString(string(op))
	out.WriteByte('\n')
}

// operand returns an operand of a type, nil if it is not of it.
func operand(o any, kind rune) any {
	switch v := o.(type) {
	case int, decimal:
		if kind == 'n' {
			return o
		}
	case text:
		if kind == 's' {
			return o
		}
	case name:
		if kind == 'N' {
			return o
		}
	case dict:
		if kind == 'N' {
			return name("") // an inline property list, which is never read
		}
	case array:
		if kind != 'a' && kind != 'd' {
			return nil
		}
		kept := v[:0:0]
		for _, e := range v {
			switch e.(type) {
			case int, decimal:
				kept = append(kept, e)
			case text:
				if kind == 'a' {
					kept = append(kept, e)
				}
			}
		}
		return kept
	}
	return nil
}

// color takes the components of a colour and the name of a pattern.
func (w *rewriter) color() bool {
	kept := w.stack[:0:0]
	for i, o := range w.stack {
		switch o := o.(type) {
		case int, decimal:
			kept = append(kept, o)
		case name:
			n := w.b.use(w.s, "Pattern", o)
			if n == "" || i != len(w.stack)-1 {
				return false
			}
			kept = append(kept, n)
		}
	}
	w.stack = kept
	return len(kept) > 0
}

// hiddenBy says whether the marked content that begins belongs to a layer that is off.
func (w *rewriter) hiddenBy() bool {
	if len(w.stack) < 2 || w.stack[len(w.stack)-2] != name("OC") {
		return false
	}
	property, ok := w.stack[len(w.stack)-1].(name)
	return ok && !w.b.visible(w.b.f.dict(w.s.in["Properties"])[property])
}

func (w *rewriter) endMarked() {
	if len(w.marked) == 0 {
		return
	}
	if w.marked[len(w.marked)-1] {
		if w.hidden--; w.hidden == 0 && w.text && w.droppedText {
			refuse(layers) // where the text goes on depends on what is left out
		}
	}
	w.marked = w.marked[:len(w.marked)-1]
}

// hide leaves out what paints, and keeps what changes the state that later
// operators depend on. It reports whether op is dealt with.
func (w *rewriter) hide(op keyword) bool {
	w.b.remove(noticeLayers)
	switch {
	case pathOperators[op]:
		w.emit(&w.path, op)
	case op == "W" || op == "W*":
		w.clip = op
	case paintOperators[op]:
		if w.clip != "" {
			w.out.Write(w.path.Bytes())
			w.stack = w.stack[:0]
			w.emit(&w.out, w.clip)
		}
		if w.clip != "" || w.pathOpen {
			w.emit(&w.out, "n")
		}
		w.path.Reset()
		w.clip, w.pathOpen = "", false
	case op == "Tj" || op == "TJ" || op == "'" || op == "\"":
		w.droppedText = true
		if op == "\"" {
			both := w.stack
			w.stack = both[:1]
			w.emit(&w.out, "Tw")
			w.stack = both[1:2]
			w.emit(&w.out, "Tc")
		}
		if op == "'" || op == "\"" {
			w.stack = w.stack[:0]
			w.emit(&w.out, "T*")
		}
	default:
		return false
	}
	return true
}

// inlineImage makes the image between BI and EI a resource like any other (ISO
// 32000-1 section 8.9.7).
func (w *rewriter) inlineImage(l *lexer) {
	d := dict{}
	for {
		o := l.object()
		if o == keyword("ID") {
			break
		}
		key, ok := o.(name)
		if _, over := o.(end); over || !ok {
			refuse(damaged)
		}
		switch value := l.object().(type) {
		case end, closing, keyword:
			refuse(damaged)
		default:
			if long, ok := shortKeys[key]; ok {
				key = long
			}
			d[key] = value
		}
	}
	if l.pos++; l.pos > len(l.data) {
		refuse(damaged)
	}
	n := w.b.inlineLength(l.data[l.pos:], d)
	s := &stream{dict: d, raw: l.data[l.pos : l.pos+n]}
	l.pos += n
	if l.object() != keyword("EI") {
		refuse(damaged)
	}
	if w.hidden > 0 {
		w.b.remove(noticeLayers)
		return
	}
	if space, ok := d["ColorSpace"].(name); ok {
		if long, ok := shortSpaces[space]; ok {
			d["ColorSpace"] = long
		} else if source, ok := w.b.f.dict(w.s.in["ColorSpace"])[space]; ok {
			d["ColorSpace"] = source
		}
	} else if a, ok := d["ColorSpace"].(array); ok {
		a = slices.Clone(a)
		for i := range a {
			if n, ok := a[i].(name); ok && shortSpaces[n] != "" {
				a[i] = shortSpaces[n]
			}
		}
		d["ColorSpace"] = a
	}
	if made := w.b.picture(s); made != nil {
		w.stack = append(w.stack[:0], w.s.add("XObject", made))
		w.emit(&w.out, "Do")
	}
}

// shortKeys and shortSpaces are the abbreviations of ISO 32000-1 tables 93 and 94.
var (
	shortKeys = map[name]name{"BPC": "BitsPerComponent", "CS": "ColorSpace", "D": "Decode", "DP": "DecodeParms",
		"F": "Filter", "H": "Height", "IM": "ImageMask", "I": "Interpolate", "W": "Width"}
	shortSpaces = map[name]name{"G": "DeviceGray", "RGB": "DeviceRGB", "CMYK": "DeviceCMYK", "I": "Indexed"}
)

// inlineLength finds the end of an inline image's data. Without a filter it is
// computed; with one, it is before the first EI between spaces that something
// like an operator follows, as readers take it.
func (b *builder) inlineLength(data []byte, d dict) int {
	if names, _ := b.f.filters(d); len(names) == 0 {
		width, height := b.f.integer(d["Width"], 0), b.f.integer(d["Height"], 0)
		bits, components := b.f.integer(d["BitsPerComponent"], 8), 1
		switch d["ColorSpace"] {
		case name("RGB"), name("DeviceRGB"):
			components = 3
		case name("CMYK"), name("DeviceCMYK"):
			components = 4
		}
		if b.f.bool(d["ImageMask"]) {
			bits, components = 1, 1
		}
		if width > 0 && width <= maxSide && height > 0 && height <= maxSide && bits > 0 && bits <= 16 {
			if n := (width*bits*components + 7) / 8 * height; n < len(data) {
				if l := (lexer{data: data, pos: n}); l.object() == keyword("EI") {
					return n
				}
			}
		}
	}
	for at := 0; ; {
		i := bytes.Index(data[at:], []byte("EI"))
		if i < 0 {
			refuse(damaged)
		}
		at += i + 2
		b.f.spend(i + 64)
		if i := at - 2; i > 0 && class[data[i-1]] == space && (at == len(data) || class[data[at]] == space) && plausible(data[at:min(len(data), at+32)]) {
			return i
		}
	}
}

// plausible says whether bytes look like the text of a content stream.
func plausible(data []byte) bool {
	return !bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' && r != '\t' && r != '\r' && r != '\n' || r > '~' })
}

// useColorSpace is use for a colour space, of which the plain ones need no resource.
func (b *builder) useColorSpace(s *scope, old name) name {
	if n, ok := s.direct[old].(name); ok {
		return n
	}
	source, ok := b.f.dict(s.in["ColorSpace"])[old]
	if !ok {
		n, _ := b.colorSpace(old, nil, 0).(name) // one of the device's
		return n
	}
	key := [2]name{"ColorSpace", old}
	if n, ok := s.names[key]; ok {
		return n
	}
	made := b.colorSpace(source, s, 0)
	if n, ok := made.(name); ok {
		s.direct[old] = n
		return n
	}
	s.names[key] = s.add("ColorSpace", made)
	return s.names[key]
}

// xObject cleans a form or a picture. A PostScript XObject is a program, and no
// reader shows it: it is dropped.
func (b *builder) xObject(o any, s *scope) any {
	x, ok := b.f.resolve(o).(*stream)
	if !ok {
		return nil
	}
	if oc, ok := x.dict["OC"]; ok && !b.visible(oc) {
		b.remove(noticeLayers)
		return nil
	}
	switch b.f.name(x.dict["Subtype"]) {
	case "Image":
		return b.once("image", o, func() any { return b.picture(x) })
	case "Form":
		return b.ownForm(o, x, s)
	}
	b.remove(noticeScripts)
	return nil
}

// ownForm cleans a form once, unless it uses the names of where it is shown.
func (b *builder) ownForm(o any, x *stream, s *scope) any {
	if x.dict["Ref"] != nil {
		refuse(outside)
	}
	if x.dict["Resources"] == nil && s.in != nil {
		return b.form(x, s)
	}
	return b.once("form", o, func() any { return b.form(x, nil) })
}

// form cleans a form XObject (ISO 32000-1 section 8.10).
func (b *builder) form(x *stream, parent *scope) any {
	d := dict{"Type": name("XObject"), "Subtype": name("Form"), "BBox": b.f.numbers(x.dict["BBox"], 4)}
	if d["BBox"].(array) == nil {
		return nil // a form without a box shows nothing
	}
	if m := b.f.numbers(x.dict["Matrix"], 6); m != nil && !isIdentity(m) {
		d["Matrix"] = m
	}
	s := b.scope(x.dict["Resources"], parent)
	if group := b.group(x.dict["Group"], s); group != nil {
		d["Group"] = group
	}
	data := b.content(b.f.decode(x), s)
	d["Resources"] = s.resources()
	return b.add(b.deflated(d, data))
}

func isIdentity(m array) bool { return slices.Equal(m, array{1, 0, 0, 1, 0, 0}) }

// group cleans a transparency group (ISO 32000-1 section 11.6.6).
func (b *builder) group(o any, s *scope) dict {
	in := b.f.dict(o)
	if b.f.name(in["S"]) != "Transparency" {
		return nil
	}
	d := dict{"Type": name("Group"), "S": name("Transparency")}
	if cs := in["CS"]; cs != nil {
		if made := b.colorSpace(cs, s, 0); made != nil {
			d["CS"] = made
		}
	}
	for _, k := range []name{"I", "K"} {
		if b.f.bool(in[k]) {
			d[k] = true
		}
	}
	return d
}

// pattern cleans a tiling or shading pattern (ISO 32000-1 section 8.7).
func (b *builder) pattern(o any, s *scope) any {
	return b.once("pattern", o, func() any {
		in := b.f.dict(o)
		d := dict{"Type": name("Pattern")}
		if m := b.f.numbers(in["Matrix"], 6); m != nil && !isIdentity(m) {
			d["Matrix"] = m
		}
		if b.f.integer(in["PatternType"], 0) == 2 {
			d["PatternType"] = 2
			if d["Shading"] = b.shading(in["Shading"], s); d["Shading"] == nil {
				return nil
			}
			if in["ExtGState"] != nil {
				d["ExtGState"] = b.graphicsState(in["ExtGState"], s)
			}
			return b.add(d)
		}
		x, ok := b.f.resolve(o).(*stream)
		if !ok || b.f.integer(in["PatternType"], 0) != 1 {
			return nil
		}
		d["PatternType"] = 1
		for _, k := range []name{"PaintType", "TilingType"} {
			d[k] = min(max(b.f.integer(in[k], 1), 1), 3)
		}
		box := b.f.numbers(in["BBox"], 4)
		if box == nil || !isNumber(b.f.resolve(in["XStep"])) || !isNumber(b.f.resolve(in["YStep"])) {
			return nil
		}
		d["BBox"], d["XStep"], d["YStep"] = box, b.f.resolve(in["XStep"]), b.f.resolve(in["YStep"])
		inner := b.scope(in["Resources"], nil)
		data := b.content(b.f.decode(x), inner)
		d["Resources"] = inner.resources()
		return b.add(b.deflated(d, data))
	})
}

func isNumber(o any) bool { _, ok := float(o); return ok }

// blendModes are those of ISO 32000-1 section 11.3.5.
var blendModes = set("Normal", "Compatible", "Multiply", "Screen", "Overlay", "Darken", "Lighten", "ColorDodge", "ColorBurn",
	"HardLight", "SoftLight", "Difference", "Exclusion", "Hue", "Saturation", "Color", "Luminosity")

// graphicsState cleans a graphics state parameter dictionary (ISO 32000-1 table
// 58). What is about one printer is left out: halftones, transfer functions,
// black generation.
func (b *builder) graphicsState(o any, s *scope) any {
	return b.once("state", o, func() any {
		in := b.f.dict(o)
		if in == nil {
			return nil
		}
		d := dict{"Type": name("ExtGState")}
		for _, k := range []name{"LW", "LC", "LJ", "ML", "FL", "SM", "CA", "ca", "OPM"} {
			if v := b.f.resolve(in[k]); isNumber(v) {
				d[k] = v
			}
		}
		for _, k := range []name{"OP", "op", "SA", "AIS", "TK"} {
			if v, ok := b.f.resolve(in[k]).(bool); ok {
				d[k] = v
			}
		}
		if a := b.f.array(in["D"]); len(a) == 2 {
			if dash := b.f.numbers(a[0], -1); dash != nil && isNumber(b.f.resolve(a[1])) {
				d["D"] = array{dash, b.f.resolve(a[1])}
			}
		}
		if ri := b.f.name(in["RI"]); intents[ri] {
			d["RI"] = ri
		}
		if a := b.f.array(in["Font"]); len(a) == 2 && isNumber(b.f.resolve(a[1])) {
			if font := b.font(a[0], s); font != nil {
				d["Font"] = array{font, b.f.resolve(a[1])}
			}
		}
		modes := b.f.array(in["BM"])
		if modes == nil {
			modes = array{in["BM"]}
		}
		for _, o := range modes {
			if mode := b.f.name(o); blendModes[keyword(mode)] {
				d["BM"] = mode
				break
			}
		}
		switch mask := b.f.resolve(in["SMask"]).(type) {
		case name:
			d["SMask"] = name("None")
		case dict:
			d["SMask"] = b.softMask(mask, s)
		}
		return b.add(d)
	})
}

// softMask cleans a soft-mask dictionary (ISO 32000-1 table 144).
func (b *builder) softMask(in dict, s *scope) any {
	x, ok := b.f.resolve(in["G"]).(*stream)
	if !ok {
		return name("None")
	}
	form := b.ownForm(in["G"], x, s)
	if form == nil {
		return name("None")
	}
	d := dict{"S": name("Luminosity"), "G": form}
	if b.f.name(in["S"]) == "Alpha" {
		d["S"] = name("Alpha")
	}
	if bc := b.f.numbers(in["BC"], -1); bc != nil {
		d["BC"] = bc
	}
	if in["TR"] != nil && b.f.name(in["TR"]) != "Identity" {
		d["TR"] = b.function(in["TR"], 0)
	}
	return d
}

// sorted returns the keys of a set in order.
func sorted[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
