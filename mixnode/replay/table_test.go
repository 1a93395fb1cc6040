package replay

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	table, model := newTable(0), map[uint64]bool{}
	for range 60_000 {
		// In even segments the rests are spread, in odd ones all look for the same place.
		segment, rest := rng.Uint64N(20), 1+rng.Uint64N(1500)
		if segment%2 == 0 {
			rest *= math.MaxUint32 / 1500
		}
		fp := segment<<32 | rest
		if fresh := table.add(fp); fresh == model[fp] {
			t.Fatalf("adding %#x: fresh is %v", fp, fresh)
		}
		model[fp] = true
	}
	for fp := range model {
		if table.add(fp) {
			t.Fatalf("%#x is forgotten", fp)
		}
	}
	if !table.add(500<<32) || table.add(500<<32) || table.add(500<<32+1) {
		t.Error("the rests 0 and 1 are not kept as one")
	}
	if !table.add(1<<48 - 1) {
		t.Error("the last fingerprint is not new")
	}
}

// A set that is hardly used takes little memory, and no more than it says.
func TestFewTakeLittle(t *testing.T) {
	before := heap()
	table := newTable(0)
	for n := range uint64(few - 1) {
		table.add(n << 20)
		if n%1000 != 0 {
			continue
		}
		if used, says := heap()-before, float64(table.memory()); used > says+10_000 {
			t.Errorf("%d tags say that they take %.0f bytes, and take %.0f", n+1, says, used)
		}
	}
	if says := table.memory(); says > 320_000 {
		t.Errorf("%d tags take %d bytes", few-1, says)
	}
}

// Work is counted and not timed: the slots looked at for a fresh tag, those of a growing segment
// included, however many tags there are.
func TestCostStaysFlat(t *testing.T) {
	const total, tenth = 10_000_000, 1_000_000
	rng := rand.New(rand.NewPCG(2, 2))
	table := newTable(0)
	for n := tenth; n <= total; n += tenth {
		before, most := table.work, uint64(0)
		for range tenth {
			work := table.work
			table.add(rng.Uint64() >> 16)
			most = max(most, table.work-work)
		}
		average := float64(table.work-before) / float64(tenth)
		t.Logf("up to %8d tags: %.1f slots a tag, at most %d", n, average, most)
		if average > 40 || most > 10_000 {
			t.Errorf("up to %d tags: %.1f slots a tag, want at most 40; at most %d, want at most 10000", n, average, most)
		}
	}
	var used, slots int
	for _, s := range table.segments {
		used += s.used
		slots += len(s.slots)
	}
	bytes := 4 * float64(slots) / float64(used)
	t.Logf("%.2f bytes a tag in memory, and %.1f MB", bytes, 32*segments/1e6)
	if bytes > 6.3 {
		t.Errorf("%.2f bytes a tag in memory, want at most 6.3", bytes)
	}
}

// blockedBloom is a Bloom filter whose bits for a tag lie in one cache line (Putze, Sanders and
// Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
type blockedBloom [][8]uint64

// add sets the 7 bits of a tag and reports whether one was not set.
func (b blockedBloom) add(fp uint64) bool {
	block := &b[fp>>32*uint64(len(b))>>16]
	x, fresh := fp*0x9e3779b97f4a7c15, false
	for range 7 {
		word, bit := &block[x>>61], uint64(1)<<(x>>55&63)
		fresh = fresh || *word&bit == 0
		*word |= bit
		x *= 0xd1342543de82ef95
	}
	return fresh
}

// BenchmarkBloom times fresh tags in a set of ten million, alone and behind a filter of 10 bits a
// tag, 1 % of false positives. The set must take every fresh tag in either case.
func BenchmarkBloom(b *testing.B) {
	const tags = 10_000_000
	fill := func() (*rand.Rand, *table, blockedBloom) {
		rng := rand.New(rand.NewPCG(3, 3))
		set, filter := newTable(tags*11/10), make(blockedBloom, tags*10/512)
		for range tags {
			fp := rng.Uint64() >> 16
			filter.add(fp)
			set.add(fp)
		}
		return rng, set, filter
	}
	rng, set, filter := fill()
	b.Run("set", func(b *testing.B) {
		bench(b, func() { set.add(rng.Uint64() >> 16) })
	})
	rng, set, filter = fill()
	b.Run("filter and set", func(b *testing.B) {
		bench(b, func() {
			fp := rng.Uint64() >> 16
			filter.add(fp)
			set.add(fp)
		})
	})
	b.Run("filter", func(b *testing.B) {
		bench(b, func() { filter.add(rng.Uint64() >> 16) })
	})
}
