package mixnode

import (
	"crypto/hmac"
	"maps"
	"time"

	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// keyEpochs is for how many epochs a descriptor has mix keys: the one that it is
// for and two after it. So long may a packet be under way, and so long does a node
// go on with its last consensus.
const keyEpochs = 3

// early is the part of an epoch, before its end, in which nodes that only the next
// consensus lists may connect already (Katzenpost server/internal/pki).
const early = 1.0 / 8

// peer is a node next to this one.
type peer struct {
	link      kem.PublicKey
	addresses []string
}

// view is what the consensuses of now say about the nodes next to this one.
type view struct {
	current bool                   // there is a consensus for this epoch
	listed  bool                   // it lists this node, or the last ones do if there is none
	from    map[sphinx.NodeID]peer // who may send packets to this node
	to      map[sphinx.NodeID]peer // whom it sends packets to
	known   map[sphinx.NodeID]bool // all nodes
	slot    time.Duration          // of a gateway
	doc     *directory.View        // the current consensus, or the last one; nil: there is none
}

// look makes the view at a moment from the documents by epoch. The documents of
// the last epochs count besides the current one, because packets that were made by
// them are under way; but a node that the current one does not list any more is
// gone. Where there is no current one, for a vote failed, the last ones count
// alone.
func look(self sphinx.NodeID, docs map[uint64]*directory.View, at time.Time, period time.Duration) *view {
	now := directory.EpochAt(at, period)
	v := &view{from: map[sphinx.NodeID]peer{}, to: map[sphinx.NodeID]peer{}, known: map[sphinx.NodeID]bool{}}
	newest := now
	if left := directory.EpochStart(now+1, period).Sub(at); left < time.Duration(early*float64(period)) {
		newest++
	}
	current := docs[now]
	v.current = current != nil
	var listed map[sphinx.NodeID]bool
	if current != nil {
		listed = all(current)
	}
	for epoch := newest; epoch+keyEpochs > now && epoch <= newest; epoch-- {
		d := docs[epoch]
		if d == nil {
			continue
		}
		if v.slot == 0 || epoch == now {
			v.slot, v.doc = d.Slot, d
		}
		maps.Copy(v.known, all(d))
		from, to, ok := d.Neighbours(self)
		if ok && (epoch == now || current == nil && epoch < now) {
			v.listed = true
		}
		for _, part := range []struct {
			nodes []directory.Node
			into  map[sphinx.NodeID]peer
		}{{from, v.from}, {to, v.to}} {
			for _, node := range part.nodes {
				gone := epoch < now && listed != nil && !listed[node.ID]
				if _, newer := part.into[node.ID]; newer || gone || node.Link == nil {
					continue
				}
				part.into[node.ID] = peer{node.Link, node.Addresses}
			}
		}
	}
	return v
}

func all(d *directory.View) map[sphinx.NodeID]bool {
	ids := map[sphinx.NodeID]bool{}
	for _, id := range d.IDs() {
		ids[id] = true
	}
	return ids
}

// admits says whether a peer with this name and key is one of these nodes.
func admits(nodes map[sphinx.NodeID]peer, name []byte, key kem.PublicKey) (sphinx.NodeID, bool) {
	if len(name) != sphinx.NodeIDLength {
		return sphinx.NodeID{}, false
	}
	id := sphinx.NodeID(name)
	p, ok := nodes[id]
	return id, ok && p.link.Equal(key)
}

// proves says whether a peer with this name and key is that node.
func (p peer) proves(id sphinx.NodeID, name []byte, key kem.PublicKey) bool {
	return hmac.Equal(id[:], name) && p.link.Equal(key)
}
