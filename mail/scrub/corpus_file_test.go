package scrub

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"strings"
	"unicode/utf16"

	"codeberg.org/sourdine/sourdine/internal/sample"
)

// Tables of the corpus: what is attached.

// must is for what cannot fail while the corpus is made.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func painted(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, color.RGBA{byte(x * 5), byte(y * 7), byte(x*y + x), 255})
		}
	}
	return m
}

func pngFile(width, height int) []byte {
	var b bytes.Buffer
	must(0, png.Encode(&b, painted(width, height)))
	return b.Bytes()
}

func jpegFile(width, height int) []byte {
	var b bytes.Buffer
	must(0, jpeg.Encode(&b, painted(width, height), nil))
	return b.Bytes()
}

func gifFile(width, height, frames int) []byte {
	g := &gif.GIF{}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, width, height), palette.WebSafe)
		for p := range m.Pix {
			m.Pix[p] = byte((p + i) % 200)
		}
		g.Image, g.Delay = append(g.Image, m), append(g.Delay, 10)
	}
	var b bytes.Buffer
	must(0, gif.EncodeAll(&b, g))
	return b.Bytes()
}

// chunks puts chunks behind the header of a PNG: types and contents in turn.
func chunks(file []byte, pairs ...string) []byte {
	const header = 8 + 25
	b := bytes.NewBuffer(bytes.Clone(file[:header]))
	for i := 0; i < len(pairs); i += 2 {
		b.Write(binary.BigEndian.AppendUint32(nil, uint32(len(pairs[i+1]))))
		b.WriteString(pairs[i] + pairs[i+1])
		b.Write(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(pairs[i]+pairs[i+1]))))
	}
	b.Write(file[header:])
	return b.Bytes()
}

// segments puts segments behind the beginning of a JPEG: a marker's number and content in turn.
func segments(file []byte, pairs ...any) []byte {
	b := bytes.NewBuffer(bytes.Clone(file[:2]))
	for i := 0; i < len(pairs); i += 2 {
		content := pairs[i+1].(string)
		b.Write([]byte{0xff, byte(pairs[i].(int)), byte((len(content) + 2) >> 8), byte(len(content) + 2)})
		b.WriteString(content)
	}
	b.Write(file[2:])
	return b.Bytes()
}

// exif is the Exif data of a photograph: maker, date, place, orientation.
func exif(orientation int) string {
	var b, values []byte
	order := binary.BigEndian
	const entries, at = 5, 8 + 2 + 5*12 + 4
	b = append(b, "MM\x00\x2a\x00\x00\x00\x08\x00\x05"...)
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint16(order.AppendUint16(b, tag), kind)
		b = order.AppendUint32(order.AppendUint32(b, count), value)
	}
	maker, date := "S3CRET Zwiebelfisch\x00", "1999:12:31 23:59:59\x00"
	entry(0x010f, 2, uint32(len(maker)), at)
	entry(0x0112, 3, 1, uint32(orientation)<<16)
	entry(0x0132, 2, uint32(len(date)), uint32(at+len(maker)))
	gps := at + len(maker) + len(date)
	entry(0x013b, 2, 4, order.Uint32([]byte("S3C\x00")))
	entry(0x8825, 4, 1, uint32(gps))
	b = append(b, 0, 0, 0, 0)
	b = append(append(b, maker...), date...)
	values = append(values, 0, 1, 0, 2, 0, 5, 0, 0, 0, 1)
	values = order.AppendUint32(values, uint32(gps+2+12+4))
	values = append(values, 0, 0, 0, 0)
	values = order.AppendUint32(order.AppendUint32(values, 488584), 10000)
	return "Exif\x00\x00" + string(append(b, values...))
}

func deflated(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write([]byte(s))
	w.Close()
	return b.String()
}

func zipFile(pairs ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		must(must(w.CreateHeader(&zip.FileHeader{Name: pairs[i], Comment: "S3CRET", Method: zip.Deflate})).Write([]byte(pairs[i+1])))
	}
	must(0, w.Close())
	return b.Bytes()
}

// document is a PDF of the objects from number 1 on, with a mark in its first lines.
func document(trailer string, objects ...string) []byte {
	return sample.PDF("%PDF-1.6\n%S3CRET\n", trailer, objects...)
}

