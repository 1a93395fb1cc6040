package pdf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// Keys of Type 1 encryption (Adobe Type 1 Font Format, chapter 7).
const (
	eexecKey      = 55665
	charStringKey = 4330
)

// type1Hints are the entries of the Private dictionary that are kept (Adobe Type 1 Font
// Format, chapter 5): numbers and arrays of numbers.
var type1Hints = []string{"BlueValues", "OtherBlues", "FamilyBlues", "FamilyOtherBlues", "BlueScale", "BlueShift", "BlueFuzz",
	"StdHW", "StdVW", "StemSnapH", "StemSnapV", "ForceBold", "LanguageGroup", "ExpansionFactor", "RndStemUp"}

// type1 rebuilds a Type 1 font from what draws its glyphs, and returns its clear
// and its encrypted part. The program OtherSubrs, which carries a copyright notice in most fonts, is replaced by the
// shortest that suits readers of PDF: they have their own flex.
func (p *program) type1(b *builder, data []byte) (clear, sealed []byte) {
	data = withoutSegments(data)
	at := bytes.Index(data, []byte("eexec"))
	if at < 0 {
		refuse(badFont)
	}
	head := data[:at]
	private := openEexec(data[at+len("eexec"):])
	b.left.spend(costContent * len(data))
	f := type1Font{b: b, entries: map[string]string{}, charStrings: map[string][]byte{}, subrs: map[int][]byte{}}
	f.readHead(head)
	f.readPrivate(private)
	if len(f.order) == 0 || f.matrix == "" {
		refuse(badFont)
	}
	p.rename(f.order)
	return f.write(p)
}

// withoutSegments removes the marks of the PFB form.
func withoutSegments(data []byte) []byte {
	var out []byte
	for len(data) >= 6 && data[0] == 0x80 && (data[1] == 1 || data[1] == 2) {
		n := int(binary.LittleEndian.Uint32(data[2:]))
		part := data[6:min(len(data), 6+n)]
		out = append(out, part...)
		data = data[6+len(part):]
	}
	if out != nil {
		return out
	}
	return data
}

func openEexec(data []byte) []byte {
	for len(data) > 0 && class[data[0]] == space {
		data = data[1:]
	}
	if len(data) >= 4 && !bytes.ContainsFunc(data[:4], func(r rune) bool { return r > 'f' || hexValue(byte(r)) < 0 }) {
		l := lexer{data: data}
		var plain []byte
		high := -1
		for _, c := range l.data {
			if v := hexValue(c); v >= 0 && high < 0 {
				high = v
			} else if v >= 0 {
				plain, high = append(plain, byte(high<<4|v)), -1
			}
		}
		data = plain
	}
	return decryptType1(data, eexecKey, 4)
}

func decryptType1(data []byte, key uint16, skip int) []byte {
	out := make([]byte, len(data))
	for i, c := range data {
		out[i] = c ^ byte(key>>8)
		key = (uint16(c)+key)*52845 + 22719
	}
	return out[min(skip, len(out)):]
}

// encryptType1 encrypts with four zero bytes before the data, so that the result is one.
func encryptType1(data []byte, key uint16) []byte {
	out := append(make([]byte, 4, len(data)+4), data...)
	for i, c := range out {
		out[i] = c ^ byte(key>>8)
		key = (uint16(out[i])+key)*52845 + 22719
	}
	return out
}

type type1Font struct {
	b           *builder
	matrix, box string
	paint       int
	encoding    map[int]string // nil for StandardEncoding
	entries     map[string]string
	lenIV       int
	subrs       map[int][]byte
	charStrings map[string][]byte
	order       []string
}

// array reads numbers in brackets or braces.
func (f *type1Font) array(l *lexer) string {
	l.skip()
	if l.pos >= len(l.data) || l.data[l.pos] != '[' && l.data[l.pos] != '{' {
		return ""
	}
	l.pos++
	var out []string
	for len(out) < 64 {
		switch o := l.object().(type) {
		case int, decimal:
			out = append(out, fmt.Sprint(o))
		case end, closing:
			return "[" + strings.Join(out, " ") + "]"
		default:
			return ""
		}
	}
	return ""
}

