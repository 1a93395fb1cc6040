package pdf

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Operators of CFF dictionaries (Adobe Technical Note 5176 tables 9, 10 and 23); those of two
// bytes are 12<<8 and the second.
const (
	cffCharset     = 15
	cffEncoding    = 16
	cffCharStrings = 17
	cffPrivate     = 18
	cffSubrs       = 19
	cffROS         = 12<<8 | 30
	cffFDArray     = 12<<8 | 36
	cffFDSelect    = 12<<8 | 37
	cffSynthetic   = 12<<8 | 20
	cffStandard    = 391 // strings that every font has
)

// What is kept of the dictionaries: how glyphs are drawn.
var (
	cffTop   = []int{5, 12<<8 | 5, 12<<8 | 6, 12<<8 | 7, 12<<8 | 8, 12<<8 | 34}
	cffHints = []int{6, 7, 8, 9, 10, 11, 20, 21, 12<<8 | 9, 12<<8 | 10, 12<<8 | 11, 12<<8 | 12, 12<<8 | 13, 12<<8 | 14, 12<<8 | 17, 12<<8 | 18, 12<<8 | 19}
)

// cffDict is a dictionary: for each operator its operands, as numbers and as they
// are encoded.
type cffDict map[int][]cffNumber

type cffNumber struct {
	value int // 0 for a real number
	raw   []byte
}

// cffFont is a CFF font while it is read.
type cffFont struct {
	data    []byte
	strings [][]byte
	out     bytes.Buffer
	left    *Budget
}

// cff rebuilds a CFF font (Adobe Technical Note 5176) without its names, notices
// and identifiers.
func (p *program) cff(b *builder, data []byte) []byte {
	if len(data) < 4 || data[0] != 1 {
		refuse(badFont)
	}
	f := &cffFont{data: data, left: b.left}
	_, at := f.index(int(data[2]))
	tops, at := f.index(at)
	strings, at := f.index(at)
	f.strings = strings
	global, _ := f.index(at)
	if len(tops) != 1 {
		refuse(badFont)
	}
	top := parseCFFDict(tops[0])
	if top[cffSynthetic] != nil {
		refuse(badFont)
	}
	charStrings, _ := f.index(top.integer(cffCharStrings, 0))
	glyphs := len(charStrings)
	if b.left.takeGlyphs(glyphs); glyphs == 0 {
		refuse(badFont)
	}
	_, keyed := top[cffROS]

	var newStrings [][]byte
	if keyed {
		newStrings = [][]byte{[]byte("Adobe"), []byte("Identity")}
	}
	charset, charsetAt := f.charset(top.integer(cffCharset, 0), glyphs, keyed), 0
	stringID := func(sid int) int { return sid }
	if !keyed {
		var names []string
		for _, sid := range charset {
			if n := f.string(sid); n != "" {
				names = append(names, n)
			}
		}
		p.rename(names)
		ids := map[string]int{}
		stringID = func(sid int) int {
			if sid < cffStandard {
				return sid
			}
			n := p.glyph(f.string(sid))
			id, ok := ids[n]
			if !ok {
				id = cffStandard + len(newStrings)
				ids[n] = id
				newStrings = append(newStrings, []byte(n))
			}
			return id
		}
	}
	var charsetData []byte
	if charset == nil {
		charsetAt = top.integer(cffCharset, 0)
	} else {
		charsetData = []byte{0}
		for _, sid := range charset {
			charsetData = binary.BigEndian.AppendUint16(charsetData, uint16(stringID(sid)))
		}
	}
	var encodingData []byte
	encodingAt := top.integer(cffEncoding, 0)
	if !keyed && encodingAt > 1 {
		encodingData = f.encoding(encodingAt, stringID)
	}

	// The top dictionary has a fixed length, so that what it points at can be placed.
	head := []byte{1, 0, 4, 4}
	before := slices.Concat(head, cffIndex([][]byte{[]byte(p.name)}))
	after := slices.Concat(cffIndex(newStrings), cffIndex(global))
	build := func(offsets map[int][]int) []byte {
		var d []byte
		if keyed {
			d = append(d, cffInt(cffStandard)...)
			d = append(d, cffInt(cffStandard+1)...)
			d = append(d, cffInt(0)...)
			d = append(d, 12, cffROS&255)
		}
		for _, op := range cffTop {
			d = top.append(d, op)
		}
		for _, op := range []int{cffCharset, cffEncoding, cffCharStrings, cffPrivate, cffFDArray, cffFDSelect} {
			if operands, ok := offsets[op]; ok {
				for _, v := range operands {
					d = append(d, cffInt(v)...)
				}
				d = appendCFFOperator(d, op)
			}
		}
		return cffIndex([][]byte{d})
	}
	offsets := map[int][]int{cffCharset: {0}, cffCharStrings: {0}}
	if keyed {
		offsets[cffFDArray], offsets[cffFDSelect] = []int{0}, []int{0}
	} else {
		offsets[cffEncoding] = []int{encodingAt}
		if top[cffPrivate] != nil {
			offsets[cffPrivate] = []int{0, 0}
		}
	}
	start := len(before) + len(build(offsets)) + len(after)
	place := func(op int, data []byte) {
		if data != nil {
			offsets[op] = []int{start + f.out.Len()}
			f.put(data)
		}
	}
	offsets[cffCharset] = []int{charsetAt}
	place(cffCharset, charsetData)
	place(cffEncoding, encodingData)
	place(cffCharStrings, cffIndex(charStrings))
	if keyed {
		place(cffFDSelect, f.fdSelect(top.integer(cffFDSelect, 0), glyphs))
		fonts, _ := f.index(top.integer(cffFDArray, 0))
		if len(fonts) == 0 || len(fonts) > 256 {
			refuse(badFont)
		}
		var dicts [][]byte
		for _, font := range fonts {
			in := parseCFFDict(font)
			size, at := f.private(in, start)
			var d []byte
			d = in.append(d, 12<<8|7)
			d = append(append(d, cffInt(size)...), cffInt(at)...)
			dicts = append(dicts, append(d, cffPrivate))
		}
		place(cffFDArray, cffIndex(dicts))
	} else if top[cffPrivate] != nil {
		size, at := f.private(top, start)
		offsets[cffPrivate] = []int{size, at}
	}
	return slices.Concat(before, build(offsets), after, f.out.Bytes())
}

