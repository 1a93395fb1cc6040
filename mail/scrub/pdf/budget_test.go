package pdf

import (
	"errors"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// drawsOnAll is a document that takes of every bound.
func drawsOnAll() []byte {
	return document("", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Kids [3 0 R] >>",
		"<< /Type /Page /Contents 4 0 R /Resources << /Font << /F 5 0 R >> /XObject << /I 7 0 R >> >> /Annots [<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] >>] >>",
		data("", "BT /F 9 Tf (a) Tj ET /I Do"), "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode 6 0 R >>",
		data("", "1 beginbfchar <61> <0062> endbfchar"),
		data("/Type /XObject /Subtype /Image /Width 100 /Height 80 /ColorSpace /DeviceGray /BitsPerComponent 8", strings.Repeat("a photograph", 8000/12+1)))
}

// TestBudget gives a document exactly what it takes of each bound, and one less; then two documents of
// one mail, which share it.
func TestBudget(t *testing.T) {
	in := drawsOnAll()
	rebuild := func(left *Budget) error {
		d, err := open(in, left)
		if err == nil {
			_, _, err = d.encode(0)
		}
		return err
	}
	full, left := budget(), budget()
	if err := rebuild(left); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		field   func(*Budget) *int
		refusal string
	}{
		"objects parsed":  {func(b *Budget) *int { return &b.parsed }, tooMuch},
		"bytes decoded":   {func(b *Budget) *int { return &b.decoded }, tooMuch},
		"glyphs":          {func(b *Budget) *int { return &b.glyphs }, tooMuch},
		"pages":           {func(b *Budget) *int { return &b.pages }, tooMuch},
		"objects written": {func(b *Budget) *int { return &b.written }, tooMuch},
		"bytes written":   {func(b *Budget) *int { return &b.output }, tooMuch},
		"marks":           {func(b *Budget) *int { return &b.marks }, tooMuch},
		"pictures":        {func(b *Budget) *int { return &b.pictures }, manyScans},
	} {
		takes := *test.field(full) - *test.field(left)
		if takes <= 0 {
			t.Errorf("%s: the document takes %d", name, takes)
		}
		for documents := 1; documents <= 2; documents++ {
			for short := range 2 {
				b := budget()
				*test.field(b) = documents*takes - short
				var err error
				for i := range documents {
					if err != nil {
						t.Errorf("%s: document %d of %d: %v", name, i, documents, err)
					}
					err = rebuild(b)
				}
				if short == 0 && err != nil || short == 1 && (err == nil || err.Error() != test.refusal) {
					t.Errorf("%s: %d documents with %d too few: %v", name, documents, short, err)
				}
			}
		}
	}
}

// TestBudgetOfPictures has documents draw on the pixels and the work that their mail's pictures have.
func TestBudgetOfPictures(t *testing.T) {
	in := drawsOnAll()
	for _, test := range []struct {
		pixels int // what the mail's pictures leave
		want   string
	}{{100 * 80, ""}, {100*80 - 1, manyScans}} {
		left := budget()
		left.mail.Draw(picture.MailPixels - test.pixels)
		if _, err := open(in, left); test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("with %d pixels: %v", test.pixels, err)
		}
	}
	left := budget()
	if _, err := open(in, left); err != nil {
		t.Fatal(err)
	}
	once := left.mail.Spent()
	if _, err := open(in, left); err != nil || left.mail.Spent() != 2*once || once == 0 {
		t.Errorf("two documents take %d, one %d: %v", left.mail.Spent(), once, err)
	}
	for left.mail.Spend(1e9) {
	}
	_, err := open(in, left)
	if r, ok := errors.AsType[*mail.Refusal](err); !ok || r.Reason != tooMuch {
		t.Errorf("without time: %v", err)
	}
}

// TestPacked compresses as small as it gets only so much, and the rest less: what it means is the same.
func TestPacked(t *testing.T) {
	content := strings.Repeat("1 0 0 1 2 3 cm 4 5 6 7 re f 0 0 1 rg\n", 100)
	in := page1("", content)
	var sizes []int
	for _, packed := range []int{maxPacked, 0} {
		left := budget()
		left.packed = packed
		d, err := open(in, left)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := d.encode(0)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plain(out), "4 5 6 7 re") {
			t.Errorf("%d bytes packed: the content is gone", packed)
		}
		sizes = append(sizes, maxPacked-left.packed)
	}
	if sizes[0] < len(content) || sizes[1] != maxPacked {
		t.Errorf("of %d bytes, %d were packed, and %d of none", len(content), sizes[0], sizes[1])
	}
}
