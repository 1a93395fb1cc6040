package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Bounds and default of the rounds. With the default, all schemes take about a
// minute.
const (
	DefaultRounds = 64
	MaxRounds     = 10_000
)

// batch is how many packets UnwrapBatch is given at once, and workers the most
// goroutines.
const (
	batch   = 64
	workers = 2
)

// payloads are the sizes of the user payload: what most mix networks carry, and
// the default.
var payloads = []int{2000, sphinx.DefaultUserPayload}

// Options are what to measure.
type Options struct {
	Schemes  []string        // of [sphinx.Schemes]
	Rounds   int             // 1 to MaxRounds
	Progress func(round int) // if not nil, it is called as each round begins

	turn time.Duration
}

// Report is what was found. All times are in microseconds.
type Report struct {
	Machine Machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Hops    int      `json:"hops"`
	Batch   int      `json:"batch"` // packets
	Results []Result `json:"results"`
}

// Result is that of a scheme and a size.
type Result struct {
	Scheme      string `json:"scheme"`
	UserPayload int    `json:"user_payload"` // bytes
	Packet      int    `json:"packet"`
	Header      int    `json:"header"`

	Unwrap     Comparison  `json:"unwrap"`
	Primitives Primitives  `json:"primitives"`
	Wrap       Comparison  `json:"wrap"`
	OpenReply  Comparison  `json:"open_reply"`
	Batch      BatchResult `json:"unwrap_batch"`
}

// Comparison is of our time to Katzenpost's for the same work.
type Comparison struct {
	Ours       Spread `json:"ours_us"`
	Katzenpost Spread `json:"katzenpost_us"`
	Ratio      Spread `json:"katzenpost_to_ours"`

	OurAllocations        int `json:"ours_allocations"` // of memory, each time
	KatzenpostAllocations int `json:"katzenpost_allocations"`
}

// Primitives are the bare cryptography in an unwrap.
type Primitives struct {
	Sum   Spread      `json:"sum_us"`      // all of them, one after the other
	Ratio Spread      `json:"ours_to_sum"` // of our unwrap
	List  []Primitive `json:"each"`        // each alone
}

// Primitive is one of them.
type Primitive struct {
	Name  string `json:"name"`
	Bytes int    `json:"bytes"` // that it reads, or makes
	Time  Spread `json:"us"`
}

// BatchResult is of UnwrapBatch, in packets per second.
type BatchResult struct {
	One   Spread `json:"one_worker_per_second"`
	Two   Spread `json:"two_workers_per_second"`
	Ratio Spread `json:"two_to_one"`
}

// Sphinx measures.
func Sphinx(ctx context.Context, o Options) (*Report, error) {
	if o.Rounds < 1 || o.Rounds > MaxRounds {
		return nil, fmt.Errorf("%d rounds are not between 1 and %d", o.Rounds, MaxRounds)
	}
	if o.turn == 0 {
		o.turn = turn
	}
	var (
		entries       []*entry
		alone, shared []*contender
	)
	for _, scheme := range o.Schemes {
		for _, payload := range payloads {
			e, err := newEntry(scheme, payload)
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
			alone = append(alone, e.unwrap, e.katzenpostUnwrap, e.sum, e.wrap, e.katzenpostWrap, e.open, e.katzenpostOpen)
			for _, p := range e.primitives {
				alone = append(alone, p.contender)
			}
			shared = append(shared, e.one, e.two)
		}
	}
	r := &Report{Machine: ThisMachine(), Rounds: o.Rounds, Hops: sphinx.DefaultHops, Batch: batch}
	if err := measure(ctx, o.Rounds, o.turn, alone, shared, min(workers, runtime.GOMAXPROCS(0)), o.Progress); err != nil {
		return nil, err
	}
	for _, e := range entries {
		r.Results = append(r.Results, e.result())
	}
	return r, nil
}

// entry is everything about one scheme and one size.
type entry struct {
	geometry *sphinx.Geometry

	unwrap, katzenpostUnwrap *contender
	wrap, katzenpostWrap     *contender
	open, katzenpostOpen     *contender
	one, two                 *contender // a batch, with so many workers
	sum                      *contender
	primitives               []primitive
}

func newEntry(scheme string, payload int) (*entry, error) {
	g, err := sphinx.NewGeometry(scheme, sphinx.DefaultHops, payload)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*entry, error) {
		return nil, fmt.Errorf("preparing %s with %d bytes: %w", scheme, payload, err)
	}
	m, err := newMaterial(g)
	if err != nil {
		return fail(err)
	}
	e := &entry{geometry: g}
	if e.primitives, err = newPrimitives(g, m.packet); err != nil {
		return fail(err)
	}
	name := func(what string) string { return fmt.Sprintf("%s, %s with %d bytes", what, scheme, payload) }
	for i := range e.primitives {
		p := &e.primitives[i]
		p.contender = newContender(name(p.name), p.work)
	}
	e.sum = newContender(name("the primitives"), func() error {
		for i := range e.primitives {
			if err := e.primitives[i].work(); err != nil {
				return err
			}
		}
		return nil
	})
	e.unwrap = newContender(name("unwrapping"), m.unwrap)
	e.katzenpostUnwrap = newContender(name("Katzenpost unwrapping"), m.katzenpostUnwrap)
	e.wrap = newContender(name("wrapping"), m.wrap)
	e.katzenpostWrap = newContender(name("Katzenpost wrapping"), m.katzenpostWrap)
	e.open = newContender(name("opening a reply"), m.open)
	e.katzenpostOpen = newContender(name("Katzenpost opening a reply"), m.katzenpostOpen)
	packets := make([]sphinx.Packet, batch)
	for i := range packets {
		packets[i].Bytes = make([]byte, g.PacketLength)
	}
	e.one = &contender{name: name("unwrapping a batch"), run: m.batch(packets, 1)}
	e.two = &contender{name: name("sharing a batch"), run: m.batch(packets, workers)}
	return e, nil
}

func (e *entry) result() Result {
	g := e.geometry
	compare := func(ours, katzenpost *contender) Comparison {
		return Comparison{ours.time(), katzenpost.time(), ratio(katzenpost, ours), ours.allocations, katzenpost.allocations}
	}
	r := Result{
		Scheme: g.Scheme, UserPayload: g.UserPayloadLength, Packet: g.PacketLength, Header: g.HeaderLength,
		Unwrap:     compare(e.unwrap, e.katzenpostUnwrap),
		Primitives: Primitives{Sum: e.sum.time(), Ratio: ratio(e.unwrap, e.sum)},
		Wrap:       compare(e.wrap, e.katzenpostWrap),
		OpenReply:  compare(e.open, e.katzenpostOpen),
		Batch:      BatchResult{e.one.rate(batch), e.two.rate(batch), ratio(e.one, e.two)},
	}
	for _, p := range e.primitives {
		r.Primitives.List = append(r.Primitives.List, Primitive{p.name, p.bytes, p.contender.time()})
	}
	return r
}
