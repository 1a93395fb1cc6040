package directory_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/core/cert"
	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

func TestVerify(t *testing.T) {
	n := newFake(t)
	epoch := directory.EpochAt(time.Now(), n.Parameters.Epoch)
	raw, err := n.Consensus(epoch)
	if err != nil {
		t.Fatal(err)
	}
	v, err := n.Verify(raw, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if v.Slot != n.Parameters.Slot || v.Delay != n.Parameters.Delay || len(v.Layers) != 3 || len(v.Entries) != 1 || len(v.Exits) != 1 {
		t.Errorf("the view differs from the network: %+v", v)
	}
	if e := v.Exits[0]; e.From != n.Info.From || e.Hold != n.Info.Hold || e.Expiry != n.Info.Expiry || e.MaxLoss != n.Info.MaxLoss || !e.SigningKey.Equal(n.Info.SigningKey) {
		t.Errorf("the exit reads otherwise than it advertised: %+v", e)
	}

	if _, err := n.Verify(raw, epoch+1); err == nil {
		t.Error("a consensus of another epoch was accepted")
	}
	stranger := newFake(t)
	foreign, err := stranger.Consensus(epoch)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Verify(foreign, epoch); err == nil || !strings.Contains(err.Error(), "not signed") {
		t.Errorf("a stranger's consensus: %v", err)
	}
	n.Voters = []int{0, 1} // just enough of them, so that every byte counts
	if raw, err = n.Consensus(epoch); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(raw); i += 997 {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 1
		if _, err := n.Verify(bad, epoch); err == nil {
			t.Fatalf("byte %d changed: accepted", i)
		}
	}
	for name, change := range map[string]func(*pki.Document){
		"another geometry": func(d *pki.Document) { d.SphinxGeometryHash[0] ^= 1 },
		"no rate":          func(d *pki.Document) { d.LambdaP = 0 },
		"absurd rate":      func(d *pki.Document) { d.Mu = -1 },
		"empty layer":      func(d *pki.Document) { d.Topology[1] = nil },
	} {
		n.Change = change
		raw, err := n.Consensus(epoch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Verify(raw, epoch); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	// An exit whose promises cannot be read is left out; the rest stands.
	n.Change = func(d *pki.Document) {
		d.ServiceNodes[0].KaetzchenAdvertizedData[directory.Capability]["signing_key"] = "no key"
	}
	if raw, err = n.Consensus(epoch); err != nil {
		t.Fatal(err)
	}
	if v, err = n.Verify(raw, epoch); err != nil || len(v.Exits) != 0 {
		t.Errorf("an unreadable exit: %v, %d exits", err, len(v.Exits))
	}
}

// More than half of the authorities must have signed, each for itself.
func TestThreshold(t *testing.T) {
	n := newFake(t)
	epoch := directory.EpochAt(time.Now(), n.Parameters.Epoch)
	consensus := func(voters ...int) []byte {
		t.Helper()
		n.Voters = voters
		raw, err := n.Consensus(epoch)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	// forge puts the first authority's signature in the others' places too.
	forge := func(raw []byte) []byte {
		t.Helper()
		var c cert.Certificate
		if err := cbor.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		own := c.Signatures[n.Authorities[0].ID()]
		c.Signatures[n.Authorities[1].ID()] = own
		own.PublicKeySum256 = n.Authorities[2].ID()
		c.Signatures[n.Authorities[2].ID()] = own
		raw, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for name, test := range map[string]struct {
		raw  []byte
		good bool
	}{
		"one of three":         {consensus(0), false},
		"another one of three": {consensus(2), false},
		"two of three":         {consensus(0, 2), true},
		"all":                  {consensus(0, 1, 2), true},
		"one signer thrice":    {forge(consensus(0)), false},
		"one signer, one more": {forge(consensus(0, 1)), false},
	} {
		if _, err := n.Verify(test.raw, epoch); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func view(t *testing.T) *directory.View {
	t.Helper()
	return viewOf(t, nil)
}

func viewOf(t *testing.T, change func(*pki.Document)) *directory.View {
	t.Helper()
	n := newFake(t)
	n.Change = change
	epoch := directory.EpochAt(time.Now(), n.Parameters.Epoch)
	raw, err := n.Consensus(epoch)
	if err != nil {
		t.Fatal(err)
	}
	v, err := n.Verify(raw, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// What an exit may promise is what its descriptor can say.
func TestExitInfoCheck(t *testing.T) {
	good := newFake(t).Info
	for name, test := range map[string]struct {
		change func(*directory.ExitInfo)
		want   string // part of the error; "": good
	}{
		"as it is":       {func(*directory.ExitInfo) {}, ""},
		"least hold":     {func(e *directory.ExitInfo) { e.Hold = time.Millisecond }, ""},
		"hold too short": {func(e *directory.ExitInfo) { e.Hold = time.Millisecond - 1 }, "hold"},
		"hold too long":  {func(e *directory.ExitInfo) { e.Hold = 1000 * time.Hour }, "hold"},
		"least loss":     {func(e *directory.ExitInfo) { e.MaxLoss = 0.0005 }, ""},
		"loss too small": {func(e *directory.ExitInfo) { e.MaxLoss = 0.0004 }, "max_loss"},
		"loss too large": {func(e *directory.ExitInfo) { e.MaxLoss = 1.01 }, "max_loss"},
		"no loss at all": {func(e *directory.ExitInfo) { e.MaxLoss = math.NaN() }, "max_loss"},
		"expiry":         {func(e *directory.ExitInfo) { e.Expiry = 0 }, "expiry"},
	} {
		e := good
		test.change(&e)
		err := e.Check()
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		if m := e.Advertise(); err == nil && (m["hold_ms"] == uint64(0) || m["max_loss_permille"] == uint64(0)) {
			t.Errorf("%s: advertised as %v", name, m)
		}
	}
}

func TestMeets(t *testing.T) {
	v := view(t)
	if err := v.Meets(directory.DefaultFloors()); err != nil {
		t.Error(err)
	}
	for name, f := range map[string]directory.Floors{
		"slot too short": {MinSlot: time.Minute, MaxSlot: time.Hour},
		"slot too long":  {MaxSlot: time.Second},
		"delay":          {MaxSlot: time.Hour, MinDelay: time.Hour},
		"layers":         {MaxSlot: time.Hour, MinLayers: 4},
		"mixes":          {MaxSlot: time.Hour, MinMixes: 2},
	} {
		if err := v.Meets(f); !errors.Is(err, directory.ErrBelowFloors) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRoute(t *testing.T) {
	v := view(t)
	rng := rand.New(rand.NewPCG(1, 2))
	client, reply := sphinx.RecipientID{1}, sphinx.ReplyID{2}
	entry, exit := v.Entries[0].ID, v.Exits[0].ID
	var mixes, total time.Duration
	const routes = 2000
	for range routes {
		r, err := v.Route(rng, v.Epoch+1, entry, exit, client, reply)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Forward) != 5 || len(r.Back) != 4 {
			t.Fatalf("%d hops there, %d back", len(r.Forward), len(r.Back))
		}
		if r.Forward[0].ID != entry || r.Forward[4].ID != exit || r.Back[3].ID != entry {
			t.Fatal("the route does not lead from the entry to the exit and back")
		}
		if string(r.Forward[4].Recipient[:8]) != directory.Endpoint || *r.Back[3].Recipient != client || *r.Back[3].Reply != reply {
			t.Fatal("the last hops are told something else")
		}
		for _, h := range append(r.Forward[:5:5], r.Back[:3]...) {
			if h.Delay == 0 {
				t.Fatal("a hop has no delay: a stock node drops such a packet when busy")
			}
			total += time.Duration(h.Delay) * time.Millisecond
		}
		mixes += r.Delay
	}
	if mixes != total {
		t.Errorf("the route's delay is %v, its hops' %v", mixes, total)
	}
	// Six exponential delays of one minute: mean 6 min, standard error 3.3 s.
	if mean := mixes / routes; mean < 345*time.Second || mean > 375*time.Second {
		t.Errorf("mean delay of a route %v, want about 6m", mean)
	}
	if _, err := v.Route(rng, v.Epoch+3, entry, exit, client, reply); err == nil {
		t.Error("a route without keys for its epoch")
	}
	if _, err := v.Route(rng, v.Epoch, exit, exit, client, reply); err == nil {
		t.Error("a route from what is no entry")
	}
	if _, err := v.Route(rng, v.Epoch, entry, entry, client, reply); err == nil {
		t.Error("a route to what is no exit")
	}
}

func TestEpochs(t *testing.T) {
	for _, period := range []time.Duration{10 * time.Second, time.Hour} {
		now := time.Date(2026, 11, 23, 12, 34, 56, 0, time.UTC)
		e := directory.EpochAt(now, period)
		if start := directory.EpochStart(e, period); start.After(now) || !directory.EpochStart(e+1, period).After(now) {
			t.Errorf("epoch %d of %v does not hold %v", e, period, now)
		}
	}
	if directory.EpochAt(time.Unix(0, 0), time.Hour) != 0 {
		t.Error("a time before epoch 0 has an epoch")
	}
}

// Packets go from the edge through the layers and back to the edge.
func TestNeighbours(t *testing.T) {
	v := view(t)
	names := func(nodes []directory.Node) string {
		var list []string
		for _, n := range nodes {
			if n.Link == nil || len(n.Addresses) == 0 {
				t.Errorf("%s cannot be connected to", n.Name)
			}
			list = append(list, n.Name)
		}
		return strings.Join(list, " ")
	}
	for _, test := range []struct {
		id       sphinx.NodeID
		from, to string
	}{
		{v.Entries[0].ID, "mix3", "mix1"},
		{v.Exits[0].ID, "mix3", "mix1"},
		{v.Layers[0][0].ID, "entry exit", "mix2"},
		{v.Layers[1][0].ID, "mix1", "mix3"},
		{v.Layers[2][0].ID, "mix2", "entry exit"},
	} {
		from, to, ok := v.Neighbours(test.id)
		if !ok || names(from) != test.from || names(to) != test.to {
			t.Errorf("neighbours %q and %q, want %q and %q", names(from), names(to), test.from, test.to)
		}
	}
	if _, _, ok := v.Neighbours(sphinx.NodeID{1}); ok {
		t.Error("a stranger has neighbours")
	}
	if ids := v.IDs(); len(ids) != 5 {
		t.Errorf("%d identities, want 5", len(ids))
	}
}

// A loop begins with a node's neighbour, turns at an exit and ends at the node.
func TestLoop(t *testing.T) {
	v := view(t)
	rng := rand.New(rand.NewPCG(1, 2))
	home, reply := sphinx.RecipientID{1}, sphinx.ReplyID{2}
	for _, test := range []struct {
		self        sphinx.NodeID
		there, back string
	}{
		{v.Entries[0].ID, "mix1 mix2 mix3 exit", "mix1 mix2 mix3 entry"},
		{v.Exits[0].ID, "mix1 mix2 mix3 exit", "mix1 mix2 mix3 exit"},
		{v.Layers[0][0].ID, "mix2 mix3 exit", "mix1"},
		{v.Layers[1][0].ID, "mix3 exit", "mix1 mix2"},
		{v.Layers[2][0].ID, "exit", "mix1 mix2 mix3"},
	} {
		r, err := v.LoopRoute(rng, v.Epoch, test.self, home, reply)
		if err != nil {
			t.Fatal(err)
		}
		var total time.Duration
		names := func(path []sphinx.Hop) string {
			var list []string
			for _, h := range path {
				list = append(list, v.Name(h.ID))
				total += time.Duration(h.Delay) * time.Millisecond
			}
			return strings.Join(list, " ")
		}
		if there, back := names(r.Forward), names(r.Back); there != test.there || back != test.back || total != r.Delay {
			t.Errorf("%s: there %q, back %q, delay %v; the hops' delays are %v", v.Name(test.self), there, back, r.Delay, total)
		}
		turn, end := r.Forward[len(r.Forward)-1], r.Back[len(r.Back)-1]
		if string(turn.Recipient[:6]) != "+echo\x00" || *end.Recipient != home || *end.Reply != reply {
			t.Errorf("%s: the last hops are told something else", v.Name(test.self))
		}
	}
	if got := strings.Join(v.Needed(v.Layers[1][0].ID), " "); got != "mix1 mix3 exit" {
		t.Errorf("mix2's loops need %q", got)
	}
	if _, err := v.LoopRoute(rng, v.Epoch, sphinx.NodeID{9}, home, reply); err == nil {
		t.Error("a stranger's loop")
	}
	if _, err := v.LoopRoute(rng, v.Epoch+3, v.Entries[0].ID, home, reply); err == nil {
		t.Error("a loop without keys for its epoch")
	}
	v = viewOf(t, func(d *pki.Document) { delete(d.ServiceNodes[0].Kaetzchen, directory.EchoCapability) })
	if _, err := v.LoopRoute(rng, v.Epoch, v.Entries[0].ID, home, reply); err == nil {
		t.Error("a loop that nobody sends back")
	}
}
