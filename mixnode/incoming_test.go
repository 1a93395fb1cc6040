package mixnode

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// side is a peer's keys and name.
type side struct {
	id  sphinx.NodeID
	key kem.PrivateKey
}

func newSide(t *testing.T, id byte) side {
	t.Helper()
	_, key, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	return side{sphinx.NodeID{id}, key}
}

// listening makes a node that takes connections from these peers.
func listening(t *testing.T, role directory.Role, from ...side) *node {
	t.Helper()
	n := standalone(t, role)
	n.link = newSide(t, 0).key
	n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	n.admit(from...)
	return n
}

// admit makes a view in which these peers send packets to the node.
func (n *node) admit(from ...side) {
	v := &view{slot: time.Second, from: map[sphinx.NodeID]peer{}, to: map[sphinx.NodeID]peer{there: {}}, known: map[sphinx.NodeID]bool{}}
	for _, s := range from {
		v.from[s.id] = peer{link: s.key.Public()}
		v.known[s.id] = true
	}
	n.view.Store(v)
}

// call is a peer's end of a connection to the node.
type call struct {
	*link.Session
	ended chan struct{} // closed when the node has ended it
}

// dialIn opens a connection to the node.
func (n *node) dialIn(ctx context.Context, s side) (*call, error) {
	ours, theirs := net.Pipe()
	n.conns.begin(theirs)
	go n.conns.handle(ctx, theirs)
	session, err := link.Initiate(ctx, ours, link.Config{
		Frames: n.frames, Key: s.key, Name: s.id[:], ReadTimeout: time.Hour,
		Peer: func([]byte, kem.PublicKey) bool { return true },
	})
	if err != nil {
		return nil, err
	}
	c := &call{session, make(chan struct{})}
	go func() {
		defer close(c.ended)
		for {
			f, _, err := session.Receive()
			if err != nil {
				return
			}
			f.Release()
		}
	}()
	return c, nil
}

// say sends a command, which proves that the peer has its key.
func (c *call) say(t *testing.T, n *node) {
	t.Helper()
	f, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Send(f) // the node may have ended the connection
	synctest.Wait()
}

// closed reports whether the node has ended the connection.
func (c *call) closed() bool {
	synctest.Wait()
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

// Only those whom the consensus names are let in, each once, and only as long as it
// names them.
func TestWhoMayConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		mix, other := newSide(t, 1), newSide(t, 2)
		n := listening(t, directory.RoleMix, mix)
		if _, err := n.dialIn(ctx, other); err == nil {
			t.Error("a stranger is let in")
		}
		if _, err := n.dialIn(ctx, side{mix.id, other.key}); err == nil {
			t.Error("a neighbour's name is enough")
		}
		first, err := n.dialIn(ctx, mix)
		if err != nil {
			t.Fatal(err)
		}
		if first.say(t, n); first.closed() {
			t.Error("a neighbour is not let in")
		}
		second, err := n.dialIn(ctx, mix)
		if err != nil {
			t.Fatal(err)
		}
		if first.closed() {
			t.Error("a connection ended another of its name before it showed that it has the key")
		}
		if second.say(t, n); !first.closed() || second.closed() {
			t.Error("the newest connection of a neighbour is not its only one")
		}
		if nodes, gateways := n.conns.count(); nodes != 1 || gateways != 0 {
			t.Errorf("%d nodes and %d gateways are counted", nodes, gateways)
		}
		n.admit(other)
		if n.conns.check(); !second.closed() {
			t.Error("a node that the consensus does not name any more stays connected")
		}
		cancel()
		synctest.Wait()
	})
}

// An entry lets everybody in, but nobody under the name of a node.
func TestGatewaysMayConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		mix, gateway := newSide(t, 1), newSide(t, 2)
		n := listening(t, directory.RoleEntry, mix)
		for _, s := range []side{mix, gateway} {
			session, err := n.dialIn(ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			session.say(t, n)
		}
		synctest.Wait()
		if nodes, gateways := n.conns.count(); nodes != 1 || gateways != 1 {
			t.Errorf("%d nodes and %d gateways are connected", nodes, gateways)
		}
		if _, err := n.dialIn(ctx, side{mix.id, gateway.key}); err == nil {
			t.Error("a gateway connected under a node's name")
		}
		cancel()
		synctest.Wait()
	})
}

// Whoever opens connections and says nothing does not keep others out, and holds
// none of them for long.
func TestHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		mix := newSide(t, 1)
		n := listening(t, directory.RoleMix, mix)
		for range strangers + 300 {
			ours, theirs := net.Pipe()
			defer ours.Close()
			n.conns.begin(theirs)
			go n.conns.handle(ctx, theirs)
		}
		synctest.Wait()
		if open := n.conns.shaking(); open > strangers {
			t.Errorf("%d connections are in their handshake, at most %d may be", open, strangers)
		}
		session, err := n.dialIn(ctx, mix)
		if err != nil {
			t.Fatal(err)
		}
		if session.say(t, n); session.closed() {
			t.Error("a neighbour is kept out")
		}
		time.Sleep(handshakeTimeout + time.Second)
		if open := n.conns.shaking(); open != 0 {
			t.Errorf("%d silent connections are open after %v", open, handshakeTimeout)
		}
		cancel()
		synctest.Wait()
	})
}

// shaking is how many connections are in their handshake.
func (in *incoming) shaking() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.pending)
}
