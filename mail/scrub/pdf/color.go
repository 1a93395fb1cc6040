package pdf

import (
	"bytes"
	"slices"
	"strings"
)

const (
	oddColor   = "The PDF has colours in a form that cannot be cleaned. Print it to a new PDF, and attach that."
	outside    = "The PDF shows pages of another file. Print it to a new PDF, and attach that."
	maxColors  = 32 // components of a colour space
	maxFormula = 64 << 10
)

// process are the names of colorants that say nothing about who printed: those of
// the printing process (ISO 32000-1 section 8.6.6.4). All others are numbered.
var process = map[name]bool{"All": true, "None": true, "Cyan": true, "Magenta": true, "Yellow": true, "Black": true}

// colorSpace cleans a colour space (ISO 32000-1 section 8.6). A colour profile is
// left out, as it names the device: the device space of as many components
// stands for it. The names of spot colours are numbered.
func (b *builder) colorSpace(o any, s *scope, depth int) any {
	if depth > 4 {
		refuse(oddColor)
	}
	switch cs := b.f.resolve(o).(type) {
	case name:
		switch cs {
		case "DeviceGray", "DeviceRGB", "DeviceCMYK", "Pattern":
			return cs
		case "CalGray", "G":
			return name("DeviceGray")
		case "CalRGB", "RGB":
			return name("DeviceRGB")
		case "CMYK":
			return name("DeviceCMYK")
		}
		if depth == 0 && s != nil {
			if source, ok := b.f.dict(s.in["ColorSpace"])[cs]; ok {
				return b.colorSpace(source, nil, 1)
			}
		}
	case array:
		if len(cs) == 0 {
			return nil
		}
		family := b.f.name(cs[0])
		if family == "Pattern" && len(cs) > 1 {
			if under := b.colorSpace(cs[1], s, depth+1); under != nil {
				return array{family, under}
			}
			return nil
		}
		if len(cs) == 1 {
			return b.colorSpace(family, s, depth+1)
		}
		made := b.once("color", o, func() any { return b.colorArray(family, cs, s, depth) })
		b.left.takeCopy(made)
		return made
	}
	return nil
}

func (b *builder) colorArray(family name, cs array, s *scope, depth int) any {
	switch family {
	case "ICCBased":
		b.remove(noticeProfiles)
		d := b.f.dict(cs[1])
		if alternate := b.f.array(d["Alternate"]); len(alternate) > 0 && b.f.name(alternate[0]) == "Lab" {
			return b.colorSpace(alternate, s, depth+1)
		}
		switch b.f.integer(d["N"], 0) {
		case 1:
			return name("DeviceGray")
		case 3:
			return name("DeviceRGB")
		case 4:
			return name("DeviceCMYK")
		}
	case "CalGray":
		return name("DeviceGray")
	case "CalRGB":
		return name("DeviceRGB")
	case "DeviceGray", "DeviceRGB", "DeviceCMYK":
		return family
	case "Lab":
		d := dict{}
		for k, n := range map[name]int{"WhitePoint": 3, "BlackPoint": 3, "Range": 4} {
			if v := b.f.numbers(b.f.dict(cs[1])[k], n); v != nil {
				d[k] = v
			}
		}
		if d["WhitePoint"] != nil {
			return array{family, d}
		}
	case "Indexed":
		if len(cs) < 4 {
			break
		}
		base := b.colorSpace(cs[1], s, depth+1)
		n, high := b.components(base), b.f.integer(cs[2], -1)
		if base == nil || n == 0 || high < 0 || high > 255 {
			break
		}
		return array{family, base, high, text(b.lookup(cs[3], n*(high+1)))}
	case "Separation", "DeviceN":
		if len(cs) < 4 {
			break
		}
		colorants := array{cs[1]}
		if family == "DeviceN" {
			colorants = slices.Clone(b.f.array(cs[1]))
		}
		if len(colorants) == 0 || len(colorants) > maxColors {
			break
		}
		spots := 0
		for i := range colorants {
			n := b.f.name(colorants[i])
			if !process[n] {
				spots++
				n = numbered("Spot", spots)
			}
			colorants[i] = n
		}
		alternate, tint := b.colorSpace(cs[2], s, depth+1), b.function(cs[3], 0)
		if alternate == nil || tint == nil {
			break
		}
		if family == "Separation" {
			return array{family, colorants[0], alternate, tint}
		}
		return array{family, colorants, alternate, tint}
	}
	refuse(oddColor)
	return nil
}

// lookup returns the n bytes of an indexed space's table, zeros where it is shorter.
func (b *builder) lookup(o any, n int) []byte {
	table := make([]byte, n)
	switch o := b.f.resolve(o).(type) {
	case text:
		copy(table, o)
	case *stream:
		copy(table, b.f.decode(o))
	}
	return table
}

// components is the number of components of a cleaned colour space.
func (b *builder) components(cs any) int {
	if r, ok := cs.(ref); ok {
		cs = b.objects[r-1]
	}
	switch cs := cs.(type) {
	case name:
		return map[name]int{"DeviceGray": 1, "DeviceRGB": 3, "DeviceCMYK": 4}[cs]
	case array:
		switch cs[0] {
		case name("Lab"):
			return 3
		case name("DeviceN"):
			return len(cs[1].(array))
		case name("Indexed"), name("Separation"):
			return 1
		}
	}
	return 0
}

