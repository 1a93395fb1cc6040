package picture

import "slices"

// Fixed-point formats, in bits after the point.
const (
	weightBits = 14 // of a filter's weight; the weights of one sample sum to 1
	sumBits    = 7  // of a sample scaled in one direction
	kernelBits = 16 // of the kernel's argument and value
)

// orientation is what makes a stored picture upright: it is mirrored, then its axes are
// exchanged.
type orientation uint8

const (
	flipX orientation = 1 << iota // left and right
	flipY                         // top and bottom
	transpose
)

// exifOrientations are the orientations by Exif's number.
var exifOrientations = [9]orientation{
	2: flipX,
	3: flipX | flipY,
	4: flipY,
	5: transpose,
	6: flipY | transpose,
	7: flipX | flipY | transpose,
	8: flipX | transpose,
}

// scale returns the picture with width by height pixels before, as o says, it is
// turned upright. It reads every row once, so a large picture is never in memory in a second
// form. A scale to the picture's own size returns its samples unchanged.
func (s *source) scale(width, height int, o orientation) *raster {
	r := &raster{width: width, height: height, subsampled: s.subsampled}
	for i, g := range s.groups {
		step := 1
		if s.subsampled && i > 0 {
			step = 2
		}
		x := newFilter(axis{s.width, g.sx, g.width}, axis{width, step, (width + step - 1) / step}, o&flipX != 0)
		y := newFilter(axis{s.height, g.sy, g.height}, axis{height, step, (height + step - 1) / step}, o&flipY != 0)
		if o&flipX != 0 {
			x.mirrored(g.width)
		}
		planes := resample(g, x, y, o&flipY != 0)
		if o&transpose != 0 {
			for i := range planes {
				planes[i] = transposed(planes[i], len(x.windows))
			}
		}
		r.planes = append(r.planes, planes...)
	}
	if o&transpose != 0 {
		r.width, r.height = height, width
	}
	return r
}

// cost is that of scaling the picture, in nanoseconds.
func (s *source) cost(width, height int) (n int) {
	for i, g := range s.groups {
		part := width * height
		if s.subsampled && i > 0 {
			part = (width + 1) / 2 * ((height + 1) / 2)
		}
		n += g.planes * (costScaledFrom*g.width*g.height + costScaledTo*part + costLine*(g.width+g.height+width+height))
	}
	return n
}

// axis is one direction of a plane: a picture of pixels pixels in samples
// samples, each step pixels wide, the last of which may reach beyond the picture.
type axis struct{ pixels, step, samples int }

// filter says how to make each sample along one axis out of those of the source.
type filter struct{ windows []window }

// window is the part of the source that a sample is made of.
type window struct {
	first   int
	weights []int32
}

// newFilter makes the filter for the cubic convolution of Keys (1981) with
// a = -1/2, stretched by the scale so that it also keeps out what the scaled picture cannot
// show (the antialiasing of every good image scaler). If flip, the source is mirrored:
// its samples are counted from the last one.
func newFilter(from, to axis, flip bool) *filter {
	// The middle of sample j of the source is at (2j+1)·from.step/2 pixels, that of sample i of the
	// result at (2i+1)·to.step/2·from.pixels/to.pixels. Everything below is these times
	// 2·to.pixels, in integers. Counted from the end, the source is shifted by what its
	// last sample reaches beyond the picture.
	beyond := 0
	if flip {
		beyond = from.samples*from.step - from.pixels
	}
	// The kernel's unit is the larger of the two samples' widths.
	unit := int64(max(2*to.step*from.pixels, 2*from.step*to.pixels))
	pitch := int64(2 * from.step * to.pixels) // from one sample of the source to the next
	f := &filter{windows: make([]window, to.samples)}
	for i := range f.windows {
		middle := int64(2*i+1)*int64(to.step)*int64(from.pixels) + int64(2*beyond*to.pixels)
		// Sample j is at j·pitch + pitch/2; those less than two units away count.
		first := floorDiv(middle-2*unit-pitch/2, pitch) + 1
		last := -floorDiv(-(middle+2*unit-pitch/2), pitch) - 1
		kernels := make([]int64, last-first+1)
		for k := range kernels {
			kernels[k] = kernel(abs((first+int64(k))*pitch+pitch/2-middle) << kernelBits / unit)
		}
		f.windows[i] = newWindow(int(first), kernels, from.samples)
	}
	return f
}

func abs(v int64) int64 { return max(v, -v) }

// floorDiv is a/b rounded down, for b > 0.
func floorDiv(a, b int64) int64 { return (a - (a%b+b)%b) / b }

// kernel is the cubic convolution at a distance of x ≥ 0.
func kernel(x int64) int64 {
	const one = 1 << kernelBits
	x2 := x * x >> kernelBits
	x3 := x2 * x >> kernelBits
	switch {
	case x < one:
		return (3*x3-5*x2)/2 + one
	case x < 2*one:
		return (5*x2-x3)/2 - 4*x + 2*one
	}
	return 0
}

