package sample

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// The frames of [FlatJPEG] (ITU-T T.81 table B.1).
const (
	Baseline    = 0xc0
	Progressive = 0xc2
)

// FlatJPEG is a gray-green JPEG of any size in few bytes: one code of one bit for DC, one for
// the end of a block. Components have the given sampling factors; four are inks. A
// progressive one has as many scans, each of which passes over all of it.
func FlatJPEG(w, h int, frame byte, scans int, factors ...byte) []byte {
	segment := func(marker byte, content string) []byte {
		return append([]byte{0xff, marker, byte((len(content) + 2) >> 8), byte(len(content) + 2)}, content...)
	}
	var dqt [65]byte
	for i := range dqt[1:] {
		dqt[1+i] = 1
	}
	code := string(append([]byte{1}, make([]byte, 16)...)) // one code, of one bit, for 0
	size := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{8}, uint16(h)), uint16(w))
	size = append(size, byte(len(factors)))
	selectors := []byte{byte(len(factors))}
	blocks := 0
	for i, f := range factors {
		size = append(size, byte(i+1), f, 0)
		selectors = append(selectors, byte(i+1), 0)
		blocks += int(f>>4) * int(f&15)
	}
	units := (w/8/int(factors[0]>>4) + 1) * (h/8/int(factors[0]&15) + 1)
	out := []byte{0xff, 0xd8}
	if len(factors) == 4 {
		out = append(out, segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x02")...)
	}
	out = slices.Concat(out, segment(0xdb, string(dqt[:])), segment(frame, string(size)), segment(0xc4, "\x00"+code+"\x10"+code))
	if frame != Progressive {
		out = slices.Concat(out, segment(0xda, string(selectors)+"\x00\x3f\x00"), make([]byte, units*blocks*2/8+1))
	} else {
		out = slices.Concat(out, segment(0xda, string(selectors)+"\x00\x00\x00"), make([]byte, units*blocks/8+1))
		for range scans - 1 {
			out = slices.Concat(out, segment(0xda, "\x01\x01\x00\x01\x3f\x00"), make([]byte, units*int(factors[0]>>4)*int(factors[0]&15)/8+1))
		}
	}
	return append(out, 0xff, 0xd9)
}

// Zeros is so many zero bytes, compressed by zlib (RFC 1950).
func Zeros(n int) []byte {
	var z bytes.Buffer
	zw, err := zlib.NewWriterLevel(&z, zlib.BestSpeed)
	if err != nil {
		panic(err) // the level is known
	}
	zeros := make([]byte, 1<<16)
	for ; n > 0; n -= len(zeros) {
		zw.Write(zeros[:min(n, len(zeros))]) // to memory
	}
	zw.Close()
	return z.Bytes()
}

// FlatPNG is a PNG of zeros, of bits a pixel. An interlaced one has sides that are multiples of 8.
func FlatPNG(w, h int, depth, colors, interlace byte, bits int) []byte {
	chunk := func(kind, content string) []byte {
		b := append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), kind+content...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	}
	row := func(w int) int { return 1 + (w*bits+7)/8 } // with its filter
	n := h * row(w)
	if interlace == 1 { // Adam7
		n = h/8*(2*row(w/8)+row(w/4)) + h/4*(row(w/4)+row(w/2)) + h/2*(row(w/2)+row(w))
	}
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(w)), uint32(h))
	out := append([]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", string(append(header, depth, colors, 0, 0, interlace)))...)
	if colors == 3 {
		out = append(out, chunk("PLTE", "abc")...)
	}
	return slices.Concat(out, chunk("IDAT", string(Zeros(n))), chunk("IEND", ""))
}

// FlatGIF is an interlaced GIF of one colour.
func FlatGIF(w, h int) []byte {
	var z bytes.Buffer
	zw := lzw.NewWriter(&z, lzw.LSB, 2)
	zw.Write(make([]byte, w*h)) // to memory
	zw.Close()
	le := binary.LittleEndian.AppendUint16
	out := append(le(le([]byte("GIF89a"), uint16(w)), uint16(h)), 0x80, 0, 0, 0, 0, 0, 255, 255, 255, 0x2c, 0, 0, 0, 0)
	out = append(le(le(out, uint16(w)), uint16(h)), 0x40, 2)
	for part := range slices.Chunk(z.Bytes(), 255) {
		out = append(append(out, byte(len(part))), part...)
	}
	return append(out, 0, 0x3b)
}

// FlatWebP is a lossless WebP of one colour: five codes of one symbol, no bit for a pixel.
func FlatWebP(w, h int) []byte {
	bits, n := uint64(w-1)|uint64(h-1)<<14, 32 // size, alpha, version
	n += 1 + 1 + 1                             // no transform, no cache, no groups of codes
	for range 5 {
		bits |= 1 << n // a simple code of one symbol of one bit, 0
		n += 4
	}
	content := append(binary.LittleEndian.AppendUint64([]byte{0x2f}, bits), 0, 0, 0, 0, 0)
	body := append(binary.LittleEndian.AppendUint32([]byte("WEBPVP8L"), uint32(len(content))), content...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// CodedWebP is a lossless WebP of as many groups of codes as golang.org/x/image/vp8l takes, each for as
// many symbols as can be in few bytes (RFC 9649 section 3.7).
func CodedWebP(groups int) []byte {
	const side = 208 // 52×52 tiles, each of which can have a group
	var out []byte
	n := 0
	put := func(v, bits int) { // the lowest bit first
		for i := range bits {
			if n%8 == 0 {
				out = append(out, 0)
			}
			out[n/8] |= byte(v>>i&1) << (n % 8)
			n++
		}
	}
	lengths := []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	// code is one in which the first 1<<length symbols have that length.
	code := func(length int) {
		put(0, 1)
		at := slices.Index(lengths, length)
		put(at+1-4, 4)
		put(1<<(3*at), 3*(at+1)) // no other length is used, so naming it takes no bits
		put(1, 1)
		put(5, 3)
		put(1<<length-2, 12)
	}
	simple := func() { put(1, 4) } // of one symbol, 0
	put(0x2f, 8)
	put(side-1, 14)
	put(side-1, 14)
	put(0, 4)  // no alpha, version 0
	put(0, 1)  // no transforms
	put(1, 1)  // a cache of 1<<11 colours, so that there are symbols for it
	put(11, 4) //
	put(1, 1)  // groups, of tiles of 4×4
	put(0, 3)  //
	put(0, 1)  // which need no cache
	code(8)    // green
	code(8)    // red
	simple()   // blue
	simple()   // alpha
	simple()   // distance
	for i := range side / 4 * side / 4 {
		g := min(i, groups-1)
		for bit := 7; bit >= 0; bit-- {
			put(g>>bit, 1)
		}
		for bit := 15; bit >= 8; bit-- {
			put(g>>bit, 1)
		}
	}
	for range groups {
		code(11)
		code(8)
		code(8)
		code(8)
		code(5)
	}
	for range side * side {
		put(0, 11+8+8+8) // the first of each
	}
	content := append(binary.LittleEndian.AppendUint32([]byte("WEBPVP8L"), uint32(len(out))), out...)
	if len(out)%2 == 1 {
		content = append(content, 0)
	}
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(content))), content...)
}
