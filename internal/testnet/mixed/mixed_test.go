package mixed_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Nodes of ours stand in a network with Katzenpost's own: one of ours among stock
// nodes, in each place, and one stock node among ours. Mail crosses it, and so does a
// packet of a stock client; and what each node sends to itself comes home.
func TestStockNodes(t *testing.T) {
	t.Parallel()
	all := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	among := func(name string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(other string) bool { return other == name })
	}
	for name, stock := range map[string][]string{
		"our entry":   among(testnet.Entry),
		"our mix1":    among("mix1"),
		"our mix2":    among("mix2"),
		"our mix3":    among("mix3"),
		"our exit":    among(testnet.Exit),
		"stock entry": {testnet.Entry},
		"stock mix2":  {"mix2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, err := trial.Stock()
			if err != nil {
				t.Fatal(err)
			}
			n := trial.Start(t, testnet.Options{Stock: stock, StockBinary: path, Decoys: true, Loop: trial.LoopEvery})
			text := trial.LargeText(100_000) // four packets
			trial.Submit(t, n, "you@far.example", "among strangers", text)
			if got := trial.Arrival(t, t.Context(), n, "among strangers"); got != text {
				t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
			}
			ping(t, n, !slices.Contains(stock, testnet.Entry))
			for _, node := range all {
				if slices.Contains(stock, node) {
					decoysComeHome(t, n, node)
				} else {
					trial.ComeHome(t, n, node)
				}
			}
		})
	}
}

// decoysComeHome waits until a stock node has sent some loops more, and sees that all
// of them come home.
func decoysComeHome(t *testing.T, n *testnet.Network, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	const fewest = 20
	already := len(decoys(t, n, name).sent) // while nodes still connect to each other, some are lost
	var watched []string
	if err := n.Wait(ctx, name+"'s decoys", func() (bool, error) {
		watched = decoys(t, n, name).sent[already:]
		return len(watched) >= fewest, nil
	}); err != nil {
		t.Fatalf("%v: it sent %d", err, len(watched))
	}
	var out int
	if err := n.Wait(ctx, name+"'s decoys to come home", func() (bool, error) {
		home := decoys(t, n, name).home
		out = 0
		for _, loop := range watched {
			if !home[loop] {
				out++
			}
		}
		return out == 0, nil
	}); err != nil {
		t.Errorf("%v: %d of %d did not", err, out, len(watched))
	}
}

// loops are a stock node's decoys, by the numbers of their reply blocks.
type loops struct {
	sent []string
	home map[string]bool
}

// What a stock node logs of a decoy (Katzenpost server/internal/decoy, sendLoopPacket
// and OnPacket).
var (
	decoySent = regexp.MustCompile(`Dispatching loop packet: SURB ID: (0x[0-9a-f]+)`)
	decoyHome = regexp.MustCompile(`Response packet: \d+ \(SURB ID: (0x[0-9a-f]+)\)`)
)

func decoys(t *testing.T, n *testnet.Network, name string) loops {
	t.Helper()
	log, err := os.ReadFile(n.Path(name, "state", "engine.log"))
	if err != nil {
		t.Fatal(err)
	}
	l := loops{home: map[string]bool{}}
	for _, m := range decoySent.FindAllSubmatch(log, -1) {
		l.sent = append(l.sent, string(m[1]))
	}
	for _, m := range decoyHome.FindAllSubmatch(log, -1) {
		l.home[string(m[1])] = true
	}
	return l
}
