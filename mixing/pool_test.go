package mixing

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// far is a time at which everything is due.
var far = start.Add(1000 * time.Hour)

// drain takes out everything that is due at now.
func drain[P any](p *Pool[P], now time.Time) (out []P) {
	for x, ok := p.Due(now); ok; x, ok = p.Due(now) {
		out = append(out, x)
	}
	return out
}

func TestPoolOrder(t *testing.T) {
	p := NewPool[int](100, newRand(1))
	if _, ok := p.Next(); ok {
		t.Error("an empty pool has a next packet")
	}
	if _, ok := p.Due(far); ok {
		t.Error("an empty pool has a packet that is due")
	}
	for _, second := range []int{5, 3, 9, -1, 7, 0} {
		if _, full := p.Add(start.Add(time.Duration(second)*time.Second), second); full {
			t.Fatal("full")
		}
	}
	for _, test := range []struct {
		now  time.Duration
		want []int
	}{
		{-time.Second - 1, nil},
		{-time.Second, []int{-1}},
		{-1, nil},
		{0, []int{0}},
		{3*time.Second - 1, nil},
		{7 * time.Second, []int{3, 5, 7}},
		{0, nil}, // a clock that was set back
	} {
		if got := drain(p, start.Add(test.now)); !slices.Equal(got, test.want) {
			t.Errorf("at %v: %v are due, want %v", test.now, got, test.want)
		}
	}
	if next, ok := p.Next(); !ok || !next.Equal(start.Add(9*time.Second)) || p.Len() != 1 {
		t.Errorf("%d are left, the next at %v, %v", p.Len(), next, ok)
	}
}

// chiSquare compares counts with what each is expected to be.
func chiSquare(counts []float64, expected float64) (x float64) {
	for _, n := range counts {
		x += (n - expected) * (n - expected) / expected
	}
	return x
}

// Packets that are due together leave in each order equally often, wherever others are about them.
func TestPoolTiesAreRandom(t *testing.T) {
	const trials = 48_000
	rng := newRand(2)
	tied := start.Add(time.Minute)
	orders := map[[4]int]float64{}
	for range trials {
		p := NewPool[int](10, rng)
		p.Add(tied.Add(-2), -1)
		p.Add(tied, 0)
		p.Add(tied.Add(-1), -1)
		p.Add(tied, 1)
		p.Due(far)
		p.Add(tied, 2)
		p.Add(tied.Add(1), -1)
		p.Due(far)
		p.Add(tied, 3)
		orders[[4]int(drain(p, tied))]++
	}
	var counts []float64
	for _, n := range orders {
		counts = append(counts, n)
	}
	// Chi-square with 23 degrees of freedom exceeds 49.7 once in a thousand runs.
	if x := chiSquare(counts, trials/24); len(counts) != 24 || x > 49.7 {
		t.Errorf("%d orders, chi-square %.1f: %v", len(counts), x, orders)
	}
}

// Whichever way the times lie, each of the packets held and the new one are shed equally often: the
// oldest, the newest, the first and the last to leave.
func TestPoolShedsUniformly(t *testing.T) {
	const held, trials = 7, 40_000
	for name, due := range map[string]func(i int) time.Duration{
		"in order":         func(i int) time.Duration { return time.Duration(i) },
		"in reverse order": func(i int) time.Duration { return time.Duration(-i) },
		"together":         func(int) time.Duration { return 0 },
		"mixed":            func(i int) time.Duration { return time.Duration(3 * i % 8) },
	} {
		rng := newRand(3)
		counts := make([]float64, held+1)
		for range trials {
			p := NewPool[int](held, rng)
			for i := range held {
				if _, full := p.Add(start.Add(due(i)), i); full {
					t.Fatal("full too early")
				}
			}
			shed, full := p.Add(start.Add(due(held)), held)
			if !full || p.Len() != held {
				t.Fatalf("full %v, %d held", full, p.Len())
			}
			counts[shed]++
			if rest := append(drain(p, far), shed); len(rest) != held+1 || slices.Max(rest) != held ||
				len(slices.Compact(slices.Sorted(slices.Values(rest)))) != held+1 {
				t.Fatalf("packets %v, of which %d was shed", rest, shed)
			}
		}
		// Chi-square with 7 degrees of freedom exceeds 24.3 once in a thousand runs.
		if x := chiSquare(counts, trials/(held+1)); x > 24.3 {
			t.Errorf("%s: chi-square %.1f: %v", name, x, counts)
		}
	}
}

