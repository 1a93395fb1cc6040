package sample

import (
	"image"
	"image/color"
	"image/draw"
)

// hash spreads the bits of a place and a seed.
func hash(x, y, seed int) uint32 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77 ^ uint32(seed)*0xc2b2ae3d
	h ^= h >> 15
	h *= 0x2c1b3c6d
	h ^= h >> 12
	h *= 0x297a2d39
	return h ^ h>>15
}

// noise is value noise of cells of 1<<bits pixels, from 0 to 255.
func noise(x, y, bits, seed int) int {
	cx, cy, size := x>>bits, y>>bits, 1<<bits
	fx, fy := x-cx<<bits, y-cy<<bits
	at := func(i, j int) int { return int(hash(cx+i, cy+j, seed*64+bits) & 255) }
	top := at(0, 0)*(size-fx) + at(1, 0)*fx
	bottom := at(0, 1)*(size-fx) + at(1, 1)*fx
	return (top*(size-fy) + bottom*fy) >> (2 * bits)
}

// Photo is like a photograph of w×h pixels: a sky, hills, textures at all scales, edges, and
// a sensor's noise of up to grain.
func Photo(w, h, seed, grain int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			soft := (8*noise(x, y, 8, seed) + 4*noise(x, y, 6, seed) + 2*noise(x, y, 4, seed) + noise(x, y, 2, seed)) / 15
			r, g, b := 60+soft/2, 80+soft/3+y*60/h, 150-y*70/h+soft/4
			if horizon := h/3 + noise(x, 0, 7, seed+1)*h/1024; y > horizon {
				leaf := (3*noise(x, y, 3, seed+2) + noise(x, y, 1, seed+2)) / 4
				r, g, b = 30+soft/3+leaf/4, 50+soft/3+leaf/3, 20+leaf/5
			}
			if noise(x, y, 6, seed+3) > 170 { // hard edges
				r, g, b = 220-r/2, 90+g/4, b/3+noise(x, y, 1, seed)/8
			}
			grainy := int(hash(x, y, seed+4)%uint32(2*grain+1)) - grain
			img.SetRGBA(x, y, color.RGBA{clamp(r + grainy), clamp(g + grainy), clamp(b + grainy), 0xff})
		}
	}
	return img
}

// Tiled repeats a picture n times across and down, which is faster than to make a large one.
func Tiled(img *image.RGBA, n int) *image.RGBA {
	size := img.Rect.Size()
	out := image.NewRGBA(image.Rect(0, 0, n*size.X, n*size.Y))
	for i := range n * n {
		at := image.Pt(i%n*size.X, i/n*size.Y)
		draw.Draw(out, image.Rectangle{at, at.Add(size)}, img, image.Point{}, draw.Src)
	}
	return out
}

// Page is like a screenshot: dark text of a font of 5×7 pixels, scaled by 2, on light ground.
func Page(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{0xff, 0xff, 0xff, 0xff}
			if y < 24 {
				c = color.RGBA{0x30, 0x60, 0xa0, 0xff}
			} else if gx, gy := x/2%6, y/2%10; gx < 5 && gy < 7 && glyph(x/12, y/20)[gy]>>(4-gx)&1 == 1 {
				c = color.RGBA{0x20, 0x20, 0x20, 0xff}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// Glyphs are the letters A, E, H, N, T, X and a space.
var Glyphs = [7][7]uint8{
	{0x0e, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}, {0x1f, 0x10, 0x10, 0x1e, 0x10, 0x10, 0x1f},
	{0x11, 0x11, 0x11, 0x1f, 0x11, 0x11, 0x11}, {0x11, 0x19, 0x15, 0x13, 0x11, 0x11, 0x11},
	{0x1f, 0x04, 0x04, 0x04, 0x04, 0x04, 0x04}, {0x11, 0x0a, 0x04, 0x04, 0x04, 0x0a, 0x11}, {},
}

func glyph(column, row int) *[7]uint8 { return &Glyphs[Letter(column, row)] }

// Letter is the number of the glyph in a place of a [Page].
func Letter(column, row int) int { return int(hash(column, row, 7) % 7) }

func clamp(v int) byte { return byte(min(max(v, 0), 255)) }
