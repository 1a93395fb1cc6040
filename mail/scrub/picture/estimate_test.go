package picture

import (
	"bytes"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/sample"
)

// The estimator names the quality of the JPEG that a JPEG was made from, after Fridrich and Lukas,
// "Estimation of primary quantization matrix in double compressed JPEG images" (2003):
// the picture cut by four pixels each way has lost the first grid, and so shows how
// the coefficients were distributed before. Quantised with each candidate and then with the table
// of the file, they give a histogram for each candidate; the nearest to the file's own names the quality.

// candidates are first qualities. None has a table near that of the second quality.
var candidates = []int{50, 55, 60, 65, 70, 75, 78, 92}

// blocks returns for each position of the 9 lowest in zigzag order after the first the DCT
// coefficients of all 8×8 blocks of the luma, from an offset on.
func blocks(img image.Image, offset int) [][]float64 {
	b := img.Bounds()
	w, h := (b.Dx()-offset)/8, (b.Dy()-offset)/8
	coefficients := make([][]float64, len(positions))
	luma := func(x, y int) float64 {
		switch img := img.(type) {
		case *image.YCbCr:
			return float64(img.Y[img.YOffset(x, y)])
		case *image.Gray:
			return float64(img.GrayAt(x, y).Y)
		}
		panic("no JPEG")
	}
	var in, rows [8][8]float64
	for by := range h {
		for bx := range w {
			for y := range 8 {
				for x := range 8 {
					in[y][x] = luma(offset+8*bx+x, offset+8*by+y)
				}
			}
			for y := range 8 {
				for u := range 4 {
					rows[y][u] = 0
					for x := range 8 {
						rows[y][u] += in[y][x] * dct[u][x]
					}
				}
			}
			for i, p := range positions {
				c := 0.0
				for y := range 8 {
					c += rows[y][p[0]] * dct[p[1]][y]
				}
				coefficients[i] = append(coefficients[i], c)
			}
		}
	}
	return coefficients
}

// positions are the lowest frequencies, across and down.
var positions = [][2]int{{1, 0}, {0, 1}, {0, 2}, {1, 1}, {2, 0}, {3, 0}, {2, 1}, {1, 2}, {0, 3}}

var dct = func() (d [4][8]float64) {
	for u := range d {
		for x := range d[u] {
			d[u][x] = math.Cos(float64((2*x+1)*u)*math.Pi/16) / 2
			if u == 0 {
				d[u][x] /= math.Sqrt2
			}
		}
	}
	return d
}()

// luma returns the quantisation of the positions in a JPEG of the standard library's.
func luma(t *testing.T, data []byte) []float64 {
	t.Helper()
	at := bytes.Index(data, []byte{0xff, markerDQT, 0, 132, 0})
	if at < 0 {
		t.Fatal("no quantisation table")
	}
	var q []float64
	for zigzag := 1; zigzag <= len(positions); zigzag++ {
		q = append(q, float64(data[at+4+1+zigzag]))
	}
	return q
}

// span is how far from zero, in steps of the second quantisation, a histogram reaches.
const span = 24

// estimate returns the index of the candidate that fits a JPEG best.
func estimate(t *testing.T, data []byte, tables [][]float64) int {
	t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	second := luma(t, data)
	observed, before := blocks(img, 0), blocks(img, 4)
	histogram := func(values []float64, first, second float64) (h [2*span + 1]float64) {
		for _, v := range values {
			if first > 0 {
				v = math.Round(v/first) * first
			}
			h[int(min(max(math.Round(v/second), -span), span))+span] += 1 / float64(len(values))
		}
		return h
	}
	best, least := -1, math.Inf(1)
	for c, table := range tables {
		distance := 0.0
		for i := range positions {
			have, want := histogram(observed[i], 0, second[i]), histogram(before[i], table[i], second[i])
			for k := range have {
				distance += (have[k] - want[k]) * (have[k] - want[k])
			}
		}
		if distance < least {
			best, least = c, distance
		}
	}
	return best
}

// TestFirstQuantisationIsGone lets the estimator name the camera's quality: it must be right
// for most pictures that were only decoded and encoded again, and no better than chance for ours.
func TestFirstQuantisationIsGone(t *testing.T) {
	var tables [][]float64
	for _, q := range candidates {
		tables = append(tables, luma(t, asJPEG(t, sample.Photo(16, 16, 0, 0), q)))
	}
	var plain, ours, total int
	var guesses [2][]int
	for i, size := range []image.Point{{640, 480}, {800, 600}, {515, 701}, {1000, 667}} {
		for seed := range 3 {
			picture := sample.Photo(size.X, size.Y, 100*i+seed, 4+2*seed)
			for c, q := range candidates {
				first := asJPEG(t, picture, q)
				img, err := jpeg.Decode(bytes.NewReader(first))
				if err != nil {
					t.Fatal(err)
				}
				total++
				g := estimate(t, asJPEG(t, img, Quality), tables)
				guesses[0] = append(guesses[0], g)
				if g == c {
					plain++
				}
				cleaned, _, _ := clean(t, first, 0)
				g = estimate(t, cleaned, tables)
				guesses[1] = append(guesses[1], g)
				if g == c {
					ours++
				}
			}
		}
	}
	t.Logf("of %d pictures, the estimator names the first quality of %d when encoded plainly, of %d when cleaned; chance is %d",
		total, plain, ours, total/len(candidates))
	t.Logf("guesses, plain:   %v", guesses[0])
	t.Logf("guesses, cleaned: %v", guesses[1])
	if plain < total*2/3 {
		t.Errorf("the estimator is right for %d of %d plain pictures only: it shows nothing", plain, total)
	}
	// Chance is binomial with p = 1/8; 2.33 standard deviations are exceeded once in 100 times.
	n, p := float64(total), 1/float64(len(candidates))
	if bound := n*p + 2.33*math.Sqrt(n*p*(1-p)); float64(ours) > bound {
		t.Errorf("the estimator is right for %d of %d cleaned pictures, chance allows %.1f", ours, total, bound)
	}
}
