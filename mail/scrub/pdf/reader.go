package pdf

import (
	"bytes"
	"strconv"

	"codeberg.org/sourdine/sourdine/mail"
)

// maxObjects bounds the entries of a document's cross-reference tables.
const maxObjects = 1 << 20

// The reasons why a document is refused. All say what to do next.
const (
	damaged     = "The PDF is damaged or not made by the rules, so it cannot be cleaned. Print it to a new PDF, and attach that."
	tooMuch     = "The PDF holds more than can be cleaned here. Send it in a mail of its own, split it, or print it to a new PDF with smaller pictures."
	protected   = "The PDF is protected by a password. Save or print a copy without a password, and attach that."
	notPDF      = "The file is not a PDF. Export it as PDF again, and attach that."
	noPages     = "The PDF has no pages. Export it as PDF again, and attach that."
	dynamicForm = "The PDF is a form whose pages are drawn by a program as they are shown. Print it to a new PDF, and attach that."
)

// refuse ends the work on a document. Open and Encode return the refusal: what is
// refused is found deep within the walk, and nothing on the way up has anything to add.
func refuse(reason string) { panic(refusal{&mail.Refusal{Reason: reason}}) }

type refusal struct{ *mail.Refusal }

// file gives the objects of a PDF. It parses an object when it is asked for,
// once, and keeps slices of the file instead of copies, so that memory is bounded by
// what is used.
type file struct {
	data     []byte
	entries  map[int]entry
	trailer  dict
	objects  map[int]any
	streams  map[int]*objectStream
	loading  map[int]bool
	repaired bool
	crypt    *crypt // nil if nothing is encrypted
	left     *Budget
}

// entry says where an object is: at an offset of the file, or in an object stream.
type entry struct {
	offset int
	stream int // the object stream's number, 0 if it is in none
	index  int
}

// openFile finds the objects of a PDF by its cross-reference tables (ISO 32000-1
// section 7.5.4 and 7.5.8) or, where they are wrong, by looking through all of it.
func openFile(data []byte, left *Budget) *file {
	head := data[:min(len(data), 1024)]
	start := bytes.Index(head, []byte("%PDF-"))
	if start < 0 {
		refuse(notPDF)
	}
	f := &file{data: data[start:], loading: map[int]bool{}, left: left}
	f.reset()
	if !f.readTables() {
		f.repair()
	}
	if f.trailer["Encrypt"] != nil {
		f.unlock()
	}
	if f.dict(f.dict(f.trailer["Root"])["Pages"]) == nil {
		f.repair()
	}
	return f
}

func (f *file) reset() {
	f.entries, f.objects, f.streams = map[int]entry{}, map[int]any{}, map[int]*objectStream{}
}

// spend takes the time that looking at n bytes takes.
func (f *file) spend(n int) { f.left.spend(costByte * n) }

// readTables follows the chain of cross-reference sections from the last one. It
// reports whether all could be read.
func (f *file) readTables() bool {
	tail := f.data[max(0, len(f.data)-2048):]
	at := bytes.LastIndex(tail, []byte("startxref"))
	if at < 0 {
		return false
	}
	l := lexer{data: tail, pos: at + len("startxref")}
	offset, ok := l.object().(int)
	seen := map[int]bool{}
	for ok {
		if offset < 0 || offset >= len(f.data) || seen[offset] {
			return false
		}
		seen[offset] = true
		trailer := f.readSection(offset)
		if trailer == nil {
			return false
		}
		if f.trailer == nil {
			f.trailer = trailer
		}
		if hybrid, ok := trailer["XRefStm"].(int); ok && hybrid > 0 && hybrid < len(f.data) && !seen[hybrid] {
			seen[hybrid] = true
			f.readSection(hybrid)
		}
		offset, ok = trailer["Prev"].(int)
		if _, wrong := trailer["Prev"].(int); !wrong && trailer["Prev"] != nil {
			return false
		}
	}
	return f.trailer != nil
}

