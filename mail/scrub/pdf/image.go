package pdf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"math"
	"runtime/debug"
	"slices"

	"golang.org/x/image/ccitt"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// Bounds on pictures.
const (
	maxSide   = 1 << 15 // pixels
	maxPixels = 40e6    // of one picture
	// From this many bytes on that decoding takes, what came before is given back to the system first.
	giveBackFrom = 64 << 20
	// Up to this side a picture without loss, and up to this many colours one that is
	// not larger than any that is scaled, is a drawing whose pixels are meant one by one, like a QR code.
	maxIcon   = 64
	maxDrawn  = 1999
	fewColors = 16
)

const (
	jpx       = "The PDF has a picture in the form JPEG 2000, which cannot be cleaned. Print it to a new PDF, and attach that."
	jbig2     = "The PDF has a scan in the form JBIG2, which cannot be cleaned. Scan it again as a picture, or print it to a new PDF."
	oddFax    = "The PDF has a fax or scan in a form that cannot be cleaned. Print it to a new PDF, and attach that."
	oddInks   = "The PDF has a picture in inks or colours that cannot be cleaned. Export it with its pictures in RGB, or print it to a new PDF."
	matte     = "The PDF has a picture with soft edges in a form that cannot be cleaned. Print it to a new PDF, and attach that."
	largeScan = "The PDF has pictures with more pixels than can be cleaned here. Export it with smaller pictures, or split it."
	manyScans = "The PDF has pictures with more pixels, together with what else is attached, than can be cleaned at once. Send it in a mail of its own, export it with smaller pictures, or split it."
)

// slot is a picture of the document.
type slot struct {
	f             *file
	s             *stream
	width, height int
	bits          int  // of a sample
	samples       int  // of a pixel
	inks          bool // the samples are cyan, magenta, yellow and black
	palette       color.Palette
	decode        [][]uint8 // for each component, the value of every sample; an index for a palette
	stencil       bool      // a mask through which the current colour is painted
	interpolate   bool
	filter        name
	params        dict
	key           []int // the colour, as ranges of samples, that is transparent
	keyed         bool  // this is the mask that the key makes
	gray          bool  // this is a soft mask, which can have no palette
	mask, soft    any   // other slots
	alpha         *slot // the soft mask by which the colours were blended with the matte
	matte         color.RGBA

	left  *Budget
	sized *picture.Sized // if it is scaled
	same  *outStream     // if it is the same at every step
}

// forget lets go of the old document, when this picture and those that need it are loaded.
func (p *slot) forget() {
	p.f, p.s, p.palette, p.decode, p.params, p.alpha = nil, nil, nil, nil, nil, nil
}

// picture takes an image XObject (ISO 32000-1 section 8.9.5).
func (b *builder) picture(s *stream) any {
	p := b.slot(s, false)
	if p == nil {
		return nil
	}
	if mask, ok := b.f.resolve(s.dict["SMask"]).(*stream); ok {
		p.soft = b.once("mask", s.dict["SMask"], func() any { return b.addSlot(b.slot(mask, true)) })
		if m := b.f.numbers(mask.dict["Matte"], p.samples); m != nil && p.soft != nil {
			p.alpha = b.objects[p.soft.(ref)-1].(*slot)
			b.draw(p.alpha) // a second time
			if p.palette != nil || p.alpha.width != p.width || p.alpha.height != p.height {
				refuse(matte)
			}
			v := make([]byte, p.samples)
			for i := range v {
				f, _ := float(m[i])
				v[i] = uint8(float64(min(max(f, 0), 1)*255) + 0.5)
			}
			p.matte = color.RGBAModel.Convert(p.color(v)).(color.RGBA)
		}
	} else if mask, ok := b.f.resolve(s.dict["Mask"]).(*stream); ok {
		p.mask = b.once("stencil", s.dict["Mask"], func() any {
			m := b.slot(mask, true)
			if m != nil && !m.stencil {
				refuse(damaged)
			}
			return b.addSlot(m)
		})
	} else if key := b.f.numbers(s.dict["Mask"], 2*p.samples); key != nil && !p.stencil {
		for _, v := range key {
			n, _ := float(v)
			p.key = append(p.key, int(n))
		}
		alpha := *p
		alpha.keyed, alpha.gray = true, true
		b.draw(p)
		p.soft = b.addSlot(&alpha)
	}
	return b.addSlot(p)
}

