package mixnode

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
	"unsafe"

	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/mixnode/replay"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// packet is a packet on its way through the node, in the frame that it came in.
type packet struct {
	frame   *link.Frame
	body    []byte // the packet, in the frame
	arrived time.Time
	client  bool          // it came from a gateway, not from a node
	from    sphinx.NodeID // the node that it came from; zero: from none

	next   sphinx.NodeID
	box    *box           // at an entry: of the gateway that it is a reply for; nil: it goes to next
	reply  sphinx.ReplyID // what that gateway knows it by
	due    time.Time
	key    *epochKey     // whose replay tags it is among; nil: it was made here, or its tag is on disk
	ticket replay.Ticket // of its tag
}

// packetMemory is how many bytes a packet takes besides its frame: itself, and its
// places in the pool and in a list.
const packetMemory = int(unsafe.Sizeof(packet{})) + 64

// mixer keeps packets until they may leave: until their delay is over and their
// replay tag is on disk. Then they lie ready for the neighbour that they go to,
// whose sender takes them, or in the box of the gateway that they are replies for.
//
// All packets that wait in the node are here, so here the node holds to its
// memory: one more than the capacity, and one of all of them is shed at random
// (see mixing.Pool for why at random). Where its line has a budget, the same goes
// for those that lie ready.
type mixer struct {
	now    func() time.Time
	counts *counts
	stale  time.Duration // how long after its delay a packet is of no use any more
	poke   chan struct{} // of capacity 1: look again; the replay tags' wake, too
	keep   func(*packet) // an entry's, which a reply goes to; it may not call the mixer

	mu       sync.Mutex
	rng      *rand.Rand
	capacity int                   // of all
	room     int                   // of ready
	held     int                   // in pool, unsynced and ready
	lying    int                   // in ready
	by       map[sphinx.NodeID]int // held, by the node that they came from
	pool     *mixing.Pool[*packet]
	unsynced []*packet // due, with tags that are not on disk
	ready    map[sphinx.NodeID]*outbox
	armed    time.Time // when run looks again by itself
}

// outbox is what lies ready for one neighbour.
type outbox struct {
	packets []*packet
	more    chan struct{} // of capacity 1: something was put in
}

func newMixer(capacity int, stale time.Duration, rng *rand.Rand, now func() time.Time, c *counts) *mixer {
	return &mixer{
		now: now, counts: c, stale: stale, poke: make(chan struct{}, 1),
		rng: rng, capacity: capacity, room: math.MaxInt, pool: mixing.NewPool[*packet](capacity, rng), ready: map[sphinx.NodeID]*outbox{},
		by: map[sphinx.NodeID]int{},
	}
}

// resize changes how many packets may be held, and how many of them lie ready. What
// is too much is shed.
func (m *mixer) resize(capacity, room int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity, m.room = capacity, room
	for m.held > capacity {
		m.counts.shed.Add(1)
		m.shedHeld(m.rng.IntN(m.held))
	}
	m.pool.SetCapacity(capacity, drop) // no more are held than that
	for m.lying > room {
		m.counts.slow.Add(1)
		m.shedReady(m.rng.IntN(m.lying))
	}
}

// add takes a packet in, which is the mixer's from then on.
func (m *mixer) add(p *packet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held >= m.capacity {
		m.counts.shed.Add(1)
		if !m.shed() {
			drop(p)
			return
		}
	}
	m.held++
	if p.from != (sphinx.NodeID{}) {
		m.by[p.from]++
	}
	m.pool.Add(p.due, p)
	if p.due.Before(m.armed) {
		wake(m.poke)
	}
}

func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// shed drops one packet, each that is held as likely as any other and as the new
// one. It returns false if that is the new one.
func (m *mixer) shed() bool {
	n := m.rng.IntN(m.held + 1)
	if n == m.held {
		return false
	}
	m.shedHeld(n)
	return true
}

// shedHeld drops the packet at place n of all that are held.
func (m *mixer) shedHeld(n int) {
	if n < m.pool.Len() {
		p, _ := m.pool.Shed() // one at random, as n is
		m.release(p)
		drop(p)
		return
	}
	n -= m.pool.Len()
	if n < len(m.unsynced) {
		p := takeOut(&m.unsynced, n)
		m.release(p)
		drop(p)
		return
	}
	m.shedReady(n - len(m.unsynced))
}

// shedReady drops the packet at place n of those that lie ready.
func (m *mixer) shedReady(n int) {
	for _, o := range m.ready {
		if n < len(o.packets) {
			drop(m.takeReady(o, n))
			return
		}
		n -= len(o.packets)
	}
	panic("mixnode: the mixer lost count of its packets")
}

// takeReady takes a packet out that is held no longer.
func (m *mixer) takeReady(o *outbox, i int) *packet {
	m.lying--
	p := takeOut(&o.packets, i)
	m.release(p)
	return p
}

