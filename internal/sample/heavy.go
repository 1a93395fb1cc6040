package sample

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"math"
)

// Heavy is something that takes long, or much memory, for its bytes.
type Heavy struct {
	Name string
	Make func(size float64) []byte // size is from 0 to 1, of what may be
}

// square is a side of a square of so many megapixels, a multiple of 16.
func square(megapixels float64) int { return max(int(math.Sqrt(megapixels*1e6))&^15, 16) }

// flatJPEG, flatPNG and flat make squares of so many megapixels at most.
func flatJPEG(megapixels float64, frame byte, scans int, factors ...byte) func(float64) []byte {
	return flat(megapixels, func(n int) []byte { return FlatJPEG(n, n, frame, scans, factors...) })
}

func flatPNG(megapixels float64, depth, colors, interlace byte, bits int) func(float64) []byte {
	return flat(megapixels, func(n int) []byte { return FlatPNG(n, n, depth, colors, interlace, bits) })
}

func flat(megapixels float64, of func(side int) []byte) func(float64) []byte {
	return func(size float64) []byte { return of(square(megapixels * size)) }
}

// HeavyPictures are pictures at the bounds of package picture, of every kind that it decodes.
var HeavyPictures = []Heavy{
	{"JPEG 4:4:4 of 119 megapixels", flatJPEG(119.5, Baseline, 1, 0x11, 0x11, 0x11)},
	{"JPEG progressive 4:2:0 of 50 megapixels", flatJPEG(50, Progressive, 40, 0x22, 0x11, 0x11)},
	{"JPEG progressive gray of 80 megapixels", flatJPEG(80, Progressive, 40, 0x11)},
	{"JPEG of inks, 50 megapixels", flatJPEG(50, Baseline, 1, 0x11, 0x11, 0x11, 0x11)},
	{"JPEG 4:2:0 of 40 megapixels, 25 MB", func(size float64) []byte {
		tile := Photo(1750, 1300, 1, 30)
		return encodeJPEG(Tiled(tile, max(1, int(4*math.Sqrt(size)))), 94)
	}},
	{"PNG 16-bit RGBA of 50 megapixels", flatPNG(50.3, 16, 6, 0, 64)},
	{"PNG 16-bit RGB interlaced, 26 megapixels", flatPNG(25.8, 16, 2, 1, 48)},
	{"PNG palette of 119 megapixels", flatPNG(119.5, 8, 3, 0, 8)},
	{"PNG 8-bit RGB of 100 megapixels", flatPNG(104, 8, 2, 0, 24)},
	{"GIF interlaced of 119 megapixels", flat(119.5, func(n int) []byte { return FlatGIF(n, n) })},
	{"WebP lossless of 29 megapixels", flat(29, func(n int) []byte { return FlatWebP(n, n) })},
	{"WebP lossless of many codes", func(size float64) []byte { return CodedWebP(many(2600, size)) }},
	{"PNG of letters, 4 megapixels", func(size float64) []byte { return encodePNG(Page(1999, int(1999*size))) }},
	{"PNG of a photograph, 4 megapixels", func(size float64) []byte { return encodePNG(Photo(1999, int(1999*size), 5, 2)) }},
}

func encodeJPEG(img image.Image, quality int) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		panic(err) // to memory, of a size that can be
	}
	return b.Bytes()
}

func encodePNG(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // to memory, of a size that can be
	}
	return b.Bytes()
}
