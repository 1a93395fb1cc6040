package tap

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kempem "github.com/katzenpost/hpqc/kem/pem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

// Lossy stands between gateways and an entry and loses packets: it ends the
// gateway's link with the entry's own link key, opens one to the entry in the
// gateway's name, and passes every command on but the packets that Drop picks.
type Lossy struct {
	// Drop is asked whether the packet that came as n-th, from 1, is lost.
	Drop func(n int) bool

	received, dropped atomic.Int64
}

// Every is a Drop that loses each k-th packet.
func Every(k int) func(int) bool { return func(n int) bool { return n%k == 0 } }

// Counts returns how many packets came, and how many of them were lost.
func (l *Lossy) Counts() (received, dropped int) {
	return int(l.received.Load()), int(l.dropped.Load())
}

// Timeouts of a link. Silences are for its ends to judge.
const (
	handshakeTimeout = 30 * time.Second
	silence          = time.Hour
)

// Serve implements Tap. A link whose entry cannot be reached, or will not have
// the gateway, is closed.
func (l *Lossy) Serve(ctx context.Context, listener net.Listener, behind Target) {
	key, err := linkKey(behind.State)
	if err != nil {
		listener.Close() // the network's start shows it: nothing listens
		return
	}
	g := katzenpost.Geometry(behind.Network.Parameters)
	serve(ctx, listener, func(ctx context.Context, front net.Conn) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		gateway, err := newSession(g, key, anyone{}, entryID(behind.Member), false)
		if err != nil {
			return
		}
		defer gateway.Close()
		if err := gateway.Initialize(ctx, front); err != nil {
			return
		}
		credentials, err := gateway.PeerCredentials()
		if err != nil {
			return
		}
		entry, err := dialEntry(ctx, g, behind, credentials.AdditionalData)
		if err != nil {
			return
		}
		defer entry.Close()
		var relaying sync.WaitGroup
		relaying.Go(func() { defer cancel(); l.relay(ctx, entry, gateway, g) })
		relaying.Go(func() { defer cancel(); l.relay(ctx, gateway, entry, g) })
		relaying.Wait()
	})
}

// linkKey reads a node's private link key. The name is the engine's.
func linkKey(state string) (kem.PrivateKey, error) {
	key, err := kempem.FromPrivatePEMFile(filepath.Join(state, "link.private.pem"), kemschemes.ByName(directory.LinkScheme))
	if err != nil {
		return nil, fmt.Errorf("reading the entry's link key: %w", err)
	}
	return key, nil
}

func entryID(m *directory.Member) []byte {
	id := m.ID()
	return id[:]
}

func newSession(g *geo.Geometry, key kem.PrivateKey, peer wire.PeerAuthenticator, name []byte, initiator bool) (*wire.Session, error) {
	return wire.NewSession(&wire.SessionConfig{
		KEMScheme: kemschemes.ByName(directory.LinkScheme), Geometry: g, Authenticator: peer,
		AdditionalData: name, AuthenticationKey: key, RandomReader: rand.Reader,
		HandshakeTimeout: handshakeTimeout, ReadTimeout: silence, WriteTimeout: silence,
	}, initiator)
}

// dialEntry opens a link to the entry in the name that the gateway gave. The
// entry knows a gateway by that name alone, so a key made for the occasion does.
func dialEntry(ctx context.Context, g *geo.Geometry, behind Target, gateway []byte) (*wire.Session, error) {
	_, key, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	s, err := newSession(g, key, only{behind.Member}, gateway, true)
	if err != nil {
		return nil, err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", behind.Address)
	if err != nil {
		return nil, err
	}
	if err := s.Initialize(ctx, conn); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// anyone lets every peer in, as an entry does with gateways.
type anyone struct{}

func (anyone) IsPeerValid(*wire.PeerCredentials) bool { return true }

// only lets one member in.
type only struct{ member *directory.Member }

func (o only) IsPeerValid(c *wire.PeerCredentials) bool {
	return hmac.Equal(c.AdditionalData, entryID(o.member)) && o.member.LinkKey().Equal(c.PublicKey)
}

// relay passes commands on until either end closes or ctx ends.
func (l *Lossy) relay(ctx context.Context, to, from *wire.Session, g *geo.Geometry) {
	for {
		cmd, err := from.RecvCommand(ctx)
		if err != nil {
			return
		}
		// The engine parses some commands without what it needs to write them.
		switch cmd := cmd.(type) {
		case *commands.SendPacket:
			n := int(l.received.Add(1))
			if l.Drop != nil && l.Drop(n) {
				l.dropped.Add(1)
				continue
			}
		case *commands.Message:
			cmd.Geo = g
		case *commands.Consensus2:
			cmd.Cmds = to.GetCommands()
		}
		if err := to.SendCommand(ctx, cmd); err != nil {
			return
		}
	}
}
