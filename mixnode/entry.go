package mixnode

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// entry is what an entry is besides a node: it lets gateways in, keeps the replies
// to their packets until they are fetched, and serves the consensus.
type entry struct {
	n *node

	nothing []byte // a dummy's payload

	mu      sync.Mutex
	boxes   map[sphinx.RecipientID]*box
	replies int                 // in all boxes
	room    int                 // for replies, in all boxes
	with    [boxSize + 2][]*box // the boxes by how many replies they have, at least one; in any order
}

func newEntry(n *node) *entry {
	g := n.sphinx.Geometry()
	e := &entry{n: n, nothing: make([]byte, g.PayloadTagLength+g.PayloadLength), boxes: map[sphinx.RecipientID]*box{}}
	n.mixer.keep = e.keep
	return e
}

// box is what an entry keeps for one gateway.
type box struct {
	id      sphinx.RecipientID
	replies []*packet     // oldest first
	more    chan struct{} // of capacity 1: a reply was put in
	used    time.Time     // when the gateway last came or went
	here    int           // its connections: for a moment a new one beside an old
	limit   *rate.Limiter // of what it sends, over whatever connections

	listed int // under how many replies it is in entry.with; 0: it is not
	place  int // there
}

const (
	// boxSize is how many replies are kept for a gateway that is away or slow.
	boxSize = 256
	// kept is for how long, in epochs, replies wait for a gateway that is away.
	kept = 1
)

// headroom is how much faster a gateway may send than the consensus says on
// average, and burst how many packets at once, so that jitter costs nothing.
const (
	headroom = 1.1
	burst    = 32
)

// take lets a reply wait in the mixer until its replay tag is on disk.
func (e *entry) take(p *packet, u *sphinx.Unwrapped) bool {
	if !u.HasRecipient || !u.HasReply {
		return false
	}
	e.mu.Lock()
	p.box = e.boxes[u.Recipient]
	e.mu.Unlock()
	// Only who was connected has a box: a recipient that somebody made up gets none.
	if p.box == nil {
		e.n.counts.unroutable.Add(1)
		drop(p)
		return true
	}
	p.reply, p.body, p.due = u.Reply, u.Payload, p.arrived
	e.n.mixer.add(p)
	return true
}

// keep keeps a reply for its gateway. If its box is full, one of the box is shed, and if
// the memory is, one of the fullest box of all: a gateway that lets replies pile up, and
// one that went away, lose their own. Each that is in the box, the newest as well, is as
// likely as any other, as in the mixer.
func (e *entry) keep(p *packet) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.boxes[p.box.id]
	if b == nil { // forgotten meanwhile
		e.n.counts.unroutable.Add(1)
		drop(p)
		return
	}
	b.replies = append(b.replies, p)
	e.replies++
	e.list(b)
	if len(b.replies) > boxSize {
		e.shed(b)
	}
	e.shedBeyond()
	wake(b.more)
}

// resize changes for how many replies there is room.
func (e *entry) resize(room int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.room = room
	e.shedBeyond()
}

// shedBeyond sheds the replies for which there is no room.
func (e *entry) shedBeyond() {
	for e.replies > e.room {
		fullest := len(e.with) - 1
		for len(e.with[fullest]) == 0 {
			fullest--
		}
		e.shed(e.with[fullest][rand.IntN(len(e.with[fullest]))])
	}
}

// shed drops one of a box's replies.
func (e *entry) shed(b *box) {
	i := rand.IntN(len(b.replies))
	drop(b.replies[i])
	b.replies = slices.Delete(b.replies, i, i+1)
	e.replies--
	e.list(b)
	e.n.counts.shed.Add(1)
}

// list notes how many replies a box has now.
func (e *entry) list(b *box) {
	if b.listed > 0 {
		l := e.with[b.listed]
		last := len(l) - 1
		l[b.place] = l[last]
		l[b.place].place = b.place
		l[last] = nil
		e.with[b.listed] = l[:last]
	}
	b.listed = len(b.replies)
	if b.listed > 0 {
		b.place = len(e.with[b.listed])
		e.with[b.listed] = append(e.with[b.listed], b)
	}
}

// next takes a gateway's oldest reply out of its box; nil if there is none.
func (e *entry) next(b *box) *packet {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(b.replies) == 0 {
		return nil
	}
	p := b.replies[0]
	b.replies[0] = nil
	b.replies = b.replies[1:]
	e.replies--
	e.list(b)
	return p
}

// sweep forgets gateways that are away for long.
func (e *entry) sweep() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.boxes {
		if b.here > 0 || e.n.now().Sub(b.used) < kept*e.n.period {
			continue
		}
		e.n.counts.stale.Add(uint64(len(b.replies)))
		e.forget(b)
	}
}