func (f *type1Font) readHead(head []byte) {
	l := lexer{data: head}
	for {
		o := l.object()
		if _, ok := o.(end); ok {
			return
		}
		key, ok := o.(name)
		if !ok {
			continue
		}
		switch key {
		case "FontMatrix":
			f.matrix = f.fontMatrix(&l)
		case "FontBBox":
			f.box = f.array(&l)
		case "PaintType":
			f.paint, _ = l.object().(int)
		case "WeightVector", "BlendDesignMap":
			refuse(badFont) // multiple master
		case "Encoding":
			f.readEncoding(&l)
		}
	}
}

const maxMatrix = 1024 // bytes of a matrix

// fontMatrix reads the matrix with exponents, which PostScript has and PDF has not.
func (f *type1Font) fontMatrix(l *lexer) string {
	i := bytes.IndexAny(l.data[l.pos:min(len(l.data), l.pos+maxMatrix)], "]}")
	if i < 0 {
		return ""
	}
	words := strings.Fields(strings.Trim(string(l.data[l.pos:l.pos+i]), " \t\r\n[{"))
	l.pos += i + 1
	if len(words) != 6 {
		return ""
	}
	for i, w := range words {
		mantissa, exponent, found := strings.Cut(strings.ToLower(w), "e")
		if found {
			w = shift(mantissa, exponent)
		}
		words[i] = fmt.Sprint(number(w))
	}
	return "[" + strings.Join(words, " ") + "]"
}