func (f *file) put(num int, e entry) {
	f.left.spend(costEntry)
	if _, ok := f.entries[num]; ok || num <= 0 {
		return
	}
	if len(f.entries) >= maxObjects {
		refuse(tooMuch)
	}
	f.entries[num] = e
}

// free is the entry of an object that a later revision deleted.
var free = entry{offset: -1}

// readSection reads one cross-reference table or stream and returns its trailer.
func (f *file) readSection(offset int) dict {
	l := lexer{data: f.data, pos: offset, refs: true, left: f.left}
	if o := l.object(); o != keyword("xref") {
		if _, ok := o.(int); !ok {
			return nil
		}
		s, _ := f.parseAt(offset, -1).(*stream)
		if s == nil || s.dict["Type"] != name("XRef") {
			return nil
		}
		return f.readXRefStream(s)
	}
	for {
		first := l.object()
		if first == keyword("trailer") {
			trailer, _ := l.object().(dict)
			return trailer
		}
		start, ok := first.(int)
		count, ok2 := l.object().(int)
		if !ok || !ok2 {
			return nil
		}
		for num := start; num < start+count; num++ {
			at, ok := l.object().(int)
			_, ok2 := l.object().(int)
			state, ok3 := l.object().(keyword)
			if !ok || !ok2 || !ok3 {
				return nil
			}
			if state == "n" && at > 0 {
				f.put(num, entry{offset: at})
			} else {
				f.put(num, free)
			}
		}
		f.spend(20)
	}
}

func (f *file) readXRefStream(s *stream) dict {
	data := f.decode(s)
	widths, _ := f.resolve(s.dict["W"]).(array)
	if len(widths) < 3 {
		return nil
	}
	var w [3]int
	size := 0
	for i := range w {
		n, ok := widths[i].(int)
		if !ok || n < 0 || n > 8 {
			return nil
		}
		w[i], size = n, size+n
	}
	if size == 0 {
		return nil
	}
	index, ok := f.resolve(s.dict["Index"]).(array)
	if !ok {
		index = array{0, f.integer(s.dict["Size"], 0)}
	}
	for i := 0; i+1 < len(index); i += 2 {
		start, ok := index[i].(int)
		count, ok2 := index[i+1].(int)
		if !ok || !ok2 {
			return nil
		}
		for num := start; num < start+count && len(data) >= size; num++ {
			var v [3]int
			row := data[:size]
			data = data[size:]
			for j := range v {
				for _, c := range row[:w[j]] {
					v[j] = (v[j]<<8 | int(c)) & (1<<48 - 1)
				}
				row = row[w[j]:]
			}
			if w[0] == 0 {
				v[0] = 1
			}
			switch v[0] {
			case 1:
				f.put(num, entry{offset: v[1]})
			case 2:
				if v[1] > 0 && v[1] <= maxInteger {
					f.put(num, entry{stream: v[1], index: v[2]})
				}
			default:
				f.put(num, free)
			}
		}
	}
	return s.dict
}

// repair finds every object by looking for "12 0 obj" through the whole file,
// the last of a number being the live one, as readers do with damaged files.
func (f *file) repair() {
	if f.repaired {
		return
	}
	f.repaired = true
	f.reset()
	f.spend(4 * len(f.data))
	var catalog int
	var containers []int
	var trailer dict
	for at := 0; ; {
		i := bytes.Index(f.data[at:], []byte("obj"))
		if i < 0 {
			break
		}
		at += i + 3
		f.left.spend(costEntry)
		num, start, ok := objectHead(f.data[:at-3])
		if !ok {
			continue
		}
		delete(f.entries, num)
		f.put(num, entry{offset: start})
		l := lexer{data: f.data[:min(len(f.data), at+512)], pos: at}
		l.skip()
		switch head := f.data[l.pos:min(len(f.data), l.pos+256)]; {
		case bytes.Contains(head, []byte("/ObjStm")):
			containers = append(containers, num)
		case bytes.Contains(head, []byte("/Catalog")):
			catalog = num
		case bytes.Contains(head, []byte("/XRef")):
			if s, ok := f.parseAt(start, -1).(*stream); ok && s.dict["Root"] != nil {
				trailer = s.dict
			}
		}
	}
	for _, num := range containers {
		s := f.objectStream(num)
		if s == nil {
			continue
		}
		for i, n := range s.numbers {
			if _, ok := f.entries[n]; !ok {
				f.put(n, entry{stream: num, index: i})
			}
		}
	}
	for at := 0; ; {
		i := bytes.Index(f.data[at:], []byte("trailer"))
		if i < 0 {
			break
		}
		at += i + len("trailer")
		l := lexer{data: f.data[:min(len(f.data), at+64<<10)], pos: at, refs: true, left: f.left}
		f.spend(64 << 10)
		if d, ok := l.object().(dict); ok && d["Root"] != nil {
			trailer = d
		}
	}
	if trailer == nil && catalog == 0 {
		for num := range f.entries {
			if f.dict(ref(num))["Type"] == name("Catalog") && num > catalog {
				catalog = num
			}
		}
	}
	if trailer == nil && catalog > 0 {
		trailer = dict{"Root": ref(catalog)}
	}
	if trailer == nil {
		refuse(damaged)
	}
	f.trailer = trailer
}

