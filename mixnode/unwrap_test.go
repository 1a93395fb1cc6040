package mixnode

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// standalone is a node that has keys, a view and no connections.
func standalone(t testing.TB, role directory.Role) *node {
	t.Helper()
	g, err := sphinx.NewGeometry("x25519", 5, 2000)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{
		unwrapping: make(chan struct{}, 1),
		cfg:        &Config{Role: role, Name: "node", State: t.TempDir()}, log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		now: time.Now, date: time.Now, period: time.Hour, sphinx: sphinx.New(g), frames: link.NewFrames(g),
		network:  &directory.Network{Parameters: directory.DefaultParameters()},
		maxPeers: 100,
	}
	n.mixer = newMixer(100, n.period, rand.New(rand.NewPCG(1, 2)), n.now, &n.counts)
	if n.traffic, err = newTraffic(n.cfg.State, Budget{}, n.frames.Packet(), n.now); err != nil {
		t.Fatal(err)
	}
	n.address.Store(new("127.0.0.1:1"))
	n.loops = newLooper(n)
	switch role {
	case directory.RoleEntry:
		n.entry = newEntry(n)
		n.entry.resize(100)
		n.terminal = n.entry.take
	case directory.RoleExit:
		n.exit = newExit(n, &Handler{})
		n.exit.resize(100)
		n.terminal = n.exit.take
	}
	n.openKeys(t)
	t.Cleanup(func() { n.keys.close() })
	n.view.Store(&view{to: map[sphinx.NodeID]peer{there: {}}, slot: time.Second})
	n.mixer.serve(n.view.Load().to)
	return n
}

// openKeys gives the node the keys in its directory, as a start does.
func (n *node) openKeys(t testing.TB) {
	t.Helper()
	sealer, err := seal.Open(seal.Plain, n.cfg.State, nil)
	if err != nil {
		t.Fatal(err)
	}
	n.openSealedKeys(t, sealer)
}

// openSealedKeys opens the node's keys, which are sealed so.
func (n *node) openSealedKeys(t testing.TB, sealer *seal.Sealer) {
	t.Helper()
	var err error
	if n.keys, err = openKeys(n.cfg.State, n.sphinx.Geometry(), sealer, n.mixer.poke); err != nil {
		t.Fatal(err)
	}
	_ = n.keys.roll(n.epoch()) // what it cannot do is the tests' to see
}

func (n *node) epoch() uint64 { return directory.EpochAt(n.now(), n.period) }

