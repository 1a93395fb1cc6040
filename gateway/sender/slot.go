package sender

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// prepared is a packet that waits for its slot.
type prepared struct {
	packet []byte
	reply  sphinx.ReplyID
	keys   sphinx.ReplyKeys
	choice mixing.Choice
	life   time.Duration // all hops' delays, there and back
}

// pending is a packet whose reply is awaited.
type pending struct {
	keys   sphinx.ReplyKeys
	choice mixing.Choice
	ticket mixing.Ticket
	asked  time.Time // when it left; like due and drop the network's time
	due    time.Time // when it counts as lost
	drop   time.Time // when the keys are forgotten
}

// slack is how much later than its hops' delays a reply may come before its
// packet counts as lost: an entry returns replies one a slot.
func slack(slot time.Duration) time.Duration { return 15*slot + 10*time.Second }

// forgetAfter slacks a late reply is no longer recognised.
const forgetAfter = 10

// sendSlot sends the prepared packet in its slot.
func (s *Sender) sendSlot(now time.Time) {
	p := s.prepared
	s.prepared = nil
	if p == nil || s.conn == nil {
		s.countMissed(1)
		return
	}
	select {
	case s.conn.out <- outgoing{packet: p.packet, ack: s.ack}:
	default: // the line is still busy with the slot before
		s.countMissed(1)
		return
	}
	s.ack = nil
	due := s.networkTime(now).Add(p.life + slack(s.slot))
	s.pending[p.reply] = &pending{
		keys: p.keys, choice: p.choice, ticket: s.outbox.Sent(p.choice, due),
		asked: s.networkTime(now), due: due,
		drop: due.Add(forgetAfter * slack(s.slot)),
	}
	s.guards.ExitFailing.failed(s.epoch(now)) // until it answers
	defer s.entryFailed(now)                  // likewise
	s.countSent(p.choice.Kind)
}

// sendAck sends, half-way between two slots, the acknowledgement of a reply that
// came since the slot, or an empty command. Without a packet to follow, before
// the first consensus or below the floors, nothing is sent.
func (s *Sender) sendAck() {
	if s.conn == nil || s.prepared == nil {
		return
	}
	select {
	case s.conn.out <- outgoing{ack: s.ack}:
		s.ack = nil
	default: // the line is still busy with the slot
	}
}

// afterSlot does what is due once a slot, and prepares the next one's packet.
func (s *Sender) afterSlot(now time.Time) {
	s.outbox.Tick(s.networkTime(now))
	for id, p := range s.pending {
		if s.networkTime(now).After(p.drop) {
			delete(s.pending, id)
			s.forgotten++
		}
	}
	for id, p := range s.parcels {
		s.end(now, id, p)
	}
	s.prepare(now)
	s.publish(now)
}

// prepare wraps the packet of the next slot. Without a connection or a usable
// consensus there is none, and the reason is in the status. It waits for no disk:
// what has not been read yet is not in it.
func (s *Sender) prepare(now time.Time) {
	s.prepared = nil
	if s.conn == nil {
		return
	}
	view, err := s.usable(now)
	if err == nil {
		s.prepared, err = s.wrap(view, now)
	}
	s.setView(err)
	s.readAhead(now)
}

// maxRoutes bounds the routes that are tried for one packet.
const maxRoutes = 16

// wrap makes a packet of what is there to send. A mix may publish a key that cannot
// be used: then another route is drawn. That depends on the consensus and on chance,
// and not on what the packet carries.
func (s *Sender) wrap(view *directory.View, now time.Time) (*prepared, error) {
	choice, request := s.content(now)
	for tries := 1; ; tries++ {
		p, err := s.wrapOn(view, now, request)
		if err == nil {
			p.choice = choice
			return p, nil
		}
		if tries == maxRoutes {
			return nil, err
		}
	}
}

func (s *Sender) wrapOn(view *directory.View, now time.Time, request []byte) (*prepared, error) {
	p := new(prepared)
	cryptorand.Read(p.reply[:])
	route, err := view.Route(s.rng, s.epoch(now), s.guards.entry.ID(), s.guards.exit, s.identity.Client(), p.reply)
	if err != nil {
		return nil, err
	}
	p.life = route.Delay
	block, keys, err := s.sphinx.NewReplyBlock(route.Back)
	if err != nil {
		return nil, err
	}
	p.keys = keys
	plaintext, err := s.sphinx.Geometry().Plaintext(block, request)
	if err != nil {
		return nil, err
	}
	if p.packet, err = s.sphinx.Wrap(route.Forward, plaintext); err != nil {
		return nil, err
	}
	return p, nil
}

// content chooses what the packet carries that is wrapped now, and returns it as the
// exit reads it. A fragment that has not been read is not waited for: this packet is
// cover.
func (s *Sender) content(now time.Time) (mixing.Choice, []byte) {
	size := s.sphinx.Geometry().UserPayloadLength
	read := s.ahead
	if read.request != nil {
		s.ahead = ahead{}
	}
	c := s.outbox.Next(s.networkTime(now))
	switch c.Kind {
	case mixing.Fragment:
		if read.request != nil && s.outbox.Ready(read.choice) {
			return read.choice, read.request
		}
	case mixing.Query:
		id := mail.ParcelID(c.Parcel)
		if p := s.parcels[id]; p != nil {
			if b, err := mail.NewQuery(id, p.expires).Marshal(size); err == nil {
				return c, b
			}
		}
	}
	cover, _ := (&mail.Request{Kind: mail.Cover}).Marshal(size) // fits any payload that a query does
	return mixing.Choice{}, cover
}

// ahead is the fragment that is read, or was, for the packet after the prepared one.
type ahead struct {
	choice  mixing.Choice
	reading bool
	request []byte // nil before it is read
}

