package pdf

import (
	"bytes"
	"compress/lzw"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pdfcpu/pdfcpu/pkg/api"
	"github.com/pdfcpu/pdfcpu/pkg/pdfcpu/model"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail"
)

// marked is a document with the word MARKED in every place that a PDF has for what is no content.
func marked(t testing.TB) []byte {
	info := "<< /Title (MARKED) /Author (\xfe\xff\x00M\x00A\x00R\x00K\x00E\x00D) /Producer <4d41524b4544> /CreationDate (D:MARKED) /Custom (MARKED) >>"
	xmp := data("/Type /Metadata /Subtype /XML", "<x:xmpmeta>MARKED</x:xmpmeta>")
	action := "<< /S /JavaScript /JS (app.alert\\('MARKED'\\)) >>"
	out := document("/Info 6 0 R /ID [(MARKED) (MARKED)] /MARKED (MARKED)",
		// 1
		"<< /Type /Catalog /Pages 2 0 R /Metadata 7 0 R /Outlines << /First 8 0 R >> /Names << /JavaScript << /Names [(MARKED) "+action+"] >> /EmbeddedFiles << /Names [(MARKED.txt) << /F (MARKED.txt) /EF << /F 9 0 R >> >>] >> /Dests << /Names [(MARKED) [3 0 R /Fit]] >> >>"+
			" /OpenAction "+action+" /AA << /WC "+action+" >> /PageLabels << /Nums [0 << /P (MARKED) >>] >> /PieceInfo << /MARKED << /Private (MARKED) >> >> /Lang (MARKED)"+
			" /StructTreeRoot << /K << /Alt (MARKED) /T (MARKED) >> >> /OutputIntents [<< /S /GTS_PDFX /Info (MARKED) >>] /AcroForm << /Fields [20 0 R] /DA (/MARKED 0 Tf) /XFA (MARKED) >>"+
			" /OCProperties << /OCGs [10 0 R 11 0 R] /D << /Name (MARKED) /OFF [11 0 R] >> >> /ViewerPreferences << /MARKED true >> /URI << /Base (http://MARKED/) >> /Extensions << /MARKED << >> >> >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 /MARKED (MARKED) >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 300] /Contents [4 0 R 5 0 R] /LastModified (D:MARKED) /PieceInfo << /MARKED << >> >> /Thumb 12 0 R /Metadata 7 0 R /SeparationInfo << /DeviceColorant (MARKED) >> /StructParents 0 /Tabs /MARKED /ID (MARKED) /AA << /O "+action+" >> /B [13 0 R] /PZ 1"+
			" /Annots [14 0 R 15 0 R 16 0 R 20 0 R 21 0 R 22 0 R]"+
			" /Resources << /MARKED (MARKED) /Properties << /MARKED1 << /MARKED (MARKED) >> /MARKED2 11 0 R /MARKED3 10 0 R >> /ExtGState << /MARKEDg << /CA .5 /MARKED (MARKED) /HT << /HalftoneName (MARKED) >> >> >> /ColorSpace << /MARKEDc [/Separation /MARKEDink /DeviceCMYK << /FunctionType 2 /Domain [0 1] /C0 [0 0 0 0] /C1 [1 0 0 0] /N 1 /MARKED (MARKED) >>] /MARKEDi [/ICCBased 17 0 R] >>"+
			" /Font << /MARKEDf << /Type /Font /Subtype /Type1 /BaseFont /MARKED-Font /Name /MARKED /MARKED (MARKED) /FontDescriptor << /FontName /MARKED-Font /FontFamily (MARKED) /Flags 32 >> >> /MARKEDt 23 0 R >> /XObject << /MARKEDx 18 0 R /MARKEDp 12 0 R >> /MARKED2 << >> >> >>",
		data("", "% MARKED comment\n/MARKED << /MARKED (MARKED) >> BDC /MARKEDg gs /Span << /ActualText (MARKED) >> BDC BT /MARKEDf 12 Tf 10 10 Td (Kept text) Tj ET EMC EMC /MARKED /MARKED1 DP (MARKED) /MARKED MP"),
		data("", "/OC /MARKED2 BDC BT /MARKEDf 12 Tf (MARKED hidden) Tj ET EMC /OC /MARKED3 BDC BT /MARKEDt 9 Tf (ABC) Tj ET EMC /MARKEDc cs 1 scn 0 0 5 5 re f /MARKEDi cs 0 0 0 scn /MARKEDx Do /MARKEDp Do (MARKED) (MARKED) unknown BX MARKED EX BI /W 2 /H 2 /BPC 8 /CS /G /MARKED (MARKED) ID \x00\xff\xff\x00 EI"),
		info, xmp,
		"<< /Title (MARKED) /Dest [3 0 R /Fit] >>",
		data("/Type /EmbeddedFile /Params << /CreationDate (MARKED) >>", "MARKED file"),
		"<< /Type /OCG /Name (MARKED on) /Usage << /CreatorInfo << /Creator (MARKED) >> >> >>",
		"<< /Type /OCG /Name (MARKED off) >>",
		data("/Type /XObject /Subtype /Image /Width 2 /Height 2 /BitsPerComponent 8 /ColorSpace /DeviceGray /Name /MARKED /ID (MARKED) /OPI << /2.0 << /F (MARKED) >> >> /Metadata 7 0 R /Alternates [<< /Image 12 0 R >>]", "\x00\x80\x80\x00MARKED"),
		"<< /MARKED (MARKED) >>",
		"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (http://MARKED/) >> >>",
		"<< /Type /Annot /Subtype /Text /Rect [0 0 9 9] /Contents (MARKED note) /T (MARKED author) /M (D:MARKED) /AP << /N 19 0 R >> >>",
		"<< /Type /Annot /Subtype /FreeText /Rect [10 20 110 40] /Contents (MARKED) /T (MARKED) /NM (MARKED) /RC (MARKED) /AP << /N 19 0 R /D 18 0 R >> >>",
		data("/N 3 /Alternate /DeviceRGB", "MARKED profile"),
		data("/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Name /MARKED /LastModified (MARKED) /PieceInfo << /MARKED << >> >> /Metadata 7 0 R", "% MARKED\n0 0 3 3 re f"),
		data("/Type /XObject /Subtype /Form /BBox [0 0 50 10] /MARKED (MARKED)", "0 0 m 50 10 l S"),
		"<< /Type /Annot /Subtype /Widget /FT /Tx /T (MARKED) /TU (MARKED) /V (Field text) /DA (/MARKED 0 Tf) /MK << /CA (MARKED) >> /Rect [10 50 110 60] /AP << /N 24 0 R >> >>",
		"<< /Type /Annot /Subtype /Widget /FT /Sig /T (MARKED) /V << /Name (MARKED) /M (MARKED) /Contents (MARKED) >> /Rect [0 0 9 9] /AP << /N 25 0 R >> >>",
		"<< /Type /Annot /Subtype /FileAttachment /Rect [0 0 9 9] /FS << /F (MARKED.txt) /EF << /F 9 0 R >> >> >>",
		// 23
		"<< /Type /Font /Subtype /Type1 /BaseFont /ABCDEF+MARKED-Regular /FirstChar 65 /LastChar 67 /Widths [600 700 800] /Encoding << /Differences [65 /A /B /MARKEDglyph] >> /ToUnicode 26 0 R /FontDescriptor << /Type /FontDescriptor /FontName /ABCDEF+MARKED-Regular /CharSet (/MARKED) /Flags 4 /FontBBox [0 0 800 700] /FontFile3 27 0 R /Lang (MARKED) >> >>",
		data("/Type /XObject /Subtype /Form /BBox [0 0 100 10] /Resources << /Font << /MARKED << /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >> >> >>", "/Tx BMC BT /MARKED 8 Tf 2 2 Td (Field text) Tj ET EMC"),
		data("/Type /XObject /Subtype /Form /BBox [0 0 100 10] /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >> >> >>", "BT /F 8 Tf (Signed by MARKED) Tj ET"),
		data("", "% MARKED\n/CIDInit /ProcSet findresource begin begincmap /CMapName /MARKED-UCS def /CIDSystemInfo << /Registry (MARKED) /Ordering (MARKED) /Supplement 0 >> def 1 begincodespacerange <00> <ff> endcodespacerange 3 beginbfchar <41> <0041> <42> <0042> <43> <0043> endbfchar endcmap"),
		data("/Subtype /Type1C", string(testdata(t, "marked.cff"))),
		"(MARKED unused object)",
	)
	// An earlier revision, and bytes after the end.
	return append(out, "\n9 0 obj (MARKED) endobj\n%%EOF MARKED"...)
}

