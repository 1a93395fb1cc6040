package mixnode

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
)

// A line's budget bounds what lies ready, and sheds at random what is too much.
func TestMixerShedsForTheLine(t *testing.T) {
	const rounds, room = 4000, 10
	first := 0
	for range rounds {
		b := newBench(t, 100)
		b.resize(100, room)
		oldest := b.packet(t, time.Now().Add(-time.Minute))
		b.add(oldest)
		b.move()
		for range room {
			b.add(b.packet(t, time.Now().Add(-time.Second)))
			b.move()
		}
		if held, ready := b.load(); held != room || ready != room || b.counts.slow.Load() != 1 || b.counts.shed.Load() != 0 {
			t.Fatalf("%d held, %d ready, %d shed for the line, %d for memory", held, ready, b.counts.slow.Load(), b.counts.shed.Load())
		}
		if oldest.frame == nil {
			first++
		}
		b.empty()
	}
	if want := rounds / (room + 1); first < want*2/3 || first > want*4/3 {
		t.Errorf("the oldest was shed %d times of %d, want about %d", first, rounds, want)
	}
}

// A budget that becomes smaller holds at once.
func TestMixerResize(t *testing.T) {
	b := newBench(t, 40)
	for i := range 40 {
		due := time.Now().Add(time.Hour)
		if i%2 == 1 {
			due = time.Now().Add(-time.Second)
		}
		b.add(b.packet(t, due))
	}
	b.move()
	b.resize(30, 5)
	held, ready := b.load()
	if shed, slow := b.counts.shed.Load(), b.counts.slow.Load(); held > 30 || ready > 5 || shed != 10 || uint64(held)+shed+slow != 40 {
		t.Errorf("%d held, %d ready, %d and %d shed", held, ready, shed, slow)
	}
	b.resize(100, 100)
	for range 50 {
		b.add(b.packet(t, time.Now().Add(time.Hour)))
	}
	if now, _ := b.load(); now != held+50 {
		t.Errorf("%d held with more room, want %d", now, held+50)
	}
	b.empty()
}

// What a node holds leaves before it ends, if its neighbour takes it; what has no
// way out, and what is due too late, does not keep it for ever.
func TestDrain(t *testing.T) {
	for _, test := range []struct {
		name      string
		due       []time.Duration // of the packets it holds
		connected bool
		takes     time.Duration // the drain
		left      int64         // packets that the neighbour took
	}{
		{"nothing", nil, true, 0, 0},
		{"packets", []time.Duration{10 * time.Second, 70 * time.Second}, true, 70 * time.Second, 2},
		{"too late", []time.Duration{10 * time.Second, time.Hour}, true, goodbye, 1},
		{"no neighbour", []time.Duration{10 * time.Second, 20 * time.Second}, false, 20 * time.Second, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := standalone(t, directory.RoleMix)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go n.mixer.run(ctx, n.keys.broken)
				synctest.Wait()
				var left atomic.Int64
				if test.connected {
					n.connected.Add(1)
					go func() {
						for more := n.mixer.more(there); ; {
							select {
							case <-ctx.Done():
								return
							case <-more:
							}
							for _, p := range n.mixer.take(there, nil, 10) {
								left.Add(1)
								drop(p)
							}
						}
					}()
				}
				b := &bench{mixer: n.mixer, frames: n.frames}
				for _, due := range test.due {
					n.mixer.add(b.packet(t, time.Now().Add(due)))
				}
				start := time.Now()
				n.drain(ctx)
				if took := time.Since(start); took < test.takes || took > test.takes+time.Second {
					t.Errorf("it took %v, want %v", took, test.takes)
				}
				if got := left.Load(); got != test.left {
					t.Errorf("%d packets left, want %d", got, test.left)
				}
				cancel()
				synctest.Wait()
				n.mixer.empty()
			})
		})
	}
}

// A configuration that was read anew holds as far as it can, and the rest is named.
func TestChange(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	var log bytes.Buffer
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithCancel(t.Context())
	changes, done := make(chan *Config), make(chan error)
	go func() { done <- n.adapt(ctx, changes) }()
	c := *n.cfg
	c.Address, c.Layer, c.Name = "192.0.2.1:4242", 3, "other"
	c.Budget = Budget{MemoryMB: 32, RateKbit: 1000}
	changes <- &c
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := n.traffic.line().PaceKbit; got != 1000 {
		t.Errorf("the pace is %d", got)
	}
	if got, want := n.mixer.size(), (32<<20-n.keys.memory())/(n.frames.Memory()+packetMemory); got != want {
		t.Errorf("%d packets may wait, want %d", got, want)
	}
	if got := *n.address.Load(); got != c.Address {
		t.Errorf("the address is %s", got)
	}
	if text := log.String(); !strings.Contains(text, `changed="name, layer"`) || strings.Contains(text, "192.0.2.1") {
		t.Errorf("the log says %s", text)
	}
}

