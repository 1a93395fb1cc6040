package testnet_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
)

// What a gateway writes, in bytes: a command is a packet with 6 bytes before it,
// sealed with 16, behind a sealed header of 20 (Katzenpost core/wire).
const (
	commandBytes = 44_458 + 6 + 16 + 20
	slotBytes    = 2 * commandBytes // a packet, and an acknowledgement or what takes its place
)

// jitter is how far from its time a slot may be on the wire.
const jitter = 40 * time.Millisecond

// On the wire the slots look the same with no mail and with fifty: the same
// bytes, in the same order, at the same distances.
func TestWire(t *testing.T) {
	if !wireJudgesJitter {
		t.Parallel()
	}
	wire := new(tap.Wire)
	const slot = 200 * time.Millisecond
	n := start(t, testnet.Options{Slot: slot, GatewayFirst: true, Taps: map[string]tap.Tap{testnet.Entry: wire}})
	observe := func(what string, mails int) {
		from := len(wire.Chunks())
		before := sent(t, n)
		for i := range mails {
			submit(t, n, "you@far.example", fmt.Sprintf("wire %d", i), largeText(i*1000))
		}
		ctx, cancel := context.WithTimeout(t.Context(), wireSlots*slot+patience)
		defer cancel()
		if err := n.Wait(ctx, "slots "+what, func() (bool, error) { return sent(t, n) >= before+wireSlots, nil }); err != nil {
			t.Fatal(err)
		}
		judge(t, what, slot, tap.Bursts(wire.Chunks()[from:], true, 25*time.Millisecond))
	}
	observe("without mail", 0)
	observe("with 50 mails", 50)
}

func sent(t *testing.T, n *testnet.Network) uint64 {
	t.Helper()
	st, err := n.Status()
	if err != nil {
		t.Fatal(err)
	}
	return st.PacketsSent
}

// judge sees that nothing but whole commands was written, three for each slot
// and a few for the consensus, and that slots kept their times.
func judge(t *testing.T, what string, slot time.Duration, bursts []tap.Chunk) {
	t.Helper()
	bursts = bursts[1 : len(bursts)-1] // the outermost may be cut
	var commands int
	var start time.Time
	off := map[int]time.Duration{} // of each slot, against a grid that begins with the first
	for _, b := range bursts {
		if b.Conn != bursts[0].Conn {
			t.Fatalf("%s: the gateway connected anew", what)
		}
		if b.Bytes%commandBytes != 0 {
			t.Errorf("%s: %d bytes on the wire, which is no number of whole commands", what, b.Bytes)
		}
		commands += b.Bytes / commandBytes
		if b.Bytes < slotBytes {
			continue
		}
		if start.IsZero() {
			start = b.At
		}
		// What goes half-way between slots may meet a request, and look like a slot;
		// but then the slot is there as well, and nearer to its time.
		at := b.At.Sub(start)
		n := int(math.Round(float64(at) / float64(slot)))
		o := at - time.Duration(n)*slot
		if before, ok := off[n]; !ok || o.Abs() < before.Abs() {
			off[n] = o
		}
	}
	span := bursts[len(bursts)-1].At.Sub(start)
	slots := int(math.Round(float64(span)/float64(slot))) + 1
	requests := commands - 3*slots
	if most := 3 * (int(span/(10*time.Second)) + 2); requests < -3 || requests > most {
		t.Errorf("%s: %d commands in %d slots: want three each, and at most %d more", what, commands, slots, most)
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
	if wireJudgesJitter && late*1000 > slots {
		t.Errorf("%s: %d of %d slots were more than %v from their time", what, late, slots, jitter)
	}
}