func TestNothingMarkedSurvives(t *testing.T) {
	in := marked(t)
	if survives(in, "MARKED") == "" {
		t.Fatal("the search finds nothing in a marked document")
	}
	d, err := open(in, budget())
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := d.encode(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"MARKED", "/Info", "/Metadata", "/ID", "/Annot", "/OCG", "/OC ", "/Producer", "endxref", "DC\n", "%%EOF\n9"} {
		if where := survives(out, mark); where != "" {
			t.Errorf("%q survives in %q", mark, where)
		}
	}
	for _, kept := range []string{"(Kept text) Tj", "(ABC) Tj", "(Field text) Tj", "/Spot1", "50 10 l"} {
		if !strings.Contains(plain(out), kept) {
			t.Errorf("%q is lost in %q", kept, plain(out))
		}
	}
	want := slices.Concat(phrases[:noticePassword], phrases[noticePassword+1:noticeCount])
	if got := d.Removed(); !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
	valid(t, out)
	again(t, out)
}

// valid asks another implementation whether a document is made by the rules.
func valid(t *testing.T, out []byte) {
	t.Helper()
	model.ConfigPath = "disable"
	if err := api.Validate(bytes.NewReader(out), nil); err != nil {
		t.Errorf("pdfcpu: %v in %q", err, plain(out))
	}
}

