package mixing

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The network's numbers by default, as the nodes use them (mixnode/loops.go).
const (
	watchEvery = 20 * time.Second
	watchDelay = time.Minute
	watchLate  = 70 * time.Second
	watchUnit  = 75 * time.Second
	watchYear  = 365 * 24 * time.Hour
)

func newWatch() *Watch[int] {
	return NewWatch[int](WatchParams{Loops: float64(watchYear / watchEvery), Nodes: 7, Unit: watchUnit})
}

// place is a loop at a node of a simulated network.
type place struct {
	node        int
	come, leave time.Time
}

// self is the watching node as a place.
const self = -1

// watched is a node of the second of three layers that sends loops through a simulated network: over
// the third layer to one of two exits, and home over the first. Its nodes are numbered by layer, the
// exits last.
type watched struct {
	*Watch[int]
	rng   *rand.Rand
	width int // nodes in a layer
	now   time.Time
	homes schedule[Ticket]
	loses func(route []place) bool
}

func newWatched(seed uint64, width int, loses func(*rand.Rand, []place) bool) *watched {
	w := &watched{Watch: newWatch(), rng: newRand(seed), width: width, now: start}
	w.loses = func(route []place) bool { return loses(w.rng, route) }
	return w
}

// nodes are all but the watching one.
func (w *watched) nodes() []int {
	var list []int
	for n := range 3*w.width + 2 {
		if layer := n / w.width; layer != 1 {
			list = append(list, n)
		}
	}
	return list
}

// run lets the node live until a time, or until stop says so after loops were judged.
func (w *watched) run(until time.Time, stop func() bool) bool {
	for {
		w.now = w.now.Add(Delay(w.rng, watchEvery))
		if !w.now.Before(until) {
			return false
		}
		for w.homes.due(w.now) {
			w.Home(w.homes.pop().what)
		}
		if w.Tick(w.now); stop() {
			return true
		}
		w.send()
	}
}

func (w *watched) send() {
	at := w.now.Add(Delay(w.rng, watchDelay)) // its wait in the node's own pool
	route := []place{{self, w.now, at}}
	pass := func(first, width int, wait time.Duration) {
		route = append(route, place{first + w.rng.IntN(width), at, at.Add(wait)})
		at = at.Add(wait)
	}
	pass(2*w.width, w.width, Delay(w.rng, watchDelay))
	pass(3*w.width, 2, time.Second)
	pass(0, w.width, Delay(w.rng, watchDelay))
	t := w.Sent([]int{route[1].node, route[2].node, route[3].node}, at.Add(watchLate))
	if !w.loses(append(route, place{self, at, at})) {
		w.homes.push(at, t)
	}
}

// suspects are the nodes of the alarms, in order; self stands for all.
func (w *watched) suspects() []int {
	list := []int{}
	for _, s := range w.Suspicions() {
		if s.All {
			s.Node = self
		}
		list = append(list, s.Node)
	}
	slices.Sort(list)
	return list
}

// away are the times when a node is, in order.
type away [][2]time.Time

// restarts draws when a node restarts, so often a day, to be back within longest.
func restarts(rng *rand.Rand, until time.Time, perDay float64, longest time.Duration) away {
	var list away
	at := start
	for {
		at = at.Add(time.Duration(rng.ExpFloat64() * float64(24*time.Hour) / perDay))
		if !at.Before(until) {
			return list
		}
		back := at.Add(time.Duration(rng.Int64N(int64(longest))))
		list = append(list, [2]time.Time{at, back})
		at = back
	}
}

// loses says whether the node is away when a packet comes, or goes away with it in its memory.
func (a away) loses(p place) bool {
	i, _ := slices.BinarySearchFunc(a, p.come, func(t [2]time.Time, come time.Time) int { return t[1].Compare(come) })
	return i < len(a) && !a[i][0].After(p.leave)
}

// everydayLoss is how many packets are lost on each link of the simulated network at random.
const everydayLoss = 0.005

func lostOnTheWay(rng *rand.Rand, route []place) bool {
	return rng.Float64() > math.Pow(1-everydayLoss, float64(len(route)-1))
}

