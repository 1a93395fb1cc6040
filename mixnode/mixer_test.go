package mixnode

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mixnode/replay"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// bench is a mixer with frames to put into it.
type bench struct {
	*mixer
	counts *counts
	frames *link.Frames
}

var there = sphinx.NodeID{1}

func newBench(t *testing.T, capacity int) *bench {
	t.Helper()
	g, err := sphinx.NewGeometry("x25519", 5, 100)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{counts: new(counts), frames: link.NewFrames(g)}
	b.mixer = newMixer(capacity, time.Hour, rand.New(rand.NewPCG(rand.Uint64(), 1)), time.Now, b.counts)
	b.serve(map[sphinx.NodeID]peer{there: {}})
	return b
}

// packet makes a packet that is due at a time, by whose delay it can be told.
func (b *bench) packet(t *testing.T, due time.Time) *packet {
	t.Helper()
	f, err := b.frames.Make(link.Command{Kind: link.KindNoOp})
	if err != nil {
		t.Fatal(err)
	}
	return &packet{frame: f, next: there, due: due}
}

// Packets leave when their time has come, each once.
func TestMixerDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, 100)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.run(ctx, func() error { return nil }) }()
		defer func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		start := time.Now()
		for _, delay := range []time.Duration{7 * time.Second, time.Second, 3 * time.Second, -time.Second} {
			b.add(b.packet(t, start.Add(delay)))
		}
		for _, want := range []time.Duration{0, time.Second, 3 * time.Second, 7 * time.Second} {
			<-b.more(there)
			list := b.take(there, nil, 10)
			if got := time.Since(start); len(list) != 1 || got != want {
				t.Errorf("%d packets after %v, want one after %v", len(list), got, want)
			}
			for _, p := range list {
				drop(p)
			}
		}
		if held, ready := b.load(); held != 0 || ready != 0 {
			t.Errorf("%d packets are held and %d ready when all have left", held, ready)
		}
	})
}

// A packet waits for its tag to be on disk, however short its delay; and it never
// leaves if the tag cannot be written.
func TestMixerWaitsForTags(t *testing.T) {
	b := newBench(t, 100)
	tags, err := replay.Create(filepath.Join(t.TempDir(), "tags"), b.poke)
	if err != nil {
		t.Fatal(err)
	}
	key := &epochKey{tags: tags}
	ticket, fresh := tags.Add(&[32]byte{1})
	if !fresh {
		t.Fatal("a new tag was seen before")
	}
	p := b.packet(t, time.Now().Add(-time.Second))
	p.key, p.ticket = key, ticket
	b.add(p)
	if b.move(); tags.Durable() < ticket && len(b.take(there, nil, 1)) > 0 {
		t.Error("a packet was ready before its tag was on disk")
	}
	for tags.Durable() < ticket {
		<-b.poke
	}
	b.move()
	if list := b.take(there, nil, 1); len(list) != 1 || list[0].key != nil {
		t.Error("a packet was not ready when its tag was on disk, or keeps all tags of its epoch in memory")
	}

	p = b.packet(t, time.Now().Add(-time.Second))
	if err := tags.Close(); err != nil {
		t.Fatal(err)
	}
	p.key, p.ticket = key, ticket+1 // which nobody will bring to disk any more
	b.add(p)
	b.move()
	if list := b.take(there, nil, 1); len(list) != 0 || b.counts.unsynced.Load() != 1 {
		t.Errorf("%d packets without a tag on disk left, %d were counted", len(list), b.counts.unsynced.Load())
	}
	if held, _ := b.load(); held != 0 {
		t.Errorf("%d packets are held", held)
	}
	if !errors.Is(tags.Err(), fs.ErrClosed) {
		t.Errorf("the tags' error is %v", tags.Err())
	}
}

// A full mixer sheds at random: whether a packet waits for its time, for its tag
// or for its neighbour, and whether it is the newest or the oldest, its chance is
// the same.
func TestMixerShedsAtRandom(t *testing.T) {
	const capacity, rounds = 20, 6000
	kinds := map[string]int{}
	names := []string{"oldest waiting", "waiting", "ready", "new"}
	for range rounds {
		b := newBench(t, capacity)
		is := map[*packet]string{}
		for i := range capacity {
			kind, due := "waiting", time.Now().Add(time.Hour)
			if i == 0 {
				kind = "oldest waiting"
			} else if i%2 == 1 {
				kind, due = "ready", time.Now().Add(-time.Second)
			}
			p := b.packet(t, due)
			is[p] = kind
			b.add(p)
			b.move()
		}
		newest := b.packet(t, time.Now().Add(time.Hour))
		is[newest] = "new"
		b.add(newest)
		if held, _ := b.load(); held != capacity || b.counts.shed.Load() != 1 {
			t.Fatalf("%d packets are held, %d were shed", held, b.counts.shed.Load())
		}
		for p, kind := range is {
			if p.frame == nil {
				kinds[kind]++
			}
		}
	}
	for i, share := range []float64{1, 9, 10, 1} {
		want := rounds * share / (capacity + 1)
		if got := float64(kinds[names[i]]); math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("%s: %v of %d shed, want about %.0f", names[i], got, rounds, want)
		}
	}
}

// What is ready for a node that is gone is dropped, and what comes for it later.
func TestMixerForgetsNeighbours(t *testing.T) {
	b := newBench(t, 10)
	b.add(b.packet(t, time.Now().Add(-time.Second)))
	b.add(b.packet(t, time.Now().Add(-time.Second)))
	b.move()
	b.add(b.packet(t, time.Now().Add(-time.Millisecond)))
	b.serve(map[sphinx.NodeID]peer{{2}: {}})
	b.move()
	if b.more(there) != nil || len(b.take(there, nil, 9)) != 0 {
		t.Error("packets for a node that is gone are ready")
	}
	if held, _ := b.load(); held != 0 || b.counts.unroutable.Load() != 3 {
		t.Errorf("%d packets are held, %d counted", held, b.counts.unroutable.Load())
	}
}

// A packet that waited for its neighbour longer than its keys live is of no use.
func TestMixerDropsTheStale(t *testing.T) {
	b := newBench(t, 10)
	b.add(b.packet(t, time.Now().Add(-2*time.Hour)))
	b.add(b.packet(t, time.Now().Add(-time.Minute)))
	b.move()
	if list := b.take(there, nil, 9); len(list) != 1 || b.counts.stale.Load() != 1 {
		t.Errorf("%d packets taken, %d stale", len(list), b.counts.stale.Load())
	}
}

// After empty nothing is held, and every frame was given back.
func TestMixerEmpty(t *testing.T) {
	b := newBench(t, 10)
	var all []*packet
	for i := range 8 {
		p := b.packet(t, time.Now().Add(time.Duration(i-4)*time.Second))
		all = append(all, p)
		b.add(p)
	}
	b.move()
	b.empty()
	for i, p := range all {
		if p.frame != nil {
			t.Errorf("packet %d still has its frame", i)
		}
	}
	if held, ready := b.load(); held != 0 || ready != 0 {
		t.Errorf("%d packets are held, %d ready", held, ready)
	}
}
