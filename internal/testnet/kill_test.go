package testnet_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
)

// Processes are killed at random instants, while at least ten mails are under
// way. In the end every mail was accepted by the receiving server; a second copy
// exists only where the exit noted that it was interrupted in the window between
// a message's end and its recorded answer.
func TestKills(t *testing.T) {
	t.Parallel()
	kills(t, killRounds)
}

func kills(t *testing.T, rounds int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rounds)*patience+5*time.Minute)
	defer cancel()
	n := start(t, testnet.Options{Hold: 10 * time.Second, Expiry: 40})
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	const (
		under = 16 // mails under way before the random instant; some arrive during it
		least = 10 // mails under way when a process is killed
	)
	written := 0
	underWay := func() int { return written - len(arrivals(t, n)) }
	struck := map[string]int{} // how many mails were in a state when a process was killed
	for round := range rounds {
		target := []string{testnet.Gateway, testnet.Exit, "mix1", "mix2", "mix3"}[[]int{0, 1, 2 + rng.IntN(3)}[round%3]]
		if err := n.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		for {
			for range under - underWay() {
				submit(t, n, "you@far.example", fmt.Sprintf("kill %d", written), largeText(rng.IntN(60_000)))
				written++
			}
			time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Second)))) // the random instant
			if underWay() >= least {
				break
			}
		}
		list, err := n.Queue(ctx, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			struck[e.State]++
		}
		t.Logf("round %d: %s is killed with %d mails not arrived", round+1, target, underWay())
		n.Process(target).Kill()
		restart(t, ctx, n, target)
	}

	err := n.Wait(ctx, "every mail's arrival", func() (bool, error) { return len(arrivals(t, n)) == written, nil })
	if err != nil {
		t.Fatalf("%d of %d mails arrived: %v", len(arrivals(t, n)), written, err)
	}
	if killsAwaitFates {
		err = n.Wait(ctx, "every mail's fate to be known", func() (bool, error) {
			list, err := n.Queue(ctx, false)
			return err == nil && !slices.ContainsFunc(list, func(e gateway.Entry) bool { return e.State != "delivered" && e.State != "unknown" }), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := n.Queue(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.State != "delivered" && killsAwaitFates || e.Failed > 0 || e.Expired > 0 || e.State == "unknown" {
			t.Errorf("mail %s is %s", e.ID, e.State)
		}
	}
	second := 0
	for _, copies := range arrivals(t, n) {
		second += copies - 1
	}
	window := strings.Count(n.Process(testnet.Exit).Log(), "interrupted at their end")
	t.Logf("%d kills, %d mails, all accepted; %d second copies; the exit was interrupted in the window %d times", rounds, written, second, window)
	for _, s := range slices.SortedFunc(maps.Keys(struck), cmp.Compare[string]) {
		t.Logf("mails %q when a process was killed: %d", s, struck[s])
	}
	if second > 0 && window == 0 {
		t.Errorf("%d second copies outside the window", second)
	}
}

// restart starts a killed process again and waits until the network carries mail.
func restart(t *testing.T, ctx context.Context, n *testnet.Network, name string) {
	t.Helper()
	if err := n.Process(name).Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Listening(ctx, name); err != nil {
		t.Fatal(err)
	}
	// A stock mix has lost its keys: nothing comes back until a consensus has
	// its new ones.
	before := uint64(0)
	if name != testnet.Gateway {
		st, err := n.Status()
		if err != nil {
			t.Fatal(err)
		}
		before = st.Answered
	}
	err := n.Wait(ctx, "replies after "+name+" was killed", func() (bool, error) {
		st, err := n.Status()
		return err == nil && st.Answered > before+20 && !st.Holding, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// arrivals counts the copies of each mail that arrived, by subject.
func arrivals(t *testing.T, n *testnet.Network) map[string]int {
	t.Helper()
	list, err := n.Received()
	if err != nil {
		t.Fatal(err)
	}
	copies := map[string]int{}
	for _, r := range list {
		subject, _ := readMail(t, r.Data)
		copies[subject]++
	}
	return copies
}
