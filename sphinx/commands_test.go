package sphinx

import (
	"bytes"
	"testing"
)

func TestParseCommands(t *testing.T) {
	var (
		next      = append([]byte{commandNext}, bytes.Repeat([]byte{7}, NodeIDLength+macLength)...)
		recipient = append([]byte{commandRecipient}, bytes.Repeat([]byte{8}, RecipientIDLength)...)
		reply     = append([]byte{commandReply}, bytes.Repeat([]byte{9}, ReplyIDLength)...)
		delay     = []byte{commandDelay, 0, 0, 1, 2}
	)
	join := func(list ...[]byte) []byte { return bytes.Join(list, nil) }
	for _, c := range []struct {
		name string
		b    []byte
		ok   bool
	}{
		{"nothing", nil, true},
		{"zeros", make([]byte, 82), true},
		{"next", join(delay, next, make([]byte, 5)), true},
		{"recipient", join(recipient, reply), true},
		{"any order", join(reply, next), true},
		{"two delays", join(delay, delay), true},
		{"two recipients", join(recipient, recipient), true},
		{"two next hops", join(next, next), false},
		{"two replies", join(reply, reply), false},
		{"unknown", []byte{4}, false},
		{"behind the end", []byte{0, 0, 1}, false},
		{"a command behind the end", join([]byte{0}, delay), false},
		{"half a next hop", next[:40], false},
		{"half a recipient", recipient[:32], false},
		{"half a reply", reply[:16], false},
		{"half a delay", delay[:4], false},
	} {
		var u Unwrapped
		if _, ok := parseCommands(c.b, &u); ok != c.ok {
			t.Errorf("%s: %v", c.name, ok)
		}
	}
	var u Unwrapped
	mac, ok := parseCommands(join(delay, recipient, reply, next), &u)
	if !ok || u.Last || u.Delay != 0x102 || !bytes.Equal(mac, next[33:]) || !bytes.Equal(u.Next[:], next[1:33]) ||
		!u.HasRecipient || !bytes.Equal(u.Recipient[:], recipient[1:]) || !u.HasReply || !bytes.Equal(u.Reply[:], reply[1:]) {
		t.Errorf("read %+v with MAC %x", u, mac)
	}
}

// FuzzParseCommands reads any bytes. Written again in a sender's order, what was
// read reads the same.
func FuzzParseCommands(f *testing.F) {
	f.Add([]byte{commandDelay, 0, 0, 1, 2, commandNext})
	f.Add(append([]byte{commandNext}, make([]byte, NodeIDLength+macLength)...))
	f.Add(append([]byte{commandRecipient}, make([]byte, RecipientIDLength)...))
	f.Add(append([]byte{commandReply}, make([]byte, ReplyIDLength)...))
	f.Add(make([]byte, 82))
	f.Fuzz(func(t *testing.T, b []byte) {
		var u Unwrapped
		mac, ok := parseCommands(b, &u)
		if !ok {
			return
		}
		if (mac == nil) != u.Last || mac != nil && len(mac) != macLength {
			t.Fatalf("last %v with a MAC of %d bytes", u.Last, len(mac))
		}
		h, next := &Hop{Delay: u.Delay}, (*Hop)(nil)
		if u.HasRecipient {
			h.Recipient = &u.Recipient
		}
		if u.HasReply {
			h.Reply = &u.Reply
		}
		length := commandsLength(h)
		if !u.Last {
			next = &Hop{ID: u.Next}
			length += nextLength
		}
		if length > len(b) {
			t.Fatalf("%d bytes tell more than fits in them", len(b))
		}
		again := make([]byte, length)
		putCommands(again, h, next, mac)
		var v Unwrapped
		if againMAC, ok := parseCommands(again, &v); !ok || !bytes.Equal(againMAC, mac) || v.Next != u.Next || v.Delay != u.Delay ||
			v.Recipient != u.Recipient || v.Reply != u.Reply {
			t.Fatalf("%+v reads again as %+v", u, v)
		}
	})
}
