package sphinx

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
	"codeberg.org/sourdine/sourdine/sphinx/internal/x25519"
)

// retold is a packet whose first hop is told other commands, under a MAC that is
// right. private is that hop's key.
func retold(t *testing.T, g *Geometry, private PrivateKey, packet []byte, commands []byte) []byte {
	t.Helper()
	w := workspaces.Get().(*workspace)
	defer w.release()
	packet = bytes.Clone(packet)
	secret := w.secret[:g.secretLength]
	if !private.sharedSecret(packet[versionLength:g.routingOffset()], secret) {
		t.Fatal("there is no secret")
	}
	w.keys.derive(w, secret, g.exchange.blinds())
	routing := packet[g.routingOffset():g.macOffset()]
	cipher.XORStream(w.keys.streamKey(), w.keys.nonce(), routing)
	clear(routing[:commandsLength])
	copy(routing, commands)
	cipher.XORStream(w.keys.streamKey(), w.keys.nonce(), routing)
	w.setKey(w.keys.macKey()[:])
	w.hmac((*[sha256.Size]byte)(packet[g.macOffset():]), packet[:g.macOffset()])
	return packet
}

// Everything that can be wrong with a packet has its error, and leaves the bytes
// as they were but where the payload is wrong.
func TestUnwrapRefuses(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 3, 100)
		s := New(g)
		list := nodes(t, g, 3)
		packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		short, err := s.Wrap(path(list[2:]), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		with := func(packet []byte, change func(p []byte)) []byte {
			p := bytes.Clone(packet)
			change(p)
			return p
		}
		first, last := list[0].private, list[2].private
		for _, c := range []struct {
			name   string
			key    PrivateKey
			packet []byte
			want   error
		}{
			{"short", first, packet[:len(packet)-1], errLength},
			{"long", first, append(bytes.Clone(packet), 0), errLength},
			{"empty", first, nil, errLength},
			{"version", first, with(packet, func(p []byte) { p[0] ^= 1 }), errVersion},
			{"version, second byte", first, with(packet, func(p []byte) { p[1] ^= 0x80 }), errVersion},
			{"routing info", first, with(packet, func(p []byte) { p[g.routingOffset()] ^= 1 }), errMAC},
			{"MAC", first, with(packet, func(p []byte) { p[g.HeaderLength-1] ^= 1 }), errMAC},
			{"another hop's key", last, packet, errMAC},
			{"unknown command", first, retold(t, g, first, packet, []byte{4}), errCommands},
			{"bytes behind the end", first, retold(t, g, first, packet, []byte{0, 1}), errCommands},
			{"two replies", first, retold(t, g, first, packet, bytes.Repeat(append([]byte{commandReply}, make([]byte, ReplyIDLength)...), 2)), errCommands},
			{"cut off", first, retold(t, g, first, packet, bytes.Repeat([]byte{commandDelay}, commandsLength)), errCommands},
			{"payload", last, with(short, func(p []byte) { p[len(p)-1] ^= 1 }), errPayload},
			{"payload tag", last, with(short, func(p []byte) { p[g.HeaderLength] ^= 1 }), errPayload},
		} {
			before := bytes.Clone(c.packet)
			err := s.Unwrap(c.key, c.packet, new(Unwrapped))
			if err != c.want || !errors.Is(err, ErrPacket) {
				t.Errorf("%s: %s: %v, want %v", scheme, c.name, err, c.want)
			}
			if c.want != errPayload && !bytes.Equal(c.packet, before) {
				t.Errorf("%s: %s: the packet was changed", scheme, c.name)
			}
		}
	}
}

// A key of another scheme, none, and one that was wiped are not the packet's
// fault, and no reason to panic.
func TestUnwrapRefusesKeys(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 2, 1)
		s := New(g)
		keys := []PrivateKey{nil}
		for _, other := range Schemes() {
			key := nodes(t, geometry(t, other, 1, 1), 1)[0].private
			if other == scheme {
				key.Wipe()
				key.Wipe() // again is no harm
			}
			keys = append(keys, key)
		}
		for i, key := range keys {
			batch := []Packet{{Bytes: make([]byte, g.PacketLength)}}
			if s.UnwrapBatch(key, batch, 1); batch[0].Err != errKey || errors.Is(batch[0].Err, ErrPacket) {
				t.Errorf("%s: key %d: %v", scheme, i, batch[0].Err)
			}
		}
	}
}

// Nothing of a key is left after Wipe but what belongs to crypto/mlkem.
func TestWipe(t *testing.T) {
	for _, scheme := range Schemes() {
		key := nodes(t, geometry(t, scheme, 1, 1), 1)[0].private
		if reflect.ValueOf(key).Elem().IsZero() {
			t.Fatalf("%s: there is nothing to wipe", scheme)
		}
		key.Wipe()
		left := reflect.ValueOf(key).Elem()
		if scheme == "Xwing" {
			left = left.FieldByName("k").Elem() // the rest of the key says nothing
		}
		if !left.IsZero() {
			t.Errorf("%s: after Wipe there is %v", scheme, key)
		}
	}
}

