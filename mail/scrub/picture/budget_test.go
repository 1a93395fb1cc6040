package picture

import (
	"bytes"
	"errors"
	"image"
	"math"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail"
)

// TestSized compares pictures that are kept with such that are let go: they are the same at every step
// at which the mail can fit.
func TestSized(t *testing.T) {
	for name, data := range map[string][]byte{
		"photograph": asJPEG(t, sample.Photo(900, 700, 1, 9), 90),
		"screenshot": asPNG(t, sample.Page(640, 480)),
		"small":      asJPEG(t, sample.Photo(200, 100, 1, 9), 90), // the same at every step
	} {
		p, err := Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		all, room := NewBudget(math.MaxInt), 40_000
		some := NewBudget(room)
		some.held = 0
		for _, b := range []*Budget{all, some} {
			s, err := b.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if (s.picture == nil) != (b == some) {
				t.Errorf("%s: kept %t", name, s.picture != nil)
			}
			for step := range Steps {
				want, media, err := p.Encode(step)
				if err != nil {
					t.Fatal(err)
				}
				got, gotMedia, size, err := s.At(step)
				if err != nil {
					t.Fatal(err)
				}
				if b == some && len(want) > room {
					if got != nil || step < Steps-1 && b.First() <= step {
						t.Errorf("%s at step %d, too large by %d: %d bytes", name, step, len(want)-room, len(got))
					}
				} else if !bytes.Equal(got, want) || gotMedia != media || size != len(want) {
					t.Errorf("%s at step %d: %s of %d bytes, want %s of %d", name, step, gotMedia, size, media, len(want))
				}
			}
		}
	}
}

// TestBudget takes pictures until nothing is left.
func TestBudget(t *testing.T) {
	data := asJPEG(t, sample.Photo(300, 200, 1, 9), 90)
	b := NewBudget(1 << 20)
	b.work = 20 * 300 * 200 * (costSample + costScaledFrom + costScaledTo + costJPEG)
	taken := 0
	for ; ; taken++ {
		s, err := b.Decode(data)
		if err == nil {
			_, _, _, err = s.At(0)
		}
		if err != nil {
			if r, ok := errors.AsType[*mail.Refusal](err); !ok || !r.TooLarge {
				t.Errorf("%v", err)
			}
			break
		}
	}
	if taken < 5 || taken > 40 {
		t.Errorf("%d pictures were taken", taken)
	}
	if b = NewBudget(10); !b.Fill(10) || b.Fill(1) || b.First() != Steps-1 || b.Left() != 0 {
		t.Errorf("%+v", b)
	}
	if b = NewBudget(10); !b.Draw(MailPixels) || b.Draw(1) {
		t.Errorf("%+v", b)
	}
}

// TestAgain takes pictures without loss as Decode takes their PNGs.
func TestAgain(t *testing.T) {
	for name, img := range map[string]image.Image{
		"on the ladder":     sample.Page(longestAt(3), 300),
		"beside it":         sample.Page(longestAt(3)-1, 300),
		"a photograph":      sample.Photo(longestAt(5), 300, 1, 9),
		"gray":              toGray(sample.Page(longestAt(3), 300)),
		"gray photograph":   toGray(sample.Photo(longestAt(5), 300, 1, 9)),
		"with a palette":    (&raster{width: longestAt(4), height: 2, planes: [][]byte{make([]byte, 2*longestAt(4)), bytes.Repeat([]byte{9}, 2*longestAt(4)), make([]byte, 2*longestAt(4))}}).fewColors(),
		"of another origin": sample.Page(700, 300),
	} {
		want, err := Decode(asPNG(t, img))
		if err != nil {
			t.Fatal(err)
		}
		got, err := unbounded().again(img)
		if err != nil {
			t.Fatal(err)
		}
		if got.lossy != want.lossy || got.removed != want.removed || got.pixels.width != want.pixels.width {
			t.Errorf("%s: %v, %v, want %v, %v", name, got.removed, got.pixels.width, want.removed, want.pixels.width)
		}
		for i, plane := range got.pixels.planes {
			if !bytes.Equal(plane, want.pixels.planes[i]) {
				t.Errorf("%s: plane %d differs", name, i)
			}
		}
	}
}
