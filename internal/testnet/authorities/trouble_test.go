package authorities_test

import (
	"context"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Two of three authorities are silent for an epoch, so that there is no
// consensus for the next. Mail that is written then waits, and arrives. The
// authorities slept when a vote was due, which their engine does not survive:
// they start it anew.
func TestMissedVote(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	begins := n.Epoch() + 1
	if err := n.Wait(ctx, "an epoch's beginning", func() (bool, error) { return n.Epoch() >= begins, nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auth1", "auth2"} {
		if err := n.Process(name).Pause(); err != nil {
			t.Fatal(err)
		}
	}
	silent := n.Epoch()
	if err := n.Wait(ctx, "two epochs", func() (bool, error) { return n.Epoch() >= silent+2, nil }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auth1", "auth2"} {
		if err := n.Process(name).Resume(); err != nil {
			t.Fatal(err)
		}
	}
	trial.Submit(t, n, "you@far.example", "no vote", "x\n")
	trial.Arrival(t, ctx, n, "no vote")
	if err := n.Wait(ctx, "an authority to start its engine anew", func() (bool, error) {
		return strings.Contains(n.Process("auth1").Log()+n.Process("auth2").Log(), "started anew"), nil
	}); err != nil {
		t.Fatal(err)
	}
	trial.AllOnce(t, ctx, n)
}

// An authority that reaches no other ends when it is asked to.
func TestLoneAuthority(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{})
	for _, name := range []string{"auth1", "auth2", "auth3"} {
		if err := n.Process(name).Stop(); err != nil {
			t.Fatal(err)
		}
	}
	lone := n.Process("auth3")
	if err := lone.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	if err := n.Wait(ctx, "the authority to vote", func() (bool, error) {
		return strings.Count(lone.Log(), "voting") > 1, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := lone.Stop(); err != nil {
		t.Error(err)
	}
}

// No authority can be reached: the network ends with its last consensus, the
// gateway says so, and all is well again some epochs after the authorities are
// back.
func TestNoAuthority(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{})
	authorities := []string{"auth1", "auth2", "auth3"}
	for _, name := range authorities {
		if err := n.Process(name).Stop(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	var reasons []string
	err := n.Wait(ctx, "the gateway to say that it does not protect", func() (bool, error) {
		st, err := n.Status()
		if err != nil {
			return false, err
		}
		reasons = st.Reasons
		return !st.Protected, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(reasons) == 0 || strings.TrimSpace(reasons[0]) == "" {
		t.Errorf("the reason given is %q", reasons)
	}
	for _, name := range authorities {
		if err := n.Process(name).Start(); err != nil {
			t.Fatal(err)
		}
	}
	trial.Submit(t, n, "you@far.example", "authorities back", "x\n")
	if err := n.Wait(ctx, "the gateway to protect again", func() (bool, error) {
		st, err := n.Status()
		return err == nil && st.Protected, nil
	}); err != nil {
		t.Fatal(err)
	}
	trial.AllOnce(t, ctx, n)
}
