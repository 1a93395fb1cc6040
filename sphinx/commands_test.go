package sphinx

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/katzenpost/katzenpost/core/sphinx/commands"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
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
	if !ok || u.Last || !u.HasDelay || u.Delay != 0x102 || !bytes.Equal(mac, next[33:]) || !bytes.Equal(u.Next[:], next[1:33]) ||
		!u.HasRecipient || !bytes.Equal(u.Recipient[:], recipient[1:]) || !u.HasReply || !bytes.Equal(u.Reply[:], reply[1:]) {
		t.Errorf("read %+v with MAC %x", u, mac)
	}
}

// What a sender writes the hop reads, in every place of a path.
func TestPutCommands(t *testing.T) {
	var (
		recipient, reply = RecipientID{8}, ReplyID{9}
		next             = &Hop{ID: NodeID{7}}
		mac              = bytes.Repeat([]byte{6}, macLength)
	)
	for _, c := range []struct {
		name    string
		h, next *Hop
		want    Unwrapped
	}{
		{"on the way", &Hop{Delay: 0x01020304}, next, Unwrapped{HasDelay: true, Delay: 0x01020304, Next: next.ID}},
		{"on the way, no time", &Hop{}, next, Unwrapped{HasDelay: true, Next: next.ID}},
		{"the last", &Hop{Delay: 5, Recipient: &recipient}, nil, Unwrapped{Last: true, HasDelay: true, Delay: 5, HasRecipient: true, Recipient: recipient}},
		{"the last of a reply", &Hop{Recipient: &recipient, Reply: &reply}, nil, Unwrapped{Last: true, HasRecipient: true, Recipient: recipient, HasReply: true, Reply: reply}},
	} {
		share := make([]byte, commandsLength)
		putCommands(share, c.h, c.next, mac)
		var got Unwrapped
		gotMAC, ok := parseCommands(share, &got)
		if !ok || !reflect.DeepEqual(got, c.want) || c.next != nil && !bytes.Equal(gotMAC, mac) {
			t.Errorf("%s: %v, %+v with MAC %x, want %+v", c.name, ok, got, gotMAC, c.want)
		}
	}
}

// FuzzParseCommands reads any bytes, and finds in them what Katzenpost's parser
// finds, which a hop of its calls again for each command.
func FuzzParseCommands(f *testing.F) {
	f.Add([]byte{commandDelay, 0, 0, 1, 2, commandNext})
	f.Add(append([]byte{commandNext}, make([]byte, NodeIDLength+macLength)...))
	f.Add(append([]byte{commandRecipient}, make([]byte, RecipientIDLength)...))
	f.Add(append([]byte{commandReply}, make([]byte, ReplyIDLength)...))
	f.Add(make([]byte, commandsLength))
	theirs := &geo.Geometry{NextNodeHopLength: nextLength}
	f.Fuzz(func(t *testing.T, b []byte) {
		want, wantMAC, wantOK := Unwrapped{Last: true}, []byte(nil), true
		for rest := b; wantOK; {
			command, behind, err := commands.FromBytes(rest, theirs)
			if command == nil && err == nil {
				break
			}
			wantOK = err == nil
			switch c := command.(type) {
			case *commands.NextNodeHop:
				wantOK = wantOK && want.Last // no second one
				want.Last, want.Next, wantMAC = false, c.ID, c.MAC[:]
			case *commands.Recipient:
				want.HasRecipient, want.Recipient = true, c.ID
			case *commands.SURBReply:
				wantOK = wantOK && !want.HasReply // no second one
				want.HasReply, want.Reply = true, c.ID
			case *commands.NodeDelay:
				want.HasDelay, want.Delay = true, c.Delay
			}
			rest = behind
		}
		var got Unwrapped
		mac, ok := parseCommands(b, &got)
		if ok != wantOK {
			t.Fatalf("we say %v, Katzenpost %v", ok, wantOK)
		}
		if ok && (!reflect.DeepEqual(got, want) || !bytes.Equal(mac, wantMAC)) {
			t.Fatalf("we read %+v with MAC %x, Katzenpost %+v with %x", got, mac, want, wantMAC)
		}
	})
}
