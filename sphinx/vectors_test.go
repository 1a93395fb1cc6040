package sphinx_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/cryptotest"

	hpqcrand "github.com/katzenpost/hpqc/rand"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

var update = flag.Bool("update", false, "make the vectors in testdata anew")

// vectors is a file of testdata: what someone who writes docs/sphinx.md in another
// language compares with. The page describes it.
type vectors struct {
	Scheme            string   `json:"scheme"`
	Hops              int      `json:"hops"` // the longest path
	UserPayloadLength int      `json:"user_payload_length"`
	Geometry          hexBytes `json:"geometry_hash"`

	Nodes   []nodeVector    `json:"nodes"`
	Packets []packetVector  `json:"packets"`
	Replies []replyVector   `json:"replies"`
	Refused []refusedVector `json:"refused"`
}

type nodeVector struct {
	ID      hexBytes `json:"id"`
	Public  hexBytes `json:"public_key"`
	Private hexBytes `json:"private_key"`
}

// packetVector is a packet and what becomes of it along its path.
type packetVector struct {
	MadeBy string `json:"made_by"` // sourdine or katzenpost
	senderVector
	Payload hexBytes    `json:"payload"` // repeated as often as it takes
	Packet  hexBytes    `json:"packet"`
	Path    []hopVector `json:"path"`
}

// senderVector is what a sender draws for a path as a whole.
type senderVector struct {
	Random  hexBytes `json:"random,omitempty"`  // a NIKE's
	Padding hexBytes `json:"padding,omitempty"` // R of the hop behind the last
}

// replyVector is a reply block, the packet that answers with it, and what becomes
// of that.
type replyVector struct {
	MadeBy string `json:"made_by"`
	UsedBy string `json:"used_by"`
	senderVector
	Block  hexBytes    `json:"reply_block"`
	Keys   hexBytes    `json:"reply_keys"`
	Answer hexBytes    `json:"answer"` // repeated as often as it takes
	Packet hexBytes    `json:"packet_sha256"`
	Path   []hopVector `json:"path"`
}

// hopVector is a hop, what it is told, what sender and hop share, and what the
// hop makes of the packet.
type hopVector struct {
	Node      int      `json:"node"` // in nodes, from 0
	Delay     *uint32  `json:"delay,omitempty"`
	Recipient hexBytes `json:"recipient,omitempty"`
	Reply     hexBytes `json:"reply,omitempty"`

	Random hexBytes `json:"random,omitempty"` // the sender's for this hop, a KEM's
	Secret hexBytes `json:"secret"`
	Keys   hexBytes `json:"keys"`

	Tag hexBytes `json:"replay_tag"`
	// SHA-256 of the packet as it goes to the next hop; of the payload, tag included,
	// as the last hop of a reply passes it on; of the payload that the last hop of a
	// forward packet finds.
	Result hexBytes `json:"result_sha256"`
}

// refusedVector is a packet that goes wrong on its way, and where that is noticed.
type refusedVector struct {
	What    string   `json:"what"`
	Packet  int      `json:"packet"`           // in packets, from 0
	Hop     int      `json:"hop"`              // before which it is changed, from 1
	Length  int      `json:"length,omitempty"` // to which it is cut off, or filled up with zeros
	Changes []change `json:"changes,omitempty"`
	By      int      `json:"refused_by"` // the hop, from 1
	Step    int      `json:"step"`       // of Unwrapping
}

// change is bytes that stand in a packet in place of others.
type change struct {
	Offset int      `json:"offset"`
	Bytes  hexBytes `json:"bytes"`
}

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