// wrap makes a packet whose first hop is the node, with the key of an epoch.
func (n *node) wrap(t *testing.T, epoch uint64, first sphinx.Hop, more ...sphinx.Hop) []byte {
	t.Helper()
	g := n.sphinx.Geometry()
	path := append([]sphinx.Hop{first}, more...)
	for i := range path {
		public, _, err := g.GenerateKey()
		if i == 0 {
			public = n.keys.public(epoch)
		}
		if err != nil || public == nil {
			t.Fatal("no key: ", err)
		}
		if path[i].Key, err = g.PublicKey(public); err != nil {
			t.Fatal(err)
		}
	}
	payload := make([]byte, g.PayloadLength)
	payload[0] = 1 // with a reply block
	raw, err := n.sphinx.Wrap(path, payload)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// give lets the node unwrap a packet.
func (n *node) give(t *testing.T, raw []byte, client bool) {
	t.Helper()
	f, err := n.frames.Make(link.Command{Kind: link.KindSendPacket, Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	n.receive(context.Background(), f, client, sphinx.NodeID{})
}

func (c *counts) all() map[string]uint64 {
	m := map[string]uint64{
		"damaged": c.damaged.Load(), "replayed": c.replayed.Load(), "misrouted": c.misrouted.Load(),
		"unroutable": c.unroutable.Load(), "shed": c.shed.Load(), "requests": c.requests.Load(), "answers": c.answers.Load(),
	}
	maps.DeleteFunc(m, func(_ string, n uint64) bool { return n == 0 })
	return m
}

// Which packets a node of each role takes, and what becomes of the others.
func TestRouting(t *testing.T) {
	office, stranger := sphinx.RecipientID{}, sphinx.RecipientID{9}
	copy(office[:], directory.Endpoint)
	echo := sphinx.RecipientID{}
	copy(echo[:], echoEndpoint)
	last := sphinx.Hop{ID: there, Recipient: &office}
	const delay = 50
	for _, test := range []struct {
		name   string
		role   directory.Role
		client bool
		first  sphinx.Hop
		more   []sphinx.Hop
		want   string // the count it ends in; "": the mixer has it
	}{
		{"forward", directory.RoleMix, false, sphinx.Hop{Delay: delay}, []sphinx.Hop{last}, ""},
		{"to a stranger", directory.RoleMix, false, sphinx.Hop{Delay: delay}, []sphinx.Hop{{ID: sphinx.NodeID{7}, Recipient: &office}}, "misrouted"},
		{"a delay beyond the keys", directory.RoleMix, false, sphinx.Hop{Delay: 1 << 31}, []sphinx.Hop{last}, "misrouted"},
		{"for a mix itself", directory.RoleMix, false, sphinx.Hop{Recipient: &office}, nil, "misrouted"},
		{"a gateway's", directory.RoleEntry, true, sphinx.Hop{Delay: delay}, []sphinx.Hop{last}, ""},
		{"a mix's through an entry", directory.RoleEntry, false, sphinx.Hop{Delay: delay}, []sphinx.Hop{last}, "misrouted"},
		{"a gateway's for the entry", directory.RoleEntry, true, sphinx.Hop{Recipient: &stranger}, nil, "misrouted"},
		{"a message without a reply's name", directory.RoleEntry, false, sphinx.Hop{Recipient: &stranger}, nil, "misrouted"},
		{"forward at an exit", directory.RoleExit, false, sphinx.Hop{Delay: delay}, []sphinx.Hop{last}, "misrouted"},
		{"for the office", directory.RoleExit, false, sphinx.Hop{Recipient: &office}, nil, "requests"},
		{"for nobody at the exit", directory.RoleExit, false, sphinx.Hop{Recipient: &stranger}, nil, "misrouted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := standalone(t, test.role)
			n.give(t, n.wrap(t, n.epoch(), test.first, test.more...), test.client)
			if n.exit != nil {
				n.exit.nextRequest()
			}
			held, _ := n.mixer.load()
			got := n.counts.all()
			if test.want == "" && (held != 1 || len(got) != 0) || test.want != "" && (held != 0 || got[test.want] != 1 || len(got) != 1) {
				t.Errorf("%d packets are held, counted is %v, want %q", held, got, test.want)
			}
		})
	}
}

// A packet is taken with the key of this epoch and of those next to it, once.
func TestEpochsAndReplays(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	path := []sphinx.Hop{{ID: there, Recipient: new(sphinx.RecipientID)}}
	now := n.epoch()
	for i, e := range []uint64{now, now + 1} {
		raw := n.wrap(t, e, sphinx.Hop{Delay: 50}, path...)
		n.give(t, raw, false)
		if held, _ := n.mixer.load(); held != i+1 {
			t.Errorf("a packet of epoch %+d was not taken", int64(e-now))
		}
		n.give(t, raw, false)
		if got := n.counts.replayed.Load(); got != uint64(i+1) {
			t.Errorf("%d replays counted, want %d", got, i+1)
		}
	}
	late := n.wrap(t, now+2, sphinx.Hop{Delay: 50}, path...)
	n.give(t, late, false)
	if n.counts.damaged.Load() != 1 {
		t.Error("a packet of an epoch that is far away was taken")
	}
	// In the next epoch the key of this one still counts.
	raw := n.wrap(t, now, sphinx.Hop{Delay: 50}, path...)
	n.keys.roll(now + 1)
	n.give(t, raw, false)
	n.give(t, late, false)
	if held, _ := n.mixer.load(); held != 4 {
		t.Errorf("%d packets are held, want those of the last epoch and the next, too", held)
	}
	raw = n.wrap(t, now+1, sphinx.Hop{Delay: 50}, path...)
	n.keys.roll(now + 3)
	n.give(t, raw, false)
	if n.counts.damaged.Load() != 2 {
		t.Error("a packet was taken whose key is over")
	}
}

// A node that starts again has its keys, and knows what it has seen.
func TestRestart(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	path := []sphinx.Hop{{ID: there, Recipient: new(sphinx.RecipientID)}}
	epoch := n.epoch()
	seen, fresh := n.wrap(t, epoch, sphinx.Hop{Delay: 50}, path...), n.wrap(t, epoch, sphinx.Hop{Delay: 50}, path...)
	n.give(t, seen, false)
	if err := n.keys.close(); err != nil {
		t.Fatal(err)
	}
	n.openKeys(t)
	n.give(t, seen, false)
	if n.counts.replayed.Load() != 1 {
		t.Error("a packet from before the restart was taken again")
	}
	n.give(t, fresh, false)
	if held, _ := n.mixer.load(); held != 2 {
		t.Error("a fresh packet for the key from before the restart was not taken")
	}
}

// A key whose tags are lost takes no packet: nobody knows what it has seen.
func TestLostTags(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	epoch := n.epoch()
	raw := n.wrap(t, epoch, sphinx.Hop{Delay: 50}, sphinx.Hop{ID: there, Recipient: new(sphinx.RecipientID)})
	if err := n.keys.close(); err != nil {
		t.Fatal(err)
	}
	spoil(t, n.keys.store.TagsPath(epoch))
	n.openKeys(t)
	n.give(t, raw, false)
	if n.counts.damaged.Load() != 1 || n.keys.public(epoch) != nil {
		t.Error("a key without its tags is in use")
	}
	if n.keys.public(epoch+1) == nil {
		t.Error("the other keys are lost, too")
	}
}

// What is damaged anywhere is dropped, and nothing is noted of it.
func TestDamage(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	raw := n.wrap(t, n.epoch(), sphinx.Hop{Delay: 50}, sphinx.Hop{ID: there, Recipient: new(sphinx.RecipientID)})
	header := n.sphinx.Geometry().HeaderLength
	for i := 0; i < header; i += 7 {
		bad := append([]byte(nil), raw...)
		bad[i] ^= 0x10
		n.give(t, bad, false)
	}
	if held, _ := n.mixer.load(); held != 0 || n.counts.damaged.Load() != uint64((header+6)/7) {
		t.Errorf("%d damaged packets are held, %d counted", held, n.counts.damaged.Load())
	}
	n.give(t, raw, false)
	if held, _ := n.mixer.load(); held != 1 {
		t.Error("the undamaged packet was not taken afterwards")
	}
}
