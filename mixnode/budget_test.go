package mixnode

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetBounds(t *testing.T) {
	for _, test := range []struct {
		budget Budget
		wrong  string
	}{
		{Budget{}, ""},
		{Budget{MemoryMB: 16, RateKbit: 64, MonthGB: 50}, ""},
		{Budget{MemoryMB: 15}, "memory_mb"},
		{Budget{RateKbit: 63}, "rate_kbit"},
		{Budget{RateKbit: -1}, "rate_kbit"},
		{Budget{MonthGB: 49}, "month_gb"},
		{Budget{MonthGB: 1 << 31}, "month_gb"},
	} {
		err := test.budget.check()
		if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
			t.Errorf("%+v: %v", test.budget, err)
		}
	}
}

// line carries bytes both ways for a while, as fast as the budget lets it.
func carried(t *traffic, d time.Duration, bytes int) (each int) {
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		t.came(bytes)
		each += bytes
		time.Sleep(t.went(bytes))
	}
	return each
}

// A budget by the second holds in each direction.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := newTraffic(t.TempDir(), Budget{RateKbit: 1000}, 1000, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := carried(tr, time.Minute, 1000), 60*125_000; got < want || got > want+1000 {
			t.Errorf("%d bytes in a minute, want %d", got, want)
		}
		if n := tr.atOnce(16); n != 16 {
			t.Errorf("%d packets at once of 125 that a second carries", n)
		}
		if n := tr.waiting(time.Minute); n != 60*125 {
			t.Errorf("%d packets may wait", n)
		}
		// Idle time gives no credit: the line would be filled with a burst.
		time.Sleep(time.Hour)
		tr.went(125_000)
		if rest := tr.went(125_000); rest != 2*time.Second {
			t.Errorf("a burst after an hour's rest: %v until the next", rest)
		}
		tr.set(Budget{RateKbit: 64})
		if n := tr.atOnce(16); n != 8 {
			t.Errorf("%d packets at once of 8 that a second carries", n)
		}
		tr.set(Budget{})
		if rest := tr.went(1 << 30); rest != 0 || tr.atOnce(16) != 16 || tr.waiting(time.Second) != math.MaxInt {
			t.Errorf("without a budget: %v", rest)
		}
	})
}

// A month's budget lasts for the month, survives restarts, and begins anew with the
// next one.
func TestMonth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b := t.TempDir(), Budget{MonthGB: 100}
		open := func() *traffic {
			tr, err := newTraffic(dir, b, 1000, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			return tr
		}
		tr := open() // on the first of January 2000
		for day := range 30 {
			for range 24 {
				carried(tr, time.Hour, 1e5)
				tr.pace()
			}
			if err := tr.store(); err != nil {
				t.Fatal(err)
			}
			tr = open()
			// Even, but for what was added last each hour.
			if got, want := float64(tr.line().MonthBytes), 100e9*float64(day+1)/31; got < want || got > want*1.01 {
				t.Errorf("%.3g bytes when %d of 31 days are over, want %.3g", got, day+1, want)
			}
		}
		time.Sleep(25 * time.Hour)
		tr.pace()
		if l := tr.line(); l.MonthBytes != 0 || l.PaceKbit < 145 {
			t.Errorf("in the next month: %+v", l)
		}
	})
}

// A month that is used up leaves a trickle, and a lower rate by the second holds
// beside it.
func TestMonthUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := newTraffic(t.TempDir(), Budget{MonthGB: 50, RateKbit: 80}, 1000, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		if l := tr.line(); l.PaceKbit != 74 {
			t.Errorf("at first %+v", l)
		}
		tr.set(Budget{MonthGB: 50, RateKbit: 70})
		if l := tr.line(); l.PaceKbit != 70 {
			t.Errorf("with a lower rate %+v", l)
		}
		tr.went(60e9)
		tr.pace()
		if l := tr.line(); l.PaceKbit != 8 {
			t.Errorf("used up: %+v", l)
		}
	})
}

// A damaged file is named, and costs no more than the count.
func TestTrafficDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, trafficFile)
	if err := os.WriteFile(path, []byte("month = \"2026-\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	tr, err := newTraffic(dir, Budget{}, 1000, time.Now)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "nothing else is lost") {
		t.Errorf("the error is %v", err)
	}
	tr.went(1000)
	if err := tr.store(); err != nil {
		t.Fatal(err)
	}
	if tr, err = newTraffic(dir, Budget{}, 1000, time.Now); err != nil || tr.line().MonthBytes != 1000 {
		t.Errorf("afterwards: %v, %+v", err, tr.line())
	}
}