// TestFontPrograms has the same font in four forms, and fonts by their names alone.
func TestFontPrograms(t *testing.T) {
	simple := func(file, key, more string, encoding string) []byte {
		return page1("/Resources << /Font << /MARKED 5 0 R >> >>", "BT /MARKED 20 Tf 10 10 Td (ABC) Tj ET",
			"<< /Type /Font /Subtype /Type1 /BaseFont /ABCDEF+MARKED /FirstChar 65 /LastChar 67 /Widths [600 700 800] "+encoding+" /FontDescriptor 6 0 R >>",
			"<< /Type /FontDescriptor /FontName /ABCDEF+MARKED /Flags 4 /FontBBox [0 0 800 700] /ItalicAngle 0 /Ascent 700 /Descent 0 /CapHeight 700 /StemV 80 /"+key+" 7 0 R >>",
			data(more, string(testdata(t, file))))
	}
	differences := "/Encoding << /Differences [65 /A /B /MARKEDglyph] >>"
	composite := func(file, subtype, key, more string) []byte {
		return page1("/Resources << /Font << /MARKED 5 0 R >> >>", "BT /MARKED 20 Tf 10 10 Td <000100020003> Tj ET",
			"<< /Type /Font /Subtype /Type0 /BaseFont /MARKED /Encoding /Identity-H /DescendantFonts [6 0 R] >>",
			"<< /Type /Font /Subtype /"+subtype+" /BaseFont /MARKED /CIDSystemInfo << /Registry (MARKED) /Ordering (MARKED) /Supplement 0 >> /W [0 [500 600 700 800]] /FontDescriptor 7 0 R >>",
			"<< /Type /FontDescriptor /FontName /MARKED /Flags 4 /FontBBox [0 0 800 700] /ItalicAngle 0 /Ascent 700 /Descent 0 /CapHeight 700 /StemV 80 /"+key+" 8 0 R >>",
			data(more, string(testdata(t, file))))
	}
	for _, test := range []struct {
		what string
		in   []byte
	}{
		{"Type 1", simple("marked.pfa", "FontFile", "", differences)},
		{"Type 1, its own encoding", simple("marked.pfa", "FontFile", "", "")},
		{"CFF", simple("marked.cff", "FontFile3", "/Subtype /Type1C", differences)},
		{"OpenType", simple("marked.otf", "FontFile3", "/Subtype /OpenType", differences)},
		{"TrueType", simple("marked.ttf", "FontFile2", "", differences)},
		{"CID TrueType", composite("marked.ttf", "CIDFontType2", "FontFile2", "")},
		{"CID CFF", composite("marked.cff", "CIDFontType0", "FontFile3", "/Subtype /CIDFontType0C")},
		{"CID OpenType", composite("marked.otf", "CIDFontType0", "FontFile3", "/Subtype /OpenType")},
	} {
		t.Run(test.what, func(t *testing.T) {
			if survives(test.in, "MARKED") == "" {
				t.Fatal("nothing is marked")
			}
			out := scrub(t, test.in)
			for _, mark := range []string{"MARK", "UniqueID", "XUID", "5012345", "Notice", "ABCDEF"} {
				if where := survives(out, mark); where != "" {
					t.Errorf("%q survives in %q", mark, where)
				}
			}
			valid(t, out)
			again(t, out)
		})
	}
}

func TestStandardFont(t *testing.T) {
	for _, test := range []struct {
		base  string
		flags int
		want  name
	}{
		{"Helvetica", 32, "Helvetica"}, {"ABCDEF+Arial,Bold", 32, "Helvetica-Bold"}, {"TimesNewRomanPS-BoldItalicMT", 34, "Times-BoldItalic"},
		{"CourierNew,Italic", 0, "Courier-Oblique"}, {"Symbol", 4, "Symbol"}, {"AcmeCorporate-Book", 34, "Times-Roman"},
		{"AcmeCorporate-Black", 32 | 64, "Helvetica-BoldOblique"}, {"AcmeMono", 33, "Courier"}, {"ZapfDingbatsITC", 4, "ZapfDingbats"},
	} {
		if got, _ := standardFont(test.base, test.flags); got != test.want {
			t.Errorf("%s, flags %d: %s, want %s", test.base, test.flags, got, test.want)
		}
	}
}

