package nodes_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/ports"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// useful waits until a node says that packets come and go.
func useful(t *testing.T, ctx context.Context, n *testnet.Network, name string) {
	t.Helper()
	before := trial.NodeStatus(t, ctx, n, name).Forwarded
	if err := n.Wait(ctx, name+" to carry packets", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, name).Forwarded > before, nil
	}); err != nil {
		t.Fatalf("%v: %+v", err, trial.NodeStatus(t, ctx, n, name))
	}
}

// Whatever befalls nodes and their lines, mail waits and arrives, once.
func TestFaults(t *testing.T) {
	t.Parallel()
	into1, into2 := new(tap.Wire), new(tap.Wire)
	n := trial.Start(t, testnet.Options{Slot: 250 * time.Millisecond, Payload: 4000, Taps: map[string]tap.Tap{"mix1": into1, "mix2": into2}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*trial.Patience)
	defer cancel()

	t.Run("every role killed", func(t *testing.T) {
		for _, name := range []string{testnet.Entry, "mix2", testnet.Exit} {
			epoch := n.Epoch()
			n.Process(name).KillAll()
			if err := n.Process(name).Start(); err != nil {
				t.Fatal(err)
			}
			if err := n.Listening(ctx, name); err != nil {
				t.Fatal(err)
			}
			useful(t, ctx, n, name)
			// One epoch may have ended meanwhile, of ten seconds, but not two.
			if now := n.Epoch(); now > epoch+1 {
				t.Errorf("%s is useful again %d epochs later", name, now-epoch)
			}
		}
		trial.Submit(t, n, "you@far.example", "after the kills", "x\n")
		trial.Arrival(t, ctx, n, "after the kills")
	})

	t.Run("garbage", func(t *testing.T) {
		into2.Garble()
		trial.Submit(t, n, "you@far.example", "garbled", "x\n")
		before := trial.NodeStatus(t, ctx, n, "mix2")
		if err := n.Wait(ctx, "the neighbour to be let go", func() (bool, error) {
			return trial.NodeStatus(t, ctx, n, "mix2").FromNow == 0, nil
		}); err != nil {
			t.Fatal(err)
		}
		into2.Restore()
		trial.Arrival(t, ctx, n, "garbled")
		// What is changed on the line ends the line, before anything is unwrapped.
		if now := trial.NodeStatus(t, ctx, n, "mix2"); now.Dropped.Damaged != before.Dropped.Damaged {
			t.Errorf("%d packets were damaged", now.Dropped.Damaged-before.Dropped.Damaged)
		}
	})

	t.Run("partition", func(t *testing.T) {
		into1.Cut()
		into2.Cut()
		trial.Submit(t, n, "you@far.example", "partitioned", "x\n")
		epoch := n.Epoch()
		if err := n.Wait(ctx, "another epoch", func() (bool, error) { return n.Epoch() > epoch, nil }); err != nil {
			t.Fatal(err)
		}
		into1.Restore()
		into2.Restore()
		trial.Arrival(t, ctx, n, "partitioned")
	})

	t.Run("strangers", func(t *testing.T) {
		close := crowd(t, n.Address("mix3"), 10_000)
		defer close()
		useful(t, ctx, n, "mix3")
		trial.Submit(t, n, "you@far.example", "through a crowd", "x\n")
		trial.Arrival(t, ctx, n, "through a crowd")
	})

	t.Run("changed address", func(t *testing.T) {
		p := n.Process("mix3")
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		free, err := ports.Take(1)
		if err != nil {
			t.Fatal(err)
		}
		moved := free[0]
		if err := n.Edit("mix3", func(c map[string]any) { c["address"], c["bind"] = moved, moved }); err != nil {
			t.Fatal(err)
		}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		trial.Submit(t, n, "you@far.example", "moved", "x\n")
		trial.Arrival(t, ctx, n, "moved")
	})

	t.Run("narrow uplink", func(t *testing.T) {
		// Four packets in a second and their replies are most of what 1 Mbit/s carries.
		into2.Narrow(1_000_000 / 8)
		defer into2.Restore()
		before := trial.NodeStatus(t, ctx, n, "mix1")
		trial.Submit(t, n, "you@far.example", "narrow", trial.LargeText(60_000))
		trial.Arrival(t, ctx, n, "narrow")
		now := trial.NodeStatus(t, ctx, n, "mix1")
		b, a := before.Dropped, now.Dropped
		if a.Shed != b.Shed || a.Stale != b.Stale || a.Slow != b.Slow || a.Broken != b.Broken {
			t.Errorf("a slow line lost packets: before %+v, after %+v", b, a)
		}
	})

	t.Run("full disk at the exit", func(t *testing.T) {
		office := n.Process(testnet.Exit).Children()[0]
		old := limitFiles(t, office, 1)
		fragments := func() uint64 { st := trial.Status(t, n); return st.PacketsSent - st.CoverSent }
		before := fragments()
		trial.Submit(t, n, "you@far.example", "no room", "x\n")
		// The mail's only packet is sent again, because the exit did not say that it has it.
		if err := n.Wait(ctx, "the mail to be sent again", func() (bool, error) { return fragments() >= before+3, nil }); err != nil {
			t.Fatal(err)
		}
		if copies := trial.Arrivals(t, n)["no room"]; copies != 0 {
			t.Errorf("%d copies arrived of what the exit could not store", copies)
		}
		limitFiles(t, office, old)
		trial.Arrival(t, ctx, n, "no room")
	})

	trial.AllOnce(t, ctx, n)
}

// limitFiles lets a process's files grow no further than so many bytes, as a full disk
// does, and returns how far they might before.
func limitFiles(t *testing.T, pid int, size uint64) (before uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, &old); err != nil {
		t.Fatal(err)
	}
	return old.Cur
}

