package mixnode

import (
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
		"address":             {checkOwnAddress(t.Context(), &Config{Address: "198.51.100.1:4242"}), Good, "everywhere"},
		"IPv6 address":        {checkOwnAddress(t.Context(), &Config{Address: "[2001:db8::1]:4242"}), Good, "everywhere"},
		"loopback":            {checkOwnAddress(t.Context(), &Config{Address: "127.0.0.1:4242"}), Weak, "alone"},
		"private":             {checkOwnAddress(t.Context(), &Config{Address: "192.168.1.5:4242"}), Weak, "local network"},
		"private IPv6":        {checkOwnAddress(t.Context(), &Config{Address: "[fd00::1]:4242"}), Weak, "local network"},
		"shared by provider":  {checkOwnAddress(t.Context(), &Config{Address: "100.64.1.1:4242"}), Weak, "local network"},
		"no address":          {checkOwnAddress(t.Context(), &Config{Address: "0.0.0.0:4242"}), Bad, "no address"},
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
		"not listed":      {Status{Role: mix}, "consensus", Bad},
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