// An attack is noticed within a stated time in 19 of 20 cases, and nobody else is blamed for it.
func TestWatchNotices(t *testing.T) {
	const (
		trials = 200
		before = 2 * time.Hour
	)
	from := start.Add(before)
	// at drops a share of the packets that come to a node; to self they come at the end of their way.
	at := func(node int, share float64) func(*rand.Rand, []place) bool {
		return func(rng *rand.Rand, route []place) bool {
			return slices.ContainsFunc(route[1:], func(p place) bool { return p.node == node && p.come.After(from) }) && rng.Float64() < share
		}
	}
	line := func(_ *rand.Rand, route []place) bool {
		return route[0].leave.After(from) || route[len(route)-1].come.After(from)
	}
	for _, test := range []struct {
		name   string
		width  int
		drops  func(*rand.Rand, []place) bool
		want   int
		within time.Duration
		strays int // trials of 200 in which another is blamed, then or in the six hours after, at most
	}{
		{"all but one sender's packets to this node", 3, at(self, 1), self, 17 * time.Minute, 0},
		{"this node's line is down", 3, line, self, 17 * time.Minute, 0},
		{"all but one sender's packets to one of three neighbours", 3, at(6, 1), 6, 30 * time.Minute, 4},
		{"all but one sender's packets to one of two neighbours", 2, at(4, 1), 4, 25 * time.Minute, 4},
		{"all but one sender's packets to the only neighbour", 1, at(2, 1), self, 20 * time.Minute, 0},
		{"all but one sender's packets to one of three nodes of the first layer", 3, at(0, 1), 0, 30 * time.Minute, 4},
		{"all but one sender's packets to one of two exits", 3, at(9, 1), 9, 25 * time.Minute, 4},
		{"three quarters of the packets to one of three neighbours", 3, at(6, 0.75), 6, 45 * time.Minute, 4},
		{"half of the packets to one of three neighbours", 3, at(6, 0.5), 6, 2 * time.Hour, 4},
		{"half of the packets to this node", 3, at(self, 0.5), self, time.Hour, 70},
	} {
		t.Run(test.name, func(t *testing.T) {
			var times []time.Duration
			strays := 0
			for seed := range uint64(trials) {
				w := newWatched(seed, test.width, func(rng *rand.Rand, route []place) bool {
					return lostOnTheWay(rng, route) || test.drops(rng, route)
				})
				suspected := func() bool { return len(w.suspects()) > 0 }
				if w.run(from, suspected) || !w.run(from.Add(24*time.Hour), suspected) {
					t.Fatalf("seed %d: %v is suspected %v after the beginning of the attack", seed, w.suspects(), w.now.Sub(from))
				}
				times = append(times, w.now.Sub(from))
				if w.run(w.now.Add(6*time.Hour), func() bool {
					return slices.ContainsFunc(w.suspects(), func(n int) bool { return n != test.want })
				}) {
					strays++
				}
			}
			slices.Sort(times)
			median, late := times[trials/2], times[trials*19/20]
			t.Logf("noticed after %v, in 19 of 20 trials after %v; another is blamed in %d", median.Round(time.Second), late.Round(time.Second), strays)
			if late > test.within || strays > test.strays {
				t.Errorf("want %v, and at most %d", test.within, test.strays)
			}
		})
	}
}

// In everyday life, with nodes that restart and a line that fails at times, there is no alarm more often
// than stated: one in a year.
func TestWatchFalseAlarms(t *testing.T) {
	const (
		days = 1000
		// Of a Poisson variable of mean 1000/365; more come with a probability of 0.0007.
		most = 9
	)
	until := start.Add(days * 24 * time.Hour)
	for _, test := range []struct {
		name  string
		width int
	}{
		{"three mixes in a layer", 3},
		{"one mix in a layer", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out := map[int]away{}
			w := newWatched(40, test.width, func(rng *rand.Rand, route []place) bool {
				return lostOnTheWay(rng, route) || slices.ContainsFunc(route, func(p place) bool { return out[p.node].loses(p) })
			})
			for _, n := range w.nodes() {
				out[n] = restarts(w.rng, until, 1, 5*time.Minute)
			}
			out[self] = restarts(w.rng, until, 1, 5*time.Minute)
			alarms := 0
			var before []int
			w.run(until, func() bool {
				now := w.suspects()
				for _, n := range now {
					if !slices.Contains(before, n) {
						alarms++
					}
				}
				before = now
				return false
			})
			c := w.Counts()
			t.Logf("%d alarms in %d days; %d of %d loops were lost", alarms, days, c.Lost, c.Sent)
			if alarms > most {
				t.Errorf("want at most %d alarms", most)
			}
		})
	}
}
