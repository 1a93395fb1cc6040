package sample

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"crypto/md5"
	"crypto/rc4"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// scan is a page of a scanner in colour, 1654×2339 pixels.
var scan = sync.OnceValue(func() []byte {
	return encodeJPEG(Photo(1654, 2339, 9, 4), 40)
})

// letters is a page of letters without loss, as rows of RGB.
var letters = sync.OnceValue(func() []byte {
	img := Page(1999, 1999)
	var rows []byte
	for i := 0; i < len(img.Pix); i += 4 {
		rows = append(rows, img.Pix[i:i+3]...)
	}
	return Deflated(rows)
})

// Deflated is data compressed by zlib (RFC 1950).
func Deflated(data []byte) []byte {
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	zw.Write(data) // to memory
	zw.Close()
	return z.Bytes()
}

// Stream is a stream object of a [PDF].
func Stream(entries string, data []byte) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", entries, len(data), data)
}

// page is a document of one page with resources and content, and more objects from number 5 on.
func page(resources, content string, more ...string) []byte {
	return PDF("%PDF-1.4\n", "", append([]string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] /Contents 4 0 R /Resources << " + resources + " >> >>", Stream("", []byte(content))}, more...)...)
}

// packed is a document of one page whose content is compressed.
func packed(content []byte) []byte {
	return PDF("%PDF-1.4\n", "", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Contents 4 0 R >>", Stream("/Filter /FlateDecode", Deflated(content)))
}

// pictures is a document with a picture n times, as so many objects, followed by more.
func pictures(n int, picture string, more ...string) []byte {
	resources, content, objects := shared(n, "XObject", picture, "Do", 5)
	return page(resources, content, append(objects, more...)...)
}

// imageObject is an image XObject.
func imageObject(w, h int, entries string, data []byte) string {
	return Stream(fmt.Sprintf("/Type /XObject /Subtype /Image /Width %d /Height %d %s", w, h, entries), data)
}

// many is from 1 to n.
func many(n int, size float64) int { return max(1, int(float64(n)*size)) }

// stripes is a fax (ITU-T T.6) of columns that are white and black in turn.
func stripes(w, h int) []byte {
	var out []byte
	n := 0
	put := func(code string) {
		for _, bit := range code {
			if n%8 == 0 {
				out = append(out, 0)
			}
			if bit == '1' {
				out[n/8] |= 0x80 >> (n % 8)
			}
			n++
		}
	}
	for y := range h {
		for range w / 2 {
			if y == 0 {
				put("001" + "000111" + "010") // horizontal: white 1, black 1
			} else {
				put("11") // vertical: where the row above changes, twice
			}
		}
		if y > 0 {
			put("1")
		}
	}
	put("000000000001000000000001")
	return out
}

// HeavyPDFs are documents at the bounds of package pdf, or built to need more than it may take.
var HeavyPDFs = []Heavy{
	{"PDF of scans, 150 megapixels", func(size float64) []byte {
		return pictures(many(39, size), imageObject(1654, 2339, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", scan()))
	}},
	{"PDF of flat JPEGs, 200 megapixels", func(size float64) []byte {
		return pictures(many(49, size), imageObject(2016, 2016, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(2016, 2016, Baseline, 1, 0x22, 0x11, 0x11)))
	}},
	{"PDF of flat gray JPEGs, 200 megapixels", func(size float64) []byte {
		return pictures(many(49, size), imageObject(2016, 2016, "/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(2016, 2016, Baseline, 1, 0x11)))
	}},
	{"PDF of small flat JPEGs, 200 megapixels", func(size float64) []byte {
		return pictures(many(1990, size), imageObject(316, 316, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(316, 316, Baseline, 1, 0x22, 0x11, 0x11)))
	}},
	{"PDF of progressive JPEGs, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(6320, 6320, Progressive, 40, 0x22, 0x11, 0x11)))
	}},
	{"PDF of JPEGs in inks, 200 megapixels", func(size float64) []byte {
		return pictures(many(10, size), imageObject(4464, 4464, "/ColorSpace /DeviceCMYK /Decode [1 0 1 0 1 0 1 0] /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(4464, 4464, Baseline, 1, 0x11, 0x11, 0x11, 0x11)))
	}},
	{"PDF of RGB without loss, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode", Zeros(3*6320*6320)))
	}},
	{"PDF of 16 bits RGB without loss, 160 megapixels", func(size float64) []byte {
		return pictures(many(4, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 16 /Filter /FlateDecode", Zeros(6*6320*6320)))
	}},
	{"PDF of inks without loss, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceCMYK /BitsPerComponent 8 /Filter /FlateDecode", Zeros(4*6320*6320)))
	}},
	{"PDF of 1 bit without loss, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /FlateDecode", Zeros(790*6320)))
	}},
	{"PDF of 2 bits with a palette, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace [/Indexed /DeviceRGB 1 <000000ffffff>] /BitsPerComponent 2 /Filter /FlateDecode", Zeros(1580*6320)))
	}},
	{"PDF of predicted gray, 200 megapixels", func(size float64) []byte {
		rows := bytes.Repeat(append([]byte{4}, make([]byte, 6320)...), 6320) // each by Paeth's filter
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 6320 >>", Deflated(rows)))
	}},
	{"PDF of a key, 120 megapixels", func(size float64) []byte {
		return pictures(many(3, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Mask [0 0 0 0 0 0] /Filter /FlateDecode", Zeros(3*6320*6320)))
	}},
	{"PDF of a matte, 200 megapixels", func(size float64) []byte {
		n := many(5, size)
		return pictures(n, imageObject(4464, 4464, fmt.Sprintf("/ColorSpace /DeviceRGB /BitsPerComponent 8 /SMask %d 0 R /Filter /DCTDecode", 5+n), FlatJPEG(4464, 4464, Baseline, 1, 0x11, 0x11, 0x11)),
			imageObject(4464, 4464, "/ColorSpace /DeviceGray /BitsPerComponent 8 /Matte [0 0 0] /Filter /DCTDecode", FlatJPEG(4464, 4464, Baseline, 1, 0x11)))
	}},
	{"PDF of soft masks, 240 megapixels", func(size float64) []byte {
		n := many(59, size)
		resources, content, objects := shared(n, "XObject", "", "Do", 5)
		for i := range objects {
			objects[i] = imageObject(8, 8, fmt.Sprintf("/ColorSpace /DeviceGray /BitsPerComponent 8 /SMask %d 0 R", 5+n+i), make([]byte, 64))
		}
		mask := imageObject(2016, 2016, "/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode", Zeros(2016*2016))
		return page(resources, content, append(objects, slices.Repeat([]string{mask}, n)...)...)
	}},
	{"PDF of letters without loss, 200 megapixels", func(size float64) []byte {
		return pictures(many(50, size), imageObject(1999, 1999, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode", letters()))
	}},
	{"PDF of two colours in turn, 200 megapixels", func(size float64) []byte {
		rows := Deflated(bytes.Repeat([]byte{0, 0, 0, 255, 255, 255}, 1999*1000))
		return pictures(many(50, size), imageObject(1999, 1999, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode", rows))
	}},
	{"PDF of faxes, 200 megapixels", func(size float64) []byte {
		return pictures(many(12, size), imageObject(4000, 4000, "/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 4000 /Rows 4000 >>", stripes(4000, 4000)))
	}},
	{"PDF of many icons", func(size float64) []byte {
		return pictures(many(14_000, size), imageObject(8, 8, "/ColorSpace /DeviceRGB /BitsPerComponent 8", bytes.Repeat([]byte("abcdef"), 32)))
	}},
	{"PDF of zeros by LZW, 200 megapixels", func(size float64) []byte {
		var z bytes.Buffer
		zw := lzw.NewWriter(&z, lzw.MSB, 8)
		zw.Write(make([]byte, 3*6320*6320)) // to memory
		zw.Close()
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /LZWDecode /DecodeParms << /EarlyChange 0 >>", z.Bytes()))
	}},
	{"PDF of one dense JPEG many times", func(size float64) []byte {
		return nestedJPEGs(many(20, size), 2000, 2000, encodeJPEG(Photo(2000, 2000, 1, 60), 97)[2:])
	}},
	{"PDF of spaces in hexadecimal", func(size float64) []byte {
		return pictures(1, imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter [/FlateDecode /ASCIIHexDecode]", Deflated(bytes.Repeat([]byte{' '}, many(1000<<20, size)))))
	}},
	{"PDF of runs within runs", func(size float64) []byte {
		inner := bytes.Repeat([]byte{129, 129}, many(4<<20, size)) // 128 times 129: a run of itself
		return pictures(4, imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter [/FlateDecode /RunLengthDecode /RunLengthDecode]", Deflated(inner)))
	}},
	{"PDF of content that packs badly", func(size float64) []byte { return page("", hardToPack(many(24<<20, size))) }},
	{"PDF of packed content that packs badly", func(size float64) []byte {
		return packed([]byte(hardToPack(many(60<<20, size))))
	}},
	{"PDF of packed strings of two letters", func(size float64) []byte {
		var b strings.Builder
		for i := range many(24<<20, size) {
			if i%8192 == 0 {
				b.WriteString(") Tj (")
			}
			b.WriteByte("ab"[hash(i, 0, 12)&1])
		}
		return packed([]byte(b.String() + ")"))
	}},
	{"PDF of a long table of places", func(size float64) []byte {
		n := many(1_000_000, size)
		rows := make([]byte, 7*n)
		for i := range n {
			copy(rows[7*i:], []byte{1, 0, 0, 0, 0, 0, 0})
		}
		b := []byte("%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj\n3 0 obj << /Type /Page >> endobj\n")
		at := len(b)
		for i := range 3 {
			binary.BigEndian.PutUint32(rows[7*(i+1)+1:], uint32(bytes.Index(b, fmt.Appendf(nil, "%d 0 obj", i+1))))
		}
		b = fmt.Appendf(b, "%d 0 obj %s endobj\n", n, Stream(fmt.Sprintf("/Type /XRef /Size %d /Root 1 0 R /W [1 4 2] /Filter /FlateDecode", n), Deflated(rows)))
		return fmt.Appendf(b, "startxref\n%d\n%%%%EOF\n", at)
	}},
	{"PDF of packed content", func(size float64) []byte {
		return packed(bytes.Repeat([]byte("1 0 0 1 .5 -.5 cm\n"), many(60<<20, size)/18))
	}},
	{"PDF of dictionaries", func(size float64) []byte {
		return PDF("%PDF-1.4\n", "", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
			"<< /Type /Page /X ["+strings.Repeat("<</A 1>>", many(650_000, size))+"] >>")
	}},
	{"PDF of a long dash pattern in many states", func(size float64) []byte {
		resources, content, objects := shared(many(2000, size), "ExtGState", "<< /D [5 0 R 0] >>", "gs", 6)
		return page(resources, content, append([]string{"[" + strings.Repeat("1 ", 400_000) + "]"}, objects...)...)
	}},
	{"PDF of long differences in many fonts", func(size float64) []byte {
		resources, content, objects := shared(many(5000, size), "Font", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding << /Differences 5 0 R >> >>", "9 Tf", 6)
		return page(resources, content, append([]string{"[" + strings.Repeat("/a ", 400_000) + "]"}, objects...)...)
	}},
	{"PDF of pages of empty content", func(size float64) []byte {
		objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", "", Stream("/Filter /FlateDecode", nil), "[" + strings.Repeat("3 0 R ", 500_000) + "]"}
		var kids strings.Builder
		for i := range many(5000, size) {
			fmt.Fprintf(&kids, "%d 0 R ", 5+i)
			objects = append(objects, "<< /Type /Page /Contents 4 0 R >>")
		}
		objects[1] = "<< /Type /Pages /Kids [" + kids.String() + "] >>"
		return PDF("%PDF-1.4\n", "", objects...)
	}},
	{"PDF of strings within strings", func(size float64) []byte {
		one := strings.Repeat("1 0 obj(/XRef ", 32_000) + strings.Repeat(")", 32_000) + " endobj\n"
		return []byte("%PDF-1.4\n" + strings.Repeat(one, many(40, size)) + "trailer << /Root 1 0 R >>\n")
	}},
	{"PDF of a font of many maps", func(size float64) []byte {
		return font("/FontFile2", manyMaps(many(7<<20, size)))
	}},
	{"PDF of a font of many private parts", func(size float64) []byte {
		return font("/FontFile3", manyPrivates(many(8_000_000, size)))
	}},
	{"PDF of a font of many matrices", func(size float64) []byte {
		return font("/FontFile", []byte("%!PS\n"+strings.Repeat("/FontMatrix ", many(600_000, size))+"eexec xxxxxxxx"))
	}},
	{"PDF of maps to Unicode", func(size float64) []byte {
		var cmap strings.Builder
		cmap.WriteString("1 beginbfrange\n")
		for i := range 2 {
			fmt.Fprintf(&cmap, "<%02x0000> <%02xffff> <d83dde00>\n", i, i)
		}
		cmap.WriteString("endbfrange\n")
		n := many(15, size)
		resources, content, objects := shared(n, "Font", "", "9 Tf", 5)
		for i := range objects {
			objects[i] = fmt.Sprintf("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode %d 0 R >>", 5+n+i)
		}
		for range n {
			objects = append(objects, Stream("", []byte(cmap.String())))
		}
		return page(resources, content, objects...)
	}},
	{"PDF of many pages", func(size float64) []byte {
		objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", ""}
		var kids strings.Builder
		for i := range many(4900, size) {
			fmt.Fprintf(&kids, "%d 0 R ", 3+3*i)
			objects = append(objects, fmt.Sprintf("<< /Type /Page /Contents %d 0 R /Resources << /ExtGState << /G %d 0 R >> >> >>", 4+3*i, 5+3*i),
				Stream("", fmt.Appendf(nil, "/G gs 0 0 %d %d re f", i, i)), fmt.Sprintf("<< /LW %d >>", i))
		}
		objects[1] = "<< /Type /Pages /Kids [" + kids.String() + "] >>"
		return PDF("%PDF-1.4\n", "", objects...)
	}},
	{"PDF of many forms", func(size float64) []byte {
		// Each form without resources is cleaned where it is shown.
		var names, content strings.Builder
		for i := range many(20_000, size) {
			fmt.Fprintf(&names, "/X%d 5 0 R ", i)
			fmt.Fprintf(&content, "/X%d Do\n", i)
		}
		return page("/XObject << "+names.String()+">>", content.String(), Stream("/Subtype /Form /BBox [0 0 1 1]", []byte(strings.Repeat("0 0 1 1 re f\n", 200))))
	}},
	{"PDF of a long list of filters in many streams", func(size float64) []byte {
		return PDF("%PDF-1.4\n", "", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
			"<< /Type /Page /Contents ["+strings.Repeat("4 0 R ", many(500_000, size))+"] >>", Stream("/Filter 5 0 R", nil), "["+strings.Repeat("null ", 1_000_000)+"]")
	}},
	{"PDF of long differences with involved names", func(size float64) []byte {
		resources, content, objects := shared(many(5000, size), "Font", "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding << /Differences 5 0 R >> >>", "9 Tf", 6)
		return page(resources, content, append([]string{"[" + strings.Repeat("0 /"+involved+" ", 300_000) + "]"}, objects...)...)
	}},
	{"PDF of long differences in many drawn fonts", func(size float64) []byte {
		resources, content, objects := shared(many(5000, size), "Font", "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1 1] /FontMatrix [1 0 0 1 0 0] /CharProcs << /a 4 0 R >> /Encoding << /Differences 5 0 R >> >>", "9 Tf", 6)
		return page(resources, content, append([]string{"[" + strings.Repeat("4 0 R ", 400_000) + "]"}, objects...)...)
	}},
	{"PDF of fonts of glyphs with involved names", func(size float64) []byte {
		n := many(30, size)
		resources, content, objects := shared(n, "Font", "", "9 Tf", 5)
		program := Stream("/Filter /FlateDecode", Deflated(manyNames()))
		for i := range n {
			objects[i] = fmt.Sprintf("<< /Type /Font /Subtype /Type1 /BaseFont /X /FontDescriptor << /Type /FontDescriptor /Flags 4 /FontFile3 %d 0 R >> >>", 5+n+i)
		}
		return page(resources, content, append(objects, slices.Repeat([]string{program}, n)...)...)
	}},
	{"PDF of long widths in many composite fonts", func(size float64) []byte {
		resources, content, objects := shared(many(2000, size), "Font", "<< /Type /Font /Subtype /Type0 /Encoding /UniGB-UCS2-H /DescendantFonts [<< /Type /Font /Subtype /CIDFontType0 /CIDSystemInfo << /Registry (Adobe) /Ordering (GB1) >> /W 5 0 R >>] >>", "9 Tf", 6)
		return page(resources, content, append([]string{"[" + strings.Repeat("1 ", 400_000) + "]"}, objects...)...)
	}},
	{"PDF of a font whose tables are the same bytes", func(size float64) []byte {
		return font("/FontFile2", sameTables(many(8<<20, size)))
	}},
	{"PDF of long tables of colours", func(size float64) []byte {
		var names, content strings.Builder
		for i := range many(200_000, size) {
			fmt.Fprintf(&names, "/N%d [/Indexed 5 0 R 255 ()] ", i)
			fmt.Fprintf(&content, "/N%d cs\n", i)
		}
		return page("/ColorSpace << "+names.String()+">>", content.String(), "[/DeviceN ["+strings.Repeat("/A ", 32)+"] /DeviceRGB 6 0 R]",
			"<< /FunctionType 2 /Domain [0 1] /N 1 >>")
	}},
	{"PDF of one long table of colours on many pages", func(size float64) []byte {
		objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", "", "", "[/Indexed /DeviceRGB 255 ()]"}
		var names, content, kids strings.Builder
		for i := range 300 {
			fmt.Fprintf(&names, "/N%d 4 0 R ", i)
			fmt.Fprintf(&content, "/N%d cs\n", i)
		}
		objects[2] = Stream("", []byte(content.String()))
		for i := range many(5000, size) {
			fmt.Fprintf(&kids, "%d 0 R ", 5+i)
			objects = append(objects, "<< /Type /Page /Contents 3 0 R >>")
		}
		objects[1] = "<< /Type /Pages /Kids [" + kids.String() + "] /Resources << /ColorSpace << " + names.String() + ">> >> >>"
		return PDF("%PDF-1.4\n", "", objects...)
	}},
	{"PDF of a map to long texts", func(size float64) []byte {
		cmap := "1 beginbfrange\n<0000> <ffff> <" + strings.Repeat("0041", many(500_000, size)) + ">\nendbfrange\n"
		return page("/Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 5 0 R >> >>", "/F 9 Tf", Stream("/Filter /FlateDecode", Deflated([]byte(cmap))))
	}},
	{"PDF of encrypted strings", func(size float64) []byte {
		// RC4 with 40 bits and no password (ISO 32000-1 section 7.6.3).
		const padding = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"
		sum := md5.Sum([]byte(padding + padding + "\xfc\xff\xff\xff"))
		user := make([]byte, len(padding))
		c, err := rc4.NewCipher(sum[:5])
		if err != nil {
			panic(err) // the key has a length that can be
		}
		c.XORKeyStream(user, []byte(padding))
		return PDF("%PDF-1.4\n", fmt.Sprintf("/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%x> /U <%x> >>", padding, user), "<< /Type /Catalog /Pages 2 0 R >>",
			"<< /Type /Pages /Kids [3 0 R] /Count 1 >>", "<< /Type /Page /Annots 4 0 R >>", "["+strings.Repeat("(a)", many(1_000_000, size))+"]")
	}},
	{"PDF of bits added to one another, 160 megapixels", func(size float64) []byte {
		return pictures(many(4, size), imageObject(6320, 6320, "/ColorSpace /DeviceRGB /BitsPerComponent 16 /Filter /FlateDecode /DecodeParms << /Predictor 2 /BitsPerComponent 1 /Columns 32000 >>", Zeros(6*6320*6320)))
	}},
	{"PDF of predicted rows of a byte, 200 megapixels", func(size float64) []byte {
		return pictures(many(5, size), imageObject(6320, 6320, "/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 1 >>", Zeros(2*6320*6320)))
	}},
	{"PDF of thin pictures", func(size float64) []byte {
		return pictures(many(1990, size), imageObject(1, 32_767, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /FlateDecode", Zeros(3*32_767)))
	}},
	{"PDF of thin scans", func(size float64) []byte {
		return pictures(many(1990, size), imageObject(1, 32_767, "/ColorSpace /DeviceGray /BitsPerComponent 1 /Filter /FlateDecode", Zeros(32_767)))
	}},
	{"PDF of thin JPEGs", func(size float64) []byte {
		return pictures(many(1990, size), imageObject(1, 32_767, "/ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(1, 32_767, Baseline, 1, 0x22, 0x11, 0x11)))
	}},
	{"PDF of thin JPEGs in inks", func(size float64) []byte {
		return pictures(many(1990, size), imageObject(1, 32_767, "/ColorSpace /DeviceCMYK /Decode [1 0 1 0 1 0 1 0] /BitsPerComponent 8 /Filter /DCTDecode", FlatJPEG(1, 32_767, Baseline, 1, 0x11, 0x11, 0x11, 0x11)))
	}},
	{"PDF of small pictures without loss", func(size float64) []byte {
		var rows []byte
		for i := range 70 * 70 * 3 {
			rows = append(rows, byte(hash(i, 0, 13)))
		}
		return pictures(many(1500, size), imageObject(70, 70, "/ColorSpace /DeviceRGB /BitsPerComponent 8", rows))
	}},
	{"PDF of many icons with palettes", func(size float64) []byte {
		n := many(14_000, size)
		return pictures(n, imageObject(8, 8, fmt.Sprintf("/ColorSpace [/Indexed /DeviceRGB 255 %d 0 R] /BitsPerComponent 8", 5+n), make([]byte, 64)),
			fmt.Sprintf("<%s>", strings.Repeat("000102", 256)))
	}},
	{"PDF of icons with a long head", func(size float64) []byte {
		icon := FlatJPEG(8, 8, Baseline, 1, 0x11)
		rest := slices.Concat(bytes.Repeat(append([]byte{0xff, 0xfe, 0xff, 0xff}, make([]byte, 0xfffd)...), 250), icon[2:])
		return nestedJPEGs(many(14_000, size), 8, 8, rest)
	}},
	{"PDF of pages within pages", func(size float64) []byte {
		objects := []string{"<< /Type /Catalog /Pages << /Type /Pages /Kids 2 0 R >> >>"}
		for i := range many(60, size) {
			kid := fmt.Sprintf("<< /Kids %d 0 R >>", 3+i)
			objects = append(objects, "["+kid+kid+"]")
		}
		return PDF("%PDF-1.4\n", "", append(objects, "[<< /Type /Page >>]")...)
	}},
}

// shared are n objects, from a number on, that are the same, as resources of a category
// and the content that uses each.
func shared(n int, category, object, operator string, first int) (resources, content string, objects []string) {
	var names, operators strings.Builder
	for i := range n {
		fmt.Fprintf(&names, "/N%d %d 0 R ", i, first+i)
		fmt.Fprintf(&operators, "/N%d %s\n", i, operator)
	}
	return "/" + category + " << " + names.String() + ">>", operators.String(), slices.Repeat([]string{object}, n)
}

// hardToPack is content of n bytes in which a compressor finds many short repetitions.
func hardToPack(n int) string {
	var b strings.Builder
	b.Grow(n + 8)
	for i := 0; b.Len() < n; i++ {
		if hash(i, 0, 11)&1 == 0 {
			b.WriteString("0 0 m\n")
		} else {
			b.WriteString("0 1 m\n")
		}
	}
	return b.String()
}

// font is a document with a font program, in a descriptor under a key.
func font(key string, program []byte) []byte {
	entries := "/Filter /FlateDecode"
	return page("/Font << /F 5 0 R >>", "/F 9 Tf", "<< /Type /Font /Subtype /TrueType /BaseFont /X /FontDescriptor 6 0 R >>",
		"<< /Type /FontDescriptor /Flags 4 "+key+" 7 0 R >>", Stream(entries, Deflated(program)))
}

// manyMaps is a TrueType font whose 65,535 character maps are one of n bytes.
func manyMaps(n int) []byte {
	be16, be32 := binary.BigEndian.AppendUint16, binary.BigEndian.AppendUint32
	cmap := be16([]byte{0, 0}, 0xffff)
	at := 4 + 8*0xffff
	for range 0xffff {
		cmap = be32(append(cmap, 0, 9, 0, 0), uint32(at)) // of no platform that is kept
	}
	cmap = be32(append(cmap, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), uint32(n/12))
	cmap = append(cmap, make([]byte, n/12*12)...)
	out := []byte{0, 1, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0}
	offset := 12 + 3*16
	for _, table := range []struct {
		tag  string
		size int
	}{{"cmap", len(cmap)}, {"head", 54}, {"maxp", 32}} {
		out = be32(be32(append(append(out, table.tag...), 0, 0, 0, 0), uint32(offset)), uint32(table.size))
		offset += table.size
	}
	return append(append(out, cmap...), make([]byte, 54+32)...)
}

// manyPrivates is a CFF font of 256 fonts with one private dictionary of n bytes.
func manyPrivates(n int) []byte {
	integer := func(v int) []byte { return binary.BigEndian.AppendUint32([]byte{29}, uint32(v)) }
	index := func(items ...[]byte) []byte {
		if len(items) == 0 {
			return []byte{0, 0}
		}
		out := append(binary.BigEndian.AppendUint16(nil, uint16(len(items))), 4)
		at := 1
		out = binary.BigEndian.AppendUint32(out, uint32(at))
		for _, item := range items {
			at += len(item)
			out = binary.BigEndian.AppendUint32(out, uint32(at))
		}
		return append(out, bytes.Join(items, nil)...)
	}
	build := func(charStrings, fdSelect, fdArray, private int) []byte {
		top := bytes.Join([][]byte{integer(391), integer(392), integer(0), {12, 30}, integer(charStrings), {17}, integer(fdSelect), {12, 37}, integer(fdArray), {12, 36}}, nil)
		dicts := make([][]byte, 256)
		for i := range dicts {
			dicts[i] = bytes.Join([][]byte{integer(n), integer(private), {18}}, nil)
		}
		head := bytes.Join([][]byte{{1, 0, 4, 4}, index([]byte("F")), index(top), index([]byte("Adobe"), []byte("Identity")), index()}, nil)
		strings := index([]byte{14})
		selects := []byte{0, 0}
		fonts := index(dicts...)
		if charStrings == 0 { // where everything is
			a := len(head)
			b := a + len(strings)
			c := b + len(selects)
			return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(a)), uint32(b)), uint32(c)), uint32(c+len(fonts)))
		}
		return bytes.Join([][]byte{head, strings, selects, fonts, make([]byte, n)}, nil)
	}
	places := build(0, 0, 0, 0)
	at := func(i int) int { return int(binary.BigEndian.Uint32(places[4*i:])) }
	return build(at(0), at(1), at(2), at(3))
}

// nestedJPEGs are n pictures of one JPEG, given behind its first two bytes: each is in what the
// one before it has beside its data.
func nestedJPEGs(n, w, h int, rest []byte) []byte {
	resources, content, _ := shared(n, "XObject", "", "Do", 5)
	b := []byte("%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n2 0 obj << /Type /Pages /Kids [3 0 R] /Count 1 >> endobj\n")
	b = fmt.Appendf(b, "3 0 obj << /Type /Page /Contents 4 0 R /Resources << %s >> >> endobj\n4 0 obj %s endobj\n", resources, Stream("", []byte(content)))
	for i := range n {
		head := fmt.Appendf(nil, "\n%d 0 obj << /Type /XObject /Subtype /Image /Width %d /Height %d /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode >> stream\n\xff\xd8", 5+i, w, h)
		if i > 0 { // within a comment of the one before
			b = append(b, 0xff, 0xfe, byte((len(head)+2)>>8), byte(len(head)+2))
		}
		b = append(b, head...)
	}
	return append(append(b, rest...), "\nendstream endobj\ntrailer << /Root 1 0 R >>\n"...)
}

// involved is the longest name of a glyph that is a common one by its parts.
var involved = strings.Repeat("a1_", 21)

// manyNames is a CFF font of 65,535 glyphs with one involved name.
func manyNames() []byte {
	const glyphs = 0xffff
	be16 := binary.BigEndian.AppendUint16
	index := func(item string) []byte {
		return append([]byte{0, 1, 4, 0, 0, 0, 1, 0, 0, 0, byte(1 + len(item))}, item...)
	}
	integer := func(v int) []byte { return binary.BigEndian.AppendUint32([]byte{29}, uint32(v)) }
	top := func(charset, charStrings int) []byte {
		return index(string(slices.Concat(integer(charset), []byte{15}, integer(charStrings), []byte{17})))
	}
	before := slices.Concat([]byte{1, 0, 4, 4}, index("F"))
	after := append(index(involved[:len(involved)-1]), 0, 0)
	charset := append([]byte{0}, bytes.Repeat(be16(nil, 391), glyphs-1)...)
	charStrings := append(be16(nil, glyphs), 1)
	charStrings = append(charStrings, bytes.Repeat([]byte{1}, glyphs+1)...) // of no bytes each
	at := len(before) + len(top(0, 0)) + len(after)
	return slices.Concat(before, top(at, at+len(charset)), after, charset, charStrings)
}

// sameTables is a TrueType font of n bytes, all of which are in each of its tables.
func sameTables(n int) []byte {
	tags := []string{"cmap", "cvt ", "fpgm", "glyf", "head", "hhea", "hmtx", "loca", "maxp", "post", "prep"}
	out := []byte{0, 1, 0, 0, 0, byte(len(tags)), 0, 0, 0, 0, 0, 0}
	for _, tag := range tags {
		out = binary.BigEndian.AppendUint32(append(append(out, tag...), 0, 0, 0, 0, 0, 0, 0, 0), uint32(n))
	}
	return append(out, make([]byte, max(0, n-len(out)))...)
}
