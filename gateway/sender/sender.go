package sender

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Config is what a Sender is made of.
type Config struct {
	Network *directory.Network
	Floors  directory.Floors
	Guards  string        // path of the file that keeps the choice of entry and exit
	Resend  time.Duration // mean wait before a lost fragment is sent again
	Window  int           // packets over which loss is measured
	Store   Store
	Log     *slog.Logger

	Dial     func(ctx context.Context, address string) (net.Conn, error) // nil: TCP
	Schedule *rand.Rand                                                  // nil: seeded from crypto/rand
}

// Store is where the mails wait. The sender calls Request from one goroutine, and
// Answered and ExitChanged from another, one at a time. Each may wait for a disk: no
// slot waits for it.
type Store interface {
	// Request returns the request that carries a parcel's fragment. On an error nothing
	// more is sent or asked of the parcel; whoever keeps it sees to its end.
	Request(id mail.ParcelID, index int) (*mail.Request, error)
	// Answered is told what an exit's reply says about a parcel, and when the packet
	// left that it answers. It reports whether the parcel has ended, once that is kept
	// for good: until then it is asked for again.
	Answered(r *mail.Reply, asked time.Time) (ended bool, err error)
	// ExitChanged is told that another exit is in use, which [Sender.Exit] names: no
	// mail that is sealed to any other is sent any more. It may be told twice, or,
	// when the disk hangs, not at all.
	ExitChanged()
}

// Sender is a gateway's sender. Make one with [New].
type Sender struct {
	cfg      Config
	sphinx   *sphinx.Sphinx
	identity *link.Identity
	rng      *rand.Rand // of what packets carry and which way they go
	schedule *rand.Rand // of when things happen

	events chan event
	added  chan Parcel
	ended  chan mail.ParcelID
	wanted chan mixing.Choice // fragments to read, which Run ends by closing it
	told   chan news          // to the goroutine that waits for the disk for all else; likewise

	// Everything below belongs to Run's goroutine.
	guards    *guards
	saving    bool // the guards are being written
	unsaved   bool // and have changed since
	clock     mixing.Clock
	slot      time.Duration
	outbox    *mixing.Outbox
	maxLoss   float64
	parcels   map[mail.ParcelID]*parcel
	pending   map[sphinx.ReplyID]*pending
	forgotten uint64 // packets that left pending without an answer
	prepared  *prepared
	ahead     ahead
	ack       *uint32
	conn      *connection
	redial    backoff
	fetch     fetch
	views     map[uint64]*directory.View
	offset    time.Duration // of the network's time against this machine's clock

	mu     sync.Mutex
	public published
}

// Parcel is a mail that is to be sent.
type Parcel struct {
	mixing.Parcel
	Exit    sphinx.NodeID // the one it is sealed to
	Expires uint64
}

// parcel is what the loop keeps of a parcel beside the outbox.
type parcel struct {
	expires uint64
	last    []time.Time // its last question, if it has any
	over    bool        // no fragment is sent any more
}

// Over reports whether an exit takes nothing more of a parcel in a packet that leaves
// at t, by the network's time: its expiry has passed, even if the exit's clock is
// behind by half an epoch. That is more than clocks can differ before a gateway gets
// no consensus.
func Over(n *directory.Network, t time.Time, expires uint64) bool {
	return n.Epoch(t.Add(-Tolerance(n))) > expires
}

// Tolerance is by how much Over lets clocks differ.
func Tolerance(n *directory.Network) time.Duration { return n.Parameters.Epoch / 2 }

// news is what the goroutine that may wait for the disk does for the loop.
type news func(context.Context, Store)

// event is what another goroutine hands to the loop.
type event func(ctx context.Context, now time.Time)

// New makes a Sender. It draws nothing from the schedule yet.
func New(cfg Config) (*Sender, error) {
	geometry, err := cfg.Network.Parameters.Geometry()
	if err != nil {
		return nil, err
	}
	s := &Sender{
		cfg:      cfg,
		rng:      NewRand(),
		schedule: cfg.Schedule,
		events:   make(chan event),
		added:    make(chan Parcel),
		ended:    make(chan mail.ParcelID),
		wanted:   make(chan mixing.Choice, 1),
		told:     make(chan news, 1024),
		parcels:  map[mail.ParcelID]*parcel{},
		pending:  map[sphinx.ReplyID]*pending{},
		views:    map[uint64]*directory.View{},
		maxLoss:  defaultMaxLoss,
	}
	if s.schedule == nil {
		s.schedule = NewRand()
	}
	if s.cfg.Dial == nil {
		s.cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", address)
		}
	}
	s.sphinx = sphinx.New(geometry)
	if s.identity, err = link.NewIdentity(); err != nil {
		return nil, err
	}
	if s.guards, err = loadGuards(cfg.Guards, cfg.Network); err != nil {
		return nil, err
	}
	s.setExitID(s.guards.exit)
	return s, nil
}