// readAhead has the next fragment read, if there is one and none is being read.
func (s *Sender) readAhead(now time.Time) {
	if s.ahead.reading || s.ahead.request != nil {
		return
	}
	var but mixing.Choice
	if s.prepared != nil {
		but = s.prepared.choice
	}
	if c, ok := s.outbox.Ahead(s.networkTime(now), but); ok {
		s.ahead = ahead{choice: c, reading: true}
		s.wanted <- c // has room: one is read at a time
	}
}

// read reads the fragments that the loop wants, in a goroutine of its own: a disk may
// stall for as long as it likes.
func (s *Sender) read(ctx context.Context) {
	for c := range s.wanted {
		var request []byte
		r, err := s.cfg.Store.Request(mail.ParcelID(c.Parcel), c.Index)
		if err == nil {
			request, err = r.Marshal(s.sphinx.Geometry().UserPayloadLength)
		}
		s.post(ctx, func(_ context.Context, now time.Time) {
			s.ahead = ahead{}
			switch {
			case err == nil:
				s.ahead = ahead{choice: c, request: request}
			case s.outbox.Ready(c): // still wanted, and cannot be had: the store has ended the mail
				s.forget(mail.ParcelID(c.Parcel))
				s.readAhead(now)
			}
		})
	}
}

// reply takes a reply that the entry pushed. Whatever it is, it is acknowledged
// with the next slot, and nothing else that is visible depends on it.
func (s *Sender) reply(now time.Time, r *link.Reply) {
	s.ack = &r.Sequence
	p := s.pending[r.ID]
	if p == nil {
		s.countStray()
		return
	}
	delete(s.pending, r.ID)
	plain, err := s.sphinx.OpenReply(r.Payload, p.keys)
	if err != nil {
		s.countStray()
		return
	}
	answer, err := mail.ParseReply(plain[:s.sphinx.Geometry().UserPayloadLength])
	if err != nil {
		s.countStray()
		return
	}
	s.outbox.Answered(p.ticket)
	s.countAnswered(now)
	s.guards.EntryFailing.worked(s.epoch(now))
	s.guards.ExitFailing.worked(s.epoch(now))
	s.learnKeys(now, answer.Keys)
	if answer.State == mail.StateNone || mixing.ID(answer.Parcel) != p.choice.Parcel {
		return
	}
	// What is known to have ended sends no fragment any more, but is asked for until
	// the store has it for good.
	ended := answer.State == mail.StateDone || answer.State == mail.StateRefused
	missing := answer.Missing
	if answer.State == mail.StateUnknown {
		missing = ^uint64(0)
	}
	s.outbox.Update(p.ticket, p.choice.Parcel, missing, ended || answer.State == mail.StateComplete, false, s.networkTime(now))
	s.tell(func(ctx context.Context, store Store) {
		if ended, err := store.Answered(answer, p.asked); ended && err == nil {
			s.post(ctx, func(context.Context, time.Time) { s.forget(answer.Parcel) })
		}
	})
}

// tell passes something on to the goroutine that may wait for the disk, and reports
// whether it did: when that is far behind, a disk that hangs, the news is dropped,
// and whoever tells must have another occasion. The loop goes on asking for a mail
// until the store has its fate, and for the guards there is the next slot or consensus.
func (s *Sender) tell(n news) bool {
	select {
	case s.told <- n:
		return true
	default:
		return false
	}
}

// learnKeys keeps the exit's keys that its signing key vouches for.
func (s *Sender) learnKeys(now time.Time, keys []mail.SignedKey) {
	exit, ok := s.currentExit()
	if !ok {
		return
	}
	changed := false
	for _, k := range keys {
		if k.Verify(exit.SigningKey) {
			s.setKey(k.DayKey)
			// While another exit is chosen and not yet in use, these are not its keys.
			if s.guards.chosen == s.guards.exit && s.guards.keep(k, mailDay(s.networkTime(now))) {
				changed = true
			}
		}
	}
	if changed {
		s.saveGuards()
	}
}

// ErrNoKey says that there is no key to seal by, usually since the exit has not
// answered yet.
var ErrNoKey = errors.New("the network has not answered yet; it does within minutes when all is well: `sourdine status` says more")

// errTwoKeys is an ErrNoKey with a reason of its own. An exit that gave each gateway
// another key would know by it who sealed a mail.
type errTwoKeys struct{}

func (errTwoKeys) Error() string {
	return "the exit has signed two keys for today, which honest exits do not: nothing is sealed to either, so wait until tomorrow"
}

func (errTwoKeys) Is(target error) bool { return target == ErrNoKey }

// Sealing is what a mail is sealed by, all of one moment.
type Sealing struct {
	Key  mail.DayKey   // the exit's of the day
	Exit sphinx.NodeID // whose key that is
	Info directory.ExitInfo
	Now  time.Time // the network's
}

// Sealing returns what to seal a mail by, or ErrNoKey.
func (s *Sender) Sealing() (Sealing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.public
	now := time.Now().Add(p.offset)
	key, err := p.key(now)
	if err != nil {
		return Sealing{}, err
	}
	return Sealing{key, p.exitID, p.exit, now}, nil
}

// key returns the exit's key of the day.
func (p *published) key(now time.Time) (key mail.DayKey, err error) {
	err = ErrNoKey
	for _, k := range p.keys {
		switch {
		case k.Day != mailDay(now) || !p.exitKnown:
		case err == nil:
			return mail.DayKey{}, errTwoKeys{}
		default:
			key, err = k, nil
		}
	}
	return key, err
}

// mailDay is the UTC day of t, as mail counts days.
func mailDay(t time.Time) uint32 { return uint32(t.Unix() / 86400) }