// Through a flood, a packet is held with the probability that it is spared once for each packet that
// came at or after it, whatever else is so of it.
func TestPoolFlood(t *testing.T) {
	const held, all, trials = 8, 24, 40_000
	rng := newRand(4)
	kept := make([]float64, all)
	for range trials {
		p := NewPool[int](held, rng)
		for i := range all {
			p.Add(start.Add(time.Duration(rng.IntN(5))), i)
		}
		for _, i := range drain(p, far) {
			kept[i]++
		}
	}
	for i, n := range kept {
		want := math.Pow(float64(held)/(held+1), float64(all-max(i, held)))
		if z := (n - trials*want) / math.Sqrt(trials*want*(1-want)); math.Abs(z) > 4 {
			t.Errorf("packet %d of %d is kept with probability %.4f, want %.4f", i, all, n/trials, want)
		}
	}
}

func TestPoolShrinksUniformly(t *testing.T) {
	const held, left, trials = 8, 3, 40_000
	rng := newRand(5)
	counts := make([]float64, held)
	for range trials {
		p := NewPool[int](held, rng)
		for i := range held {
			p.Add(start.Add(time.Duration(i)), i)
		}
		p.SetCapacity(left, func(i int) { counts[i]++ })
		if rest := drain(p, far); len(rest) != left || !slices.IsSorted(rest) {
			t.Fatalf("left are %v", rest)
		}
	}
	// Those shed in one trial are distinct, which makes the statistic smaller than chi-square with 7
	// degrees of freedom by this factor.
	const factor = (held - 1.0) / left
	if x := chiSquare(counts, trials*(held-left)/held) * factor; x > 24.3 {
		t.Errorf("chi-square %.1f: %v", x, counts)
	}
}

func TestPoolCapacity(t *testing.T) {
	for _, capacity := range []int{0, -1, math.MinInt} {
		p := NewPool[int](capacity, newRand(6))
		for i := range 10 {
			if shed, full := p.Add(start, i); !full || shed != i || p.Len() != 0 {
				t.Fatalf("capacity %d: shed %d, %v", capacity, shed, full)
			}
		}
	}

	p := NewPool[int](1, newRand(6))
	p.Add(start, 0)
	kept := 0
	for i := range 1000 {
		shed, full := p.Add(start.Add(time.Duration(i+1)), i+1)
		if !full || p.Len() != 1 || shed != kept && shed != i+1 {
			t.Fatalf("%d held; shed %d, %v", p.Len(), shed, full)
		}
		kept += i + 1 - shed
		if next, _ := p.Next(); !next.Equal(start.Add(time.Duration(kept))) {
			t.Fatalf("packet %d is due at %v", kept, next)
		}
	}

	p.SetCapacity(3, func(int) { t.Error("growing sheds") })
	if p.Add(start, 1); p.Len() != 2 {
		t.Errorf("%d held after growing", p.Len())
	}
	shed := 0
	p.SetCapacity(-5, func(int) { shed++ })
	if shed != 2 || p.Len() != 0 {
		t.Errorf("shed %d, %d held", shed, p.Len())
	}
	if _, full := p.Add(start, 1); !full {
		t.Error("shrunk to nothing, and holds one")
	}
}

