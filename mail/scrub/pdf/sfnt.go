package pdf

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// sfntTables returns the tables of a TrueType or OpenType font by their tags.
func sfntTables(data []byte) map[string][]byte {
	in := map[string][]byte{}
	count := int(binary.BigEndian.Uint16(need(cut(data, 4, 2))))
	for i := range count {
		record := cut(data, 12+16*i, 16)
		if record == nil {
			break
		}
		at, n := int(binary.BigEndian.Uint32(record[8:])), int(binary.BigEndian.Uint32(record[12:]))
		if at < len(data) {
			in[string(record[:4])] = data[at:min(len(data), at+n)]
		}
	}
	return in
}

// sfnt rebuilds a TrueType font with the tables that a font in a PDF
// needs (ISO 32000-1 section 9.9): names, licences, vendors, dates, signatures,
// and layout for editors are gone.
func (p *program) sfnt(b *builder, data []byte) []byte {
	in := sfntTables(data)
	out := map[string][]byte{}
	head := cut(in["head"], 0, 54)
	maxp := cut(in["maxp"], 0, 6)
	if head == nil || maxp == nil {
		refuse(badFont)
	}
	glyphs := int(binary.BigEndian.Uint16(maxp[4:]))
	b.left.takeGlyphs(glyphs)
	head = slices.Clone(head)
	copy(head, []byte{0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x5f, 0x0f, 0x3c, 0xf5}) // version, revision 1.0, checksum later, magic
	clear(head[20:36])                                                             // created and modified
	copy(head[44:], []byte{0, 0, 0, 8, 0, 2})                                      // style, smallest size, direction
	out["head"] = head
	out["maxp"] = in["maxp"][:min(len(in["maxp"]), 32)]
	if hhea := cut(in["hhea"], 0, 36); hhea != nil {
		hhea = slices.Clone(hhea)
		clear(hhea[24:32])
		metrics := min(int(binary.BigEndian.Uint16(hhea[34:])), max(glyphs, 1))
		binary.BigEndian.PutUint16(hhea[34:], uint16(metrics))
		out["hhea"] = hhea
		out["hmtx"] = in["hmtx"][:min(len(in["hmtx"]), 4*metrics+2*max(0, glyphs-metrics))]
	}
	out["glyf"], out["loca"] = glyphData(in["glyf"], in["loca"], head, glyphs)
	for _, tag := range []string{"cvt ", "fpgm", "prep"} {
		if len(in[tag]) > 0 {
			out[tag] = in[tag]
		}
	}
	if table := characterMap(in["cmap"]); table != nil {
		out["cmap"] = table
	}
	out["post"] = p.post(in["post"], glyphs)
	return joinTables(data[:4], out)
}

// cut returns n bytes of data from an offset, nil if it does not have them.
func cut(data []byte, at, n int) []byte {
	if at < 0 || n < 0 || at > len(data) || n > len(data)-at {
		return nil
	}
	return data[at : at+n : at+n]
}

// glyphData joins the glyphs without what lies between them, and sets the format of
// loca in head.
func glyphData(glyf, loca, head []byte, glyphs int) (data, offsets []byte) {
	long := head[51] == 1
	at := func(i int) int {
		if long {
			if v := cut(loca, 4*i, 4); v != nil {
				return int(binary.BigEndian.Uint32(v))
			}
		} else if v := cut(loca, 2*i, 2); v != nil {
			return 2 * int(binary.BigEndian.Uint16(v))
		}
		return -1
	}
	starts := make([]int, 0, glyphs+1)
	for i := range glyphs {
		starts = append(starts, len(data))
		from, to := at(i), at(i+1)
		if glyph := cut(glyf, from, min(to, len(glyf))-from); from >= 0 && to > from {
			data = append(data, glyph...)
			for len(data)%4 != 0 {
				data = append(data, 0)
			}
		}
		if len(data) > 2*len(glyf)+4*glyphs {
			refuse(badFont)
		}
	}
	starts = append(starts, len(data))
	head[50], head[51] = 0, 0
	if len(data) > 2*0xffff {
		head[51] = 1
	}
	for _, s := range starts {
		if head[51] == 1 {
			offsets = binary.BigEndian.AppendUint32(offsets, uint32(s))
		} else {
			offsets = binary.BigEndian.AppendUint16(offsets, uint16(s/2))
		}
	}
	return data, offsets
}

// characterMap keeps the subtables of cmap that readers of PDF look at (ISO 32000-1
// section 9.6.6.4), without their languages.
func characterMap(table []byte) []byte {
	head := cut(table, 0, 4)
	if head == nil {
		return nil
	}
	var records []byte
	var bodies [][]byte
	offsets := map[int]int{}
	size := 0
	var kept []int
	for i := range int(binary.BigEndian.Uint16(head[2:])) {
		r := cut(table, 4+8*i, 8)
		if r == nil || len(kept) >= 16 {
			break
		}
		platform, at := binary.BigEndian.Uint16(r), int(binary.BigEndian.Uint32(r[4:]))
		if platform != 0 && platform != 1 && platform != 3 {
			continue
		}
		if _, ok := offsets[at]; !ok {
			body := subtable(table, at)
			if body == nil {
				continue
			}
			if size += len(body); size > 2*len(table) {
				refuse(badFont) // they share bytes
			}
			offsets[at] = len(bodies)
			bodies = append(bodies, body)
		}
		records = append(records, r[:4]...)
		kept = append(kept, offsets[at])
	}
	if len(kept) == 0 {
		return nil
	}
	out := binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(len(kept)))
	places := make([]int, len(bodies))
	next := 4 + 8*len(kept)
	for i, body := range bodies {
		places[i] = next
		next += len(body)
	}
	for i, k := range kept {
		out = append(out, records[4*i:4*i+4]...)
		out = binary.BigEndian.AppendUint32(out, uint32(places[k]))
	}
	return append(out, bytes.Join(bodies, nil)...)
}

