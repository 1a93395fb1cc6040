package sphinx

import (
	"crypto/rand"
	"crypto/subtle"
	"fmt"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// Wrap makes a packet of PacketLength bytes that carries a payload of exactly
// PayloadLength bytes along path.
func (s *Sphinx) Wrap(path []Hop, payload []byte) ([]byte, error) {
	g := s.geometry
	if len(payload) != g.PayloadLength {
		return nil, fmt.Errorf("wrapping a packet: payload of %d bytes, want %d", len(payload), g.PayloadLength)
	}
	packet := make([]byte, g.PacketLength)
	hops, err := g.header(packet[:g.HeaderLength], path, false)
	if err != nil {
		return nil, fmt.Errorf("wrapping a packet: %w", err)
	}
	defer clear(hops)
	body := packet[g.HeaderLength:]
	copy(body[payloadTagLength:], payload)
	for i := len(hops) - 1; i >= 0; i-- {
		k := &hops[i].keys
		cipher.Encrypt(k.payloadKey(), k.nonce(), body)
	}
	return packet, nil
}

// header fills a header, of a reply block or not, for path, and returns what was
// agreed with its hops.
func (g *Geometry) header(header []byte, path []Hop, reply bool) ([]agreement, error) {
	if err := g.check(path, reply); err != nil {
		return nil, err
	}
	w := workspaces.Get().(*workspace)
	defer w.release()
	hops := make([]agreement, len(path))
	for i := range hops {
		hops[i].element = make([]byte, g.ElementLength)
	}
	if err := g.exchange.agree(w, path, hops); err != nil {
		clear(hops)
		return nil, err
	}
	streams := g.streams(hops)
	defer clear(streams.bytes)
	copy(header[versionLength:], hops[0].element)
	g.routingInfo(header[g.routingOffset():g.macOffset()], header[g.macOffset():], path, hops, streams, w)
	return hops, nil
}

// check refuses a path that breaks the rules of Hop.
func (g *Geometry) check(path []Hop, reply bool) error {
	if len(path) == 0 || len(path) > g.Hops {
		return fmt.Errorf("path of %d hops, want 1 to %d", len(path), g.Hops)
	}
	for i := range path {
		h, last := &path[i], i == len(path)-1
		switch {
		case h.Key == nil || h.Key.scheme() != g.exchange:
			return fmt.Errorf("hop %d has no mix key of scheme %s", i+1, g.Scheme)
		case (h.Recipient != nil) != last:
			return fmt.Errorf("hop %d of %d: the last hop has a recipient, and no other", i+1, len(path))
		case (h.Reply != nil) != (last && reply):
			return fmt.Errorf("hop %d of %d: the last hop of a reply block has a reply id, and no other", i+1, len(path))
		case h.Reply != nil && h.Delay != 0:
			return fmt.Errorf("hop %d of %d: the last hop of a reply block has no delay", i+1, len(path))
		}
	}
	return nil
}

// streams are the output of the hops' ρ. Each is longer than the routing info by
// one share. What lies behind its end fills the gap that the hop's own share
// leaves: the filler that a later hop will see behind its routing info, encrypted
// by all hops before (φ in the paper).
type streams struct {
	bytes         []byte
	length, share int // of each stream, and of a hop's share
}

func (s *streams) of(i int) []byte     { return s.bytes[i*s.length:][:s.length] }
func (s *streams) filler(i int) []byte { return s.of(i)[s.length-(i+1)*s.share:] }

func (g *Geometry) streams(hops []agreement) *streams {
	s := &streams{length: g.RoutingInfoLength + g.HopInfoLength, share: g.HopInfoLength}
	s.bytes = make([]byte, len(hops)*s.length)
	for i := range hops {
		k := &hops[i].keys
		cipher.XORStream(k.streamKey(), k.nonce(), s.of(i))
		if i > 0 {
			subtle.XORBytes(s.filler(i), s.filler(i), s.filler(i-1)) // as long as the shorter
		}
	}
	return s
}

// routingInfo fills a header's routing info and MAC (β and γ in the paper) from
// the last hop, behind whose share is nothing that anyone reads, to the first.
func (g *Geometry) routingInfo(routing, mac []byte, path []Hop, hops []agreement, streams *streams, w *workspace) {
	rand.Read(routing[len(path)*g.HopInfoLength:])
	var next *Hop
	for i := len(path) - 1; i >= 0; i-- {
		info := routing[i*g.HopInfoLength:]
		share := info[:g.HopInfoLength]
		clear(share)
		var inline, filler []byte
		if next != nil {
			inline = hops[i+1].element
		}
		if i > 0 {
			filler = streams.filler(i - 1)
		}
		putCommands(share, &path[i], next, mac)
		copy(share[commandsLength:], inline) // where there is room, in a KEM's
		subtle.XORBytes(info, info, streams.of(i))

		w.setKey(hops[i].keys.macKey()[:])
		w.hmac((*[macLength]byte)(mac), version[:], hops[i].element, info, filler)
		next = &path[i]
	}
}

var version [versionLength]byte
