package mixing

import (
	"math/rand/v2"
	"slices"
	"time"
)

// ID names a parcel: 128 random bits.
type ID [16]byte

// MaxFragments is the most fragments a parcel can have: one bit each in a uint64.
const MaxFragments = 64

// Parcel is what an [Outbox] needs to know of a parcel.
type Parcel struct {
	ID        ID
	Fragments int         // 1 to MaxFragments
	Have      uint64      // bit i: the exit acknowledged fragment i
	Complete  bool        // no fragment is sent any more, only questions: the exit is responsible, or it is too late
	Queries   []time.Time // the moments at which its state is still to be asked for; none: it is not asked for
}

// Kind is what a packet carries.
type Kind int

// The kinds of packets. All look alike outside.
const (
	Cover    Kind = iota // nothing
	Fragment             // the fragment Index of Parcel
	Query                // a question for the state of Parcel
)

// Choice is what one packet carries.
type Choice struct {
	Kind   Kind
	Parcel ID  // zero for Cover
	Index  int // of the fragment, from 0
}

// Params are an [Outbox]'s numbers; in a gateway they come from the consensus.
type Params struct {
	ResendMean time.Duration // mean of the exponential wait before a lost fragment or last question is sent again
	Window     int           // the number of last packets over which loss is measured
	MaxLoss    float64       // the share of lost packets, 0 to 1, above which mail is held back
}

// Outbox chooses what each packet of a gateway carries. In every slot the gateway asks [Outbox.Next],
// sends, and tells [Outbox.Sent]; for each answer it calls [Outbox.Answered] and then, if the answer
// is about a parcel, [Outbox.Update]; and it calls [Outbox.Tick] now and then, at least once a slot.
//
// Each fragment is in one state. It is ready at first; in flight while its packet is neither
// answered nor overdue; waiting, for an exponential time, before it becomes ready again; and stored
// when an answer says that the exit has it. So at most one packet carries a given fragment at a
// time.
type Outbox struct {
	resendMean time.Duration
	rng        *rand.Rand
	loss       loss
	parcels    map[ID]*parcel
	ready      []piece           // the ready fragments of all parcels, in no order
	resends    schedule[piece]   // the waiting fragments, by the end of their wait
	queries    schedule[*parcel] // the parcels, by their next moment to ask
	overdue    schedule[Ticket]  // the packets, by when their answer is due
	flights    flights
	now        time.Time // of the last Next or Ahead
}

type parcel struct {
	id        ID
	fragments []fragment  // nil once the exit is responsible
	queries   []time.Time // in order; once it was asked for, never empty
}

// piece points at one fragment of a parcel.
type piece struct {
	parcel *parcel
	index  int
}

type fragment struct {
	state state
	place int       // its index in Outbox.ready, if ready
	last  Ticket    // the last packet that carried it
	since Ticket    // if stored: the first packet sent after that was known
	again time.Time // if waiting: when it is ready again
}

type state uint8

const (
	ready state = iota
	flying
	answered // its packet was answered; what the answer says comes with Update
	waiting
	stored
)

// fragment returns what the piece points at, or nil if there is nothing (any more).
func (x piece) fragment() *fragment {
	if x.parcel == nil || x.index < 0 || x.index >= len(x.parcel.fragments) {
		return nil
	}
	return &x.parcel.fragments[x.index]
}

func (x piece) choice() Choice { return Choice{Fragment, x.parcel.id, x.index} }

// NewOutbox returns an empty Outbox that draws from rng.
func NewOutbox(p Params, rng *rand.Rand) *Outbox {
	return &Outbox{
		resendMean: p.ResendMean,
		rng:        rng,
		loss:       loss{window: max(p.Window, 0), max: p.MaxLoss},
		parcels:    make(map[ID]*parcel),
		flights:    flights{first: 1},
	}
}

