package mixing

import (
	"maps"
	"math"
	"slices"
	"time"
)

// Watch notices by a node's loops, packets that it sends to itself, when packets are lost, and where.
// A mix that drops or holds back all packets but those of the sender it is after, so that what comes
// out is that sender's (an n−1 attack), cannot tell loops from other packets and drops them, too
// (Danezis and Sassaman, "Heartbeat Traffic to Counter (n-1) Attacks", WPES 2003; Piotrowska et al.,
// "The Loopix Anonymity System", USENIX Security 2017, section 4.2). N names a node.
//
// For every node that loops pass, and for all loops together, it keeps one score: the cumulative sum
// of log-likelihood ratios between a share of [Tolerated] lost loops and one of [Attacked], never
// below zero (Page, "Continuous Inspection Schemes", Biometrika 41, 1954). A loop that is lost raises
// the scores of the nodes on its way by ln 5, one that comes home lowers them by ln 1.8. At the limit
// there is an alarm, which ends when the score is back at zero. Three rules say who is to blame:
//
//   - A loss that an alarm explains already counts for nobody else.
//   - If all loops together reach the limit, or are near it when a node does, no single node is
//     blamed: it is this node that is attacked, its line, or a node that every loop passes.
//   - A node that is forgotten, because the consensus does not list it any more, takes the loops on
//     its way with it.
//
// Losses come together when a node restarts. So loops that are due in short succession weigh less:
// by the time since the one before, in [WatchParams].Unit, at most 1. However many loops there are,
// an outage of less than limit/ln 5 units raises no alarm by itself: of twelve minutes in a network of
// default numbers.
//
// False alarms: let each loop be lost with a probability of at most Tolerated, whatever became of
// those before. Then exp(weight·ratio) has a mean of at most 1, for the weight does not depend on the
// loop's fate, and the expected number of alarms of one score in n loops is at most n·exp(−limit)
// (Lorden, "Procedures for Reacting to a Change in Distribution", Annals of Mathematical Statistics
// 42, 1971). A loop touches at most Nodes+1 scores. So the limit ln(Loops·(Nodes+1)) makes it one
// alarm in [WatchParams].Loops loops, however many nodes the network has.
//
// Between two loops a node waits a [Delay], in a Poisson process whose rate no alarm changes.
type Watch[N comparable] struct {
	unit  time.Duration
	limit float64

	out    map[Ticket]*loop[N] // on their way, or home and not judged
	due    schedule[Ticket]    // those that are forgotten, too
	last   Ticket
	home   uint64
	lost   uint64
	recent loss

	all   score
	nodes map[N]*score
}

// Shares of loops that are lost: what a network loses in everyday life, and what an attacker leaves
// of it. In between lies the share of 0.27 that raises and lowers a score alike, so whoever drops less
// is not noticed.
const (
	Tolerated = 0.1
	Attacked  = 0.5
)

// What a loop of weight 1 does to a score.
var (
	rise = math.Log(Attacked / Tolerated)
	fall = math.Log((1 - Attacked) / (1 - Tolerated))
)

// nearly is the part of the limit that makes all loops together near it. Where one of two nodes drops
// everything, the score of all rises by 0.38 of what the node's does; where everything is lost, by as
// much, and more steadily.
const nearly = 0.75

// RecentLoops is over how many loops [LoopCounts] count recent losses.
const RecentLoops = 100

// WatchParams are a [Watch]'s numbers.
type WatchParams struct {
	Loops float64       // expected number of loops between two false alarms, at least
	Nodes int           // the most nodes that a loop passes
	Unit  time.Duration // loops that are due within it weigh about as much as one
}

type loop[N comparable] struct {
	path []N
	home bool
}

// score is the test of one node, or of all loops together.
type score struct {
	value    float64
	last     time.Time // when the loop before was due
	alarm    bool
	from     time.Time // when the loss was due since which it is above zero
	lost, of int       // loops since then
}

// NewWatch returns a Watch that knows of no loop.
func NewWatch[N comparable](p WatchParams) *Watch[N] {
	return &Watch[N]{
		unit: p.Unit, limit: math.Log(p.Loops * float64(p.Nodes+1)),
		out: map[Ticket]*loop[N]{}, nodes: map[N]*score{}, recent: loss{window: RecentLoops},
	}
}

