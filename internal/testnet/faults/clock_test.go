package faults_test

import (
	"context"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// A node whose clock is five minutes off does not start, and says why. One whose clock
// jumps by an epoch while it runs says so, goes on, and is as before when the clock is
// right again; mail written meanwhile arrives, once.
func TestClock(t *testing.T) {
	t.Parallel()
	clocked, err := trial.Clocked()
	if err != nil {
		t.Fatal(err)
	}
	const period = 10 * time.Second
	n := trial.Start(t, testnet.Options{Epoch: period, Slot: 250 * time.Millisecond, Payload: 4000})
	ctx, cancel := context.WithTimeout(t.Context(), 3*trial.Patience)
	defer cancel()
	file := n.Path("clock")
	set := func(off time.Duration) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(off.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	mix := n.Process("mix2")
	if err := mix.Stop(); err != nil {
		t.Fatal(err)
	}
	mix.Become(clocked)
	mix.Give(nil, []string{trial.ClockFile + "=" + file})

	for off, want := range map[time.Duration]string{
		5 * time.Minute: "clock is [45]m[0-9]+s ahead of the authorities'", -5 * time.Minute: "clock is [45]m[0-9]+s behind the authorities'",
	} {
		set(off)
		said := len(mix.Log())
		if err := mix.Start(); err != nil {
			t.Fatal(err)
		}
		mix.LetEnd()
		select {
		case <-mix.Ended():
		case <-ctx.Done():
			t.Fatalf("a node whose clock is %v off goes on:\n%s", off, mix.Log()[said:])
		}
		if log := mix.Log()[said:]; !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("%v: it does not say why it ended:\n%s", off, log)
		}
	}

	set(0)
	if err := mix.Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Listening(ctx, "mix2"); err != nil {
		t.Fatal(err)
	}
	useful(t, ctx, n, "mix2")
	wrong := func() bool {
		return strings.Contains(strings.Join(trial.NodeStatus(t, ctx, n, "mix2").Troubles, "\n"), "the clock is wrong")
	}
	for what, off := range map[string]time.Duration{"ahead": period, "behind": -period} {
		set(off)
		trial.Submit(t, n, "you@far.example", "with a clock "+what, "x\n")
		if err := n.Wait(ctx, "the node to notice a clock "+what, func() (bool, error) { return wrong(), nil }); err != nil {
			t.Fatal(err)
		}
		set(0)
		if err := n.Wait(ctx, "the node to notice that its clock is right", func() (bool, error) { return !wrong(), nil }); err != nil {
			t.Fatal(err)
		}
		useful(t, ctx, n, "mix2")
		trial.Arrival(t, ctx, n, "with a clock "+what)
	}
	trial.AllOnce(t, ctx, n)
}
