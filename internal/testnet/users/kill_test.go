package users_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Processes are killed at random instants, while at least ten mails are under
// way: a gateway, a mix, an exit alone, an exit's post office alone, or both at
// once. The receiving server takes a second for each answer, so that kills hit the
// window between a message's end and its recorded answer. In the end every mail was
// accepted by the receiving server, and there are no more second copies than the
// exit noted interruptions in that window.
func TestKills(t *testing.T) {
	t.Parallel()
	kills(t, killRounds)
}

func kills(t *testing.T, rounds int) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rounds)*trial.Patience+5*time.Minute)
	defer cancel()
	n := trial.Start(t, testnet.Options{Hold: 4 * time.Second, Expiry: 40})
	if err := n.SetSink(sink.Slow); err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)

	const (
		under = 16               // mails under way, again and again until the random instant
		least = 10               // mails under way when a process is killed
		spell = 12 * time.Second // bounds how long that instant is waited for: a mail's way takes about as long
	)
	written := 0
	underWay := func() int { return written - len(trial.Arrivals(t, n)) }
	struck := map[string]int{} // how many mails were in a state when a process was killed
	for round := range rounds {
		target := []string{testnet.Gateway, testnet.Exit, "mix1", "mix2", "mix3"}[[]int{0, 1, 2 + rng.IntN(3)}[round%3]]
		if err := n.Ready(ctx); err != nil {
			t.Fatal(err)
		}
		for instant := time.Now().Add(time.Duration(rng.Int64N(int64(spell)))); ; {
			for range under - underWay() {
				trial.Submit(t, n, "you@far.example", fmt.Sprintf("kill %d", written), trial.LargeText(rng.IntN(60_000)))
				written++
			}
			time.Sleep(min(time.Second, max(0, time.Until(instant)))) // some arrive meanwhile
			if !time.Now().Before(instant) && underWay() >= least {
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
		victim := target
		switch { // the exit's rounds are 1, 4, 7, ...
		case target == testnet.Exit && round/3%2 == 0:
			victim = "exit with its post office"
			n.Process(target).KillAll()
		case target == testnet.Exit && round/3%4 == 1:
			victim = "post office"
			if err := n.Process(target).KillChildren(); err != nil {
				t.Fatal(err)
			}
		default:
			n.Process(target).Kill()
		}
		t.Logf("round %d: %s was killed with %d mails not arrived", round+1, victim, underWay())
		trial.Restart(t, ctx, n, target)
	}

	err := n.Wait(ctx, "every mail's arrival", func() (bool, error) { return len(trial.Arrivals(t, n)) == written, nil })
	if err != nil {
		t.Fatalf("%d of %d mails arrived: %v", len(trial.Arrivals(t, n)), written, err)
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
	for _, copies := range trial.Arrivals(t, n) {
		second += copies - 1
	}
	window := interrupted(t, n.Process(testnet.Exit).Log())
	t.Logf("%d kills, %d mails, all accepted; %d second copies; %d deliveries were interrupted in the window", rounds, written, second, window)
	for _, s := range slices.SortedFunc(maps.Keys(struck), cmp.Compare[string]) {
		t.Logf("mails %q when a process was killed: %d", s, struck[s])
	}
	if second > window {
		t.Errorf("%d second copies, and only %d deliveries interrupted in the window", second, window)
	}
	if killsHitAll {
		for _, s := range []string{"queued", "sending", "at exit"} {
			if struck[s] == 0 {
				t.Errorf("no mail was %s when a process was killed", s)
			}
		}
		if window == 0 {
			t.Error("no kill hit the window: the test shows nothing about it")
		}
	}
}

// interrupted sums the deliveries that the exit found, at each of its starts,
// interrupted at their end.
func interrupted(t *testing.T, log string) (sum int) {
	t.Helper()
	for line := range strings.Lines(log) {
		if !strings.Contains(line, "interrupted at their end") {
			continue
		}
		_, number, _ := strings.Cut(strings.TrimSpace(line), "count=")
		n, err := strconv.Atoi(number)
		if err != nil {
			t.Fatalf("the exit logged %q", line)
		}
		sum += n
	}
	return sum
}
