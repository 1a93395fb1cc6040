package picture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	xdraw "golang.org/x/image/draw"

	"codeberg.org/sourdine/sourdine/internal/golden"
	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail"
)

func TestLadder(t *testing.T) {
	var limits []int
	for step := range Steps {
		limits = append(limits, longestAt(step))
	}
	if want := []int{1999, 1587, 1257, 997, 789, 625, 493, 389, 305}; !slices.Equal(limits, want) {
		t.Errorf("steps end at %v, documented is %v", limits, want)
	}
	for n := 1; n < 3000; n++ {
		b := below(n)
		if b%2 != 1 || !onLadder(b) || b > 1 && b > n*31/32 {
			t.Fatalf("%d pixels become %d", n, b)
		}
		// 31/32 of a rung to the next: a large picture loses at most a tenth of its side.
		if n > 100 && n < 2060 && b < n*9/10 {
			t.Fatalf("%d pixels become %d only", n, b)
		}
		// A sixteenth and a pixel or two of a small one.
		if n > 16 && n <= 100 && b < n-n/8-2 {
			t.Fatalf("%d pixels become %d only", n, b)
		}
	}
}

// pattern is the picture that the files in testdata show: gradients, and a red block that no
// mirroring leaves in its place.
func pattern() *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for y := range 48 {
		for x := range 64 {
			c := color.RGBA{uint8(4 * x), uint8(5 * y), uint8(255 - 2*(x+y)), 0xff}
			if 8 <= x && x < 24 && 8 <= y && y < 20 {
				c = color.RGBA{200, 30, 40, 0xff}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// reference scales with another scaler, to the size that ours chooses.
func reference(img image.Image) *image.RGBA {
	size := img.Bounds().Size()
	w, h := fit(size.X, size.Y, below(max(size.X, size.Y)))
	scaled := image.NewRGBA(image.Rect(0, 0, w, h))
	xdraw.CatmullRom.Scale(scaled, scaled.Rect, img, img.Bounds(), draw.Src, nil)
	return scaled
}

func gray(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	draw.Draw(out, out.Rect, toGray(img), image.Point{}, draw.Src)
	return out
}

func toGray(img image.Image) *image.Gray {
	g := image.NewGray(img.Bounds())
	draw.Draw(g, g.Rect, img, img.Bounds().Min, draw.Src)
	return g
}

// translucent is the pattern with a transparent right quarter and a translucent bottom; onWhite
// is what is seen of it on white.
func translucent() (img *image.NRGBA, onWhite *image.RGBA) {
	img, onWhite = image.NewNRGBA(image.Rect(0, 0, 64, 48)), image.NewRGBA(image.Rect(0, 0, 64, 48))
	draw.Draw(onWhite, onWhite.Rect, image.White, image.Point{}, draw.Src)
	for y := range 48 {
		for x := range 64 {
			c := pattern().RGBAAt(x, y)
			n := color.NRGBA{c.R, c.G, c.B, 0xff}
			if x >= 48 {
				n.A = 0
			} else if y >= 40 {
				n.A = 128
			}
			img.SetNRGBA(x, y, n)
		}
	}
	draw.Draw(onWhite, onWhite.Rect, img, image.Point{}, draw.Over)
	return img, onWhite
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func asGIF(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// converted returns the pattern as another type of image.
func converted[T draw.Image](make func(image.Rectangle) T) T {
	img := make(image.Rect(0, 0, 64, 48))
	draw.Draw(img, img.Bounds(), pattern(), image.Point{}, draw.Src)
	return img
}

// colors64 is the pattern in at most 64 colours, as a screenshot or a drawing may be.
func colors64() *image.Paletted {
	img := image.NewPaletted(image.Rect(0, 0, 64, 48), palette.WebSafe)
	draw.Draw(img, img.Rect, pattern(), image.Point{}, draw.Src)
	return img
}

func TestKinds(t *testing.T) {
	upper, seen := translucent()
	wide := image.NewNRGBA64(upper.Rect)
	draw.Draw(wide, wide.Rect, upper, image.Point{}, draw.Src)
	bilevel := image.NewPaletted(image.Rect(0, 0, 64, 48), color.Palette{color.Black, color.White})
	draw.FloydSteinberg.Draw(bilevel, bilevel.Rect, pattern(), image.Point{})
	part := image.NewPaletted(image.Rect(10, 5, 40, 30), palette.WebSafe)
	draw.Draw(part, part.Rect, pattern(), part.Rect.Min, draw.Src)
	partly := image.NewRGBA(image.Rect(0, 0, 64, 48))
	draw.Draw(partly, partly.Rect, image.White, image.Point{}, draw.Src)
	draw.Draw(partly, part.Rect, part, part.Rect.Min, draw.Src)
	var framed bytes.Buffer
	if err := gif.EncodeAll(&framed, &gif.GIF{Image: []*image.Paletted{part}, Delay: []int{0}, Config: image.Config{ColorModel: part.Palette, Width: 64, Height: 48}}); err != nil {
		t.Fatal(err)
	}
	const jpegType, pngType = "image/jpeg", "image/png"
	size, alpha, colors := noticeSize, noticeSize|noticeTransparency, noticeSize|noticeColors
	for _, test := range []struct {
		name      string
		data      []byte
		want      image.Image // before scaling
		mediaType string
		least     float64 // PSNR in decibels
		removed   notices
	}{
		{"JPEG 4:2:0", asJPEG(t, pattern(), 92), pattern(), jpegType, 27, size},
		{"JPEG 4:4:4", file(t, "444.jpg"), pattern(), jpegType, 28, size},
		{"JPEG 4:2:2", file(t, "422.jpg"), pattern(), jpegType, 27, size},
		{"JPEG 4:4:0", file(t, "440.jpg"), pattern(), jpegType, 27, size},
		{"JPEG 4:1:1", file(t, "411.jpg"), pattern(), jpegType, 25, size},
		{"JPEG progressive", file(t, "progressive.jpg"), pattern(), jpegType, 27, size},
		{"JPEG gray, progressive", file(t, "gray-progressive.jpg"), gray(pattern()), jpegType, 36, size},
		{"JPEG gray, restarts", file(t, "gray-restart.jpg"), gray(pattern()), jpegType, 36, size},
		{"JPEG RGB", file(t, "rgb.jpg"), pattern(), jpegType, 28, size},
		{"JPEG inks", file(t, "ycck.jpg"), pattern(), jpegType, 27, colors},
		{"PNG 8-bit RGB", asPNG(t, pattern()), pattern(), pngType, 40, size},
		{"PNG interlaced", file(t, "interlaced.png"), pattern(), pngType, 40, size},
		{"PNG 8-bit RGBA", asPNG(t, upper), seen, pngType, 38, alpha},
		{"PNG 16-bit RGBA", asPNG(t, wide), seen, pngType, 38, alpha},
		{"PNG 16-bit RGB", asPNG(t, converted(image.NewRGBA64)), pattern(), pngType, 40, size},
		{"PNG 8-bit gray", asPNG(t, converted(image.NewGray)), gray(pattern()), pngType, 40, size},
		{"PNG 16-bit gray", asPNG(t, converted(image.NewGray16)), gray(pattern()), pngType, 40, size},
		{"PNG palette", asPNG(t, colors64()), colors64(), pngType, 40, size},
		{"PNG black and white", asPNG(t, bilevel), bilevel, pngType, 34, size},
		{"GIF", asGIF(t, colors64()), colors64(), pngType, 40, size},
		{"GIF of another program", file(t, "still.gif"), pattern(), pngType, 25, size},
		{"GIF interlaced", file(t, "interlaced.gif"), pattern(), pngType, 25, size},
		{"GIF smaller than its screen", framed.Bytes(), partly, pngType, 36, alpha},
		{"WebP lossy", file(t, "lossy.webp"), pattern(), jpegType, 26, size},
		{"WebP lossy with alpha", file(t, "alpha.webp"), seen, jpegType, 24, alpha},
		{"WebP lossless", file(t, "lossless.webp"), pattern(), pngType, 40, size},
		{"WebP lossless with alpha", file(t, "alpha-lossless.webp"), seen, pngType, 38, alpha},
	} {
		out, mediaType, img := clean(t, test.data, 0)
		if mediaType != test.mediaType {
			t.Errorf("%s became %s", test.name, mediaType)
		}
		if db := psnr(t, img, reference(test.want)); db < test.least {
			t.Errorf("%s: %.1f dB, want %.0f", test.name, db, test.least)
		}
		p, err := Decode(test.data)
		if err != nil {
			t.Fatal(err)
		}
		if p.removed != test.removed {
			t.Errorf("%s: removed %q", test.name, p.Removed())
		}
		checkClean(t, out, mediaType)
		checkAgain(t, out, mediaType, img)
		for step := range Steps {
			if _, _, img := clean(t, test.data, step); max(img.Bounds().Dx(), img.Bounds().Dy()) > longestAt(step) {
				t.Errorf("%s is %v at step %d", test.name, img.Bounds(), step)
			}
		}
	}
}

// TestWebPRange compares colors with those that dwebp 1.2.4 decodes: lossy WebP does not use the whole
// range of a sample.
func TestWebPRange(t *testing.T) {
	img, err := decodeWebP(bytes.NewReader(file(t, "lossy.webp")))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[image.Point][3]int{{0, 0}: {2, 3, 248}, {10, 10}: {200, 30, 39}, {40, 20}: {161, 100, 136}, {63, 47}: {250, 236, 42}} {
		r, g, b, _ := img.At(at.X, at.Y).RGBA()
		for i, v := range [3]uint32{r, g, b} {
			if d := int(v>>8) - want[i]; d < -4 || d > 4 {
				t.Errorf("at %v: %d %d %d, want %d", at, r>>8, g>>8, b>>8, want)
				break
			}
		}
	}
}

// checkClean checks that an output has the parts that it must have, and no other.
func checkClean(t testing.TB, out []byte, mediaType string) {
	t.Helper()
	var parts []string
	if mediaType == "image/png" {
		for pos := 8; pos < len(out); {
			length := int(binary.BigEndian.Uint32(out[pos:]))
			parts = append(parts, string(out[pos+4:pos+8]))
			pos += 12 + length
		}
		if parts = slices.Compact(parts); !slices.Equal(parts, []string{"IHDR", "IDAT", "IEND"}) && !slices.Equal(parts, []string{"IHDR", "PLTE", "IDAT", "IEND"}) {
			t.Errorf("chunks %q", parts)
		}
		return
	}
	want := []byte{0xe0, 0xdb, 0xc0, 0xc4, 0xda}
	var markers []byte
	pos := 2
	for len(markers) < len(want) {
		markers = append(markers, out[pos+1])
		pos += 2 + int(binary.BigEndian.Uint16(out[pos+2:]))
	}
	if !bytes.Equal(markers, want) {
		t.Errorf("markers %x", markers)
	}
	// The scan runs to the end.
	scan, found := bytes.CutSuffix(out[pos:], []byte{0xff, 0xd9})
	if !found || bytes.Count(scan, []byte{0xff}) != bytes.Count(scan, []byte{0xff, 0}) {
		t.Error("another marker in or after the scan")
	}
}

// checkAgain checks that cleaning what was cleaned keeps its size, type and picture.
func checkAgain(t testing.TB, out []byte, mediaType string, img image.Image) {
	t.Helper()
	p, err := Decode(out)
	if err != nil {
		t.Fatal(err)
	}
	if removed := p.Removed(); len(removed) != 0 {
		t.Errorf("cleaned again, %q was removed", removed)
	}
	again, againType, err := p.Encode(0)
	if err != nil {
		t.Fatal(err)
	}
	if againType != mediaType {
		t.Fatalf("cleaned again, %s became %s", mediaType, againType)
	}
	if mediaType == "image/png" {
		if !bytes.Equal(again, out) {
			t.Error("a PNG changes when cleaned again")
		}
		return
	}
	img2, err := jpeg.Decode(bytes.NewReader(again))
	if err != nil {
		t.Fatal(err)
	}
	if db := psnr(t, img, img2); db < 45 {
		t.Errorf("cleaned again, a JPEG of %v keeps %.1f dB", img.Bounds().Size(), db)
	}
}

func TestCleanTwice(t *testing.T) {
	least := 200.0
	for i, size := range []image.Point{{1, 1}, {2, 1}, {7, 3}, {16, 16}, {33, 60}, {250, 187}, {640, 480}, {700, 1300}, {2500, 40}} {
		picture := sample.Photo(size.X, size.Y, i, 6)
		for _, data := range [][]byte{asJPEG(t, picture, 95), asJPEG(t, toGray(picture), 40), asPNG(t, picture), asGIF(t, picture), asPNG(t, sample.Page(size.X, size.Y))} {
			out, mediaType, img := clean(t, data, 0)
			checkClean(t, out, mediaType)
			checkAgain(t, out, mediaType, img)
			if mediaType == "image/jpeg" {
				_, _, again := clean(t, out, 0)
				least = min(least, psnr(t, img, again))
			}
		}
	}
	t.Logf("JPEG cleaned again: at least %.1f dB", least)
}

// TestForeignOnLadder has pictures of a size on the ladder that this package did not write.
func TestForeignOnLadder(t *testing.T) {
	picture := sample.Photo(997, 797, 5, 5)
	ours, _, img := clean(t, asJPEG(t, sample.Photo(1063, 900, 5, 5), 90), 3)
	if img.Bounds().Dx() != 997 {
		t.Fatal(img.Bounds())
	}
	comment := slices.Concat(ours[:2], []byte("\xff\xfe\x00\x04hi"), ours[2:])
	for name, data := range map[string][]byte{
		"another quality": asJPEG(t, picture, 84), "our quality, no JFIF": asJPEG(t, picture, Quality),
		"a comment in ours": comment, "a byte after ours": append(slices.Clone(ours), 0), "PNG": asPNG(t, picture), "GIF": asGIF(t, picture),
		"PNG in our palette, other order": asPNG(t, &image.Paletted{Pix: make([]byte, 997), Stride: 997, Rect: image.Rect(0, 0, 997, 1), Palette: color.Palette{color.White, color.Black}}),
	} {
		_, _, img := clean(t, data, 0)
		if got := max(img.Bounds().Dx(), img.Bounds().Dy()); got != 941 {
			t.Errorf("%s has %d pixels, want the rung below 997, 941", name, got)
		}
	}
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// exif is a TIFF structure with an orientation, and a secret as maker, in GPS, a maker's note and a
// preview.
func exif(order byteOrder, o uint16, secret string) []byte {
	mark := "II*\x00"
	if order.Uint16([]byte{0, 1}) == 1 {
		mark = "MM\x00*"
	}
	b := order.AppendUint32([]byte(mark), 8)
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint32(order.AppendUint32(order.AppendUint16(order.AppendUint16(b, tag), kind), count), value)
	}
	n := uint32(len(secret))
	b = order.AppendUint16(b, 5)
	const data = 8 + 2 + 5*12 + 4
	entry(0x010f, 2, n, data) // Make
	b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, 0x0112), 3), 1)
	b = order.AppendUint16(order.AppendUint16(b, o), 0)
	entry(0x8769, 4, 1, data)   // Exif
	entry(0x8825, 4, 1, data)   // GPS
	entry(0x927c, 7, n, data+n) // MakerNote
	b = order.AppendUint32(b, data+2*n)
	return append(b, strings.Repeat(secret, 3)...)
}

func segment(marker byte, content string) []byte {
	return append([]byte{0xff, marker, byte((len(content) + 2) >> 8), byte(len(content) + 2)}, content...)
}

func withSegments(data []byte, segments ...[]byte) []byte {
	return slices.Concat(data[:2], slices.Concat(segments...), data[2:])
}

func chunk(kind, content string) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(content))), kind+content...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// withChunks puts chunks after IHDR.
func withChunks(data []byte, chunks ...[]byte) []byte {
	return slices.Concat(data[:33], slices.Concat(chunks...), data[33:])
}

