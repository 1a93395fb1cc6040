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

// HeavyPictures are pictures at the bounds of package picture, of every kind that it decodes.
var HeavyPictures = []Heavy{
	{"JPEG 4:4:4 of 119 megapixels", func(size float64) []byte {
		n := square(119.5 * size)
		return FlatJPEG(n, n, Baseline, 1, 0x11, 0x11, 0x11)
	}},
	{"JPEG progressive 4:2:0 of 50 megapixels", func(size float64) []byte {
		n := square(50 * size)
		return FlatJPEG(n, n, Progressive, 40, 0x22, 0x11, 0x11)
	}},
	{"JPEG progressive gray of 80 megapixels", func(size float64) []byte {
		n := square(80 * size)
		return FlatJPEG(n, n, Progressive, 40, 0x11)
	}},
	{"JPEG of inks, 50 megapixels", func(size float64) []byte {
		n := square(50 * size)
		return FlatJPEG(n, n, Baseline, 1, 0x11, 0x11, 0x11, 0x11)
	}},
	{"JPEG 4:2:0 of 40 megapixels, 25 MB", func(size float64) []byte {
		tile := Photo(1750, 1300, 1, 30)
		return encodeJPEG(Tiled(tile, max(1, int(4*math.Sqrt(size)))), 94)
	}},
	{"PNG 16-bit RGBA of 50 megapixels", func(size float64) []byte {
		n := square(50.3 * size)
		return FlatPNG(n, n, 16, 6, 0, 64)
	}},
	{"PNG 16-bit RGB interlaced, 26 megapixels", func(size float64) []byte {
		n := square(25.8 * size)
		return FlatPNG(n, n, 16, 2, 1, 48)
	}},
	{"PNG palette of 119 megapixels", func(size float64) []byte {
		n := square(119.5 * size)
		return FlatPNG(n, n, 8, 3, 0, 8)
	}},
	{"PNG 8-bit RGB of 100 megapixels", func(size float64) []byte {
		n := square(104 * size)
		return FlatPNG(n, n, 8, 2, 0, 24)
	}},
	{"GIF interlaced of 119 megapixels", func(size float64) []byte {
		n := square(119.5 * size)
		return FlatGIF(n, n)
	}},
	{"WebP lossless of 29 megapixels", func(size float64) []byte {
		n := square(29 * size)
		return FlatWebP(n, n)
	}},
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