// objectHead reads "12 0 " backwards from the end of data.
func objectHead(data []byte) (num, start int, ok bool) {
	back := func(want byte) []byte {
		end := len(data)
		for len(data) > 0 && end-len(data) < 12 && (class[data[len(data)-1]] == space) == (want == space) && class[data[len(data)-1]] == want {
			data = data[:len(data)-1]
		}
		return data[len(data):end]
	}
	back(space)
	gen := back(regular)
	gap := back(space)
	digits := back(regular)
	num, err := strconv.Atoi(string(digits))
	if _, err2 := strconv.Atoi(string(gen)); err != nil || err2 != nil || len(gap) == 0 || num <= 0 || num > maxInteger {
		return 0, 0, false
	}
	return num, len(data), true
}

// resolve returns o, or what o refers to; nil for what there is not.
func (f *file) resolve(o any) any {
	for range 16 {
		r, ok := o.(ref)
		if !ok {
			return o
		}
		o = f.object(int(r))
	}
	return nil
}

func (f *file) object(num int) any {
	if o, ok := f.objects[num]; ok {
		return o
	}
	e, ok := f.entries[num]
	if !ok || e == free || f.loading[num] {
		return nil
	}
	f.loading[num] = true
	defer delete(f.loading, num)
	var o any
	if e.stream > 0 {
		if s := f.objectStream(e.stream); s != nil {
			o = s.object(f, num, e.index)
		}
	} else {
		o = f.parseAt(e.offset, num)
		if _, wrong := o.(misplaced); wrong {
			if o = nil; !f.repaired {
				f.repair()
				if e, ok := f.entries[num]; ok && e.stream == 0 {
					if o = f.parseAt(e.offset, num); o == (misplaced{}) {
						o = nil
					}
				} else if ok {
					delete(f.loading, num)
					o = f.object(num)
				}
			}
		}
	}
	f.objects[num] = o
	return o
}

// misplaced is what parseAt returns where no object of the number is.
type misplaced struct{}

// parseAt parses "12 0 obj" and what follows at an offset; num is -1 for any number.
func (f *file) parseAt(offset, num int) any {
	if offset < 0 || offset >= len(f.data) {
		return misplaced{}
	}
	l := lexer{data: f.data, pos: offset, refs: true, left: f.left}
	n, ok := l.object().(int)
	gen, ok2 := l.object().(int)
	if !ok || !ok2 || num >= 0 && n != num || l.object() != keyword("obj") {
		return misplaced{}
	}
	o := l.object()
	switch o.(type) {
	case end, closing, keyword:
		return nil
	}
	if f.crypt != nil {
		o = f.openStrings(o, n, gen)
	}
	d, ok := o.(dict)
	if !ok {
		return o
	}
	sealed := f.crypt != nil && f.crypt.streams != sealedNot && d["Type"] != name("XRef")
	body := l.pos
	if l.object() != keyword("stream") {
		return d
	}
	body = bytes.Index(f.data[body:l.pos], []byte("stream")) + body + len("stream")
	if bytes.HasPrefix(f.data[body:], []byte("\r\n")) {
		body += 2
	} else if body < len(f.data) && (f.data[body] == '\n' || f.data[body] == '\r') {
		body++
	}
	if length, ok := f.resolve(d["Length"]).(int); ok && length >= 0 && length <= len(f.data)-body {
		l.pos = body + length
		if f.spend(1); bytes.HasPrefix(trimLeft(f.data[l.pos:]), []byte("endstream")) {
			return &stream{d, f.data[body : body+length], n, gen, sealed}
		}
	}
	length := bytes.Index(f.data[body:], []byte("endstream"))
	if length < 0 {
		length = len(f.data) - body
	}
	f.spend(length)
	return &stream{d, f.data[body : body+length], n, gen, sealed}
}

