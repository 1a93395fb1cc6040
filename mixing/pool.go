package mixing

import (
	"math/rand/v2"
	"time"
)

// Pool holds the packets of a mix from when they are unwrapped until they are due to leave. P is
// what stands for a packet: a node's buffer, a simulator's number.
//
// It holds at most its capacity. When one more comes, one of all of them, the new one as likely as
// each of those held, is shed. A pool that shed the newest or the oldest would let whoever floods it
// choose whose packets are lost, and so learn by their loss where they were (Serjantov, Dingledine
// and Syverson, "From a Trickle to a Flood", 2002). The others still leave when their senders asked:
// a full mix loses packets and delays none.
//
// Packets that are due together leave in random order, so that it does not tell how they came.
type Pool[P any] struct {
	rng      *rand.Rand
	capacity int
	heap     []held[P] // binary, the earliest on top; nothing beyond its length refers to a packet
}

type held[P any] struct {
	due    time.Time
	lot    uint64 // drawn: decides among equal times
	packet P
}

func (a *held[P]) before(b *held[P]) bool {
	if c := a.due.Compare(b.due); c != 0 {
		return c < 0
	}
	return a.lot < b.lot
}

// NewPool returns an empty Pool that holds at most capacity packets and draws from rng. It takes the
// memory for its list as packets come, and keeps it; with a capacity below 1 it sheds every packet.
func NewPool[P any](capacity int, rng *rand.Rand) *Pool[P] {
	return &Pool[P]{rng: rng, capacity: max(capacity, 0)}
}

// Len returns how many packets are held.
func (p *Pool[P]) Len() int { return len(p.heap) }

// Add takes a packet in until it is due, which it may be already. If the pool was full, it returns
// the packet that was shed in exchange, perhaps this one, and true; the caller may use its memory
// again.
func (p *Pool[P]) Add(due time.Time, packet P) (shed P, full bool) {
	x := held[P]{due, p.rng.Uint64(), packet}
	n := len(p.heap)
	if n < p.capacity {
		p.heap = append(p.heap, x)
		p.up(n)
		return shed, false
	}
	i := p.rng.IntN(n + 1)
	if i == n {
		return packet, true
	}
	shed = p.heap[i].packet
	p.heap[i] = x
	p.settle(i)
	return shed, true
}

// Next returns when the earliest packet is due, or false if there is none.
func (p *Pool[P]) Next() (time.Time, bool) {
	if len(p.heap) == 0 {
		return time.Time{}, false
	}
	return p.heap[0].due, true
}

// Due takes out the earliest packet if it is due at now, and else returns false. The caller asks
// until it does.
func (p *Pool[P]) Due(now time.Time) (packet P, ok bool) {
	if len(p.heap) == 0 || p.heap[0].due.After(now) {
		return packet, false
	}
	return p.remove(0), true
}

// SetCapacity changes the capacity. If more are held than that, packets chosen uniformly at random
// are shed: shed is called with each, and must not call the pool.
func (p *Pool[P]) SetCapacity(capacity int, shed func(P)) {
	p.capacity = max(capacity, 0)
	for len(p.heap) > p.capacity {
		packet, _ := p.Shed()
		shed(packet)
	}
}

// Shed takes out a packet chosen uniformly at random, or returns false if there is none. It is for a
// mix whose budget covers packets outside the pool, too.
func (p *Pool[P]) Shed() (packet P, ok bool) {
	if len(p.heap) == 0 {
		return packet, false
	}
	return p.remove(p.rng.IntN(len(p.heap))), true
}

// remove takes out the packet at place i. The last one of the list moves there.
func (p *Pool[P]) remove(i int) P {
	packet := p.heap[i].packet
	last := len(p.heap) - 1
	p.heap[i] = p.heap[last]
	p.heap[last] = held[P]{}
	p.heap = p.heap[:last]
	if i < last {
		p.settle(i)
	}
	return packet
}

// settle moves the packet at place i to where it belongs.
func (p *Pool[P]) settle(i int) {
	if !p.up(i) {
		p.down(i)
	}
}

func (p *Pool[P]) up(i int) (moved bool) {
	for i > 0 {
		parent := (i - 1) / 2
		if !p.heap[i].before(&p.heap[parent]) {
			break
		}
		p.heap[i], p.heap[parent] = p.heap[parent], p.heap[i]
		i, moved = parent, true
	}
	return moved
}

func (p *Pool[P]) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(p.heap) {
			return
		}
		if child+1 < len(p.heap) && p.heap[child+1].before(&p.heap[child]) {
			child++
		}
		if !p.heap[child].before(&p.heap[i]) {
			return
		}
		p.heap[i], p.heap[child] = p.heap[child], p.heap[i]
		i = child
	}
}
