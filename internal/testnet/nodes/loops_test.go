package nodes_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Every node's loops come home; and when a mix's packets are dropped, all but those
// of one sender, or all, each node says so, and that it is over when it is.
func TestLoops(t *testing.T) {
	t.Parallel()
	var dropping atomic.Bool
	n := trial.Start(t, testnet.Options{
		Loop: trial.LoopEvery,
		Taps: map[string]tap.Tap{"mix2": &tap.Relay{Pass: func([]byte) bool { return !dropping.Load() }}},
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*trial.Patience)
	defer cancel()
	nodes := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	for _, name := range nodes {
		trial.ComeHome(t, n, name)
	}
	dropping.Store(true)
	for _, name := range nodes {
		if err := n.Wait(ctx, name+"'s alarm", func() (bool, error) {
			return len(trial.NodeStatus(t, ctx, n, name).Alarms) > 0, nil
		}); err != nil {
			t.Fatalf("%v: %+v", err, trial.NodeStatus(t, t.Context(), n, name).Loops)
		}
		text, err := n.Run(ctx, "node", "status", "-c", n.Path(name, "node.toml"))
		if err != nil {
			t.Fatal(err)
		}
		// There is one mix in a layer, so every way needs every node, and each is named.
		if !strings.Contains(text, "whichever way they take") || name != "mix2" && !strings.Contains(text, "mix2,") {
			t.Errorf("%s does not say what is wrong:\n%s", name, text)
		}
	}
	dropping.Store(false)
	for _, name := range nodes {
		if err := n.Wait(ctx, "the end of "+name+"'s alarm", func() (bool, error) {
			return len(trial.NodeStatus(t, ctx, n, name).Alarms) == 0, nil
		}); err != nil {
			t.Fatal(err)
		}
		log := n.Process(name).Log()
		if begun, over := strings.Count(log, "are lost"), strings.Count(log, "alarm about lost packets is over"); begun != over || begun == 0 {
			t.Errorf("%s logs %d alarms that begin and %d that end:\n%s", name, begun, over, log)
		}
	}
}