// NewRand returns a source that nobody can predict.
func NewRand() *rand.Rand {
	var seed [32]byte
	cryptorand.Read(seed[:])
	return rand.New(rand.NewChaCha8(seed))
}

// defaultMaxLoss holds until an exit's descriptor is known.
const defaultMaxLoss = 0.2

// Add hands a mail to the sender, which takes none that is sealed to another exit
// than the one in use. It returns an error only when ctx ends.
func (s *Sender) Add(ctx context.Context, p Parcel) error {
	select {
	case s.added <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Remove takes a mail back: nothing more is sent for it.
func (s *Sender) Remove(ctx context.Context, id mail.ParcelID) {
	select {
	case s.ended <- id:
	case <-ctx.Done():
	}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	helpers.Go(func() {
		for tell := range s.told {
			tell(ctx, s.cfg.Store)
		}
	})
	defer close(s.told)
	helpers.Go(func() { s.read(ctx) })
	defer close(s.wanted)
	defer cancel()
	defer s.disconnect(time.Time{})

	now := time.Now()
	s.start(now)
	next := s.clock.Next(now) // slot
	between := next           // half-way to the slot after it
	slot, dial, fetch := time.NewTimer(time.Until(next)), time.NewTimer(0), time.NewTimer(time.Until(s.fetch.at))
	half := time.NewTimer(time.Until(never))
	defer slot.Stop()
	defer half.Stop()
	defer dial.Stop()
	defer fetch.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-slot.C:
			now := time.Now()
			// After a suspension the timer fires late: that slot is gone.
			if now.Sub(next) < s.slot/2 {
				s.sendSlot(now)
			} else {
				s.countMissed(1)
			}
			between = next.Add(s.slot / 2)
			half.Reset(time.Until(between))
			s.afterSlot(now)
			following := s.clock.Next(time.Now())
			s.countMissed(max(0, int(following.Sub(next).Round(s.slot)/s.slot)-1)) // that went by meanwhile
			next = following
			slot.Reset(time.Until(next))
			continue
		case <-half.C:
			if time.Since(between) < s.slot/2 {
				s.sendAck()
			}
			continue
		case <-dial.C:
			s.dial(ctx, &helpers)
		case <-fetch.C:
			s.fetchConsensus(time.Now())
		case e := <-s.events:
			e(ctx, time.Now())
		case p := <-s.added:
			s.add(p, time.Now())
		case id := <-s.ended:
			s.forget(id)
		}
		dial.Reset(time.Until(s.redial.at))
		fetch.Reset(time.Until(s.fetch.at))
	}
}

// start sets the state that begins with the first slot's time.
func (s *Sender) start(now time.Time) {
	s.slot = s.cfg.Network.Parameters.Slot
	s.clock = mixing.NewClock(now.Add(time.Duration(s.schedule.Int64N(int64(s.slot)))), s.slot)
	s.outbox = mixing.NewOutbox(mixing.Params{ResendMean: s.cfg.Resend, Window: s.cfg.Window, MaxLoss: s.maxLoss}, s.rng)
	s.redial.at = now
	s.planFetch(now)
}

// add takes a mail in, unless the exit has changed since it was sealed: then it
// has missed the news, which is told again.
func (s *Sender) add(p Parcel, now time.Time) {
	if p.Exit != s.guards.exit {
		s.tell(func(_ context.Context, store Store) { store.ExitChanged() })
		return
	}
	id := mail.ParcelID(p.ID)
	if s.parcels[id] != nil {
		return
	}
	kept := &parcel{expires: p.Expires}
	if n := len(p.Queries); n > 0 {
		kept.last = p.Queries[n-1:]
	}
	s.parcels[id] = kept
	s.outbox.Add(p.Parcel)
	s.end(now, id, kept)
	s.readAhead(now)
}

// end stops the fragments of a parcel whose time is over: the exit would take none.
// Only its last question is still asked.
func (s *Sender) end(now time.Time, id mail.ParcelID, p *parcel) {
	if p.over || !Over(s.cfg.Network, s.networkTime(now), p.expires) {
		return
	}
	p.over = true
	s.outbox.Remove(mixing.ID(id))
	s.outbox.Add(mixing.Parcel{ID: mixing.ID(id), Fragments: 1, Complete: true, Queries: p.last})
}

// post hands an event to the loop, unless it ends first.
func (s *Sender) post(ctx context.Context, e event) {
	select {
	case s.events <- e:
	case <-ctx.Done():
	}
}

// networkTime is this machine's time put right by what the consensus proved.
func (s *Sender) networkTime(now time.Time) time.Time { return now.Add(s.offset) }

func (s *Sender) epoch(now time.Time) uint64 { return s.cfg.Network.Epoch(s.networkTime(now)) }

// connection is the link to the entry and the goroutine that writes to it.
type connection struct {
	link *link.Conn
	out  chan outgoing // closed by disconnect
	skew time.Duration // of this machine's clock, ahead of the entry's
}