func TestGlyphNames(t *testing.T) {
	p := &program{glyphs: map[string]string{}, left: budget()}
	p.rename([]string{"A", "logo_acme", "g1", "hidden.secret", "f_f_i", "uni00410042.alt", "logo_acme"})
	for old, want := range map[string]string{"A": "A", "f_f_i": "f_f_i", "g1": "g1", "logo_acme": "g2", "hidden.secret": "g3",
		"uni00410042.alt": "uni00410042.alt", "unknown": ".notdef", "afii10017": "afii10017", "cid123": "cid123", "a65": "a65"} {
		if got := p.glyph(old); got != want {
			t.Errorf("%s: %s, want %s", old, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for in, want := range map[string]any{
		"0": 0, "-0": 0, "+17": 17, "007": 7, "1.": 1, ".5": decimal("0.5"), "-.500": decimal("-0.5"), "--5": -5, "1.0000000": 1, "12-34": 12,
		"0.1234567": decimal("0.123457"), "3.14159265": decimal("3.141593"), "0.9999999": 1 - 0, "99.99999999": 100, "0.00001234567": decimal("0.0000123457"),
		"99999999999999999999": maxInteger, "-99999999999.5": -maxInteger, "": 0, ".": 0, "-": 0, "1.2.3": decimal("1.2"), "0.00000000000000000000000000001": 0,
		"2147483648": maxInteger, "0.09999999": decimal("0.1"),
	} {
		got := number(in)
		if got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
		if s := fmt.Sprint(got); number(s) != got {
			t.Errorf("%q: %v, then %v", in, got, number(s))
		}
	}
}

func TestObjects(t *testing.T) {
	for in, want := range map[string]string{
		"<</B 1/A[1 2.50(x)]>>":             "<</A [1 2.5 (x)]/B 1>>",
		"(a(b)c\\)\\\\\\101\\7\\\r\n\\z)":   "(a(b)c\\)\\\\A\x07z)",
		"(a\rb\r\nc)":                       "(a\nb\nc)",
		"<48 65 6c6C 6>":                    "(Hell`)",
		"/A#42#20c#zz":                      "/AB#20c#23zz",
		"[1 0 R 2 0 obj true null]":         "[1 0 R 2 0 true null]",
		"<< /K % comment\n /V >>":           "<</K /V>>",
		"<</A 1":                            "<</A 1>>",
		"[1 [2 [3]":                         "[1 [2 [3]]]",
		"<</A/B/C<</D()>>>>":                "<</A /B/C <</D ()>>>>",
		"1.50w":                             "1.5",
		"(\\r)":                             "(\\r)",
		"<</Null null/A 1>>":                "<</A 1>>",
		"[/a/b(c)<64>]":                     "[/a /b (c) (d)]",
		"<</Dup 1/Dup 2>>":                  "<</Dup 2>>",
		strings.Repeat("[", 40) + "1":       strings.Repeat("[", 40) + "1" + strings.Repeat("]", 40),
		"<</A 1 >> >> ] ) } trailing words": "<</A 1>>",
	} {
		l := lexer{data: []byte(in), refs: true}
		var b bytes.Buffer
		write(&b, l.object())
		got := strings.ReplaceAll(b.String(), "\\(b\\)", "(b)")
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// TestFilters decodes the same text from every filter and predictor.
func TestFilters(t *testing.T) {
	const want = "abcabcabcabcabd"
	deflate := func(s string) string {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		w.Write([]byte(s))
		w.Close()
		return b.String()
	}
	var compressed bytes.Buffer
	w := lzw.NewWriter(&compressed, lzw.MSB, 8) // both kinds are the same up to 510 codes
	w.Write([]byte(want))
	w.Close()
	a85 := make([]byte, 100)
	a85 = a85[:ascii85.Encode(a85, []byte(want))]
	for _, test := range []struct{ what, dict, data string }{
		{"none", "", want},
		{"Flate", "/Filter /FlateDecode", deflate(want)},
		{"Flate without its checksum", "/Filter [/FlateDecode]", deflate(want)[:len(deflate(want))-4]},
		{"Flate without its header", "/Filter /FlateDecode", deflate(want)[2:]},
		{"hex", "/Filter /ASCIIHexDecode", hex.EncodeToString([]byte(want)) + "> garbage"},
		{"base 85", "/Filter /ASCII85Decode", string(a85) + "~>"},
		{"run length", "/Filter /RunLengthDecode", "\x0babcabcabcabc\x02abd\x80zz"},
		{"LZW", "/Filter /LZWDecode", compressed.String()},
		{"LZW of the other kind", "/Filter /LZWDecode /DecodeParms << /EarlyChange 0 >>", compressed.String()},
		{"two filters", "/Filter [/AHx /Fl]", hex.EncodeToString([]byte(deflate(want))) + ">"},
		{"PNG predictors", "/Filter /FlateDecode /DecodeParms << /Predictor 15 /Columns 3 >>", deflate("\x00abc\x01a\x01\x01\x02\x00\x00\x00\x03\x31\x01\x01\x04\x00\x00\x01")},
		{"TIFF predictor", "/Filter /FlateDecode /DecodeParms << /Predictor 2 /Columns 3 >>", deflate("a\x01\x01a\x01\x01a\x01\x01a\x01\x01a\x01\x02")},
	} {
		f := openFile(page1("", "", data(test.dict, test.data)), budget())
		if got := string(f.decode(f.object(5).(*stream))); got != want {
			t.Errorf("%s: %q", test.what, got)
		}
	}
}

// TestContent rewrites content streams.
func TestContent(t *testing.T) {
	for _, test := range []struct{ what, in, want string }{
		{"numbers and comments", "q % comment\n1.0 0 0 1.000 +5 -0.50 cm Q", "q\n1 0 0 1 5 -0.5 cm\nQ\n"},
		{"marked content", "/A BMC /B <</C 1>> BDC 0 g EMC EMC /X MP /Y /Z DP", "0 g\n"},
		{"unknown operators", "1 2 foo 0 g BX 3 bar EX", "0 g\n"},
		{"missing operands", "1 2 re 0 0 1 1 re f", "0 0 1 1 re\nf\n"},
		{"operands of a wrong type", "(a) w (b) Tj /c Tj", "(b) Tj\n"},
		{"too many operands", "9 9 1 2 m", "1 2 m\n"},
		{"q without Q", "q q 1 w Q", "q\nq\n1 w\nQ\nQ\n"},
		{"Q without q", "Q Q 1 w", "1 w\n"},
		{"arrays", "[(a) -250 (b) /c] TJ [3 (x) 2] 0 d", "[(a) -250 (b)] TJ\n[3 2] 0 d\n"},
		{"what names nothing", "/None gs /None Do /None sh /None cs 1 w", "1 w\n"},
		{"plain colour spaces", "/DeviceRGB cs 1 0 0 sc /Pattern CS", "/DeviceRGB cs\n1 0 0 sc\n/Pattern CS\n"},
		{"a layer that is off", "/OC /Off BDC 1 w 0 0 9 9 re f 5 5 m 6 6 l W n q EMC 0 0 1 1 re f Q", "1 w\n5 5 m\n6 6 l\nW\nn\nq\n0 0 1 1 re\nf\nQ\n"},
		{"text in a layer that is off", "/OC /Off BDC BT (a) Tj (b) ' 1 2 (c) \" ET EMC", "BT\nT*\n1 Tw\n2 Tc\nT*\nET\n"},
		{"a layer that is on", "/OC /On BDC 0 0 1 1 re f EMC", "0 0 1 1 re\nf\n"},
	} {
		in := document("", "<< /Type /Catalog /Pages 2 0 R /OCProperties << /OCGs [5 0 R 6 0 R] /D << /OFF [6 0 R] >> >> >>", "<< /Kids [3 0 R] >>",
			"<< /Type /Page /Contents 4 0 R /Resources << /Properties << /On 5 0 R /Off 6 0 R >> >> >>", data("", test.in),
			"<< /Type /OCG /Name (on) >>", "<< /Type /OCG /Name (off) >>")
		f := openFile(scrub(t, in), budget())
		page := f.dict(f.array(f.dict(f.dict(f.trailer["Root"])["Pages"])["Kids"])[0])
		if got := string(f.decode(f.resolve(page["Contents"]).(*stream))); got != test.want {
			t.Errorf("%s: %q, want %q", test.what, got, test.want)
		}
	}
}

// TestVisibility asks for every kind of membership.
func TestVisibility(t *testing.T) {
	in := document("", "<< /Type /Catalog /Pages 2 0 R /OCProperties << /OCGs [3 0 R 4 0 R] /D << /BaseState /OFF /ON [3 0 R] >> >> >>", "<< >>",
		"<< /Type /OCG >>", "<< /Type /OCG >>")
	for o, want := range map[string]bool{
		"3 0 R": true, "4 0 R": false, "99 0 R": true,
		"<< /Type /OCMD /OCGs [3 0 R 4 0 R] >>":                         true,
		"<< /Type /OCMD /OCGs 4 0 R >>":                                 false,
		"<< /Type /OCMD >>":                                             true,
		"<< /Type /OCMD /OCGs [3 0 R 4 0 R] /P /AllOn >>":               false,
		"<< /Type /OCMD /OCGs [3 0 R 4 0 R] /P /AnyOff >>":              true,
		"<< /Type /OCMD /OCGs [3 0 R 4 0 R] /P /AllOff >>":              false,
		"<< /Type /OCMD /VE [/Not 3 0 R] >>":                            false,
		"<< /Type /OCMD /VE [/And 3 0 R [/Not 4 0 R]] >>":               true,
		"<< /Type /OCMD /VE [/Or 4 0 R [/And 3 0 R 4 0 R]] >>":          false,
		"<< /Type /OCMD /VE [/Or [/Not 4 0 R] 4 0 R] /OCGs 4 0 R >>":    true,
		"<< /Type /OCMD /OCGs [null 99 0 R] /P /AllOff >>":              true,
		"<< /Type /OCMD /OCGs [<< /Type /OCMD /OCGs 4 0 R >> 4 0 R] >>": false,
	} {
		b := building(in)
		b.f.trailer["Root"] = ref(1)
		l := lexer{data: []byte(o), refs: true}
		if got := b.visible(l.object()); got != want {
			t.Errorf("%s: %v, want %v", o, got, want)
		}
	}
}

// TestRefusals names every reason to refuse a document, and holds the words to the rules.
func TestRefusals(t *testing.T) {
	withImage := func(entries, body string) []byte {
		return page1("/Resources << /XObject << /I 5 0 R >> >>", "/I Do", data("/Type /XObject /Subtype /Image /Width 8 /Height 8 /BitsPerComponent 8 "+entries, body))
	}
	widget := func(entries string) []byte {
		return page1("/Annots [<< /Type /Annot /Rect [0 0 9 9] "+entries+" >>]", "")
	}
	font := func(font string) []byte {
		return page1("/Resources << /Font << /F "+font+" >> >>", "/F 9 Tf")
	}
	separation := "[/Separation /Spot /DeviceGray << /FunctionType 2 /Domain [0 1] /N 1 >>]"
	layered := func(usage, content string) []byte {
		return document("", "<< /Type /Catalog /Pages 2 0 R /OCProperties << /OCGs [5 0 R] /D << /OFF [5 0 R] /AS ["+usage+"] >> >> >>", "<< /Kids [3 0 R] >>",
			"<< /Type /Page /Contents 4 0 R /Resources << "+helvetica+" /Properties << /P 5 0 R >> >> >>", data("", content), "<< /Type /OCG /Usage << /Print << /PrintState /ON >> >> >>")
	}
	for _, test := range []struct {
		what string
		in   []byte
		want string
	}{
		{"nothing", nil, notPDF},
		{"not a PDF", []byte("%!PS-Adobe-3.0"), notPDF},
		{"a header alone", []byte("%PDF-1.7"), damaged},
		{"no page", document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [] /Count 0 >>"), noPages},
		{"a password", document("/Encrypt << /Filter /Standard /V 1 /R 2 /O () /U () /P -4 >>", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Kids [] >>"), protected},
		{"a dynamic form", document("", "<< /Type /Catalog /Pages 2 0 R /NeedsRendering true >>", "<< /Kids [] >>"), dynamicForm},
		{"JPEG 2000", withImage("/Filter /JPXDecode", "x"), jpx},
		{"JBIG2", withImage("/ColorSpace /DeviceGray /Filter [/JBIG2Decode]", "x"), jbig2},
		{"a two-dimensional fax", withImage("/ColorSpace /DeviceGray /Filter /CCITTFaxDecode /DecodeParms << /K 4 /Columns 8 >>", "x"), oddFax},
		{"a spot colour picture", withImage("/ColorSpace "+separation, strings.Repeat("x", 64)), oddInks},
		{"a Lab picture", withImage("/ColorSpace [/Lab << /WhitePoint [1 1 1] >>]", strings.Repeat("x", 192)), oddInks},
		{"a matte", withImage("/ColorSpace /DeviceGray /SMask 6 0 R", strings.Repeat("x", 64)), ""},
		{"too many pixels", withImage("/ColorSpace /DeviceGray /Width 30000 /Height 30000", "x"), largeScan},
		{"a mark without its looks", widget("/Subtype /Highlight"), noLooks},
		{"a field without its looks", widget("/Subtype /Widget /FT /Tx /V (x)"), noLooks},
		{"a page of another file", page1("/Resources << /XObject << /X 5 0 R >> >>", "/X Do", data("/Subtype /Form /BBox [0 0 1 1] /Ref << /F (x) >>", "")), outside},
		{"a symbol font by name", font("<< /Subtype /TrueType /BaseFont /Wingdings /FontDescriptor << /Flags 4 >> >>"), notEmbedded},
		{"a composite font by name", font("<< /Subtype /Type0 /Encoding /Identity-H /DescendantFonts [<< /Subtype /CIDFontType2 /BaseFont /X >>] >>"), notEmbedded},
		{"a damaged font", page1("/Resources << /Font << /F << /Subtype /TrueType /FontDescriptor << /FontFile2 5 0 R >> >> >> >>", "/F 9 Tf", data("", "\x00\x01\x00\x00xx")), badFont},
		{"an unknown colour space", page1("/Resources << /ColorSpace << /C [/Odd 1] >> >>", "/C cs"), oddColor},
		{"an unknown filter", page1("/Resources << /XObject << /X 5 0 R >> >>", "/X Do", data("/Subtype /Form /BBox [0 0 1 1] /Filter /Odd", "")), damaged},
		{"a layer in print only", layered("<< /Event /Print /Category [/Print] /OCGs [5 0 R] >>", "/OC /P BDC EMC"), layers},
		{"hidden text that moves text", layered("", "BT /Hel 9 Tf /OC /P BDC (a) Tj EMC (b) Tj ET"), layers},
		{"a bomb", bomb(300 << 20), tooMuch},
		{"a deep array", page1("", "[[[["+strings.Repeat("[", 100)), tooMuch},
	} {
		d, err := open(test.in, budget())
		if err == nil {
			_, _, err = d.encode(0)
		}
		var r *mail.Refusal
		if test.want == "" {
			if err != nil {
				t.Errorf("%s: %v", test.what, err)
			}
			continue
		}
		if !errors.As(err, &r) || r.Reason != test.want {
			t.Errorf("%s: %v, want %s", test.what, err, test.want)
		}
		if len(test.want) > 250 || strings.ContainsFunc(test.want, func(r rune) bool { return r > '~' }) || !strings.HasSuffix(test.want, ".") {
			t.Errorf("%s: %q", test.what, test.want)
		}
	}
}

// bomb is a small document whose page decompresses to n spaces.
func bomb(n int) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	for range n >> 20 {
		w.Write(bytes.Repeat([]byte{' '}, 1<<20))
	}
	w.Close()
	return document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Kids [3 0 R] >>", "<< /Type /Page /Contents 4 0 R >>", data("/Filter /FlateDecode", b.String()))
}

// TestHeavy opens documents in which a little stands for much: many objects share what is long, or
// a small stream becomes a large one, when little time is left. They are taken or refused in words.
func TestHeavy(t *testing.T) {
	for _, heavy := range sample.HeavyPDFs {
		if strings.Contains(heavy.Name, "megapixels") {
			continue
		}
		left := budget()
		left.mail.Spend(13.7e9) // of 14
		d, err := open(heavy.Make(0.02), left)
		if err == nil {
			_, _, err = d.encode(0)
		}
		if err != nil && err.Error() != tooMuch && err.Error() != manyScans && err.Error() != badFont && err.Error() != damaged {
			t.Errorf("%s: %v", heavy.Name, err)
		}
	}
}

// TestCircles has what contains itself: it ends, and what can be shown is.
func TestCircles(t *testing.T) {
	for what, in := range map[string][]byte{
		"pages":                  document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [2 0 R 3 0 R 3 0 R] >>", "<< /Type /Page /Contents 4 0 R >>", data("", "0 g")),
		"forms":                  page1("/Resources << /XObject << /X 5 0 R >> >>", "/X Do 0 g", data("/Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X 5 0 R >> >>", "/X Do")),
		"form without resources": page1("/Resources << /XObject << /X 5 0 R >> >>", "0 g", data("/Subtype /Form /BBox [0 0 1 1]", "/X Do")),
		"patterns":               page1("/Resources << /Pattern << /P 5 0 R >> >>", "/Pattern cs /P scn 0 g", data("/PatternType 1 /BBox [0 0 1 1] /XStep 1 /YStep 1 /Resources << /Pattern << /P 5 0 R >> >>", "/Pattern cs /P scn")),
		"length":                 document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Kids [3 0 R] >>", "<< /Type /Page /Contents 4 0 R >>", "<< /Length 4 0 R >>\nstream\n0 g\nendstream"),
		"references":             document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Kids [3 0 R] >>", "<< /Type /Page /Contents 4 0 R /Resources 5 0 R >>", data("", "0 g"), "6 0 R", "5 0 R"),
		"masks":                  page1("/Resources << /XObject << /X 5 0 R >> >>", "/X Do 0 g", data("/Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /SMask 5 0 R", "x")),
	} {
		out := scrub(t, in)
		if !strings.Contains(plain(out), "0 g\n") {
			t.Errorf("%s: the page is lost: %q", what, plain(out))
		}
		again(t, out)
	}
}

// TestRepair reads documents whose tables are wrong.
func TestRepair(t *testing.T) {
	in := page1("/Resources << "+helvetica+" >>", "BT /Hel 9 Tf (Here) Tj ET")
	for what, damaged := range map[string][]byte{
		"no startxref":       bytes.ReplaceAll(in, []byte("startxref"), []byte("stortxref")),
		"wrong offsets":      bytes.Replace(in, []byte("%MARKED comment"), []byte("%"), 1),
		"no table":           in[:bytes.Index(in, []byte("xref\n0"))],
		"no trailer":         bytes.ReplaceAll(in, []byte("trailer"), []byte("troiler")),
		"garbage before":     append([]byte("From: somewhere\n\n"), in...),
		"a wrong length":     bytes.Replace(in, []byte("/Length 24"), []byte("/Length 7 "), 1),
		"a later revision":   append(slices.Clone(in), "\n4 0 obj\n<< /Length 24 >>\nstream\nBT /Hel 9 Tf (Here) Tj ET\nendstream\nendobj\nstartxref\n0\n%%EOF"...),
		"cut within the end": in[:len(in)-20],
	} {
		if out := scrub(t, damaged); !strings.Contains(plain(out), "(Here) Tj") {
			t.Errorf("%s: the text is lost: %q", what, plain(out))
		}
	}
}

// TestPictures has small pictures in every form that is cleaned, as XObjects and inline.
func TestPictures(t *testing.T) {
	photo := image.NewRGBA(image.Rect(0, 0, 200, 100))
	for i := range photo.Pix {
		photo.Pix[i] = byte(i * i / 7)
		if i%4 == 3 {
			photo.Pix[i] = 255
		}
	}
	var lossy bytes.Buffer
	jpeg.Encode(&lossy, photo, nil)
	withExif := slices.Concat(lossy.Bytes()[:2], []byte("\xff\xe1\x00\x10Exif\x00\x00MARKED\x00\x00\xff\xfe\x00\x08MARKED"), lossy.Bytes()[2:])
	soft := "/SMask 6 0 R"
	alpha := data("/Type /XObject /Subtype /Image /Width 2 /Height 2 /BitsPerComponent 8 /ColorSpace /DeviceGray", "\x00\x40\x80\xff")
	stencil := data("/Type /XObject /Subtype /Image /Width 8 /Height 2 /BitsPerComponent 1 /ImageMask true", "\x0f\xf0")
	for _, test := range []struct{ what, entries, data, more, want string }{
		{"JPEG", "/Width 200 /Height 100 /BitsPerComponent 8 /ColorSpace /DeviceRGB /Filter /DCTDecode", string(withExif), alpha, "/DCTDecode"},
		{"JPEG, inverted", "/Width 200 /Height 100 /BitsPerComponent 8 /ColorSpace /DeviceRGB /Filter /DCTDecode /Decode [1 0 1 0 1 0]", lossy.String(), alpha, "/DCTDecode"},
		{"gray", "/Width 2 /Height 2 /BitsPerComponent 8 /ColorSpace /DeviceGray", "\x00\x40\x80\xff", alpha, "/DeviceGray"},
		{"gray of 16 bits", "/Width 2 /Height 1 /BitsPerComponent 16 /ColorSpace /DeviceGray", "\x00\x40\x80\xff", alpha, "/DeviceGray"},
		{"gray of 2 bits", "/Width 4 /Height 1 /BitsPerComponent 2 /ColorSpace /CalGray", "\x1b", alpha, "/DeviceGray"},
		{"RGB with soft edges", soft + " /Width 2 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceRGB", "\xff\x00\x00\x00\xff\x00", alpha, "/SMask"},
		{"CMYK", "/Width 2 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceCMYK", "\xff\x00\x00\x00\x00\x00\x00\xff", alpha, "/DeviceRGB"},
		{"indexed", "/Width 4 /Height 1 /BitsPerComponent 2 /ColorSpace [/Indexed /DeviceRGB 2 (abcdefghi)]", "\x18", alpha, "/Indexed /DeviceRGB 2 (abcdefghi)"},
		{"with a stencil", "/Mask 6 0 R /Width 2 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray", "\x00\xff", stencil, "/ImageMask true"},
		{"with a transparent colour", "/Mask [0 0] /Width 2 /Height 1 /BitsPerComponent 8 /ColorSpace /DeviceGray", "\x00\xff", alpha, "/SMask"},
		{"stencil, inverted", "/ImageMask true /Decode [1 0] /Width 8 /Height 1", "\x0f", alpha, "/ImageMask true"},
		{"fax", "/Width 8 /Height 2 /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns 8 /Rows 2 >>", "\xff\x00\x10\x01", alpha, "/BitsPerComponent 1/ColorSpace /DeviceGray"},
	} {
		t.Run(test.what, func(t *testing.T) {
			out := scrub(t, page1("/Resources << /XObject << /MARKED 5 0 R >> >>", "q 100 0 0 50 0 0 cm /MARKED Do Q",
				data("/Type /XObject /Subtype /Image "+test.entries, test.data), test.more))
			if !strings.Contains(plain(out), test.want) {
				t.Errorf("%q is lost in %q", test.want, plain(out))
			}
			if where := survives(out, "MARKED"); where != "" {
				t.Errorf("survives: %q", where)
			}
			valid(t, out)
			if !strings.Contains(test.what, "JPEG") {
				again(t, out)
			}
		})
	}
	out := scrub(t, page1("", "q 9 0 0 9 0 0 cm BI /W 4 /H 2 /BPC 8 /CS /RGB /F /AHx ID "+strings.Repeat("ff00ff", 8)+"> EI Q 1 w"))
	if !strings.Contains(plain(out), "/X1 Do\nQ\n1 w\n") {
		t.Errorf("an inline picture: %q", plain(out))
	}
	again(t, out)
}

// TestSamples decodes pixels and compares them with what they are.
func TestSamples(t *testing.T) {
	for _, test := range []struct {
		what, entries, data string
		want                []color.RGBA
	}{
		{"gray", "/BitsPerComponent 8 /ColorSpace /DeviceGray", "\x00\x80", []color.RGBA{{0, 0, 0, 255}, {128, 128, 128, 255}}},
		{"gray, inverted", "/BitsPerComponent 8 /ColorSpace /DeviceGray /Decode [1 0]", "\x00\x80", []color.RGBA{{255, 255, 255, 255}, {127, 127, 127, 255}}},
		{"4 bits", "/BitsPerComponent 4 /ColorSpace /DeviceGray", "\x0f", []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}}},
		{"RGB", "/BitsPerComponent 8 /ColorSpace /DeviceRGB", "\x01\x02\x03\x04\x05\x06", []color.RGBA{{1, 2, 3, 255}, {4, 5, 6, 255}}},
		{"inks", "/BitsPerComponent 8 /ColorSpace /DeviceCMYK", "\xff\x00\x00\x00\x00\x00\x00\xff", []color.RGBA{{0, 255, 255, 255}, {0, 0, 0, 255}}},
		{"a palette of inks", "/BitsPerComponent 1 /ColorSpace [/Indexed /DeviceCMYK 1 <0000000000ff0000>]", "\x40", []color.RGBA{{255, 255, 255, 255}, {255, 0, 255, 255}}},
		{"a palette, inverted", "/BitsPerComponent 1 /ColorSpace [/Indexed /DeviceRGB 1 <010203040506>] /Decode [1 0]", "\x40", []color.RGBA{{4, 5, 6, 255}, {1, 2, 3, 255}}},
		{"an index beyond the palette", "/BitsPerComponent 8 /ColorSpace [/Indexed /DeviceRGB 0 <010203>]", "\x00\x09", []color.RGBA{{1, 2, 3, 255}, {1, 2, 3, 255}}},
		{"one bit", "/BitsPerComponent 1 /ColorSpace /DeviceGray", "\x40", []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}}},
		{"a stencil", "/ImageMask true", "\x40", []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}}},
		{"too few bytes", "/BitsPerComponent 8 /ColorSpace /DeviceGray", "\xff", []color.RGBA{{255, 255, 255, 255}, {0, 0, 0, 255}}},
	} {
		b := building(page1("", "", data("/Subtype /Image /Width 2 /Height 1 "+test.entries, test.data)))
		img := b.slot(b.f.object(5).(*stream), false).decodeSamples()
		for x, want := range test.want {
			if got := color.RGBAModel.Convert(img.At(x, 0)); got != want {
				t.Errorf("%s: %v, want %v", test.what, got, want)
			}
		}
	}
}

// TestProducers scrubs documents of several programs.
func TestProducers(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.pdf")
	if len(files) < 4 {
		t.Fatalf("only %d documents", len(files))
	}
	for _, file := range files {
		if file == "testdata/needs-password.pdf" {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			out := scrub(t, in)
			if where := survives(out, "MARKED"); where != "" {
				t.Errorf("survives: %q", where)
			}
			for _, program := range []string{"cairographics", "groff ", "reportlab", "afpl", "libreoffice 7", "dejavu", "liberation", "D:20"} {
				if where := survives(out, program); where != "" {
					t.Errorf("%s survives: %q", program, where)
				}
			}
			valid(t, out)
			again(t, out)
		})
	}
}