func (b *builder) addSlot(p *slot) any {
	if p == nil {
		return nil
	}
	return b.add(p)
}

// draw takes the pixels of a picture that will be decoded.
func (b *builder) draw(p *slot) {
	if p.width > maxSide || p.height > maxSide || p.width*p.height > maxPixels {
		refuse(largeScan)
	}
	if !b.left.mail.Draw(p.width * p.height) {
		refuse(manyScans)
	}
}

// slot reads the dictionary of an image, or of a mask, which has one component.
func (b *builder) slot(s *stream, mask bool) *slot {
	d := s.dict
	p := &slot{f: b.f, s: s, left: b.left, width: b.f.integer(d["Width"], 0), height: b.f.integer(d["Height"], 0),
		bits: b.f.integer(d["BitsPerComponent"], 8), samples: 1, stencil: b.f.bool(d["ImageMask"]), interpolate: b.f.bool(d["Interpolate"])}
	if p.width <= 0 || p.height <= 0 {
		return nil
	}
	_, p.filter, p.params = b.f.open(s)
	if p.filter == "DCTDecode" { // the JPEG knows better
		config, err := jpeg.DecodeConfig(p.reader())
		if err != nil {
			refuse(damaged)
		}
		p.width, p.height = config.Width, config.Height
	}
	if b.left.pictures--; b.left.pictures < 0 && max(p.width, p.height) > maxIcon {
		refuse(manyScans)
	}
	b.draw(p)
	switch p.filter {
	case "JPXDecode":
		refuse(jpx)
	case "JBIG2Decode":
		refuse(jbig2)
	case "CCITTFaxDecode":
		p.bits = 1
	case "DCTDecode":
		p.bits = 8
	}
	high := 0
	if p.stencil {
		p.bits = 1
		p.palette = color.Palette{color.Gray{0}, color.Gray{255}}
		high = 1
	} else {
		switch p.bits {
		case 1, 2, 4, 8, 16:
		default:
			refuse(damaged)
		}
		high = p.space(b, d["ColorSpace"])
		if mask && (p.samples != 1 || p.palette != nil) {
			refuse(damaged)
		}
		p.gray = mask
	}
	p.decode = p.decodes(b.f.numbers(d["Decode"], 2*p.samples), high)
	return p
}

// space takes the colour space; it returns the highest index of a palette, 0 without one.
func (p *slot) space(b *builder, o any) int {
	cs := b.f.resolve(o)
	if cs == nil && p.filter == "DCTDecode" {
		return p.fromJPEG()
	}
	if a, ok := cs.(array); ok && len(a) > 0 {
		switch family := b.f.name(a[0]); family {
		case "Indexed":
			if len(a) < 4 {
				refuse(damaged)
			}
			base := slot{}
			if base.space(b, a[1]); base.palette != nil || p.bits > 8 {
				refuse(damaged)
			}
			high := min(max(b.f.integer(a[2], 0), 0), 255)
			table := b.lookup(a[3], base.samples*(high+1))
			for ; len(table) >= base.samples && len(p.palette) <= high; table = table[base.samples:] {
				p.palette = append(p.palette, base.color(table))
			}
			return high
		case "Separation", "DeviceN", "Lab", "Pattern":
			refuse(oddInks)
		case "ICCBased":
			if len(a) < 2 {
				refuse(damaged)
			}
			if alternate := b.f.array(b.f.dict(a[1])["Alternate"]); len(alternate) > 0 && b.f.name(alternate[0]) == "Lab" {
				refuse(oddInks)
			}
		}
	}
	cs = b.colorSpace(o, nil, 1)
	switch cs {
	case name("DeviceGray"):
		p.samples = 1
	case name("DeviceRGB"):
		p.samples = 3
	case name("DeviceCMYK"):
		p.samples, p.inks = 4, true
	default:
		refuse(oddInks)
	}
	return 0
}

// fromJPEG takes the colour space from the JPEG where the dictionary has none.
func (p *slot) fromJPEG() int {
	config, err := jpeg.DecodeConfig(p.reader())
	if err != nil {
		refuse(damaged)
	}
	switch config.ColorModel {
	case color.GrayModel:
		p.samples = 1
	case color.CMYKModel:
		p.samples, p.inks = 4, true
	default:
		p.samples = 3
	}
	return 0
}