// page is a PDF of one page: entries of the catalog, of the page, its content, and more
// objects from number 5 on.
func page(trailer, catalog, entries, content string, more ...string) []byte {
	return document(trailer, append([]string{"<< /Type /Catalog /Pages 2 0 R " + catalog + " >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R " + entries + " >>", stream("", content)}, more...)...)
}

func stream(entries, data string) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", entries, len(data), data)
}

// attachedFile is a mail with a file attached under a name that tells of its writer.
func attachedFile(contentType, disposition string, data []byte) string {
	return "Subject: Lunch\n" + tree("mixed", "b", "Content-Type: text/plain", "Look.", "Content-Type: "+contentType+"\nContent-Transfer-Encoding: base64\nContent-Disposition: "+disposition, strings.TrimRight(inBase64(string(data)), "\n"))
}

func fileLetters() []letter {
	var all []letter
	add := func(name, contentType string, data []byte) {
		all = append(all, letter{name, attachedFile(contentType, `attachment; filename="/home/S3CRET/Zwiebelfisch 1999-12-31.bin"; creation-date="Fri, 31 Dec 1999 23:59:59 +0100"`, data)})
	}
	wide := func(s string) []byte {
		var b []byte
		for _, u := range utf16.Encode([]rune(s)) {
			b = append(b, byte(u), byte(u>>8))
		}
		return b
	}
	jpg, pic := jpegFile(64, 48), pngFile(40, 30)
	xmp := `http://ns.adobe.com/xap/1.0/` + "\x00" + `<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF dc:creator="S3CRET" exif:GPSLatitude="48.8584"/></x:xmpmeta>`
	add("jpeg", "image/jpeg", jpg)
	add("jpeg-exif", "image/jpeg", segments(jpg, 0xe1, exif(1)))
	for o := 2; o <= 8; o++ {
		add(fmt.Sprint("jpeg-exif-turned-", o), "image/jpeg", segments(jpg, 0xe1, exif(o)))
	}
	add("jpeg-xmp", "image/jpeg", segments(jpg, 0xe1, xmp))
	add("jpeg-iptc", "image/jpeg", segments(jpg, 0xed, "Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x0b\x1c\x02\x50\x00\x06S3CRET\x00"))
	add("jpeg-comment", "image/jpeg", segments(jpg, 0xfe, everyMark))
	add("jpeg-profile", "image/jpeg", segments(jpg, 0xe2, "ICC_PROFILE\x00\x01\x01S3CRET"))
	add("jpeg-maker", "image/jpeg", segments(jpg, 0xe5, everyMark, 0xeb, everyMark, 0xef, everyMark))
	add("jpeg-behind", "image/jpeg", append(bytes.Clone(jpg), everyMark...))
	add("jpeg-second", "image/jpeg", append(bytes.Clone(jpg), segments(jpg, 0xfe, everyMark)...))
	add("jpeg-thumbnail", "image/jpeg", segments(jpg, 0xe1, exif(1)+string(segments(jpegFile(8, 8), 0xfe, everyMark))))
	add("jpeg-cut", "image/jpeg", jpg[:len(jpg)/2])
	add("jpeg-as-text", "text/plain; name=S3CRET.txt", jpg)
	add("png", "image/png", pic)
	add("png-text", "image/png", chunks(pic, "tEXt", "Author\x00S3CRET", "zTXt", "Comment\x00\x00"+deflated(everyMark), "iTXt", "Title\x00\x00\x00en\x00\x00"+everyMark))
	add("png-time", "image/png", chunks(pic, "tIME", "\x07\xcf\x0c\x1f\x17\x3b\x3b", "pHYs", "\x00\x00\x0b\x13\x00\x00\x0b\x13\x01"))
	add("png-exif", "image/png", chunks(pic, "eXIf", exif(6)[6:]))
	add("png-profile", "image/png", chunks(pic, "iCCP", "S3CRET\x00\x00"+deflated(everyMark)))
	add("png-private", "image/png", chunks(pic, "prVt", everyMark, "xmSt", everyMark))
	add("png-behind", "image/png", append(bytes.Clone(pic), everyMark...))
	add("png-cut", "image/png", pic[:len(pic)/2])
	add("png-wrong-sum", "image/png", bytes.Replace(chunks(pic, "tEXt", "a\x00S3CRET"), []byte("S3CRET"), []byte("S3CREt"), 1))
	add("png-animated", "image/png", chunks(pic, "acTL", "\x00\x00\x00\x02\x00\x00\x00\x00"))
	add("png-as-jpeg", "image/jpeg; name=S3CRET.jpg", pic)
	add("gif", "image/gif", gifFile(40, 30, 1))
	add("gif-comment", "image/gif", bytes.Replace(gifFile(40, 30, 1), []byte{0x2c, 0, 0, 0, 0}, []byte("\x21\xfe\x06S3CRET\x00\x2c\x00\x00\x00\x00"), 1))
	add("gif-animated", "image/gif", gifFile(20, 20, 3))
	for _, f := range []string{"still.gif", "lossless.webp", "lossy.webp", "alpha.webp", "animation.webp", "interlaced.png", "ycck.jpg", "progressive.jpg", "arithmetic.jpg"} {
		add(strings.ReplaceAll(f, ".", "-"), "application/octet-stream", must(os.ReadFile("picture/testdata/"+f)))
	}
	for _, k := range []struct{ name, begins string }{
		{"heic", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"}, {"avif", "\x00\x00\x00\x18ftypavif\x00\x00\x00\x00"}, {"tiff", "II*\x00\x08\x00\x00\x00"}, {"tiff-big", "MM\x00*\x00\x00\x00\x08"}, {"bmp", "BM\x46\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"}, {"jxl", "\xff\x0a\x00\x00"}, {"jp2", "\x00\x00\x00\x0cjP  \r\n\x87\n"}, {"psd", "8BPS\x00\x01"}, {"ico", "\x00\x00\x01\x00\x01\x00"}, {"xcf", "gimp xcf file\x00"}, {"svg", "<svg xmlns='http://www.w3.org/2000/svg'><title>"}, {"svg-xml", "<?xml version='1.0'?><svg>"},
		{"doc", "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"}, {"rtf", "{\\rtf1{\\info{\\author "}, {"ps", "%!PS-Adobe-3.0\n%%Creator: "}, {"gzip", "\x1f\x8b\x08"}, {"7z", "7z\xbc\xaf\x27\x1c"}, {"rar", "Rar!\x1a\x07\x01\x00"}, {"xz", "\xfd7zXZ\x00"}, {"bzip2", "BZh91AY"}, {"zstd", "\x28\xb5\x2f\xfd"}, {"cab", "MSCF\x00"}, {"empty-zip", "PK\x05\x06" + strings.Repeat("\x00", 18)},
		{"mp3", "ID3\x03\x00"}, {"mp3-bare", "\xff\xfb\x90\x64"}, {"flac", "fLaC"}, {"ogg", "OggS\x00"}, {"webm", "\x1aE\xdf\xa3"}, {"wav", "RIFF\x24\x00\x00\x00WAVEfmt "}, {"avi", "RIFF\x24\x00\x00\x00AVI LIST"}, {"mp4", "\x00\x00\x00\x18ftypmp42"}, {"mov", "\x00\x00\x00\x18ftypqt  "}, {"amr", "#!AMR\n"}, {"midi", "MThd\x00"},
		{"elf", "\x7fELF\x02"}, {"exe", "MZ\x90\x00"}, {"mach-o", "\xcf\xfa\xed\xfe"}, {"class", "\xca\xfe\xba\xbe"}, {"script", "#!/bin/sh\n# "}, {"html-file", "<!DOCTYPE html><title>"}, {"html-bare", "<html><title>"}, {"xml", "<?xml version='1.0'?><a>"}, {"eml", "Received: from "}, {"eml-from", "From: s3cret@secret.example\nSubject: "}, {"mbox", "From s3cret@secret.example Fri Dec 31 23:59:59 1999\nReceived: from "}, {"sqlite", "SQLite format 3\x00"}, {"torrent", "d8:announce22:https://secret.example10:created by6:S3CRET6:pieces4:\x01\x02\x03\x04"}, {"pst", "!BDN\x00"}, {"wasm", "\x00asm\x01\x00"}, {"font", "\x00\x01\x00\x00\x00\x0f"}, {"nothing-known", "\x01\x02\x03\x04"},
	} {
		add(k.name, "application/octet-stream", []byte(k.begins+everyMark))
	}
	add("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", zipFile("[Content_Types].xml", "x", "docProps/core.xml", "<dc:creator>S3CRET", "word/document.xml", "x"))
	add("xlsx", "application/octet-stream", zipFile("xl/workbook.xml", "S3CRET"))
	add("pptx", "application/octet-stream", zipFile("ppt/presentation.xml", "S3CRET"))
	add("odt", "application/octet-stream", zipFile("mimetype", "application/vnd.oasis.opendocument.text", "meta.xml", "S3CRET"))
	add("epub", "application/epub+zip", zipFile("mimetype", "application/epub+zip", "x", "S3CRET"))
	add("zip", "application/zip", zipFile("S3CRET.txt", "S3CRET"))
	add("tar", "application/x-tar", append(append([]byte("S3CRET.txt"), make([]byte, 247)...), "ustar\x0000S3CRET"...))
	add("zip-behind-picture", "image/png", append(bytes.Clone(pic), zipFile("S3CRET.txt", "S3CRET")...))

	add("txt", "text/plain; charset=utf-8", []byte("At noon.\u200b  \r\nOr later.\r\n"))
	add("txt-latin1", "text/plain; charset=iso-8859-1", []byte("Caf\xe9\r\n"))
	add("txt-no-charset", "text/plain", []byte("Caf\xe9\n"))
	add("txt-utf-16", "text/plain", append([]byte("\xff\xfe"), wide("Café\r\n")...))
	add("txt-utf-16-odd", "text/plain", []byte("\xff\xfeC\x00a"))
	add("txt-bom", "text/plain", []byte("\xef\xbb\xbfCafé\n"))
	add("txt-controls", "text/plain", []byte("At\x07 noon.\n"))
	add("txt-empty", "text/plain", nil)
	add("txt-blank", "text/plain", []byte(" \n\n"))
	add("csv", "text/csv; name=S3CRET.csv", []byte("Bread,3\r\nCheese,\u00a05\r\n"))
	add("csv-by-name", "application/octet-stream; name=S3CRET.CSV", []byte("Bread;3\r\n"))
	add("json", "application/json", []byte("{\"lunch\": \"noon\"}\n"))
	add("patch", "text/x-patch", []byte("--- a/x\n+++ b/x\n@@ -1 +1 @@\n-one\n+two\n"))

	hel := "/Resources << /Font << /S3CRET << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
	shown := "BT /S3CRET 12 Tf 10 50 Td (At noon.) Tj ET"
	add("pdf", "application/pdf", page("", "", hel, shown))
	add("pdf-info", "application/pdf", page("/Info 5 0 R /ID [<533343524554> <533343524554>]", "", hel, shown, "<< /Title (S3CRET) /Author (Zwiebelfisch) /Producer (S3CRET 1.0) /CreationDate (D:19991231235959+01'00') >>"))
	add("pdf-xmp", "application/pdf", page("", "/Metadata 5 0 R", hel, shown, stream("/Type /Metadata /Subtype /XML", "<x:xmpmeta>"+everyMark+"</x:xmpmeta>")))
	add("pdf-script", "application/pdf", page("", "/OpenAction << /S /JavaScript /JS (app.alert\\(\"S3CRET\"\\)) >> /Names << /JavaScript << /Names [(S3CRET) 5 0 R] >> >>", hel, shown, "<< /S /JavaScript /JS (S3CRET) >>"))
	add("pdf-files", "application/pdf", page("", "/Names << /EmbeddedFiles << /Names [(S3CRET) 5 0 R] >> >>", hel, shown, "<< /Type /Filespec /F (S3CRET.txt) /EF << /F 6 0 R >> >>", stream("/Type /EmbeddedFile", everyMark)))
	add("pdf-outlines", "application/pdf", page("", "/Outlines << /First 5 0 R /Last 5 0 R >> /Lang (S3CRET) /PageLabels << /Nums [0 << /P (S3CRET) >>] >>", hel, shown, "<< /Title (S3CRET) >>"))
	add("pdf-link", "application/pdf", page("", "", hel+" /Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (https://secret.example/) >> >>]", shown))
	add("pdf-comment", "application/pdf", page("", "", hel+" /Annots [<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /T (S3CRET) /Contents (Zwiebelfisch) /M (D:19991231) >>]", shown))
	add("pdf-marked-content", "application/pdf", page("", "", hel, "/Span << /ActualText (S3CRET) /Lang (S3CRET) >> BDC "+shown+" EMC % S3CRET\n"))
	add("pdf-unused", "application/pdf", page("", "", hel+" /PieceInfo << /S3CRET << /Private (S3CRET) >> >> /LastModified (D:19991231) /Thumb 5 0 R", shown, stream("/Type /XObject", everyMark), "(S3CRET)"))
	add("pdf-structure", "application/pdf", page("", "/StructTreeRoot << /Type /StructTreeRoot /K << /S /Document /Alt (S3CRET) /T (S3CRET) >> >> /MarkInfo << /Marked true >>", hel, shown))
	add("pdf-form", "application/pdf", page("", "/AcroForm << /Fields [5 0 R] /XFA (S3CRET) >>", hel, shown, "<< /FT /Tx /T (S3CRET) /V (S3CRET) >>"))
	add("pdf-layers", "application/pdf", page("", "/OCProperties << /OCGs [5 0 R] /D << /OFF [5 0 R] >> >>", "/Resources << /Font << /S3CRET << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> /Properties << /L 5 0 R >> >>", "/OC /L BDC BT /S3CRET 12 Tf (S3CRET) Tj ET EMC "+shown, "<< /Type /OCG /Name (S3CRET) >>"))
	old := page("", "", hel, "BT /S3CRET 12 Tf 10 50 Td (S3CRET) Tj ET")
	add("pdf-revised", "application/pdf", append(bytes.Clone(old), fmt.Sprintf("4 0 obj\n%s\nendobj\nxref\n4 1\n%010d 00000 n \ntrailer\n<< /Size 5 /Root 1 0 R /Prev %s >>\nstartxref\n%d\n%%%%EOF\n", stream("", shown), len(old), strings.Fields(string(old[bytes.LastIndex(old, []byte("startxref"))+9:]))[0], len(old)+len(fmt.Sprintf("4 0 obj\n%s\nendobj\n", stream("", shown))))...))
	add("pdf-picture", "application/pdf", page("", "", "/Resources << /XObject << /S3CRET 5 0 R >> >>", "q 100 0 0 75 0 0 cm /S3CRET Do Q", stream("/Type /XObject /Subtype /Image /Width 64 /Height 48 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", string(segments(jpg, 0xe1, exif(1), 0xfe, everyMark)))))
	add("pdf-jpx", "application/pdf", page("", "", "/Resources << /XObject << /I 5 0 R >> >>", "/I Do", stream("/Type /XObject /Subtype /Image /Width 64 /Height 48 /Filter /JPXDecode", everyMark)))
	add("pdf-jbig2", "application/pdf", page("", "", "/Resources << /XObject << /I 5 0 R >> >>", "/I Do", stream("/Type /XObject /Subtype /Image /Width 64 /Height 48 /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /JBIG2Decode", everyMark)))
	add("pdf-no-pages", "application/pdf", document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 0 >>"))
	add("pdf-encrypted", "application/pdf", must(os.ReadFile("pdf/testdata/needs-password.pdf")))
	add("pdf-owner-password", "application/pdf", must(os.ReadFile("pdf/testdata/sealed-eaes.pdf")))
	add("pdf-rubbish", "application/pdf", []byte("%PDF-1.4\n"+everyMark))
	add("pdf-late", "application/pdf", append([]byte("S3CRET before it\n"), page("", "", hel, shown)...))
	add("pdf-as-picture", "image/png; name=S3CRET.png", page("", "", hel, shown))
	add("pdf-behind", "application/pdf", append(page("", "", hel, shown), everyMark...))

	for i, d := range []string{
		`attachment; filename*=UTF-8''S3CRET%20M%C3%BCller.png`, `attachment; filename*0*=iso-8859-1'de'S3CRET%FC; filename*1=Zwiebelfisch.png`, `attachment; filename="=?utf-8?Q?S3CRET_M=C3=BCller.png?="`, `attachment; filename="C:\\Users\\S3CRET\\IMG_19991231_235959.png"`, `attachment; filename="../../../S3CRET.png"`, `inline; filename=S3CRET.png`, `attachment`, `S3CRET; filename=S3CRET.png`, `attachment; filename=S3CRET`, `attachment; filename="S3CRET.png"; creation-date="Fri, 31 Dec 1999 23:59:59 +0100"; modification-date="Fri, 31 Dec 1999 23:59:59 +0100"; read-date="Fri, 31 Dec 1999 23:59:59 +0100"; size=4711`, `attachment; filename=S3CRET.png; filename=Zwiebelfisch.png`, `attachment; filename="S3CRET`, `attachment filename=S3CRET`, "attachment;\n filename*0=\"S3CRET\";\n filename*1=\".png\"", `attachment; filename="` + strings.Repeat("S3CRET", 200) + `.png"`, "attachment; filename=\"S3CRET\u202egnp.exe\"",
	} {
		all = append(all, letter{fmt.Sprintf("named-%d", i+1), attachedFile("image/png; x-mac-type=53334352; x-unix-mode=0644; name=\"S3CRET.png\"", d+"\nContent-ID: <S3CRET@secret.example>\nContent-Description: Zwiebelfisch\nContent-Location: file:///home/S3CRET\nX-Attachment-Id: S3CRET", pic)})
	}
	return append(all, table(
		"file-alone", "Subject: Lunch\nContent-Type: image/png; name=S3CRET.png\nContent-Transfer-Encoding: base64\n\n"+inBase64(string(pic)),
		"text-attached-alone", "Subject: Lunch\nContent-Type: text/plain; name=S3CRET.txt\nContent-Disposition: attachment; filename=S3CRET.txt\n\nAt noon.\n",
		"quoted-picture", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: quoted-printable", inQuoted(string(pic))),
		"raw-picture", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/gif\nContent-Transfer-Encoding: binary", "GIF89aS3CRET"),
		"empty", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Disposition: attachment; filename=S3CRET", ""),
		"truncated-base64", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(pic))[:101]),
		"unknown-encoding", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: x-s3cret", "S3CRET"),
		"html-attached", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: text/html; name=S3CRET.html\nContent-Disposition: attachment; filename=S3CRET.html", "<p>S3CRET"),
		"two-pictures", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(pic)), "Content-Type: image/jpeg\nContent-Transfer-Encoding: base64", inBase64(string(segments(jpg, 0xfe, everyMark)))),
		"picture-and-word", "Subject: Lunch\n"+tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(pic)), "Content-Type: application/msword\nContent-Transfer-Encoding: base64", inBase64("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1S3CRET")),
	)...)
}