// Add puts a parcel in; what the exit has not acknowledged is ready at once. A parcel that is in
// already stays as it is. Add panics if the number of fragments is impossible: whoever reads parcels
// from a disk or a network has checked it.
func (o *Outbox) Add(p Parcel) {
	if p.Fragments < 1 || p.Fragments > MaxFragments {
		panic("mixing: Outbox.Add: a parcel has 1 to 64 fragments")
	}
	if o.parcels[p.ID] != nil {
		return
	}
	q := &parcel{id: p.ID}
	o.parcels[p.ID] = q
	if !p.Complete {
		q.fragments = make([]fragment, p.Fragments)
		for i := range q.fragments {
			if p.Have>>i&1 == 1 {
				q.fragments[i] = fragment{state: stored, since: o.flights.next()}
			} else {
				o.makeReady(piece{q, i})
			}
		}
	}
	for _, at := range p.Queries {
		q.queries = append(q.queries, at.Round(0)) // days ahead, only the wall clock is right
	}
	slices.SortFunc(q.queries, time.Time.Compare)
	o.scheduleQuery(q)
}

// Remove takes a parcel out: nothing more is sent for it. One whose time is over but whose fate is
// still to be asked for can then be added again as complete.
func (o *Outbox) Remove(id ID) {
	if p := o.parcels[id]; p != nil {
		o.dropFragments(p)
		p.queries = nil
		delete(o.parcels, id)
	}
}

// Next chooses what the next packet carries: a fragment, uniformly at random among all that are
// ready, of whatever parcel; else the question that is due for longest; else cover. While
// [Outbox.Holding] it is cover. There is always a choice.
//
// Next only looks: a slot that is missed afterwards costs nothing. A second Next before Sent may
// make the same choice.
func (o *Outbox) Next(now time.Time) Choice {
	o.wake(now)
	if o.loss.holding {
		return Choice{}
	}
	if n := len(o.ready); n > 0 {
		return o.ready[o.rng.IntN(n)].choice()
	}
	for o.queries.due(now) {
		e := o.queries[0]
		if p := e.what; len(p.queries) > 0 && p.queries[0].Equal(e.at) {
			return Choice{Kind: Query, Parcel: p.id}
		}
		o.queries.pop()
	}
	return Choice{}
}

// Ahead chooses a fragment to have at hand for the packet after the one that carries but: uniformly at
// random among the others that are ready. There may be none, and is none while [Outbox.Holding]. Like
// Next it only looks. It is for a gateway that has to fetch fragments from a disk, which may stall, and
// lets no packet wait for that; before it sends what it fetched it asks [Outbox.Ready].
func (o *Outbox) Ahead(now time.Time, but Choice) (Choice, bool) {
	o.wake(now)
	n := len(o.ready)
	if o.loss.holding || n == 0 {
		return Choice{}, false
	}
	i := o.rng.IntN(n)
	if c := o.ready[i].choice(); c != but {
		return c, true
	}
	if n == 1 {
		return Choice{}, false
	}
	return o.ready[(i+1+o.rng.IntN(n-1))%n].choice(), true
}

// Ready reports whether c is a fragment that still waits for a packet, whether or not it is held back.
func (o *Outbox) Ready(c Choice) bool {
	f := piece{o.parcels[c.Parcel], c.Index}.fragment()
	return c.Kind == Fragment && f != nil && f.state == ready
}

// wake makes the fragments ready whose wait is over.
func (o *Outbox) wake(now time.Time) {
	o.now = now
	for o.resends.due(now) {
		e := o.resends.pop()
		if f := e.what.fragment(); f != nil && f.state == waiting && f.again.Equal(e.at) {
			o.makeReady(e.what)
		}
	}
}

// Sent notes that a packet with this choice left and that its answer is expected before due. A
// question uses up every moment of its parcel that had come by the last Next or Ahead, so that a machine that
// was off for days asks once. A lost question is not repeated while another is to come; the last one
// is asked again, an exponential time after due, until the parcel is removed.
func (o *Outbox) Sent(c Choice, due time.Time) Ticket {
	var x piece
	p := o.parcels[c.Parcel]
	switch {
	case p == nil:
	case c.Kind == Fragment:
		x = piece{p, c.Index}
	case c.Kind == Query:
		asked := 0
		for asked < len(p.queries) && !p.queries[asked].After(o.now) {
			asked++
		}
		if asked > 0 {
			p.queries = p.queries[asked:]
			if len(p.queries) == 0 {
				p.queries = append(p.queries, due.Add(Delay(o.rng, o.resendMean)))
			}
			o.scheduleQuery(p)
		}
	}
	t := o.flights.add(x)
	o.overdue.push(due, t)
	if f := x.fragment(); f != nil {
		f.last = t
		if f.state == ready { // else an answer made the packet needless after Next chose it
			o.takeReady(x)
			f.state = flying
		}
	}
	return t
}

