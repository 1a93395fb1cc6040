package mixing

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newRand(seed uint64) *rand.Rand {
	var s [32]byte
	for i := range 8 {
		s[i] = byte(seed >> (8 * i))
	}
	return rand.New(rand.NewChaCha8(s))
}

func TestClockNext(t *testing.T) {
	const period = 20 * time.Second
	c := NewClock(start, period)
	for _, test := range []struct {
		name      string
		now, want time.Duration // since the phase
	}{
		{"on a slot", 0, period},
		{"just after a slot", 1, period},
		{"just before a slot", period - 1, period},
		{"on the next slot", period, 2 * period},
		{"before the phase", -1, 0},
		{"a slot before the phase", -period, 0},
		{"long before the phase", -10*period - 1, -10 * period},
		{"after a month's sleep", 30*24*time.Hour + 7*time.Second, 30*24*time.Hour + period},
	} {
		if got := c.Next(start.Add(test.now)); !got.Equal(start.Add(test.want)) {
			t.Errorf("%s: slot at phase%+v, want phase%+v", test.name, got.Sub(start), test.want)
		}
	}
}

// Every slot lies on the grid, strictly after now, with none between; whatever the period.
func TestClockGrid(t *testing.T) {
	rng := newRand(1)
	for range 10000 {
		period := time.Duration(1 + rng.Int64N(int64(time.Hour)))
		phase := start.Add(time.Duration(rng.Int64N(int64(period))))
		now := start.Add(time.Duration(rng.Int64N(int64(1000*time.Hour))) - 500*time.Hour)
		next := NewClock(phase, period).Next(now)
		if wait := next.Sub(now); wait <= 0 || wait > period {
			t.Fatalf("period %v: waits %v", period, wait)
		}
		if off := next.Sub(phase) % period; off != 0 {
			t.Fatalf("period %v: slot is %v off the grid", period, off)
		}
	}
}

// A machine that sleeps through slots does not send them afterwards, and stays on the grid.
func TestClockSkipsMissedSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const period = 20 * time.Second
		phase := time.Now().Add(3 * time.Second)
		c := NewClock(phase, period)
		var slots []time.Duration
		for i := range 6 {
			time.Sleep(time.Until(c.Next(time.Now())))
			slots = append(slots, time.Since(phase)/period)
			if off := time.Since(phase) % period; off != 0 {
				t.Fatalf("sent %v off the grid", off)
			}
			if i == 2 {
				time.Sleep(5*period + period/2) // suspended
			}
		}
		want := []time.Duration{0, 1, 2, 8, 9, 10}
		for i := range want {
			if slots[i] != want[i] {
				t.Fatalf("sent in slots %d, want %d", slots, want)
			}
		}
	})
}

func TestClockKeepsMonotonicReading(t *testing.T) {
	now := time.Now()
	if next := NewClock(now, time.Minute).Next(now); !strings.Contains(next.String(), " m=") {
		t.Errorf("%v has no monotonic reading", next)
	}
}

func TestNewClockRefusesBadPeriod(t *testing.T) {
	for _, period := range []time.Duration{0, -time.Second} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("period %v is accepted", period)
				}
			}()
			NewClock(start, period)
		}()
	}
}