// TestSealed opens what is encrypted with an owner's password alone, in each of the ways there are: it
// becomes the same document as the one that was not encrypted.
func TestSealed(t *testing.T) {
	want := scrub(t, testdata(t, "ghostscript.pdf"))
	for _, file := range []string{"sealed-e40.pdf", "sealed-e128.pdf", "sealed-eaes.pdf", "sealed-e256.pdf"} {
		if got := scrub(t, testdata(t, file)); !bytes.Equal(got, want) {
			t.Errorf("%s: %q", file, plain(got))
		}
	}
	if _, err := open(testdata(t, "needs-password.pdf"), budget()); err == nil || err.Error() != protected {
		t.Errorf("a document that needs a password: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(marked(f))
	files, _ := filepath.Glob("testdata/*.pdf")
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(in)
	}
	for _, content := range []string{"BT /Hel 9 Tf (Hello) Tj ET", "q 1 0 0 1 0 0 cm BI /W 2 /H 1 /BPC 8 /CS /G ID ab EI Q", "/Pattern cs /P scn /S sh"} {
		f.Add(page1("/Resources << "+helvetica+" /Pattern << /P << /PatternType 2 /Shading 5 0 R >> >> /Shading << /S 5 0 R >> >>", content,
			"<< /ShadingType 2 /ColorSpace /DeviceRGB /Coords [0 0 1 1] /Function << /FunctionType 2 /Domain [0 1] /C0 [0 0 0] /C1 [1 1 1] /N 1 >> >>"))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := open(in, budget())
		if err != nil {
			if !errors.As(err, new(*mail.Refusal)) {
				t.Fatalf("%T %v", err, err)
			}
			return
		}
		out, _, err := d.encode(1)
		if err != nil {
			return
		}
		d, err = open(out, budget())
		if err != nil {
			t.Fatalf("what was scrubbed is refused: %v", err)
		}
		if _, _, err := d.encode(1); err != nil {
			t.Fatalf("what was scrubbed does not encode: %v", err)
		}
	})
}

