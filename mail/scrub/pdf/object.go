package pdf

import (
	"slices"
	"strconv"
	"strings"
)

// The objects of a PDF (ISO 32000-1 section 7.3). Null is nil, a boolean a
// bool, an integer an int; what is not an integer stays decimal text, so that
// no rounding differs between machines.
type (
	name    string // without the slash, #xx undone
	text    string // the bytes of a string
	decimal string // a number that is not an integer, in the form [number] gives it
	array   []any  //
	keyword string // an operator of a content stream, or obj, stream, R and the like
	dict    map[name]any
)

// ref is an indirect reference. Generations are not told apart: a file has one
// live object of a number.
type ref int

// stream is a stream as it is in the file: raw is neither decrypted nor decoded.
type stream struct {
	dict dict
	raw  []byte

	num, gen int
	sealed   bool // encrypted
}

// keys returns the keys of d in order.
func (d dict) keys() []name {
	keys := make([]name, 0, len(d))
	for k := range d {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Bounds on numbers as they are written: the largest value of an integer that
// all readers share (ISO 32000-1 annex C), and enough digits for any place on
// a page.
const (
	maxInteger  = 1<<31 - 1
	maxDecimals = 6
)

// number gives the one form of a decimal number: an int where it is whole, else
// text with one leading digit at least and no zero at its end, rounded half up to
// six digits after the point, or to six that are not zero where the number is below 1.
func number(s string) any {
	negative := false
	for len(s) > 0 && (s[0] == '+' || s[0] == '-') {
		negative = negative || s[0] == '-'
		s = s[1:]
	}
	if i := strings.IndexAny(s, "+-"); i >= 0 {
		s = s[:i] // "12-34", as some old programs write, is read as 12 everywhere
	}
	whole, fraction, _ := strings.Cut(s, ".")
	if i := strings.IndexByte(fraction, '.'); i >= 0 {
		fraction = fraction[:i]
	}
	whole = strings.TrimLeft(whole, "0")
	keep := maxDecimals
	if whole == "" {
		keep += len(fraction) - len(strings.TrimLeft(fraction, "0"))
	}
	if len(fraction) > keep {
		up := fraction[keep] >= '5'
		digits := []byte("0" + whole + fraction[:keep])
		for i := len(digits) - 1; up; i-- {
			if up = digits[i] == '9'; up {
				digits[i] = '0'
			} else {
				digits[i]++
			}
		}
		whole, fraction = strings.TrimLeft(string(digits[:len(digits)-keep]), "0"), string(digits[len(digits)-keep:])
	}
	fraction = strings.TrimRight(fraction, "0")
	if whole == "" {
		whole = "0"
	}
	if len(whole) > 10 || len(fraction) > 4*maxDecimals {
		whole, fraction = map[bool]string{true: strconv.Itoa(maxInteger), false: "0"}[len(whole) > 10], ""
	}
	if fraction == "" {
		n, _ := strconv.Atoi(whole)
		n = min(n, maxInteger)
		if negative {
			n = -n
		}
		return n
	}
	if negative {
		return decimal("-" + whole + "." + fraction)
	}
	return decimal(whole + "." + fraction)
}

// float returns the value of a number. It is used to compare, and for the few
// sums whose every step is rounded by a conversion, so that no machine fuses two.
func float(o any) (float64, bool) {
	switch o := o.(type) {
	case int:
		return float64(o), true
	case decimal:
		f, err := strconv.ParseFloat(string(o), 64)
		return f, err == nil
	}
	return 0, false
}

// fromFloat is the number nearest to f.
func fromFloat(f float64) any {
	return number(strconv.FormatFloat(f, 'f', maxDecimals, 64))
}
