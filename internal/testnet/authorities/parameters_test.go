package authorities_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// The authorities agree on other rates, and gateways and nodes follow the consensus;
// then on other packets, of which the others know nothing until they have the new
// network file: each says so, mail waits, and arrives when all have it.
func TestChangedParameters(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{Edit: func(process string, c map[string]any) {
		if process == testnet.Gateway {
			c["floors"].(map[string]any)["min_delay"] = "50ms"
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*trial.Patience)
	defer cancel()
	nodes := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	trial.Submit(t, n, "you@far.example", "before", "x\n")

	authoritiesChange(t, ctx, n, "--slot", "200ms", "--delay", "50ms")
	if err := n.Wait(ctx, "the gateway to follow", func() (bool, error) {
		st := trial.Status(t, n)
		return st.Slot == "200ms" && st.Delay == "50ms", nil
	}); err != nil {
		t.Fatalf("%v: %+v", err, trial.Status(t, n))
	}
	trial.Submit(t, n, "you@far.example", "at other rates", "x\n")
	trial.Arrival(t, ctx, n, "at other rates")

	network := authoritiesChange(t, ctx, n, "--scheme", "x25519")
	for _, name := range nodes {
		var troubles []string
		if err := n.Wait(ctx, name+" to refuse the consensus", func() (bool, error) {
			troubles = trial.NodeStatus(t, ctx, n, name).Troubles
			return slices.ContainsFunc(troubles, func(s string) bool { return strings.Contains(s, "get the network file again") }), nil
		}); err != nil {
			t.Fatalf("%v: %q", err, troubles)
		}
	}
	var reasons []string
	if err := n.Wait(ctx, "the gateway to say that it does not protect", func() (bool, error) {
		st := trial.Status(t, n)
		reasons = st.Reasons
		return !st.Protected, nil
	}); err != nil {
		t.Fatal(err)
	}
	trial.Submit(t, n, "you@far.example", "among old nodes", "x\n")

	// The nodes get the new file and start again, with new mix keys, and the gateway last.
	give := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if err := n.Process(name).Stop(); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(n.Path(name, "network.toml"), network, 0o600); err != nil {
				t.Fatal(err)
			}
			if name == testnet.Gateway {
				continue
			}
			if err := os.Rename(n.Path(name, "state", "mixkeys"), n.Path(name, "mixkeys of before")); err != nil {
				t.Fatal(err)
			}
		}
		for _, name := range names {
			if err := n.Process(name).Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	give(nodes...)
	if err := n.Wait(ctx, "the gateway to say what it lacks", func() (bool, error) {
		reasons = trial.Status(t, n).Reasons
		return slices.ContainsFunc(reasons, func(s string) bool { return strings.Contains(s, "get the network file again") }), nil
	}); err != nil {
		t.Fatalf("%v: %q", err, reasons)
	}
	give(testnet.Gateway)
	trial.Arrival(t, ctx, n, "among old nodes")
	trial.Submit(t, n, "you@far.example", "with new packets", "x\n")
	trial.AllOnce(t, ctx, n)
}

// authoritiesChange makes a network file with other parameters, gives it to the
// authorities, who start again, and returns it.
func authoritiesChange(t *testing.T, ctx context.Context, n *testnet.Network, flags ...string) []byte {
	t.Helper()
	path := n.Path(fmt.Sprintf("network-%d.toml", time.Now().UnixNano()))
	run := func(args ...string) {
		t.Helper()
		if _, err := n.Run(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	members := []string{n.Path(testnet.Entry, "entry.member")}
	for _, name := range authorities {
		authorityRun(t, ctx, n, name, "parameters", flags...)
		members = append(members, n.Path(name, name+".member"))
	}
	run(append([]string{"network", "make", "--name", "testnet", "-o", path}, members...)...)
	for _, name := range authorities {
		run("network", "sign", "-c", n.Path(name, "authority.toml"), path)
	}
	network, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range authorities {
		if err := n.Process(name).Stop(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(n.Path(name, "network.toml"), network, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range authorities {
		if err := n.Process(name).Start(); err != nil {
			t.Fatal(err)
		}
	}
	return network
}