// Replay tags are part of what a node may take: as they grow, fewer packets may wait, and
// when they leave hardly any room the node says so. Where it has forgotten an epoch's,
// there is room again at once.
func TestTagsCountAgainstTheBudget(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	n := standalone(t, directory.RoleMix)
	now := time.Now()
	n.now = func() time.Time { return now }
	each, budget := n.frames.Memory()+packetMemory, Budget{MemoryMB: minMemoryMB}
	taken := func() int { return n.keys.memory() + n.mixer.size()*each }
	tags, seen := n.keys.candidates()[0].tags, uint64(0)
	fill := func(count int) {
		for range count {
			seen++
			tags.Add((*[32]byte)(binary.LittleEndian.AppendUint64(make([]byte, 24), seen)))
		}
	}
	n.hold(budget)
	empty := n.mixer.size()
	if took := taken(); took > minMemoryMB<<20 || took < minMemoryMB<<20-each {
		t.Errorf("tags and packets may take %d bytes together", took)
	}
	fill(1_000_000)
	n.hold(budget)
	if took := taken(); took > minMemoryMB<<20 || took < minMemoryMB<<20-each || n.mixer.size() > empty-4_000_000/each {
		t.Errorf("with a million tags, which take %d bytes, tags and packets may take %d together", n.keys.memory(), took)
	}
	if said := n.troubles.all(""); len(said) > 0 {
		t.Errorf("the node says %v", said)
	}
	fill(2_000_000)
	n.hold(budget)
	if said := n.troubles.all(""); n.mixer.size() != leastPackets || len(said) != 1 || !strings.Contains(said[0], "memory_mb") {
		t.Errorf("%d packets may wait beside %d bytes of tags, and the node says %v", n.mixer.size(), n.keys.memory(), said)
	}
	if limit := debug.SetMemoryLimit(-1); limit < int64(n.keys.memory()+leastPackets*each) {
		t.Errorf("the runtime's limit is %d bytes, below what tags and packets take", limit)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	n.cfg.Budget = budget
	go func() { done <- n.adapt(ctx, nil) }()
	now = now.Add(2 * n.period)
	if err := n.keys.roll(n.epoch()); err != nil {
		t.Fatal(err)
	}
	for n.mixer.size() < empty { // the test's timeout is the bound
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if said := n.troubles.all(""); len(said) > 0 {
		t.Errorf("with room again the node says %v", said)
	}
}

// A supervisor hears that the node is up, that it lives, and that it ends.
func TestSupervisor(t *testing.T) {
	path := filepath.Join(shortDir(t), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "20000")
	t.Setenv("WATCHDOG_PID", "")
	n := standalone(t, directory.RoleMix)
	n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.tellSupervisor(ctx) }()
	// A socket takes ten messages or so and then holds the node up, so they are read
	// whatever the test waits for.
	heard := make(chan string, 10_000)
	go func() {
		defer close(heard)
		for b := make([]byte, 1000); ; {
			size, err := l.Read(b)
			if err != nil {
				return
			}
			heard <- string(b[:size])
		}
	}()
	hear := func() string { return <-heard }
	if got := hear(); got != "READY=1" {
		t.Errorf("first %q", got)
	}
	// Whatever came through, there is no count.
	for range 3 {
		got := hear()
		status, ok := strings.CutPrefix(got, "WATCHDOG=1\nSTATUS=not in the consensus")
		if !ok || strings.ContainsAny(status, "0123456789") {
			t.Errorf("then %q", got)
		}
		n.counts.received.Add(1)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	n.drain(t.Context())
	for got := hear(); got != "STOPPING=1"; got = hear() {
		if !strings.HasPrefix(got, "WATCHDOG=1") {
			t.Fatalf("at the end %q", got)
		}
	}
}

func TestMetricsAddress(t *testing.T) {
	for address, good := range map[string]bool{
		"127.0.0.1:9464": true, "[::1]:9464": true,
		"0.0.0.0:9464": false, ":9464": false, "192.0.2.1:9464": false, "localhost:9464": false, "127.0.0.1": false, "127.0.0.1:0": false,
	} {
		if err := checkMetrics(address); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// Metrics are the status's counts, and stand still for a minute.
func TestMetrics(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	now := time.Now()
	n.now = func() time.Time { return now }
	// An address that no other test listens on: nobody is given the port in between.
	l, err := net.Listen("tcp", "127.2.3.4:0")
	if err != nil {
		t.Fatal(err)
	}
	n.cfg.Metrics = l.Addr().String()
	if err := n.serveMetrics(t.Context()); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("on a port in use: %v", err)
	}
	l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- n.serveMetrics(ctx) }()
	ask := func() string {
		r, err := http.Get("http://" + n.cfg.Metrics + "/metrics")
		for err != nil && ctx.Err() == nil { // it does not listen yet
			r, err = http.Get("http://" + n.cfg.Metrics + "/metrics")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	n.counts.received.Store(7)
	n.counts.shed.Store(2)
	want := []string{`sourdine_node_packets_total{what="received"} 7`, `sourdine_node_dropped_total{reason="shed"} 2`, "sourdine_node_capacity 100", "sourdine_node_listed 0"}
	check := func(want ...string) {
		t.Helper()
		text := ask()
		for _, line := range want {
			if !strings.Contains(text, line+"\n") {
				t.Errorf("no line %q in:\n%s", line, text)
			}
		}
	}
	check(want...)
	n.counts.received.Store(9)
	now = now.Add(resolution - time.Second)
	check(want...)
	now = now.Add(time.Second)
	check(`sourdine_node_packets_total{what="received"} 9`)
	// Every count that a status has is among them.
	if got, want := strings.Count(ask(), "sourdine_node_dropped_total{"), 10; got != want {
		t.Errorf("%d reasons, want %d", got, want)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
}
