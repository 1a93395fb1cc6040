package pdf

import (
	"bytes"
	"math"
	"slices"
)

const (
	layers  = "The PDF has layers, and what they show depends on how it is looked at. Print it to a new PDF, and attach that."
	noLooks = "The PDF has marks, or fields that are filled in, which only some programs draw. Print it to a new PDF, and attach that."
)

const (
	flagHidden = 1 << 1 // ISO 32000-1 table 165
	flagNoView = 1 << 5
)

// dropped are the annotations that are not part of the page (ISO 32000-1 table
// 169): links, comments behind icons, files and media.
var dropped = map[name]notice{
	"Link": noticeLinks, "Popup": noticeComments, "Text": noticeComments, "FileAttachment": noticeFiles, "Sound": noticeFiles,
	"Movie": noticeFiles, "Screen": noticeFiles, "3D": noticeFiles, "RichMedia": noticeFiles, "TrapNet": noticePrivate, "PrinterMark": noticePrivate,
}

// annotations returns the operators that paint the appearance of a page's fields and
// annotations (ISO 32000-1 section 12.5.5) as part of the page.
func (b *builder) annotations(o any, form dict, s *scope) []byte {
	var out bytes.Buffer
	for _, a := range b.f.array(o) {
		take(&b.left.marks, 1)
		d := b.f.dict(a)
		subtype := b.f.name(d["Subtype"])
		if subtype == "" {
			continue
		}
		if n, ok := dropped[subtype]; ok {
			b.remove(n)
			continue
		}
		field := subtype == "Widget"
		if field {
			b.remove(noticeForms)
		} else {
			b.remove(noticeComments)
		}
		if b.f.integer(d["F"], 0)&(flagHidden|flagNoView) != 0 || d["OC"] != nil && !b.visible(d["OC"]) {
			continue
		}
		if field && b.inherited(d, "FT") == name("Sig") {
			// Its picture says who signed and when, and would say it of a document that no longer is the signed one.
			b.remove(noticeSignature)
			continue
		}
		x, there := b.appearance(d)
		if x == nil {
			if !there && (!field || b.filled(d, form)) {
				refuse(noLooks)
			}
			continue
		}
		b.paint(&out, d, x, s)
	}
	return out.Bytes()
}

// inherited returns an attribute of a field or of those above it.
func (b *builder) inherited(d dict, key name) any {
	for range maxDepth {
		if v := b.f.resolve(d[key]); v != nil || d == nil {
			return v
		}
		d = b.f.dict(d["Parent"])
	}
	return nil
}

// filled says whether a field has a value that its missing appearance would show.
func (b *builder) filled(d, form dict) bool {
	switch v := b.inherited(d, "V").(type) {
	case nil:
		return false
	case text:
		return v != "" && v != "\xfe\xff"
	case name:
		return v != "Off"
	}
	return true
}

// appearance returns the normal appearance, as the dictionary or the reference
// to it, and whether there is an appearance for any state at all.
func (b *builder) appearance(d dict) (x any, there bool) {
	o := b.f.dict(d["AP"])["N"]
	switch n := b.f.resolve(o).(type) {
	case *stream:
		return o, true
	case dict:
		state := b.f.name(d["AS"])
		if _, ok := b.f.resolve(n[state]).(*stream); ok {
			return n[state], true
		}
		return nil, true
	}
	return nil, false
}

// paint scales and moves the appearance's box into the annotation's rectangle
// (ISO 32000-1 section 12.5.5, algorithm 8.1).
func (b *builder) paint(out *bytes.Buffer, d dict, o any, s *scope) {
	x := b.f.resolve(o).(*stream)
	box, rect := b.values(x.dict["BBox"], 4), b.values(d["Rect"], 4)
	if box == nil || rect == nil {
		return
	}
	m := b.values(x.dict["Matrix"], 6)
	if m == nil {
		m = []float64{1, 0, 0, 1, 0, 0}
	}
	var xs, ys []float64
	for _, corner := range [][2]float64{{box[0], box[1]}, {box[2], box[1]}, {box[0], box[3]}, {box[2], box[3]}} {
		xs = append(xs, float64(float64(m[0]*corner[0])+float64(m[2]*corner[1]))+m[4])
		ys = append(ys, float64(float64(m[1]*corner[0])+float64(m[3]*corner[1]))+m[5])
	}
	scale := func(v []float64, low, high float64) (factor, move any) {
		from, to := slices.Min(v), slices.Max(v)
		f := 1.0
		if to > from {
			f = float64(math.Abs(high-low) / float64(to-from))
		}
		return fromFloat(f), fromFloat(min(low, high) - float64(from*f))
	}
	sx, tx := scale(xs, rect[0], rect[2])
	sy, ty := scale(ys, rect[1], rect[3])
	made := b.xObject(o, s)
	if _, isForm := b.f.resolve(o).(*stream); made == nil || !isForm {
		return
	}
	n := s.add("XObject", made)
	out.WriteString("q\n")
	if cm := (array{sx, 0, 0, sy, tx, ty}); !isIdentity(cm) {
		w := rewriter{stack: cm}
		w.emit(out, "cm")
	}
	w := rewriter{stack: []any{n}}
	w.emit(out, "Do")
	out.WriteString("Q\n")
}

