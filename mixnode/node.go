package mixnode

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/control"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// node is a running node. A packet goes through it so:
//
//	incoming ─▶ unwrap ─▶ mixer ─▶ outgoing             forwarded
//	                 ├──▶ mixer ─▶ entry ─▶ a gateway   a reply
//	                 └──▶ exit ─▶ handler ─▶ mixer      a request, and its answer
type node struct {
	cfg     *Config
	network *directory.Network
	log     *slog.Logger
	now     func() time.Time // when something is due: it never jumps, whoever sets the clock
	date    func() time.Time // which epoch it is, by the clock
	since   time.Time        // its start
	period  time.Duration    // of an epoch

	id       sphinx.NodeID
	identity *katzenpost.Keys
	link     kem.PrivateKey
	sphinx   *sphinx.Sphinx
	frames   *link.Frames
	keys     *keys

	counts    counts
	traffic   *traffic
	connected atomic.Int64 // outgoing connections that are up
	troubles  troubles

	unwrapping chan struct{} // holds one for each packet that is being unwrapped
	conns      *incoming
	outgoing   *outgoing
	mixer      *mixer
	entry      *entry // nil: this is none
	exit       *exit  // nil: this is none
	loops      *looper
	terminal   func(*packet, *sphinx.Unwrapped) bool
	view       atomic.Pointer[view]
	running    context.Context
	wasListed  bool

	authorities authorities
	docs        map[uint64]*directory.View // by epoch; follow's alone
	docsMu      sync.Mutex
	raw         map[uint64][]byte         // the same, as they came
	address     atomic.Pointer[string]    // what it publishes; "": nothing yet
	published   atomic.Pointer[Published] // nil: nothing yet
	router      portKeeper                // nil: none is asked
	asked       chan struct{}             // the router was once; keepPort closes it
	moved       chan struct{}             // holds one when the address changed

	maxPeers int
}

func (n *node) isMix() bool   { return n.cfg.Role == directory.RoleMix }
func (n *node) isEntry() bool { return n.cfg.Role == directory.RoleEntry }

// troubles are what is not as it should be, by what the node tries to do.
type troubles struct {
	mu  sync.Mutex
	now map[string]string
}

// say logs a trouble when it begins, and keeps it for whoever asks.
func (n *node) say(doing, what string, err error) {
	n.troubles.mu.Lock()
	defer n.troubles.mu.Unlock()
	if n.troubles.now == nil {
		n.troubles.now = map[string]string{}
	}
	text, about := what, []any(nil)
	if err != nil {
		text, about = what+": "+err.Error(), []any{"error", err}
	}
	if n.troubles.now[doing] != text {
		n.log.Warn(what, about...)
	}
	n.troubles.now[doing] = text
}

// said ends a trouble.
func (n *node) said(doing string) {
	n.troubles.mu.Lock()
	defer n.troubles.mu.Unlock()
	delete(n.troubles.now, doing)
}

// all returns them without the one of doing so.
func (t *troubles) all(but string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := maps.Clone(t.now)
	delete(now, but)
	return slices.Sorted(maps.Values(now))
}

// clientsAtOnce is how many gateways an entry serves at once.
const clientsAtOnce = 10_000

// Run runs the node until ctx ends, with the keys in its state directory, which s
// opens and whose owner keeps it open meanwhile; then it lets what is under way leave.
// An exit needs a handler. What comes over changes is the configuration, read anew:
// the node does what can be changed in a running node, and says what cannot.
func Run(ctx context.Context, c *Config, network *directory.Network, s *seal.Sealer, h *Handler, changes <-chan *Config, log *slog.Logger) error {
	n, err := newNode(c, network, s, h, log)
	if err != nil {
		return err
	}
	if err := n.checkClock(ctx); err != nil {
		return errors.Join(err, n.keys.close())
	}
	l, err := net.Listen("tcp", c.listens())
	if err != nil {
		err = fmt.Errorf("listening: %w: is another program using the port, or is the address another machine's?", err)
		return errors.Join(err, n.keys.close())
	}
	return errors.Join(n.run(ctx, l, changes), n.keys.close(), n.traffic.store())
}