func sum(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// repeat fills n bytes with a pattern.
func repeat(pattern []byte, n int) []byte {
	return bytes.Repeat(pattern, n/len(pattern)+1)[:n]
}

// The kept vectors hold for both implementations and for the reference. With
// -update they are made anew, by both.
func TestVectors(t *testing.T) {
	for _, scheme := range sphinx.Schemes() {
		t.Run(scheme, func(t *testing.T) {
			file := filepath.Join("testdata", "vectors-"+scheme+".json")
			if *update {
				text, err := json.MarshalIndent(newVectors(t, scheme), "", "\t")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vectors
			if err := json.Unmarshal(text, &v); err != nil {
				t.Fatal(err)
			}
			if len(v.Packets) == 0 || len(v.Replies) == 0 || len(v.Refused) == 0 {
				t.Fatal("there are no vectors")
			}
			g, err := sphinx.NewGeometry(v.Scheme, v.Hops, v.UserPayloadLength)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(g.Hash(), v.Geometry) {
				t.Errorf("the geometry's hash is %x", g.Hash())
			}
			for i, p := range v.Packets {
				name := fmt.Sprintf("packet %d", i)
				want := repeat(p.Payload, g.PayloadLength)
				if payload := v.check(t, name, g, p.Path, p.Packet); !bytes.Equal(payload, want) {
					t.Errorf("%s has another payload", name)
				}
				packet, s, k := wrap(t, g, v.hops(p.Path), random(p.senderVector, p.Path), p.Padding, want)
				if !bytes.Equal(packet, p.Packet) {
					t.Errorf("%s: the reference makes another", name)
				}
				checkSecrets(t, name, g, p.Path, s, k)
			}
			for i, r := range v.Replies {
				v.checkReply(t, fmt.Sprintf("reply %d", i), g, &r)
			}
			for _, r := range v.Refused {
				v.checkRefused(t, g, &r)
			}
		})
	}
}

// hops makes a path of a list.
func (v *vectors) hops(list []hopVector) (path []peer.Hop) {
	for _, h := range list {
		node := v.Nodes[h.Node]
		hop := peer.Hop{Public: node.Public, Private: node.Private, Hop: sphinx.Hop{ID: sphinx.NodeID(node.ID)}}
		if h.Delay != nil {
			hop.Delay = *h.Delay
		}
		if h.Recipient != nil {
			hop.Recipient = (*sphinx.RecipientID)(h.Recipient)
		}
		if h.Reply != nil {
			hop.Reply = (*sphinx.ReplyID)(h.Reply)
		}
		path = append(path, hop)
	}
	return path
}

// random is the sender's, as the reference takes it.
func random(s senderVector, path []hopVector) [][]byte {
	if s.Random != nil {
		return [][]byte{s.Random}
	}
	var list [][]byte
	for _, h := range path {
		list = append(list, h.Random)
	}
	return list
}

func checkSecrets(t *testing.T, name string, g *sphinx.Geometry, path []hopVector, s, k [][]byte) {
	t.Helper()
	for i, h := range path {
		if !bytes.Equal(s[i], h.Secret) || !bytes.Equal(kept(g, k[i]), h.Keys) {
			t.Errorf("%s: hop %d has the secret %x and the keys %x", name, i+1, s[i], k[i])
		}
	}
}

// kept is what a scheme has of the keys that the reference derives: a KEM needs no
// seed of a blinding factor.
func kept(g *sphinx.Geometry, k []byte) []byte {
	if g.KEMName != "" {
		return k[:128]
	}
	return k
}

// check takes a packet along a path through both implementations, compares each
// hop's findings, and returns the payload.
func (v *vectors) check(t *testing.T, name string, g *sphinx.Geometry, list []hopVector, packet []byte) []byte {
	t.Helper()
	b := load(t, g, v.hops(list))
	payload := b.carry(t, packet)
	work := bytes.Clone(packet)
	for i, want := range list {
		tag, result, u := b.step(t, i, work)
		if !bytes.Equal(tag, want.Tag) || !bytes.Equal(result, want.Result) {
			t.Errorf("%s: hop %d: tag %x, result %x", name, i+1, tag, result)
		}
		h := b.hops[i]
		if u.Delay != h.Delay || u.HasDelay != (want.Delay != nil) ||
			u.HasRecipient != (h.Recipient != nil) || u.HasRecipient && u.Recipient != *h.Recipient ||
			u.HasReply != (h.Reply != nil) || u.HasReply && u.Reply != *h.Reply || !u.Last && u.Next != b.hops[i+1].ID {
			t.Errorf("%s: hop %d is told %+v", name, i+1, u)
		}
	}
	return payload
}

// step unwraps a packet at a hop.
func (b *both) step(t *testing.T, i int, packet []byte) (tag, result []byte, u sphinx.Unwrapped) {
	t.Helper()
	if err := b.ours.Unwrap(b.keys[i], packet, &u); err != nil {
		t.Fatalf("hop %d: %v", i+1, err)
	}
	if u.Last {
		return u.Tag[:], sum(u.Payload), u
	}
	return u.Tag[:], sum(packet), u
}

func (v *vectors) checkReply(t *testing.T, name string, g *sphinx.Geometry, r *replyVector) {
	t.Helper()
	path := v.hops(r.Path)
	b := load(t, g, path)
	answer := repeat(r.Answer, g.PayloadLength)
	packet, first, err := b.ours.UseReplyBlock(r.Block, answer)
	if err != nil || !bytes.Equal(sum(packet), r.Packet) || first != path[0].ID {
		t.Fatalf("%s: its block is used otherwise: %v", name, err)
	}
	theirs, theirFirst, err := b.theirs.NewPacketFromSURB(r.Block, answer)
	if err != nil || !bytes.Equal(theirs, packet) || *theirFirst != first {
		t.Errorf("%s: Katzenpost uses its block otherwise: %v", name, err)
	}
	reply := v.check(t, name, g, r.Path, packet)
	opened, err := b.ours.OpenReply(bytes.Clone(reply), bytes.Clone(r.Keys))
	if err != nil || !bytes.Equal(opened, answer) {
		t.Errorf("%s opens otherwise: %v", name, err)
	}
	opened, err = b.theirs.DecryptSURBPayload(reply, bytes.Clone(r.Keys))
	if err != nil || !bytes.Equal(opened, answer) {
		t.Errorf("%s opens otherwise for Katzenpost: %v", name, err)
	}

	head, s, k := header(t, g, path, random(r.senderVector, r.Path), r.Padding)
	answerer := r.Keys[len(r.Keys)-64:]
	if block := bytes.Join([][]byte{head, path[0].ID[:], answerer}, nil); !bytes.Equal(block, r.Block) {
		t.Errorf("%s: the reference makes another block", name)
	}
	var keys []byte
	for i := len(k) - 1; i >= 0; i-- {
		keys = append(append(keys, k[i][80:128]...), k[i][64:80]...)
	}
	if keys = append(keys, answerer...); !bytes.Equal(keys, r.Keys) {
		t.Errorf("%s: the reference keeps other keys", name)
	}
	checkSecrets(t, name, g, r.Path, s, k)
}

// checkRefused takes a packet along its path, changes it, and looks where it is
// refused. Katzenpost refuses it there too, but for its length, which its nodes
// check elsewhere.
func (v *vectors) checkRefused(t *testing.T, g *sphinx.Geometry, r *refusedVector) {
	t.Helper()
	from := v.Packets[r.Packet]
	b := load(t, g, v.hops(from.Path))
	packet := bytes.Clone(from.Packet)
	for i := range from.Path {
		if i+1 == r.Hop {
			packet = r.apply(packet)
		}
		theirs := bytes.Clone(packet)
		err := b.ours.Unwrap(b.keys[i], packet, new(sphinx.Unwrapped))
		if r.Step != 1 {
			if _, theirErr := b.theirs.Open(b.theirKeys[i], theirs); (err == nil) != (theirErr == nil) {
				t.Errorf("%s: hop %d: we say %v, Katzenpost %v", r.What, i+1, err, theirErr)
			}
		}
		if err != nil || i+1 == r.By {
			if i+1 != r.By || sphinx.Step(err) != r.Step {
				t.Errorf("%s: hop %d says %v, want step %d of hop %d", r.What, i+1, err, r.Step, r.By)
			}
			return
		}
	}
}

func (r *refusedVector) apply(packet []byte) []byte {
	if r.Length > 0 {
		packet = append(packet, make([]byte, r.Length)...)[:r.Length]
	}
	for _, c := range r.Changes {
		copy(packet[c.Offset:], c.Bytes)
	}
	return packet
}

// newVectors makes a file: packets of both implementations, on a full path and on
// a shorter one, replies that either made for the other, and packets that are
// refused.
func newVectors(t *testing.T, scheme string) *vectors {
	t.Helper()
	const hops = sphinx.DefaultHops
	userPayload := map[string]int{"x25519": 10_000, "x25519-kem": 1000}[scheme]
	if userPayload == 0 {
		userPayload = 100 // what is left is large
	}
	g, err := sphinx.NewGeometry(scheme, hops, userPayload)
	if err != nil {
		t.Fatal(err)
	}
	previous := hpqcrand.Reader
	defer func() { hpqcrand.Reader = previous }()
	cryptotest.SetGlobalRandom(t, 0)
	v := &vectors{Scheme: scheme, Hops: hops, UserPayloadLength: userPayload, Geometry: g.Hash()}
	for range hops {
		h, err := peer.NewHop(g)
		if err != nil {
			t.Fatal(err)
		}
		rand.Read(h.ID[:])
		v.Nodes = append(v.Nodes, nodeVector{h.ID[:], h.Public, h.Private})
	}
	pattern := []byte("repeated until the payload is full; ")
	payload := repeat(pattern, g.PayloadLength)

	for n, made := range []struct {
		by    string
		nodes []int
	}{{"sourdine", []int{0, 1, 2, 3, 4}}, {"katzenpost", []int{3, 0, 2}}} {
		list, b := v.path(t, g, made.nodes, false)
		draw := seeded(t, b, uint64(n+1))
		p := packetVector{MadeBy: made.by, Payload: pattern}
		if made.by == "sourdine" {
			p.Packet, err = b.ours.Wrap(b.path, payload)
		} else {
			p.Packet, err = b.theirs.NewPacket(rand.Reader, b.theirPath, payload)
		}
		if err != nil {
			t.Fatal(err)
		}
		p.senderVector = draw(list, 0)
		_, s, k := wrap(t, g, b.hops, random(p.senderVector, list), p.Padding, payload)
		p.Path = b.record(t, list, s, k, p.Packet)
		v.Packets = append(v.Packets, p)
	}
	for n, by := range []struct {
		made, used string
		nodes      []int
	}{{"sourdine", "katzenpost", []int{1, 3}}, {"katzenpost", "sourdine", []int{4, 2, 1, 0}}} {
		list, b := v.path(t, g, by.nodes, true)
		draw := seeded(t, b, uint64(n+10))
		r := replyVector{MadeBy: by.made, UsedBy: by.used, Answer: pattern}
		var packet []byte
		if by.made == "sourdine" {
			var keys sphinx.ReplyKeys
			if r.Block, keys, err = b.ours.NewReplyBlock(b.path); err != nil {
				t.Fatal(err)
			}
			r.Keys = hexBytes(keys)
			packet, _, err = b.theirs.NewPacketFromSURB(r.Block, payload)
		} else {
			if r.Block, r.Keys, err = b.theirs.NewSURB(rand.Reader, b.theirPath); err != nil {
				t.Fatal(err)
			}
			packet, _, err = b.ours.UseReplyBlock(r.Block, payload)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.senderVector = draw(list, 64)
		r.Packet = sum(packet)
		_, s, k := header(t, g, b.hops, random(r.senderVector, list), r.Padding)
		r.Path = b.record(t, list, s, k, packet)
		v.Replies = append(v.Replies, r)
	}
	v.refuse(g)
	return v
}

// path is one of nodes, and what they are told.
func (v *vectors) path(t *testing.T, g *sphinx.Geometry, nodes []int, back bool) ([]hopVector, *both) {
	t.Helper()
	var list []hopVector
	for i, node := range nodes {
		h := hopVector{Node: node}
		if i < len(nodes)-1 || !back {
			h.Delay = new(uint32)
			*h.Delay = uint32(i) * 0x010203 // of no time at the first
		}
		list = append(list, h)
	}
	hops := v.hops(list)
	end(hops, back)
	last := &list[len(list)-1]
	last.Recipient = hops[len(hops)-1].Recipient[:]
	if back {
		last.Reply = hops[len(hops)-1].Reply[:]
	}
	return list, load(t, g, hops)
}

// seeded makes both implementations draw the same random bytes from now on. The
// function that it returns draws them once more, in the order in which a sender
// uses them, skip bytes first, and writes down each hop's.
func seeded(t *testing.T, b *both, n uint64) func(list []hopVector, skip int) senderVector {
	t.Helper()
	seed(t, b, n)
	return func(list []hopVector, skip int) (s senderVector) {
		seed(t, b, n)
		draw := func(n int) hexBytes {
			if n == 0 {
				return nil
			}
			drawn := make([]byte, n)
			rand.Read(drawn)
			return drawn
		}
		draw(skip)
		perHop, perPath := randomLength(b.geometry.Scheme)
		s.Random = draw(perPath)
		for i := range list {
			list[i].Random = draw(perHop)
			if b.geometry.Scheme == "Xwing" { // X25519's first
				list[i].Random = append(list[i].Random[32:], list[i].Random[:32]...)
			}
		}
		s.Padding = draw((b.geometry.Hops - len(list)) * b.geometry.HopInfoLength)
		return s
	}
}

// record writes down what the hops have and make of a packet.
func (b *both) record(t *testing.T, list []hopVector, s, k [][]byte, packet []byte) []hopVector {
	t.Helper()
	work := bytes.Clone(packet)
	for i := range list {
		list[i].Secret, list[i].Keys = s[i], kept(b.geometry, k[i])
		list[i].Tag, list[i].Result, _ = b.step(t, i, work)
	}
	return list
}

// refuse makes packets that are refused of the first.
func (v *vectors) refuse(g *sphinx.Geometry) {
	packet, path := v.Packets[0].Packet, v.Packets[0].Path
	routing, macAt, last := 2+g.ElementLength, g.HeaderLength-32, len(path)
	add := func(what string, hop, length, by, step int, changes ...change) {
		v.Refused = append(v.Refused, refusedVector{what, 0, hop, length, changes, by, step})
	}
	flipped := func(offset int) change { return change{offset, hexBytes{packet[offset] ^ 0x10}} }
	// retold is what the first hop is told other than it is, and the MAC of that.
	retold := func(offset int, before, after []byte) []change {
		changed := bytes.Clone(packet)
		subtle.XORBytes(changed[routing+offset:], packet[routing+offset:][:len(before)], before)
		subtle.XORBytes(changed[routing+offset:], changed[routing+offset:][:len(after)], after)
		h := hmac.New(sha256.New, path[0].Keys[:32])
		h.Write(changed[:macAt])
		return []change{{routing + offset, changed[routing+offset:][:len(before)]}, {macAt, h.Sum(nil)}}
	}

	add("a byte less", 1, g.PacketLength-1, 1, 1)
	add("a byte more", 1, g.PacketLength+1, 1, 1)
	add("another version", 1, 0, 1, 2, change{1, hexBytes{1}})
	if v.Scheme != "MLKEM768" {
		for _, low := range []byte{0, 1} {
			u := make([]byte, 32)
			u[0] = low
			add(fmt.Sprintf("X25519's element is %d", low), 1, 0, 1, 4, change{routing - 32, u})
		}
	}
	add("a bit of the element", 1, 0, 1, 6, flipped(2))
	add("a bit of the last hop's routing info", 1, 0, 1, 6, flipped(macAt-1))
	add("a bit of the MAC", 1, 0, 1, 6, flipped(macAt+31))
	add("the MAC of zeros", 3, 0, 3, 6, change{macAt, make([]byte, 32)})
	add("an unknown command", 1, 0, 1, 8, retold(0, []byte{0x80}, []byte{0x04})...)
	add("bytes behind the end", 1, 0, 1, 8, retold(0, []byte{0x80}, []byte{0})...)
	add("a command that is cut off", 1, 0, 1, 8, retold(70, make([]byte, 1), []byte{0x02})...)
	add("a bit of the payload", 1, 0, last, 11, flipped(g.PacketLength-1))
	add("a bit of the payload tag", 2, 0, last, 11, change{g.HeaderLength, hexBytes{0xff}})
}
