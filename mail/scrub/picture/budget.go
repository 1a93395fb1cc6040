package picture

import (
	"image"
	"math"
)

// Bounds on all that is attached to one mail.
const (
	// MailPixels is how many pixels its pictures may have together, those in its documents too.
	MailPixels = 250e6
	// mailWork is how long they and its documents may take, in nanoseconds of a core as the costs below
	// count them. What is not counted, as it is bounded by the mail's size, takes less than half as long; twice
	// both is within half a minute.
	mailWork = 14e9
	// mailHeld is how many bytes of decoded pictures are kept: ten at the size of step 0.
	mailHeld = 64 << 20
)

// What things cost at most, in nanoseconds on a core of about 3 GHz: what the worst that is known of each
// kind takes (HeavyPictures of package sample), rounded up. TestWorst of package scrub looks for mails that
// take longer than they say.
const (
	costSample     = 11  // a sample of a JPEG that is decoded,
	costPass       = 1   // each further pass over it,
	costCoded      = 50  // and a byte of it
	costConverted  = 20  // a pixel of a JPEG whose colours are changed
	costPixel      = 5   // a pixel of another picture that is decoded,
	costUnpacked   = 8   // a byte that it takes then,
	costPacked     = 20  // and a byte of it
	costWebP       = 100 // a pixel of a WebP without loss or with transparency,
	costWebPGroup  = 4e5 // and each group of codes that it can have
	costWebPLossy  = 60  // a pixel of another WebP
	costScaledFrom = 2   // a sample that is read to be scaled,
	costScaledTo   = 4   // one that comes of it,
	costLine       = 250 // and a row or column of either
	costJPEG       = 15  // a pixel that is encoded, in whole units of 16,
	costJPEGByte   = 50  // and a byte that comes of it
	costStart      = 3e5 // a picture that is encoded without loss,
	costPNG        = 60  // a pixel of it,
	costPNGByte    = 400 // and a byte that comes of it, for which repetitions were looked for
)

// Budget is what is left of what may be spent on all that is attached to one mail. It knows
// which sizes of its pictures can still be of use.
type Budget struct {
	pixels int        // that may still be decoded
	work   int        // that may still be done
	held   int        // bytes of decoded pictures that may still be kept
	most   int        // bytes of the mail's attachments
	room   [Steps]int // what is left of them at each step, below 0 if that is too little
}

// NewBudget is that of a mail whose attachments have room bytes.
func NewBudget(room int) *Budget {
	b := &Budget{pixels: MailPixels, work: mailWork, held: mailHeld, most: room}
	for step := range b.room {
		b.room[step] = room
	}
	return b
}

// unbounded is the budget of one picture.
func unbounded() *Budget { return &Budget{pixels: math.MaxInt, work: math.MaxInt} }

// Draw takes so many pixels, and reports whether there were as many.
func (b *Budget) Draw(pixels int) bool {
	b.pixels -= pixels
	return b.pixels >= 0
}

// Spend takes so many nanoseconds of work, and reports whether there were as many.
func (b *Budget) Spend(work int) bool {
	b.work -= work
	return b.work >= 0
}

// Spent is how many nanoseconds were taken.
func (b *Budget) Spent() int { return mailWork - b.work }

// Fill takes n bytes that something has in the mail whatever the step, and reports whether the mail
// can still fit.
func (b *Budget) Fill(n int) bool {
	for step := range b.room {
		b.room[step] -= n
	}
	return b.Fits()
}

// Fits reports whether the mail can still fit at the last step.
func (b *Budget) Fits() bool { return b.room[Steps-1] >= 0 }

// Left is how many bytes it has left there.
func (b *Budget) Left() int { return max(b.room[Steps-1], 0) }

// Room is how many bytes the mail's attachments have in all.
func (b *Budget) Room() int { return b.most }

// First is the first step at which the mail can still fit, or the last step.
func (b *Budget) First() int {
	step := 0
	for step < Steps-1 && b.room[step] < 0 {
		step++
	}
	return step
}

// Sized is a picture at every step at which its mail can fit.
type Sized struct {
	budget  *Budget
	picture *Picture // nil if it has been let go
	made    [Steps]*encoded
	removed []string
}

// Decode is the function Decode for a picture of a mail.
func (b *Budget) Decode(data []byte) (*Sized, error) { return b.size(b.decode(data)) }

// FromImage is the function FromImage for a picture of a mail.
func (b *Budget) FromImage(img image.Image, lossy bool) (*Sized, error) {
	return b.size(b.fromImage(img, lossy))
}

// Again takes a picture without loss that this package may have written before: as with Decode, that
// stays as it is.
func (b *Budget) Again(img image.Image) (*Sized, error) { return b.size(b.again(img)) }

// size takes a picture that was decoded. While there is room for it, it is kept and
// encoded when a step is asked for. Otherwise it is encoded at once at every step at which the
// mail can still fit: to decode it again later would take longer, and as no more is kept than
// fits into the mail at each step, that is little.
func (b *Budget) size(p *Picture, err error) (*Sized, error) {
	if err != nil {
		return nil, err
	}
	s := &Sized{budget: b, picture: p, removed: p.Removed()}
	if n := p.pixels.bytes(); n <= b.held {
		b.held -= n
		return s, nil
	}
	// From the last step on, which has the most room, for a small picture is the same at many.
	first := b.First()
	for step := Steps - 1; step >= first; step-- {
		var e encoded
		if step < Steps-1 && p.whole(step+1) {
			e = *s.made[step+1]
		} else if e, err = p.encode(b, step, room(step, b.room[step])); err != nil {
			return nil, err
		}
		if b.room[step] -= e.size; b.room[step] < 0 {
			e.data = nil
		}
		s.made[step] = &e
	}
	s.picture = nil
	return s, nil
}

// room is how large a picture can be to be of use at a step. At the last it can be of any size, to
// say by how much the mail is too large.
func room(step, left int) int {
	if step == Steps-1 {
		return math.MaxInt
	}
	return left
}

// At returns the picture at a step, and how many bytes it has. There is no data of one that is too
// large for the mail, and no size of one at a step before [Budget.First].
func (s *Sized) At(step int) (data []byte, mediaType string, size int, err error) {
	e := s.made[step]
	if e == nil && s.picture != nil {
		made, err := s.picture.encode(s.budget, step, room(step, s.budget.most))
		if err != nil {
			return nil, "", 0, err
		}
		e = &made
		for other := range s.made {
			if other != step && s.picture.whole(other) && s.picture.whole(step) {
				s.made[other] = e // the same
			}
		}
	}
	if e == nil {
		return nil, "", 0, nil
	}
	return e.data, e.media, e.size, nil
}

// Removed names what the picture lost, as [Picture.Removed] does.
func (s *Sized) Removed() []string { return s.removed }