func (p *slot) color(v []byte) color.Color {
	switch p.samples {
	case 1:
		return color.RGBA{v[0], v[0], v[0], 255}
	case 3:
		return color.RGBA{v[0], v[1], v[2], 255}
	}
	r, g, b := color.CMYKToRGB(v[0], v[1], v[2], v[3])
	return color.RGBA{r, g, b, 255}
}

// decodes makes the tables of a Decode array (ISO 32000-1 section 8.9.5.2), one for each component; samples
// of 16 bits are taken by their upper 8.
func (p *slot) decodes(decode array, high int) [][]uint8 {
	most := 1<<min(p.bits, 8) - 1
	tables := make([][]uint8, p.samples)
	for i := range tables {
		low, top, scale := 0.0, 1.0, 255.0
		if p.palette != nil {
			top, scale = float64(most), 1
		}
		if p.stencil {
			top = 1
		}
		if decode != nil {
			low, _ = float(decode[2*i])
			top, _ = float(decode[2*i+1])
		}
		tables[i] = make([]uint8, most+1)
		for v := range tables[i] {
			at := float64(low + float64(float64(v)*float64(top-low))/float64(most))
			n := math.Floor(float64(float64(at*scale) + 0.5))
			if limit := 255.0; p.palette != nil {
				n = min(n, float64(high))
			} else {
				n = min(n, limit)
			}
			tables[i][v] = uint8(max(n, 0))
		}
	}
	return tables
}

// blackAndWhite says whether a picture of one bit a pixel is a stencil or has no other colours.
func (p *slot) blackAndWhite() bool { return p.stencil || p.palette == nil }

func (p *slot) plainDecode() bool {
	for _, t := range p.decode {
		if t[0] != 0 || t[len(t)-1] != 255 {
			return false
		}
	}
	return true
}

func (p *slot) reader() io.Reader {
	r, _, _ := p.f.open(p.s)
	return r
}

// at returns the picture as it is in the document at a step. It reports whether that is known. One that
// was not looked at has a byte or more.
func (p *slot) at(step int) (*outStream, bool) {
	switch {
	case p.same != nil:
		return p.same, true
	case p.sized == nil:
		return &outStream{size: 1}, true
	}
	data, mediaType, size, err := p.sized.At(step)
	checked(p.sized, err)
	switch {
	case data != nil:
		return p.out(data, mediaType), true
	case size > 0:
		return &outStream{size: size}, true
	}
	return nil, false
}

// load decodes the picture: to one that is scaled, or to one whose pixels stay, which is encoded.
func (p *slot) load(d *Document) {
	p.left.spend(costPicture)
	sized, exact := p.decoded(d.pictures)
	if exact != nil {
		if p.same = p.exactly(d, exact); !d.pictures.Fill(p.same.size) {
			p.same.data, d.partial = nil, true
		}
		return
	}
	for _, phrase := range sized.Removed() {
		d.ofPictures[phrase] = true
	}
	p.sized = sized
}

// exactly encodes a picture without loss, if it fits into the mail. A scan of one bit a pixel is a
// fax or a PNG, whichever is shorter.
func (p *slot) exactly(d *Document, img image.Image) *outStream {
	p.left.spend(costLossless*rawBytes(img) + costRow*p.height)
	most := d.pictures.Left()
	var fax *outStream
	if bits, ok := img.(*image.Paletted); ok && p.bits == 1 && p.blackAndWhite() {
		p.left.spend(costFax * p.width * p.height)
		if fax = p.fax(bits); fax.size <= most {
			// With what a PNG has beside its rows, a longer one has longer rows than the fax.
			most = fax.size + fax.size/1024 + 1024
		}
	}
	whole := picture.UpTo{Left: most}
	s := &outStream{size: most + 1} // or more
	if err := d.png.Encode(&whole, img); err == nil {
		s = p.out(whole.Bytes(), "image/png")
	} else if !errors.Is(err, picture.ErrFull) {
		refuse(damaged)
	}
	p.left.spend(costOf * len(whole.Bytes()))
	if fax != nil && fax.size < s.size {
		return fax
	}
	return s
}

