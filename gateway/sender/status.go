package sender

import (
	"fmt"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Status is what a sender can say of itself. Counts are since its start.
type Status struct {
	Protected   bool     `json:"protected"`              // packets leave and return as they should
	Reasons     []string `json:"reasons,omitempty"`      // why not
	Warnings    []string `json:"warnings,omitempty"`     // what its user should know all the same
	Entry       string   `json:"entry"`                  // its name
	Connected   bool     `json:"connected"`              //
	Epoch       uint64   `json:"epoch"`                  // of the consensus in use; 0: none
	Slot        string   `json:"slot"`                   // time between two packets
	Delay       string   `json:"delay,omitempty"`        // mean at each mix
	Mixes       []int    `json:"mixes,omitempty"`        // in each layer
	PacketsSent uint64   `json:"packets_sent"`           //
	CoverSent   uint64   `json:"cover_packets_sent"`     // of those
	SlotsMissed uint64   `json:"slots_missed"`           //
	Answered    uint64   `json:"packets_answered"`       //
	Stray       uint64   `json:"replies_unrecognised"`   //
	Lost        int      `json:"packets_lost"`           // of the last RecentOf whose fate is known
	RecentOf    int      `json:"packets_lost_of"`        //
	LostInAll   uint64   `json:"packets_lost_in_all"`    // answers that are overdue, or came when they were no longer awaited
	Holding     bool     `json:"holding"`                // so many are lost that mail is held back
	CanAccept   bool     `json:"can_accept"`             // the exit's key of the day is known
	ClockOffset string   `json:"clock_offset,omitempty"` // how far this machine's clock is behind
}

// published is what other goroutines may see; guarded by Sender.mu.
type published struct {
	status    Status
	answered  time.Time     // when the last reply came
	silence   time.Duration // how long none may come
	link      error
	view      error
	behind    uint64 // epochs that the consensus in use is older than it should be
	consensus error
	guards    error
	skew      time.Duration
	offset    time.Duration
	exitID    sphinx.NodeID      // in use; zero: none yet
	exit      directory.ExitInfo // of its descriptor
	exitKnown bool
	keys      []mail.DayKey // of this exit
}

// Status returns what the sender can say of itself now.
func (s *Sender) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &s.public
	st := p.status
	now := time.Now().Add(p.offset)
	_, err := p.key(now)
	st.CanAccept = err == nil
	if err == (errTwoKeys{}) {
		st.Warnings = append(st.Warnings, err.Error())
	}
	if p.behind > 0 {
		st.Warnings = append(st.Warnings, fmt.Sprintf("there is no consensus of this epoch: that of epoch %d serves, for %d epochs more", st.Epoch, lastsFor-p.behind))
	}
	reason := func(format string, args ...any) { st.Reasons = append(st.Reasons, fmt.Sprintf(format, args...)) }
	switch {
	case !st.Connected && p.link != nil:
		reason("not connected: %v", p.link)
	case !st.Connected:
		reason("connecting to the entry")
	case p.view != nil && p.consensus != nil:
		reason("silent: %v; %v", p.view, p.consensus)
	case p.view != nil:
		reason("silent: %v", p.view)
	case st.Answered == 0:
		reason("no reply has come back yet")
	case time.Since(p.answered) > p.silence:
		reason("no reply has come back for %v", time.Since(p.answered).Round(time.Second))
	case st.Holding:
		reason("%d of the last %d packets were lost, so mail is held back and only cover is sent", st.Lost, st.RecentOf)
	}
	st.Protected = len(st.Reasons) == 0
	if p.guards != nil {
		st.Warnings = append(st.Warnings, fmt.Sprintf("the choice of entry and exit cannot be written to the disk: %v", p.guards))
	}
	if p.offset != 0 {
		st.ClockOffset = p.offset.Round(time.Second).String()
		st.Warnings = append(st.Warnings, fmt.Sprintf("this machine's clock is %v behind the network's; set it", p.offset.Round(time.Second)))
	} else if p.skew > time.Minute {
		st.Warnings = append(st.Warnings, fmt.Sprintf("this machine's clock is %v ahead of the entry's; if it is wrong, set it", p.skew.Round(time.Second)))
	}
	return st
}

