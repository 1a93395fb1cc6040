package bench

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"slices"
	"strings"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// photograph is the kind of mail whose scrubbing is compared with recoding its picture.
const photograph = "photograph"

// someMails makes a mail of each kind.
func someMails() (all []written, err error) {
	for _, k := range []struct {
		kind, media string
		make        func() ([]byte, error)
	}{
		{"text", "text/plain; charset=utf-8", func() ([]byte, error) { return prose(plain), nil }},
		{"HTML", "text/html; charset=utf-8", func() ([]byte, error) { return prose(hypertext), nil }},
		{photograph, "image/jpeg", func() ([]byte, error) { return asJPEG(sample.Tiled(sample.Photo(2000, 1500, 1, 12), 2), 92) }},
		{"screenshot", "image/png", func() ([]byte, error) { return asPNG(sample.Page(1920, 1080)) }},
		{"PDF", "application/pdf", document},
	} {
		data, err := k.make()
		if err != nil {
			return nil, err
		}
		w := written{kind: k.kind, mail: compose(k.media, data)}
		if k.kind == photograph {
			w.recode = func() error { return recode(data) }
		}
		all = append(all, w)
	}
	return all, nil
}

// compose writes a mail of one part, as a mail program submits it.
func compose(media string, data []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Someone <someone@home.example>\r\nTo: recipient@example.org\r\nSubject: What is measured\r\n"+
		"Date: Sat, 3 Jan 2026 10:11:12 +0100\r\nMIME-Version: 1.0\r\nContent-Type: %s\r\nContent-Transfer-Encoding: base64\r\n\r\n", media)
	text := base64.StdEncoding.EncodeToString(data)
	for line := range slices.Chunk([]byte(text), 76) {
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// markup is how a text is written: its paragraphs, those that are quoted, and links.
type markup struct{ begin, paragraph, quoted, link, end string }

var (
	plain     = markup{"", "%s\n\n", "> %s\n\n", "<%s>", ""}
	hypertext = markup{
		`<html><head><style>p { font-family: Calibri }</style></head><body lang="en">`,
		`<p class="MsoNormal"><span style="font-size:11.0pt">%s</span></p>`, "<blockquote><p>%s</p></blockquote>",
		`<a href="%s">there</a>`, "</body></html>",
	}
)

// prose is 200 kB of paragraphs, each fifth of them quoted, with a link in each.
func prose(m markup) []byte {
	rng := rand.New(rand.NewPCG(1, 1))
	words := strings.Fields("a and at because evening from garden he hope in is it letter not of often on road she some that the there they to was we when where window with without write")
	var b strings.Builder
	b.WriteString(m.begin)
	for n := 0; b.Len() < 200_000; n++ {
		var text []string
		for range 40 + rng.IntN(80) {
			text = append(text, words[rng.IntN(len(words))])
		}
		text = append(text, fmt.Sprintf(m.link, fmt.Sprintf("https://www.example.org/%s/%d?utm_source=mail", words[n%len(words)], n)))
		paragraph := m.paragraph
		if n%5 == 4 {
			paragraph = m.quoted
		}
		fmt.Fprintf(&b, paragraph, strings.Join(text, " "))
	}
	b.WriteString(m.end)
	return []byte(b.String())
}

// document is a PDF of twenty pages of text, with a picture on each fifth.
func document() ([]byte, error) {
	picture, err := asJPEG(sample.Photo(800, 600, 2, 6), 90)
	if err != nil {
		return nil, err
	}
	const pages, first = 20, 5 // objects: catalog, pages, font, picture, and two for each page
	stream := func(entries string, data []byte) string {
		return fmt.Sprintf("<< %s /Length %d >>\nstream\n%s\nendstream", entries, len(data), data)
	}
	var kids strings.Builder
	for n := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", first+2*n)
	}
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>", fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", kids.String(), pages),
		"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
		stream("/Type /XObject /Subtype /Image /Width 800 /Height 600 /ColorSpace /DeviceRGB /BitsPerComponent 8 /Filter /DCTDecode", picture),
	}
	lines := slices.Collect(slices.Chunk(prose(plain), 80))
	for n := range pages {
		var content bytes.Buffer
		content.WriteString("BT /F 11 Tf 14 TL 60 780 Td\n")
		for _, line := range lines[50*n : 50*n+50] {
			fmt.Fprintf(&content, "<%x> Tj T*\n", line)
		}
		content.WriteString("ET\n")
		if n%5 == 0 {
			content.WriteString("q 400 0 0 300 100 40 cm /P Do Q\n")
		}
		objects = append(objects,
			fmt.Sprintf("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources << /Font << /F 3 0 R >> /XObject << /P 4 0 R >> >> >>", first+2*n+1),
			stream("", content.Bytes()))
	}
	return sample.PDF("%PDF-1.4\n", "", objects...), nil
}

func asJPEG(img image.Image, quality int) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality})
	return b.Bytes(), err
}

func asPNG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, img)
	return b.Bytes(), err
}

// recode decodes a JPEG and encodes its pixels as the scrubber does.
func recode(data []byte) error {
	img, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	_, err = asJPEG(img, picture.Quality)
	return err
}
