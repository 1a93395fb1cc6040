package pdf

import (
	"bytes"
	"compress/flate"
	stdlzw "compress/lzw"
	"encoding/ascii85"
	"errors"
	"io"

	"golang.org/x/image/tiff/lzw"
)

const maxFilters = 4 // filters of one stream, one after the other

// filters returns the names of a stream's filters in full and their parameters
// (ISO 32000-1 section 7.4).
func (f *file) filters(d dict) (names []name, params []dict) {
	list, ok := f.resolve(first(d, "Filter", "F")).(array)
	if !ok {
		list = array{first(d, "Filter", "F")}
	}
	parms, ok := f.resolve(first(d, "DecodeParms", "DP")).(array)
	if !ok {
		parms = array{first(d, "DecodeParms", "DP")}
	}
	f.left.spend(costElement * len(list))
	for i, o := range list {
		filter, ok := f.resolve(o).(name)
		if !ok {
			continue
		}
		if long, ok := shortFilters[filter]; ok {
			filter = long
		}
		var p dict
		if i < len(parms) {
			p, _ = f.resolve(parms[i]).(dict)
		}
		names, params = append(names, filter), append(params, p)
	}
	if len(names) > maxFilters {
		refuse(tooMuch)
	}
	return names, params
}

// shortFilters are the names within inline images (ISO 32000-1 table 94).
var shortFilters = map[name]name{"AHx": "ASCIIHexDecode", "A85": "ASCII85Decode", "LZW": "LZWDecode",
	"Fl": "FlateDecode", "RL": "RunLengthDecode", "CCF": "CCITTFaxDecode", "DCT": "DCTDecode"}

func first(d dict, keys ...name) any {
	for _, k := range keys {
		if v, ok := d[k]; ok {
			return v
		}
	}
	return nil
}

// open returns the bytes of s with its filters undone, up to one for pictures,
// which it returns by name with its parameters. What comes out of every filter
// is counted as work.
func (f *file) open(s *stream) (r io.Reader, picture name, params dict) {
	names, parms := f.filters(s.dict)
	f.left.spend(costStream + costFilter*len(names))
	raw := s.raw
	if s.sealed {
		f.spend(4 * len(raw))
		raw = f.crypt.open(raw, s.num, s.gen, f.crypt.streams)
	}
	r = bytes.NewReader(raw)
	for i, filter := range names {
		switch filter {
		case "FlateDecode":
			r = f.predicted(tolerant(inflate(r)), parms[i])
		case "LZWDecode":
			if early, ok := f.resolve(parms[i]["EarlyChange"]).(int); ok && early == 0 {
				r = stdlzw.NewReader(r, stdlzw.MSB, 8)
			} else {
				r = lzw.NewReader(r, lzw.MSB, 8)
			}
			r = f.predicted(tolerant(r), parms[i])
		case "ASCII85Decode":
			r = tolerant(ascii85.NewDecoder(&upTo{r: r, mark: '~'}))
		case "ASCIIHexDecode":
			r = &hexReader{r: upTo{r: r, mark: '>'}}
		case "RunLengthDecode":
			r = &runLengthReader{r: asByteReader(r)}
		case "DCTDecode", "CCITTFaxDecode", "JPXDecode", "JBIG2Decode":
			if i+1 < len(names) {
				refuse(damaged)
			}
			if i == 0 {
				r = &counted{r, f}
			}
			return r, filter, parms[i]
		case "Crypt":
			refuse(protected)
		default:
			refuse(damaged)
		}
		r = &counted{r, f}
	}
	return r, "", nil
}

// decode returns the whole of s with its filters undone; it counts against the
// bytes that one document may decode to.
func (f *file) decode(s *stream) []byte {
	r, picture, _ := f.open(s)
	if picture != "" {
		refuse(damaged)
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(f.left.decoded)+1))
	if err != nil {
		refuse(damaged)
	}
	take(&f.left.decoded, len(data))
	return data
}

