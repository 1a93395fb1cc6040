package mixnode

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

const (
	connectTimeout = 10 * time.Second

	// batch is how many packets are written at once at most: with some tens of
	// kilobytes each there is nothing to gain from more.
	batch = 16

	// keepAlive is how often an idle connection carries an empty command. A stock
	// node gives up one on which it reads nothing for two minutes.
	keepAlive = 45 * time.Second
)

// outgoing keeps a connection to each neighbour that this node sends packets to.
type outgoing struct {
	n       *node
	running sync.WaitGroup
	senders map[sphinx.NodeID]context.CancelFunc
}

// follow makes the neighbours of a view those that are connected to.
func (o *outgoing) follow(ctx context.Context, v *view) {
	for id, stop := range o.senders {
		if _, still := v.to[id]; !still {
			stop()
			delete(o.senders, id)
		}
	}
	for id := range v.to {
		if o.senders[id] != nil {
			continue
		}
		ctx, stop := context.WithCancel(ctx)
		o.senders[id] = stop
		o.running.Go(func() { o.n.send(ctx, id) })
	}
}

// send carries packets to one neighbour until ctx ends, over one connection after
// the other.
func (n *node) send(ctx context.Context, id sphinx.NodeID) {
	least, most := n.period/64, n.period/8 // as stock nodes wait
	for wait := time.Duration(0); ; {
		if !sleep(ctx, wait) {
			return
		}
		session, err := n.connect(ctx, id)
		if err != nil {
			wait = min(wait+least/2+rand.N(least), most)
			continue
		}
		connected := n.now()
		n.connected.Add(1)
		n.carry(ctx, id, session)
		n.connected.Add(-1)
		wait = 0
		if n.now().Sub(connected) < least {
			wait = least
		}
	}
}

// sleep waits, and returns false if ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// connect opens a connection to a neighbour, at one of its addresses.
func (n *node) connect(ctx context.Context, id sphinx.NodeID) (*link.Session, error) {
	p, ok := n.view.Load().to[id]
	if !ok || len(p.addresses) == 0 {
		return nil, net.ErrClosed
	}
	dialing, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	address := p.addresses[rand.IntN(len(p.addresses))]
	conn, err := new(net.Dialer).DialContext(dialing, "tcp", address)
	if err != nil {
		return nil, err
	}
	return link.Initiate(ctx, conn, link.Config{
		Frames: n.frames, Key: n.link, Name: n.id[:], ReadTimeout: never,
		Peer: func(name []byte, key kem.PublicKey) bool { return p.proves(id, name, key) },
	})
}

// never is a timeout that does not come: a neighbour has nothing to say.
const never = 100 * 365 * 24 * time.Hour

// carry sends a neighbour's packets until the connection breaks or ctx ends.
func (n *node) carry(ctx context.Context, id sphinx.NodeID, s *link.Session) {
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer s.Close()
	defer cancel()
	reading.Go(func() {
		defer cancel()
		for {
			f, c, err := s.Receive()
			if err != nil {
				return
			}
			f.Release()
			if c.Kind != link.KindNoOp {
				return
			}
		}
	})

	more := n.mixer.more(id)
	idle := time.NewTimer(keepAlive)
	defer idle.Stop()
	var packets []*packet
	frames := make([]*link.Frame, 0, batch)
	for {
		packets = n.mixer.take(id, packets[:0], n.traffic.atOnce(batch))
		frames = frames[:0]
		for _, p := range packets {
			frames = append(frames, p.frame)
		}
		if len(frames) == 0 {
			select {
			case <-ctx.Done():
				return
			case <-more:
				continue
			case <-idle.C:
				noop, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
				if err != nil {
					return
				}
				frames = append(frames, noop)
			}
		}
		bytes := 0
		for _, f := range frames {
			bytes += f.Size()
		}
		if err := s.Send(frames...); err != nil {
			n.counts.broken.Add(uint64(len(packets)))
			return
		}
		n.counts.forwarded.Add(uint64(len(packets)))
		idle.Reset(keepAlive)
		if !sleep(ctx, n.traffic.went(bytes)) {
			return
		}
	}
}
