package sphinx_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"gitlab.com/yawning/aez.git"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// small is a geometry of each scheme with packets that a fuzzer fills.
func small(t testing.TB, scheme string) *sphinx.Geometry {
	t.Helper()
	g, err := sphinx.NewGeometry(scheme, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// pick maps a fuzzer's byte to a scheme.
func pick(b byte) int { return int(b) % len(sphinx.Schemes()) }

// FuzzUnwrap gives a hop any bytes. They are refused, unchanged, unless they are
// a packet of its; Katzenpost says the same of every packet of the right length.
func FuzzUnwrap(f *testing.F) {
	var list []*both
	for i, scheme := range sphinx.Schemes() {
		b := newBoth(f, small(f, scheme), 2, false)
		list = append(list, b)
		packet, err := b.ours.Wrap(b.path, make([]byte, b.geometry.PayloadLength))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(byte(i), packet)
		f.Add(byte(i), packet[1:])
		f.Add(byte(i), append(packet, 0))
		f.Add(byte(i), make([]byte, len(packet)))
	}
	f.Fuzz(func(t *testing.T, scheme byte, packet []byte) {
		b := list[pick(scheme)]
		ours, theirs := bytes.Clone(packet), bytes.Clone(packet)
		var u sphinx.Unwrapped
		err := b.ours.Unwrap(b.keys[0], ours, &u)
		if len(packet) != b.geometry.PacketLength {
			if err == nil {
				t.Fatalf("%d bytes were unwrapped", len(packet))
			}
			return
		}
		want, theirErr := b.theirs.Open(b.theirKeys[0], theirs)
		agree(t, &u, err, ours, &want, theirErr, theirs)
		if err != nil && !bytes.Equal(ours, packet) {
			t.Fatal("a packet that was refused at its MAC was changed")
		}
	})
}

// agree fails if we and Katzenpost make different things of a packet.
func agree(t *testing.T, u *sphinx.Unwrapped, err error, packet []byte, theirs *sphinx.Unwrapped, theirErr error, theirPacket []byte) {
	t.Helper()
	if (err == nil) != (theirErr == nil) {
		t.Fatalf("we say %v, Katzenpost %v", err, theirErr)
	}
	if err != nil {
		return
	}
	if difference := compare(u, theirs); difference != "" {
		t.Fatal(difference)
	}
	if !u.Last && !bytes.Equal(packet, theirPacket) {
		t.Fatal("the packet goes on with other bytes than Katzenpost's")
	}
}

// forge makes a packet that passes the MAC of a hop of scheme x25519 and tells it
// any bytes: what only a sender who breaks the rules makes. It follows
// docs/sphinx.md and uses nothing of ours.
func forge(t testing.TB, g *sphinx.Geometry, public []byte, share, payload []byte) []byte {
	t.Helper()
	hop, err := ecdh.X25519().NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	mine, err := ecdh.X25519().NewPrivateKey(bytes.Repeat([]byte{42}, 32))
	if err != nil {
		t.Fatal(err)
	}
	secret, err := mine.ECDH(hop)
	if err != nil {
		t.Fatal(err)
	}
	k, err := hkdf.Expand(sha256.New, secret, "katzenpost-kdf-v0-hkdf-sha256", 160)
	if err != nil {
		t.Fatal(err)
	}
	packet := make([]byte, g.PacketLength)
	copy(packet[2:], mine.PublicKey().Bytes())
	routing := packet[2+g.ElementLength:][:g.RoutingInfoLength]
	copy(routing[:g.HopLength], share)
	block, err := aes.NewCipher(k[32:64])
	if err != nil {
		t.Fatal(err)
	}
	cipher.NewCTR(block, k[64:80]).XORKeyStream(routing, routing)
	mac := hmac.New(sha256.New, k[:32])
	mac.Write(packet[:g.HeaderLength-32])
	copy(packet[g.HeaderLength-32:], mac.Sum(nil))
	body := make([]byte, g.PacketLength-g.HeaderLength)
	copy(body, payload)
	copy(packet[g.HeaderLength:], aez.Encrypt(k[80:128], k[64:80], nil, 0, body, nil))
	return packet
}

// FuzzKatzenpost is the differential target: a hop is told any commands and gets
// any payload, under a MAC that is right, and finds the same in it as
// Katzenpost.
func FuzzKatzenpost(f *testing.F) {
	g := small(f, "x25519")
	b := newBoth(f, g, 1, false)
	next := append([]byte{1}, bytes.Repeat([]byte{7}, 64)...)
	recipient := append([]byte{2}, bytes.Repeat([]byte{8}, 32)...)
	reply := append([]byte{3}, bytes.Repeat([]byte{9}, 16)...)
	delay := []byte{0x80, 0, 0, 1, 2}
	for _, share := range [][]byte{
		nil, next, recipient, reply, delay,
		bytes.Join([][]byte{delay, next}, nil),
		bytes.Join([][]byte{delay, recipient, reply}, nil),
		bytes.Join([][]byte{recipient, recipient}, nil),
		bytes.Join([][]byte{reply, reply}, nil),
		bytes.Join([][]byte{delay, delay, {0, 1}}, nil),
		bytes.Join([][]byte{reply, next}, nil),
		{4}, {0, 0, 1}, bytes.Repeat([]byte{0x80}, g.HopLength),
	} {
		f.Add(share, []byte{})
		f.Add(share, []byte{1})
	}
	f.Fuzz(func(t *testing.T, share, payload []byte) {
		ours := forge(t, g, b.hops[0].Public, share, payload)
		theirs := bytes.Clone(ours)
		var u sphinx.Unwrapped
		err := b.ours.Unwrap(b.keys[0], ours, &u)
		want, theirErr := b.theirs.Open(b.theirKeys[0], theirs)
		agree(t, &u, err, ours, &want, theirErr, theirs)
	})
}

// FuzzOpenReply opens any bytes with any keys. Where lengths are right, Katzenpost
// finds the same.
func FuzzOpenReply(f *testing.F) {
	g := small(f, "x25519")
	b := newBoth(f, g, 2, true)
	block, keys, err := b.ours.NewReplyBlock(b.path)
	if err != nil {
		f.Fatal(err)
	}
	packet, _, err := b.ours.UseReplyBlock(block, []byte("yes"))
	if err != nil {
		f.Fatal(err)
	}
	var u sphinx.Unwrapped
	for _, key := range b.keys {
		if err := b.ours.Unwrap(key, packet, &u); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(u.Payload, []byte(keys))
	f.Add(u.Payload, []byte(keys[:64]))
	f.Add(u.Payload[1:], []byte(keys))
	f.Add(u.Payload, []byte(keys[1:]))
	f.Add(u.Payload, []byte{})
	f.Fuzz(func(t *testing.T, payload, keys []byte) {
		if len(keys) > 64*sphinx.MaxHops {
			return
		}
		ours, err := b.ours.OpenReply(bytes.Clone(payload), bytes.Clone(keys))
		if len(payload) != g.PayloadTagLength+g.PayloadLength {
			if err == nil {
				t.Fatalf("a reply of %d bytes was opened", len(payload))
			}
			return
		}
		theirs, theirErr := b.theirs.DecryptSURBPayload(bytes.Clone(payload), bytes.Clone(keys))
		if (err == nil) != (theirErr == nil) || !bytes.Equal(ours, theirs) {
			t.Fatalf("we open %x, %v, Katzenpost %x, %v", ours, err, theirs, theirErr)
		}
	})
}

// FuzzParseGeometry reads any text. What is accepted is a geometry of ours, and
// Katzenpost calls it the same.
func FuzzParseGeometry(f *testing.F) {
	for _, scheme := range sphinx.Schemes() {
		p, err := peer.New(small(f, scheme), rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		text := p.Geometry().Display()
		f.Add(text)
		f.Add(text + "Extra = 1\n")
		f.Add(text[:len(text)/2])
	}
	f.Add("SphinxGeometry = 1")
	f.Add("[SphinxGeometry]\nNIKEName = \"x25519\"\nNrHops = -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		g, err := sphinx.ParseGeometry([]byte(text))
		if err != nil {
			return
		}
		want, err := sphinx.NewGeometry(g.Scheme, g.Hops, g.UserPayloadLength)
		if err != nil {
			t.Fatalf("read, but cannot be made: %v", err)
		}
		want.NIKEName, want.KEMName = g.NIKEName, g.KEMName
		if *g != *want {
			t.Fatalf("read as %+v, want %+v", g, want)
		}
		g.Hash()
	})
}
