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
	among := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(other string) bool { return slices.Contains(names, other) })
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
			path, err := trial.StockNode()
			if err != nil {
				t.Fatal(err)
			}
			n := trial.Start(t, testnet.Options{Epoch: trial.StockEpoch, Stock: stock, StockBinary: path, Decoys: true, Loop: trial.LoopEvery})
			text := trial.LargeText(100_000) // four packets
			trial.Submit(t, n, "you@far.example", "among strangers", text)
			if got := trial.Arrival(t, t.Context(), n, "among strangers"); got != text {
				t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
			}
			ping(t, n, !slices.Contains(stock, testnet.Entry))
			decoysComeHome(t, n, stock)
			for _, node := range among(stock...) {
				trial.ComeHome(t, n, node)
			}
			if t.Failed() {
				tellLosses(t, n, all, stock)
			}
		})
	}
}

// decoysComeHome waits until stock nodes have sent some loops more, and sees that all
// of them come home.
func decoysComeHome(t *testing.T, n *testnet.Network, names []string) {
	t.Helper()
	const fewest = 20
	already := map[string]int{} // while nodes still connect to each other, some are lost
	for _, name := range names {
		already[name] = len(decoys(t, n, name).sent)
	}
	for _, name := range names {
		ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
		defer cancel()
		var watched []string
		if err := n.Wait(ctx, name+"'s decoys", func() (bool, error) {
			watched = decoys(t, n, name).sent[already[name]:]
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
}

// tellLosses logs why each node dropped packets, and how many.
func tellLosses(t *testing.T, n *testnet.Network, nodes, stock []string) {
	t.Helper()
	for _, name := range nodes {
		if !slices.Contains(stock, name) {
			t.Logf("%s: %+v", name, trial.NodeStatus(t, t.Context(), n, name).Dropped)
			continue
		}
		log, err := os.ReadFile(n.Path(name, "state", "engine.log"))
		if err != nil {
			t.Fatal(err)
		}
		reasons := map[string]int{}
		for _, m := range stockDrop.FindAllSubmatch(log, -1) {
			reasons[string(m[1])]++
		}
		t.Logf("%s: %v", name, reasons)
	}
}

// loops are a stock node's decoys, by the numbers of their reply blocks.
type loops struct {
	sent []string
	home map[string]bool
}

// What a stock node logs of a decoy (Katzenpost server/internal/decoy, sendLoopPacket
// and OnPacket), and of a packet that goes no further.
var (
	decoySent = regexp.MustCompile(`Dispatching loop packet: SURB ID: (0x[0-9a-f]+)`)
	stockDrop = regexp.MustCompile(`Dropping packet: (?:\d+ )?\(?([A-Za-z][A-Za-z ]+)`)
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