func newNode(c *Config, network *directory.Network, s *seal.Sealer, h *Handler, log *slog.Logger) (*node, error) {
	identity, err := katzenpost.LoadKeys(c.State, s)
	if err != nil {
		return nil, err
	}
	g, err := network.Parameters.Geometry()
	if err != nil {
		return nil, err
	}
	n := &node{
		cfg: c, network: network, log: log, now: time.Now, date: wallClock, since: time.Now(), period: network.Parameters.Epoch,
		identity: identity, link: identity.Link, sphinx: sphinx.New(g), frames: link.NewFrames(g),
		unwrapping: make(chan struct{}, runtime.GOMAXPROCS(0)),
		docs:       map[uint64]*directory.View{}, raw: map[uint64][]byte{},
		maxPeers: clientsAtOnce,
	}
	n.id = hash.Sum256From(identity.IdentityPublic)
	n.address.Store(&c.Address)
	if c.Router != "" {
		n.router, n.asked, n.moved = c.router(), make(chan struct{}), make(chan struct{}, 1)
		if directory.CheckAddress(c.Address) != nil {
			n.address.Store(new("")) // until the router says it
		}
	}
	if n.traffic, err = newTraffic(c.State, c.Budget, n.frames.Packet(), n.now); err != nil {
		log.Warn("a damaged state file", "error", err)
	}
	var seed [32]byte
	cryptorand.Read(seed[:])
	n.mixer = newMixer(0, n.period, rand.New(rand.NewChaCha8(seed)), n.now, &n.counts)
	n.outgoing = &outgoing{n: n, senders: map[sphinx.NodeID]context.CancelFunc{}}
	n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	n.loops = newLooper(n)
	switch c.Role {
	case directory.RoleEntry:
		n.entry = newEntry(n)
		n.terminal = n.entry.take
	case directory.RoleExit:
		if h == nil {
			return nil, errors.New("an exit needs a handler")
		}
		n.exit = newExit(n, h)
		n.terminal = n.exit.take
	}
	if n.authorities, err = newVoters(network, identity, n.id); err != nil {
		return nil, fmt.Errorf("preparing to talk to the authorities: %w", err)
	}
	if err := n.loadDocuments(); err != nil {
		return nil, err
	}
	if n.keys, err = openKeys(c.State, g, s, n.mixer.poke); err != nil {
		return nil, err
	}
	n.hold(c.Budget)
	return n, nil
}

// run runs the node's parts until one of them fails, or until ctx ends and what is
// under way has left.
func (n *node) run(ctx context.Context, l net.Listener, changes <-chan *Config) error {
	staying, leave := context.WithCancel(ctx)
	defer leave()
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	n.running = ctx
	n.view.Store(look(n.id, n.docs, n.date(), n.period))
	answer, err := control.Listen(filepath.Join(n.cfg.State, controlSocket), control.Answers{"status": n.status})
	if err != nil {
		return err
	}
	defer context.AfterFunc(staying, func() { l.Close() })()

	// The first part that fails ends the others, and says why the node ended.
	var (
		parts  sync.WaitGroup
		first  sync.Once
		failed error
	)
	part := func(run func() error) {
		parts.Go(func() {
			if err := run(); err != nil {
				first.Do(func() { failed = err })
				leave()
				cancel()
			}
		})
	}
	part(func() error { return answer(ctx) })
	if n.cfg.Metrics != "" {
		part(func() error { return n.serveMetrics(ctx) })
	}
	part(func() error { return n.mixer.run(ctx, n.keys.broken) })
	if n.exit != nil {
		started := make(chan struct{})
		part(func() error { return n.exit.run(ctx, started) })
		select {
		case <-started:
		case <-staying.Done():
		}
	}
	if n.router != nil {
		part(func() error { return n.keepPort(staying) })
	}
	part(func() error { return n.follow(ctx) })
	part(func() error { return n.adapt(ctx, changes) })
	part(func() error { return n.watchClock(ctx) })
	part(func() error { return n.tellSupervisor(ctx) })
	part(func() error { return n.loops.run(staying) })
	var accepting sync.WaitGroup
	accepting.Add(1)
	part(func() error { defer accepting.Done(); return n.conns.serve(staying, l) })
	if staying.Err() == nil {
		n.log.Info("switching packets", "node", n.cfg.Name, "role", n.cfg.Role, "network", n.network.Name)
	}

	<-staying.Done()
	accepting.Wait()
	n.conns.running.Wait()
	n.drain(ctx)
	cancel()
	parts.Wait()
	n.outgoing.running.Wait()
	n.mixer.empty()
	if errors.Is(failed, errLeft) {
		n.log.Info("no consensus lists this node any more: it has left the network, and ends", "node", n.cfg.Name)
		return nil
	}
	return failed
}
