package directory

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Route is the way of one packet and of the reply to it.
type Route struct {
	Forward []sphinx.Hop  // entry, mixes, exit
	Back    []sphinx.Hop  // mixes, entry
	Delay   time.Duration // all hops' delays together, there and back
}

// passing is the delay asked, in milliseconds, of the entry and the exit on the way
// there, which do not mix. A stock node drops a packet with a delay of zero when it
// is busy. An exit answers at a moment of its own, whatever it is asked
// (mixnode/handler.go), and an entry has nothing to wait for with a reply.
const passing = 1

// Route draws a way from entry to exit and back to client: a mix of each layer
// uniformly, each hop's delay exponential, all with the keys of epoch. rng must
// be seeded from crypto/rand.
func (v *View) Route(rng *rand.Rand, epoch uint64, entry, exit sphinx.NodeID, client sphinx.RecipientID, reply sphinx.ReplyID) (*Route, error) {
	in, ok := v.Entry(entry)
	if !ok {
		return nil, fmt.Errorf("the entry is not in the consensus of epoch %d", v.Epoch)
	}
	out, ok := v.Exit(exit)
	if !ok {
		return nil, fmt.Errorf("the exit is not in the consensus of epoch %d", v.Epoch)
	}
	r := &Route{}
	hop := func(n *Node, delay uint32) (sphinx.Hop, error) {
		key := n.MixKeys[epoch]
		if key == nil {
			return sphinx.Hop{}, fmt.Errorf("%s has no key for epoch %d in the consensus of epoch %d", n.Name, epoch, v.Epoch)
		}
		r.Delay += time.Duration(delay) * time.Millisecond
		return sphinx.Hop{ID: n.ID, Key: key, Delay: delay}, nil
	}
	mixes := func(path []sphinx.Hop) ([]sphinx.Hop, error) {
		for _, layer := range v.Layers {
			h, err := hop(&layer[rng.IntN(len(layer))], uint32(mixing.Delay(rng, v.Delay).Milliseconds()))
			if err != nil {
				return nil, err
			}
			path = append(path, h)
		}
		return path, nil
	}

	first, err := hop(in, passing)
	if err != nil {
		return nil, err
	}
	if r.Forward, err = mixes([]sphinx.Hop{first}); err != nil {
		return nil, err
	}
	last, err := hop(&out.Node, passing)
	if err != nil {
		return nil, err
	}
	last.Recipient = new(sphinx.RecipientID)
	copy(last.Recipient[:], Endpoint)
	r.Forward = append(r.Forward, last)

	if r.Back, err = mixes(nil); err != nil {
		return nil, err
	}
	home, err := hop(in, 0)
	if err != nil {
		return nil, err
	}
	home.Recipient, home.Reply = &client, &reply
	r.Back = append(r.Back, home)
	return r, nil
}

// LoopRoute draws the way of a packet that a node sends to itself, home: over the layers
// behind its own to a node that echoes, and back over the layers up to its own; an
// entry's and an exit's over all of them, there and back. All keys are those of
// epoch, and nodes that have none are passed by. Forward begins with the node's
// neighbour, Back ends with the node itself. rng must be seeded from crypto/rand.
func (v *View) LoopRoute(rng *rand.Rand, epoch uint64, self sphinx.NodeID, home sphinx.RecipientID, reply sphinx.ReplyID) (*Route, error) {
	before, behind, own := v.around(self)
	if own == nil {
		return nil, fmt.Errorf("this node is not in the consensus of epoch %d", v.Epoch)
	}
	r := &Route{}
	hop := func(n *Node, delay time.Duration) sphinx.Hop {
		r.Delay += delay
		return sphinx.Hop{ID: n.ID, Key: n.MixKeys[epoch], Delay: uint32(delay.Milliseconds())}
	}
	mixes := func(layers [][]Node) (path []sphinx.Hop, err error) {
		for _, layer := range layers {
			layer = slices.DeleteFunc(slices.Clone(layer), func(n Node) bool { return n.MixKeys[epoch] == nil })
			if len(layer) == 0 {
				return nil, fmt.Errorf("a layer has no key for epoch %d in the consensus of epoch %d", epoch, v.Epoch)
			}
			path = append(path, hop(&layer[rng.IntN(len(layer))], mixing.Delay(rng, v.Delay)))
		}
		return path, nil
	}
	turns := slices.DeleteFunc(slices.Clone(v.echoes), func(e echo) bool { return e.node.MixKeys[epoch] == nil })
	if len(turns) == 0 {
		return nil, fmt.Errorf("no exit in the consensus of epoch %d sends a packet back", v.Epoch)
	}
	if own.MixKeys[epoch] == nil {
		return nil, fmt.Errorf("this node has no key for epoch %d in the consensus of epoch %d", epoch, v.Epoch)
	}
	turn := &turns[rng.IntN(len(turns))]
	var err error
	if r.Forward, err = mixes(behind); err != nil {
		return nil, err
	}
	last := hop(&turn.node, passing*time.Millisecond)
	last.Recipient = &turn.endpoint
	r.Forward = append(r.Forward, last)
	if r.Back, err = mixes(before); err != nil {
		return nil, err
	}
	end := hop(own, 0)
	end.Recipient, end.Reply = &home, &reply
	r.Back = append(r.Back, end)
	return r, nil
}

// Needed are the names of the nodes that every loop of a node passes: each the only
// one of its kind.
func (v *View) Needed(self sphinx.NodeID) []string {
	var names []string
	for _, layer := range v.Layers {
		if len(layer) == 1 && layer[0].ID != self {
			names = append(names, layer[0].Name)
		}
	}
	if len(v.echoes) == 1 && v.echoes[0].node.ID != self {
		names = append(names, v.echoes[0].node.Name)
	}
	return names
}

// around returns the layers before and behind a node, all of them for an entry and an
// exit, and the node; nil if the consensus does not list it.
func (v *View) around(id sphinx.NodeID) (before, behind [][]Node, self *Node) {
	find := func(list []Node) *Node {
		if i := slices.IndexFunc(list, func(n Node) bool { return n.ID == id }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for i, layer := range v.Layers {
		if self := find(layer); self != nil {
			return v.Layers[:i], v.Layers[i+1:], self
		}
	}
	return v.Layers, v.Layers, find(slices.Concat(v.Entries, v.services))
}
