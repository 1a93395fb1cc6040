package mixnode

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
)

// What is wrong is graded, and every grade but the best says what to do.
func TestFindings(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy, closed := taken.Addr().String(), "127.0.0.1:1"
	missing := filepath.Join(t.TempDir(), "missing")
	mix := directory.RoleMix
	for name, test := range map[string]struct {
		finding Finding
		grade   Grade
		says    string
	}{
		"clock":               {checkMachineClock([]Reach{{Ahead: time.Second}}, time.Hour), Good, "as the authorities'"},
		"clock ahead":         {checkMachineClock([]Reach{{Ahead: time.Hour}}, time.Hour), Bad, "1h0m0s"},
		"clock unknown":       {checkMachineClock([]Reach{{Err: os.ErrDeadlineExceeded}}, time.Hour), Weak, "no authority"},
		"authorities":         {checkReach([]Reach{{}, {}, {}}), Good, "3 of 3"},
		"one authority away":  {checkReach([]Reach{{}, {}, {Name: "auth3", Err: os.ErrClosed}}), Weak, "auth3"},
		"most are away":       {checkReach([]Reach{{}, {Err: os.ErrClosed}}), Bad, "1 of 2"},
		"port":                {checkPort(&Config{Address: "192.0.2.1:1", Bind: "127.0.0.1:0"}, false), Good, "free"},
		"port in use":         {checkPort(&Config{Address: busy}, false), Bad, "in use"},
		"its own port":        {checkPort(&Config{Address: busy}, true), Good, "the node's"},
		"not this machine":    {checkPort(&Config{Address: "192.0.2.1:4242"}, false), Bad, "not this machine's"},
		"address":             {CheckAddress("198.51.100.1:4242"), Good, "everywhere"},
		"IPv6 address":        {CheckAddress("[2001:db8::1]:4242"), Good, "everywhere"},
		"loopback":            {CheckAddress("127.0.0.1:4242"), Weak, "alone"},
		"private":             {CheckAddress("192.168.1.5:4242"), Weak, "local network"},
		"private IPv6":        {CheckAddress("[fd00::1]:4242"), Weak, "local network"},
		"shared by provider":  {CheckAddress("100.64.1.1:4242"), Weak, "local network"},
		"no address":          {CheckAddress("0.0.0.0:4242"), Bad, "no address"},
		"way in":              {checkFromOutside(t.Context(), &Status{Address: busy}), Good, "answers"},
		"no way in":           {checkFromOutside(t.Context(), &Status{Address: closed}), Weak, "does not answer"},
		"way in not tried":    {checkFromOutside(t.Context(), nil), Weak, "not tried"},
		"no address yet":      {checkFromOutside(t.Context(), &Status{}), Weak, "no address yet"},
		"no state directory":  {checkDisk(missing), Bad, "no such file"},
		"state not writable":  {checkSync(missing), Bad, "no such file"},
		"entropy":             {checkEntropy(), Good, "enough"},
		"memory":              {checkMemory(&Config{Budget: Budget{MemoryMB: 16}}), Good, "112 MB"},
		"memory out of reach": {checkMemory(&Config{Budget: Budget{MemoryMB: maxBudget}}), Weak, "machine's"},
	} {
		if f := test.finding; f.Grade != test.grade || !strings.Contains(f.Says, test.says) || f.About == "" {
			t.Errorf("%s: %+v, want %s, %q", name, f, test.grade, test.says)
		}
		if f := test.finding; (f.Grade == Good) != (f.Do == "") {
			t.Errorf("%s: %s, and what to do is %q", name, f.Grade, f.Do)
		}
	}
	if f := checkSync(t.TempDir()); f.Grade == Bad {
		t.Errorf("the disk: %+v", f)
	}
	for name, test := range map[string]struct {
		st    Status
		about string
		grade Grade
	}{
		"useful":          {Status{Role: mix, Listed: true, From: 1, FromNow: 1, To: 1, ToNow: 1}, "neighbours", Good},
		"nobody comes in": {Status{Role: mix, Listed: true, From: 2, To: 1, ToNow: 1}, "neighbours", Bad},
		"nobody lets in":  {Status{Role: mix, Listed: true, From: 2, FromNow: 2, To: 1}, "neighbours", Bad},
		"one is away":     {Status{Role: mix, Listed: true, From: 2, FromNow: 1, To: 1, ToNow: 1}, "neighbours", Weak},
		"not listed":      {Status{Role: mix, Waits: "0 of 3 authorities"}, "consensus", Bad},
		"in trouble":      {Status{Role: mix, Listed: true, Troubles: []string{"the disk is full"}}, "trouble", Weak},
	} {
		found := false
		for _, f := range checkRunning(&test.st) {
			found = found || f.About == test.about && f.Grade == test.grade
		}
		if !found {
			t.Errorf("%s: %+v", name, checkRunning(&test.st))
		}
	}
}

// A node that no consensus lists says what it waits for, and for how long.
func TestWaits(t *testing.T) {
	hour := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	epoch := directory.EpochAt(hour, time.Hour)
	for name, test := range map[string]struct {
		p       Published
		current bool
		at      time.Duration // from the hour
		want    string
	}{
		"just started":         {Published{}, true, 20 * time.Minute, "publishes itself at the authorities at 13:00:00 UTC, in 40m0s"},
		"started in time":      {Published{}, true, time.Minute, "within 6m15s how many"},
		"admitted by one":      {Published{epoch + 1, 1, 3}, true, 20 * time.Minute, fmt.Sprintf("epoch %d: 1 of 3 authorities had admitted", epoch)},
		"by half":              {Published{epoch + 1, 2, 4}, true, 20 * time.Minute, "more than half must"},
		"asks again":           {Published{epoch + 1, 0, 3}, true, 20 * time.Minute, "asks again at 13:00:00 UTC, in 40m0s"},
		"by most":              {Published{epoch + 1, 2, 3}, true, 20 * time.Minute, "in the network at 13:00:00 UTC, in 40m0s"},
		"a failed vote":        {Published{epoch + 1, 3, 3}, true, 61 * time.Minute, fmt.Sprintf("the vote for epoch %d did not list it", epoch+1)},
		"none yet":             {Published{epoch + 1, 3, 3}, false, 60 * time.Minute, "it asks them for one until the next at 14:00:00"},
		"no consensus at all":  {Published{epoch + 1, 3, 3}, false, 20 * time.Minute, fmt.Sprintf("there is no consensus of epoch %d", epoch)},
		"there is a consensus": {Published{epoch + 1, 3, 3}, true, 20 * time.Minute, fmt.Sprintf("not in the consensus of epoch %d", epoch)},
	} {
		if got := waits(test.p, test.current, hour.Add(test.at), time.Hour); !strings.Contains(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
