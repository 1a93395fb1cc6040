package sphinx

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// Unwrapped is what one hop learns of a packet. On an error nothing in it counts.
type Unwrapped struct {
	Tag [32]byte // replay tag: equal for equal packets under one key

	Last         bool   // this is the packet's last hop
	Next         NodeID // where it goes, if not
	HasDelay     bool
	Delay        uint32 // milliseconds
	HasRecipient bool
	Recipient    RecipientID
	HasReply     bool // the payload is a reply's, for OpenReply
	Reply        ReplyID
	Payload      []byte // at the last hop: the plaintext, or what OpenReply takes; it points into the packet
}

// Unwrap removes this hop's layer with the node's private mix key, and fills u.
// It transforms the packet in place into the one to forward. On amd64 with AES and
// AVX it allocates nothing, whatever the packet, but what crypto/mlkem does;
// docs/sphinx.md says how much that is, and what it is elsewhere.
//
// A key that is of another scheme, or was wiped, is an error of its own. Every
// other error is an ErrPacket. A packet that was not made for this key, or whose
// header was changed, fails at its MAC, and takes the same time whatever is wrong
// with it; one of a wrong length or version, or whose element is of low order,
// fails sooner, which tells its sender what it knew. Its bytes are then as they
// were. A payload that was changed is noticed at the last hop only, as the format
// intends; the packet is of no use then.
func (s *Sphinx) Unwrap(key PrivateKey, packet []byte, u *Unwrapped) error {
	g := s.geometry
	*u = Unwrapped{}
	switch {
	case key == nil || key.scheme() != g.exchange:
		return errKey
	case len(packet) != g.PacketLength:
		return errLength
	case [versionLength]byte(packet) != version:
		return errVersion
	}
	var (
		element = packet[versionLength:g.routingOffset()]
		routing = packet[g.routingOffset():g.macOffset()]
		mac     = packet[g.macOffset():g.HeaderLength]
		payload = packet[g.HeaderLength:]
		w       = workspaces.Get().(*workspace)
		k       = &w.keys
	)
	defer w.release()

	// The replay tag, the secret, and the keys that follow from it.
	u.Tag = replayTag(element)
	secret := w.secret[:g.secretLength]
	if !key.sharedSecret(element, secret) {
		return errElement
	}
	k.derive(w, secret, g.exchange.blinds())

	// Was the header made for this key?
	w.setKey(k.macKey()[:])
	w.hmac(&w.digest, packet[:g.macOffset()])
	if subtle.ConstantTimeCompare(mac, w.digest[:]) != 1 {
		return errMAC
	}

	// This hop's share of the routing info, and behind it the next hops', filled up
	// with the stream's end.
	n := g.RoutingInfoLength + g.HopInfoLength
	w.routing = slices.Grow(w.routing[:0], n)[:n]
	all := w.routing
	clear(all[copy(all, routing):])
	cipher.XORStream(k.streamKey(), k.nonce(), all)
	share, rest := all[:g.HopInfoLength], all[g.HopInfoLength:]
	nextMAC, ok := parseCommands(share[:commandsLength], u)
	if !ok {
		return errCommands
	}

	cipher.Decrypt(k.payloadKey(), k.nonce(), payload)
	switch {
	case !u.Last:
		g.exchange.nextElement(element, share[commandsLength:], k)
		copy(routing, rest)
		copy(mac, nextMAC)
	case u.HasReply:
		u.Payload = payload
	case !zero(payload[:payloadTagLength]):
		return errPayload
	default:
		u.Payload = payload[payloadTagLength:]
	}
	return nil
}

var errKey = errors.New("unwrapping: the key is of another scheme, or was wiped")

// What can be wrong with a packet. They are made once, so that a flood of bad
// packets makes no garbage of ours.
var (
	errLength   = fmt.Errorf("unwrapping: of another geometry's length: %w", ErrPacket)
	errVersion  = fmt.Errorf("unwrapping: of an unknown version: %w", ErrPacket)
	errElement  = fmt.Errorf("unwrapping: its element is of low order: %w", ErrPacket)
	errMAC      = fmt.Errorf("unwrapping: not made for this key, or changed: %w", ErrPacket)
	errCommands = fmt.Errorf("unwrapping: commands that no sender writes: %w", ErrPacket)
	errPayload  = fmt.Errorf("unwrapping: changed in its payload: %w", ErrPacket)
)

// Packet is one packet of a batch. No two may share bytes.
type Packet struct {
	Bytes []byte
	Unwrapped
	Err error
}

// UnwrapBatch unwraps every packet of a batch, as Unwrap does, in as many
// goroutines as it is told workers, at least one. The result of each is in the
// packet.
func (s *Sphinx) UnwrapBatch(key PrivateKey, batch []Packet, workers int) {
	var (
		next    atomic.Int64
		running sync.WaitGroup
	)
	work := func() {
		for {
			i := int(next.Add(1)) - 1
			if i >= len(batch) {
				return
			}
			p := &batch[i]
			p.Err = s.Unwrap(key, p.Bytes, &p.Unwrapped)
		}
	}
	for range min(workers, len(batch)) - 1 {
		running.Go(work)
	}
	work()
	running.Wait()
}
