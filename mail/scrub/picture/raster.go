package picture

import (
	"image"
	"image/color"
	"slices"
)

// raster is a picture in memory, in planes of 8 bits a sample: one plane for
// gray, three for red, green and blue or, subsampled, for Y, Cb and Cr.
type raster struct {
	width, height int
	planes        [][]byte
	// subsampled planes are Y at full size, Cb and Cr at half of it, rounded up: the 4:2:0 of
	// image.YCbCr.
	subsampled bool
}

// bytes is how much memory the picture takes.
func (r *raster) bytes() (n int) {
	for _, plane := range r.planes {
		n += len(plane)
	}
	return n
}

// image returns the picture as the type that the encoders and newSource know best.
func (r *raster) image() image.Image {
	rect := image.Rect(0, 0, r.width, r.height)
	switch {
	case len(r.planes) == 1:
		return &image.Gray{Pix: r.planes[0], Stride: r.width, Rect: rect}
	case r.subsampled:
		return &image.YCbCr{Y: r.planes[0], Cb: r.planes[1], Cr: r.planes[2], YStride: r.width, CStride: (r.width + 1) / 2,
			SubsampleRatio: image.YCbCrSubsampleRatio420, Rect: rect}
	case slices.Equal(r.planes[0], r.planes[1]) && slices.Equal(r.planes[0], r.planes[2]):
		return &image.Gray{Pix: r.planes[0], Stride: r.width, Rect: rect}
	}
	img := image.NewRGBA(rect)
	for i := range r.planes[0] {
		p := img.Pix[4*i : 4*i+4 : 4*i+4]
		p[0], p[1], p[2], p[3] = r.planes[0][i], r.planes[1][i], r.planes[2][i], 0xff
	}
	return img
}

// fewColors returns the picture with a palette, in the order of the colours' values,
// if it has at most 16 colours, or at most 256 that are not all gray, and as image does
// otherwise: the form in which its PNG is shortest.
func (r *raster) fewColors() image.Image {
	img := r.image()
	gray, isGray := img.(*image.Gray)
	at := func(i int) uint32 { return uint32(gray.Pix[i]) * 0x10101 }
	most := 16
	if !isGray {
		rgba, ok := img.(*image.RGBA)
		if !ok {
			return img
		}
		at = func(i int) uint32 {
			p := rgba.Pix[4*i : 4*i+3 : 4*i+3]
			return uint32(p[0])<<16 | uint32(p[1])<<8 | uint32(p[2])
		}
		most = 256
	}
	seen := map[uint32]uint8{}
	last := ^uint32(0)
	for i := range r.width * r.height {
		if c := at(i); c != last {
			if last = c; len(seen) > most {
				return img
			}
			seen[c] = 0
		}
	}
	if len(seen) > most {
		return img
	}
	var values []uint32
	for c := range seen {
		values = append(values, c)
	}
	slices.Sort(values)
	indexed := image.NewPaletted(img.Bounds(), nil)
	for i, c := range values {
		seen[c] = uint8(i)
		indexed.Palette = append(indexed.Palette, color.RGBA{uint8(c >> 16), uint8(c >> 8), uint8(c), 0xff})
	}
	for i := range indexed.Pix {
		indexed.Pix[i] = seen[at(i)]
	}
	return indexed
}

// source is a decoded picture that is read row by row, in the planes of the
// raster that it becomes.
type source struct {
	width, height int
	groups        []group
	subsampled    bool // Y, Cb and Cr: groups of one plane and of two
	transparent   bool // what was read had transparency, which is laid on white
}

// group is what a source reads at a time: planes whose samples lie at the same places.
type group struct {
	planes        int
	sx, sy        int // pixels of the picture for a sample, across and down
	width, height int // samples
	read          func(y int) [][]byte
}

// newSource reads img, which may cover a part of the canvas only, as a GIF may.
func newSource(img image.Image, canvas image.Rectangle) *source {
	s := &source{width: canvas.Dx(), height: canvas.Dy()}
	switch img := img.(type) {
	case *image.Gray:
		if img.Rect != canvas {
			break
		}
		s.groups = []group{s.group(1, 1, 1, func(y int) [][]byte {
			return [][]byte{img.Pix[y*img.Stride:][:s.width]}
		})}
		return s
	case *image.YCbCr:
		sx, sy := subsampling(img.SubsampleRatio)
		if sx == 0 || img.Rect != canvas || img.Rect.Min != (image.Point{}) {
			break // samples would not begin with the picture
		}
		s.subsampled = true
		chroma := s.group(2, sx, sy, nil)
		chroma.read = func(y int) [][]byte {
			return [][]byte{img.Cb[y*img.CStride:][:chroma.width], img.Cr[y*img.CStride:][:chroma.width]}
		}
		s.groups = []group{s.group(1, 1, 1, func(y int) [][]byte {
			return [][]byte{img.Y[y*img.YStride:][:s.width]}
		}), chroma}
		return s
	}
	rows := [][]byte{make([]byte, s.width), make([]byte, s.width), make([]byte, s.width)}
	s.transparent = img.Bounds() != canvas
	part := img.Bounds().Intersect(canvas)
	convert := s.converter(img)
	s.groups = []group{s.group(3, 1, 1, func(y int) [][]byte {
		if part != canvas {
			for _, row := range rows {
				for i := range row {
					row[i] = 0xff
				}
			}
		}
		if y += canvas.Min.Y; part.Min.Y <= y && y < part.Max.Y {
			from, to := part.Min.X-canvas.Min.X, part.Max.X-canvas.Min.X
			convert(y, rows[0][from:to], rows[1][from:to], rows[2][from:to])
		}
		return rows
	})}
	return s
}

