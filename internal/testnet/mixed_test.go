package testnet_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
)

// stock builds the program that is Katzenpost's own node, once.
var stock = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(program), "stock")
	build := exec.Command("go", "build", "-o", path, "codeberg.org/sourdine/sourdine/internal/testnet/stock")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// Each node of ours stands in a network whose other nodes are Katzenpost's own: mail
// crosses it, and so does a packet of a stock client.
func TestOneAmongStockNodes(t *testing.T) {
	t.Parallel()
	all := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	for _, ours := range all {
		t.Run(ours, func(t *testing.T) {
			t.Parallel()
			path, err := stock()
			if err != nil {
				t.Fatal(err)
			}
			others := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return name == ours })
			n := start(t, testnet.Options{Stock: others, StockBinary: path, Decoys: true, Loop: loopEvery})
			text := largeText(100_000) // four packets
			submit(t, n, "you@far.example", "among strangers", text)
			if got := arrival(t, t.Context(), n, "among strangers"); got != text {
				t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
			}
			ping(t, n)
			comeHome(t, n, ours)
		})
	}
}