func riffChunk(kind, content string) []byte {
	b := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(content))), content...)
	return append(b, make([]byte, len(content)%2)...)
}

// extended makes a simple WebP an extended one with more chunks after the picture.
func extended(data []byte, w, h int, flags byte, chunks ...[]byte) []byte {
	body := slices.Concat([]byte("WEBP"), riffChunk("VP8X", string([]byte{flags, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), 0, byte(h - 1), byte((h - 1) >> 8), 0})), data[12:], slices.Concat(chunks...))
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func TestOrientation(t *testing.T) {
	const w, h = 301, 203
	stored := sample.Photo(w, h, 3, 3)
	// What is at (x, y) when upright, for Exif's values (Exif 2.32, Orientation: where the 0th row and column are).
	at := map[uint16]func(x, y int) color.RGBA{
		1: func(x, y int) color.RGBA { return stored.RGBAAt(x, y) },
		2: func(x, y int) color.RGBA { return stored.RGBAAt(w-1-x, y) },
		3: func(x, y int) color.RGBA { return stored.RGBAAt(w-1-x, h-1-y) },
		4: func(x, y int) color.RGBA { return stored.RGBAAt(x, h-1-y) },
		5: func(x, y int) color.RGBA { return stored.RGBAAt(y, x) },
		6: func(x, y int) color.RGBA { return stored.RGBAAt(y, h-1-x) },
		7: func(x, y int) color.RGBA { return stored.RGBAAt(w-1-y, h-1-x) },
		8: func(x, y int) color.RGBA { return stored.RGBAAt(w-1-y, x) },
	}
	for o, rgba := range at {
		upright := image.NewRGBA(image.Rect(0, 0, w, h))
		if o >= 5 {
			upright = image.NewRGBA(image.Rect(0, 0, h, w))
		}
		for y := range upright.Rect.Dy() {
			for x := range upright.Rect.Dx() {
				upright.SetRGBA(x, y, rgba(x, y))
			}
		}
		want, err := FromImage(upright, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, order := range []byteOrder{binary.LittleEndian, binary.BigEndian} {
			tiff := string(exif(order, o, "x"))
			got, err := Decode(withChunks(asPNG(t, stored), chunk("eXIf", tiff)))
			if err != nil {
				t.Fatal(err)
			}
			// Across and down are rounded apart, so that a turned picture may differ in a last bit.
			for p := range want.pixels.planes {
				for i, v := range want.pixels.planes[p] {
					if d := int(got.pixels.planes[p][i]) - int(v); d < -1 || d > 1 {
						t.Fatalf("orientation %d: sample %d of plane %d is %d, want %d", o, i, p, got.pixels.planes[p][i], v)
					}
				}
			}
			_, _, img := clean(t, withSegments(asJPEG(t, stored, 95), segment(0xe1, "Exif\x00\x00"+tiff)), 0)
			if db := psnr(t, img, want.pixels.image()); db < 30 {
				t.Errorf("orientation %d of a JPEG: %.1f dB", o, db)
			}
		}
		_, _, img := clean(t, extended(file(t, "lossless.webp"), 64, 48, 8, riffChunk("EXIF", string(exif(binary.BigEndian, o, "x")))), 0)
		if portrait := img.Bounds().Dy() > img.Bounds().Dx(); portrait != (o >= 5) {
			t.Errorf("orientation %d of a WebP is not obeyed", o)
		}
	}
}

func TestExifHostile(t *testing.T) {
	good := exif(binary.LittleEndian, 6, "x")
	if exifOrientation(good) != exifOrientations[6] {
		t.Fatal("not read")
	}
	for i := range good {
		exifOrientation(good[:i]) // must not panic
	}
	for _, bad := range []string{"", "II*\x00", "II*\x00\xff\xff\xff\xff\x01\x00", "II*\x00\x08\x00\x00\x00\xff\xff", "MM*\x00\x00\x00\x00\x08\x00\x01"} {
		if o := exifOrientation([]byte(bad)); o != 0 {
			t.Errorf("%q is turned by %d", bad, o)
		}
	}
	for _, o := range []uint16{0, 9, 0xffff} {
		if exifOrientation(exif(binary.BigEndian, o, "x")) != 0 {
			t.Errorf("orientation %d turns", o)
		}
	}
}

func TestSecrets(t *testing.T) {
	const secret = "SECRET-4711"
	wide := func(s string) string { return strings.Join(strings.Split(s, ""), "\x00") }
	small := asJPEG(t, pattern(), 50)
	film := slices.Concat([]byte("\x00\x00\x00\x18ftypmp42"), []byte(secret))
	marked := pattern()
	copy(marked.Pix, secret) // a secret in a transparent pixel
	hidden := &image.NRGBA{Pix: marked.Pix, Stride: marked.Stride, Rect: marked.Rect}
	for i := range len(secret)/4 + 1 {
		hidden.Pix[4*i+3] = 0
	}
	unused := image.NewPaletted(image.Rect(0, 0, 64, 48), color.Palette{color.Black, color.White})
	for i := 0; i+3 <= len(secret); i += 3 {
		unused.Palette = append(unused.Palette, color.RGBA{secret[i], secret[i+1], secret[i+2], 0xff})
	}
	still := file(t, "still.gif")
	afterTable := 13 + 3<<(still[10]&7+1)
	gifWith := func(block string) []byte { return slices.Concat(still[:afterTable], []byte(block), still[afterTable:]) }
	lossy := file(t, "lossy.webp")
	tiff := string(exif(binary.BigEndian, 1, secret))
	for _, test := range []struct {
		name  string
		data  []byte
		found notices
	}{
		{"Exif, GPS, maker's note, preview", withSegments(small, segment(0xe1, "Exif\x00\x00"+tiff)), noticeCamera},
		{"XMP", withSegments(small, segment(0xe1, "http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>"+secret)), noticeCamera},
		{"IPTC", withSegments(small, segment(0xed, "Photoshop 3.0\x008BIM\x04\x04\x00\x00"+secret)), noticeCamera},
		{"profile", withSegments(small, segment(0xe2, "ICC_PROFILE\x00\x01\x01"+secret)), noticeColors},
		{"profile of sRGB", withSegments(small, segment(0xe2, "ICC_PROFILE\x00\x01\x01sRGB"+secret)), 0},
		{"profile of sRGB, UTF-16", withSegments(small, segment(0xe2, "ICC_PROFILE\x00\x01\x01"+wide("sRGB")+secret)), 0},
		{"comment", withSegments(small, segment(0xfe, secret)), noticeText},
		{"more pictures", withSegments(small, segment(0xe2, "MPF\x00"+secret)), noticeBehind},
		{"JFIF preview", withSegments(small, segment(0xe0, "JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x01"+secret)), noticeBehind},
		{"JFXX", withSegments(small, segment(0xe0, "JFXX\x00\x10"+secret)), noticeText},
		{"unknown segment", withSegments(small, segment(0xeb, secret)), noticeText},
		{"between segments", withSegments(small, []byte(jfif), []byte(secret)), 0},
		{"film behind", slices.Concat(small, film), noticeBehind},
		{"gain map behind", slices.Concat(small, withSegments(small, segment(0xfe, secret))), noticeBehind},
		{"PNG text", withChunks(asPNG(t, pattern()), chunk("tEXt", "Author\x00"+secret), chunk("zTXt", "Author\x00\x00"+secret), chunk("iTXt", "Author\x00\x00\x00\x00\x00"+secret)), noticeText},
		{"PNG Exif", withChunks(asPNG(t, pattern()), chunk("eXIf", tiff)), noticeCamera},
		{"PNG time", withChunks(asPNG(t, pattern()), chunk("tIME", secret[:7])), noticeCamera},
		{"PNG profile", withChunks(asPNG(t, pattern()), chunk("iCCP", secret+"\x00\x00")), noticeColors},
		{"PNG gamma", withChunks(asPNG(t, pattern()), chunk("gAMA", "\x00\x01\x86\xa0")), noticeColors},
		{"PNG gamma of sRGB", withChunks(asPNG(t, pattern()), chunk("sRGB", "\x00"), chunk("gAMA", "\x00\x00\xb1\x8f")), 0},
		{"PNG density", withChunks(asPNG(t, pattern()), chunk("pHYs", secret[:9])), 0},
		{"PNG unknown chunk", withChunks(asPNG(t, pattern()), chunk("seCr", secret)), noticeText},
		{"PNG behind", slices.Concat(asPNG(t, pattern()), []byte(secret)), noticeBehind},
		{"PNG transparent pixels", asPNG(t, hidden), noticeTransparency},
		{"PNG unused colors", asPNG(t, unused), 0},
		{"GIF comment", gifWith("\x21\xfe\x0b" + secret + "\x00"), noticeText},
		{"GIF XMP", gifWith("\x21\xff\x0bXMP DataXMP\x0b" + secret + "\x00"), noticeText},
		{"GIF behind", slices.Concat(still, []byte(secret)), noticeBehind},
		{"WebP Exif and XMP", extended(lossy, 64, 48, 12, riffChunk("EXIF", tiff), riffChunk("XMP ", secret)), noticeCamera},
		{"WebP profile", extended(lossy, 64, 48, 0x20, riffChunk("ICCP", secret)), noticeColors},
		{"WebP unknown chunk", extended(lossy, 64, 48, 0, riffChunk("SECR", secret)), noticeText},
		{"WebP behind", slices.Concat(lossy, []byte(secret)), noticeBehind},
	} {
		p, err := Decode(test.data)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if want := test.found | noticeSize; p.removed != want {
			t.Errorf("%s: removed %q, want %q", test.name, p.Removed(), want.phrases())
		}
		for step := range Steps {
			out, mediaType, err := p.Encode(step)
			if err != nil {
				t.Fatal(err)
			}
			checkClean(t, out, mediaType)
			if bytes.Contains(out, []byte(secret[:4])) {
				t.Errorf("%s: the secret is in the output", test.name)
			}
			if mediaType == "image/png" {
				img, err := png.Decode(bytes.NewReader(out))
				if err != nil {
					t.Fatal(err)
				}
				if p, ok := img.(*image.Paletted); ok && len(p.Palette) > 1 && test.name == "PNG unused colors" {
					t.Errorf("%d colors where one is used", len(p.Palette))
				}
			}
		}
	}
}

var photographs = flag.String("photographs", "", "a pattern of JPEGs that TestSimilarity looks at, too")

// TestSimilarity compares cleaned photographs with the same ones scaled by another program, before they
// are encoded and after.
func TestSimilarity(t *testing.T) {
	all := map[string][]byte{}
	for i, size := range []image.Point{{640, 480}, {1100, 1500}, {2100, 600}} {
		all[size.String()] = asJPEG(t, sample.Photo(size.X, size.Y, i, 4), 92)
	}
	files, err := filepath.Glob(*photographs)
	if err != nil || *photographs != "" && len(files) == 0 {
		t.Fatalf("no photographs are named %q: %v", *photographs, err)
	}
	for _, file := range files {
		if all[filepath.Base(file)], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range all {
		original, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		p, err := Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _, img := clean(t, data, 0)
		want := reference(original)
		scaled, encoded := psnr(t, p.pixels.image(), want), psnr(t, img, want)
		t.Logf("%s: scaled %.1f dB, scaled and encoded %.1f dB", name, scaled, encoded)
		// The rest of the difference in scaling is color, which we scale subsampled, as JPEG has it.
		least := 40.0
		if slices.ContainsFunc(files, func(file string) bool { return filepath.Base(file) == name }) {
			least = 39 // some have stronger colors than ours
		}
		if scaled < least || encoded < 32 {
			t.Errorf("%s: scaled %.2f dB, want %.0f; scaled and encoded %.2f dB, want 32", name, scaled, least, encoded)
		}
	}
}

// TestTextReadable reads a cleaned screenshot, letter by letter.
func TestTextReadable(t *testing.T) {
	for _, size := range []image.Point{{400, 300}, {1200, 800}, {1920, 1080}} {
		out, mediaType, img := clean(t, asPNG(t, sample.Page(size.X, size.Y)), 0)
		if mediaType != "image/png" {
			t.Errorf("a screenshot of %v became %s of %d bytes", size, mediaType, len(out))
		}
		// ink is how dark a pixel of the page is in the picture, between its four nearest, from 0 to 1.
		ink := func(x, y int) float64 {
			fx := (float64(x)+0.5)*float64(img.Bounds().Dx())/float64(size.X) - 0.5
			fy := (float64(y)+0.5)*float64(img.Bounds().Dy())/float64(size.Y) - 0.5
			at := func(x, y int) float64 {
				r, _, _, _ := img.At(x, y).RGBA()
				return 1 - float64(r)/0xffff
			}
			x0, y0 := int(fx), int(fy)
			dx, dy := fx-float64(x0), fy-float64(y0)
			return (at(x0, y0)*(1-dx)+at(x0+1, y0)*dx)*(1-dy) + (at(x0, y0+1)*(1-dx)+at(x0+1, y0+1)*dx)*dy
		}
		var read, wrong int
		for row := 2; 20*row+14 < size.Y; row++ {
			for column := 0; 12*column+10 < size.X; column++ {
				best, least := -1, math.Inf(1)
				for l, g := range sample.Glyphs {
					distance := 0.0
					for y, bits := range g {
						for x := range 5 {
							for sub := range 4 {
								distance += math.Abs(ink(12*column+2*x+sub%2, 20*row+2*y+sub/2) - float64(bits>>(4-x)&1))
							}
						}
					}
					if distance < least {
						best, least = l, distance
					}
				}
				if read++; best != sample.Letter(column, row) {
					wrong++
				}
			}
		}
		t.Logf("%v: %d bytes, %d of %d letters wrong", size, len(out), wrong, read)
		if wrong > 0 {
			t.Errorf("%v: %d of %d letters are read wrong", size, wrong, read)
		}
	}
}

// TestLosslessRule checks which lossless pictures stay so.
func TestLosslessRule(t *testing.T) {
	for _, test := range []struct {
		name string
		img  image.Image
		want string
	}{
		{"photograph", sample.Photo(800, 600, 1, 5), "image/jpeg"},
		{"large photograph without grain", sample.Photo(1200, 900, 1, 0), "image/jpeg"},
		{"screenshot", sample.Page(1280, 800), "image/png"},
		{"icon", sample.Photo(48, 48, 2, 2), "image/png"},
		{"one color", image.NewGray(image.Rect(0, 0, 1500, 1000)), "image/png"},
	} {
		if out, got, _ := clean(t, asPNG(t, test.img), 0); got != test.want {
			t.Errorf("%s became %s of %d bytes", test.name, got, len(out))
		}
	}
}

func TestRefusals(t *testing.T) {
	small := asJPEG(t, pattern(), 80)
	sized := func(data []byte, w, h int) []byte { // another size in a JPEG's frame header
		at := bytes.Index(data, []byte{0xff, 0xc0, 0})
		data = slices.Clone(data)
		binary.BigEndian.PutUint16(data[at+5:], uint16(h))
		binary.BigEndian.PutUint16(data[at+7:], uint16(w))
		return data
	}
	scan := bytes.Index(small, []byte{0xff, 0xda})
	ycck := file(t, "ycck.jpg")
	adobe := bytes.Index(ycck, []byte("\xff\xee\x00\x0eAdobe"))
	pngSized := func(w, h uint32, depth, colors byte) []byte {
		b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return slices.Concat([]byte(pngMagic), chunk("IHDR", string(append(b, depth, colors, 0, 0, 0))), chunk("IDAT", "x\x9c\x03\x00\x00\x00\x00\x01"), chunk("IEND", ""))
	}
	webpSized := func(w, h uint32) []byte {
		return append([]byte("RIFF\x1c\x00\x00\x00WEBP"), riffChunk("VP8L", string(binary.LittleEndian.AppendUint32([]byte{0x2f}, w-1|(h-1)<<14))+"\x00\x00\x00\x00\x00\x00\x00\x00\x00")...)
	}
	for _, test := range []struct {
		name string
		data []byte
		want *mail.Refusal
	}{
		{"nothing", nil, refuseUnknown},
		{"text", []byte("Dear Bob"), refuseUnknown},
		{"HTML with a drawing", []byte("<html><svg></svg></html>"), refuseUnknown},
		{"HEIC", []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"), refuseHEIC},
		{"HEIC, another major brand", []byte("\x00\x00\x00\x18ftypabcd\x00\x00\x00\x00mif1heic"), refuseHEIC},
		{"HEIC without an end", []byte("\x00\x00\x00\x00ftypheic\x00\x00\x00\x00mif1heic"), refuseHEIC},
		{"HEIC of no size", []byte("\x00\x00\x00\x07ftypheic\x00\x00\x00\x00mif1heic"), refuseHEIC},
		{"AVIF", []byte("\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf"), refuseHEIC},
		{"film", []byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"), refuseUnknown},
		{"TIFF", []byte("II*\x00\x08\x00\x00\x00"), refuseTIFF},
		{"TIFF, big-endian", []byte("MM\x00*\x00\x00\x00\x08"), refuseTIFF},
		{"BMP", append([]byte("BM\x36\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), make([]byte, 40)...), refuseBMP},
		{"SVG", []byte("\ufeff<?xml version=\"1.0\"?>\n<!-- drawn -->\n<SVG xmlns=\"http://www.w3.org/2000/svg\"/>"), refuseSVG},
		{"JPEG XL", []byte("\xff\x0a\x00"), refuseUnknown},
		{"Photoshop", []byte("8BPS\x00\x01"), refuseUnknown},
		{"GIF animation", file(t, "animation.gif"), refuseAnimation},
		{"WebP animation", file(t, "animation.webp"), refuseAnimation},
		{"PNG animation", withChunks(asPNG(t, pattern()), chunk("acTL", "\x00\x00\x00\x02\x00\x00\x00\x00")), refuseAnimation},
		{"JPEG cut off", small[:len(small)-40], refuseDamaged},
		{"JPEG without its end", small[:len(small)-2], refuseDamaged},
		{"JPEG without a scan", append(slices.Clone(small[:scan]), 0xff, 0xd9), refuseDamaged},
		{"JPEG, arithmetic coding", file(t, "arithmetic.jpg"), refuseUnusual},
		{"JPEG, inks of unknown meaning", append(slices.Clone(ycck[:adobe]), ycck[adobe+16:]...), refuseUnusual},
		{"JPEG, the same scan again", slices.Concat(small[:len(small)-2], bytes.Repeat(small[scan:len(small)-2], 3), small[len(small)-2:]), refuseUnusual},
		{"JPEG of 200 megapixels", sized(small, 16320, 12240), refuseSize},
		{"JPEG of height 0", sized(small, 64, 0), refuseDamaged},
		{"JPEG, progressive, 100 megapixels", bytes.Replace(sized(small, 12000, 8500), []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1), refuseMemory},
		{"PNG cut off", asPNG(t, sample.Photo(20, 20, 1, 1))[:300], refuseDamaged},
		{"PNG, wrong checksum", bytes.Replace(asPNG(t, pattern()), []byte("IDATx"), []byte("IDATy"), 1), refuseDamaged},
		{"PNG of 4 gigapixels", pngSized(65535, 65535, 8, 2), refuseSize},
		{"PNG of 2^62 pixels", pngSized(1<<31-1, 1<<31-1, 8, 2), refuseSize},
		{"PNG of negative size", pngSized(1<<31, 1<<31+5, 8, 2), refuseSize},
		{"PNG of 120 megapixels in one row", pngSized(120e6, 1, 8, 0), refuseSize},
		{"PNG of 110 megapixels", pngSized(11000, 10000, 8, 2), refuseMemory},
		{"PNG without pixels", pngSized(0, 10, 8, 2), refuseDamaged},
		{"PNG, too few pixels", pngSized(100, 100, 8, 2), refuseDamaged},
		{"GIF cut off", file(t, "still.gif")[:900], refuseDamaged},
		{"GIF of 4 gigapixels", []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x01\x00\x00;"), refuseSize},
		{"GIF outside its screen", []byte("GIF89a\x05\x00\x05\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x03\x00\x03\x00\x05\x00\x05\x00\x00\x02\x01\x00\x00;"), refuseDamaged},
		{"GIF without a picture", []byte("GIF89a\x05\x00\x05\x00\x00\x00\x00;"), refuseDamaged},
		{"WebP of 268 megapixels", webpSized(1<<14, 1<<14), refuseSize},
		{"WebP of 50 megapixels", webpSized(8000, 6250), refuseMemory},
		{"WebP cut off", file(t, "lossy.webp")[:200], refuseDamaged},
		{"WebP of two sizes", extended(file(t, "lossy.webp"), 65, 48, 0), refuseDamaged},
	} {
		_, err := Decode(test.data)
		var refusal *mail.Refusal
		if !errors.As(err, &refusal) || refusal.Reason != test.want.Reason {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		if known := test.name != "nothing" && test.name != "text" && test.name != "film" && !strings.HasPrefix(test.name, "HTML"); Is(test.data) != known {
			t.Errorf("%s: Is says %t", test.name, !known)
		}
	}
	for _, r := range []*mail.Refusal{refuseUnknown, refuseHEIC, refuseTIFF, refuseBMP, refuseSVG, refuseAnimation, refuseSize, refuseMemory, refuseUnusual, refuseDamaged} {
		if len(r.Reason) > 250 || strings.ContainsFunc(r.Reason, func(c rune) bool { return c < ' ' || c > '~' }) || !strings.HasSuffix(r.Reason, ".") {
			t.Errorf("%q", r.Reason)
		}
	}
}

func TestFromImage(t *testing.T) {
	for name, img := range map[string]image.Image{
		"YCbCr that begins inside": image.NewYCbCr(image.Rect(0, 0, 80, 80), image.YCbCrSubsampleRatio420).SubImage(image.Rect(3, 5, 60, 70)),
		"Gray that begins inside":  image.NewGray(image.Rect(0, 0, 80, 80)).SubImage(image.Rect(3, 5, 60, 70)),
		"Alpha16":                  image.NewAlpha16(image.Rect(-5, -5, 60, 70)),
		"CMYK":                     image.NewCMYK(image.Rect(0, 0, 60, 70)),
		"RGBA, transparent":        image.NewRGBA(image.Rect(0, 0, 60, 70)),
	} {
		for _, lossy := range []bool{true, false} {
			p, err := FromImage(img, lossy)
			if err != nil {
				t.Fatal(err)
			}
			out, mediaType, err := p.Encode(0)
			if err != nil || (mediaType == "image/jpeg") != lossy {
				t.Errorf("%s, lossy %t: %s, %v", name, lossy, mediaType, err)
			}
			checkClean(t, out, mediaType)
		}
	}
	for _, size := range []image.Rectangle{{}, image.Rect(0, 0, 0, 5), image.Rect(0, 0, 1<<20, 1<<20)} {
		if _, err := FromImage(image.NewUniform(color.White), true); err == nil {
			t.Error("a picture without an end is taken")
		}
		if _, err := FromImage(&image.Gray{Rect: size}, true); err == nil {
			t.Errorf("%v is taken", size)
		}
	}
	p, err := FromImage(pattern(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []int{-1, Steps} {
		if _, _, err := p.Encode(step); err == nil {
			t.Errorf("step %d is taken", step)
		}
	}
}

// TestGolden compares outputs with those of other machines.
func TestGolden(t *testing.T) {
	got := map[string]string{}
	add := func(name string, data []byte) {
		for _, step := range []int{0, 4, 8} {
			out, mediaType, _ := clean(t, data, step)
			sum := sha256.Sum256(out)
			got[strings.Join([]string{name, mediaType, "step " + string(rune('0'+step))}, ", ")] = hex.EncodeToString(sum[:])
		}
	}
	add("photograph 1300x900", asJPEG(t, sample.Photo(1300, 900, 11, 6), 92))
	add("photograph 2210x701, turned", withSegments(asJPEG(t, sample.Photo(2210, 701, 12, 6), 80), segment(0xe1, "Exif\x00\x00"+string(exif(binary.LittleEndian, 7, "x")))))
	add("gray 777x555", asJPEG(t, toGray(sample.Photo(777, 555, 13, 6)), 70))
	add("screenshot 1280x800", asPNG(t, sample.Page(1280, 800)))
	add("photograph 900x700 in PNG", asPNG(t, sample.Photo(900, 700, 14, 6)))
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(data); err == nil {
			add(filepath.Base(name), data)
		}
	}
	if *golden.Update {
		b, err := json.MarshalIndent(got, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("testdata/golden.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var want map[string]string
	if err := json.Unmarshal(file(t, "golden.json"), &want); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		for name, sum := range got {
			if want[name] != sum {
				t.Errorf("%s: %s, want %s", name, sum, want[name])
			}
		}
		t.Errorf("%d outputs, want %d", len(got), len(want))
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatal(err, "no pictures")
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("\x00\x00\x00\x18ftypabcd\x00\x00\x00\x00mif1heic"))
	f.Add(asPNG(f, pattern()))
	f.Add(asJPEG(f, pattern(), 30))
	f.Add(withSegments(asJPEG(f, pattern(), 30), segment(0xe1, "Exif\x00\x00"+string(exif(binary.LittleEndian, 6, "x")))))
	f.Add(extended(file(f, "lossless.webp"), 64, 48, 8, riffChunk("EXIF", string(exif(binary.BigEndian, 8, "x")))))
	f.Fuzz(func(t *testing.T, data []byte) {
		if h, err := inspect(data); err == nil && h.memory > 16<<20 {
			return // bounded, but too slow to try many of
		}
		p, err := Decode(data)
		if err != nil {
			var refusal *mail.Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("fails with %v, which is no Refusal", err)
			}
			return
		}
		out, mediaType, err := p.Encode(Steps - 1)
		if err != nil {
			t.Fatal(err)
		}
		checkClean(t, out, mediaType)
		again, err := Decode(out)
		if err != nil {
			t.Fatalf("the output is refused: %v", err)
		}
		if len(again.Removed()) != 0 {
			t.Fatalf("the output is cleaned again: %q", again.Removed())
		}
	})
}