// An element of low order is refused by a hop, and a key of low order by whoever
// reads it and, were it there, by a sender, in every scheme that has a curve.
func TestLowOrder(t *testing.T) {
	for _, scheme := range []string{"x25519", "x25519-kem", "Xwing"} {
		g := geometry(t, scheme, 2, 1)
		s := New(g)
		list := nodes(t, g, 2)
		packet, err := s.Wrap(path(list), make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		public, _, err := g.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range [][x25519.Size]byte{{0}, {1}} {
			copy(packet[g.routingOffset()-x25519.Size:], u[:])
			if err := s.Unwrap(list[0].private, packet, new(Unwrapped)); err != errElement {
				t.Errorf("%s: element %x: %v", scheme, u, err)
			}
			copy(public[len(public)-x25519.Size:], u[:])
			if _, err := g.PublicKey(public); !errors.Is(err, x25519.ErrLowOrder) {
				t.Errorf("%s: key %x: %v", scheme, u, err)
			}
		}
		switch key := list[1].Key.(type) {
		case *curvePublic:
			clear(key.u[:])
		default:
			continue // internal/xwing tests its own
		}
		want := "hop 2: it is of low order"
		if _, err := s.Wrap(path(list), make([]byte, g.PayloadLength)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: wrapping for a key of low order: %v", scheme, err)
		}
		if _, _, err := s.NewReplyBlock(backwards(list)); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: a reply block for a key of low order: %v", scheme, err)
		}
	}
}

// A batch is unwrapped as its packets are one by one, good or bad, whoever does
// it.
func TestUnwrapBatch(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 3, 10)
		s := New(g)
		list := nodes(t, g, 3)
		key := list[0].private
		var packets [][]byte
		for i := range 24 {
			hops := path(list)
			if i%4 == 3 {
				hops = path(append(list[:0:0], list[2], list[1])) // not made for the key
				hops[0].Recipient, hops[1].Recipient = nil, hops[0].Recipient
			}
			packet, err := s.Wrap(hops, bytes.Repeat([]byte{byte(i)}, g.PayloadLength))
			if err != nil {
				t.Fatal(err)
			}
			switch i % 4 {
			case 1:
				packet = packet[i:]
			case 2:
				packet[g.HeaderLength-1] ^= 1
			}
			packets = append(packets, packet)
		}
		last, err := s.Wrap([]Hop{{Key: list[0].Key, Recipient: new(RecipientID)}}, make([]byte, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, last, last[:0])
		for _, packets := range [][][]byte{packets, packets[:1], nil} {
			var want []Packet
			for _, packet := range packets {
				p := Packet{Bytes: bytes.Clone(packet)}
				p.Err = s.Unwrap(key, p.Bytes, &p.Unwrapped)
				want = append(want, p)
			}
			for _, workers := range []int{-1, 0, 1, 2, 5, len(packets) + 3} {
				var batch []Packet
				for _, packet := range packets {
					batch = append(batch, Packet{Bytes: bytes.Clone(packet), Err: errKey}) // what stood there before
				}
				s.UnwrapBatch(key, batch, workers)
				if !reflect.DeepEqual(batch, want) {
					t.Errorf("%s: a batch of %d with %d workers differs", scheme, len(packets), workers)
				}
			}
			if len(want) > 4 && !(want[0].Err == nil && want[1].Err == errLength && want[2].Err == errMAC && want[3].Err == errMAC) {
				t.Errorf("%s: the packets are not good and bad: %v", scheme, want[:4])
			}
		}
	}
}

// Two that unwrap at once with one key do not meet.
func TestUnwrapConcurrently(t *testing.T) {
	g := geometry(t, DefaultScheme, 2, 100)
	s := New(g)
	list := nodes(t, g, 2)
	batch := make([]Packet, 40)
	for i := range batch {
		packet, err := s.Wrap(path(list), bytes.Repeat([]byte{byte(i)}, g.PayloadLength))
		if err != nil {
			t.Fatal(err)
		}
		batch[i].Bytes = packet
	}
	for _, n := range list {
		s.UnwrapBatch(n.private, batch, 4)
	}
	for i, p := range batch {
		if p.Err != nil || !bytes.Equal(p.Payload, bytes.Repeat([]byte{byte(i)}, g.PayloadLength)) {
			t.Errorf("packet %d: %v", i, p.Err)
		}
	}
}

// Keys of a wrong length are refused.
func TestKeyLengths(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 1, 1)
		public, private, err := g.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{0, 1, len(public) - 1, len(public) + 1} {
			if _, err := g.PublicKey(append(bytes.Clone(public), 0)[:n]); err == nil {
				t.Errorf("%s: a public key of %d bytes was read", scheme, n)
			}
		}
		for _, n := range []int{0, 1, len(private) - 1, len(private) + 1} {
			if _, err := g.PrivateKey(append(bytes.Clone(private), 0)[:n]); err == nil {
				t.Errorf("%s: a private key of %d bytes was read", scheme, n)
			}
		}
	}
}