// publish copies what the loop knows, once a slot.
func (s *Sender) publish(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.public.status
	st.Entry = s.guards.entry.Name
	st.Slot = s.slot.String()
	st.Lost, st.RecentOf = s.outbox.Loss()
	st.Holding = s.outbox.Holding()
	st.LostInAll = s.forgotten
	for _, p := range s.pending {
		if s.networkTime(now).After(p.due) {
			st.LostInAll++
		}
	}
	st.Epoch, st.Delay, st.Mixes, s.public.behind = 0, "", nil, 0
	if v := s.newest(now); v != nil {
		// Longer than all but one in a thousand packets with six such delays live.
		s.public.silence = 17*v.Delay + slack(s.slot)
		st.Epoch, st.Delay, s.public.behind = v.Epoch, v.Delay.String(), s.epoch(now)-v.Epoch
		for _, layer := range v.Layers {
			st.Mixes = append(st.Mixes, len(layer))
		}
	}
}

// set changes what is published.
func (s *Sender) set(change func(p *published)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.public)
}

func (s *Sender) setLink(err error) {
	s.set(func(p *published) { p.link, p.status.Connected = err, err == nil })
}
func (s *Sender) setSkew(d time.Duration)   { s.set(func(p *published) { p.skew = d }) }
func (s *Sender) setOffset(d time.Duration) { s.set(func(p *published) { p.offset = d }) }
func (s *Sender) setConsensus(err error)    { s.set(func(p *published) { p.consensus = err }) }
func (s *Sender) setGuards(err error)       { s.set(func(p *published) { p.guards = err }) }

// setExit publishes what the descriptor of the exit in use says.
func (s *Sender) setExit(e *directory.Exit) {
	s.set(func(p *published) {
		if p.exitKnown && !e.SigningKey.Equal(p.exit.SigningKey) {
			p.keys = nil
		}
		p.exit, p.exitKnown = e.ExitInfo, true
	})
}

// setExitID publishes which exit is in use. What is known of another is forgotten.
func (s *Sender) setExitID(id sphinx.NodeID) {
	s.set(func(p *published) { p.exitID, p.exitKnown, p.keys = id, false, nil })
}

func (s *Sender) setView(err error) { s.set(func(p *published) { p.view = err }) }
func (s *Sender) countMissed(n int) { s.set(func(p *published) { p.status.SlotsMissed += uint64(n) }) }
func (s *Sender) countStray()       { s.set(func(p *published) { p.status.Stray++ }) }
func (s *Sender) countAnswered(now time.Time) {
	s.set(func(p *published) { p.status.Answered++; p.answered = now })
}
func (s *Sender) countSent(k mixing.Kind) {
	s.set(func(p *published) {
		p.status.PacketsSent++
		if k == mixing.Cover {
			p.status.CoverSent++
		}
	})
}

// keptKeys bounds the exit's keys that are remembered: today's, tomorrow's, and
// enough to see that there are two of a day.
const keptKeys = 8

// setKey remembers one of the exit's keys until its day is over. What it has seen no
// later key can make it forget before.
func (s *Sender) setKey(k mail.DayKey) {
	s.set(func(p *published) {
		today := mailDay(time.Now().Add(p.offset))
		p.keys = slices.DeleteFunc(p.keys, func(have mail.DayKey) bool { return have.Day < today })
		known := slices.ContainsFunc(p.keys, func(have mail.DayKey) bool { return have.ID == k.ID })
		if !known && k.Day >= today && len(p.keys) < keptKeys {
			p.keys = append(p.keys, k)
		}
	})
}

func (s *Sender) currentExit() (directory.ExitInfo, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public.exit, s.public.exitKnown
}

// Exit returns the exit in use, or false before there is one.
func (s *Sender) Exit() (id sphinx.NodeID, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.public.exitID, s.public.exitID != sphinx.NodeID{}
}

// ExitExpiry returns how many epochs the exit lets a mail live, or 0 before that
// is known.
func (s *Sender) ExitExpiry() uint64 {
	exit, _ := s.currentExit()
	return exit.Expiry
}

// Now is the network's time: this machine's, put right by what the consensus
// proved.
func (s *Sender) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.public.offset)
}
