package mixnode

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// This file is what a node does besides carrying packets: it keeps to its budget,
// takes changes of its configuration, tells its supervisor that it lives, and lets
// what is under way leave before it goes.

const (
	// Overhead is what a node's process takes besides its budget, in bytes:
	// what runtimeOverhead is for, the program itself, and what the collector has not
	// come to yet.
	Overhead = 96 << 20

	// runtimeOverhead is what Go's memory may take besides the budget: connections,
	// documents, keys, an exit's requests.
	runtimeOverhead = 64 << 20

	// leastPackets is how many packets may wait however small the memory.
	leastPackets = 64

	// patience is how long, as a part of an epoch, a packet may wait for a line whose
	// budget is used up.
	patience = 1.0 / 8

	// goodbye is how long a node that was asked to end waits for what is under way.
	// With a mean delay of a minute at each mix, 99 of 100 packets leave in that time.
	goodbye = 5 * time.Minute
)

// hold makes the node keep to a budget. Packets may wait in what the replay tags leave of
// its memory. They grow: with each packet, and by a whole epoch's when a key's are read.
func (n *node) hold(b Budget) {
	n.traffic.set(b)
	tags, each := n.keys.memory(), n.frames.Memory()+packetMemory
	room := int(b.Memory()) - tags
	if least := leastPackets * each; room < least {
		room = least
		// In steps, so that what grows is not said anew each time.
		enough := ((2*tags+least)>>20/16 + 1) * 16
		n.say("memory", fmt.Sprintf("memory_mb hardly leaves room for packets beside what this node has to know of those of the last hours: set it to %d at least", enough), nil)
	} else {
		n.said("memory")
	}
	packets := room / each
	switch {
	case n.entry != nil:
		packets /= 2
		n.entry.resize(packets)
	case n.exit != nil:
		waiting := min(requestsWaiting, packets/2)
		packets -= waiting
		n.exit.resize(waiting)
	}
	n.mixer.resize(packets, n.traffic.waiting(part(n.period, patience)))
	debug.SetMemoryLimit(int64(tags+room) + runtimeOverhead)
}

// adapt keeps to the budget as time goes on, and takes changes, until ctx ends.
func (n *node) adapt(ctx context.Context, changes <-chan *Config) error {
	budget := n.cfg.Budget
	clock := time.NewTicker(pacing)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case c := <-changes:
			n.change(c)
			budget = c.Budget
		case <-n.keys.sized:
		case <-clock.C:
			if err := n.traffic.store(); err != nil {
				n.say("traffic", "the month's traffic is not on disk", err)
			} else {
				n.said("traffic")
			}
		}
		n.hold(budget)
	}
}

// change takes a configuration that was read anew.
func (n *node) change(c *Config) {
	var fixed []string
	for _, f := range []struct {
		name string
		same bool
	}{
		{"router", c.Router == n.cfg.Router}, {"address", n.router == nil && c.Router == "" || c.Address == n.cfg.Address},
		{"role", c.Role == n.cfg.Role}, {"name", c.Name == n.cfg.Name}, {"operator", c.Operator == n.cfg.Operator},
		{"layer", c.Layer == n.cfg.Layer}, {"bind", c.Bind == n.cfg.Bind}, {"network", c.Network == n.cfg.Network},
		{"state", c.State == n.cfg.State}, {"keys", c.Keys == n.cfg.Keys}, {"metrics", c.Metrics == n.cfg.Metrics},
	} {
		if !f.same {
			fixed = append(fixed, f.name)
		}
	}
	if n.router == nil && c.Router == "" { // with one, the address may be a port alone
		n.address.Store(&c.Address)
	}
	n.log.Info("the configuration was read anew: the budget holds at once, an address from the next descriptor on")
	if len(fixed) > 0 {
		n.log.Warn("what else was changed holds only after a restart", "changed", strings.Join(fixed, ", "))
	}
}

// drain waits until what the node holds has left, as far as there is a way and time
// for it. Nothing comes any more.
func (n *node) drain(ctx context.Context) {
	until := n.now().Add(min(goodbye, n.period))
	if held, _ := n.mixer.load(); held > 0 && ctx.Err() == nil {
		n.log.Info("ending when the packets that wait here have left; ask again to end at once", "longest", until.Sub(n.now()).Round(time.Second))
	}
	notify(daemon.SdNotifyStopping)
	if n.exit != nil { // whose handler is at its last requests
		sleep(ctx, answerAfter)
	}
	for n.now().Before(until) {
		held, ready := n.mixer.load()
		// What is ready waits for a neighbour. One that is away may be for long.
		if held == 0 || held == ready && n.connected.Load() == 0 || !sleep(ctx, 50*time.Millisecond) {
			return
		}
	}
}

// tellSupervisor tells systemd that the node runs, and that it still does for as
// long as its parts answer (sd_notify(3)). Where there is none, it does nothing.
func (n *node) tellSupervisor(ctx context.Context) error {
	notify(daemon.SdNotifyReady)
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		every = 2 * pacing // to say how the node fares
	}
	clock := time.NewTicker(every / 2)
	defer clock.Stop()
	for {
		// A part that holds its lock for ever holds this up, too. Every user of the machine
		// may read the status, at every change: so it holds no count.
		says := "STATUS=not in the consensus: `sourdine node status` says what it waits for"
		if n.report().Listed {
			says = "STATUS=in the consensus"
		}
		notify(daemon.SdNotifyWatchdog + "\n" + says)
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
	}
}

// notify ignores what fails: a node needs no supervisor.
func notify(state string) { _, _ = daemon.SdNotify(false, state) }
