package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"strings"

	"golang.org/x/image/webp"
)

// header is what is known of a picture before it is decoded.
type header struct {
	decode        func(io.Reader) (image.Image, error)
	width, height int
	frame         image.Rectangle // what is decoded: the whole, but for a GIF
	memory        int64           // bytes that decoding takes, the input not counted
	work          int64           // nanoseconds that it takes at most
	lossy         bool
	own           bool // may be a picture that this package has written
	orientation   orientation
	found         notices
}

// still sets the size of a picture that is decoded whole.
func (h *header) still(width, height int) {
	h.width, h.height = width, height
	h.frame = image.Rect(0, 0, width, height)
}

// Is reports whether data begins like a picture, be it of a kind that Decode refuses.
func Is(data []byte) bool { return sniff(data) != nil }

// inspect finds out a picture's kind and reads its headers. Where they do not say what they must,
// the error is a refusal.
func inspect(data []byte) (*header, error) {
	look := sniff(data)
	if look == nil {
		return nil, refuseUnknown
	}
	return look(data)
}

// sniff returns what inspects, or refuses, pictures that begin like data, nil if no
// picture does.
func sniff(data []byte) func([]byte) (*header, error) {
	begins := func(magic string) bool { return bytes.HasPrefix(data, []byte(magic)) }
	refuse := func(err error) func([]byte) (*header, error) {
		return func([]byte) (*header, error) { return nil, err }
	}
	switch {
	case begins("\xff\xd8\xff"):
		return inspectJPEG
	case begins(pngMagic):
		return inspectPNG
	case begins("GIF87a"), begins("GIF89a"):
		return inspectGIF
	case begins("RIFF") && len(data) >= 12 && string(data[8:12]) == "WEBP":
		return inspectWebP
	case begins("II*\x00"), begins("MM\x00*"), begins("II+\x00"), begins("MM\x00+"):
		return refuse(refuseTIFF)
	case begins("BM") && len(data) >= 26 && le32(data[6:]) == 0 && le32(data[14:]) <= 124:
		return refuse(refuseBMP)
	case begins("\xff\x0a"), begins("\x00\x00\x00\x0cJXL \r\n\x87\n"), // JPEG XL
		begins("\x00\x00\x00\x0cjP  \r\n\x87\n"), begins("\xff\x4f\xff\x51"), // JPEG 2000
		begins("8BPS"), begins("\x00\x00\x01\x00"), begins("gimp xcf"):
		return refuse(refuseUnknown)
	case len(data) >= 12 && string(data[4:8]) == "ftyp" && heif(data):
		return refuse(refuseHEIC)
	}
	// SVG is XML that opens with an svg element, after a declaration, a document type or comments.
	text := strings.ToLower(string(data[:min(len(data), 4096)]))
	if strings.HasPrefix(strings.TrimLeft(text, "\ufeff \t\r\n"), "<") && strings.Contains(text, "<svg") && !strings.Contains(text, "<html") {
		return refuse(refuseSVG)
	}
	return nil
}