// What a pool no longer holds is garbage, whichever way it went.
func TestPoolDropsMemory(t *testing.T) {
	type buffer [1 << 12]byte
	p := NewPool[*buffer](8, newRand(7))
	var gone []weak.Pointer[buffer]
	drop := func(b *buffer, ok bool) {
		if ok {
			gone = append(gone, weak.Make(b))
		}
	}
	for i := range 100 {
		drop(p.Add(start.Add(time.Duration(i%10)), new(buffer)))
		if i%3 == 0 {
			drop(p.Due(far))
		}
	}
	p.SetCapacity(2, func(b *buffer) { drop(b, true) })
	runtime.GC()
	for i, w := range gone {
		if w.Value() != nil {
			t.Errorf("packet %d, which left, is still in memory", i)
		}
	}
	if len(gone) != 98 || p.Len() != 2 {
		t.Errorf("%d packets left, %d are held", len(gone), p.Len())
	}
	runtime.KeepAlive(p)
}

func TestPoolAllocatesNothing(t *testing.T) {
	p := NewPool[[]byte](1000, newRand(8))
	rng, now, packet := newRand(9), start, make([]byte, 10)
	turn := func() {
		now = now.Add(time.Millisecond)
		p.Add(now.Add(Delay(rng, 2*time.Second)), packet) // 2000 on average, so that it is full
		p.Next()
		for _, ok := p.Due(now); ok; _, ok = p.Due(now) {
		}
	}
	for range 10_000 {
		turn()
	}
	if p.Len() < 900 {
		t.Fatalf("%d held", p.Len())
	}
	if allocations := testing.AllocsPerRun(10_000, turn); allocations != 0 {
		t.Errorf("%v allocations a packet", allocations)
	}
}

// poolModel does slowly, in a list, what a pool does, and compares.
type poolModel struct {
	t        *testing.T
	pool     *Pool[int]
	capacity int
	held     map[int]time.Time
	next     int // the next packet's number
}

func newPoolModel(t *testing.T, capacity int, seed uint64) *poolModel {
	return &poolModel{t: t, pool: NewPool[int](capacity, newRand(seed)), capacity: capacity, held: map[int]time.Time{}}
}

func (m *poolModel) add(due time.Time) {
	x := m.next
	m.next++
	wasFull := len(m.held) >= m.capacity
	m.held[x] = due
	shed, full := m.pool.Add(due, x)
	if full != wasFull {
		m.t.Fatalf("full %v, with %d held of %d", full, len(m.held)-1, m.capacity)
	}
	if full {
		m.drop(shed)
	}
	m.check()
}

func (m *poolModel) drop(x int) {
	if _, ok := m.held[x]; !ok {
		m.t.Fatalf("packet %d is shed, which is not held", x)
	}
	delete(m.held, x)
}

func (m *poolModel) due(now time.Time) {
	earliest := m.earliest()
	x, ok := m.pool.Due(now)
	if want := len(m.held) > 0 && !earliest.After(now); ok != want {
		m.t.Fatalf("due %v, want %v", ok, want)
	}
	if ok {
		if at, held := m.held[x]; !held || !at.Equal(earliest) {
			m.t.Fatalf("packet %d of %v leaves, held %v; the earliest is of %v", x, at, held, earliest)
		}
		delete(m.held, x)
	}
	m.check()
}

func (m *poolModel) shed() {
	held := len(m.held)
	x, ok := m.pool.Shed()
	if ok != (held > 0) {
		m.t.Fatalf("shed %v of %d", ok, held)
	}
	if ok {
		m.drop(x)
	}
	m.check()
}

func (m *poolModel) setCapacity(capacity int) {
	m.capacity = max(capacity, 0)
	m.pool.SetCapacity(capacity, m.drop)
	m.check()
}

func (m *poolModel) earliest() (at time.Time) {
	for _, due := range m.held {
		if at.IsZero() || due.Before(at) {
			at = due
		}
	}
	return at
}

func (m *poolModel) check() {
	p := m.pool
	if p.Len() != len(m.held) || p.Len() > m.capacity {
		m.t.Fatalf("%d are held, want %d of at most %d", p.Len(), len(m.held), m.capacity)
	}
	if next, ok := p.Next(); ok != (len(m.held) > 0) || !next.Equal(m.earliest()) {
		m.t.Fatalf("the next is at %v, want %v", next, m.earliest())
	}
	for i, x := range p.heap {
		if at, ok := m.held[x.packet]; !ok || !at.Equal(x.due) {
			m.t.Fatalf("packet %d is to leave at %v, asked was %v", x.packet, x.due, at)
		}
		if i > 0 && x.before(&p.heap[(i-1)/2]) {
			m.t.Fatalf("place %d is before its parent", i)
		}
	}
	for _, x := range p.heap[len(p.heap):cap(p.heap)] {
		if x != (held[int]{}) {
			m.t.Fatal("a free place still holds a packet")
		}
	}
}

