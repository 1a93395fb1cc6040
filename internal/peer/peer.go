// Package peer is Katzenpost's implementation of Sphinx for the geometries, keys
// and paths of ours: what package sphinx is tested against, and measured beside.
// Nothing that handles mail imports it.
package peer

import (
	"fmt"
	"io"

	"github.com/katzenpost/hpqc/kem"
	"github.com/katzenpost/hpqc/kem/adapter"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/hpqc/nike/x25519"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"
	"github.com/katzenpost/katzenpost/core/sphinx/commands"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Sphinx is Katzenpost's, of one geometry.
type Sphinx struct {
	*katzenpost.Sphinx
	keys keys
}

// Hop is one of ours with its keys as bytes, from which both implementations make
// their own.
type Hop struct {
	sphinx.Hop
	Public, Private []byte
}

// NewHop makes the keys of a hop.
func NewHop(g *sphinx.Geometry) (h Hop, err error) {
	if h.Public, h.Private, err = g.GenerateKey(); err != nil {
		return Hop{}, err
	}
	h.Key, err = g.PublicKey(h.Public)
	return h, err
}

// New returns Katzenpost's implementation with our geometry. It draws ephemeral
// keys of X25519 from random, where it uses no other source.
func New(g *sphinx.Geometry, random io.Reader) (*Sphinx, error) {
	curve := x25519.Scheme(random)
	if g.NIKEName != "" {
		geometry := geo.GeometryFromUserForwardPayloadLength(curve, g.UserPayloadLength, true, g.Hops)
		return &Sphinx{katzenpost.NewNIKESphinx(curve, geometry), nikeKeys{}}, nil
	}
	var scheme kem.Scheme
	if g.KEMName == curve.Name() {
		scheme = adapter.FromNIKE(curve)
	} else if scheme = kemschemes.ByName(g.KEMName); scheme == nil {
		return nil, fmt.Errorf("no scheme %q in Katzenpost", g.KEMName)
	}
	geometry := geo.KEMGeometryFromUserForwardPayloadLength(scheme, g.UserPayloadLength, true, g.Hops)
	return &Sphinx{katzenpost.NewKEMSphinx(scheme, geometry), kemKeys{scheme}}, nil
}

// keys makes Katzenpost's of bytes, for one of the two kinds of schemes.
type keys interface {
	setPublic(*katzenpost.PathHop, []byte) error
	private([]byte) (any, error)
}

type nikeKeys struct{}

func (nikeKeys) setPublic(h *katzenpost.PathHop, b []byte) (err error) {
	h.NIKEPublicKey, err = x25519.Scheme(nil).UnmarshalBinaryPublicKey(b)
	return err
}

func (nikeKeys) private(b []byte) (any, error) {
	return x25519.Scheme(nil).UnmarshalBinaryPrivateKey(b)
}

type kemKeys struct{ scheme kem.Scheme }

func (k kemKeys) setPublic(h *katzenpost.PathHop, b []byte) (err error) {
	h.KEMPublicKey, err = k.scheme.UnmarshalBinaryPublicKey(b)
	return err
}

func (k kemKeys) private(b []byte) (any, error) { return k.scheme.UnmarshalBinaryPrivateKey(b) }

// Path is Katzenpost's form of a path, with the commands that package sphinx
// writes.
func (s *Sphinx) Path(hops []Hop) ([]*katzenpost.PathHop, error) {
	path := make([]*katzenpost.PathHop, len(hops))
	for i, h := range hops {
		path[i] = &katzenpost.PathHop{ID: h.ID}
		if h.Reply == nil {
			path[i].Commands = append(path[i].Commands, &commands.NodeDelay{Delay: h.Delay})
		}
		if h.Recipient != nil {
			path[i].Commands = append(path[i].Commands, &commands.Recipient{ID: *h.Recipient})
		}
		if h.Reply != nil {
			path[i].Commands = append(path[i].Commands, &commands.SURBReply{ID: *h.Reply})
		}
		if err := s.keys.setPublic(path[i], h.Public); err != nil {
			return nil, fmt.Errorf("hop %d: %w", i+1, err)
		}
	}
	return path, nil
}

// PrivateKey is Katzenpost's form of a private key, for its Unwrap.
func (s *Sphinx) PrivateKey(b []byte) (any, error) { return s.keys.private(b) }

// Open unwraps a packet in place, as [sphinx.Sphinx.Unwrap] does, and tells what
// the hop learns in our form. Where Katzenpost panics, at an element of low order
// of X25519, it returns an error.
func (s *Sphinx) Open(key any, packet []byte) (u sphinx.Unwrapped, err error) {
	defer func() {
		if p := recover(); p != nil {
			u, err = sphinx.Unwrapped{}, fmt.Errorf("a panic in Katzenpost: %v", p)
		}
	}()
	payload, tag, list, err := s.Unwrap(key, packet)
	if err != nil {
		return sphinx.Unwrapped{}, err
	}
	u = sphinx.Unwrapped{Last: true, Payload: payload}
	copy(u.Tag[:], tag)
	for _, c := range list {
		switch c := c.(type) {
		case *commands.NextNodeHop:
			u.Last, u.Next, u.Payload = false, c.ID, nil
		case *commands.Recipient:
			u.HasRecipient, u.Recipient = true, c.ID
		case *commands.SURBReply:
			u.HasReply, u.Reply = true, c.ID
		case *commands.NodeDelay:
			u.HasDelay, u.Delay = true, c.Delay
		default:
			return sphinx.Unwrapped{}, fmt.Errorf("a command of type %T in Katzenpost", c)
		}
	}
	return u, nil
}