// rawBytes is how many bytes a picture without loss has before it is compressed.
func rawBytes(img image.Image) int {
	pixels := img.Bounds().Dx() * img.Bounds().Dy()
	switch img := img.(type) {
	case *image.RGBA:
		return 3 * pixels
	case *image.Paletted:
		if len(img.Palette) <= fewColors {
			return pixels / 2
		}
	}
	return pixels
}

// fax makes the image XObject of a scan in black and white (ISO 32000-1 section 7.4.6).
func (p *slot) fax(bits *image.Paletted) *outStream {
	d := p.dict()
	d["Width"], d["Height"], d["BitsPerComponent"], d["Filter"] = p.width, p.height, 1, name("CCITTFaxDecode")
	d["DecodeParms"] = dict{"K": -1, "Columns": p.width, "Rows": p.height}
	if p.stencil {
		d["ImageMask"] = true
	} else {
		d["ColorSpace"] = name("DeviceGray")
	}
	data := encodeFax(bits)
	return &outStream{d, data, len(data)}
}

// decoded decodes the picture.
func (p *slot) decoded(budget *picture.Budget) (*picture.Sized, image.Image) {
	if p.width*p.height*max(3, p.samples) > giveBackFrom {
		debug.FreeOSMemory()
	}
	if p.filter == "DCTDecode" && !p.keyed {
		data := p.compressed()
		if p.plainDecode() && p.samples != 4 && p.palette == nil && p.alpha == nil {
			return checked(budget.Decode(withoutExif(data))), nil
		}
		img := p.decodeJPEG(data)
		if p.alpha != nil {
			img = p.unblended(img)
		}
		return checked(budget.FromImage(img, true)), nil
	}
	img := p.decodeSamples()
	if p.alpha != nil {
		img = p.unblended(img)
	}
	switch {
	case p.bits == 1 && p.samples == 1 && !p.keyed || max(p.width, p.height) <= maxIcon:
		return nil, img
	case max(p.width, p.height) > maxDrawn:
		return checked(budget.FromImage(img, false)), nil
	case p.palette != nil && len(p.palette) <= fewColors || colors(img) <= fewColors:
		return nil, img
	}
	return checked(budget.Again(img)), nil
}

// compressed returns the bytes of a JPEG.
func (p *slot) compressed() []byte {
	data, err := io.ReadAll(io.LimitReader(p.reader(), maxDecoded))
	if err != nil {
		refuse(damaged)
	}
	return data
}

// unblended undoes the blending of the colours with the matte (ISO 32000-1 section 11.6.5.3).
func (p *slot) unblended(img image.Image) image.Image {
	var mask image.Image
	if p.alpha.filter == "DCTDecode" {
		mask = p.alpha.decodeJPEG(p.alpha.compressed())
	} else {
		mask = p.alpha.decodeSamples()
	}
	out, ok := img.(*image.RGBA)
	if !ok {
		out = image.NewRGBA(img.Bounds())
		draw.Draw(out, out.Rect, img, image.Point{}, draw.Src)
	}
	p.left.spend(costPixel * p.width * p.height)
	opacity := opacities(mask)
	for y := range p.height {
		row := out.Pix[y*out.Stride:][:4*p.width]
		for x := range p.width {
			a := int(opacity(x, y))
			if a == 0 || a == 255 {
				continue
			}
			undo := func(v, m uint8) uint8 {
				return uint8(min(max(int(m)+(int(v)-int(m))*255/a, 0), 255))
			}
			c := row[4*x : 4*x+3 : 4*x+3]
			c[0], c[1], c[2] = undo(c[0], p.matte.R), undo(c[1], p.matte.G), undo(c[2], p.matte.B)
		}
	}
	return out
}

// opacities returns what reads a soft mask, in which all colours are gray.
func opacities(mask image.Image) func(x, y int) uint8 {
	switch mask := mask.(type) {
	case *image.RGBA:
		return func(x, y int) uint8 { return mask.Pix[y*mask.Stride+4*x] }
	case *image.Gray:
		return func(x, y int) uint8 { return mask.Pix[y*mask.Stride+x] }
	}
	return func(x, y int) uint8 { return color.GrayModel.Convert(mask.At(x, y)).(color.Gray).Y }
}

