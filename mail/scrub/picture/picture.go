package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math"
	"runtime/debug"
	"slices"
)

// Steps is the number of sizes of [Picture.Encode]. With step 0 the longest side
// has at most 1999 pixels, with each further step a fifth fewer: 1587, 1257, 997,
// 789, 625, 493, 389, 305.
const Steps = 9

// Bounds on what is decoded.
const (
	maxPixels = 120e6
	maxSide   = 1<<16 - 1
	maxMemory = 400 << 20 // bytes that decoding takes, computed from the headers
	// From this many bytes on, what the picture before left behind is given back to the
	// system first: two large pictures in a row must not need room for both.
	giveBackFrom = 64 << 20
)

// Quality is that of every JPEG, on the scale from 1 to 100 that the standard library
// has from the Independent JPEG Group: low enough to wipe out what scaling leaves of
// an earlier quantisation, high enough to keep 45 dB when encoded again.
const Quality = 85

// Picture is a decoded picture: its pixels, upright, at the size of step 0.
type Picture struct {
	pixels  *raster
	lossy   bool
	removed notices
}

// Decode reads a JPEG, PNG, GIF or WebP, told by its content. The error is a
// *[mail.Refusal] for whatever is not one still picture within the bounds.
func Decode(data []byte) (*Picture, error) { return unbounded().decode(data) }

func (b *Budget) decode(data []byte) (*Picture, error) {
	h, err := inspect(data)
	if err != nil {
		return nil, err
	}
	if err := checkSize(h.width, h.height); err != nil {
		return nil, err
	}
	if h.memory > maxMemory {
		return nil, refuseMemory
	}
	if !b.Spend(int(h.work)) {
		return nil, TooMuch
	}
	if h.memory > giveBackFrom {
		debug.FreeOSMemory()
	}
	img, err := h.decode(bytes.NewReader(data))
	if err != nil {
		return nil, refusalFor(err)
	}
	if img.Bounds() != h.frame {
		return nil, refuseDamaged // the decoder read another header than inspect did
	}
	s := newSource(img, image.Rect(0, 0, h.width, h.height))
	if h.own && onLadder(max(h.width, h.height)) {
		p, err := s.unscaled(b)
		if err != nil {
			return nil, err
		}
		if p.lossy = h.lossy; h.lossy {
			return p, nil
		}
		e, err := p.encode(b, 0, len(data))
		if err != nil {
			return nil, err
		}
		if bytes.Equal(e.data, data) {
			return p, nil
		}
	}
	p, err := s.picture(b, h.orientation)
	if err != nil {
		return nil, err
	}
	p.lossy = h.lossy
	p.removed |= h.found
	return p, nil
}

// FromImage makes a picture of one that the caller has decoded, for instance out
// of a PDF. If lossy, it comes from a lossy encoding and becomes JPEG. It is always
// scaled. The error is a *[mail.Refusal] for a picture without pixels or with too many.
func FromImage(img image.Image, lossy bool) (*Picture, error) {
	return unbounded().fromImage(img, lossy)
}

func (b *Budget) fromImage(img image.Image, lossy bool) (*Picture, error) {
	size := img.Bounds().Size()
	if err := checkSize(size.X, size.Y); err != nil {
		return nil, err
	}
	p, err := newSource(img, img.Bounds()).picture(b, 0)
	if err != nil {
		return nil, err
	}
	p.lossy = lossy
	return p, nil
}

func (b *Budget) again(img image.Image) (*Picture, error) {
	size := img.Bounds().Size()
	if err := checkSize(size.X, size.Y); err != nil {
		return nil, err
	}
	if onLadder(max(size.X, size.Y)) {
		p, err := newSource(img, img.Bounds()).unscaled(b)
		if err != nil {
			return nil, err
		}
		if same(p.pixels.fewColors(), img) {
			if e, err := p.encode(b, 0, math.MaxInt); err != nil || e.media == "image/png" {
				return p, err
			}
		}
	}
	return b.fromImage(img, false)
}

// same reports whether two pictures are of one type and have the same pixels.
func same(a, b image.Image) bool {
	switch a := a.(type) {
	case *image.Gray:
		b, ok := b.(*image.Gray)
		return ok && bytes.Equal(a.Pix, b.Pix)
	case *image.RGBA:
		b, ok := b.(*image.RGBA)
		return ok && bytes.Equal(a.Pix, b.Pix)
	case *image.Paletted:
		b, ok := b.(*image.Paletted)
		return ok && slices.Equal(a.Palette, b.Palette) && bytes.Equal(a.Pix, b.Pix)
	}
	return false
}

func checkSize(width, height int) error {
	switch {
	case width <= 0 || height <= 0:
		return refuseDamaged
	case width > maxSide || height > maxSide || width*height > maxPixels:
		return refuseSize
	}
	return nil
}

// picture scales what this package has not written to the size of step 0.
func (s *source) picture(b *Budget, o orientation) (*Picture, error) {
	w, h := fit(s.width, s.height, below(max(s.width, s.height)))
	if !b.Spend(s.cost(w, h)) {
		return nil, TooMuch
	}
	p := &Picture{pixels: s.scale(w, h, o), removed: noticeSize}
	if s.transparent {
		p.removed |= noticeTransparency
	}
	return p, nil
}

// unscaled takes the picture at its own size.
func (s *source) unscaled(b *Budget) (*Picture, error) {
	if !b.Spend(s.cost(s.width, s.height)) {
		return nil, TooMuch
	}
	return &Picture{pixels: s.scale(s.width, s.height, 0)}, nil
}

// Removed names what the picture lost: phrases out of a closed list, each once, in a
// fixed order. There are none for a picture that this package has written itself.
func (p *Picture) Removed() []string { return p.removed.phrases() }