// Answered notes that the answer to a packet arrived, in time or late.
func (o *Outbox) Answered(t Ticket) {
	x, open := o.flights.close(t)
	if !open {
		o.loss.late(t)
		return
	}
	o.loss.answered()
	if f := x.fragment(); f != nil && f.state == flying && f.last == t {
		f.state = answered
	}
}

// Update notes what the answer to packet t says about parcel id: bit i of missing is set if the exit
// does not have fragment i; complete, that the exit is responsible, which ends the parcel's fragments
// whatever is said later; final, that every recipient's outcome is known, which removes the parcel.
//
// Answers overtake each other, so one that says "missing" may be older than one that said "stored".
// A stored fragment is believed lost (an exit may forget an incomplete parcel) only if packet t left
// after we knew it stored. A fragment in flight is left alone: its own answer, or the lack of it,
// decides. A fragment that is to be sent again becomes ready after an exponential time from now.
func (o *Outbox) Update(t Ticket, id ID, missing uint64, complete, final bool, now time.Time) {
	p := o.parcels[id]
	switch {
	case p == nil:
		return
	case final:
		o.Remove(id)
		return
	case complete:
		o.dropFragments(p)
		return
	}
	for i := range p.fragments {
		x, f := piece{p, i}, &p.fragments[i]
		switch {
		case missing>>i&1 == 0:
			if f.state == ready {
				o.takeReady(x)
			}
			if f.state != stored {
				f.state, f.since = stored, o.flights.next()
			}
		case f.state == answered, f.state == stored && t >= f.since:
			o.resend(x, now)
		}
	}
}

// Tick counts the packets whose answer is overdue as lost; their fragments become ready again after
// an exponential time from now.
func (o *Outbox) Tick(now time.Time) {
	for o.overdue.due(now) {
		t := o.overdue.pop().what
		x, open := o.flights.close(t)
		if !open {
			continue
		}
		o.loss.missed(t)
		if f := x.fragment(); f != nil && f.state == flying && f.last == t {
			o.resend(x, now)
		}
	}
}

// Loss returns how many of the last Window packets whose fate is known were lost, and how many these
// are. A packet's fate is known when it is answered or due; an answer that comes later, while the
// packet is one of them, makes up for it.
func (o *Outbox) Loss() (lost, of int) { return o.loss.figure() }

// Holding reports whether mail is held back because too much is lost. It starts when the share of
// lost packets exceeds MaxLoss, with at least half a window known, and ends when it is down to half
// of MaxLoss. Cover goes on, and measures.
func (o *Outbox) Holding() bool { return o.loss.holding }

// SetMaxLoss changes Params.MaxLoss, as a new consensus may.
func (o *Outbox) SetMaxLoss(share float64) {
	o.loss.max = share
	o.loss.judge()
}

// resend lets a fragment wait before it is ready again, unless another packet that carries it is
// still under way.
func (o *Outbox) resend(x piece, now time.Time) {
	f := x.fragment()
	if o.flights.open(f.last) {
		f.state = flying
		return
	}
	f.state, f.again = waiting, now.Add(Delay(o.rng, o.resendMean))
	o.resends.push(f.again, x)
}

func (o *Outbox) makeReady(x piece) {
	f := x.fragment()
	f.state, f.place = ready, len(o.ready)
	o.ready = append(o.ready, x)
}

// takeReady takes a ready fragment off the list; the caller sets its new state.
func (o *Outbox) takeReady(x piece) {
	place, end := x.fragment().place, len(o.ready)-1
	moved := o.ready[end]
	o.ready[place] = moved
	moved.fragment().place = place
	o.ready[end] = piece{}
	o.ready = o.ready[:end]
}

func (o *Outbox) dropFragments(p *parcel) {
	for i := range p.fragments {
		if p.fragments[i].state == ready {
			o.takeReady(piece{p, i})
		}
	}
	p.fragments = nil
}

func (o *Outbox) scheduleQuery(p *parcel) {
	if len(p.queries) > 0 {
		o.queries.push(p.queries[0], p)
	}
}
