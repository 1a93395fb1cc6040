package sender

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// fetch is the next consensus to ask for.
type fetch struct {
	at    time.Time
	epoch uint64 // of the document; 0: the current one
	asked bool   // the answer is awaited
	hint  bool   // this is the epoch that the entry's clock is in, not ours
}

// lastsFor is how many epochs a consensus serves after its own when there is no
// newer one. Its descriptors carry mix keys for as long.
const lastsFor = 2

// planFetch draws the moment of the next request. An epoch's document can be had
// from five eighths of the epoch before; it is asked for once, at a random time
// between 0.80 and 0.97 of that. Where this failed, it is asked for again a few
// times an epoch. None of it depends on anything but the clock and the entry.
func (s *Sender) planFetch(now time.Time) {
	period := s.cfg.Network.Parameters.Epoch
	epoch := s.epoch(now)
	in := func(e uint64, from, to float64) time.Time {
		share := from + (to-from)*s.schedule.Float64()
		return directory.EpochStart(e, period).Add(time.Duration(share * float64(period))).Add(-s.offset)
	}
	s.fetch.hint = false
	if s.views[epoch] == nil {
		wait := time.Duration((0.04 + 0.08*s.schedule.Float64()) * float64(period))
		s.fetch.at, s.fetch.epoch = now.Add(wait), 0
		return
	}
	next := epoch + 1
	if s.views[next] != nil {
		next++
	}
	if at := in(next-1, 0.80, 0.97); at.After(now) {
		s.fetch.at, s.fetch.epoch = at, next
	} else {
		s.fetch.at, s.fetch.epoch = in(next, 0.02, 0.15), 0
	}
}

// fetchConsensus asks for the planned document.
func (s *Sender) fetchConsensus(now time.Time) {
	s.fetch.at = never
	epoch := s.fetch.epoch
	if epoch == 0 {
		epoch = s.epoch(now)
	}
	if s.conn == nil || s.fetch.asked {
		s.planFetch(now)
		return
	}
	s.ask(now, epoch)
}

func (s *Sender) ask(now time.Time, epoch uint64) {
	select {
	case s.conn.out <- outgoing{consensus: epoch}:
		s.fetch.asked, s.fetch.epoch = true, epoch
	default: // a slot is just being written
		s.fetch.at, s.fetch.epoch = now.Add(s.slot/3), epoch
	}
}

// received takes the entry's answer. Signatures are checked in another
// goroutine, so that no slot waits for them.
func (s *Sender) received(ctx context.Context, now time.Time, c *link.Consensus, helpers *sync.WaitGroup) {
	if !s.fetch.asked {
		return
	}
	s.fetch.asked = false
	epoch, hint := s.fetch.epoch, s.fetch.hint
	if c.Raw == nil {
		s.unavailable(now, epoch, hint)
		return
	}
	// The next epoch's document is seen while the one before is current. A sender that
	// starts again then needs the current one once more.
	if epoch+1 < s.guards.Epoch {
		s.setConsensus(fmt.Errorf("the consensus of epoch %d is older than one seen before, of epoch %d: is this machine's clock right?", epoch, s.guards.Epoch))
		s.planFetch(now)
		return
	}
	helpers.Go(func() {
		view, err := s.cfg.Network.Verify(c.Raw, epoch)
		s.post(ctx, func(_ context.Context, now time.Time) { s.verified(now, view, err, hint) })
	})
}

// unavailable is what follows when the entry has no document for an epoch. If
// its clock is in a later epoch than ours, that epoch's document is asked for: a
// valid one proves that our clock is behind. Nothing proves that a clock is
// ahead, so a gateway whose clock is ahead stays silent and says so.
func (s *Sender) unavailable(now time.Time, epoch uint64, hint bool) {
	if s.offset != 0 && !hint {
		// The correction may be what is wrong now: the clock was set.
		s.offset = 0
		s.setOffset(0)
		s.ask(now, s.epoch(now))
		return
	}
	entry := s.cfg.Network.Epoch(now.Add(-s.conn.skew))
	if !hint && entry > s.epoch(now) {
		s.ask(now, entry)
		s.fetch.hint = true
		return
	}
	if s.views[s.epoch(now)] == nil {
		s.setConsensus(fmt.Errorf("the entry has no consensus for epoch %d", epoch))
		s.entryFailed(now) // it may be withholding it
	}
	s.planFetch(now)
}

