package wire_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// What a gateway writes, in bytes: a command is a packet with 6 bytes before it,
// sealed with 16, behind a sealed header of 20 (Katzenpost core/wire). What its entry
// writes is larger by the 20 bytes before a reply.
const (
	commandBytes = 44_458 + 6 + 16 + 20
	answerBytes  = commandBytes + 20
)

// jitter is how far from its time a slot may be on the wire.
const jitter = 40 * time.Millisecond

// On the wire the slots look the same with no mail and with fifty: the same
// bytes, in the same order, at the same distances. An entry of ours is sent a packet
// in each slot and nothing else, and sends one answer in each slot of its own.
func TestWire(t *testing.T) {
	if !wireJudgesJitter {
		t.Parallel()
	}
	observeWire(t, testnet.Options{}, func(what string, slot time.Duration, missed int, wire []tap.Chunk) {
		judge(t, what, clock{slot: slot, missed: missed, size: commandBytes, inSlot: 1, inAll: 1, requests: true}, tap.Bursts(wire, true, 25*time.Millisecond))
		judge(t, what+", from the entry", entrys(slot), tap.Bursts(wire, false, 5*time.Millisecond))
	})
}

// A stock entry wants an acknowledgement of each reply: one behind the packet and one
// half-way to the next slot, or what takes its place.
func TestWireToStockEntry(t *testing.T) {
	t.Parallel()
	path, err := trial.StockNode()
	if err != nil {
		t.Fatal(err)
	}
	observeWire(t, testnet.Options{Epoch: trial.StockEpoch, Stock: []string{testnet.Entry}, StockBinary: path}, func(what string, slot time.Duration, missed int, wire []tap.Chunk) {
		judge(t, what, clock{slot: slot, missed: missed, size: commandBytes, inSlot: 2, inAll: 3, requests: true, unjudged: true}, tap.Bursts(wire, true, 25*time.Millisecond))
	})
}

// observeWire lets a gateway send without mail and with fifty, and each time has
// look judge what passed between it and its entry.
func observeWire(t *testing.T, o testnet.Options, look func(what string, slot time.Duration, missed int, wire []tap.Chunk)) {
	t.Helper()
	wire := new(tap.Wire)
	const slot = 200 * time.Millisecond
	o.Slot, o.GatewayFirst, o.Taps = slot, wireJudgesJitter, map[string]tap.Tap{testnet.Entry: wire}
	n := trial.Start(t, o)
	record := func(what string, mails int) (chunks []tap.Chunk, missed int) {
		from := len(wire.Chunks())
		before := trial.Status(t, n)
		for i := range mails {
			trial.Submit(t, n, "you@far.example", fmt.Sprintf("wire %d", i), trial.LargeText(i*1000))
		}
		ctx, cancel := context.WithTimeout(t.Context(), wireSlots*slot+trial.Patience)
		defer cancel()
		if err := n.Wait(ctx, "slots "+what, func() (bool, error) { return trial.Status(t, n).PacketsSent >= before.PacketsSent+wireSlots, nil }); err != nil {
			t.Fatal(err)
		}
		return wire.Chunks()[from:], int(trial.Status(t, n).SlotsMissed - before.SlotsMissed)
	}
	observe := func(what string, mails int) {
		chunks, missed := record(what, mails)
		// A stock entry ends a line now and then. What is to be seen is a line that stands.
		for try := 1; len(o.Stock) > 0 && try < 3 && chunks[0].Conn != chunks[len(chunks)-1].Conn; try++ {
			t.Logf("%s: the stock entry's line broke: once more", what)
			chunks, missed = record(what, mails)
		}
		look(what, slot, missed, chunks)
	}
	observe("without mail", 0)
	observe("with 50 mails", 50)
}

