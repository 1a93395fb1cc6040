package authority

import (
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
)

// hour is the beginning of an epoch of an hour; epoch is its number.
var (
	hour  = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	epoch = directory.EpochAt(hour, time.Hour)
)

func TestTurns(t *testing.T) {
	for _, test := range []struct {
		name      string
		index, of int
		now, want time.Duration // from the hour
	}{
		{"at the epoch's beginning", 0, 3, 0, 41*time.Minute + 15*time.Second},
		{"while they vote", 0, 3, 20 * time.Minute, 41*time.Minute + 15*time.Second},
		{"the second of three", 1, 3, 20 * time.Minute, 45 * time.Minute},
		{"the third of three", 2, 3, 20 * time.Minute, 48*time.Minute + 45*time.Second},
		{"right before", 1, 3, 45*time.Minute - 1, 45 * time.Minute},
		{"at the turn", 1, 3, 45 * time.Minute, time.Hour + 45*time.Minute},
		{"after it", 1, 3, 50 * time.Minute, time.Hour + 45*time.Minute},
		{"alone", 0, 1, 59 * time.Minute, time.Hour + 41*time.Minute + 15*time.Second},
		{"the last of many", 31, 32, 0, 52*time.Minute + 8*time.Second + 906250*time.Microsecond},
	} {
		turn := turns{time.Hour, test.index, test.of}
		if got := turn.next(hour.Add(test.now)); !got.Equal(hour.Add(test.want)) {
			t.Errorf("%s: %v, want %v", test.name, got.Sub(hour), test.want)
		}
	}
}

// Every authority of every network has its turn when no vote goes on, alone, and
// with time to come back before the next epoch.
func TestTurnsAreSafe(t *testing.T) {
	for _, period := range []time.Duration{2 * time.Second, 10 * time.Second, time.Hour, 24 * time.Hour} {
		begins := directory.EpochStart(1000, period)
		for of := 1; of <= 32; of++ {
			last := begins.Add(period * 5 / 8)
			for index := range of {
				turn := turns{period, index, of}
				at := turn.next(begins)
				if !at.After(last) || at.After(begins.Add(period*7/8)) || !turn.safe(at) {
					t.Errorf("epoch %v, authority %d of %d: turn after %v", period, index, of, at.Sub(begins))
				}
				last = at
			}
		}
	}
}

// Whenever a node is admitted, it joins within the time that is said.
func TestJoinTime(t *testing.T) {
	least, most := JoinTime(time.Hour)
	shortest, longest := most, least
	for of := 1; of <= 32; of++ {
		for index := range of {
			turn := turns{time.Hour, index, of}
			for at := hour; at.Before(hour.Add(time.Hour)); at = at.Add(15 * time.Second) {
				took := turn.change(at).Begins.Sub(at)
				shortest, longest = min(shortest, took), max(longest, took)
			}
		}
	}
	if shortest < least || longest > most || shortest > least+time.Hour/16 || longest < most-time.Hour/16 {
		t.Errorf("from %v to %v, said %v to %v", shortest, longest, least, most)
	}
}

func TestSafe(t *testing.T) {
	turn := turns{time.Hour, 0, 3}
	for minute, want := range map[float64]bool{0: false, 7: false, 38: false, 41: false, 41.25: true, 50: true, 56: true, 56.25: false, 59: false, 60: false, 105: true} {
		if got := turn.safe(hour.Add(time.Duration(minute * float64(time.Minute)))); got != want {
			t.Errorf("minute %v: %v, want %v", minute, got, want)
		}
	}
}

func TestFirstVote(t *testing.T) {
	for _, test := range []struct {
		start time.Duration
		want  uint64
	}{
		{0, epoch + 1},
		{7*time.Minute + 30*time.Second, epoch + 1},
		{7*time.Minute + 31*time.Second, epoch + 2},
		{45 * time.Minute, epoch + 2},
		{time.Hour - 1, epoch + 2},
		{time.Hour, epoch + 2},
	} {
		if got := firstVote(hour.Add(test.start), time.Hour); got != test.want {
			t.Errorf("a start after %v: epoch +%d, want +%d", test.start, got-epoch, test.want-epoch)
		}
	}
	// What is typed before this authority's turn counts from the epoch after the next
	// on, what is typed later, one epoch later.
	turn := turns{time.Hour, 1, 3}
	for typed, want := range map[time.Duration]uint64{0: epoch + 2, 44 * time.Minute: epoch + 2, 46 * time.Minute: epoch + 3} {
		if got := turn.change(hour.Add(typed)); got.Epoch != want || !got.Begins.Equal(directory.EpochStart(want, time.Hour)) {
			t.Errorf("typed after %v: %+v, want epoch +%d", typed, got, want-epoch)
		}
	}
}
