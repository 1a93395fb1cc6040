package mixnode

import (
	"context"
	"time"

	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// unwrap takes this node's layer off a packet, and passes it on to where its
// commands say. Whatever is wrong with it, nothing happens but a count.
func (n *node) unwrap(p *packet) {
	n.counts.received.Add(1)
	var u sphinx.Unwrapped
	k := n.open(p, &u)
	if k == nil {
		n.counts.damaged.Add(1)
		drop(p)
		return
	}
	ticket, fresh := k.tags.Add(&u.Tag)
	if !fresh {
		n.counts.replayed.Add(1)
		drop(p)
		return
	}
	p.key, p.ticket = k, ticket
	if !n.route(p, &u) {
		n.counts.misrouted.Add(1)
		drop(p)
	}
}

// open finds the key that a packet was made for.
func (n *node) open(p *packet, u *sphinx.Unwrapped) *epochKey {
	n.keys.using.RLock()
	defer n.keys.using.RUnlock()
	for _, k := range n.keys.candidates() {
		if n.sphinx.Unwrap(k.private, p.body, u) == nil {
			return k
		}
	}
	return nil
}

// route passes on an unwrapped packet, which is somebody else's then, or returns
// false.
func (n *node) route(p *packet, u *sphinx.Unwrapped) bool {
	switch {
	case !u.Last:
		return n.forwards(p) && n.forward(p, u)
	case p.client:
		return false // a gateway writes to no one at its entry
	case n.loops.take(p, u):
		return true
	case n.terminal != nil:
		return n.terminal(p, u)
	}
	return false
}

// forwards says whether this node passes on packets from where p came. An entry
// passes on its gateways' alone, and an exit nobody's: between them and the mixes
// there is no way that leads around the mixes.
func (n *node) forwards(p *packet) bool {
	switch {
	case n.isMix():
		return true
	case n.isEntry():
		return p.client
	}
	return false
}

// forward gives a packet to the mixer until its delay is over.
func (n *node) forward(p *packet, u *sphinx.Unwrapped) bool {
	delay := max(time.Duration(u.Delay)*time.Millisecond, time.Millisecond)
	if u.HasRecipient || u.HasReply || delay > keyEpochs*n.period {
		return false
	}
	if _, ok := n.view.Load().to[u.Next]; !ok {
		return false
	}
	p.next, p.due = u.Next, p.arrived.Add(delay)
	n.mixer.add(p)
	return true
}

// receive is called with every packet that comes over a connection: a gateway's, or
// that of the node from. The connection's own goroutine unwraps it: to hand it to
// another would cost a lone packet more than all else but the unwrapping. As many as
// there are processors do so at once; a connection that finds them busy waits, and
// its sender with it, by TCP's own means. Those that wait have their turn one after
// the other, so who sends much gets no more of them than the others.
func (n *node) receive(ctx context.Context, f *link.Frame, client bool, from sphinx.NodeID) {
	p := &packet{frame: f, body: f.Packet(), arrived: n.now(), client: client, from: from}
	select {
	case n.unwrapping <- struct{}{}:
		n.unwrap(p)
		<-n.unwrapping
	case <-ctx.Done():
		drop(p)
	}
}

// drop ends a packet.
func drop(p *packet) {
	p.frame.Release()
	p.frame, p.body = nil, nil
}