// put adds to what follows the global subroutines. Parts that share bytes in the
// old font could make the new one much larger.
func (f *cffFont) put(data []byte) {
	f.out.Write(data)
	if f.out.Len() > 4*len(f.data)+1<<16 {
		refuse(badFont)
	}
}

// private writes the Private dictionary of d and its subroutines.
func (f *cffFont) private(d cffDict, start int) (size, at int) {
	operands := d[cffPrivate]
	if len(operands) != 2 {
		refuse(badFont)
	}
	from := operands[1].value
	f.left.spend(8 * costByte * max(operands[0].value, 0)) // many fonts can have the same one
	in := parseCFFDict(need(cut(f.data, from, operands[0].value)))
	var out []byte
	for _, op := range cffHints {
		out = in.append(out, op)
	}
	var subrs []byte
	if offset := in.integer(cffSubrs, 0); offset > 0 {
		list, _ := f.index(from + offset)
		subrs = cffIndex(list)
		out = append(append(out, cffInt(len(out)+6)...), cffSubrs)
	}
	at = start + f.out.Len()
	f.put(out)
	f.put(subrs)
	return len(out), at
}

func need(data []byte) []byte {
	if data == nil {
		refuse(badFont)
	}
	return data
}

// index reads an INDEX and returns the offset after it.
func (f *cffFont) index(at int) (items [][]byte, next int) {
	count := int(binary.BigEndian.Uint16(need(cut(f.data, at, 2))))
	if count == 0 {
		return nil, at + 2
	}
	size := int(need(cut(f.data, at+2, 1))[0])
	if size < 1 || size > 4 {
		refuse(badFont)
	}
	table := need(cut(f.data, at+3, size*(count+1)))
	base := at + 2 + size*(count+1)
	offset := func(i int) (v int) {
		for _, c := range table[size*i : size*i+size] {
			v = v<<8 | int(c)
		}
		return v
	}
	last := offset(0)
	for i := range count {
		to := offset(i + 1)
		items = append(items, need(cut(f.data, base+last, to-last)))
		last = to
	}
	return items, base + last
}

func cffIndex(items [][]byte) []byte {
	out := binary.BigEndian.AppendUint16(nil, uint16(len(items)))
	if len(items) == 0 {
		return out
	}
	total := 1
	for _, item := range items {
		total += len(item)
	}
	size := 1
	for total>>(8*size) > 0 {
		size++
	}
	out = append(out, byte(size))
	at := 1
	put := func() {
		for i := size - 1; i >= 0; i-- {
			out = append(out, byte(at>>(8*i)))
		}
	}
	put()
	for _, item := range items {
		at += len(item)
		put()
	}
	for _, item := range items {
		out = append(out, item...)
	}
	return out
}

