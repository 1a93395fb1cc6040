package picture

import (
	"bytes"
	"image/jpeg"
	"sync"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/sample"
)

// camera is a photograph of 12 megapixels and about 5 MB.
var camera = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, sample.Tiled(sample.Photo(2000, 1500, 1, 12), 2), &jpeg.Options{Quality: 92}); err != nil {
		panic(err)
	}
	return b.Bytes()
})

// BenchmarkClean is to take less than twice the time of BenchmarkDecodeEncode.
func BenchmarkClean(b *testing.B) {
	data := camera()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		p, err := Decode(data)
		if err != nil {
			b.Fatal(err)
		}
		out, _, err := p.Encode(0)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(out)), "bytes-out")
	}
}

// BenchmarkDecodeEncode does without scaling what BenchmarkClean does, with the same library.
func BenchmarkDecodeEncode(b *testing.B) {
	data := camera()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			b.Fatal(err)
		}
		var out bytes.Buffer
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: Quality}); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(out.Len()), "bytes-out")
	}
}