// subtable returns a copy of one subtable, padded to 4 bytes.
func subtable(table []byte, at int) []byte {
	head := cut(table, at, 6)
	if head == nil {
		return nil
	}
	var body []byte
	switch format := binary.BigEndian.Uint16(head); format {
	case 0, 2, 4, 6:
		n := min(int(binary.BigEndian.Uint16(head[2:])), len(table)-at)
		if n < 6 {
			return nil
		}
		body = slices.Clone(table[at : at+n])
		binary.BigEndian.PutUint16(body[2:], uint16(n))
		clear(body[4:6])
	case 12:
		head = cut(table, at, 16)
		if head == nil {
			return nil
		}
		n := 16 + 12*int(binary.BigEndian.Uint32(head[12:]))
		if body = slices.Clone(cut(table, at, n)); body == nil {
			return nil
		}
		clear(body[2:4])
		binary.BigEndian.PutUint32(body[4:], uint32(n))
		clear(body[8:12])
	default:
		return nil
	}
	for len(body)%4 != 0 {
		body = append(body, 0)
	}
	return body
}

// macGlyphs is the number of glyph names that format 2 of post knows by number.
const macGlyphs = 258

// post keeps the names of glyphs, by which a simple font can find them, as far as
// they are common ones; without names it is empty (format 3).
func (p *program) post(table []byte, glyphs int) []byte {
	out := make([]byte, 32)
	out[1] = 3
	if head := cut(table, 0, 34); head == nil || binary.BigEndian.Uint32(head) != 0x20000 {
		return out
	}
	count := min(int(binary.BigEndian.Uint16(table[32:])), glyphs)
	indexes := cut(table, 34, 2*count)
	if indexes == nil {
		return out
	}
	var names []string
	for rest := table[34+2*int(binary.BigEndian.Uint16(table[32:])):]; len(rest) > 0; {
		n := int(rest[0])
		if 1+n > len(rest) || len(names) >= 1<<16 {
			break
		}
		names = append(names, string(rest[1:1+n]))
		rest = rest[1+n:]
	}
	var used []string
	for i := range count {
		if n := int(binary.BigEndian.Uint16(indexes[2*i:])) - macGlyphs; n >= 0 && n < len(names) {
			used = append(used, names[n])
		}
	}
	p.rename(used)
	out[1] = 2
	out = binary.BigEndian.AppendUint16(out, uint16(count))
	numbers := map[string]int{}
	var strings []byte
	for i := range count {
		n := int(binary.BigEndian.Uint16(indexes[2*i:]))
		if n >= macGlyphs {
			if n -= macGlyphs; n < len(names) {
				g := p.glyph(names[n])
				if _, ok := numbers[g]; !ok {
					numbers[g] = len(numbers)
					strings = append(append(strings, byte(len(g))), g...)
				}
				n = macGlyphs + numbers[g]
			} else {
				n = 0
			}
		}
		out = binary.BigEndian.AppendUint16(out, uint16(n))
	}
	return append(out, strings...)
}

// joinTables writes the font file, tables in order of their tags, with new checksums
// (OpenType specification, "Organization of an OpenType font").
func joinTables(version []byte, tables map[string][]byte) []byte {
	tags := sorted(tables)
	n, log := len(tags), 0
	for 2<<log <= n {
		log++
	}
	out := append([]byte{}, version...)
	for _, v := range []int{n, 16 << log, log, 16*n - 16<<log} {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	at := 12 + 16*n
	headAt := 0
	for _, tag := range tags {
		if tag == "head" {
			headAt = at
		}
		t := tables[tag]
		out = append(out, tag...)
		out = binary.BigEndian.AppendUint32(out, checksum(t))
		out = binary.BigEndian.AppendUint32(out, uint32(at))
		out = binary.BigEndian.AppendUint32(out, uint32(len(t)))
		at += (len(t) + 3) &^ 3
	}
	for _, tag := range tags {
		out = append(out, tables[tag]...)
		for len(out)%4 != 0 {
			out = append(out, 0)
		}
	}
	binary.BigEndian.PutUint32(out[headAt+8:], 0xb1b0afba-checksum(out))
	return out
}

func checksum(data []byte) (sum uint32) {
	for len(data) >= 4 {
		sum += binary.BigEndian.Uint32(data)
		data = data[4:]
	}
	var last [4]byte
	copy(last[:], data)
	return sum + binary.BigEndian.Uint32(last[:])
}
