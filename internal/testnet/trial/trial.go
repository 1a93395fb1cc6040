// Package trial is what the tests of whole networks share: it builds the program
// once for a package's tests, starts networks, submits mails and accounts for each of
// them. A package of such tests has one theme and little more than
//
//	func TestMain(m *testing.M) { trial.Main(m, trial.Ours) }
//
// Its tests run in parallel. Main lets one package run after the other, so that a
// machine has no more networks than it can carry.
//
// Tests import it, and nothing else does.
package trial

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/testnet"
)

// Program is the path of the program under test, which Main builds.
var Program string

// Patience bounds what a test waits for: an epoch and a half at the start, and more
// on a busy machine.
const Patience = 90 * time.Second

// Load is how many networks a processor carries. Of ours each keeps about half of one
// busy, and votes come late if all are; stock nodes take more, and do not forgive that.
type Load float64

const (
	Ours  Load = 1.5
	Stock Load = 1
)

// Main runs a package's tests with so many networks beside each other, or one if the
// race detector slows them, and ends the process.
func Main(m *testing.M, load Load) {
	flag.Parse()
	networks := max(1, int(float64(load)*float64(runtime.GOMAXPROCS(0))))
	if Race {
		networks = 1
	}
	if err := flag.Set("test.parallel", strconv.Itoa(networks)); err != nil {
		panic(err)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	// The time of -timeout begins with m.Run, so that waiting costs no test its own; but
	// the go command ends whoever takes a minute longer than that from the start.
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("sourdine-test-%d.lock", os.Getuid())), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return 0, fmt.Errorf("waiting for another package's tests: %w", err)
	}
	dir, err := os.MkdirTemp("", "sourdine-test-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	Program = filepath.Join(dir, "sourdine")
	if err := build(Program); err != nil {
		return 0, fmt.Errorf("building the program: %w", err)
	}
	return m.Run(), nil
}

// build builds the program, with the race detector if the tests have it.
func build(path string, flags ...string) error {
	args := append([]string{"build", "-o", path}, flags...)
	if Race {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "codeberg.org/sourdine/sourdine/cmd/sourdine")...)
	build.Stderr = os.Stderr
	return build.Run()
}

// Clocked builds the program with a node's clock that a test sets, once: the clock is off
// by the duration in the file that the variable ClockFile names (see mixnode).
var Clocked = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(Program), "clocked", filepath.Base(Program))
	return path, build(path, "-tags", "testclock")
})

// ClockFile is read by the program that Clocked builds.
const ClockFile = "SOURDINE_TEST_CLOCK"

// StockNode builds the program that is Katzenpost's own node, once.
var StockNode = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(Program), "stock")
	build := exec.Command("go", "build", "-o", path, "codeberg.org/sourdine/sourdine/internal/testnet/stock")
	build.Stderr = os.Stderr
	return path, build.Run()
})

// Start starts a network that ends with the test, and bounds the test's time.
func Start(t *testing.T, o testnet.Options) *testnet.Network {
	t.Helper()
	o.Binary = Program
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	n, err := testnet.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