// counted counts what is read as work.
type counted struct {
	r io.Reader
	f *file
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.f.spend(n)
	return n, err
}

// inflate undoes zlib (RFC 1950) without its checksum, which many writers
// leave out and readers do not look at.
func inflate(r io.Reader) io.Reader {
	b := asByteReader(r)
	head := make([]byte, 2)
	n, _ := io.ReadFull(b, head)
	if n == 2 && head[0]&15 == 8 && (int(head[0])<<8|int(head[1]))%31 == 0 {
		return flate.NewReader(b)
	}
	return flate.NewReader(io.MultiReader(bytes.NewReader(head[:n]), b))
}

// tolerant ends the bytes where they are damaged, as readers show what came before.
func tolerant(r io.Reader) io.Reader { return tolerantReader{r} }

type tolerantReader struct{ r io.Reader }

func (t tolerantReader) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}

type byteReader interface {
	io.Reader
	io.ByteReader
}

func asByteReader(r io.Reader) byteReader {
	if b, ok := r.(byteReader); ok {
		return b
	}
	return &buffered{r: r}
}

// buffered is bufio.Reader made smaller: a document has many streams of a few bytes.
type buffered struct {
	r   io.Reader
	buf [512]byte
	b   []byte
	err error
}

func (b *buffered) fill() error {
	for len(b.b) == 0 {
		if b.err != nil {
			return b.err
		}
		var n int
		n, b.err = b.r.Read(b.buf[:])
		b.b = b.buf[:n]
	}
	return nil
}

func (b *buffered) ReadByte() (byte, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	c := b.b[0]
	b.b = b.b[1:]
	return c, nil
}

func (b *buffered) Read(p []byte) (int, error) {
	if err := b.fill(); err != nil {
		return 0, err
	}
	n := copy(p, b.b)
	b.b = b.b[n:]
	return n, nil
}

// upTo ends at the first mark.
type upTo struct {
	r    io.Reader
	mark byte
	done bool
}

func (u *upTo) Read(p []byte) (int, error) {
	if u.done {
		return 0, io.EOF
	}
	n, err := u.r.Read(p)
	if i := bytes.IndexByte(p[:n], u.mark); i >= 0 {
		u.done = true
		return i, io.EOF
	}
	return n, err
}

type hexReader struct {
	r    upTo
	high int // the first digit of a byte plus one, 0 if there is none
}

func (h *hexReader) Read(p []byte) (int, error) {
	buf := make([]byte, min(2*len(p), 4096))
	for {
		n, err := h.r.Read(buf)
		written := 0
		for _, c := range buf[:n] {
			v := hexValue(c)
			switch {
			case v < 0:
			case h.high == 0:
				h.high = v + 1
			default:
				p[written] = byte((h.high-1)<<4 | v)
				written, h.high = written+1, 0
			}
		}
		if err == io.EOF && h.high != 0 && written < len(p) {
			p[written] = byte((h.high - 1) << 4)
			written, h.high = written+1, 0
		}
		if written > 0 || err != nil {
			return written, err
		}
	}
}

// runLengthReader undoes RunLengthDecode (ISO 32000-1 section 7.4.5).
type runLengthReader struct {
	r       io.ByteReader
	literal int // bytes to copy
	repeat  int // times to repeat value
	value   byte
	done    bool
}

func (r *runLengthReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !r.done {
		switch {
		case r.repeat > 0:
			p[n] = r.value
			n, r.repeat = n+1, r.repeat-1
		case r.literal > 0:
			c, err := r.r.ReadByte()
			if err != nil {
				r.done = true
				break
			}
			p[n] = c
			n, r.literal = n+1, r.literal-1
		default:
			c, err := r.r.ReadByte()
			switch {
			case err != nil || c == 128:
				r.done = true
			case c < 128:
				r.literal = int(c) + 1
			default:
				if r.value, err = r.r.ReadByte(); err != nil {
					r.done = true
				}
				r.repeat = 257 - int(c)
			}
		}
	}
	if n == 0 && r.done {
		return 0, io.EOF
	}
	return n, nil
}

