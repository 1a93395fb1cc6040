package sphinx_test

import (
	"bytes"
	"crypto/mlkem"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/katzenpost/hpqc/kem/xwing"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"gitlab.com/yawning/aez.git"
	"golang.org/x/crypto/curve25519"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// The targets work on the smallest geometries, which a fuzzer fills soonest, and
// with keys that are the same in every run: else what is kept in testdata/fuzz
// would be for no key at all.

func smallest(t testing.TB, scheme string, hops int) *sphinx.Geometry {
	t.Helper()
	g, err := sphinx.NewGeometry(scheme, hops, 1)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// fixed is a path of one hop that is the same in every run.
func fixed(t testing.TB, g *sphinx.Geometry) *both {
	t.Helper()
	var public, private []byte
	seed := bytes.Repeat([]byte{7}, 64)
	switch g.Scheme {
	case "MLKEM768":
		k, err := mlkem.NewDecapsulationKey768(seed)
		if err != nil {
			t.Fatal(err)
		}
		public = k.EncapsulationKey().Bytes()
		private = append(bytes.Clone(public), seed...)
	case "Xwing":
		p, _ := xwing.Scheme().DeriveKeyPair(seed[:32])
		var err error
		if public, err = p.MarshalBinary(); err != nil {
			t.Fatal(err)
		}
		private = append(bytes.Clone(public), seed[:32]...)
	default:
		var err error
		private = seed[:32]
		if public, err = curve25519.X25519(private, curve25519.Basepoint); err != nil {
			t.Fatal(err)
		}
	}
	return load(t, g, []peer.Hop{{Public: public, Private: private}})
}

// pick maps a fuzzer's byte to a scheme.
func pick(b byte) int { return int(b) % len(sphinx.Schemes()) }

// told are commands of every kind, with arguments that can be told apart.
var (
	toldNext      = append([]byte{0x01}, bytes.Repeat([]byte{7}, 64)...)
	toldRecipient = append([]byte{0x02}, bytes.Repeat([]byte{8}, 32)...)
	toldReply     = append([]byte{0x03}, bytes.Repeat([]byte{9}, 16)...)
	toldDelay     = []byte{0x80, 0, 0, 1, 2}
)

// FuzzUnwrap gives a hop any bytes. They are refused, unchanged, unless they are
// a packet of its; Katzenpost says the same of every packet of the right length.
// So that a fuzzer finds more than wrong lengths, fit cuts off or fills up with
// zeros.
func FuzzUnwrap(f *testing.F) {
	var list []*both
	for i, scheme := range sphinx.Schemes() {
		g := smallest(f, scheme, 1)
		b := fixed(f, g)
		list = append(list, b)
		add := func(fit bool, packet []byte) { f.Add(byte(i), fit, packet) }
		told := func(commands ...[]byte) []byte {
			return forge(f, g, b.hops[0].Public, bytes.Join(commands, nil), nil)
		}
		last := told(toldDelay, toldRecipient)
		add(true, told(toldDelay, toldNext)[:g.HeaderLength])
		add(true, told(toldRecipient, toldReply)[:g.HeaderLength])
		add(true, last[:g.HeaderLength])
		add(false, last)
		add(false, last[1:])
		add(false, append(last, 0))
		add(true, nil)
	}
	f.Fuzz(func(t *testing.T, scheme byte, fit bool, packet []byte) {
		b := list[pick(scheme)]
		n := b.geometry.PacketLength
		if fit {
			packet = append(bytes.Clone(packet), make([]byte, n)...)[:n]
		}
		ours, theirs := bytes.Clone(packet), bytes.Clone(packet)
		var u sphinx.Unwrapped
		err := b.ours.Unwrap(b.keys[0], ours, &u)
		unchanged(t, b.geometry, err, packet, ours)
		if len(packet) != n {
			if err == nil {
				t.Fatalf("%d bytes were unwrapped", len(packet))
			}
			return
		}
		want, theirErr := b.theirs.Open(b.theirKeys[0], theirs)
		verdicts(t, &u, err, ours, &want, theirErr, theirs)
	})
}

// unchanged fails if a packet that we refuse was changed, but for a payload that
// was found to be wrong.
func unchanged(t *testing.T, g *sphinx.Geometry, err error, before, after []byte) {
	t.Helper()
	if sphinx.Step(err) == 11 {
		before, after = before[:g.HeaderLength], after[:g.HeaderLength]
	}
	if err != nil && !bytes.Equal(before, after) {
		t.Fatalf("a packet was refused (%v) and changed", err)
	}
}

// verdicts fails if we and Katzenpost make different things of a packet.
func verdicts(t *testing.T, u *sphinx.Unwrapped, err error, packet []byte, theirs *sphinx.Unwrapped, theirErr error, theirPacket []byte) {
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

// FuzzKatzenpost is the differential target: a hop is told any commands and gets
// any payload, under a MAC that is right, and finds the same in it as
// Katzenpost.
func FuzzKatzenpost(f *testing.F) {
	var list []*both
	for i, scheme := range sphinx.Schemes() {
		g := smallest(f, scheme, 2)
		list = append(list, fixed(f, g))
		for _, share := range [][][]byte{
			nil, {toldNext}, {toldRecipient}, {toldReply}, {toldDelay},
			{toldDelay, toldNext}, {toldDelay, toldRecipient}, {toldRecipient, toldReply}, {toldReply, toldNext},
			{toldRecipient, toldRecipient}, {toldReply, toldReply}, {toldDelay, toldDelay, {0, 1}}, {toldNext[:60], toldNext},
			{{4}}, {{0, 0, 1}}, {bytes.Repeat([]byte{0x80}, 82)},
			{toldDelay, toldNext, make([]byte, 12), bytes.Repeat([]byte{5}, 40)}, // the next element, of a KEM
		} {
			f.Add(byte(i), bytes.Join(share, nil), []byte{})
		}
		f.Add(byte(i), toldRecipient, []byte{1}) // a payload tag that is not zero
		f.Add(byte(i), toldReply, []byte{1})     // which is right in a reply
	}
	f.Fuzz(func(t *testing.T, scheme byte, share, payload []byte) {
		b := list[pick(scheme)]
		packet := forge(t, b.geometry, b.hops[0].Public, share, payload)
		ours, theirs := bytes.Clone(packet), bytes.Clone(packet)
		var u sphinx.Unwrapped
		err := b.ours.Unwrap(b.keys[0], ours, &u)
		want, theirErr := b.theirs.Open(b.theirKeys[0], theirs)
		verdicts(t, &u, err, ours, &want, theirErr, theirs)
		unchanged(t, b.geometry, err, packet, ours)
	})
}

// FuzzOpenReply opens any bytes with any keys. Where lengths are right, Katzenpost
// finds the same.
func FuzzOpenReply(f *testing.F) {
	g := smallest(f, "x25519", 1)
	b := fixed(f, g)
	keys := make([]byte, 3*64)
	for i := range keys {
		keys[i] = byte(i)
	}
	payload := make([]byte, g.PayloadTagLength+g.PayloadLength)
	copy(payload[g.PayloadTagLength:], "yes")
	for at, crypt := len(keys)-64, aez.Encrypt; at >= 0; at -= 64 { // the answerer, then the hops
		if at < len(keys)-64 {
			crypt = func(key, nonce []byte, _ [][]byte, _ int, message, _ []byte) []byte {
				plain, _ := aez.Decrypt(key, nonce, nil, 0, message, nil)
				return plain
			}
		}
		payload = crypt(keys[at:][:48], keys[at+48:][:16], nil, 0, payload, nil)
	}
	f.Add(payload, keys)
	f.Add(payload, keys[:64])
	f.Add(payload[1:], keys)
	f.Add(payload, keys[1:])
	f.Add(payload, []byte{})
	f.Add(payload, make([]byte, 64))
	f.Fuzz(func(t *testing.T, payload, keys []byte) {
		if len(keys) > 64*(sphinx.MaxHops+1) {
			return
		}
		used := bytes.Clone(keys)
		ours, err := b.ours.OpenReply(bytes.Clone(payload), used)
		if !allZero(used) {
			t.Fatal("the keys were not wiped")
		}
		if len(payload) != g.PayloadTagLength+g.PayloadLength || allZero(keys) {
			if err == nil {
				t.Fatalf("a reply of %d bytes was opened with keys of %d", len(payload), len(keys))
			}
			return
		}
		theirs, theirErr := b.theirs.DecryptSURBPayload(bytes.Clone(payload), bytes.Clone(keys))
		if (err == nil) != (theirErr == nil) || !bytes.Equal(ours, theirs) {
			t.Fatalf("we open %x, %v, Katzenpost %x, %v", ours, err, theirs, theirErr)
		}
	})
}

func allZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

// FuzzParseGeometry reads any text. What is accepted is a geometry of ours, and
// Katzenpost reads the same text, finds it valid, and gives it the same hash.
func FuzzParseGeometry(f *testing.F) {
	for _, scheme := range sphinx.Schemes() {
		p, err := peer.New(smallest(f, scheme, 2), rand.Reader)
		if err != nil {
			f.Fatal(err)
		}
		text := p.Geometry().Display()
		f.Add(text)
		f.Add(text[:len(text)/2])
		for _, other := range [][2]string{ // what TOML allows, and what it does not
			{"]\n", "]\nExtra = 1\n"}, {"]\n", "]\nnrhops = 3\n"}, {"]\n", "]\nNrHops = 3\n"},
			{"  ", ""}, {"\n", "\r\n"}, {" = 2\n", " = 0x02\n"}, {" = 2\n", " = 2.0\n"}, {" = 2\n", " = +2 # two\n"},
			{"  NrHops", "\"NrHops\""}, {"[SphinxGeometry]\n", ""}, {"  ", "SphinxGeometry."}, {"[SphinxGeometry]", "[sphinxgeometry]"},
			{"W", "w"}, {"x", "X"}, {"K", "\u212a"}, {"\"\"", "\"x25519\""},
		} {
			f.Add(strings.ReplaceAll(text, other[0], other[1]))
		}
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
		var theirs geo.Config
		if err := toml.Unmarshal([]byte(text), &theirs); err != nil {
			t.Fatalf("Katzenpost does not read it: %v", err)
		}
		if err := theirs.SphinxGeometry.Validate(); err != nil {
			t.Fatalf("Katzenpost does not find it valid: %v", err)
		}
		if !bytes.Equal(g.Hash(), theirs.SphinxGeometry.Hash()) {
			t.Fatalf("we read %+v, Katzenpost %+v", g, theirs.SphinxGeometry)
		}
	})
}
