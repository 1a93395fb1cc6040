package tap

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Relay stands before a node and sees each packet that its neighbours send it: it
// ends their links with the node's own key, and opens one to the node with theirs,
// which lie in the network's directory. It can lose packets, and send any once more.
type Relay struct {
	// Pass is asked of each packet, which it may not keep, whether it goes on.
	Pass func(packet []byte) bool

	mu     sync.Mutex
	node   *link.Session // the newest link to the node
	frames *link.Frames
}

// Serve implements Tap.
func (r *Relay) Serve(ctx context.Context, l net.Listener, behind Target) {
	key, err := linkKey(behind.State)
	g, gerr := behind.Network.Parameters.Geometry()
	if err != nil || gerr != nil {
		l.Close() // the network's start shows it: nothing listens
		return
	}
	r.mu.Lock()
	r.frames = link.NewFrames(g)
	r.mu.Unlock()
	serve(ctx, l, func(ctx context.Context, front net.Conn) {
		var neighbour []byte
		id := behind.Member.ID()
		from, err := link.Respond(ctx, front, link.Config{
			Frames: r.frames, Key: key, Name: id[:], ReadTimeout: silence,
			Peer: func(name []byte, _ kem.PublicKey) bool { neighbour = append([]byte(nil), name...); return true },
		})
		if err != nil {
			return
		}
		defer from.Close()
		defer context.AfterFunc(ctx, from.Close)()
		to, err := r.dial(ctx, behind, neighbour)
		if err != nil {
			return
		}
		defer to.Close()
		defer context.AfterFunc(ctx, to.Close)()
		r.set(to)
		var reading sync.WaitGroup
		defer reading.Wait()
		defer to.Close()
		reading.Go(func() { // nodes have nothing to say; but that one is gone shows here
			defer from.Close()
			for {
				f, _, err := to.Receive()
				if err != nil {
					return
				}
				f.Release()
			}
		})
		for {
			f, c, err := from.Receive()
			if err != nil {
				return
			}
			if c.Kind == link.KindSendPacket && r.Pass != nil && !r.Pass(c.Data) {
				f.Release()
				continue
			}
			if to.Send(f) != nil {
				return
			}
		}
	})
}

func (r *Relay) set(s *link.Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.node = s
}

// Send sends the node a packet over the newest neighbour's link.
func (r *Relay) Send(packet []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.node == nil {
		return net.ErrClosed
	}
	f, err := r.frames.Make(link.Command{Kind: link.KindSendPacket, Data: packet})
	if err != nil {
		return err
	}
	return r.node.Send(f)
}

// dial opens a link to the node in a neighbour's name, with its key.
func (r *Relay) dial(ctx context.Context, behind Target, neighbour []byte) (*link.Session, error) {
	key, err := neighbourKey(filepath.Dir(filepath.Dir(behind.State)), neighbour)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", behind.Address)
	if err != nil {
		return nil, err
	}
	return link.Initiate(ctx, conn, link.Config{
		Frames: r.frames, Key: key, Name: neighbour, HandshakeTimeout: handshakeTimeout, ReadTimeout: 100 * time.Hour,
		Peer: func(_ []byte, key kem.PublicKey) bool { return behind.Member.LinkKey().Equal(key) },
	})
}

// neighbourKey finds the link key of the member with an id, in the directory of a
// network's members.
func neighbourKey(dir string, id []byte) (kem.PrivateKey, error) {
	if len(id) != sphinx.NodeIDLength {
		return nil, errors.New("no member's name")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.member"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := directory.ParseMember(b)
		if err == nil && m.ID() == sphinx.NodeID(id) {
			return linkKey(filepath.Join(filepath.Dir(path), "state"))
		}
	}
	return nil, errors.New("no member of the network")
}