// shift moves the point of a number by a small negative exponent.
func shift(mantissa, exponent string) string {
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	n, ok := number(exponent).(int)
	if !ok || n > 0 || n < -9 {
		refuse(badFont)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	whole = strings.Repeat("0", 10) + whole
	return sign + whole[:len(whole)+n] + "." + whole[len(whole)+n:] + fraction
}

func (f *type1Font) readEncoding(l *lexer) {
	if l.object() == keyword("StandardEncoding") {
		return
	}
	f.encoding = map[int]string{}
	for {
		switch o := l.object().(type) {
		case end:
			return
		case keyword:
			if o == "def" || o == "readonly" {
				return
			}
			if o == "dup" {
				at := *l
				code, ok := l.object().(int)
				glyph, ok2 := l.object().(name)
				if !ok || !ok2 || code < 0 || code > 255 {
					*l = at
					continue
				}
				f.encoding[code] = string(glyph)
			}
		}
	}
}

func (f *type1Font) readPrivate(data []byte) {
	l := lexer{data: data}
	f.lenIV = 4
	for {
		switch o := l.object().(type) {
		case end:
			return
		case name:
			switch key := string(o); {
			case key == "lenIV":
				f.lenIV, _ = l.object().(int)
			case key == "Subrs":
				f.readSubrs(&l)
			case key == "CharStrings":
				if f.readCharStrings(&l); len(f.order) > 0 {
					return
				}
			case slices.Contains(type1Hints, key):
				f.readHint(&l, key)
			}
		}
	}
}

func (f *type1Font) readHint(l *lexer, key string) {
	if value := f.array(l); value != "" {
		f.entries[key] = value
		return
	}
	switch o := l.object().(type) {
	case int, decimal, bool:
		f.entries[key] = fmt.Sprint(o)
	}
}

// binaryString reads "15 RD " and 15 bytes, the length already read, and decrypts them.
func (f *type1Font) binaryString(l *lexer, n int) []byte {
	l.skip()
	l.word() // RD or -|
	data := cut(l.data, l.pos+1, n)
	if data == nil {
		refuse(badFont)
	}
	l.pos += 1 + n
	if f.lenIV < 0 {
		return data
	}
	return decryptType1(data, charStringKey, f.lenIV)
}

func (f *type1Font) readSubrs(l *lexer) {
	if len(f.subrs) > 0 {
		refuse(badFont) // two sets, for two resolutions
	}
	count, _ := l.object().(int)
	for {
		at := l.pos
		switch o := l.object().(type) {
		case end:
			return
		case name: // the next entry
			l.pos = at
			return
		case keyword:
			if o != "dup" {
				continue
			}
			at := *l
			i, ok := l.object().(int)
			if !ok {
				*l = at // "dup /CharStrings"
				continue
			}
			n, ok := l.object().(int)
			if !ok || i < 0 || i >= count || i > 0xffff {
				refuse(badFont)
			}
			f.subrs[i] = f.binaryString(l, n)
		}
	}
}

func (f *type1Font) readCharStrings(l *lexer) {
	if _, ok := l.object().(int); !ok {
		return
	}
	for {
		switch o := l.object().(type) {
		case end:
			return
		case keyword:
			if o == "end" {
				return
			}
		case name:
			n, ok := l.object().(int)
			if !ok {
				refuse(badFont)
			}
			glyph := string(o)
			if _, again := f.charStrings[glyph]; !again {
				f.order = append(f.order, glyph)
			}
			f.charStrings[glyph] = f.binaryString(l, n)
			f.b.left.takeGlyphs(1)
		}
	}
}

func (f *type1Font) write(p *program) (clear, sealed []byte) {
	var b bytes.Buffer
	if f.box == "" {
		f.box = "[0 0 0 0]"
	}
	fmt.Fprintf(&b, "%%!PS-AdobeFont-1.0: %s\n11 dict begin\n/FontType 1 def\n/PaintType %d def\n/FontName /%s def\n/FontMatrix %s readonly def\n/FontBBox %s readonly def\n",
		p.name, f.paint, p.name, f.matrix, f.box)
	if f.encoding == nil {
		b.WriteString("/Encoding StandardEncoding def\n")
	} else {
		b.WriteString("/Encoding 256 array\n0 1 255 {1 index exch /.notdef put} for\n")
		for code := range 256 {
			if glyph, ok := f.encoding[code]; ok && p.glyph(glyph) != ".notdef" {
				fmt.Fprintf(&b, "dup %d ", code)
				write(&b, name(p.glyph(glyph)))
				b.WriteString(" put\n")
			}
		}
		b.WriteString("readonly def\n")
	}
	b.WriteString("currentdict end\ncurrentfile eexec\n")
	clear = slices.Clone(b.Bytes())

	b.Reset()
	b.WriteString("dup /Private 20 dict dup begin\n/RD {string currentfile exch readstring pop} executeonly def\n" +
		"/ND {noaccess def} executeonly def\n/NP {noaccess put} executeonly def\n")
	for _, key := range type1Hints {
		if value, ok := f.entries[key]; ok {
			fmt.Fprintf(&b, "/%s %s def\n", key, value)
		}
	}
	b.WriteString("/MinFeature {16 16} def\n/password 5839 def\n/OtherSubrs [{} {} {} {pop 3}] def\n")
	count := 0
	for i := range f.subrs {
		count = max(count, i+1)
	}
	if count > 0 {
		fmt.Fprintf(&b, "/Subrs %d array\n", count)
		for i := range count {
			if s, ok := f.subrs[i]; ok {
				sealed := encryptType1(s, charStringKey)
				fmt.Fprintf(&b, "dup %d %d RD %s NP\n", i, len(sealed), sealed)
			}
		}
		b.WriteString("ND\n")
	}
	fmt.Fprintf(&b, "2 index /CharStrings %d dict dup begin\n", len(f.order))
	for _, glyph := range f.order {
		sealed := encryptType1(f.charStrings[glyph], charStringKey)
		write(&b, name(p.glyph(glyph)))
		fmt.Fprintf(&b, " %d RD %s ND\n", len(sealed), sealed)
	}
	b.WriteString("end\nend\nreadonly put\nnoaccess put\ndup /FontName get exch definefont pop\nmark currentfile closefile\n")
	return clear, encryptType1(b.Bytes(), eexecKey)
}
