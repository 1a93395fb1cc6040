package mixnode

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"sync"
	"time"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// Budget is what a node may take of its machine and of its line.
type Budget struct {
	MemoryMB int `toml:"memory_mb"` // for packets that wait and replay tags, in 2^20 bytes; 0: 256
	RateKbit int `toml:"rate_kbit"` // each way, in 1,000 bits a second; 0: what the line carries
	MonthGB  int `toml:"month_gb"`  // both ways together in a calendar month (UTC), in 10^9 bytes; 0: no end
}

// Bounds of a budget. Below them a node is of no use to anybody.
const (
	defaultMemoryMB = 256
	minMemoryMB     = 16
	minRateKbit     = 64
	minMonthGB      = 50
	maxBudget       = 1 << 30 // any of them
)

// DefaultBudget is what a node uses that was told nothing.
func DefaultBudget() Budget { return Budget{MemoryMB: defaultMemoryMB} }

func (b *Budget) check() error {
	for _, f := range []struct {
		name       string
		value, min int
	}{
		{"memory_mb", b.MemoryMB, minMemoryMB}, {"rate_kbit", b.RateKbit, minRateKbit}, {"month_gb", b.MonthGB, minMonthGB},
	} {
		if f.value != 0 && (f.value < f.min || f.value > maxBudget) {
			return fmt.Errorf("budget: %s = %d: a node needs %d at least; 0 stands for the default", f.name, f.value, f.min)
		}
	}
	return nil
}

// Memory is how many bytes packets that wait and replay tags may take.
func (b *Budget) Memory() int64 {
	if b.MemoryMB == 0 {
		return defaultMemoryMB << 20
	}
	return int64(b.MemoryMB) << 20
}

// traffic counts what goes over the node's links, and says how long each way must
// rest so that the node keeps to its budget. What is left of a month's budget is
// spread over what is left of the month: the node slows down early, and does not
// stand still in the end.
type traffic struct {
	now    func() time.Time
	path   string
	packet int // bytes of one on the line

	mu     sync.Mutex
	budget Budget
	rate   float64 // each way, in bytes a second; 0: no bound
	in     time.Time
	out    time.Time // when each way has rested enough
	used   monthly
	stored monthly // as it is on disk
}

// monthly is what was carried in a month.
type monthly struct {
	Month string `toml:"month"` // 2006-01, UTC
	Bytes uint64 `toml:"bytes"` // both ways
}

const (
	// trafficFile is where, in a node's state directory, the month's traffic is kept.
	trafficFile = "traffic.toml"

	// pacing is how often the pace is set anew and the month's traffic stored.
	pacing = 5 * time.Minute

	// slowest is the pace, in bytes a second, of a node whose month is used up: enough
	// for its loops to tell that it still is there.
	slowest = 1000

	// mostBytes is more than any month's traffic, and far less than the file can say.
	mostBytes = maxBudget * 1e9
)

// newTraffic returns the traffic of a node whose packets take so many bytes. With an
// error that says what was lost, it is of use all the same.
func newTraffic(state string, b Budget, packet int, now func() time.Time) (*traffic, error) {
	t := &traffic{now: now, path: filepath.Join(state, trafficFile), packet: packet, budget: b}
	err := config.Load(t.path, &t.used)
	if err == nil && t.used.Bytes > mostBytes {
		err = fmt.Errorf("%s: no line carries %d bytes in a month", t.path, t.used.Bytes)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case err != nil:
		t.used = monthly{}
		err = fmt.Errorf("%w; this month's traffic is counted from nothing, and nothing else is lost", err)
	}
	t.stored = t.used
	t.pace()
	return t, err
}

// set changes the budget.
func (t *traffic) set(b Budget) {
	t.mu.Lock()
	t.budget = b
	t.mu.Unlock()
	t.pace()
}

// pace sets how fast each way may go from now on.
func (t *traffic) pace() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().UTC()
	if month := now.Format("2006-01"); t.used.Month != month {
		t.used = monthly{Month: month}
	}
	t.rate = float64(t.budget.RateKbit) * 1000 / 8
	if t.budget.MonthGB > 0 {
		end := time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC)
		left := float64(t.budget.MonthGB)*1e9 - float64(t.used.Bytes)
		const ways = 2
		even := max(left/ways/end.Sub(now).Seconds(), slowest)
		if t.rate == 0 || even < t.rate {
			t.rate = even
		}
	}
}

// atOnce is how many packets may be written at once: at most n, and about what a
// second has room for.
func (t *traffic) atOnce(n int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == 0 {
		return n
	}
	return min(n, max(1, int(t.rate)/t.packet))
}

// waiting is how many packets may wait for the line at most: what it carries in d.
// It is without bound if the line is.
func (t *traffic) waiting(d time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rate == 0 {
		return math.MaxInt
	}
	return max(1, int(t.rate*d.Seconds())/t.packet)
}

// came counts bytes that came in, and returns how long nothing more should.
func (t *traffic) came(bytes int) time.Duration { return t.account(&t.in, bytes) }

// went counts bytes that went out, and returns how long nothing more should.
func (t *traffic) went(bytes int) time.Duration { return t.account(&t.out, bytes) }

func (t *traffic) account(rested *time.Time, bytes int) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.used.Bytes += uint64(bytes)
	if t.rate == 0 {
		return 0
	}
	now := t.now()
	if rested.Before(now) {
		*rested = now
	}
	*rested = rested.Add(time.Duration(float64(bytes) / t.rate * float64(time.Second)))
	return rested.Sub(now)
}

// store brings the month's traffic to disk.
func (t *traffic) store() error {
	t.mu.Lock()
	used, same := t.used, t.used == t.stored
	t.mu.Unlock()
	if same {
		return nil
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(used); err != nil {
		return err
	}
	if err := config.WriteFile(t.path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("storing this month's traffic: %w", err)
	}
	t.mu.Lock()
	t.stored = used
	t.mu.Unlock()
	return nil
}

// line is how the line's budget fares.
func (t *traffic) line() Line {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Line{MonthBytes: t.used.Bytes, MonthGB: t.budget.MonthGB, PaceKbit: int(t.rate * 8 / 1000)}
}
