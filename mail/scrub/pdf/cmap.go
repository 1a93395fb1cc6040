package pdf

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
)

const (
	maxMapped   = 1 << 17 // codes of one map
	maxUnits    = 32      // UTF-16 code units that one code can stand for
	maxOperated = 3 << 17 // operands before one operator of a CMap
	maxCMap     = 4 << 20 // bytes of a CMap
)

// predefined are the CMaps that every reader has (ISO 32000-1 table 118).
var predefined = func() map[name]bool {
	m := map[name]bool{}
	for _, n := range []name{"Identity", "GB-EUC", "GBpc-EUC", "GBK-EUC", "GBKp-EUC", "GBK2K", "UniGB-UCS2", "UniGB-UTF16",
		"B5pc", "HKscs-B5", "ETen-B5", "ETenms-B5", "CNS-EUC", "UniCNS-UCS2", "UniCNS-UTF16", "83pv-RKSJ", "90ms-RKSJ",
		"90msp-RKSJ", "90pv-RKSJ", "Add-RKSJ", "EUC", "Ext-RKSJ", "", "UniJIS-UCS2", "UniJIS-UCS2-HW", "UniJIS-UTF16",
		"UniJIS2004-UTF16", "KSC-EUC", "KSCms-UHC", "KSCms-UHC-HW", "KSCpc-EUC", "UniKS-UCS2", "UniKS-UTF16"} {
		if n != "" {
			n += "-"
		}
		m[n+"H"], m[n+"V"] = true, true
	}
	return m
}()

// code is a character code of 1 to 4 bytes.
type code struct {
	size  int
	value uint32
}

func compareCodes(a, b code) int { return cmp.Or(a.size-b.size, cmp.Compare(a.value, b.value)) }

func toCode(s text) (c code, ok bool) {
	if len(s) == 0 || len(s) > 4 {
		return c, false
	}
	c.size = len(s)
	for i := range len(s) {
		c.value = c.value<<8 | uint32(s[i])
	}
	return c, true
}

// String returns the code in hexadecimal, as a CMap has it.
func (c code) String() string { return fmt.Sprintf("<%0*X>", 2*c.size, c.value) }

// cmapOperators runs through a CMap (Adobe Technical Note 5014) and calls each with every
// operator and its operands.
func (b *builder) cmapOperators(data []byte, each func(op keyword, operands []any)) {
	if len(data) > maxCMap {
		refuse(tooMuch)
	}
	b.left.spend(costContent * len(data))
	l := lexer{data: data}
	var operands []any
	for {
		switch o := l.object().(type) {
		case end:
			return
		case closing:
		case keyword:
			each(o, operands)
			operands = operands[:0]
		default:
			if operands = append(operands, o); len(operands) > maxOperated {
				refuse(tooMuch)
			}
		}
	}
}

func (b *builder) toUnicode(d, in dict) {
	switch o := b.f.resolve(in["ToUnicode"]).(type) {
	case name:
		if o == "Identity-H" || o == "Identity-V" {
			d["ToUnicode"] = o
		}
	case *stream:
		if made := b.once("unicode", in["ToUnicode"], func() any { return b.unicodeMap(o) }); made != nil {
			d["ToUnicode"] = made
		}
	}
}

// unicodeMap writes a ToUnicode CMap anew (ISO 32000-1 section 9.10.3).
func (b *builder) unicodeMap(s *stream) any {
	codes := map[code]text{}
	put := func(c code, t text) {
		if len(t) <= 2*maxUnits {
			codes[c] = t
		}
		if b.left.takeGlyphs(1); len(codes) > maxMapped {
			refuse(tooMuch)
		}
	}
	b.cmapOperators(b.f.decode(s), func(op keyword, operands []any) {
		switch op {
		case "endbfchar":
			for ; len(operands) >= 2; operands = operands[2:] {
				from, _ := operands[0].(text)
				to, ok := operands[1].(text)
				if c, ok2 := toCode(from); ok && ok2 {
					put(c, to)
				}
			}
		case "endbfrange":
			for ; len(operands) >= 3; operands = operands[3:] {
				from, _ := operands[0].(text)
				last, _ := operands[1].(text)
				low, ok := toCode(from)
				high, ok2 := toCode(last)
				if !ok || !ok2 || high.value < low.value || high.value-low.value > 0xffff {
					continue
				}
				switch to := operands[2].(type) {
				case array:
					for i := 0; i < len(to) && low.value+uint32(i) <= high.value; i++ {
						if t, ok := to[i].(text); ok {
							put(code{low.size, low.value + uint32(i)}, t)
						}
					}
				case text:
					if len(to) > 2*maxUnits {
						continue
					}
					for v := low.value; v <= high.value; v++ {
						put(code{low.size, v}, advance(to, v-low.value))
						if v == 1<<32-1 {
							break
						}
					}
				}
			}
		}
	})
	if len(codes) == 0 {
		return nil
	}
	return b.add(b.deflated(dict{}, writeUnicodeMap(codes)))
}

// advance adds n to the last code unit of a text in UTF-16.
func advance(t text, n uint32) text {
	if n == 0 || len(t) == 0 {
		return t
	}
	out := []byte(t)
	for i := len(out) - 1; i >= 0 && i >= len(out)-2; i-- {
		n += uint32(out[i])
		out[i] = byte(n)
		n >>= 8
	}
	return text(out)
}