func TestPoolAgainstModel(t *testing.T) {
	rng := newRand(10)
	for seed := range uint64(20) {
		m := newPoolModel(t, rng.IntN(30), 1000+seed)
		now := start
		for range 1000 {
			switch n := rng.IntN(100); {
			case n < 60:
				m.add(now.Add(time.Duration(rng.IntN(40)-2) * time.Second))
			case n < 97:
				now = now.Add(time.Duration(rng.IntN(3)-rng.IntN(2)) * time.Second)
				m.due(now)
			case n < 99:
				m.setCapacity(rng.IntN(40) - 1)
			default:
				m.shed()
			}
		}
		for len(m.held) > 0 {
			m.due(far)
		}
	}
}

// FuzzPool feeds any sequence of events.
func FuzzPool(f *testing.F) {
	f.Add(uint8(3), []byte{0, 5, 0, 5, 0, 5, 0, 1, 1, 2, 2, 5, 1, 1, 3, 1, 3, 0, 0, 0})
	f.Fuzz(func(t *testing.T, capacity uint8, events []byte) {
		m := newPoolModel(t, int(capacity%32), 11)
		now := start
		for i := 0; i+1 < len(events); i += 2 {
			arg := time.Duration(events[i+1]) * time.Second
			switch events[i] % 5 {
			case 0:
				m.add(now.Add(arg))
			case 1:
				m.due(now)
			case 2:
				now = now.Add(arg - 10*time.Second)
			case 3:
				m.setCapacity(int(events[i+1]%48) - 1)
			case 4:
				m.shed()
			}
		}
	})
}

// A mix around a pool, in virtual time: packets come at random and stay as long as their senders
// drew, which is exponential; with room for half of them, those that are spared do too.
func TestPoolDwellTimes(t *testing.T) {
	const mean, packets = 60 * time.Second, 20_000
	type packet struct {
		arrived time.Time
		delay   time.Duration
	}
	run := func(t *testing.T, capacity int) (dwells []float64, shed int) {
		rng := newRand(12)
		p := NewPool[packet](capacity, rng)
		in := make(chan packet) // closed by the source
		go func() {
			source := newRand(13)
			for range packets {
				time.Sleep(Delay(source, 100*time.Millisecond))
				in <- packet{time.Now(), Delay(source, mean)}
			}
			close(in)
		}()
		timer := time.NewTimer(time.Hour)
		for open := true; open || p.Len() > 0; {
			if next, ok := p.Next(); ok {
				timer.Reset(time.Until(next))
			}
			select {
			case x, ok := <-in:
				if !ok {
					open, in = false, nil
				} else if _, full := p.Add(x.arrived.Add(x.delay), x); full {
					shed++
				}
			case <-timer.C:
			}
			for _, x := range drain(p, time.Now()) {
				if dwell := time.Since(x.arrived); dwell != x.delay {
					t.Fatalf("a packet stays %v, asked was %v", dwell, x.delay)
				}
				dwells = append(dwells, x.delay.Seconds())
			}
		}
		return dwells, shed
	}
	synctest.Test(t, func(t *testing.T) {
		dwells, shed := run(t, packets)
		if len(dwells) != packets || shed != 0 {
			t.Fatalf("%d left, %d were shed", len(dwells), shed)
		}
		if d := kolmogorovSmirnov(dwells, func(x float64) float64 { return 1 - math.Exp(-x/60) }); d > 1.95 {
			t.Errorf("Kolmogorov-Smirnov statistic %.2f", d)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		dwells, shed := run(t, 300)
		if len(dwells)+shed != packets || shed < packets/4 {
			t.Fatalf("%d left, %d were shed", len(dwells), shed)
		}
	})
}