// predicted undoes the predictor that params names (ISO 32000-1 section 7.4.4.4).
func (f *file) predicted(r io.Reader, params dict) io.Reader {
	predictor := f.integer(params["Predictor"], 1)
	if predictor <= 1 {
		return r
	}
	colors, bits, columns := f.integer(params["Colors"], 1), f.integer(params["BitsPerComponent"], 8), f.integer(params["Columns"], 1)
	if colors < 1 || colors > 32 || columns < 1 || columns > maxSide || bits != 1 && bits != 2 && bits != 4 && bits != 8 && bits != 16 {
		refuse(damaged)
	}
	row := make([]byte, (colors*bits*columns+7)/8)
	return &predictorReader{left: f.left, r: r, png: predictor >= 10, row: row, before: make([]byte, len(row)),
		size: max(1, colors*bits/8), colors: colors, bits: bits}
}

type predictorReader struct {
	left        *Budget
	r           io.Reader
	png         bool
	row, before []byte
	rest        []byte // of row, not read yet
	size        int    // bytes of a pixel
	colors      int
	bits        int
	err         error
}

func (p *predictorReader) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		if p.err = p.next(); p.err != nil && len(p.rest) == 0 {
			return 0, p.err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *predictorReader) next() error {
	p.row, p.before = p.before, p.row
	p.left.spend(costRow)
	filter := []byte{2}
	if p.png {
		if _, err := io.ReadFull(p.r, filter); err != nil {
			return io.EOF
		}
	}
	n, err := io.ReadFull(p.r, p.row)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		clear(p.row[n:])
		err = io.EOF
	}
	if n == 0 {
		return err
	}
	if p.png {
		p.unfilter(filter[0])
	} else {
		p.undiff()
	}
	p.rest = p.row[:n]
	return err
}

// unfilter undoes a PNG filter (PNG specification section 9.2).
func (p *predictorReader) unfilter(filter byte) {
	for i := range p.row {
		var a, b, c int // left, above, above left
		b = int(p.before[i])
		if i >= p.size {
			a, c = int(p.row[i-p.size]), int(p.before[i-p.size])
		}
		switch filter {
		case 1:
			p.row[i] += byte(a)
		case 2:
			p.row[i] += byte(b)
		case 3:
			p.row[i] += byte((a + b) / 2)
		case 4:
			da, db, dc := abs(b-c), abs(a-c), abs(a+b-2*c)
			switch {
			case da <= db && da <= dc:
				p.row[i] += byte(a)
			case db <= dc:
				p.row[i] += byte(b)
			default:
				p.row[i] += byte(c)
			}
		}
	}
}

// undiff undoes TIFF's predictor 2 (TIFF 6.0 section 14).
func (p *predictorReader) undiff() {
	switch p.bits {
	case 8:
		for i := p.colors; i < len(p.row); i++ {
			p.row[i] += p.row[i-p.colors]
		}
	case 16:
		for i := 2 * p.colors; i+1 < len(p.row); i += 2 {
			v := (int(p.row[i])<<8 | int(p.row[i+1])) + (int(p.row[i-2*p.colors])<<8 | int(p.row[i-2*p.colors+1]))
			p.row[i], p.row[i+1] = byte(v>>8), byte(v)
		}
	default:
		p.left.spend(costBits * (len(p.row) * 8 / p.bits))
		last := make([]int, p.colors)
		for i := 0; i < len(p.row)*8/p.bits; i++ {
			at, shift := i*p.bits/8, 8-p.bits-i*p.bits%8
			mask := 1<<p.bits - 1
			v := (int(p.row[at])>>shift + last[i%p.colors]) & mask
			last[i%p.colors] = v
			p.row[at] = p.row[at]&^byte(mask<<shift) | byte(v<<shift)
		}
	}
}

func abs(x int) int { return max(x, -x) }