func bombLetters() []letter {
	var all []letter
	add := func(name, contentType string, data []byte) {
		all = append(all, letter{name, attachedFile(contentType, "attachment; filename=S3CRET", data)})
	}
	sized := func(width, height uint32) []byte {
		file := pngFile(4, 4)
		binary.BigEndian.PutUint32(file[16:], width)
		binary.BigEndian.PutUint32(file[20:], height)
		binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(file[12:29]))
		return file
	}
	zeros := func(n int) string { return deflated(strings.Repeat("\x00", n)) }
	add("png-65536", "image/png", sized(65536, 65536))
	add("png-30000", "image/png", sized(30000, 30000))
	add("png-10000-short", "image/png", sized(10000, 10000))
	add("png-1-high", "image/png", sized(1, 1<<31-1))
	add("png-nothing", "image/png", sized(0, 0))
	add("png-text-bomb", "image/png", chunks(pngFile(4, 4), "zTXt", "Comment\x00\x00"+zeros(20<<20)))
	add("png-profile-bomb", "image/png", chunks(pngFile(4, 4), "iCCP", "x\x00\x00"+zeros(20<<20)))
	large := gifFile(4, 4, 1)
	binary.LittleEndian.PutUint32(large[6:], 0xffffffff)
	add("gif-65535", "image/gif", large)
	frame := bytes.Clone(large)
	at := bytes.IndexByte(frame, 0x2c)
	if at >= 0 {
		binary.LittleEndian.PutUint32(frame[at+5:], 0xffffffff)
	}
	add("gif-frame-65535", "image/gif", frame)
	huge := jpegFile(8, 8)
	if at := bytes.Index(huge, []byte("\xff\xc0")); at >= 0 {
		copy(huge[at+5:], "\xff\xff\xff\xff")
	}
	add("jpeg-65535", "image/jpeg", huge)
	webp := must(os.ReadFile("picture/testdata/lossless.webp"))
	copy(webp[21:], "\xff\xff\xff\x0f")
	add("webp-16384", "image/webp", webp)
	add("many-pixels", "image/png", sized(11000, 10900))
	flate := func(n int) string { return deflated(deflated(zeros(n))) }
	add("pdf-content-bomb", "application/pdf", document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>", "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>", stream("/Filter [/FlateDecode /FlateDecode /FlateDecode]", flate(300<<20))))
	add("pdf-picture-bomb", "application/pdf", page("", "", "/Resources << /XObject << /I 5 0 R >> >>", "/I Do", stream("/Type /XObject /Subtype /Image /Width 30000 /Height 30000 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter [/FlateDecode /FlateDecode /FlateDecode]", flate(100<<20))))
	add("pdf-page-loop", "application/pdf", document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>"))
	add("pdf-form-loop", "application/pdf", page("", "", "/Resources << /XObject << /F 5 0 R >> >>", "/F Do", stream("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /F 5 0 R >> >>", "/F Do /F Do")))
	add("pdf-deep-arrays", "application/pdf", page("", "/A "+strings.Repeat("[", 5000)+strings.Repeat("]", 5000), "", strings.Repeat("[", 5000)))
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write(make([]byte, 10<<20))
	z.Close()
	add("gzip", "application/gzip", packed.Bytes())
	add("zip", "application/zip", zipFile("zeros", strings.Repeat("\x00", 10<<20)))
	html := func(name, body string) {
		all = append(all, letter{name, "Subject: Lunch\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\n" + inBase64(body)})
	}
	html("html-divs", strings.Repeat("<div>", 3000)+"S3CRET")
	html("html-formats", strings.Repeat("<b><i><a>", 2000)+"At noon.")
	html("html-quotes", strings.Repeat("<blockquote>", 900)+"At noon.")
	html("html-tables", strings.Repeat("<table><tr><td>", 300)+"At noon.")
	html("html-lists", strings.Repeat("<ul><li>", 400)+"At noon.")
	html("html-colspan", "<table><tr><td colspan=1000000000 rowspan=1000000000>At noon.<td>x</table>")
	html("html-entities", strings.Repeat("&amp;", 3000))
	html("html-attributes", "<p "+strings.Repeat("S3CRET=S3CRET ", 3000)+">At noon.")
	html("html-list-start", "<ol start=2147483647><li>x<li>y</ol><ol start=-99999999999999999999><li>z</ol>")
	quotes := strings.Repeat(">", 3000) + " At noon.\n"
	all = append(all, letter{"quote-marks", plainly(quotes)}, letter{"quoted-attributions", plainly(strings.Repeat("> On 31/12/1999 23:59, S3CRET wrote:\n>> x\n", 400))},
		letter{"encoded-words", "Subject:" + strings.Repeat("\n =?utf-8?Q?x?=", 3000) + "\n\nAt noon.\n"}, letter{"many-parameters", "Subject: Lunch\nContent-Type: text/plain" + strings.Repeat(";\n x*0=S3CRET", 500) + "\n\nAt noon.\n"},
		letter{"continued-parameters", func() string {
			var b strings.Builder
			b.WriteString("Subject: Lunch\nContent-Type: text/plain")
			for i := range 800 {
				fmt.Fprintf(&b, ";\n name*%d=S3CRET", i)
			}
			return b.String() + "\n\nAt noon.\n"
		}()}, letter{"two-of-120-million", "Subject: Lunch\n" + tree("mixed", "b", "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(sized(11000, 10900))), "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(sized(11000, 10900))), "Content-Type: image/png\nContent-Transfer-Encoding: base64", inBase64(string(sized(11000, 10900))))})
	return all
}
