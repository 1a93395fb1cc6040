package mixnode

import (
	"testing"
	"time"

	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/fakenet"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// fakePeriod is the epochs' length by which the engine checks a document's
// certificate, in a process that was told no other.
const fakePeriod = 20 * time.Minute

func newFake(t *testing.T) *fakenet.Network {
	t.Helper()
	p := directory.DefaultParameters()
	p.Epoch, p.Delay = fakePeriod, time.Second
	n, err := fakenet.New(p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// consensus returns an epoch's document, changed before it was signed.
func consensus(t *testing.T, n *fakenet.Network, epoch uint64, change func(*pki.Document)) *directory.View {
	t.Helper()
	n.Change = change
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

// rename makes the mix of the first layer another node.
func rename(d *pki.Document) { d.Topology[0][0].IdentityKey[0] ^= 1 }

func TestLook(t *testing.T) {
	n := newFake(t)
	const period = fakePeriod
	epoch := directory.EpochAt(time.Now(), period)
	begins := directory.EpochStart(epoch, period)
	docs := func(epochs ...uint64) map[uint64]*directory.View {
		m := map[uint64]*directory.View{}
		for _, e := range epochs {
			m[e] = consensus(t, n, e, nil)
		}
		return m
	}
	current := docs(epoch)[epoch]
	self, first, second := current.Layers[1][0].ID, current.Layers[0][0].ID, current.Layers[2][0].ID
	changed := consensus(t, n, epoch, rename)
	other := changed.Layers[0][0].ID

	for _, test := range []struct {
		name   string
		docs   map[uint64]*directory.View
		at     time.Duration // since the epoch's beginning
		listed bool
		from   []sphinx.NodeID
		to     []sphinx.NodeID
	}{
		{"no consensus", docs(), 0, false, nil, nil},
		{"the current one", docs(epoch), 0, true, []sphinx.NodeID{first}, []sphinx.NodeID{second}},
		{"one vote failed", docs(epoch - 1), 0, true, []sphinx.NodeID{first}, []sphinx.NodeID{second}},
		{"two votes failed", docs(epoch - 2), period - 1, true, []sphinx.NodeID{first}, []sphinx.NodeID{second}},
		{"three votes failed", docs(epoch - 3), 0, false, nil, nil},
		{"the next, long before its time", docs(epoch + 1), 0, false, nil, nil},
		{"the next, just before its time", docs(epoch + 1), period - time.Minute, false, []sphinx.NodeID{first}, []sphinx.NodeID{second}},
		{"a node that is gone", map[uint64]*directory.View{epoch - 1: docs(epoch - 1)[epoch-1], epoch: changed}, 0, true,
			[]sphinx.NodeID{other}, []sphinx.NodeID{second}},
		{"a node to come, long before", map[uint64]*directory.View{epoch: current, epoch + 1: consensus(t, n, epoch+1, rename)}, 0, true,
			[]sphinx.NodeID{first}, []sphinx.NodeID{second}},
		{"a node to come, just before", map[uint64]*directory.View{epoch: current, epoch + 1: consensus(t, n, epoch+1, rename)}, period - time.Minute, true,
			[]sphinx.NodeID{first, other}, []sphinx.NodeID{second}},
	} {
		v := look(self, test.docs, begins.Add(test.at), period)
		if v.listed != test.listed {
			t.Errorf("%s: listed is %v", test.name, v.listed)
		}
		for _, part := range []struct {
			got  map[sphinx.NodeID]peer
			want []sphinx.NodeID
		}{{v.from, test.from}, {v.to, test.to}} {
			ok := len(part.got) == len(part.want)
			for _, id := range part.want {
				_, has := part.got[id]
				ok = ok && has
			}
			if !ok {
				t.Errorf("%s: %d neighbours, want %d, or others", test.name, len(part.got), len(part.want))
			}
		}
	}
}

func TestAdmits(t *testing.T) {
	n := newFake(t)
	epoch := directory.EpochAt(time.Now(), fakePeriod)
	v := consensus(t, n, epoch, nil)
	mix, next := v.Layers[0][0], v.Layers[1][0]
	nodes := look(next.ID, map[uint64]*directory.View{epoch: v}, time.Now(), fakePeriod).from
	if _, ok := admits(nodes, mix.ID[:], mix.Link); !ok {
		t.Error("a neighbour is not admitted")
	}
	for name, wrong := range map[string]struct {
		name []byte
		key  directory.Node
	}{
		"another's key":       {mix.ID[:], next},
		"another node":        {next.ID[:], next},
		"a name too short":    {mix.ID[:31], mix},
		"a name too long":     {append(mix.ID[:], 0), mix},
		"no name":             {nil, mix},
		"its key, other name": {next.ID[:], mix},
	} {
		if _, ok := admits(nodes, wrong.name, wrong.key.Link); ok {
			t.Errorf("%s: admitted", name)
		}
	}
}