func (s *source) group(planes, sx, sy int, read func(int) [][]byte) group {
	return group{planes: planes, sx: sx, sy: sy, width: (s.width + sx - 1) / sx, height: (s.height + sy - 1) / sy, read: read}
}

// subsampling returns how many pixels a sample of Cb and Cr stands for, across and down.
func subsampling(r image.YCbCrSubsampleRatio) (sx, sy int) {
	switch r {
	case image.YCbCrSubsampleRatio444:
		return 1, 1
	case image.YCbCrSubsampleRatio422:
		return 2, 1
	case image.YCbCrSubsampleRatio420:
		return 2, 2
	case image.YCbCrSubsampleRatio440:
		return 1, 2
	case image.YCbCrSubsampleRatio411:
		return 4, 1
	case image.YCbCrSubsampleRatio410:
		return 4, 2
	}
	return 0, 0
}

// converter returns what turns one row of an image into red, green and blue on
// white. A row of the image is as long as r, g and b.
func (s *source) converter(img image.Image) func(y int, r, g, b []byte) {
	rect := img.Bounds()
	onWhite := func(c, a uint8) uint8 { return uint8((int(c)*int(a) + 255*(255-int(a)) + 127) / 255) }
	switch img := img.(type) {
	case *image.RGBA:
		if !img.Opaque() {
			break
		}
		return func(y int, r, g, b []byte) {
			pix := img.Pix[img.PixOffset(rect.Min.X, y):]
			for i := range r {
				p := pix[4*i : 4*i+3 : 4*i+3]
				r[i], g[i], b[i] = p[0], p[1], p[2]
			}
		}
	case *image.NRGBA:
		return func(y int, r, g, b []byte) {
			pix := img.Pix[img.PixOffset(rect.Min.X, y):]
			for i := range r {
				p := pix[4*i : 4*i+4 : 4*i+4]
				r[i], g[i], b[i] = p[0], p[1], p[2]
				if p[3] != 0xff {
					s.transparent = true
					r[i], g[i], b[i] = onWhite(p[0], p[3]), onWhite(p[1], p[3]), onWhite(p[2], p[3])
				}
			}
		}
	case *image.CMYK:
		return func(y int, r, g, b []byte) {
			pix := img.Pix[img.PixOffset(rect.Min.X, y):]
			for i := range r {
				p := pix[4*i : 4*i+4 : 4*i+4]
				r[i], g[i], b[i] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
			}
		}
	case *image.YCbCr:
		return func(y int, r, g, b []byte) {
			for i := range r {
				c := img.YCbCrAt(rect.Min.X+i, y)
				r[i], g[i], b[i] = color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			}
		}
	case *image.Paletted:
		var palette [256][3]uint8
		var clear [256]bool
		for i, c := range img.Palette[:min(len(img.Palette), 256)] {
			n := color.NRGBAModel.Convert(c).(color.NRGBA)
			palette[i] = [3]uint8{onWhite(n.R, n.A), onWhite(n.G, n.A), onWhite(n.B, n.A)}
			clear[i] = n.A != 0xff
		}
		return func(y int, r, g, b []byte) {
			pix := img.Pix[img.PixOffset(rect.Min.X, y):]
			for i := range r {
				c := &palette[pix[i]]
				r[i], g[i], b[i] = c[0], c[1], c[2]
				s.transparent = s.transparent || clear[pix[i]]
			}
		}
	case *image.NYCbCrA:
		return func(y int, r, g, b []byte) {
			for i := range r {
				c := img.NYCbCrAAt(rect.Min.X+i, y)
				r[i], g[i], b[i] = color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
				if c.A != 0xff {
					s.transparent = true
					r[i], g[i], b[i] = onWhite(r[i], c.A), onWhite(g[i], c.A), onWhite(b[i], c.A)
				}
			}
		}
	}
	// 16 bits a sample, and what only FromImage meets. These colors are premultiplied by alpha.
	at := func(x, y int) color.RGBA64 {
		r, g, b, a := img.At(x, y).RGBA()
		return color.RGBA64{uint16(r), uint16(g), uint16(b), uint16(a)}
	}
	if img, ok := img.(image.RGBA64Image); ok {
		at = img.RGBA64At // which does not allocate: 50 million colors would be garbage as large as the picture
	}
	return func(y int, r, g, b []byte) {
		for i := range r {
			c := at(rect.Min.X+i, y)
			if c.A != 0xffff {
				s.transparent = true
			}
			white := 0xffff - uint32(c.A)
			r[i], g[i], b[i] = to8(uint32(c.R)+white), to8(uint32(c.G)+white), to8(uint32(c.B)+white)
		}
	}
}

// to8 rounds a sample of 16 bits to one of 8.
func to8(v uint32) uint8 { return uint8((min(v, 0xffff)*255 + 0x7fff) / 0xffff) }
