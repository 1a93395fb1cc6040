package mixkeys

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestRanges(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var r ranges
		model := map[uint64]bool{}
		for range 60 {
			epoch := rng.Uint64N(80)
			if added := r.add(epoch); added == model[epoch] {
				t.Fatalf("adding %d to %d: %v", epoch, r, added)
			}
			model[epoch] = true
			for i := range r {
				if r[i][0] > r[i][1] || i > 0 && r[i][0] <= r[i-1][1]+1 {
					t.Fatalf("ranges %d", r)
				}
			}
		}
		for epoch := range uint64(82) {
			if r.has(epoch) != model[epoch] {
				t.Fatalf("%d in %d: %v", epoch, r, r.has(epoch))
			}
		}
	}
	if (ranges{}).has(0) {
		t.Error("no range has an epoch")
	}
}

func TestRangesAreBounded(t *testing.T) {
	var r ranges
	for i := range uint64(1000) {
		r.add(3 * i)
	}
	if len(r) != maxRanges || !r.has(2997) || r.has(0) {
		t.Errorf("%d ranges, %d to %d", len(r), r[0], r[len(r)-1])
	}
	for epoch := range uint64(4) { // the clock went back
		r.add(epoch)
	}
	if len(r) != maxRanges || r[0] != [2]uint64{0, 3} || !r.has(2997) {
		t.Errorf("%d ranges, %d to %d", len(r), r[0], r[len(r)-1])
	}
}

// FuzzParseMade reads any note.
func FuzzParseMade(f *testing.F) {
	f.Add([]byte(madeComment + "version = 1\nmade = [[10, 13], [20, 9223372036854775807]]\n"))
	f.Add([]byte("version = 1\nmade = [[1, 2, 3], [-1]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		made, err := parseMade(data)
		if err != nil {
			return
		}
		text, err := toml.Marshal(madeFile{madeVersion, made})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseMade(text)
		if err != nil || !slices.Equal(again, made) {
			t.Errorf("%d is written as %d, %v", made, again, err)
		}
		for _, x := range made {
			if !made.has(x[0]) || !made.has(x[1]) || made.has(x[1]+1) {
				t.Errorf("%d does not have its own %d", made, x)
			}
			if made.add(x[0]) {
				t.Errorf("%d is added to %d", x[0], made)
			}
		}
	})
}