// Encode writes the picture with a longest side of at most that of a step from 0 to
// Steps-1, and says whether it is "image/jpeg" or "image/png". The error is for a step
// out of these bounds.
func (p *Picture) Encode(step int) (data []byte, mediaType string, err error) {
	if step < 0 || step >= Steps {
		return nil, "", fmt.Errorf("encoding a picture: there is no step %d", step)
	}
	e, err := p.encode(unbounded(), step, math.MaxInt)
	return e.data, e.media, err
}

// whole reports whether the picture needs no scaling at a step.
func (p *Picture) whole(step int) bool {
	return max(p.pixels.width, p.pixels.height) <= longestAt(step)
}

// encoded is a picture at a step. Of one that is too large only the size is known, or one
// below it that is too large as well.
type encoded struct {
	data  []byte
	media string
	size  int
}

// encode is Encode within a budget, where more than room bytes are of no use.
func (p *Picture) encode(b *Budget, step, room int) (encoded, error) {
	r := p.pixels
	if !p.whole(step) {
		w, h := fit(r.width, r.height, longestAt(step))
		s := newSource(r.image(), image.Rect(0, 0, r.width, r.height))
		if !b.Spend(s.cost(w, h)) {
			return encoded{}, TooMuch
		}
		r = s.scale(w, h, 0)
	}
	if !b.Spend(costJPEG * ((r.width + 15) &^ 15) * ((r.height + 15) &^ 15)) {
		return encoded{}, TooMuch
	}
	lossy, err := encodeJPEG(r.image())
	if err != nil {
		return encoded{}, fmt.Errorf("encoding a picture: %w", err)
	}
	if !b.Spend(costJPEGByte * len(lossy)) {
		return encoded{}, TooMuch
	}
	e := encoded{lossy, "image/jpeg", len(lossy)}
	if !p.lossy {
		// What would be larger than it may be is not written to its end.
		most := max(16<<10, 2*len(lossy))
		if len(lossy) > room {
			most = min(most, room)
		}
		lossless := UpTo{Left: most}
		if !b.Spend(costStart + costPNG*r.width*r.height + costLine*r.height) {
			return encoded{}, TooMuch
		}
		if err := png.Encode(&lossless, r.fewColors()); err == nil {
			e = encoded{lossless.Bytes(), "image/png", lossless.b.Len()}
		} else if !errors.Is(err, ErrFull) {
			return encoded{}, fmt.Errorf("encoding a picture: %w", err)
		}
		if !b.Spend(costPNGByte * lossless.b.Len()) {
			return encoded{}, TooMuch
		}
	}
	if e.size > room {
		e.data = nil
	}
	return e, nil
}

// UpTo keeps what is written to it, up to so many bytes.
type UpTo struct {
	Left int
	b    bytes.Buffer
}

// ErrFull is the error of writing more than [UpTo] keeps.
var ErrFull = errors.New("there is no room for more")

func (u *UpTo) Write(p []byte) (int, error) {
	if u.Left -= len(p); u.Left < 0 {
		return 0, ErrFull
	}
	return u.b.Write(p)
}

// Bytes returns what was written.
func (u *UpTo) Bytes() []byte { return u.b.Bytes() }

// jfif is the segment that the standard library does not write: APP0 of JFIF 1.01 with
// square pixels and no preview. It says how the colours are meant, and sets our
// JPEGs apart from those of other programs written in Go.
const jfif = "\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"

func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(jfif)
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: Quality}); err != nil {
		return nil, err
	}
	data := b.Bytes()
	copy(data, data[len(jfif):len(jfif)+2]) // SOI comes first
	copy(data[2:], jfif)
	return data, nil
}

// ownJPEG reports whether data has, up to the scan, the bytes that encodeJPEG writes for a
// picture of some size.
func ownJPEG(data []byte) bool {
	for _, img := range []image.Image{image.NewGray(image.Rect(0, 0, 1, 1)), image.NewRGBA(image.Rect(0, 0, 1, 1))} {
		ours, err := encodeJPEG(img)
		if err != nil {
			return false
		}
		size := bytes.Index(ours, []byte{0xff, markerSOF0}) + 5 // height and width, 4 bytes
		scan := bytes.LastIndex(ours, []byte{0xff, markerSOS})
		if len(data) > scan && bytes.Equal(data[:size], ours[:size]) && bytes.Equal(data[size+4:scan], ours[size+4:scan]) {
			return true
		}
	}
	return false
}

// The ladder of sizes: every longest side that a picture can have. A rung is odd,
// which sizes of screens and sensors are not, and an eighteenth shorter than the one above it.
const (
	longest      = 1999
	rungsPerStep = 4
)

// rung is the longest odd number of pixels that is at most n, and at least 1.
func rung(n int) int { return max(n-1+n%2, 1) }

// next is the rung below a rung.
func next(n int) int { return rung(n * 17 / 18) }

// longestAt is the longest side of a step.
func longestAt(step int) int {
	n := longest
	for range step * rungsPerStep {
		n = next(n)
	}
	return n
}

// below is the first rung that is shorter than n by at least a thirty-second, so that
// no part of the picture keeps its grid of 8×8 pixels.
func below(n int) int {
	r := longest
	for r > 1 && r > n*31/32 {
		r = next(r)
	}
	return r
}

func onLadder(n int) bool {
	r := longest
	for r > n {
		r = next(r)
	}
	return r == n
}

// fit returns the sides of a picture of w by h pixels scaled to a longest side of n.
func fit(w, h, n int) (int, int) {
	long := max(w, h)
	return max((2*w*n+long)/(2*long), 1), max((2*h*n+long)/(2*long), 1)
}
