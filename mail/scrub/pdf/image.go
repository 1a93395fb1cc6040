package pdf

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"math"

	"golang.org/x/image/ccitt"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// Bounds on pictures.
const (
	maxSide   = 1 << 15  // pixels
	maxPixels = 40e6     // of one picture
	allPixels = 200e6    // of a document
	keepBytes = 96 << 20 // of decoded pictures between steps
	// Pictures of a document; icons and the glyphs of bitmap fonts may be more.
	maxPictures = 2000
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
)

// slot is a picture of the document. It is decoded and encoded anew when the
// size is known.
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

	made *picture.Picture // kept between steps while there is room
	same *outStream       // what is the same for every step
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

// slot reads the dictionary of an image, or of a mask, which has one component.
func (b *builder) slot(s *stream, mask bool) *slot {
	d := s.dict
	p := &slot{f: b.f, s: s, width: b.f.integer(d["Width"], 0), height: b.f.integer(d["Height"], 0),
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
	if b.pictures++; b.pictures > maxPictures && max(p.width, p.height) > maxIcon {
		refuse(largeScan)
	}
	if b.pixels -= p.width * p.height; p.width > maxSide || p.height > maxSide || p.width*p.height > maxPixels || b.pixels < 0 {
		refuse(largeScan)
	}
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

// encode returns the picture as it is in the document at a size.
func (p *slot) encode(d *Document, step int) *outStream {
	if p.same != nil {
		return p.same
	}
	if p.made == nil {
		made, exact := p.load()
		if exact != nil {
			var out bytes.Buffer
			if err := d.png.Encode(&out, exact); err != nil {
				refuse(damaged)
			}
			p.same = p.out(out.Bytes(), "image/png")
			if bits, ok := exact.(*image.Paletted); ok && p.bits == 1 && p.blackAndWhite() {
				if fax := encodeFax(bits); len(fax) < len(p.same.data) {
					p.same.data, p.same.dict["Filter"] = fax, name("CCITTFaxDecode")
					p.same.dict["DecodeParms"] = dict{"K": -1, "Columns": p.width, "Rows": p.height}
				}
			}
			return p.same
		}
		for _, phrase := range made.Removed() {
			d.ofPictures[phrase] = true
		}
		if size := p.width * p.height * 3; d.kept+min(size, 3*maxDrawn*maxDrawn) <= keepBytes {
			d.kept += min(size, 3*maxDrawn*maxDrawn)
			p.made = made
		}
		return p.encodeAt(made, step)
	}
	return p.encodeAt(p.made, step)
}

func (p *slot) encodeAt(made *picture.Picture, step int) *outStream {
	data, mediaType, err := made.Encode(step)
	if err != nil {
		refuse(damaged)
	}
	return p.out(data, mediaType)
}

// load decodes the picture: to one that is scaled, or to one whose pixels stay.
func (p *slot) load() (*picture.Picture, image.Image) {
	var img image.Image
	if p.filter == "DCTDecode" && !p.keyed {
		data, err := io.ReadAll(io.LimitReader(p.reader(), maxDecoded))
		if err != nil {
			refuse(damaged)
		}
		if p.plainDecode() && p.samples != 4 && p.palette == nil && p.alpha == nil {
			made, err := picture.Decode(withoutExif(data))
			return checked(made, err), nil
		}
		if img = p.decodeJPEG(data); p.alpha != nil {
			img = p.unblended(img)
		}
		made, err := picture.FromImage(img, true)
		return checked(made, err), nil
	}
	if img = p.decodeSamples(); p.alpha != nil {
		img = p.unblended(img)
	}
	if p.bits == 1 && p.samples == 1 && !p.keyed || max(p.width, p.height) <= maxIcon {
		return nil, img
	}
	if max(p.width, p.height) <= maxDrawn {
		if p.palette != nil && len(p.palette) <= fewColors || colors(img) <= fewColors {
			return nil, img
		}
		// What the package picture made is known to it, and stays as it is.
		var data bytes.Buffer
		if err := png.Encode(&data, img); err != nil {
			refuse(damaged)
		}
		made, err := picture.Decode(data.Bytes())
		return checked(made, err), nil
	}
	made, err := picture.FromImage(img, false)
	return checked(made, err), nil
}

// unblended undoes the blending of the colours with the matte (ISO 32000-1 section 11.6.5.3).
func (p *slot) unblended(img image.Image) image.Image {
	var mask image.Image
	if p.alpha.filter == "DCTDecode" {
		data, err := io.ReadAll(io.LimitReader(p.alpha.reader(), maxDecoded))
		if err != nil {
			refuse(damaged)
		}
		mask = p.alpha.decodeJPEG(data)
	} else {
		mask = p.alpha.decodeSamples()
	}
	out := image.NewRGBA(img.Bounds())
	for y := range p.height {
		for x := range p.width {
			c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA)
			if a := int(color.GrayModel.Convert(mask.At(x, y)).(color.Gray).Y); a > 0 {
				undo := func(v, m uint8) uint8 {
					return uint8(min(max(int(m)+(int(v)-int(m))*255/a, 0), 255))
				}
				c.R, c.G, c.B = undo(c.R, p.matte.R), undo(c.G, p.matte.G), undo(c.B, p.matte.B)
			}
			out.SetRGBA(x, y, c)
		}
	}
	return out
}

func checked(made *picture.Picture, err error) *picture.Picture {
	if r, ok := err.(*mail.Refusal); ok {
		panic(refusal{r})
	} else if err != nil {
		refuse(damaged)
	}
	return made
}

// colors counts the colours of a picture, up to one more than a few.
func colors(img image.Image) int {
	seen := map[[4]uint8]bool{}
	size := 4
	var pix []uint8
	switch img := img.(type) {
	case *image.RGBA:
		pix = img.Pix
	case *image.Gray:
		pix, size = img.Pix, 1
	case *image.Paletted:
		pix, size = img.Pix, 1
	}
	var last [4]uint8
	for i := 0; i < len(pix) && len(seen) <= fewColors; i += size {
		var c [4]uint8
		copy(c[:], pix[i:i+size])
		if c != last || i == 0 {
			seen[c], last = true, c
		}
	}
	return len(seen)
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
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		refuse(oddInks)
	}
	out := image.NewRGBA(image.Rect(0, 0, config.Width, config.Height))
	sample := make([]uint8, 4)
	for y := range config.Height {
		for x := range config.Width {
			n := 3
			switch img := img.(type) {
			case *image.CMYK:
				i := img.PixOffset(x, y)
				for j := range sample {
					sample[j] = 255 - img.Pix[i+j]
				}
				n = 4
			case *image.Gray:
				sample[0], n = img.GrayAt(x, y).Y, 1
			default:
				r, g, b, _ := img.At(x, y).RGBA()
				sample[0], sample[1], sample[2] = uint8(r>>8), uint8(g>>8), uint8(b>>8)
			}
			if n != p.samples {
				refuse(oddInks)
			}
			for j := range n {
				sample[j] = p.decode[j][sample[j]]
			}
			if p.palette != nil {
				out.Set(x, y, p.palette[sample[0]])
			} else {
				out.Set(x, y, p.color(sample[:n]))
			}
		}
	}
	return out
}