// release counts a packet that is held no longer.
func (m *mixer) release(p *packet) {
	m.held--
	if m.by[p.from]--; m.by[p.from] <= 0 {
		delete(m.by, p.from)
	}
}

// crowds says whether a node crowds out the others: the mixer is at least half full,
// and with more packets of this node than its share, one of shares.
func (m *mixer) crowds(from sphinx.NodeID, shares int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held >= m.capacity/2 && m.by[from] > m.capacity/max(shares, 1)
}

// takeOut removes the packet at place i of a list whose order tells nothing.
func takeOut(list *[]*packet, i int) *packet {
	l := *list
	p, last := l[i], len(l)-1
	l[i], l[last] = l[last], nil
	*list = l[:last]
	return p
}

// far is when nothing is waited for.
const far = time.Hour

// run makes packets ready as their time comes, until ctx ends or broken says that
// the replay tags cannot be written any more: then nothing may leave.
func (m *mixer) run(ctx context.Context, broken func() error) error {
	timer := time.NewTimer(far)
	defer timer.Stop()
	for {
		if err := broken(); err != nil {
			return err
		}
		timer.Reset(m.move())
		select {
		case <-ctx.Done():
			return nil
		case <-m.poke:
		case <-timer.C:
		}
	}
}

// move makes ready what may leave, and returns how long to wait for the next.
func (m *mixer) move() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	waiting := m.unsynced
	m.unsynced = m.unsynced[:0]
	for _, p := range waiting {
		m.pass(p)
	}
	clear(waiting[len(m.unsynced):])
	for {
		p, ok := m.pool.Due(now)
		if !ok {
			break
		}
		m.pass(p)
	}
	next, ok := m.pool.Next()
	if !ok {
		next = now.Add(far)
	}
	m.armed = next
	return next.Sub(now)
}

// pass makes a packet ready whose delay is over, or gives a reply to the entry, if its
// tag is on disk.
func (m *mixer) pass(p *packet) {
	if p.key != nil && p.key.tags.Durable() < p.ticket {
		if p.key.tags.Err() != nil && p.key.tags.Durable() < p.ticket { // it never will be; it may have become so just before the error
			m.release(p)
			m.counts.unsynced.Add(1)
			drop(p)
			return
		}
		m.unsynced = append(m.unsynced, p)
		return
	}
	p.key = nil // which holds all of its epoch's tags
	if p.box != nil {
		m.release(p)
		m.keep(p)
		return
	}
	o, ok := m.ready[p.next]
	if !ok {
		m.release(p)
		m.counts.unroutable.Add(1)
		drop(p)
		return
	}
	o.packets = append(o.packets, p)
	wake(o.more)
	if m.lying++; m.lying > m.room {
		m.counts.slow.Add(1)
		m.shedReady(m.rng.IntN(m.lying))
	}
}

// serve makes exactly these neighbours the ones for whom packets are made ready.
// What was ready for others is dropped.
func (m *mixer) serve(neighbours map[sphinx.NodeID]peer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, o := range m.ready {
		if _, still := neighbours[id]; still {
			continue
		}
		for len(o.packets) > 0 {
			m.counts.unroutable.Add(1)
			drop(m.takeReady(o, len(o.packets)-1))
		}
		delete(m.ready, id)
	}
	for id := range neighbours {
		if m.ready[id] == nil {
			m.ready[id] = &outbox{more: make(chan struct{}, 1)}
		}
	}
}

// more is the channel on which a neighbour's sender waits; nil if packets are not
// made ready for it.
func (m *mixer) more(id sphinx.NodeID) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.ready[id]; o != nil {
		return o.more
	}
	return nil
}

// take appends to list at most n of the packets that are ready for a neighbour, in
// random order.
func (m *mixer) take(id sphinx.NodeID, list []*packet, n int) []*packet {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.ready[id]
	if o == nil {
		return list
	}
	oldest := m.now().Add(-m.stale)
	for n > 0 && len(o.packets) > 0 {
		p := m.takeReady(o, m.rng.IntN(len(o.packets)))
		if p.due.Before(oldest) {
			m.counts.stale.Add(1)
			drop(p)
			continue
		}
		list = append(list, p)
		n--
	}
	if len(o.packets) > 0 {
		wake(o.more)
	}
	return list
}

// load is how many packets wait, and how many of them only for their neighbour.
func (m *mixer) load() (held, ready int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.held, m.lying
}

// size is how many packets may wait.
func (m *mixer) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.capacity
}

// empty drops all that waits.
func (m *mixer) empty() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pool.SetCapacity(0, drop)
	for _, p := range m.unsynced {
		drop(p)
	}
	for _, o := range m.ready {
		for len(o.packets) > 0 {
			drop(m.takeReady(o, len(o.packets)-1))
		}
	}
	m.unsynced, m.held = nil, 0
	clear(m.by)
}