func trimLeft(b []byte) []byte {
	for i := range min(len(b), 8) {
		if class[b[i]] != space {
			return b[i:]
		}
	}
	return b
}

// objectStream is a stream of objects (ISO 32000-1 section 7.5.7).
type objectStream struct {
	data    []byte
	numbers []int
	offsets []int
}

func (f *file) objectStream(num int) *objectStream {
	if s, ok := f.streams[num]; ok {
		return s
	}
	f.streams[num] = nil
	if f.entries[num].stream != 0 {
		return nil // an object stream is in no object stream
	}
	s, _ := f.object(num).(*stream)
	if s == nil || s.dict["Type"] != name("ObjStm") {
		return nil
	}
	count, start := f.integer(s.dict["N"], 0), f.integer(s.dict["First"], 0)
	o := &objectStream{data: f.decode(s)}
	l := lexer{data: o.data, left: f.left}
	for range count {
		n, ok := l.object().(int)
		offset, ok2 := l.object().(int)
		if !ok || !ok2 {
			break
		}
		o.numbers, o.offsets = append(o.numbers, n), append(o.offsets, start+offset)
	}
	f.streams[num] = o
	return o
}

func (s *objectStream) object(f *file, num, index int) any {
	if index < 0 || index >= len(s.numbers) || s.numbers[index] != num {
		for index = range s.numbers {
			if s.numbers[index] == num {
				break
			}
		}
		f.spend(len(s.numbers))
	}
	if len(s.numbers) == 0 || s.numbers[index] != num || s.offsets[index] < 0 || s.offsets[index] >= len(s.data) {
		return nil
	}
	l := lexer{data: s.data, pos: s.offsets[index], refs: true, left: f.left}
	o := l.object()
	switch o.(type) {
	case end, closing, keyword:
		return nil
	}
	return o
}

// dict returns the dictionary that o is or refers to, a stream's for a stream,
// nil for anything else.
func (f *file) dict(o any) dict {
	switch o := f.resolve(o).(type) {
	case dict:
		return o
	case *stream:
		return o.dict
	}
	return nil
}

// array returns the array that o is or refers to. Who asks for it looks at all of it, and many can
// ask for the same one.
func (f *file) array(o any) array {
	a, _ := f.resolve(o).(array)
	f.left.spend(costElement * len(a))
	return a
}

func (f *file) name(o any) name { n, _ := f.resolve(o).(name); return n }

func (f *file) integer(o any, otherwise int) int {
	if n, ok := f.resolve(o).(int); ok {
		return n
	}
	return otherwise
}

func (f *file) bool(o any) bool { b, _ := f.resolve(o).(bool); return b }

// numbers returns the numbers of an array, nil if it is none of n numbers, or of any
// number of them if n is negative.
func (f *file) numbers(o any, n int) array {
	a := f.array(o)
	if a == nil || n >= 0 && len(a) != n {
		return nil
	}
	take(&f.left.parsed, len(a)) // the copy stays
	out := make(array, len(a))
	for i := range a {
		switch v := f.resolve(a[i]).(type) {
		case int, decimal:
			out[i] = v
		default:
			return nil
		}
	}
	return out
}
