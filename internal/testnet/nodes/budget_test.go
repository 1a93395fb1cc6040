package nodes_test

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// A mix whose neighbour takes nothing holds as many packets as its memory has room
// for, sheds what is more, says so, and is as before when the neighbour is back.
func TestOverload(t *testing.T) {
	t.Parallel()
	beyond := new(tap.Wire)
	n := trial.Start(t, testnet.Options{
		Slot: 20 * time.Millisecond, Delay: 100 * time.Millisecond, Payload: 4000,
		Taps: map[string]tap.Tap{"mix3": beyond},
		Edit: func(process string, c map[string]any) {
			if process == "mix2" {
				c["budget"] = map[string]any{"memory_mb": overloadedMB}
			}
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience+3*overloadedFor)
	defer cancel()
	trial.Submit(t, n, "you@far.example", "before the flood", "x\n")
	trial.Arrival(t, ctx, n, "before the flood")
	idle := resident(t, n.Process("mix2").Pid(), "VmRSS")

	beyond.Stall()
	var full mixnode.Status
	if err := n.Wait(ctx, "the mix to shed packets", func() (bool, error) {
		full = trial.NodeStatus(t, ctx, n, "mix2")
		return full.Dropped.Shed > 0, nil
	}); err != nil {
		t.Fatalf("%v: %+v", err, full)
	}
	for end := time.Now().Add(overloadedFor); time.Now().Before(end); time.Sleep(time.Second) {
		st := trial.NodeStatus(t, ctx, n, "mix2")
		if st.Held > st.Capacity {
			t.Errorf("%d packets are held, and there is room for %d", st.Held, st.Capacity)
		}
		if st.Ready < st.Capacity/2 {
			t.Errorf("only %d of %d packets wait for a neighbour that takes none", st.Ready, st.Capacity)
		}
	}
	peak, most := resident(t, n.Process("mix2").Pid(), "VmHWM"), overloadedMB<<20+mixnode.Overhead
	shed := trial.NodeStatus(t, ctx, n, "mix2").Dropped.Shed
	t.Logf("%d MB with few packets, %d MB at most with %d waiting and %d shed; the budget is %d MB, and %d MB beside it",
		idle>>20, peak>>20, full.Capacity, shed, overloadedMB, mixnode.Overhead>>20)
	if peak > most {
		t.Errorf("the process took %d MB, and may take %d", peak>>20, most>>20)
	}
	if shed <= full.Dropped.Shed {
		t.Errorf("%d packets were shed at first, and %d in the end", full.Dropped.Shed, shed)
	}
	text, err := n.Run(ctx, "node", "status", "-c", n.Path("mix2", "node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	told := regexp.MustCompile(`(\d+) for want of memory`).FindStringSubmatch(text)
	if told == nil {
		t.Fatalf("its operator is not told that packets were shed:\n%s", text)
	}
	if count, err := strconv.ParseUint(told[1], 10, 64); err != nil || count < shed {
		t.Errorf("its operator is told that %s packets were shed, of %d", told[1], shed)
	}

	trial.Submit(t, n, "you@far.example", "in the flood", "x\n") // one of its beginning may be expired
	beyond.Restore()
	if err := n.Wait(ctx, "the mix to hold few packets again", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, "mix2").Held < full.Capacity/4, nil
	}); err != nil {
		t.Fatal(err)
	}
	after := trial.NodeStatus(t, ctx, n, "mix2").Dropped.Shed
	trial.AllOnce(t, ctx, n)
	if now := trial.NodeStatus(t, ctx, n, "mix2").Dropped.Shed; now != after {
		t.Errorf("%d packets more were shed when there was room again", now-after)
	}
}

// idleMost is what a node's process may take, in bytes, as long as hardly a packet comes,
// and what an exit's post office may take that has nothing to do.
const idleMost = 50 << 20

// idle sees that each role keeps to that, in a network of packets of the default size
// whose gateway is off.
func idle(t *testing.T, n *testnet.Network) {
	t.Helper()
	if trial.Race {
		return // whose memory is the detector's
	}
	if err := n.Process(testnet.Gateway).Stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit} {
		processes := map[string]int{name: n.Process(name).Pid()}
		for _, office := range n.Process(name).Children() {
			processes[name+"'s post office"] = office
		}
		for what, pid := range processes {
			takes := resident(t, pid, "VmRSS")
			t.Logf("%s: %.1f MB", what, float64(takes)/(1<<20))
			if takes > idleMost {
				t.Errorf("%s takes %d MB when idle", what, takes>>20)
			}
		}
	}
}

// resident is how many bytes of memory a process has, or had at most (proc(5)).
func resident(t *testing.T, pid int, field string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var kB int
		if _, err := fmt.Sscanf(line, field+":%d kB", &kB); err == nil {
			return kB << 10
		}
	}
	t.Fatalf("no %s in\n%s", field, b)
	return 0
}