// TestFax decodes what encodeFax writes: rows like the one above, unlike it, and runs of every length.
func TestFax(t *testing.T) {
	for _, size := range []image.Point{{1, 1}, {7, 3}, {64, 40}, {5300, 9}} {
		for seed := range uint32(6) {
			img := image.NewPaletted(image.Rectangle{Max: size}, color.Palette{color.Black, color.White})
			random := seed*2654435761 + 1
			run, value := 0, uint8(1)
			for i := range img.Pix {
				if run--; run < 0 {
					random = random*1664525 + 1013904223
					run = int(random>>8) % []int{1, 3, 20, 90, 3000, 9000}[seed]
					value = 1 - value
				}
				img.Pix[i] = value
				if above := i - img.Stride; above >= 0 && i/img.Stride%3 == 1 {
					img.Pix[i] = img.Pix[above]
				}
			}
			b := building(page1("", "", data(fmt.Sprintf("/Subtype /Image /Width %d /Height %d /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /CCITTFaxDecode /DecodeParms << /K -1 /Columns %d >>",
				size.X, size.Y, size.X), string(encodeFax(img)))))
			got := b.slot(b.f.object(5).(*stream), false).decodeSamples().(*image.Paletted)
			if !bytes.Equal(got.Pix, img.Pix) {
				t.Errorf("%v, runs of kind %d: differs", size, seed)
			}
		}
	}
}
