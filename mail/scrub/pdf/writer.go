package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"strconv"
)

// outStream is a stream of the new document, encoded as its dictionary says.
type outStream struct {
	dict dict
	data []byte
}

// deflated compresses the data of a stream. The writer is used again, as it has a megabyte of tables.
func deflated(z *zlib.Writer, d dict, data []byte) *outStream {
	var b bytes.Buffer
	z.Reset(&b)
	z.Write(data) // to memory
	z.Close()
	d["Filter"] = name("FlateDecode")
	return &outStream{d, b.Bytes()}
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
			return &outStream{visit(o.dict).(dict), o.data}
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

// serialize writes a document whose catalog is the first object: the streams,
// everything else in object streams, and a cross-reference stream (ISO 32000-1
// sections 7.5.7 and 7.5.8), without identifiers.
func serialize(objects []any, z *zlib.Writer) []byte {
	var b bytes.Buffer
	b.WriteString(header)
	type place struct{ kind, at, index int }
	places := make([]place, 1, len(objects)+1)
	var plain []int // objects in no stream yet, in order
	for i, o := range objects {
		num := i + 1
		if s, ok := o.(*outStream); ok {
			places = append(places, place{1, b.Len(), 0})
			writeStream(&b, num, s)
			continue
		}
		places = append(places, place{})
		plain = append(plain, num)
	}
	for num := len(objects) + 1; len(plain) > 0; num++ {
		part := plain[:min(len(plain), perStream)]
		plain = plain[len(part):]
		var head, body bytes.Buffer
		for i, n := range part {
			fmt.Fprintf(&head, "%d %d ", n, body.Len())
			write(&body, objects[n-1])
			body.WriteByte('\n')
			places[n] = place{2, num, i}
		}
		d := dict{"Type": name("ObjStm"), "N": len(part), "First": head.Len()}
		head.Write(body.Bytes())
		places = append(places, place{1, b.Len(), 0})
		writeStream(&b, num, deflated(z, d, head.Bytes()))
	}
	start := b.Len()
	places = append(places, place{1, start, 0})
	table := make([]byte, 0, 7*len(places))
	for i, p := range places {
		if i == 0 {
			table = append(table, 0, 0, 0, 0, 0, 0, 0)
			continue
		}
		table = append(table, byte(p.kind), byte(p.at>>24), byte(p.at>>16), byte(p.at>>8), byte(p.at), byte(p.index>>8), byte(p.index))
	}
	writeStream(&b, len(places)-1, deflated(z, dict{"Type": name("XRef"), "Size": len(places), "Root": ref(1), "W": array{1, 4, 2}}, table))
	fmt.Fprintf(&b, "startxref\n%d\n%%%%EOF\n", start)
	return b.Bytes()
}

func writeStream(b *bytes.Buffer, num int, s *outStream) {
	d := dict{"Length": len(s.data)}
	for k, v := range s.dict {
		d[k] = v
	}
	fmt.Fprintf(b, "%d 0 obj\n", num)
	write(b, d)
	b.WriteString("\nstream\n")
	b.Write(s.data)
	b.WriteString("\nendstream\nendobj\n")
}