// function cleans a function (ISO 32000-1 section 7.10), or an array of functions of one output each.
func (b *builder) function(o any, depth int) any {
	if depth > 8 {
		refuse(tooMuch)
	}
	if a, ok := b.f.resolve(o).(array); ok {
		if depth > 0 {
			refuse(oddColor)
		}
		out := array{}
		for _, e := range a[:min(len(a), maxColors)] {
			out = append(out, b.function(e, depth+1))
		}
		return out
	}
	return b.once("function", o, func() any {
		in := b.f.dict(o)
		kind := b.f.integer(in["FunctionType"], -1)
		d := dict{"FunctionType": kind}
		for _, k := range []name{"Domain", "Range", "C0", "C1", "Bounds", "Encode", "Decode", "Size"} {
			if v := b.f.numbers(in[k], -1); v != nil {
				d[k] = v
			}
		}
		for _, k := range []name{"N", "BitsPerSample", "Order"} {
			if v := b.f.resolve(in[k]); isNumber(v) {
				d[k] = v
			}
		}
		s, isStream := b.f.resolve(o).(*stream)
		if d["Domain"] == nil || (kind == 0 || kind == 4) != isStream {
			refuse(oddColor)
		}
		switch kind {
		case 0:
			size, _ := d["Size"].(array)
			outputs, _ := d["Range"].(array)
			n := b.f.integer(d["BitsPerSample"], 0) * len(outputs) / 2
			for _, v := range size {
				v, _ := v.(int)
				if n *= v; n <= 0 || n > 8*maxDecoded {
					refuse(oddColor)
				}
			}
			data := b.f.decode(s)
			return b.add(b.deflated(d, data[:min(len(data), (n+7)/8)]))
		case 2:
			return b.add(d)
		case 3:
			inner := array{}
			functions := b.f.array(in["Functions"])
			take(&b.left.parsed, len(functions)) // the copy stays
			for _, e := range functions {
				inner = append(inner, b.function(e, depth+1))
			}
			d["Functions"] = inner
			return b.add(d)
		case 4:
			return b.add(b.deflated(d, b.formula(b.f.decode(s))))
		}
		refuse(oddColor)
		return nil
	})
}

// calculators are the operators of PostScript calculator functions (ISO 32000-1 table 42).
var calculators = words("abs add and atan bitshift ceiling copy cos cvi cvr div dup eq exch exp false floor ge gt idiv if ifelse index le ln log lt mod mul ne neg not or pop roll round sin sqrt sub true truncate xor")

// formula writes a PostScript calculator function anew.
func (b *builder) formula(data []byte) []byte {
	if len(data) > maxFormula {
		refuse(tooMuch)
	}
	var out bytes.Buffer
	l := lexer{data: data}
	for depth := 0; ; {
		switch o := l.object().(type) {
		case end:
			if depth != 0 {
				refuse(oddColor)
			}
			return out.Bytes()
		case closing:
			switch o {
			case '{':
				depth++
			case '}':
				depth--
			}
			if o != '{' && o != '}' || depth < 0 {
				refuse(oddColor)
			}
			out.WriteByte(byte(o))
		case keyword:
			if !calculators[o] {
				refuse(oddColor)
			}
			out.WriteString(string(o))
		case int, decimal, bool:
			write(&out, o)
		default:
			refuse(oddColor)
		}
		out.WriteByte(' ')
	}
}

// shading cleans a shading (ISO 32000-1 section 8.7.4.5).
func (b *builder) shading(o any, s *scope) any {
	return b.once("shading", o, func() any {
		in := b.f.dict(o)
		kind := b.f.integer(in["ShadingType"], 0)
		if kind < 1 || kind > 7 {
			return nil
		}
		d := dict{"ShadingType": kind, "ColorSpace": b.colorSpace(in["ColorSpace"], s, 0)}
		if d["ColorSpace"] == nil {
			refuse(oddColor)
		}
		for _, k := range []name{"Background", "BBox", "Domain", "Matrix", "Coords", "Decode"} {
			if v := b.f.numbers(in[k], -1); v != nil {
				d[k] = v
			}
		}
		for _, k := range []name{"BitsPerCoordinate", "BitsPerComponent", "BitsPerFlag", "VerticesPerRow"} {
			if v, ok := b.f.resolve(in[k]).(int); ok {
				d[k] = v
			}
		}
		if b.f.bool(in["AntiAlias"]) {
			d["AntiAlias"] = true
		}
		if a := b.f.array(in["Extend"]); len(a) == 2 {
			d["Extend"] = array{b.f.bool(a[0]), b.f.bool(a[1])}
		}
		if in["Function"] != nil {
			d["Function"] = b.function(in["Function"], 0)
		}
		if kind < 4 {
			return b.add(d)
		}
		x, ok := b.f.resolve(o).(*stream)
		if !ok {
			return nil
		}
		return b.add(b.deflated(d, b.f.decode(x)))
	})
}

func words(s string) map[keyword]bool {
	m := map[keyword]bool{}
	for _, w := range strings.Fields(s) {
		m[keyword(w)] = true
	}
	return m
}