// clock is how a line should look.
type clock struct {
	slot          time.Duration
	missed        int  // slots in which the sender says it was kept from sending
	size          int  // of a command, in bytes
	inSlot, inAll int  // commands at a slot's time, and until the next
	requests      bool // for the consensus, which go besides
	unjudged      bool // slots need not keep their times: another end moves them
}

// entrys is how what an entry of ours sends a gateway looks: one command in each slot of
// its own, and nothing besides.
func entrys(slot time.Duration) clock {
	return clock{slot: slot * 8 / 9, size: answerBytes, inSlot: 1, inAll: 1}
}

// begins is the time of a slot: that of the first bursts from which most others are
// whole slots away, for one of them may be a request.
func (c clock) begins(bursts []tap.Chunk) (start time.Time) {
	most := -1
	for _, b := range bursts[:min(4, len(bursts))] {
		onTime := 0
		for _, other := range bursts {
			at := other.At.Sub(b.At)
			if (at-at.Round(c.slot)).Abs() < jitter && other.Bytes >= c.inSlot*c.size {
				onTime++
			}
		}
		if onTime > most {
			most, start = onTime, b.At
		}
	}
	return start
}

// judge sees that nothing but whole commands was written, so many for each slot and, if
// the consensus is asked for there, a few for that, and that slots kept their times.
func judge(t *testing.T, what string, c clock, bursts []tap.Chunk) {
	t.Helper()
	bursts = bursts[1 : len(bursts)-1] // the outermost may be cut
	var commands int
	start := c.begins(bursts)
	bursts = slices.DeleteFunc(bursts, func(b tap.Chunk) bool { return b.At.Before(start) }) // the first of them may be late
	off := map[int]time.Duration{}                                                           // of each slot, against a grid that begins with the first
	for _, b := range bursts {
		if b.Conn != bursts[0].Conn {
			t.Fatalf("%s: the gateway connected anew", what)
		}
		if b.Bytes%c.size != 0 {
			t.Errorf("%s: %d bytes on the wire, which is no number of whole commands", what, b.Bytes)
		}
		commands += b.Bytes / c.size
		if b.Bytes < c.inSlot*c.size {
			continue
		}
		// A request, or what goes half-way between slots, may look like a slot; but then
		// the slot is there as well, and nearer to its time.
		at := b.At.Sub(start)
		n := int(math.Round(float64(at) / float64(c.slot)))
		o := at - time.Duration(n)*c.slot
		if before, ok := off[n]; !ok || o.Abs() < before.Abs() {
			off[n] = o
		}
	}
	span := bursts[len(bursts)-1].At.Sub(start)
	slots := int(math.Round(float64(span)/float64(c.slot))) + 1
	requests, most := commands-c.inAll*slots, 0
	if c.requests {
		most = 3 * (int(span/(10*time.Second)) + 2)
	}
	if requests < -3-c.inAll*c.missed || requests > most {
		t.Errorf("%s: %d commands in %d slots, %d of them missed: want %d each, and at most %d more",
			what, commands, slots, c.missed, c.inAll, most)
	}
	sorted := slices.Sorted(maps.Values(off))
	middle, late := sorted[len(sorted)/2], 0
	for n := range slots - 1 { // the outermost may be cut
		o, ok := off[n]
		if !ok || (o-middle).Abs() > jitter {
			late++
			t.Logf("%s: slot %d: %v off (on the wire: %v)", what, n, o, ok)
		}
	}
	t.Logf("%s: %d slots, %d commands; %d slots more than %v from their time, nine in ten within %v",
		what, slots, commands, late, jitter, sorted[len(sorted)*19/20]-sorted[len(sorted)/20])
	if wireJudgesJitter && !c.unjudged && late*1000 > slots {
		t.Errorf("%s: %d of %d slots were more than %v from their time", what, late, slots, jitter)
	}
}