// newWindow makes a window of weights that sum to 1 out of the kernel's values from sample first
// of n on. Beyond its edges the picture goes on as it is at the edge.
func newWindow(first int, kernels []int64, n int) window {
	inside := func(j int) int { return min(max(j, 0), n-1) }
	w := window{first: inside(first)}
	sums := make([]int64, inside(first+len(kernels)-1)-w.first+1)
	total := int64(0)
	for k, v := range kernels {
		sums[inside(first+k)-w.first] += v
		total += v
	}
	w.weights = make([]int32, len(sums))
	rest, largest := int32(1<<weightBits), 0
	for k, v := range sums {
		w.weights[k] = int32((v<<weightBits + total/2) / total)
		rest -= w.weights[k]
		if v > sums[largest] {
			largest = k
		}
	}
	w.weights[largest] += rest // what rounding leaves
	return w
}

// mirrored turns a filter whose n samples are counted from the end into one that counts
// them from the beginning.
func (f *filter) mirrored(n int) {
	for i, w := range f.windows {
		slices.Reverse(w.weights)
		f.windows[i].first = n - w.first - len(w.weights)
	}
}

// lane is where the second of two rows begins in what holds both: a sum of one takes less than
// these bits, so both are scaled by the same multiplications.
const lane = 32

// across scales two rows, which row holds.
func (f *filter) across(first, second []int32, row []int64) {
	const half = 1 << (weightBits - sumBits - 1)
	for i, w := range f.windows {
		part := row[w.first:][:len(w.weights)]
		sum := int64(half<<lane + half)
		k := 0
		for ; k+4 <= len(w.weights); k += 4 {
			p, q := part[k:k+4:k+4], w.weights[k:k+4:k+4]
			sum += p[0]*int64(q[0]) + p[1]*int64(q[1]) + p[2]*int64(q[2]) + p[3]*int64(q[3])
		}
		for ; k < len(w.weights); k++ {
			sum += part[k] * int64(w.weights[k])
		}
		low := int32(sum)
		first[i] = low >> (weightBits - sumBits)
		second[i] = int32((sum-int64(low))>>lane) >> (weightBits - sumBits)
	}
}

// down is a row of the result while the rows of the source come in.
type down struct {
	window
	sums [][]int32 // by plane
}

// resample scales the planes of a group, across and then down.
func resample(g group, x, y *filter, flipY bool) [][]byte {
	width, height := len(x.windows), len(y.windows)
	planes, pair := make([][]byte, g.planes), make([][]int64, g.planes)
	var across [2][][]int32 // of two rows, by plane
	for p := range planes {
		planes[p] = make([]byte, width*height)
		pair[p] = make([]int64, g.width)
		for i := range across {
			across[i] = append(across[i], make([]int32, width))
		}
	}
	read := func(j int) [][]byte {
		if flipY {
			j = g.height - 1 - j
		}
		return g.read(j)
	}
	var open, free []*down // rows begun, the oldest first; rows to use again
	begun, done := 0, 0
	for j := 0; j < g.height && done < height; j++ {
		for ; begun < height && y.windows[begun].first <= j; begun++ {
			var d *down
			if n := len(free); n > 0 {
				d, free = free[n-1], free[:n-1]
			} else {
				d = &down{sums: make([][]int32, g.planes)}
				for p := range d.sums {
					d.sums[p] = make([]int32, width)
				}
			}
			d.window = y.windows[begun]
			open = append(open, d)
		}
		if j%2 == 0 {
			for p, row := range read(j) {
				for i, v := range row {
					pair[p][i] = int64(v)
				}
			}
			if j+1 < g.height {
				for p, row := range read(j + 1) {
					for i, v := range row {
						pair[p][i] |= int64(v) << lane
					}
				}
			}
			for p := range planes {
				x.across(across[0][p], across[1][p], pair[p])
			}
		}
		for p, row := range across[j%2] {
			for _, d := range open {
				if k := j - d.first; k < len(d.weights) {
					addScaled(d.sums[p], row, d.weights[k])
				}
			}
		}
		for len(open) > 0 && open[0].first+len(open[0].weights) <= j+1 {
			for p, sums := range open[0].sums {
				emit(planes[p][done*width:][:width], sums)
			}
			free, open = append(free, open[0]), open[1:]
			done++
		}
	}
	return planes
}

func addScaled(sums, row []int32, weight int32) {
	row = row[:len(sums)]
	for i := range sums {
		sums[i] += row[i] * weight
	}
}

// emit writes a finished row and clears its sums.
func emit(row []byte, sums []int32) {
	const bits = weightBits + sumBits
	row = row[:len(sums)]
	for i, v := range sums {
		row[i] = byte(min(max((v+1<<(bits-1))>>bits, 0), 255))
		sums[i] = 0
	}
}

// transposed exchanges the axes of a plane of the given width.
func transposed(plane []byte, width int) []byte {
	height := len(plane) / width
	t := make([]byte, len(plane))
	for y := range height {
		for x, v := range plane[y*width:][:width] {
			t[x*height+y] = v
		}
	}
	return t
}
