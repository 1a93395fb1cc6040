package scrub

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/pdf"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

func asJPEG(t *testing.T, img image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestLargestThatFits compares the size that is found with what trying all sizes, each by itself, finds.
func TestLargestThatFits(t *testing.T) {
	photo := func(w, h, seed int) []byte { return asJPEG(t, sample.Photo(w, h, seed, 6), jpeg.DefaultQuality) }
	first, second, inside := photo(1300, 900, 1), photo(700, 800, 2), photo(1000, 600, 3)
	document := sample.PDF("%PDF-1.4\n", "", "<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Contents 4 0 R /Resources << /XObject << /I 5 0 R >> >> >>", sample.Stream("", []byte("/I Do")),
		sample.Stream("/Type /XObject /Subtype /Image /Width 1000 /Height 600 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", inside))
	written := attach("Look.\r\n", "image/jpeg", first, "application/pdf", document, "text/plain", []byte("So.\n"), "image/jpeg", second)

	var sizes []int // of the whole mail at each step
	for step := range picture.Steps {
		m := mail.Message{Subject: "x", Body: "Look.\n", Attachments: []mail.Attachment{{}, {}, {Data: []byte("So.\n")}, {}}}
		for i, data := range map[int][]byte{0: first, 3: second} {
			p, err := picture.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if m.Attachments[i].Data, _, err = p.Encode(step); err != nil {
				t.Fatal(err)
			}
		}
		d, err := pdf.Open(document, pdf.NewBudget(picture.NewBudget(1<<30)))
		if err != nil {
			t.Fatal(err)
		}
		if m.Attachments[1].Data, _, err = d.Encode(step); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, m.Size())
	}
	if !slices.IsSortedFunc(sizes, func(a, b int) int { return b - a }) || sizes[0] == sizes[picture.Steps-1] {
		t.Fatalf("sizes %d", sizes)
	}
	for _, size := range sizes {
		for _, room := range []int{size, size + 1, size - 1} {
			want := 0
			for want < picture.Steps && sizes[want] > room {
				want++
			}
			r, err := Scrub(written, Options{Room: room})
			if want == picture.Steps {
				if err == nil {
					t.Errorf("%d bytes fit into %d", r.Message.Size(), room)
				}
				if want := fmt.Sprintf("The mail is %d kB too large, even with its pictures made small: it takes %d kB of %d.", kB(size-room), kB(size), room/1000); err != nil && !strings.HasPrefix(err.Error(), want) {
					t.Errorf("%v, want %s", err, want)
				}
				continue
			}
			if err != nil {
				t.Errorf("with room for %d: %v", room, err)
			} else if r.Message.Size() != sizes[want] {
				t.Errorf("with room for %d, %d bytes, want %d: sizes %d", room, r.Message.Size(), sizes[want], sizes)
			}
		}
	}
}

// TestOrdinaryMails takes what people send: it is within the bounds.
func TestOrdinaryMails(t *testing.T) {
	// Ten photographs of 12 megapixels.
	var files []any
	photograph := asJPEG(t, sample.Tiled(sample.Photo(1000, 750, 1, 12), 4), 60)
	for range 10 {
		files = append(files, "image/jpeg", photograph)
	}
	// Forty pages scanned at 200 dpi.
	scan := asJPEG(t, sample.Photo(1654, 2339, 9, 4), 40)
	objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [", "<< /ProcSet [/PDF] >>"}
	for i := range 40 {
		objects[1] += fmt.Sprintf("%d 0 R ", 4+3*i)
		objects = append(objects, fmt.Sprintf("<< /Type /Page /Parent 2 0 R /Contents %d 0 R /Resources << /XObject << /I %d 0 R >> >> >>", 5+3*i, 6+3*i), sample.Stream("", []byte("/I Do")),
			sample.Stream("/Type /XObject /Subtype /Image /Width 1654 /Height 2339 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", scan))
	}
	objects[1] += "] /Count 40 >>"
	// A hundred pages of text, its letters placed by the program that set it.
	text := []string{"<< /Type /Catalog /Pages 2 0 R >>", "<< /Type /Pages /Kids [", "<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>"}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		content := "BT /F 11 Tf 14 TL 72 760 Td\n"
		for range 45 {
			content += "["
			for range 12 + random.IntN(4) {
				content += "("
				for range 1 + random.IntN(8) {
					content += string("etaoinshrdlucmfwyp"[min(random.IntN(18), random.IntN(18))])
				}
				content += fmt.Sprintf(" )%d", random.IntN(30)-15)
			}
			content += "] TJ T*\n"
		}
		text[1] += fmt.Sprintf("%d 0 R ", 4+2*i)
		text = append(text, fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /Font << /F 3 0 R >> >> >>", 5+2*i),
			sample.Stream("/Filter /FlateDecode", sample.Deflated([]byte(content+"ET\n"))))
	}
	text[1] += "] /Count 100 >>"
	for name, written := range map[string][]byte{
		"ten photographs": attach("Look.\r\n", files...),
		"forty scans":     attach("Look.\r\n", "application/pdf", sample.PDF("%PDF-1.4\n", "", objects...)),
		"a hundred pages": attach("Look.\r\n", "application/pdf", sample.PDF("%PDF-1.4\n", "", text...)),
	} {
		if len(written) > MaxSubmission {
			t.Fatalf("%s: %d bytes", name, len(written))
		}
		s, start := &scrubber{room: room}, time.Now()
		if err := s.scrub(written); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %d bytes written, %d leave, %.1f s, %.1f s by its own account", name, len(written), s.Message.Size(), time.Since(start).Seconds(), float64(s.pictures.Spent())/1e9)
	}
}

// TestDocumentsShare has two documents that are within the bounds, each in a mail of its own.
func TestDocumentsShare(t *testing.T) {
	objects := []string{"<< /Type /Catalog /Pages 2 0 R >>", ""}
	kids := ""
	for i := range 2600 {
		kids += fmt.Sprintf("%d 0 R ", 3+i)
		objects = append(objects, "<< /Type /Page >>")
	}
	objects[1] = "<< /Type /Pages /Kids [" + kids + "] /Count 2600 >>"
	document := sample.PDF("%PDF-1.4\n", "", objects...)
	if _, err := Scrub(attach("Look.\r\n", "application/pdf", document), Options{Room: room}); err != nil {
		t.Errorf("one document: %v", err)
	}
	_, err := Scrub(attach("Look.\r\n", "application/pdf", document, "application/pdf", document), Options{Room: room})
	if want := "Attachment 2 (a PDF): The PDF holds more than can be cleaned here."; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("two documents: %v, want %s", err, want)
	}
}
