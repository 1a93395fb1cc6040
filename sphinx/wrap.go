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
	hops, err := s.header(packet[:g.HeaderLength], path)
	if err != nil {
		return nil, fmt.Errorf("wrapping a packet: %w", err)
	}
	defer clear(hops)
	body := packet[g.HeaderLength:]
	copy(body[payloadTagLength:], payload)
	for i := len(hops) - 1; i >= 0; i-- {
		k := &hops[i].keys
		cipher.Encrypt(k.payload(), k.nonce(), body)
	}
	return packet, nil
}

// NewReplyBlock makes a reply block of ReplyBlockLength bytes for path, whose
// last hop carries Recipient and Reply, and the keys that open its reply: those
// of the hops, the last first, and the answerer's.
func (s *Sphinx) NewReplyBlock(path []Hop) ([]byte, ReplyKeys, error) {
	g := s.geometry
	block := make([]byte, g.ReplyBlockLength)
	header, first, answerer := block[:g.HeaderLength], block[g.HeaderLength:][:NodeIDLength], block[g.HeaderLength+NodeIDLength:]
	rand.Read(answerer)
	hops, err := s.header(header, path)
	if err != nil {
		return nil, nil, fmt.Errorf("making a reply block: %w", err)
	}
	defer clear(hops)
	copy(first, path[0].ID[:])
	keys := make(ReplyKeys, 0, (len(hops)+1)*payloadKeyLength)
	for i := len(hops) - 1; i >= 0; i-- {
		k := &hops[i].keys
		keys = append(append(keys, k.payload()[:]...), k.nonce()[:]...)
	}
	return block, append(keys, answerer...), nil
}

// header fills a header for path, and returns what was agreed with its hops.
func (s *Sphinx) header(header []byte, path []Hop) ([]agreement, error) {
	g := s.geometry
	if err := s.check(path); err != nil {
		return nil, err
	}
	hops := make([]agreement, len(path))
	elements := make([]byte, len(path)*g.ElementLength)
	for i := range hops {
		hops[i].element = elements[i*g.ElementLength:][:g.ElementLength]
	}
	if err := g.exchange.agree(path, hops); err != nil {
		return nil, err
	}

	// Each hop's stream is longer than the routing info by one share. What lies
	// behind its end fills the gap that the hop's own share leaves: the filler that
	// a later hop will see behind its routing info, encrypted by all hops before.
	var (
		length  = g.RoutingInfoLength + g.HopLength
		streams = make([]byte, len(path)*length)
		stream  = func(i int) []byte { return streams[i*length:][:length] }
		filler  = func(i int) []byte { return stream(i)[length-(i+1)*g.HopLength:] }
	)
	defer clear(streams)
	for i := range hops {
		k := &hops[i].keys
		cipher.XORStream(k.stream(), k.nonce(), stream(i))
		if i > 0 {
			subtle.XORBytes(filler(i), filler(i), filler(i-1)) // as long as the shorter
		}
	}

	// The routing info, from the last hop, behind whose share is nothing that
	// anyone reads, to the first.
	w := workspaces.Get().(*workspace)
	defer w.release()
	routing := header[g.routing():g.mac()]
	mac := header[g.mac():]
	unused := routing[len(path)*g.HopLength:]
	rand.Read(unused)
	for i := len(path) - 1; i >= 0; i-- {
		info := routing[i*g.HopLength:]
		share := info[:g.HopLength]
		clear(share)
		var next *Hop
		if i < len(path)-1 {
			next = &path[i+1]
			copy(share[g.HopLength-inlined(g.exchange):], hops[i+1].element)
		}
		putCommands(share, &path[i], next, mac)
		subtle.XORBytes(info, info, stream(i))

		var filled []byte
		if i > 0 {
			filled = filler(i - 1)
		}
		w.setKey(hops[i].keys.mac())
		w.hmac((*[macLength]byte)(mac), version[:], hops[i].element, info, filled)
	}
	copy(header[versionLength:], hops[0].element)
	return hops, nil
}

var version [versionLength]byte

// check refuses a path that no header can hold.
func (s *Sphinx) check(path []Hop) error {
	g := s.geometry
	if len(path) == 0 || len(path) > g.Hops {
		return fmt.Errorf("path of %d hops, want 1 to %d", len(path), g.Hops)
	}
	for i := range path {
		h := &path[i]
		if h.Key == nil || h.Key.scheme() != g.exchange {
			return fmt.Errorf("hop %d has no mix key of scheme %s", i+1, g.Scheme)
		}
		need := commandsLength(h)
		if i < len(path)-1 {
			need += nextLength
		}
		if room := g.HopLength - inlined(g.exchange); need > room {
			return fmt.Errorf("hop %d is told more than fits: %d bytes, at most %d", i+1, need, room)
		}
	}
	return nil
}
