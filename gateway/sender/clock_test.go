package sender

import (
	"path/filepath"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/fakenet"
)

// behind makes a sender whose machine's clock is some epochs behind the entry's,
// connected, at a moment of which its own epoch has no consensus.
func behind(t *testing.T, epochs int) (*Sender, *fakenet.Network, time.Time) {
	t.Helper()
	p := directory.Parameters{Epoch: 20 * time.Minute, Slot: 20 * time.Second, Delay: 20 * time.Second, Layers: 3, Scheme: "x25519", Payload: 4000}
	n, err := fakenet.New(p)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Network: n.Network, Floors: directory.Floors{MaxSlot: time.Hour}, Guards: filepath.Join(t.TempDir(), "guards.json"), Resend: time.Minute, Window: 100})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s.start(now)
	s.conn = &connection{out: make(chan outgoing, 1), skew: -time.Duration(epochs) * p.Epoch}
	return s, n, now
}

// asked returns the epoch whose consensus the sender has just asked for.
func asked(t *testing.T, s *Sender) uint64 {
	t.Helper()
	select {
	case o := <-s.conn.out:
		return o.consensus
	default:
		t.Fatal("no consensus was asked for")
		return 0
	}
}

// A clock that is behind is put right by a consensus of the epoch that the entry's
// is in, and by nothing less. The slots stay where they are.
func TestClockBehind(t *testing.T) {
	s, n, now := behind(t, 3)
	wrong := s.epoch(now)
	slot := s.clock.Next(now)

	s.unavailable(now, wrong, false)
	if got := asked(t, s); got != wrong+3 {
		t.Fatalf("asked for epoch %d, want %d", got, wrong+3)
	}
	if s.offset != 0 {
		t.Fatal("the entry's word alone moved the clock")
	}
	raw, err := n.Consensus(wrong + 3)
	if err != nil {
		t.Fatal(err)
	}
	view, err := n.Verify(raw, wrong+3)
	s.verified(now, view, err, s.fetch.hint)
	for s.saving { // the choice of an exit
		tell := <-s.told
		go tell(t.Context(), nil)
		(<-s.events)(t.Context(), now)
	}
	if s.epoch(now) != wrong+3 {
		t.Errorf("in epoch %d, want %d", s.epoch(now), wrong+3)
	}
	if s.prepared == nil {
		t.Error("nothing is ready for the next slot")
	}
	if got := s.clock.Next(now); !got.Equal(slot) {
		t.Errorf("the next slot moved by %v", got.Sub(slot))
	}
	if st := s.Status(); len(st.Warnings) == 0 || st.ClockOffset != "1h0m0s" {
		t.Errorf("the user is told %q and %q", st.Warnings, st.ClockOffset)
	}

	// The clock is set: the correction goes.
	s.conn.skew, s.fetch.asked = 0, false
	s.unavailable(now.Add(3*20*time.Minute), wrong+6, false)
	if s.offset != 0 || asked(t, s) != wrong+3 {
		t.Error("the correction stays although the clock was set")
	}
}

// An entry that only claims another time, and has no consensus of it, moves
// nothing.
func TestClockNotMovedByWord(t *testing.T) {
	s, n, now := behind(t, 3)
	wrong := s.epoch(now)
	s.unavailable(now, wrong, false)
	asked(t, s)
	raw, err := n.Consensus(wrong) // an old one for the one asked for
	if err != nil {
		t.Fatal(err)
	}
	view, err := n.Verify(raw, wrong+3)
	if err == nil {
		t.Fatal("an old consensus passes for a new one")
	}
	s.verified(now, view, err, s.fetch.hint)
	if s.offset != 0 || s.prepared != nil {
		t.Error("the clock moved")
	}
}

// A clock that is ahead is not moved back: nothing proves that an older consensus
// is the newest.
func TestClockAhead(t *testing.T) {
	s, _, now := behind(t, -3)
	s.unavailable(now, s.epoch(now), false)
	select {
	case o := <-s.conn.out:
		t.Errorf("asked for epoch %d", o.consensus)
	default:
	}
	if s.offset != 0 {
		t.Error("the clock moved")
	}
	if st := s.Status(); st.Protected {
		t.Error("claims to protect")
	}
}
