package faults_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
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
	var newest atomic.Pointer[[]byte] // packet that came to mix3
	into3 := &tap.Relay{Pass: func(packet []byte) bool { newest.Store(new(slices.Clone(packet))); return true }}
	n := trial.Start(t, testnet.Options{Slot: 250 * time.Millisecond, Payload: 4000, Taps: map[string]tap.Tap{"mix1": into1, "mix2": into2, "mix3": into3}})
	ctx, cancel := context.WithTimeout(t.Context(), 6*trial.Patience)
	defer cancel()

	t.Run("every role killed", func(t *testing.T) {
		for _, name := range []string{testnet.Entry, "mix2", testnet.Exit} {
			// A busy machine may need more than what is left of ten seconds. A node that needs
			// the next epoch does so each time.
			for try := 1; ; try++ {
				epoch := published(t, ctx, n)
				n.Process(name).KillAll()
				if err := n.Process(name).Start(); err != nil {
					t.Fatal(err)
				}
				if err := n.Listening(ctx, name); err != nil {
					t.Fatal(err)
				}
				useful(t, ctx, n, name)
				if n.Epoch() == epoch {
					break
				}
				if try == 3 {
					t.Fatalf("%s was killed %d times, and never useful again in the same epoch", name, try)
				}
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

	t.Run("a neighbour's garbage", func(t *testing.T) {
		network, err := gateway.TrustedNetwork(n.Path("mix3", "network.toml"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := network.Parameters.Geometry()
		if err != nil {
			t.Fatal(err)
		}
		before := trial.NodeStatus(t, ctx, n, "mix3")
		const each = 200
		for range each {
			noise := make([]byte, g.PacketLength)
			rand.Read(noise)
			changed := slices.Clone(*newest.Load())
			bit := mathrand.IntN(8 * g.HeaderLength)
			changed[bit/8] ^= 1 << (bit % 8)
			for _, packet := range [][]byte{noise, changed} {
				if err := into3.Send(packet); err != nil {
					t.Fatal(err)
				}
			}
		}
		trial.Submit(t, n, "you@far.example", "amid garbage", "x\n")
		trial.Arrival(t, ctx, n, "amid garbage")
		if err := n.Wait(ctx, "the garbage to be counted", func() (bool, error) {
			return trial.NodeStatus(t, ctx, n, "mix3").Dropped.Damaged >= before.Dropped.Damaged+2*each, nil
		}); err != nil {
			t.Errorf("%v: %+v", err, trial.NodeStatus(t, t.Context(), n, "mix3"))
		}
		if now := trial.NodeStatus(t, ctx, n, "mix3"); now.FromNow != before.FromNow || now.Dropped.Misrouted != before.Dropped.Misrouted {
			t.Errorf("garbage did more than be dropped: before %+v, after %+v", before, now)
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
		old := trial.LimitFiles(t, office, 1)
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
		trial.LimitFiles(t, office, old)
		trial.Arrival(t, ctx, n, "no room")
	})

	t.Run("the line's budget", func(t *testing.T) {
		const kbit = 250 // a third of what goes to the next mix
		mix := n.Process("mix1")
		budget := func(b map[string]any) {
			if err := n.Edit("mix1", func(c map[string]any) { c["budget"] = b }); err != nil {
				t.Fatal(err)
			}
		}
		keeps := func(what string) {
			t.Helper()
			if err := n.Wait(ctx, what, func() (bool, error) {
				pace := trial.NodeStatus(t, ctx, n, "mix1").Line.PaceKbit
				return pace > kbit/2 && pace <= kbit, nil
			}); err != nil {
				t.Fatalf("%v: %+v", err, trial.NodeStatus(t, t.Context(), n, "mix1").Line)
			}
			from, begun := len(into2.Chunks()), time.Now()
			time.Sleep(6 * time.Second)
			carried, most := 0, int(time.Since(begun).Seconds()+1)*kbit*1000/8
			for _, c := range into2.Chunks()[from:] {
				if c.Out {
					carried += c.Bytes
				}
			}
			t.Logf("%s: %d kB in %v, of %d kB", what, carried/1000, time.Since(begun).Round(time.Second/10), most/1000)
			if carried == 0 || carried > most {
				t.Errorf("%s: it sent %d bytes, and may %d", what, carried, most)
			}
		}
		// So much is used of this month that what is left is that pace to its end.
		if err := mix.Stop(); err != nil {
			t.Fatal(err)
		}
		now, month := time.Now().UTC(), 1000
		left := 2 * kbit * 1000 / 8 * time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC).Sub(now).Seconds()
		used := fmt.Sprintf("month = %q\nbytes = %d\n", now.Format("2006-01"), uint64(float64(month)*1e9-left))
		if err := os.WriteFile(n.Path("mix1", "state", "traffic.toml"), []byte(used), 0o600); err != nil {
			t.Fatal(err)
		}
		budget(map[string]any{"month_gb": month})
		if err := mix.Start(); err != nil {
			t.Fatal(err)
		}
		if err := n.Listening(ctx, "mix1"); err != nil {
			t.Fatal(err)
		}
		useful(t, ctx, n, "mix1")
		keeps("a month's budget")
		budget(map[string]any{"rate_kbit": kbit})
		if err := syscall.Kill(mix.Pid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		keeps("a second's budget")
		budget(map[string]any{})
		if err := syscall.Kill(mix.Pid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		trial.Submit(t, n, "you@far.example", "after thrift", "x\n")
		trial.Arrival(t, ctx, n, "after thrift")
	})

	t.Run("damaged state", func(t *testing.T) {
		mix := n.Process("mix2")
		if err := mix.Stop(); err != nil {
			t.Fatal(err)
		}
		said := len(mix.Log())
		epoch := n.Epoch()
		damaged := []string{
			fmt.Sprintf("mixkeys/mix-%d.key", epoch+1), fmt.Sprintf("mixkeys/mix-%d.tags", epoch),
			fmt.Sprintf("consensus/%d", epoch), "traffic.toml",
		}
		for _, file := range damaged {
			flip(t, n.Path("mix2", "state", file))
		}
		if err := mix.Start(); err != nil {
			t.Fatal(err)
		}
		trial.Submit(t, n, "you@far.example", "after damage", "x\n")
		trial.Arrival(t, ctx, n, "after damage")
		for i, lost := range []string{"packets to this node in it are lost", "packets to this node in that epoch are lost", "fetched again, and nothing else is lost", "counted from nothing, and nothing else is lost"} {
			log := mix.Log()[said:]
			if !slices.ContainsFunc(strings.Split(log, "\n"), func(line string) bool {
				return strings.Contains(line, damaged[i]) && strings.Contains(line, lost)
			}) {
				t.Errorf("it does not say of %s that %s:\n%s", damaged[i], lost, log)
			}
		}
	})

	trial.AllOnce(t, ctx, n)
}

// published waits for the moment of an epoch at which nodes have published themselves for
// the next, so that who is killed then costs the network nothing but itself.
func published(t *testing.T, ctx context.Context, n *testnet.Network) (epoch uint64) {
	t.Helper()
	last := n.Epoch()
	if err := n.Wait(ctx, "an epoch's beginning", func() (bool, error) { return n.Epoch() > last, nil }); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond) // an eighth of ten seconds, and a little
	return last + 1
}

// flip changes a bit in the first half of a file. The rest of some has no meaning yet.
func flip(t *testing.T, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A mix of the next layer stands still. What goes to it waits, and the mix before it
// says so; what goes to its neighbour is not held up. Nothing is lost without being
// counted, and when it goes on, so does what waited.
func TestSlowNeighbour(t *testing.T) {
	t.Parallel()
	// The authorities leave out a node that stands still for much of an epoch, and then packets on their way
	// to it are for nobody.
	n := trial.Start(t, testnet.Options{Epoch: 30 * time.Second, Loop: trial.LoopEvery, Spares: map[string]int{"mix4": 2}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*trial.Patience)
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
