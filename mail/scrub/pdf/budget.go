package pdf

import (
	"compress/zlib"

	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// Bounds on all documents of one mail together, from which their memory follows: an object takes some
// tens of bytes where it is parsed and where it is written. What has more than maxOutput does not fit into a
// mail, which carries about a megabyte.
const (
	maxParsed   = 2 << 20  // objects parsed or copied, those within arrays and dictionaries too
	maxDecoded  = 32 << 20 // bytes that streams, other than pictures, decode to, and of colour spaces wherever they are used
	maxGlyphs   = 2 << 20  // of all fonts, in programs and maps
	maxPages    = 5000
	maxWritten  = 30_000  // objects of the new documents
	maxOutput   = 2 << 20 // bytes of streams that are not pictures, compressed
	maxPacked   = 1 << 20 // bytes that are compressed as small as it gets
	maxMarks    = 20_000  // annotations
	maxPictures = 2000    // icons and the glyphs of bitmap fonts may be more
)

// What things cost at most, in nanoseconds on a core of about 3 GHz, of what [picture.Budget] has of
// them: what the worst that is known of each kind takes (HeavyPDFs of package sample), rounded up.
const (
	costByte     = 3    // a byte that comes out of a filter, or is looked at
	costObject   = 100  // an object that is parsed
	costElement  = 60   // an element of an array, whenever the array is looked at
	costEntry    = 500  // an entry of a cross-reference table, a node of the page tree, or an object that is searched for
	costSealed   = 3000 // a string that is decrypted
	costWritten  = 5000 // an object that is written, each time
	costStream   = 8e3  // a stream that is opened, and
	costFilter   = 24e3 // each of its filters
	costPicture  = 5e4  // a picture, however small
	costContent  = 90   // a byte of content, of a map of characters or of a font in PostScript
	costMapped   = 1000 // a character of a map, or a glyph
	costName     = 200  // a byte of a glyph's name that is in no list
	costPixel    = 8    // a pixel of a picture that is decoded here,
	costSample   = 6    // a sample of it that is in no JPEG,
	costJPEG     = 24   // a sample of it in a JPEG,
	costCoded    = 50   // and a byte of the JPEG
	costRow      = 200  // a row of samples, or of a predictor,
	costBits     = 12   // and a sample of less than a byte that is added to the one before
	costFax      = 20   // a pixel of a fax, decoded or encoded
	costReset    = 2e4  // a stream that is compressed,
	costPacked   = 4000 // a byte of one that is compressed as small as it gets,
	costFrom     = 20   // a byte of another,
	costTo       = 2000 // and one that comes of it
	costLossless = 12   // a byte of a picture that stays as it is, not compressed,
	costOf       = 900  // and one that comes of it
)

// Budget is what is left of the bounds on all documents of one mail.
type Budget struct {
	mail                                                                     *picture.Budget
	parsed, decoded, glyphs, pages, written, output, packed, marks, pictures int
	// The writers that compress, each of which has a megabyte of tables.
	slow, quick *zlib.Writer
}

// NewBudget is that of a mail whose pictures, those in its documents among them, have
// a budget.
func NewBudget(pictures *picture.Budget) *Budget {
	slow, _ := zlib.NewWriterLevel(nil, zlib.BestCompression) // the level is known
	return &Budget{mail: pictures, parsed: maxParsed, decoded: maxDecoded, glyphs: maxGlyphs, pages: maxPages, written: maxWritten,
		output: maxOutput, packed: maxPacked, marks: maxMarks, pictures: maxPictures, slow: slow, quick: zlib.NewWriter(nil)}
}

// take takes n of what is left, and refuses the document if there is less.
func take(left *int, n int) {
	if *left -= n; *left < 0 {
		refuse(tooMuch)
	}
}

// takeGlyphs takes n glyphs, or characters of a map.
func (b *Budget) takeGlyphs(n int) {
	take(&b.glyphs, n)
	b.spend(costMapped * n)
}

// takeCopy takes what a part of an object holds that stands in each place where it is used.
func (b *Budget) takeCopy(o any) {
	switch o := o.(type) {
	case text:
		take(&b.decoded, len(o))
	case array:
		take(&b.decoded, 8*len(o))
		for _, e := range o {
			b.takeCopy(e)
		}
	}
}

// spend takes nanoseconds.
func (b *Budget) spend(n int) {
	if !b.mail.Spend(n) {
		refuse(tooMuch)
	}
}

// deflated compresses the data of a stream. There are data for which the best compression takes a thousand
// times as long as for others, so only so much is compressed by it.
func (b *Budget) deflated(d dict, data []byte) *outStream {
	z := b.quick
	b.spend(costReset)
	if len(data) <= b.packed {
		b.packed -= len(data)
		b.spend(costPacked * len(data))
		z = b.slow
	} else {
		b.spend(costFrom * len(data))
	}
	out := picture.UpTo{Left: b.output}
	z.Reset(&out)
	_, err := z.Write(data)
	err2 := z.Close()
	if z == b.quick {
		b.spend(costTo * len(out.Bytes()))
	}
	if err != nil || err2 != nil {
		refuse(tooMuch)
	}
	s := streamed(d, out.Bytes())
	take(&b.output, s.size)
	return s
}