// A mix of the next layer stands still. What goes to it waits, and the mix before it
// says so; what goes to its neighbour is not held up. Nothing is lost without being
// counted, and when it goes on, so does what waited.
func TestSlowNeighbour(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{Loop: trial.LoopEvery, Spares: map[string]int{"mix4": 2}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*trial.Patience)
	defer cancel()
	slow := n.Process("mix4")
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"auth1", "auth2", "auth3"} {
		if _, err := n.Run(ctx, "authority", "admit", "-c", n.Path(name, "authority.toml"), n.Path("mix4", "mix4.member")); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Wait(ctx, "the second mix of a layer", func() (bool, error) {
		st := trial.NodeStatus(t, ctx, n, "mix4")
		return st.Received > 10 && st.Forwarded > 10, nil
	}); err != nil {
		t.Fatal(err)
	}

	before := trial.NodeStatus(t, ctx, n, "mix1")
	if err := slow.Pause(); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		trial.Submit(t, n, "you@far.example", fmt.Sprintf("slow %d", i), "x\n")
	}
	if err := n.Wait(ctx, "packets to wait for the slow mix", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, "mix1").Ready >= 20, nil
	}); err != nil {
		t.Fatal(err)
	}
	waiting := regexp.MustCompile(`([1-9]\d*) only for a slow neighbour`)
	if text, err := n.Run(ctx, "node", "status", "-c", n.Path("mix1", "node.toml")); err != nil || !waiting.MatchString(text) {
		t.Errorf("its operator is not told that packets wait for a slow neighbour: %v\n%s", err, text)
	}
	other := trial.NodeStatus(t, ctx, n, "mix2").Forwarded
	if err := n.Wait(ctx, "packets to pass the other mix", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, "mix2").Forwarded >= other+50, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := slow.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := n.Wait(ctx, "what waited to go on", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, "mix1").Ready < 5, nil
	}); err != nil {
		t.Fatal(err)
	}
	// Only what waited for longer than an epoch may be given up, and counts as such.
	now := trial.NodeStatus(t, ctx, n, "mix1")
	b, a := before.Dropped, now.Dropped
	if b.Stale, a.Stale = 0, 0; a != b {
		t.Errorf("a slow neighbour lost packets: before %+v, after %+v", b, a)
	}
	trial.AllOnce(t, ctx, n)
}

// crowd opens connections to an address, of which some say nothing and some say
// anything, and returns what closes them.
func crowd(t *testing.T, address string, size int) (leave func()) {
	t.Helper()
	var mu sync.Mutex
	var conns []net.Conn
	var opening sync.WaitGroup
	for i := range 8 {
		opening.Go(func() {
			noise := make([]byte, 2000)
			for j := range size / 8 {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Errorf("connection %d of the crowd: %v", i+8*j, err)
					return
				}
				if j%4 == 0 {
					rand.Read(noise)
					_, _ = c.Write(noise) // the node may have closed it
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
	}
	opening.Wait()
	return func() {
		for _, c := range conns {
			c.Close()
		}
	}
}