func (f *cffFont) string(sid int) string {
	if sid -= cffStandard; sid >= 0 && sid < len(f.strings) {
		return string(f.strings[sid])
	}
	return ""
}

// charset returns the SID or CID of every glyph but the first, nil for the three
// charsets that every reader knows.
func (f *cffFont) charset(at, glyphs int, keyed bool) []int {
	if at <= 2 {
		if !keyed {
			return nil
		}
		ids := make([]int, 0, glyphs)
		for i := 1; i < glyphs; i++ {
			ids = append(ids, i)
		}
		return ids
	}
	ids := make([]int, 0, glyphs)
	format := need(cut(f.data, at, 1))[0]
	for at++; len(ids) < glyphs-1; {
		first := int(binary.BigEndian.Uint16(need(cut(f.data, at, 2))))
		at += 2
		left := 0
		switch format {
		case 0:
		case 1:
			left = int(need(cut(f.data, at, 1))[0])
			at++
		case 2:
			left = int(binary.BigEndian.Uint16(need(cut(f.data, at, 2))))
			at += 2
		default:
			refuse(badFont)
		}
		for i := 0; i <= left && len(ids) < glyphs-1; i++ {
			ids = append(ids, min(first+i, 0xffff))
		}
	}
	return ids
}

// encoding copies an encoding with the SIDs of its supplement mapped.
func (f *cffFont) encoding(at int, stringID func(int) int) []byte {
	head := need(cut(f.data, at, 2))
	n := 2 + int(head[1])*int(1+head[0]&1)
	if head[0]&0x7f > 1 {
		refuse(badFont)
	}
	out := slices.Clone(need(cut(f.data, at, n)))
	if head[0]&0x80 == 0 {
		return out
	}
	count := need(cut(f.data, at+n, 1))[0]
	out = append(out, count)
	for i := range int(count) {
		s := need(cut(f.data, at+n+1+3*i, 3))
		out = append(out, s[0])
		out = binary.BigEndian.AppendUint16(out, uint16(stringID(int(binary.BigEndian.Uint16(s[1:])))))
	}
	return out
}

func (f *cffFont) fdSelect(at, glyphs int) []byte {
	switch need(cut(f.data, at, 1))[0] {
	case 0:
		return need(cut(f.data, at, 1+glyphs))
	case 3:
		ranges := int(binary.BigEndian.Uint16(need(cut(f.data, at+1, 2))))
		return need(cut(f.data, at, 3+3*ranges+2))
	}
	refuse(badFont)
	return nil
}

func parseCFFDict(data []byte) cffDict {
	d := cffDict{}
	var operands []cffNumber
	for len(data) > 0 {
		c := int(data[0])
		n, v := 1, 0
		switch {
		case c <= 21:
			op := c
			if c == 12 {
				op = 12<<8 | int(need(cut(data, 1, 1))[0])
				n = 2
			}
			d[op] = operands
			operands = nil
			data = data[n:]
			continue
		case c == 28:
			n = 3
			v = int(int16(binary.BigEndian.Uint16(need(cut(data, 1, 2)))))
		case c == 29:
			n = 5
			v = int(int32(binary.BigEndian.Uint32(need(cut(data, 1, 4)))))
		case c == 30:
			for n < len(data) && data[n]&15 != 15 && data[n]>>4 != 15 {
				n++
			}
			n++
		case c >= 32 && c <= 246:
			v = c - 139
		case c >= 247 && c <= 250:
			n = 2
			v = (c-247)*256 + int(need(cut(data, 1, 1))[0]) + 108
		case c >= 251 && c <= 254:
			n = 2
			v = -(c-251)*256 - int(need(cut(data, 1, 1))[0]) - 108
		default:
			refuse(badFont)
		}
		if operands = append(operands, cffNumber{v, need(cut(data, 0, n))}); len(operands) > 513 {
			refuse(badFont)
		}
		data = data[n:]
	}
	return d
}

func (d cffDict) integer(op, otherwise int) int {
	if v := d[op]; len(v) > 0 {
		return v[len(v)-1].value
	}
	return otherwise
}

// append adds an operator with its operands, if d has it.
func (d cffDict) append(out []byte, op int) []byte {
	operands, ok := d[op]
	if !ok {
		return out
	}
	for _, v := range operands {
		out = append(out, v.raw...)
	}
	return appendCFFOperator(out, op)
}

func appendCFFOperator(out []byte, op int) []byte {
	if op > 255 {
		out = append(out, byte(op>>8))
	}
	return append(out, byte(op))
}

// cffInt encodes an integer in five bytes.
func cffInt(v int) []byte { return binary.BigEndian.AppendUint32([]byte{29}, uint32(v)) }
