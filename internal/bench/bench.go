// Package bench measures how fast this machine makes and opens Sphinx packets,
// beside Katzenpost's own implementation of the format and beside the bare
// cryptography in it, and how fast it scrubs mails. The command `sourdine bench` prints
// what it finds.
//
// A machine's speed drifts by a third and more within minutes. So nothing is
// measured after the other: in every round each contender has a short turn, and
// what is told are the median over the rounds, and for a ratio the median of the
// rounds' ratios.
//
// The package links Katzenpost, which package sphinx never does. It knows no
// network, no node and no file but the one that names the processor.
package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// turn is how long a contender works in each round: long enough for a clock,
// short enough that the machine is the same for all.
const turn = 5 * time.Millisecond

// contender is work that is timed in every round.
type contender struct {
	name  string
	run   func(times int) (time.Duration, error) // does it so often, and says how long that took
	times int                                    // it fits into a turn
	took  []float64                              // microseconds for once, by round

	allocations int // of memory, for once
}

// newContender times all of work.
func newContender(name string, work func() error) *contender {
	return &contender{name: name, run: func(times int) (time.Duration, error) {
		start := time.Now()
		for range times {
			if err := work(); err != nil {
				return 0, err
			}
		}
		return time.Since(start), nil
	}}
}

// calibrate finds how often the work is done in a turn.
func (c *contender) calibrate(turn time.Duration) error {
	for c.times = 1; ; c.times *= 2 {
		took, err := c.run(c.times)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if took >= turn/2 {
			c.times = max(1, int(float64(c.times)*float64(turn)/float64(took)))
			return nil
		}
	}
}

// countAllocations finds how often the work allocates memory: the whole number
// below the average, since a collection of garbage between may empty a pool.
func (c *contender) countAllocations() error {
	const times = 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.run(times); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	runtime.ReadMemStats(&after)
	c.allocations = int((after.Mallocs - before.Mallocs) / times)
	return nil
}

// measure is the contender's turn in a round. It begins without others' garbage
// and with warm caches; what garbage the contender makes is its own time.
func (c *contender) measure() error {
	runtime.GC()
	_, err := c.run(1)
	if err == nil {
		var took time.Duration
		took, err = c.run(c.times)
		c.took = append(c.took, float64(took)/float64(time.Microsecond)/float64(c.times))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// measure gives every contender a turn in each round: first those that work
// alone, on one processor, so that a collection of garbage is in their time, then
// those that share their work, on processors of them. Each second round goes
// backwards, so that nobody always follows the same one.
func measure(ctx context.Context, rounds int, turn time.Duration, alone, shared []*contender, processors int, progress func(round int)) error {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	each := func(do func(c *contender) error) error {
		for _, group := range []struct {
			contenders []*contender
			processors int
		}{{alone, 1}, {shared, processors}} {
			runtime.GOMAXPROCS(group.processors)
			for _, c := range group.contenders {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := do(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := each(func(c *contender) error { return c.calibrate(turn) }); err != nil {
		return err
	}
	if err := each((*contender).countAllocations); err != nil {
		return err
	}
	for round := range rounds {
		if progress != nil {
			progress(round + 1)
		}
		if err := each((*contender).measure); err != nil {
			return err
		}
		slices.Reverse(alone)
		slices.Reverse(shared)
	}
	return nil
}

// Spread is the median of a figure over the rounds, and how far it spreads.
type Spread struct {
	P25    float64 `json:"p25"`
	Median float64 `json:"median"`
	P75    float64 `json:"p75"`
}

// SpreadOf sorts figures and takes the quantiles, between two neighbours where
// there is no one in the place.
func SpreadOf(figures []float64) Spread {
	slices.Sort(figures)
	at := func(q float64) float64 {
		place := q * float64(len(figures)-1)
		low := int(place)
		high := min(low+1, len(figures)-1)
		return figures[low] + (place-float64(low))*(figures[high]-figures[low])
	}
	return Spread{at(0.25), at(0.5), at(0.75)}
}

// time is c's, in microseconds.
func (c *contender) time() Spread { return SpreadOf(slices.Clone(c.took)) }

// ratio is that of a's time to b's.
func ratio(a, b *contender) Spread {
	figures := make([]float64, len(a.took))
	for i := range figures {
		figures[i] = a.took[i] / b.took[i]
	}
	return SpreadOf(figures)
}

// rate is how often c's work, of which each time counts as units, is done in a
// second.
func (c *contender) rate(units int) Spread {
	figures := make([]float64, len(c.took))
	for i, took := range c.took {
		figures[i] = float64(units) * 1e6 / took
	}
	return SpreadOf(figures)
}