// outgoing is one write: a slot's packet with an acknowledgement, a request for
// a consensus, or an acknowledgement alone.
type outgoing struct {
	packet    []byte
	consensus uint64
	ack       *uint32 // nil: an empty command in its place
}

// never is the time of what is not planned.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// backoff spaces the attempts to reach the entry.
type backoff struct {
	at       time.Time
	failures int
}

// Bounds of the wait between two attempts to reach the entry.
const maxRedial = 10 * time.Minute

// redialLater plans the next attempt: after about three slots, doubling.
func (s *Sender) redialLater(now time.Time) {
	wait := min(3*s.slot<<min(s.redial.failures, 8), maxRedial)
	s.redial.failures++
	s.redial.at = now.Add(wait/2 + time.Duration(s.schedule.Int64N(int64(wait))))
}

// dialTimeout bounds one attempt to reach the entry.
const dialTimeout = 30 * time.Second

// silence is how long an entry may say nothing. It writes every 10 s when idle,
// and waits for an acknowledgement, which goes with the next slot.
func silence(slot time.Duration) time.Duration { return 20*time.Second + 2*slot }

func (s *Sender) dial(ctx context.Context, helpers *sync.WaitGroup) {
	s.redial.at = never
	entry := s.guards.entry
	helpers.Go(func() {
		conn, err := s.connect(ctx, entry)
		s.post(ctx, func(ctx context.Context, now time.Time) {
			if err != nil {
				s.setLink(err)
				s.entryFailed(now)
				s.redialLater(now)
				return
			}
			s.connected(ctx, now, conn, helpers)
		})
		if err == nil && ctx.Err() != nil {
			conn.Close()
		}
	})
}

func (s *Sender) connect(ctx context.Context, entry *directory.Member) (*link.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := s.cfg.Dial(ctx, entry.Address)
	if err != nil {
		return nil, errors.New("the entry cannot be reached")
	}
	return link.Handshake(ctx, conn, s.identity, entry, s.sphinx.Geometry(), silence(s.cfg.Network.Parameters.Slot))
}

// connected takes a new link into use.
func (s *Sender) connected(ctx context.Context, now time.Time, l *link.Conn, helpers *sync.WaitGroup) {
	s.redial.failures = 0
	c := &connection{link: l, out: make(chan outgoing, 1), skew: l.ClockSkew()}
	s.conn, s.ack = c, nil
	s.setLink(nil)
	s.setSkew(c.skew)

	gone := func(ctx context.Context, now time.Time) {
		if s.conn == c {
			s.setLink(errors.New("the connection to the entry was lost"))
			s.disconnect(now)
		}
	}
	helpers.Go(func() {
		defer l.Close()
		for o := range c.out {
			if err := o.write(l); err != nil {
				s.post(ctx, gone)
				for range c.out { // until disconnect closes it
				}
				return
			}
		}
	})
	helpers.Go(func() {
		for {
			message, err := l.Receive()
			if err != nil {
				s.post(ctx, gone)
				return
			}
			s.post(ctx, func(ctx context.Context, now time.Time) {
				if s.conn != c {
					return
				}
				switch m := message.(type) {
				case *link.Reply:
					s.reply(now, m)
				case *link.Consensus:
					s.received(ctx, now, m, helpers)
				}
			})
			if ctx.Err() != nil {
				return
			}
		}
	})
	if s.views[s.epoch(now)] == nil {
		s.fetch.at = now // it belongs to the start of a connection
	} else if s.prepared == nil {
		s.prepare(now)
	}
}

func (o outgoing) write(l *link.Conn) error {
	switch {
	case o.packet != nil:
		return l.SendSlot(o.packet, o.ack)
	case o.consensus != 0:
		return l.RequestConsensus(o.consensus)
	}
	return l.SendAck(o.ack)
}

// disconnect ends the connection, if there is one, and plans the next.
func (s *Sender) disconnect(now time.Time) {
	if s.conn == nil {
		return
	}
	close(s.conn.out)
	s.conn.link.Close()
	s.conn = nil
	s.fetch.asked = false
	s.redialLater(now)
	if s.fetch.at.Equal(never) {
		s.planFetch(now)
	}
}

// entryFailed notes that something was tried with the entry and has had no reply
// yet, which takes it back; and changes the entry after long failure.
func (s *Sender) entryFailed(now time.Time) {
	if !s.guards.EntryFailing.failed(s.epoch(now)) {
		return
	}
	if s.guards.changeEntry(s.patience(entryPatience), s.schedule) {
		s.cfg.Log.Warn("nothing came back from the entry for long; another was chosen", "entry", s.guards.entry.Name)
		s.disconnect(now)
	}
	s.saveGuards() // once an epoch, so that it counts across restarts
}

// patience is a time in epochs, at least a few.
func (s *Sender) patience(d time.Duration) uint64 {
	return max(3, uint64(d/s.cfg.Network.Parameters.Epoch))
}