// arrive returns the box of a gateway that has come.
func (e *entry) arrive(id sphinx.RecipientID) *box {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.boxes[id]
	if b == nil {
		e.makeRoom()
		b = &box{id: id, more: make(chan struct{}, 1), limit: rate.NewLimiter(e.n.clientRate(), burst)}
		e.boxes[id] = b
	}
	b.here++
	b.used = e.n.now()
	return b
}

// depart notes that a gateway has gone.
func (e *entry) depart(b *box) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b.here--
	b.used = e.n.now()
}

// makeRoom forgets a gateway that is away, if there are boxes for more than all that
// can be connected: anybody may come, and under as many names as they like.
func (e *entry) makeRoom() {
	if len(e.boxes) < 2*e.n.maxPeers {
		return
	}
	for _, b := range e.boxes {
		if b.here == 0 {
			e.n.counts.shed.Add(uint64(len(b.replies)))
			e.forget(b)
			return
		}
	}
}

// forget ends a box, whose replies the caller has counted.
func (e *entry) forget(b *box) {
	for _, p := range b.replies {
		drop(p)
	}
	e.replies -= len(b.replies)
	b.replies = nil
	e.list(b)
	delete(e.boxes, b.id)
}

// guest is a gateway's connection.
type guest struct {
	*entry
	session *link.Session
	box     *box

	ctx      context.Context // of push and tick
	cancel   context.CancelFunc
	stopPush context.CancelFunc
	sending  sync.WaitGroup // push, then tick
	acks     chan uint32    // of capacity 1: what the gateway acknowledged last
	asked    chan uint64    // of capacity 1: an epoch whose consensus a clocked gateway wants; nil: it is not clocked
}

// welcome begins to serve a gateway, until leave.
func (e *entry) welcome(ctx context.Context, nb *neighbour) *guest {
	g := &guest{
		entry: e, session: nb.session, box: e.arrive(sphinx.RecipientID(nb.name)),
		acks: make(chan uint32, 1),
	}
	g.ctx, g.cancel = context.WithCancel(ctx)
	var pushing context.Context
	pushing, g.stopPush = context.WithCancel(g.ctx)
	g.sending.Go(func() {
		if g.push(pushing); pushing.Err() == nil {
			g.session.Close()
		}
	})
	return g
}

func (g *guest) leave() {
	g.cancel()
	g.session.Close()
	g.sending.Wait()
	g.depart(g.box)
}

// obey does what a gateway's command asks for, or returns false if it is not one
// of a gateway's. The frame is not the caller's any more.
func (g *guest) obey(ctx context.Context, f *link.Frame, c link.Command) bool {
	if c.Kind == link.KindSendPacket || c.Kind == link.KindSendRetrievePacket {
		// The frame goes on to a mix, to which nobody sends what a gateway polls with.
		if c.Kind == link.KindSendRetrievePacket && (!g.answerPoll() || f.Set(link.Command{Kind: link.KindSendPacket, Data: c.Data}) != nil) {
			f.Release()
			return false
		}
		now := g.n.now()
		g.box.limit.SetLimitAt(now, g.n.clientRate())
		if !g.box.limit.AllowN(now, 1) {
			g.n.counts.limited.Add(1)
			f.Release()
			return true
		}
		g.n.receive(ctx, f, true, sphinx.NodeID{})
		return true
	}
	defer f.Release()
	switch c.Kind {
	case link.KindMessageDelivered:
		if c.Sequence == link.Clocked {
			g.startClock()
			return true
		}
		select {
		case <-g.acks: // an older one that nobody waited for
		default:
		}
		g.acks <- c.Sequence
		return true
	case link.KindGetConsensus, link.KindGetConsensus2:
		if g.asked == nil {
			return g.answerConsensus(c) == nil
		}
		select {
		case g.asked <- c.Epoch:
		default: // one at a time
		}
		return true
	}
	return c.Kind == link.KindNoOp
}

// startClock ends the pushing of replies and starts the clock, once.
func (g *guest) startClock() {
	if g.asked != nil {
		return
	}
	g.asked = make(chan uint64, 1)
	g.stopPush()
	g.sending.Go(func() {
		defer g.session.Close()
		g.tick(g.ctx, g.asked)
	})
}

// clientRate is how many packets a gateway may send in a second.
func (n *node) clientRate() rate.Limit {
	// LambdaP and LambdaL, which are alike (see directory/authority).
	return rate.Limit(2 * headroom / n.slot().Seconds())
}

// slot is how long a gateway's slots are: the consensus says it, or the network
// file where there is none.
func (n *node) slot() time.Duration {
	if slot := n.view.Load().slot; slot > 0 {
		return slot
	}
	return n.network.Parameters.Slot
}

func (g *guest) send(c link.Command) error {
	f, err := g.n.frames.Make(c)
	if err != nil {
		return err
	}
	return g.give(f)
}

// give sends a gateway a frame. What a gateway is owed does not wait for the node's
// budget, for its line says what it has to at its times; the node's packets do.
func (g *guest) give(f *link.Frame) error {
	g.n.traffic.went(f.Size())
	return g.session.Send(f)
}
