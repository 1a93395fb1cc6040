package trial

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// Restart starts a killed process again and waits until the network carries mail.
func Restart(t *testing.T, ctx context.Context, n *testnet.Network, name string) {
	t.Helper()
	if err := n.Process(name).Start(); err != nil {
		t.Fatal(err)
	}
	if err := n.Listening(ctx, name); err != nil {
		t.Fatal(err)
	}
	// It has its keys, and the network is whole again when its neighbours have
	// connected anew.
	before := uint64(0)
	if name != testnet.Gateway {
		st, err := n.Status()
		if err != nil {
			t.Fatal(err)
		}
		before = st.Answered
	}
	err := n.Wait(ctx, "replies after "+name+" was killed", func() (bool, error) {
		st, err := n.Status()
		return err == nil && st.Answered > before+20 && !st.Holding, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// NodeStatus asks a node how it fares.
func NodeStatus(t *testing.T, ctx context.Context, n *testnet.Network, name string) mixnode.Status {
	t.Helper()
	out, err := n.Run(ctx, "node", "status", "--json", "-c", n.Path(name, "node.toml"))
	if err != nil {
		t.Fatal(err)
	}
	var st mixnode.Status
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		t.Fatal(err)
	}
	return st
}

// LimitFiles lets a process's files grow no further than so many bytes, as a full disk
// does, and returns how far they might before.
func LimitFiles(t *testing.T, pid int, size uint64) (before uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, &old); err != nil {
		t.Fatal(err)
	}
	return old.Cur
}

// StockEpoch is an epoch of networks with stock nodes. These refuse their neighbours when
// they miss a consensus, and a busy machine may miss a vote whose phases last a second.
const StockEpoch = 20 * time.Second

// LoopEvery is how often a node sends a packet to itself, where a test is about that.
const LoopEvery = 250 * time.Millisecond

// ComeHome waits until some packets that a node sent to itself have come home.
func ComeHome(t *testing.T, n *testnet.Network, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := n.Wait(ctx, name+"'s loops to come home", func() (bool, error) {
		return NodeStatus(t, ctx, n, name).Loops.Home >= 5, nil
	}); err != nil {
		t.Errorf("%v: %+v", err, NodeStatus(t, t.Context(), n, name).Loops)
	}
}