func writeUnicodeMap(codes map[code]text) []byte {
	type run struct {
		low, high code
		to        text
	}
	var runs []run
	sizes := map[int]bool{}
	for _, c := range slices.SortedFunc(maps.Keys(codes), compareCodes) {
		sizes[c.size] = true
		to := codes[c]
		if n := len(runs); n > 0 {
			// A range keeps to one row of 256 codes.
			r := &runs[n-1]
			if c.size == r.low.size && c.value == r.high.value+1 && c.value>>8 == r.low.value>>8 && len(to) == 2 && len(r.to) == 2 &&
				to[0] == r.to[0] && uint32(to[1]) == uint32(r.to[1])+c.value-r.low.value {
				r.high = c
				continue
			}
		}
		runs = append(runs, run{c, c, to})
	}
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n")
	fmt.Fprintf(&b, "%d begincodespacerange\n", len(sizes))
	for _, size := range slices.Sorted(maps.Keys(sizes)) {
		fmt.Fprintf(&b, "%v %v\n", code{size, 0}, code{size, 1<<(8*size) - 1})
	}
	b.WriteString("endcodespacerange\n")
	chars := slices.DeleteFunc(slices.Clone(runs), func(r run) bool { return r.low != r.high })
	ranges := slices.DeleteFunc(runs, func(r run) bool { return r.low == r.high })
	blocks(&b, "bfchar", chars, func(r run) { fmt.Fprintf(&b, "%v <%X>\n", r.low, string(r.to)) })
	blocks(&b, "bfrange", ranges, func(r run) { fmt.Fprintf(&b, "%v %v <%X>\n", r.low, r.high, string(r.to)) })
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// blocks writes entries in blocks of at most 100 (Adobe Technical Note 5014).
func blocks[T any](b *bytes.Buffer, kind string, entries []T, write func(T)) {
	for part := range slices.Chunk(entries, 100) {
		fmt.Fprintf(b, "%d begin%s\n", len(part), kind)
		for _, e := range part {
			write(e)
		}
		fmt.Fprintf(b, "end%s\n", kind)
	}
}

// cmapEntries are the operators that end entries of a CMap, and how many operands each entry has.
var cmapEntries = map[keyword]int{"endcodespacerange": 2, "endcidrange": 3, "endnotdefrange": 3, "endcidchar": 2, "endnotdefchar": 2}

// cmap writes the CMap of a composite font's encoding anew (ISO 32000-1 section 9.7.5).
func (b *builder) cmap(s *stream) any {
	type entry struct {
		low, high code
		cid       int
	}
	lists := map[keyword][]entry{}
	used, _ := b.f.resolve(s.dict["UseCMap"]).(name)
	vertical := b.f.integer(s.dict["WMode"], 0) == 1
	if s.dict["UseCMap"] != nil && used == "" {
		refuse(badFont) // another CMap of the file
	}
	b.cmapOperators(b.f.decode(s), func(op keyword, operands []any) {
		size := cmapEntries[op]
		switch {
		case op == "usecmap" && len(operands) > 0:
			used, _ = operands[len(operands)-1].(name)
		case op == "def" && len(operands) >= 2 && operands[len(operands)-2] == name("WMode"):
			vertical = operands[len(operands)-1] == 1
		case size > 0:
			for ; len(operands) >= size; operands = operands[size:] {
				from, _ := operands[0].(text)
				e := entry{}
				var ok, ok2, ok3 = false, true, true
				e.low, ok = toCode(from)
				e.high = e.low
				if size == 3 || op == "endcodespacerange" {
					last, _ := operands[1].(text)
					e.high, ok2 = toCode(last)
				}
				if op != "endcodespacerange" {
					e.cid, ok3 = operands[size-1].(int)
				}
				b.left.takeGlyphs(1)
				if !ok || !ok2 || !ok3 || e.low.size != e.high.size || e.cid < 0 || e.cid > 0xffff {
					refuse(badFont)
				}
				lists[op] = append(lists[op], e)
			}
		}
	})
	if used != "" && !predefined[used] || len(lists["endcodespacerange"]) == 0 && used == "" {
		refuse(badFont)
	}
	d := dict{"Type": name("CMap"), "CMapName": name("M"), "CIDSystemInfo": dict{"Registry": text("Adobe"), "Ordering": text("Identity"), "Supplement": 0}}
	var out bytes.Buffer
	out.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n")
	if used != "" {
		fmt.Fprintf(&out, "/%s usecmap\n", used)
		d["UseCMap"] = used
	}
	out.WriteString("/CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>> def\n/CMapName /M def\n/CMapType 1 def\n")
	if vertical {
		d["WMode"] = 1
		out.WriteString("/WMode 1 def\n")
	}
	for _, kind := range []string{"codespacerange", "notdefchar", "notdefrange", "cidchar", "cidrange"} {
		blocks(&out, kind, lists[keyword("end"+kind)], func(e entry) {
			out.WriteString(e.low.String())
			if kind[len(kind)-1] == 'e' {
				out.WriteString(" " + e.high.String())
			}
			if kind != "codespacerange" {
				fmt.Fprintf(&out, " %d", e.cid)
			}
			out.WriteByte('\n')
		})
	}
	out.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.add(b.deflated(d, out.Bytes()))
}
