package sphinx

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// What a sender can do wrong is an error that says what, and where.
func TestSenderErrors(t *testing.T) {
	g := geometry(t, "x25519-kem", 3, 10)
	s := New(g)
	good := nodes(t, g, 3)
	other := nodes(t, geometry(t, "x25519", 3, 10), 3) // the same bytes, and another scheme's key
	endpoint, reply := new(RecipientID), new(ReplyID)
	change := func(i int, f func(h *Hop)) []Hop {
		p := path(good)
		f(&p[i])
		return p
	}
	for _, c := range []struct {
		name string
		path []Hop
		want string // in both errors
	}{
		{"none", nil, "path of 0 hops, want 1 to 3"},
		{"too long", slices.Concat(path(good), path(good)), "path of 6 hops, want 1 to 3"},
		{"no key", change(1, func(h *Hop) { h.Key = nil }), "hop 2 has no mix key of scheme x25519-kem"},
		{"another scheme's key", change(0, func(h *Hop) { h.Key = other[0].Key }), "hop 1 has no mix key of scheme x25519-kem"},
		{"a recipient on the way", change(1, func(h *Hop) { h.Recipient = endpoint }), "hop 2 of 3: the last hop has a recipient"},
		{"no recipient", change(2, func(h *Hop) { h.Recipient = nil }), "hop 3 of 3: the last hop has a recipient"},
		{"a reply on the way", change(0, func(h *Hop) { h.Reply = reply }), "hop 1 of 3: the last hop of a reply block has a reply id"},
	} {
		if _, err := s.Wrap(c.path, make([]byte, g.PayloadLength)); err == nil || !strings.Contains(err.Error(), "wrapping a packet: "+c.want) {
			t.Errorf("%s: wrapping: %v, want %q", c.name, err, c.want)
		}
		if _, _, err := s.NewReplyBlock(c.path); err == nil || !strings.Contains(err.Error(), "making a reply block: "+c.want) {
			t.Errorf("%s: a reply block: %v, want %q", c.name, err, c.want)
		}
	}

	payload := make([]byte, g.PayloadLength)
	block, keys, err := s.NewReplyBlock(change(2, func(h *Hop) { h.Reply, h.Delay = reply, 0 }))
	if err != nil {
		t.Fatal(err)
	}
	wrap := func(path []Hop, payload []byte) error { _, err := s.Wrap(path, payload); return err }
	replyBlock := func(path []Hop) error { _, _, err := s.NewReplyBlock(path); return err }
	use := func(block, payload []byte) error { _, _, err := s.UseReplyBlock(block, payload); return err }
	plain := func(block, user []byte) error { _, err := g.Plaintext(block, user); return err }
	open := func(payload []byte, keys ReplyKeys) error { _, err := s.OpenReply(payload, keys); return err }
	long := func(b []byte) []byte { return append(bytes.Clone(b), 0) }
	received := make([]byte, payloadTagLength+g.PayloadLength)
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"a reply id in a forward packet": {wrap(change(2, func(h *Hop) { h.Reply = reply }), payload), "hop 3 of 3: the last hop of a reply block has a reply id"},
		"no reply id in a reply block":   {replyBlock(path(good)), "hop 3 of 3: the last hop of a reply block has a reply id"},
		"a delay at a reply's end":       {replyBlock(change(2, func(h *Hop) { h.Reply = reply })), "hop 3 of 3: the last hop of a reply block has no delay"},
		"a short payload":                {wrap(path(good), payload[1:]), fmt.Sprintf("payload of %d bytes, want %d", g.PayloadLength-1, g.PayloadLength)},
		"a long payload":                 {wrap(path(good), long(payload)), fmt.Sprintf("payload of %d bytes, want %d", g.PayloadLength+1, g.PayloadLength)},
		"a short reply block":            {use(block[1:], nil), fmt.Sprintf("using a reply block: %d bytes, want %d", g.ReplyBlockLength-1, g.ReplyBlockLength)},
		"a long reply block":             {use(long(block), nil), fmt.Sprintf("using a reply block: %d bytes, want %d", g.ReplyBlockLength+1, g.ReplyBlockLength)},
		"a long answer":                  {use(block, long(payload)), fmt.Sprintf("payload of %d bytes, at most %d fit", g.PayloadLength+1, g.PayloadLength)},
		"a short reply block to send":    {plain(block[1:], nil), fmt.Sprintf("reply block of %d bytes, want %d", g.ReplyBlockLength-1, g.ReplyBlockLength)},
		"no reply block to send":         {plain(nil, nil), fmt.Sprintf("reply block of 0 bytes, want %d", g.ReplyBlockLength)},
		"a long user payload":            {plain(block, make([]byte, 11)), "11 bytes, at most 10 fit"},
		"no keys":                        {open(received, nil), errReplyKeys.Error()},
		"half a key":                     {open(received, bytes.Clone(keys[1:])), errReplyKeys.Error()},
		"used keys":                      {open(received, make(ReplyKeys, len(keys))), errReplyKeys.Error()},
		"a short reply":                  {open(received[1:], bytes.Clone(keys)), errReply.Error()},
		"a long reply":                   {open(long(received), bytes.Clone(keys)), errReply.Error()},
		"another reply":                  {open(received, bytes.Clone(keys)), errReply.Error()},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	for _, err := range []error{errReply, errLength, errVersion, errElement, errMAC, errCommands, errPayload} {
		if !errors.Is(err, ErrPacket) {
			t.Errorf("%v is not an ErrPacket", err)
		}
	}
	if errors.Is(errReplyKeys, ErrPacket) {
		t.Error("keys that were used are not the packet's fault")
	}
}
