package pdf

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// document is a PDF of the objects from number 1 on, with a mark in its first lines.
func document(trailer string, objects ...string) []byte {
	return sample.PDF("%PDF-1.4\n%MARKED comment\n", trailer, objects...)
}

// data is a stream object.
func data(entries, data string) string {
	return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", entries, len(data), data)
}

// page1 is a document of one page with the entries, the content, and more objects from number 5 on.
func page1(entries, content string, more ...string) []byte {
	return document("", append([]string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R " + entries + " >>", data("", content)}, more...)...)
}

const helvetica = "/Font << /Hel << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >>"

// budget is that of a mail with room for any document.
func budget() *Budget { return NewBudget(picture.NewBudget(1 << 30)) }

// building begins to build a document.
func building(in []byte) *builder {
	left := budget()
	return &builder{f: openFile(in, left), left: left}
}

func scrub(t *testing.T, in []byte) []byte {
	t.Helper()
	d, err := open(in, budget())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	out, _, err := d.encode(0)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return out
}

// again checks that scrubbing what was scrubbed changes no byte.
func again(t *testing.T, out []byte) {
	t.Helper()
	if second := scrub(t, out); !bytes.Equal(out, second) {
		t.Errorf("scrubbed twice, it differs:\n%.1500q\n%.1500q", plain(out), plain(second))
	}
}

var streamStart = regexp.MustCompile(`stream\r?\n`)

// plain returns a PDF with everything that can be decompressed after it, found
// without this package's reader.
func plain(pdf []byte) string {
	var b strings.Builder
	b.Write(pdf)
	for _, at := range streamStart.FindAllIndex(pdf, -1) {
		if z, err := zlib.NewReader(bytes.NewReader(pdf[at[1]:])); err == nil {
			b.WriteByte('\n')
			io.Copy(&b, z)
		}
	}
	return b.String()
}

// survives returns where a mark is found in a PDF: as it is, in UTF-16 or in hexadecimal.
func survives(pdf []byte, mark string) string {
	all := strings.ToLower(plain(pdf))
	var wide []byte
	for _, u := range utf16.Encode([]rune(strings.ToLower(mark))) {
		wide = append(wide, byte(u>>8), byte(u))
	}
	for _, form := range []string{strings.ToLower(mark), string(wide), fmt.Sprintf("%x", mark), fmt.Sprintf("%x", wide)} {
		if i := strings.Index(all, form); i >= 0 {
			return all[max(0, i-60):min(len(all), i+60)]
		}
	}
	return ""
}

func testdata(t testing.TB, file string) []byte {
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
