package directory

import (
	"fmt"
	"math/rand/v2"
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