func checked(made *picture.Sized, err error) *picture.Sized {
	if errors.Is(err, picture.TooMuch) {
		refuse(manyScans)
	} else if r, ok := err.(*mail.Refusal); ok {
		panic(refusal{r})
	} else if err != nil {
		refuse(damaged)
	}
	return made
}

// colors counts the colours of a picture, up to one more than a few.
func colors(img image.Image) int {
	var seen [fewColors + 1]uint32
	n, size := 0, 4
	var pix []uint8
	switch img := img.(type) {
	case *image.RGBA:
		pix = img.Pix
	case *image.Gray:
		pix, size = img.Pix, 1
	case *image.Paletted:
		pix, size = img.Pix, 1
	}
	for i := 0; i < len(pix) && n <= fewColors; i += size {
		c := uint32(pix[i])
		if size == 4 {
			c = binary.LittleEndian.Uint32(pix[i:])
		}
		if !slices.Contains(seen[:n], c) {
			seen[n] = c
			n++
		}
	}
	return n
}

// withoutExif leaves out the segments of Exif and XMP: a reader of PDF does not turn a
// picture as they say.
func withoutExif(data []byte) []byte {
	out := make([]byte, 0, len(data))
	i := min(2, len(data))
	out = append(out, data[:i]...)
	for i+4 <= len(data) && data[i] == 0xff {
		marker, n := data[i+1], 2+int(binary.BigEndian.Uint16(data[i+2:]))
		if marker == 0xda || i+n > len(data) {
			break
		}
		if marker != 0xe1 {
			out = append(out, data[i:i+n]...)
		}
		i += n
	}
	return append(out, data[i:]...)
}

// decodeJPEG decodes what is not simply gray or RGB. The standard library returns inks as
// Adobe's programs store them, inverted; in a PDF the Decode array says so.
func (p *slot) decodeJPEG(data []byte) image.Image {
	config, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width <= 0 || config.Height <= 0 || config.Width*config.Height > maxPixels/2 {
		refuse(largeScan)
	}
	pixels := ((config.Width + 15) &^ 15) * ((config.Height + 15) &^ 15) // in whole units, which are at most as large
	p.left.spend((costJPEG*p.samples+costPixel)*pixels + costCoded*len(data))
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		refuse(oddInks)
	}
	out := image.NewRGBA(image.Rect(0, 0, config.Width, config.Height))
	switch img := img.(type) {
	case *image.Gray:
		p.expect(1)
		values := make([]uint8, config.Width)
		for y := range config.Height {
			for x, v := range img.Pix[y*img.Stride:][:config.Width] {
				values[x] = p.decode[0][v]
			}
			p.colored(out.Pix[y*out.Stride:], values)
		}
	case *image.CMYK:
		p.expect(4)
		for y := range config.Height {
			row, pix := img.Pix[y*img.Stride:][:4*config.Width], out.Pix[y*out.Stride:][:4*config.Width]
			for i, v := range row {
				row[i] = p.decode[i&3][255-v]
			}
			p.colored(pix, row)
		}
	case *image.YCbCr:
		p.expect(3)
		for y := range config.Height {
			pix := out.Pix[y*out.Stride:][:4*config.Width]
			for x := range config.Width {
				at, chroma := img.YOffset(x, y), img.COffset(x, y)
				r, g, b := color.YCbCrToRGB(img.Y[at], img.Cb[chroma], img.Cr[chroma])
				c := pix[4*x : 4*x+4 : 4*x+4]
				c[0], c[1], c[2], c[3] = p.decode[0][r], p.decode[1][g], p.decode[2][b], 255
			}
		}
	default:
		p.expect(3)
		values := make([]uint8, 3*config.Width)
		for y := range config.Height {
			for x := range config.Width {
				r, g, b, _ := img.At(x, y).RGBA()
				values[3*x], values[3*x+1], values[3*x+2] = p.decode[0][r>>8], p.decode[1][g>>8], p.decode[2][b>>8]
			}
			p.colored(out.Pix[y*out.Stride:], values)
		}
	}
	return out
}

// expect refuses a JPEG of other samples than its dictionary says.
func (p *slot) expect(samples int) {
	if p.samples != samples {
		refuse(oddInks)
	}
}

