package nodes_test

import (
	"slices"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Each node of ours stands in a network whose other nodes are Katzenpost's own: mail
// crosses it, and so does a packet of a stock client.
func TestOneAmongStockNodes(t *testing.T) {
	t.Parallel()
	all := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	for _, ours := range all {
		t.Run(ours, func(t *testing.T) {
			t.Parallel()
			path, err := trial.Stock()
			if err != nil {
				t.Fatal(err)
			}
			others := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == ours })
			n := trial.Start(t, testnet.Options{Stock: others, StockBinary: path, Decoys: true, Loop: loopEvery})
			text := trial.LargeText(100_000) // four packets
			trial.Submit(t, n, "you@far.example", "among strangers", text)
			if got := trial.Arrival(t, t.Context(), n, "among strangers"); got != text {
				t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
			}
			ping(t, n)
			comeHome(t, n, ours)
		})
	}
}
