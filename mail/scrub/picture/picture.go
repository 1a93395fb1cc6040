package picture

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"runtime/debug"
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
func Decode(data []byte) (*Picture, error) {
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
		p := &Picture{pixels: s.scale(h.width, h.height, 0), lossy: h.lossy}
		if h.lossy {
			return p, nil
		}
		if again, _, err := p.Encode(0); err == nil && bytes.Equal(again, data) {
			return p, nil
		}
	}
	p := s.picture(h.orientation)
	p.lossy = h.lossy
	p.removed |= h.found
	return p, nil
}

// FromImage makes a picture of one that the caller has decoded, for instance out
// of a PDF. If lossy, it comes from a lossy encoding and becomes JPEG. It is always
// scaled. The error is a *[mail.Refusal] for a picture without pixels or with too many.
func FromImage(img image.Image, lossy bool) (*Picture, error) {
	size := img.Bounds().Size()
	if err := checkSize(size.X, size.Y); err != nil {
		return nil, err
	}
	p := newSource(img, img.Bounds()).picture(0)
	p.lossy = lossy
	return p, nil
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
func (s *source) picture(o orientation) *Picture {
	w, h := fit(s.width, s.height, below(max(s.width, s.height)))
	p := &Picture{pixels: s.scale(w, h, o), removed: noticeSize}
	if s.transparent {
		p.removed |= noticeTransparency
	}
	return p
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
	r := p.pixels
	if limit := longestAt(step); max(r.width, r.height) > limit {
		w, h := fit(r.width, r.height, limit)
		s := newSource(r.image(), image.Rect(0, 0, r.width, r.height))
		r = s.scale(w, h, 0)
	}
	lossy, err := encodeJPEG(r.image())
	if err != nil {
		return nil, "", fmt.Errorf("encoding a picture: %w", err)
	}
	if p.lossy {
		return lossy, "image/jpeg", nil
	}
	var lossless bytes.Buffer
	if err := png.Encode(&lossless, r.fewColors()); err != nil {
		return nil, "", fmt.Errorf("encoding a picture: %w", err)
	}
	if lossless.Len() > max(16<<10, 2*len(lossy)) {
		return lossy, "image/jpeg", nil
	}
	return lossless.Bytes(), "image/png", nil
}

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
