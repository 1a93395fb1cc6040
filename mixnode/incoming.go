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
	// strangers is how many connections may be in their handshake. When one more
	// comes, a random one of them is closed: whoever opens many and says nothing
	// closes mostly their own.
	strangers        = 512
	handshakeTimeout = 10 * time.Second

	// silence is how long a peer may say nothing. Stock nodes have nothing to say
	// when there are no packets.
	silence = 10 * time.Minute
)

// incoming are the connections that others opened to this node.
type incoming struct {
	n       *node
	running sync.WaitGroup

	mu      sync.Mutex
	pending []net.Conn            // in their handshake
	peers   map[string]*neighbour // by the name that they showed
}

// neighbour is a connection whose peer is known.
type neighbour struct {
	session *link.Session
	name    []byte
	key     kem.PublicKey
	client  bool
}

// serve accepts connections until the listener is closed.
func (in *incoming) serve(ctx context.Context, l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if temporary, ok := err.(interface{ Temporary() bool }); ok && temporary.Temporary() {
				// No descriptor is free: those in their handshake give theirs back soon.
				if !sleep(ctx, 100*time.Millisecond) {
					return nil
				}
				continue
			}
			return err
		}
		in.begin(conn)
		in.running.Go(func() { in.handle(ctx, conn) })
	}
}

// begin counts a connection among those in their handshake.
func (in *incoming) begin(conn net.Conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.pending) >= strangers {
		i := rand.IntN(len(in.pending))
		in.pending[i].Close()
		in.pending[i] = conn
		return
	}
	in.pending = append(in.pending, conn)
}

func (in *incoming) begun(conn net.Conn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for i, c := range in.pending {
		if c == conn {
			last := len(in.pending) - 1
			in.pending[i] = in.pending[last]
			in.pending[last] = nil
			in.pending = in.pending[:last]
			return
		}
	}
}

// handle serves one connection until it ends.
func (in *incoming) handle(ctx context.Context, conn net.Conn) {
	n := in.n
	nb := &neighbour{}
	session, err := link.Respond(ctx, conn, link.Config{
		Frames: n.frames, Key: n.link, Name: n.id[:], HandshakeTimeout: handshakeTimeout, ReadTimeout: silence,
		Peer: func(name []byte, key kem.PublicKey) bool {
			nb.name, nb.key = append([]byte(nil), name...), key
			return in.admits(nb)
		},
	})
	in.begun(conn)
	if err != nil {
		return
	}
	nb.session = session
	defer session.Close()
	stop := context.AfterFunc(ctx, session.Close)
	defer stop()
	// Only what a peer seals proves that it has its key: until then nothing that it
	// is called by counts.
	f, c, err := session.Receive()
	if err != nil {
		return
	}
	if !in.enter(nb) {
		f.Release()
		return
	}
	defer in.leave(nb)
	obey := func(ctx context.Context, f *link.Frame, c link.Command) bool { return in.obey(ctx, nb, f, c) }
	if nb.client {
		g := n.entry.welcome(ctx, nb)
		defer g.leave()
		obey = g.obey
	}
	for {
		rest := n.traffic.came(f.Size())
		if !obey(ctx, f, c) || !sleep(ctx, rest) {
			return
		}
		if f, c, err = session.Receive(); err != nil {
			return
		}
	}
}

// obey does what a node's command asks for, or returns false if it is none of a
// node's. The frame is not the caller's any more.
func (in *incoming) obey(ctx context.Context, nb *neighbour, f *link.Frame, c link.Command) bool {
	if c.Kind == link.KindSendPacket {
		if !in.throttle(ctx, nb) {
			f.Release()
			return false
		}
		in.n.receive(ctx, f, false, sphinx.NodeID(nb.name))
		return true
	}
	f.Release()
	return c.Kind == link.KindNoOp
}

// crowded is how often a neighbour is looked at again that sends too much.
const crowded = 100 * time.Millisecond

// throttle waits, and so reads no more from a neighbour, as long as its packets crowd
// out the others'. What it may do to the memory that is shed at random so ends at its
// share, and nothing of it is lost: TCP makes it wait. It returns false when the
// connection is not the neighbour's any more.
func (in *incoming) throttle(ctx context.Context, nb *neighbour) bool {
	id := sphinx.NodeID(nb.name)
	for first := true; in.n.mixer.crowds(id, len(in.n.view.Load().from)); first = false {
		if first {
			in.n.counts.throttled.Add(1)
		}
		if !sleep(ctx, crowded) || !in.current(nb) {
			return false
		}
	}
	return true
}

// current says whether a connection is its peer's only one.
func (in *incoming) current(nb *neighbour) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.peers[string(nb.name)] == nb
}

// admits says whether a peer may be connected now, and as what.
func (in *incoming) admits(nb *neighbour) bool {
	v := in.n.view.Load()
	if _, ok := admits(v.from, nb.name, nb.key); ok {
		nb.client = false
		return true
	}
	// Anybody may be a gateway, except under the name of a node.
	nb.client = in.n.isEntry() && len(nb.name) == sphinx.RecipientIDLength && !v.known[sphinx.NodeID(nb.name)]
	return nb.client
}

// enter makes a connection its peer's only one: the newest, for an older one may
// be dead without anybody having noticed.
func (in *incoming) enter(nb *neighbour) bool {
	in.mu.Lock()
	old := in.peers[string(nb.name)]
	if old == nil && nb.client && len(in.peers) >= in.n.maxPeers {
		in.mu.Unlock()
		return false
	}
	in.peers[string(nb.name)] = nb
	in.mu.Unlock()
	if old != nil {
		old.session.Close()
	}
	return true
}

func (in *incoming) leave(nb *neighbour) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.peers[string(nb.name)] == nb {
		delete(in.peers, string(nb.name))
	}
}

// check closes the connections of those that a new view does not admit any more.
func (in *incoming) check() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, nb := range in.peers {
		now := &neighbour{name: nb.name, key: nb.key}
		if !in.admits(now) || now.client != nb.client {
			go nb.session.Close() // it waits for a write under way
		}
	}
}

// count is how many nodes and how many gateways are connected.
func (in *incoming) count() (nodes, gateways int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, nb := range in.peers {
		if nb.client {
			gateways++
		} else {
			nodes++
		}
	}
	return nodes, gateways
}