// Sent tells of a loop that passes these nodes, each named once, and is lost if it is not home when
// it is due. The path is the Watch's from then on.
func (w *Watch[N]) Sent(path []N, due time.Time) Ticket {
	w.last++
	w.out[w.last] = &loop[N]{path: path}
	w.due.push(due, w.last)
	return w.last
}

// Home tells that a loop has come home. Of one that was due before, or is home already, it returns
// false.
func (w *Watch[N]) Home(t Ticket) bool {
	l := w.out[t]
	if l == nil || l.home {
		return false
	}
	l.home = true
	w.home++
	return true
}

// Tick judges the loops that are due. The caller lets it do so at least about once a Unit.
func (w *Watch[N]) Tick(now time.Time) {
	for w.due.due(now) {
		e := w.due.pop()
		l := w.out[e.what]
		if l == nil {
			continue
		}
		delete(w.out, e.what)
		if l.home {
			w.recent.answered()
		} else {
			w.lost++
			w.recent.missed(e.what)
		}
		w.judge(l, e.at)
	}
}

// judge counts a loop whose fate is known for those on its way.
func (w *Watch[N]) judge(l *loop[N], due time.Time) {
	path := make([]*score, len(l.path))
	explained := w.all.alarm
	for i, n := range l.path {
		s := w.nodes[n]
		if s == nil {
			s = new(score)
			w.nodes[n] = s
		}
		path[i] = s
		explained = explained || s.alarm
	}
	var reached []*score
	for _, s := range append(path, &w.all) {
		switch {
		case l.home:
			s.lower(due, w.unit)
		case !explained || s.alarm:
			if s.raise(due, w.unit, w.limit); s.value >= w.limit && s != &w.all {
				reached = append(reached, s)
			}
		}
	}
	if w.all.value >= w.limit || len(reached) > 0 && w.all.value >= nearly*w.limit {
		w.all.alarm = true
		return
	}
	for _, s := range reached {
		s.alarm = true
	}
}

// weight is how much a loop counts that is due so long after the one before.
func (s *score) weight(due time.Time, unit time.Duration) float64 {
	w := 1.0
	if !s.last.IsZero() {
		w = min(1, float64(due.Sub(s.last))/float64(unit))
	}
	s.last = due
	return w
}

func (s *score) raise(due time.Time, unit time.Duration, limit float64) {
	if s.value == 0 {
		s.from, s.lost, s.of = due, 0, 0
	}
	s.lost++
	s.of++
	s.value = min(s.value+rise*s.weight(due, unit), limit)
}

func (s *score) lower(due time.Time, unit time.Duration) {
	s.of++
	s.value = max(s.value+fall*s.weight(due, unit), 0)
	s.alarm = s.alarm && s.value > 0
}

// Keep forgets all nodes but those that keep names, and the loops that are out and pass one of them.
func (w *Watch[N]) Keep(keep func(N) bool) {
	maps.DeleteFunc(w.nodes, func(n N, _ *score) bool { return !keep(n) })
	maps.DeleteFunc(w.out, func(_ Ticket, l *loop[N]) bool {
		return slices.ContainsFunc(l.path, func(n N) bool { return !keep(n) })
	})
}

// LoopCounts are what became of loops.
type LoopCounts struct {
	Sent, Home, Lost uint64 // ever; the others are on their way, or forgotten
	RecentLost       int
	Recent           int // of the last ones, at most RecentLoops
}

// Counts returns what became of the loops so far.
func (w *Watch[N]) Counts() LoopCounts {
	c := LoopCounts{Sent: uint64(w.last), Home: w.home, Lost: w.lost}
	c.RecentLost, c.Recent = w.recent.figure()
	return c
}

// Suspicion is an alarm.
type Suspicion[N comparable] struct {
	All      bool // loops are lost whichever way they take
	Node     N    // else: those that pass this node
	Since    time.Time
	Lost, Of int // loops since then
}

// Suspicions returns the alarms of now: the one about all loops first, those about nodes in no order.
func (w *Watch[N]) Suspicions() []Suspicion[N] {
	var list []Suspicion[N]
	if w.all.alarm {
		list = append(list, Suspicion[N]{All: true, Since: w.all.from, Lost: w.all.lost, Of: w.all.of})
	}
	for n, s := range w.nodes {
		if s.alarm {
			list = append(list, Suspicion[N]{Node: n, Since: s.from, Lost: s.lost, Of: s.of})
		}
	}
	return list
}
