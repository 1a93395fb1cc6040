package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	nikeschemes "github.com/katzenpost/hpqc/nike/schemes"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"github.com/katzenpost/katzenpost/core/wire"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// small2k is the geometry of packets of about 2 kB, large that of the default.
func small2k(t testing.TB) *sphinx.Geometry { return geometry(t, "x25519", 5, 2000) }
func large(t testing.TB) *sphinx.Geometry   { return geometry(t, sphinx.DefaultScheme, 5, 30_000) }

func geometry(t testing.TB, scheme string, hops, payload int) *sphinx.Geometry {
	t.Helper()
	g, err := sphinx.NewGeometry(scheme, hops, payload)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// theirGeometry is a geometry in the referee's type.
func theirGeometry(g *sphinx.Geometry) *geo.Geometry {
	if g.NIKEName != "" {
		return geo.GeometryFromUserForwardPayloadLength(nikeschemes.ByName(g.NIKEName), g.UserPayloadLength, true, g.Hops)
	}
	return geo.KEMGeometryFromUserForwardPayloadLength(kemschemes.ByName(g.KEMName), g.UserPayloadLength, true, g.Hops)
}

// party is one end of a line, of either implementation.
type party struct {
	name   []byte
	key    kem.PrivateKey
	expect *party // whom it takes for its peer; nil: everybody
}

func newParty(t testing.TB, length int) *party {
	t.Helper()
	_, key, err := scheme.GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	p := &party{name: make([]byte, length), key: key}
	rand.Read(p.name)
	return p
}

// two makes two parties that expect each other.
func two(t testing.TB) (initiator, responder *party) {
	initiator, responder = newParty(t, 32), newParty(t, 32)
	initiator.expect, responder.expect = responder, initiator
	return initiator, responder
}

func (p *party) is(name []byte, key kem.PublicKey) bool {
	return p == nil || bytes.Equal(name, p.name) && key.Equal(p.key.Public())
}

func (p *party) config(frames *Frames) Config {
	return Config{Frames: frames, Key: p.key, Name: p.name, Peer: p.expect.is}
}

// IsPeerValid makes a party the referee's authenticator.
func (p *party) IsPeerValid(c *wire.PeerCredentials) bool {
	return p.expect.is(c.AdditionalData, c.PublicKey)
}

func (p *party) theirs(t testing.TB, g *sphinx.Geometry, initiator bool) *wire.Session {
	t.Helper()
	s, err := wire.NewSession(&wire.SessionConfig{
		KEMScheme: scheme, Geometry: theirGeometry(g), Authenticator: p, AdditionalData: p.name,
		AuthenticationKey: p.key, RandomReader: rand.Reader, HandshakeTimeout: 30 * time.Second,
	}, initiator)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// transports are the ways in which tests connect two ends.
var transports = map[string]func(testing.TB) (net.Conn, net.Conn){"pipe": pipe, "tcp": tcp}

func pipe(t testing.TB) (net.Conn, net.Conn) {
	a, b := net.Pipe()
	return a, b
}

func tcp(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// shake makes a session at either end of a line, and returns both ends' errors.
func shake(a, b net.Conn, i, r Config) (initiator, responder *Session, initiatorErr, responderErr error) {
	done := make(chan struct{})
	go func() {
		responder, responderErr = Respond(context.Background(), b, r)
		close(done)
	}()
	initiator, initiatorErr = Initiate(context.Background(), a, i)
	<-done
	return initiator, responder, initiatorErr, responderErr
}

// sessions makes two sessions of ours that talk to each other.
func sessions(t testing.TB, frames *Frames, connect func(testing.TB) (net.Conn, net.Conn)) (initiator, responder *Session) {
	t.Helper()
	a, b := connect(t)
	i, r := two(t)
	initiator, responder, err, err2 := shake(a, b, i.config(frames), r.config(frames))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	t.Cleanup(func() { initiator.Close(); responder.Close() })
	return initiator, responder
}

func framed(t testing.TB, frames *Frames, c Command) *Frame {
	t.Helper()
	f, err := frames.Make(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// memory is a connection to oneself: what is written is there to be read. It has
// no deadlines and makes no system call.
type memory struct {
	net.Conn // nil
	held     bytes.Buffer
}

func (m *memory) Read(p []byte) (int, error)       { return m.held.Read(p) }
func (m *memory) Write(p []byte) (int, error)      { return m.held.Write(p) }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }
func (m *memory) Close() error                     { return nil }

// remember makes what one session sends be held for the other.
func remember(from, to *Session) *memory {
	m := new(memory)
	from.conn, to.in.conn = m, m
	return m
}