// colored turns a row of decoded values into red, green, blue and opacity.
func (p *slot) colored(pix, values []uint8) {
	switch {
	case p.palette != nil:
		for x, v := range values {
			c := color.RGBAModel.Convert(p.palette[v]).(color.RGBA)
			copy(pix[4*x:], []uint8{c.R, c.G, c.B, 255})
		}
	case p.samples == 1:
		for x, v := range values {
			c := pix[4*x : 4*x+4 : 4*x+4]
			c[0], c[1], c[2], c[3] = v, v, v, 255
		}
	case p.samples == 3:
		for x := range len(values) / 3 {
			c, v := pix[4*x:4*x+4:4*x+4], values[3*x:3*x+3:3*x+3]
			c[0], c[1], c[2], c[3] = v[0], v[1], v[2], 255
		}
	default:
		for x := range len(values) / 4 {
			c, v := pix[4*x:4*x+4:4*x+4], values[4*x:4*x+4:4*x+4]
			r, g, b := color.CMYKToRGB(v[0], v[1], v[2], v[3])
			c[0], c[1], c[2], c[3] = r, g, b, 255
		}
	}
}

// decodeSamples decodes rows of samples.
func (p *slot) decodeSamples() image.Image {
	rect := image.Rect(0, 0, p.width, p.height)
	var take func(y int, values []uint8)
	var img image.Image
	switch {
	case p.keyed:
		out := image.NewGray(rect)
		take, img = func(y int, values []uint8) { copy(out.Pix[y*out.Stride:], values) }, out
	case p.palette != nil:
		out := image.NewPaletted(rect, p.palette)
		take, img = func(y int, values []uint8) { copy(out.Pix[y*out.Stride:], values) }, out
	case p.samples == 1 && p.bits == 1:
		out := image.NewPaletted(rect, color.Palette{color.RGBA{0, 0, 0, 255}, color.RGBA{255, 255, 255, 255}})
		take, img = func(y int, values []uint8) {
			for x, v := range values {
				out.Pix[y*out.Stride+x] = v >> 7
			}
		}, out
	case p.samples == 1:
		out := image.NewGray(rect)
		take, img = func(y int, values []uint8) { copy(out.Pix[y*out.Stride:], values) }, out
	default:
		out := image.NewRGBA(rect)
		take, img = func(y int, values []uint8) { p.colored(out.Pix[y*out.Stride:], values) }, out
	}
	p.left.spend((costPixel+costSample*p.samples)*p.width*p.height + costRow*p.height)
	r := p.rows()
	row := make([]byte, (p.width*p.samples*p.bits+7)/8)
	values := make([]uint8, p.width*p.samples)
	for y := range p.height {
		n, err := io.ReadFull(r, row)
		if err != nil {
			clear(row[n:]) // readers show what there is
		}
		if p.keyed {
			p.opaque(values[:p.width], row)
			take(y, values[:p.width])
		} else {
			p.unpack(values, row)
			take(y, values)
		}
	}
	return img
}

// unpack decodes the samples of a row.
func (p *slot) unpack(values []uint8, row []byte) {
	for j, table := range p.decode {
		switch p.bits {
		case 8:
			for i := j; i < len(values); i += p.samples {
				values[i] = table[row[i]]
			}
		case 16:
			for i := j; i < len(values); i += p.samples {
				values[i] = table[row[2*i]]
			}
		default:
			for i := j; i < len(values); i += p.samples {
				values[i] = table[p.sample(row, i)]
			}
		}
	}
}

// sample is the whole value of a sample of a row.
func (p *slot) sample(row []byte, i int) int {
	switch p.bits {
	case 8:
		return int(row[i])
	case 16:
		return int(row[2*i])<<8 | int(row[2*i+1])
	}
	at := i * p.bits
	return int(row[at/8]) >> (8 - p.bits - at%8) & (1<<p.bits - 1)
}

// opaque says of each pixel of a row whether it has not the colour that is transparent.
func (p *slot) opaque(values []uint8, row []byte) {
	for x := range values {
		values[x] = 0
		for i := range p.samples {
			if v := p.sample(row, p.samples*x+i); v < p.key[2*i] || v > p.key[2*i+1] {
				values[x] = 255
			}
		}
	}
}

