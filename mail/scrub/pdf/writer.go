package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"slices"
	"strconv"

	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// outStream is a stream of the new document, encoded as its dictionary says.
type outStream struct {
	dict dict
	data []byte // nil if it was let go, as it is too large for the mail
	size int
}

// streamed is a stream of data that was compressed.
func streamed(d dict, data []byte) *outStream {
	d["Filter"] = name("FlateDecode")
	return &outStream{d, data, len(data)}
}

// write writes an object in its one form: keys in order, strings in parentheses, no
// space that is not needed but one between the elements of arrays.
func write(b *bytes.Buffer, o any) {
	switch o := o.(type) {
	case nil:
		b.WriteString("null")
	case bool:
		b.WriteString(strconv.FormatBool(o))
	case int:
		b.WriteString(strconv.Itoa(o))
	case decimal:
		b.WriteString(string(o))
	case ref:
		b.WriteString(strconv.Itoa(int(o)) + " 0 R")
	case name:
		b.WriteByte('/')
		for _, c := range []byte(o) {
			if c < '!' || c > '~' || c == '#' || class[c] != regular {
				fmt.Fprintf(b, "#%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
	case text:
		b.WriteByte('(')
		for _, c := range []byte(o) {
			switch c {
			case '(', ')', '\\':
				b.WriteByte('\\')
			case '\r': // would be read as a line feed
				b.WriteByte('\\')
				c = 'r'
			}
			b.WriteByte(c)
		}
		b.WriteByte(')')
	case array:
		b.WriteByte('[')
		for i, e := range o {
			if i > 0 {
				b.WriteByte(' ')
			}
			write(b, e)
		}
		b.WriteByte(']')
	case dict:
		b.WriteString("<<")
		for _, k := range o.keys() {
			write(b, k)
			b.WriteByte(' ')
			write(b, o[k])
		}
		b.WriteString(">>")
	}
}

// canonical returns what the first object leads to, numbered in the order in which it
// does, keys in order.
func canonical(objects []any) []any {
	var order []any
	numbers := make([]ref, len(objects)+1)
	var visit func(o any) any
	visit = func(o any) any {
		switch o := o.(type) {
		case ref:
			if numbers[o] == 0 {
				order = append(order, nil)
				n := ref(len(order))
				numbers[o] = n
				order[n-1] = visit(objects[o-1])
			}
			return numbers[o]
		case array:
			out := make(array, len(o))
			for i := range o {
				out[i] = visit(o[i])
			}
			return out
		case dict:
			out := dict{}
			for _, k := range o.keys() {
				out[k] = visit(o[k])
			}
			return out
		case *outStream:
			return &outStream{visit(o.dict).(dict), o.data, o.size}
		case *slot: // its dictionary is not made yet, and refers to these
			o.mask, o.soft = visit(o.mask), visit(o.soft)
		}
		return o
	}
	visit(ref(1))
	return order
}

// perStream is how many objects an object stream holds.
const perStream = 100

// header is the version every document says it has, the first with object
// streams and all that is written here, and bytes that mark it as binary.
const header = "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"

// body is a document whose objects are numbered, packed and ready to be written at any size of its
// pictures: the streams, everything else in object streams, and a cross-reference
// stream (ISO 32000-1 sections 7.5.7 and 7.5.8), without identifiers.
type body struct {
	streams []stored
	packed  []*outStream // object streams, numbered behind all objects
	places  []place      // by number, of what is in an object stream
	zip     *zlib.Writer // for the cross-reference stream
}

type stored struct {
	num    int
	object any // an outStream or a slot
}

// place says where an object is, as a cross-reference stream does.
type place struct{ kind, at, index int }

// body packs what was built. The catalog is the first object.
func (b *builder) body() *body {
	objects := canonical(b.objects)
	w := &body{zip: b.left.slow, places: make([]place, len(objects)+1)}
	var plain []int // objects in no stream, in order
	for i, o := range objects {
		switch o.(type) {
		case *outStream, *slot:
			w.streams = append(w.streams, stored{i + 1, o})
		default:
			plain = append(plain, i+1)
		}
	}
	for num := len(objects) + 1; len(plain) > 0; num++ {
		part := plain[:min(len(plain), perStream)]
		plain = plain[len(part):]
		var head, content bytes.Buffer
		for i, n := range part {
			fmt.Fprintf(&head, "%d %d ", n, content.Len())
			write(&content, objects[n-1])
			content.WriteByte('\n')
			w.places[n] = place{2, num, i}
		}
		d := dict{"Type": name("ObjStm"), "N": len(part), "First": head.Len()}
		head.Write(content.Bytes())
		w.packed = append(w.packed, b.left.deflated(d, head.Bytes()))
	}
	return w
}

// write writes the document with its pictures at a step. What has more than room bytes it only
// counts, at the last step, or guesses from the part that has as many.
func (w *body) write(step, room int) (data []byte, size int, err error) {
	out := output{room: room}
	out.WriteString(header)
	places := slices.Clone(w.places)
	for i, n := range w.streams {
		places[n.num] = place{1, out.size, 0}
		s, ok := n.object.(*outStream)
		if p, isSlot := n.object.(*slot); isSlot {
			s, ok = p.at(step)
		}
		if !ok {
			return nil, 0, nil
		}
		if out.stream(n.num, s); out.size > room && step < picture.Steps-1 {
			return nil, out.size * len(w.streams) / (i + 1), nil
		}
	}
	for i, s := range w.packed {
		places = append(places, place{1, out.size, 0})
		out.stream(len(w.places)+i, s)
	}
	start := out.size
	places = append(places, place{1, start, 0})
	table := make([]byte, 7, 7*len(places))
	for _, p := range places[1:] {
		table = append(table, byte(p.kind), byte(p.at>>24), byte(p.at>>16), byte(p.at>>8), byte(p.at), byte(p.index>>8), byte(p.index))
	}
	var packed bytes.Buffer
	w.zip.Reset(&packed)
	w.zip.Write(table) // to memory
	w.zip.Close()
	out.stream(len(places)-1, streamed(dict{"Type": name("XRef"), "Size": len(places), "Root": ref(1), "W": array{1, 4, 2}}, packed.Bytes()))
	out.WriteString(fmt.Sprintf("startxref\n%d\n%%%%EOF\n", start))
	return out.data(), out.size, nil
}

// output is what is written, as long as there is room for it.
type output struct {
	b          bytes.Buffer
	size, room int
}

func (o *output) Write(p []byte) { o.add(p, len(p)) }

func (o *output) WriteString(s string) { o.add([]byte(s), len(s)) }

// add writes n bytes, which are p unless that is nil.
func (o *output) add(p []byte, n int) {
	if o.size += n; o.size > o.room || len(p) < n {
		o.room, o.b = -1, bytes.Buffer{}
		return
	}
	o.b.Write(p)
}

func (o *output) data() []byte {
	if o.room < 0 {
		return nil
	}
	return o.b.Bytes()
}

func (o *output) stream(num int, s *outStream) {
	d := dict{"Length": s.size}
	for k, v := range s.dict {
		d[k] = v
	}
	var head bytes.Buffer
	fmt.Fprintf(&head, "%d 0 obj\n", num)
	write(&head, d)
	head.WriteString("\nstream\n")
	o.Write(head.Bytes())
	o.add(s.data, s.size)
	o.WriteString("\nendstream\nendobj\n")
}
