package pdf

import (
	"image"
	"strings"
)

// Codes of runs (ITU-T T.4 tables 2 and 3): of 0 to 63 pixels, then of 64, 128 and
// on to 2560; those above 1728 are the same for both colours.
var (
	whiteRuns = strings.Fields(`00110101 000111 0111 1000 1011 1100 1110 1111 10011 10100 00111 01000 001000 000011 110100 110101 101010 101011
		0100111 0001100 0001000 0010111 0000011 0000100 0101000 0101011 0010011 0100100 0011000 00000010 00000011 00011010
		00011011 00010010 00010011 00010100 00010101 00010110 00010111 00101000 00101001 00101010 00101011 00101100 00101101
		00000100 00000101 00001010 00001011 01010010 01010011 01010100 01010101 00100100 00100101 01011000 01011001 01011010
		01011011 01001010 01001011 00110010 00110011 00110100 11011 10010 010111 0110111 00110110 00110111 01100100 01100101
		01101000 01100111 011001100 011001101 011010010 011010011 011010100 011010101 011010110 011010111 011011000 011011001
		011011010 011011011 010011000 010011001 010011010 011000 010011011 00000001000 00000001100 00000001101 000000010010
		000000010011 000000010100 000000010101 000000010110 000000010111 000000011100 000000011101 000000011110 000000011111`)
	blackRuns = strings.Fields(`0000110111 010 11 10 011 0011 0010 00011 000101 000100 0000100 0000101 0000111 00000100 00000111 000011000 0000010111
		0000011000 0000001000 00001100111 00001101000 00001101100 00000110111 00000101000 00000010111 00000011000 000011001010
		000011001011 000011001100 000011001101 000001101000 000001101001 000001101010 000001101011 000011010010 000011010011
		000011010100 000011010101 000011010110 000011010111 000001101100 000001101101 000011011010 000011011011 000001010100
		000001010101 000001010110 000001010111 000001100100 000001100101 000001010010 000001010011 000000100100 000000110111
		000000111000 000000100111 000000101000 000001011000 000001011001 000000101011 000000101100 000001011010 000001100110
		000001100111 0000001111 000011001000 000011001001 000001011011 000000110011 000000110100 000000110101 0000001101100
		0000001101101 0000001001010 0000001001011 0000001001100 0000001001101 0000001110010 0000001110011 0000001110100
		0000001110101 0000001110110 0000001110111 0000001010010 0000001010011 0000001010100 0000001010101 0000001011010
		0000001011011 0000001100100 0000001100101 00000001000 00000001100 00000001101 000000010010 000000010011 000000010100
		000000010101 000000010110 000000010111 000000011100 000000011101 000000011110 000000011111`)
)

// vertical are the codes for a change that is three pixels left to three right of
// the one above it (ITU-T T.6 table 1).
var vertical = [7]string{"0000010", "000010", "010", "1", "011", "000011", "0000011"}

const (
	passMode   = "0001"
	horizontal = "001"
	endOfBlock = "000000000001000000000001"
	longestRun = 2560
)

// encodeFax compresses a picture of two colours, 0 for black, by Group 4 (ITU-T T.6): scans take
// half of what they take otherwise.
func encodeFax(img *image.Paletted) []byte {
	var w bitWriter
	width := img.Rect.Dx()
	above := []int{width, width, width}
	for y := range img.Rect.Dy() {
		row := changes(img.Pix[y*img.Stride:][:width])
		w.row(row, above, width)
		above = row
	}
	w.put(endOfBlock)
	return w.bytes()
}

// changes returns where a row changes its colour, beginning with the first change to black,
// and then its width three times.
func changes(row []uint8) []int {
	var list []int
	last := uint8(1)
	for x, v := range row {
		if v != last {
			list, last = append(list, x), v
		}
	}
	return append(list, len(row), len(row), len(row))
}

type bitWriter struct {
	out  []byte
	last byte
	n    int // bits in last
}

func (w *bitWriter) put(code string) {
	for i := range len(code) {
		w.last = w.last<<1 | code[i]&1
		if w.n++; w.n == 8 {
			w.out = append(w.out, w.last)
			w.last, w.n = 0, 0
		}
	}
}

func (w *bitWriter) bytes() []byte {
	if w.n > 0 {
		return append(w.out, w.last<<(8-w.n))
	}
	return w.out
}

// row encodes one row by the one above it (ITU-T T.6 section 2.2). The names are the standard's: a
// are changes of this row, b of the one above.
func (w *bitWriter) row(row, above []int, width int) {
	a0, color := -1, 0 // 0 is white, as is the parity of a change to black
	i, j := 0, 0
	for a0 < width {
		for row[i] <= a0 && row[i] < width {
			i++
		}
		for j > 0 && above[j-1] > a0 {
			j--
		}
		for above[j] < width && (above[j] <= a0 || j%2 != color) {
			j++
		}
		a1, b1, b2 := row[i], above[j], above[min(j+1, len(above)-1)]
		switch d := a1 - b1; {
		case b2 < a1:
			w.put(passMode)
			a0 = b2
		case d >= -3 && d <= 3:
			w.put(vertical[d+3])
			a0, color = a1, 1-color
		default:
			a2 := row[min(i+1, len(row)-1)]
			w.put(horizontal)
			w.run(a1-max(a0, 0), color)
			w.run(a2-a1, 1-color)
			a0 = a2
		}
	}
}

func (w *bitWriter) run(n, color int) {
	codes := whiteRuns
	if color == 1 {
		codes = blackRuns
	}
	for ; n >= longestRun+64; n -= longestRun {
		w.put(codes[len(codes)-1])
	}
	if n >= 64 {
		w.put(codes[63+n/64])
	}
	w.put(codes[n%64])
}
