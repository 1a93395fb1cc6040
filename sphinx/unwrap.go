package sphinx

import (
	"crypto/subtle"
	"fmt"
	"sync"
	"sync/atomic"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// Unwrapped is what one hop learns of a packet.
type Unwrapped struct {
	Tag [32]byte // replay tag: equal for equal packets under one key

	Last         bool   // this is the packet's last hop
	Next         NodeID // where it goes, if not
	Delay        uint32 // milliseconds; 0 where the hop is told none
	HasRecipient bool
	Recipient    RecipientID
	HasReply     bool // the payload is a reply's, for OpenReply
	Reply        ReplyID
	Payload      []byte // at the last hop: the plaintext, or what OpenReply takes; it points into the packet
}

// Unwrap removes this hop's layer with the node's private mix key, and fills u.
// It transforms the packet in place into the one to forward, and allocates
// nothing but what crypto/mlkem does.
//
// Every error is an ErrPacket. A packet that was not made for this key, or whose
// header was changed, fails at its MAC, and takes the same time whatever is wrong
// with it; one of a wrong length or version, or whose element is of low order,
// fails sooner, which tells its sender what it knew. Its bytes are then as they
// were. A payload that was changed is noticed at the last hop only, as the format
// intends; the packet is of no use then.
func (s *Sphinx) Unwrap(key PrivateKey, packet []byte, u *Unwrapped) error {
	g := s.geometry
	*u = Unwrapped{}
	if len(packet) != g.PacketLength {
		return errLength
	}
	if packet[0] != 0 || packet[1] != 0 {
		return errVersion
	}
	var (
		element = packet[versionLength:g.routing()]
		routing = packet[g.routing():g.mac()]
		mac     = packet[g.mac():g.HeaderLength]
		payload = packet[g.HeaderLength:]
		w       = workspaces.Get().(*workspace)
	)
	defer w.release()

	// The secret, the replay tag, and the keys that follow from the secret.
	u.Tag = replayTag(element)
	if !key.open(element, &w.secret) {
		return errElement
	}
	k := &w.keys
	k.expand(w, &w.secret, g.exchange.blinds())

	// Was the header made for this key?
	w.setKey(k.mac())
	w.hmac(&w.digest, packet[:g.mac()], nil, nil)
	if subtle.ConstantTimeCompare(mac, w.digest[:]) != 1 {
		return errMAC
	}

	// This hop's share of the routing info, and behind it the next hops', filled up
	// with the stream's end.
	all := w.buffer(g.RoutingInfoLength + g.HopLength)
	clear(all[copy(all, routing):])
	cipher.XORStream(k.stream(), k.nonce(), all)
	share, rest := all[:g.HopLength], all[g.HopLength:]
	commands, inline := share[:g.HopLength-inlined(g.exchange)], share[g.HopLength-inlined(g.exchange):]
	nextMAC, ok := parseCommands(commands, u)
	if !ok {
		return errCommands
	}

	cipher.Decrypt(k.payload(), k.nonce(), payload)
	if !u.Last {
		if g.exchange.blinds() {
			blind(element, k)
		} else {
			copy(element, inline)
		}
		copy(routing, rest)
		copy(mac, nextMAC)
		return nil
	}
	if u.HasReply {
		u.Payload = payload
		return nil
	}
	if !zero(payload[:payloadTagLength]) {
		return errPayload
	}
	u.Payload = payload[payloadTagLength:]
	return nil
}

// What can be wrong with a packet. They are made once, so that a flood of bad
// packets costs no memory.
var (
	errLength   = fmt.Errorf("unwrapping: of another geometry's length: %w", ErrPacket)
	errVersion  = fmt.Errorf("unwrapping: of an unknown version: %w", ErrPacket)
	errElement  = fmt.Errorf("unwrapping: its element is of low order: %w", ErrPacket)
	errMAC      = fmt.Errorf("unwrapping: not made for this key, or changed: %w", ErrPacket)
	errCommands = fmt.Errorf("unwrapping: commands that no sender writes: %w", ErrPacket)
	errPayload  = fmt.Errorf("unwrapping: changed in its payload: %w", ErrPacket)
)

// Packet is one packet of a batch.
type Packet struct {
	Bytes []byte
	Unwrapped
	Err error
}

// UnwrapBatch unwraps every packet of a batch, as Unwrap does, in as many
// goroutines as it is told workers. The result of each is in the packet.
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