// rows returns the samples as rows that are padded to whole bytes.
func (p *slot) rows() io.Reader {
	r := p.reader()
	switch p.filter {
	case "CCITTFaxDecode":
		p.left.spend(costFax * p.width * p.height)
		k, columns := p.f.integer(p.params["K"], 0), p.f.integer(p.params["Columns"], 1728)
		if k > 0 || columns != p.width {
			refuse(oddFax)
		}
		format := ccitt.Group3
		if k < 0 {
			format = ccitt.Group4
		}
		fax := &faxReader{r: ccitt.NewReader(r, ccitt.MSB, format, columns, p.height, &ccitt.Options{
			Align: p.f.bool(p.params["EncodedByteAlign"]), Invert: p.f.bool(p.params["BlackIs1"])})}
		return fax
	case "DCTDecode": // keyed: a colour of a JPEG is transparent
		refuse(oddInks)
	}
	return r
}

// faxReader refuses a scan that does not decode: what was lost would not be seen.
type faxReader struct{ r io.Reader }

func (f *faxReader) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		refuse(oddFax)
	}
	return n, err
}

// dict is what all image XObjects have of a picture.
func (p *slot) dict() dict {
	d := dict{"Type": name("XObject"), "Subtype": name("Image")}
	if p.interpolate {
		d["Interpolate"] = true
	}
	if p.soft != nil && !p.keyed {
		d["SMask"] = p.soft
	}
	if p.mask != nil {
		d["Mask"] = p.mask
	}
	return d
}

// out makes the image XObject of a JPEG or PNG that was just encoded.
func (p *slot) out(data []byte, mediaType string) *outStream {
	d := p.dict()
	if mediaType == "image/jpeg" {
		config, err := jpeg.DecodeConfig(bytes.NewReader(data))
		if err != nil {
			refuse(damaged)
		}
		d["Width"], d["Height"], d["BitsPerComponent"], d["Filter"] = config.Width, config.Height, 8, name("DCTDecode")
		d["ColorSpace"] = name("DeviceRGB")
		if config.ColorModel == color.GrayModel {
			d["ColorSpace"] = name("DeviceGray")
		}
		return &outStream{d, data, len(data)}
	}
	return p.fromPNG(d, data)
}

// fromPNG takes the compressed rows of a PNG as they are: FlateDecode with
// PNG's predictors is PNG's own compression (PNG specification sections 9 and 10).
func (p *slot) fromPNG(d dict, data []byte) *outStream {
	var rows, palette []byte
	var colorType byte
	whole := data
	for data = data[8:]; len(data) >= 12; {
		n := int(binary.BigEndian.Uint32(data))
		chunk := data[8 : 8+n]
		switch string(data[4:8]) {
		case "IHDR":
			d["Width"], d["Height"] = int(binary.BigEndian.Uint32(chunk)), int(binary.BigEndian.Uint32(chunk[4:]))
			d["BitsPerComponent"], colorType = int(chunk[8]), chunk[9]
		case "PLTE":
			palette = chunk
		case "IDAT":
			rows = append(rows, chunk...)
		}
		data = data[12+n:]
	}
	params := dict{"Predictor": 15, "BitsPerComponent": d["BitsPerComponent"], "Columns": d["Width"]}
	d["Filter"], d["DecodeParms"] = name("FlateDecode"), params
	switch {
	case p.stencil:
		d["ImageMask"] = true
	case colorType == 0:
		d["ColorSpace"] = name("DeviceGray")
	case colorType == 2:
		d["ColorSpace"], params["Colors"] = name("DeviceRGB"), 3
	case colorType == 3 && string(palette) == "\x00\x00\x00\xff\xff\xff":
		d["ColorSpace"] = name("DeviceGray")
	case colorType == 3 && p.gray:
		p.left.spend((costPixel + costLossless) * d["Width"].(int) * d["Height"].(int))
		img, err := png.Decode(bytes.NewReader(whole))
		if err != nil {
			refuse(damaged)
		}
		gray := image.NewGray(img.Bounds())
		draw.Draw(gray, gray.Rect, img, image.Point{}, draw.Src)
		var out bytes.Buffer
		if err := png.Encode(&out, gray); err != nil {
			refuse(damaged)
		}
		p.left.spend(costOf * out.Len())
		return p.fromPNG(d, out.Bytes())
	case colorType == 3:
		d["ColorSpace"] = array{name("Indexed"), name("DeviceRGB"), len(palette)/3 - 1, text(palette)}
	default:
		refuse(damaged)
	}
	return &outStream{d, rows, len(rows)}
}
