package picture

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"testing"
)

func asJPEG(t testing.TB, img image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// clean decodes and encodes, and decodes the result with the standard library.
func clean(t testing.TB, data []byte, step int) (out []byte, mediaType string, img image.Image) {
	t.Helper()
	p, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if out, mediaType, err = p.Encode(step); err != nil {
		t.Fatal(err)
	}
	decode := png.Decode
	if mediaType == "image/jpeg" {
		decode = jpeg.Decode
	}
	if img, err = decode(bytes.NewReader(out)); err != nil {
		t.Fatal(err)
	}
	return out, mediaType, img
}

// psnr compares red, green and blue, in decibels.
func psnr(t testing.TB, a, b image.Image) float64 {
	t.Helper()
	if a.Bounds().Size() != b.Bounds().Size() {
		t.Fatalf("sizes %v and %v", a.Bounds().Size(), b.Bounds().Size())
	}
	rgb := func(img image.Image) []byte {
		out := image.NewRGBA(image.Rectangle{Max: img.Bounds().Size()})
		draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
		return out.Pix
	}
	sum, other := 0.0, rgb(b)
	for i, v := range rgb(a) {
		d := float64(v) - float64(other[i]) // alpha is the same in both
		sum += d * d
	}
	if sum == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(255*255*3*float64(a.Bounds().Dx()*a.Bounds().Dy())/sum)
}