// decodeSamples decodes rows of samples.
func (p *slot) decodeSamples() image.Image {
	rect := image.Rect(0, 0, p.width, p.height)
	r := p.rows()
	row := make([]byte, (p.width*p.samples*p.bits+7)/8)
	var set func(x, y int, v []uint8)
	var img image.Image
	switch {
	case p.keyed:
		out := image.NewGray(rect)
		set, img = func(x, y int, v []uint8) { out.Pix[y*out.Stride+x] = v[0] }, out
	case p.palette != nil:
		out := image.NewPaletted(rect, p.palette)
		set, img = func(x, y int, v []uint8) { out.Pix[y*out.Stride+x] = v[0] }, out
	case p.samples == 1 && p.bits == 1:
		out := image.NewPaletted(rect, color.Palette{color.RGBA{0, 0, 0, 255}, color.RGBA{255, 255, 255, 255}})
		set, img = func(x, y int, v []uint8) { out.Pix[y*out.Stride+x] = v[0] >> 7 }, out
	case p.samples == 1:
		out := image.NewGray(rect)
		set, img = func(x, y int, v []uint8) { out.Pix[y*out.Stride+x] = v[0] }, out
	default:
		out := image.NewRGBA(rect)
		set, img = func(x, y int, v []uint8) {
			i := out.PixOffset(x, y)
			c := out.Pix[i : i+4 : i+4]
			if c[3] = 255; p.inks {
				c[0], c[1], c[2] = color.CMYKToRGB(v[0], v[1], v[2], v[3])
			} else {
				copy(c, v)
			}
		}, out
	}
	values := make([]uint8, p.samples)
	for y := range p.height {
		n, err := io.ReadFull(r, row)
		if err != nil {
			clear(row[n:]) // readers show what there is
		}
		at := 0
		for x := range p.width {
			transparent := p.keyed
			for i := range values {
				var v, whole int
				switch p.bits {
				case 8:
					v = int(row[at])
					whole = v
					at++
				case 16:
					v = int(row[at])
					whole = v<<8 | int(row[at+1])
					at += 2
				default:
					v = int(row[at/8]) >> (8 - p.bits - at%8) & (1<<p.bits - 1)
					whole = v
					at += p.bits
				}
				values[i] = p.decode[i][v]
				transparent = transparent && whole >= p.key[2*i] && whole <= p.key[2*i+1]
			}
			if p.keyed {
				values[0] = 255
				if transparent {
					values[0] = 0
				}
			}
			set(x, y, values)
		}
	}
	return img
}

// rows returns the samples as rows that are padded to whole bytes.
func (p *slot) rows() io.Reader {
	r := p.reader()
	switch p.filter {
	case "CCITTFaxDecode":
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

// out makes the image XObject of a JPEG or PNG that was just encoded.
func (p *slot) out(data []byte, mediaType string) *outStream {
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
		return &outStream{d, data}
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
		return p.fromPNG(d, out.Bytes())
	case colorType == 3:
		d["ColorSpace"] = array{name("Indexed"), name("DeviceRGB"), len(palette)/3 - 1, text(palette)}
	default:
		refuse(damaged)
	}
	return &outStream{d, rows}
}