func (b *builder) values(o any, n int) []float64 {
	a := b.f.numbers(o, n)
	if a == nil {
		return nil
	}
	v := make([]float64, n)
	for i := range a {
		v[i], _ = float(a[i])
	}
	return v
}

// visible says whether content that belongs to an optional content group or
// membership dictionary is shown (ISO 32000-1 section 8.11). It refuses groups whose state on the
// screen and in print differ.
func (b *builder) visible(o any) bool { return b.shown(o, 0) }

func (b *builder) shown(o any, depth int) bool {
	if depth > 8 {
		refuse(layers)
	}
	d := b.f.dict(o)
	if b.f.name(d["Type"]) != "OCMD" {
		r, ok := o.(ref)
		return !ok || d == nil || !b.off(r)
	}
	if ve := b.f.array(d["VE"]); ve != nil {
		return b.expression(ve, depth+1)
	}
	groups := b.f.array(d["OCGs"])
	if groups == nil && d["OCGs"] != nil {
		groups = array{d["OCGs"]}
	}
	b.f.spend(64 * (1 + len(groups)))
	on, off := 0, 0
	for _, g := range groups {
		if b.f.resolve(g) == nil {
			continue
		}
		if b.shown(g, depth+1) {
			on++
		} else {
			off++
		}
	}
	if on+off == 0 {
		return true
	}
	switch b.f.name(d["P"]) {
	case "AllOn":
		return off == 0
	case "AnyOff":
		return off > 0
	case "AllOff":
		return on == 0
	}
	return on > 0
}

// expression evaluates a visibility expression (ISO 32000-1 table 99).
func (b *builder) expression(ve array, depth int) bool {
	if depth > 8 || len(ve) < 2 {
		refuse(layers)
	}
	b.f.spend(64 * len(ve))
	operand := func(o any) bool {
		if inner := b.f.array(o); inner != nil {
			return b.expression(inner, depth+1)
		}
		return b.shown(o, depth+1)
	}
	switch b.f.name(ve[0]) {
	case "And":
		return !slices.ContainsFunc(ve[1:], func(o any) bool { return !operand(o) })
	case "Or":
		return slices.ContainsFunc(ve[1:], operand)
	case "Not":
		return !operand(ve[1])
	}
	refuse(layers)
	return false
}

// off says whether a group is off in the default configuration.
func (b *builder) off(r ref) bool {
	if b.layers == nil {
		b.layers = map[int]bool{}
		properties := b.f.dict(b.f.dict(b.f.trailer["Root"])["OCProperties"])
		config := b.f.dict(properties["D"])
		mark := func(list any, off bool) {
			for _, o := range b.f.array(list) {
				if r, ok := o.(ref); ok {
					b.layers[int(r)] = off
				}
			}
		}
		mark(properties["OCGs"], b.f.name(config["BaseState"]) == "OFF")
		mark(config["ON"], false)
		mark(config["OFF"], true)
		for _, o := range b.f.array(config["AS"]) {
			b.automatic(b.f.dict(o))
		}
	}
	return b.layers[int(r)]
}

// automatic refuses groups that a usage application dictionary (ISO 32000-1
// table 103) shows on some occasions only.
func (b *builder) automatic(usage dict) {
	for _, o := range b.f.array(usage["OCGs"]) {
		r, ok := o.(ref)
		if !ok {
			continue
		}
		for _, c := range b.f.array(usage["Category"]) {
			b.f.spend(64)
			category := b.f.name(c)
			state := b.f.name(b.f.dict(b.f.dict(b.f.dict(o)["Usage"])[category])[category+"State"])
			switch category {
			case "View", "Print", "Export":
				if state == "ON" && b.layers[int(r)] || state == "OFF" && !b.layers[int(r)] {
					refuse(layers)
				}
			case "Zoom", "Language", "User":
				refuse(layers)
			}
		}
	}
}
