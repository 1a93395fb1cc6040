package sphinx

import "encoding/binary"

// What a hop's routing info tells it: commands, each a byte and what follows of
// it, then zeros (Katzenpost core/sphinx/commands).
const (
	commandEnd       = 0x00 // and nothing but zeros behind it
	commandNext      = 0x01 // the next node's NodeID, and the MAC of its header
	commandRecipient = 0x02 // a RecipientID
	commandReply     = 0x03 // a ReplyID
	commandDelay     = 0x80 // milliseconds in 4 bytes, big-endian
)

// putCommands writes a hop's commands to its share, of zeros: a delay but at the
// last hop of a reply, and at the end the next hop and the MAC of its header where
// there is one.
func putCommands(share []byte, h, next *Hop, mac []byte) {
	put := func(command byte, arguments ...[]byte) {
		share[0] = command
		share = share[1:]
		for _, a := range arguments {
			share = share[copy(share, a):]
		}
	}
	if h.Reply == nil {
		put(commandDelay, binary.BigEndian.AppendUint32(nil, h.Delay))
	}
	if h.Recipient != nil {
		put(commandRecipient, h.Recipient[:])
	}
	if h.Reply != nil {
		put(commandReply, h.Reply[:])
	}
	if next != nil {
		put(commandNext, next.ID[:], mac)
	}
}

// parseCommands reads a hop's commands into u, and returns the MAC of the next
// hop's header, nil at the last hop. Like Katzenpost's parser it refuses an
// unknown command, one that is cut off, a second next hop or reply, and bytes
// behind the end. Of other commands that come twice the last counts.
func parseCommands(b []byte, u *Unwrapped) (mac []byte, ok bool) {
	for len(b) > 0 && b[0] != commandEnd {
		command := b[0]
		b = b[1:]
		switch {
		case command == commandNext && len(b) >= NodeIDLength+macLength && mac == nil:
			u.Next = NodeID(b)
			mac = b[NodeIDLength:][:macLength]
			b = b[NodeIDLength+macLength:]
		case command == commandRecipient && len(b) >= RecipientIDLength:
			u.Recipient, u.HasRecipient = RecipientID(b), true
			b = b[RecipientIDLength:]
		case command == commandReply && len(b) >= ReplyIDLength && !u.HasReply:
			u.Reply, u.HasReply = ReplyID(b), true
			b = b[ReplyIDLength:]
		case command == commandDelay && len(b) >= 4:
			u.Delay, u.HasDelay = binary.BigEndian.Uint32(b), true
			b = b[4:]
		default:
			return nil, false
		}
	}
	u.Last = mac == nil
	return mac, zero(b)
}