// verified takes a checked document into use.
func (s *Sender) verified(now time.Time, view *directory.View, err error, hint bool) {
	defer s.planFetch(now)
	if err != nil {
		s.setConsensus(err)
		return
	}
	if hint && s.conn != nil {
		s.offset = -s.conn.skew
		s.setOffset(s.offset)
	}
	s.setConsensus(nil)
	s.views[view.Epoch] = view
	for e := range s.views {
		if e+lastsFor < s.epoch(now) {
			delete(s.views, e)
		}
	}
	s.guards.Epoch = max(s.guards.Epoch, view.Epoch)
	s.saveGuards()
	if s.prepared == nil {
		s.prepare(now)
	}
}

// newest returns the newest view that may be used now.
func (s *Sender) newest(now time.Time) *directory.View {
	epoch := s.epoch(now)
	for back := uint64(0); back <= lastsFor; back++ {
		if v := s.views[epoch-back]; v != nil {
			return v
		}
	}
	return nil
}

// usable returns the view to send by, or why there is none.
func (s *Sender) usable(now time.Time) (*directory.View, error) {
	view := s.newest(now)
	if view == nil {
		return nil, errors.New("there is no consensus for this time")
	}
	if err := view.Meets(s.cfg.Floors); err != nil {
		return view, err
	}
	g := s.guards
	if _, ok := view.Entry(g.entry.ID()); !ok {
		s.entryFailed(now)
		return view, errors.New("this gateway's entry is not in the consensus; it is given up only after long absence")
	}
	if err := g.chooseExit(view, s.rng, s.patience(exitPatience)); err != nil {
		return view, err
	}
	if g.chosen != g.exit {
		s.saveGuards()
		if g.exit == (sphinx.NodeID{}) {
			return view, errors.New("the choice of an exit is being written to the disk")
		}
	}
	exit, ok := view.Exit(g.exit)
	if !ok {
		g.ExitFailing.failed(s.epoch(now))
		return view, errors.New("this gateway's exit is not in the consensus; it is given up only after long absence")
	}
	if g.chosen == g.exit && exit.Operator != g.ExitOperator {
		g.ExitOperator = exit.Operator
		s.saveGuards()
	}
	if exit.Operator == g.entry.Operator {
		g.ExitFailing.failed(s.epoch(now))
		return view, errors.New("this gateway's exit and its entry are run by one operator, who could see both ends; the exit is given up only after a long time")
	}
	_, known := s.currentExit()
	s.setExit(exit)
	if !known {
		s.learnKeys(now, g.Keys) // of before this start
	}
	s.follow(now, view, exit)
	return view, nil
}

// follow adopts what a consensus says about slots and loss.
func (s *Sender) follow(now time.Time, view *directory.View, exit *directory.Exit) {
	if view.Slot != s.slot {
		s.slot = view.Slot
		s.clock = mixing.NewClock(s.clock.Next(now), s.slot)
	}
	if exit.MaxLoss != s.maxLoss {
		s.maxLoss = exit.MaxLoss
		s.outbox.SetMaxLoss(exit.MaxLoss)
	}
}

// saveGuards has the guards written by the goroutine that may wait for the disk.
// One write is under way at a time; what changes meanwhile is written after it.
func (s *Sender) saveGuards() {
	if s.saving {
		s.unsaved = true
		return
	}
	write, chosen := s.guards.later(), s.guards.chosen
	s.saving = s.tell(func(ctx context.Context, _ Store) {
		err := write()
		s.post(ctx, func(_ context.Context, now time.Time) { s.guardsSaved(now, chosen, err) })
	})
}

// guardsSaved is what follows a write of the guards: a choice of an exit that is on
// the disk now is taken into use. One that is not is tried again with the next slot.
func (s *Sender) guardsSaved(now time.Time, chosen sphinx.NodeID, err error) {
	s.saving = false
	s.setGuards(err)
	if s.unsaved {
		s.unsaved = false
		s.saveGuards()
	}
	if err != nil || chosen == s.guards.exit {
		return
	}
	s.guards.exit = chosen
	s.setExitID(chosen)
	for id := range s.parcels { // they are sealed to the exit that is gone
		s.forget(id)
	}
	s.tell(func(_ context.Context, store Store) { store.ExitChanged() })
	s.prepare(now)
}

func (s *Sender) forget(id mail.ParcelID) {
	s.outbox.Remove(mixing.ID(id))
	delete(s.parcels, id)
}