// What the entry sends a gateway is one command of one size in each slot, whether the
// exit's handler answers at once, holds its answers and gives them all together, or gives
// none: nobody can mark a gateway's line so.
func TestRepliesKeepTheirSlots(t *testing.T) {
	if !wireJudgesJitter {
		t.Parallel()
	}
	const slot = 200 * time.Millisecond
	line := new(tap.Wire)
	n := trial.Start(t, testnet.Options{Slot: slot, GatewayFirst: wireJudgesJitter, Taps: map[string]tap.Tap{testnet.Entry: line}})
	const slots = 100
	for _, phase := range []struct {
		what           string
		held, let      time.Duration // of the handler
		fewest, atMost int           // replies that come to the gateway
		bunched        int           // answers that the exit sends late at least
	}{
		{"at once", 0, time.Second, 41, 120, 0},
		{"in bunches", 4 * time.Second, time.Second / 2, 1, 120, 30},
		{"not at all", time.Minute, 0, 0, 40, 0},
	} {
		func() {
			ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
			defer cancel()
			late := trial.NodeStatus(t, ctx, n, testnet.Exit).Dropped.Overdue
			bunching := hold(t, ctx, n.Process(testnet.Exit), phase.held, phase.let)
			defer bunching.Wait()
			defer cancel()
			from, answered := len(line.Chunks()), trial.Status(t, n).Answered
			if err := n.Wait(ctx, "slots", func() (bool, error) {
				return len(tap.Bursts(line.Chunks()[from:], false, 5*time.Millisecond)) > slots*9/8, nil
			}); err != nil {
				t.Fatal(err)
			}
			came := int(trial.Status(t, n).Answered - answered)
			late = trial.NodeStatus(t, ctx, n, testnet.Exit).Dropped.Overdue - late
			seen := line.Chunks()[from:]
			cancel()
			bunching.Wait()
			judge(t, phase.what, entrys(slot), tap.Bursts(seen, false, 5*time.Millisecond))
			t.Logf("%s: %d replies came, and %d answers left the exit late", phase.what, came, late)
			if came < phase.fewest || came > phase.atMost || int(late) < phase.bunched {
				t.Errorf("%s: %d replies came, and %d answers left the exit late: its handler was not held as it should", phase.what, came, late)
			}
		}()
	}
}

// hold lets an exit's handler stand still, again and again, so that it answers what came
// meanwhile all together, until ctx ends.
func hold(t *testing.T, ctx context.Context, exit *testnet.Process, held, let time.Duration) *sync.WaitGroup {
	t.Helper()
	handler := exit.Children()
	if len(handler) != 1 {
		t.Fatalf("the exit has %d handlers", len(handler))
	}
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(handler[0], s); err != nil {
			t.Error(err)
		}
	}
	holding := new(sync.WaitGroup)
	holding.Go(func() {
		for ctx.Err() == nil {
			if held > 0 {
				signal(syscall.SIGSTOP)
				pause(ctx, held)
				signal(syscall.SIGCONT)
			}
			pause(ctx, let)
		}
	})
	return holding
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A gateway that was suspended sends no burst when it goes on.
func TestSuspend(t *testing.T) {
	t.Parallel()
	wire := new(tap.Wire)
	n := trial.Start(t, testnet.Options{Taps: map[string]tap.Tap{testnet.Entry: wire}})
	if err := n.Process(testnet.Gateway).Pause(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second) // 30 slots
	from := time.Now()
	if err := n.Process(testnet.Gateway).Resume(); err != nil {
		t.Fatal(err)
	}
	before := trial.Status(t, n).PacketsSent
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	if err := n.Wait(ctx, "slots after the suspension", func() (bool, error) { return trial.Status(t, n).PacketsSent >= before+20, nil }); err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, c := range wire.Chunks() {
		if c.Out && c.At.After(from) && c.At.Before(from.Add(time.Second)) {
			bytes += c.Bytes
		}
	}
	// Ten slots in a second, and what a busy machine moves from one second to the next.
	if commands := bytes / commandBytes; commands > 13 {
		t.Errorf("%d commands in the first second, which has ten slots", commands)
	}
}