// heif reports whether a file type box (ISO/IEC 14496-12 section 4.3) names a brand of still
// pictures, as its own or as one it is compatible with.
func heif(data []byte) bool {
	// A size of less than its own header stands for a box without end, or is none.
	end := int(min(binary.BigEndian.Uint32(data), 256))
	if end < 8 {
		end = 256
	}
	box := data[8:min(len(data), end)]
	for i := 0; i+4 <= len(box); i += 4 {
		switch string(box[i : i+4]) {
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1", "mif2", "avif", "avis", "miaf":
			return true
		}
	}
	return false
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

// Markers of JPEG (ITU-T T.81 table B.1).
const (
	markerSOF0  = 0xc0 // baseline; SOF1 and SOF2 are extended and progressive
	markerSOF2  = 0xc2
	markerDHT   = 0xc4
	markerRST0  = 0xd0
	markerRST7  = 0xd7
	markerEOI   = 0xd9
	markerSOS   = 0xda
	markerDQT   = 0xdb
	markerDRI   = 0xdd
	markerAPP0  = 0xe0
	markerAPP15 = 0xef
	markerCOM   = 0xfe
)

// maxScans bounds the scans of a progressive JPEG, each of which passes over the whole
// picture whatever it says of it. Encoders write about ten.
const maxScans = 40

// inspectJPEG walks through all segments up to the end of the image, where the decoder
// stops, too.
func inspectJPEG(data []byte) (*header, error) {
	j := &jpegHeader{header: header{decode: jpeg.Decode, lossy: true}}
	for pos := 2; ; {
		// Between segments lie a scan's bytes, where 0xff is followed by 0 or a restart marker.
		skip := bytes.IndexByte(data[pos:], 0xff)
		if skip < 0 {
			return nil, refuseDamaged
		}
		for pos += skip; pos < len(data) && data[pos] == 0xff; pos++ {
		}
		if pos == len(data) {
			return nil, refuseDamaged
		}
		marker := data[pos]
		pos++
		switch {
		case marker == 0 || markerRST0 <= marker && marker <= markerRST7:
			continue
		case marker == markerEOI:
			return j.end(data, data[pos:])
		}
		if len(data)-pos < 2 {
			return nil, refuseDamaged
		}
		length := int(binary.BigEndian.Uint16(data[pos:]))
		if length < 2 || length > len(data)-pos {
			return nil, refuseDamaged
		}
		if err := j.segment(marker, data[pos+2:pos+length]); err != nil {
			return nil, err
		}
		pos += length
	}
}

// jpegHeader is what is known of a JPEG on the way through its segments.
type jpegHeader struct {
	header
	samples       int64 // of all components, padded to whole units
	components    int
	scans         int
	progressive   bool
	converted     bool // copied once more, to RGB or inks
	profile, sRGB bool
	exif          bool
}

func (j *jpegHeader) segment(marker byte, content []byte) error {
	begins := func(s string) bool { return bytes.HasPrefix(content, []byte(s)) }
	switch {
	case markerSOF0 <= marker && marker <= markerSOF2:
		if j.components > 0 || len(content) < 6 || len(content) != 6+3*int(content[5]) || content[5] == 0 || content[5] > 4 {
			return refuseUnusual
		}
		j.progressive = marker == markerSOF2
		j.components = int(content[5])
		j.still(int(binary.BigEndian.Uint16(content[3:])), int(binary.BigEndian.Uint16(content[1:])))
		j.samples = jpegSamples(j.width, j.height, content[6:])
		switch {
		case j.components == 4: // inks
			j.converted = true
			j.found |= noticeColors
		case j.components == 3 && content[6] == 'R' && content[9] == 'G' && content[12] == 'B':
			j.converted = true
		}
	case marker == markerSOS:
		if j.scans++; j.scans > maxScans {
			return refuseUnusual
		}
	case marker == markerDHT, marker == markerDQT, marker == markerDRI:
	case marker == markerAPP0 && begins("JFIF\x00"):
		if len(content) > 14 {
			j.found |= noticeBehind // a preview
		}
	case marker == markerAPP0+1 && begins("Exif\x00\x00"):
		if !j.exif {
			j.exif, j.orientation = true, exifOrientation(content[6:])
		}
		j.found |= noticeCamera
	case marker == markerAPP0+1, marker == markerAPP0+13: // XMP; IPTC
		j.found |= noticeCamera
	case marker == markerAPP0+2 && begins("ICC_PROFILE\x00"):
		j.profile = true
		j.sRGB = j.sRGB || saysSRGB(content)
	case marker == markerAPP0+2 && begins("MPF\x00"):
		j.found |= noticeBehind
	case marker == markerAPP0+14 && begins("Adobe"):
		// The last byte is the transform, 0 for RGB, which is converted.
		j.converted = j.converted || len(content) >= 12 && content[11] == 0
	case markerAPP0 <= marker && marker <= markerAPP15, marker == markerCOM:
		j.found |= noticeText
	default:
		return refuseUnusual // arithmetic coding, lossless, hierarchical
	}
	return nil
}

// end says what is known at the end of an image, with what is behind it.
func (j *jpegHeader) end(data, behind []byte) (*header, error) {
	switch {
	case j.components == 0 || j.scans == 0:
		return nil, refuseDamaged
	case !j.progressive && j.scans > j.components:
		return nil, refuseUnusual
	}
	j.memory = j.samples
	j.work = costSample*j.samples + costCoded*int64(len(data))
	if j.progressive {
		j.memory += 4 * j.samples // coefficients
		j.work += costPass * (4 + int64(j.scans)) * j.samples
	}
	if j.converted {
		j.memory += 4 * int64(j.width) * int64(j.height)
		j.work += costConverted * int64(j.width) * int64(j.height)
	}
	if len(behind) > 0 {
		j.found |= noticeBehind
	} else {
		j.own = ownJPEG(data)
	}
	if j.profile && !j.sRGB {
		j.found |= noticeColors
	}
	return &j.header, nil
}

// jpegSamples is the number of samples of a picture whose components have the given
// specifications, of 3 bytes each (ITU-T T.81 section B.2.2), in whole minimum coded units.
func jpegSamples(width, height int, components []byte) int64 {
	most := func(shift int) int64 {
		n := 1
		for i := 1; i < len(components); i += 3 {
			n = max(n, int(components[i]>>shift&15))
		}
		return int64(n)
	}
	across, down := most(4), most(0)
	if len(components) == 3 {
		across, down = 1, 1 // T.81 section A.2.2: the factors of a single component mean nothing
	}
	units := ((int64(width) + 8*across - 1) / (8 * across)) * ((int64(height) + 8*down - 1) / (8 * down))
	samples := int64(0)
	for i := 1; i < len(components); i += 3 {
		samples += units * 64 * int64(components[i]>>4) * int64(components[i]&15)
	}
	if len(components) == 3 {
		samples = units * 64
	}
	return samples
}

// saysSRGB reports whether a colour profile, or the beginning of one, calls itself
// sRGB (ICC.1:2022 section 9.2.41, profileDescriptionTag, in ASCII or UTF-16). It serves a notice only.
func saysSRGB(profile []byte) bool {
	return bytes.Contains(profile, []byte("sRGB")) || bytes.Contains(profile, []byte("s\x00R\x00G\x00B"))
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// inspectPNG walks through all chunks up to IEND (PNG, third edition, section 5).
func inspectPNG(data []byte) (*header, error) {
	h := &header{decode: png.Decode, own: true}
	var depth, colors, interlaced byte
	var transparent, sRGB, profile bool
	pos := len(pngMagic)
	for first := true; ; first = false {
		if len(data)-pos < 12 {
			return nil, refuseDamaged
		}
		length := binary.BigEndian.Uint32(data[pos:])
		if uint64(length) > uint64(len(data)-pos-12) {
			return nil, refuseDamaged
		}
		kind, chunk := string(data[pos+4:pos+8]), data[pos+8:][:length]
		pos += 12 + int(length)
		if first != (kind == "IHDR") {
			return nil, refuseDamaged
		}
		switch kind {
		case "IHDR":
			if length != 13 {
				return nil, refuseDamaged
			}
			h.still(int(binary.BigEndian.Uint32(chunk)), int(binary.BigEndian.Uint32(chunk[4:])))
			depth, colors, interlaced = chunk[8], chunk[9], chunk[12]
			continue
		case "PLTE", "IDAT":
			continue
		case "IEND":
			if pos < len(data) {
				h.found |= noticeBehind
				h.own = false
			}
			if profile && !sRGB {
				h.found |= noticeColors
			}
			pixels := int64(h.width) * int64(h.height)
			h.memory = pixels * pngPixel(depth, colors, transparent)
			h.work = costPixel*pixels + costUnpacked*h.memory
			if interlaced != 0 {
				h.memory *= 2 // each pass is a picture of its own first
				h.work *= 2
			}
			h.work += costPacked * int64(len(data))
			return h, nil
		}
		h.own = false
		switch kind {
		case "tRNS":
			transparent = true
		case "acTL":
			return nil, refuseAnimation
		case "eXIf":
			h.found |= noticeCamera
			h.orientation = exifOrientation(chunk)
		case "tIME":
			h.found |= noticeCamera
		case "sRGB":
			sRGB = true
		case "iCCP":
			if !profile { // the first alone, or many could take long
				sRGB = sRGB || saysSRGB(inflate(chunk))
			}
			profile = true
		case "gAMA":
			// 45455 is sRGB's; a picture without any is taken for sRGB.
			profile = profile || length != 4 || binary.BigEndian.Uint32(chunk) != 45455
		case "cICP":
			profile = true
		case "cHRM", "sBIT", "bKGD", "hIST", "pHYs", "mDCV", "cLLI", "sPLT":
		default:
			h.found |= noticeText
		}
	}
}

// pngPixel is the number of bytes that a pixel takes as the standard library decodes it.
func pngPixel(depth, colors byte, transparent bool) int64 {
	wide := int64(1)
	if depth == 16 {
		wide = 2
	}
	switch {
	case colors == 3, colors == 0 && !transparent: // palette, gray
		return wide
	}
	return 4 * wide
}

// inflate returns up to 1 MiB of the profile in an iCCP chunk: a name of at most
// 79 bytes, two zeros, and a zlib stream (PNG section 11.3.2.3).
func inflate(chunk []byte) []byte {
	_, rest, _ := bytes.Cut(chunk, []byte{0})
	if len(rest) < 1 {
		return nil
	}
	r, err := zlib.NewReader(bytes.NewReader(rest[1:]))
	if err != nil {
		return nil
	}
	profile, _ := io.ReadAll(io.LimitReader(r, 1<<20)) // what can be read, for a notice
	return profile
}

// inspectGIF walks through all blocks (GIF89a appendix B) to see that there is one image.
func inspectGIF(data []byte) (*header, error) {
	if len(data) < 13 {
		return nil, refuseDamaged
	}
	le16 := func(pos int) int { return int(binary.LittleEndian.Uint16(data[pos:])) }
	h := &header{decode: gif.Decode, width: le16(6), height: le16(8)}
	table := func(flags byte) int { return int(flags>>7) * 3 << (flags&7 + 1) }
	pos, images := 13+table(data[10]), 0
	blocks := func() { // sub-blocks, the last of which is empty
		for pos < len(data) && data[pos] != 0 {
			pos += 1 + int(data[pos])
		}
		pos++
	}
walk:
	for pos < len(data) {
		switch data[pos] {
		case 0x21: // extension
			if pos+1 < len(data) {
				switch data[pos+1] {
				case 0xfe, 0x01, 0xff: // comment, text, application
					if !bytes.HasPrefix(data[pos+2:], []byte("\x0bNETSCAPE2.0")) {
						h.found |= noticeText
					}
				}
			}
			pos += 2
			blocks()
		case 0x2c: // image
			if images++; images > 1 {
				return nil, refuseAnimation
			}
			if len(data)-pos < 10 {
				return nil, refuseDamaged
			}
			at := image.Pt(le16(pos+1), le16(pos+3))
			h.frame = image.Rectangle{at, at.Add(image.Pt(le16(pos+5), le16(pos+7)))}
			pos += 11 + table(data[pos+9]) // descriptor, colours, size of a code
			blocks()
		default:
			// The trailer, or what no program shows.
			if images > 0 {
				if pos+1 < len(data) {
					h.found |= noticeBehind
				}
				break walk
			}
			return nil, refuseDamaged
		}
	}
	if images == 0 || h.frame.Empty() || !h.frame.In(image.Rect(0, 0, h.width, h.height)) {
		return nil, refuseDamaged
	}
	h.memory = 2 * int64(h.frame.Dx()) * int64(h.frame.Dy()) // twice, to undo interlacing
	h.work = costPixel*int64(h.width)*int64(h.height) + 2*costUnpacked*h.memory + costPacked*int64(len(data))
	return h, nil
}

const (
	// webpGroups is how many groups of code tables a lossless WebP can have in golang.org/x/image/vp8l, and
	// webpCodes bounds the bytes of so many.
	webpGroups = 2600
	webpCodes  = 140 << 20
	// webpGroup is how few bytes of a file can make a group.
	webpGroup = 20
)

// webpWork is how long it takes at most to decode a lossless WebP of so many bytes.
func webpWork(pixels image.Point, length int) int64 {
	return costWebP*int64(pixels.X)*int64(pixels.Y) + costWebPGroup*int64(min(webpGroups, 1+length/webpGroup))
}

// inspectWebP walks through all chunks (RFC 9649 section 2).
func inspectWebP(data []byte) (*header, error) {
	h := &header{decode: decodeWebP}
	end := min(uint64(le32(data[4:]))+8, uint64(len(data)))
	if end < uint64(len(data)) {
		h.found |= noticeBehind
	}
	var canvas, frame image.Point
	var images int
	for pos := uint64(12); pos < end; {
		if end-pos < 8 {
			return nil, refuseDamaged
		}
		kind, length := string(data[pos:pos+4]), uint64(le32(data[pos+4:]))
		if length > end-pos-8 {
			return nil, refuseDamaged
		}
		chunk := data[pos+8:][:length]
		pos += 8 + length + length%2
		switch kind {
		case "VP8X":
			if length != 10 || canvas != (image.Point{}) {
				return nil, refuseDamaged
			}
			if chunk[0]&2 != 0 {
				return nil, refuseAnimation
			}
			canvas = image.Pt(1+int(le32(chunk[4:])&0xffffff), 1+int(le32(chunk[6:])>>8))
		case "ANIM", "ANMF":
			return nil, refuseAnimation
		case "ALPH":
			// Decoded as a lossless picture, of which one channel is kept.
			h.memory += 5*int64(canvas.X)*int64(canvas.Y) + webpCodes
			h.work += webpWork(canvas, len(chunk))
		case "VP8 ":
			if length < 10 {
				return nil, refuseDamaged
			}
			frame = image.Pt(int(le32(chunk[6:])&0x3fff), int(le32(chunk[6:])>>16&0x3fff))
			// 4:2:0 in whole macroblocks of 16×16, each with some state, and the data once more.
			h.memory += int64((frame.X+15)/16)*int64((frame.Y+15)/16)*(256*3/2+16) + int64(length)
			h.work += costWebPLossy * int64(frame.X) * int64(frame.Y)
			h.lossy = true
			images++
		case "VP8L":
			if length < 5 {
				return nil, refuseDamaged
			}
			size := le32(chunk[1:])
			frame = image.Pt(1+int(size&0x3fff), 1+int(size>>14&0x3fff))
			// Pixels, once more to undo a palette, and tiles of the three transforms and the codes, of
			// which the smallest are 4×4.
			h.memory += 9*int64(frame.X)*int64(frame.Y) + webpCodes
			h.work += webpWork(frame, len(chunk))
			images++
		case "EXIF":
			h.found |= noticeCamera
			h.orientation = exifOrientation(bytes.TrimPrefix(chunk, []byte("Exif\x00\x00")))
		case "XMP ":
			h.found |= noticeCamera
		case "ICCP":
			if !saysSRGB(chunk) {
				h.found |= noticeColors
			}
		default:
			h.found |= noticeText
		}
	}
	if images != 1 || canvas != (image.Point{}) && canvas != frame {
		return nil, refuseDamaged
	}
	h.still(frame.X, frame.Y)
	h.work += costCoded * int64(len(data))
	return h, nil
}

// decodeWebP decodes and stretches lossy samples, of which Y has the range 16 to 235, Cb and Cr
// 16 to 240 (RFC 6386 section 9.2, ITU-R BT.601), to the whole range that image.YCbCr has.
func decodeWebP(r io.Reader) (image.Image, error) {
	img, err := webp.Decode(r)
	if err != nil {
		return nil, err
	}
	var lossy *image.YCbCr
	switch img := img.(type) {
	case *image.YCbCr:
		lossy = img
	case *image.NYCbCrA:
		lossy = &img.YCbCr
	default:
		return img, nil
	}
	stretch(lossy.Y, 16, 235-16, 0)
	stretch(lossy.Cb, 128, 240-16, 128)
	stretch(lossy.Cr, 128, 240-16, 128)
	return img, nil
}

// stretch moves each sample's distance from zero, of which width are to become 255, to one from middle.
func stretch(samples []byte, zero, width, middle int) {
	var table [256]byte
	for i := range table {
		scaled := (2*255*(i-zero) + 1<<16*width*2 + width) / (2 * width) // rounded down, then moved back
		table[i] = byte(min(max(scaled-1<<16+middle, 0), 255))
	}
	for i, v := range samples {
		samples[i] = table[v]
	}
}
