package sphinx_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

var update = flag.Bool("update", false, "make the vectors in testdata anew")

// vectors is a file of testdata: what someone who writes docs/sphinx.md in another
// language compares with.
type vectors struct {
	Scheme            string   `json:"scheme"`
	Hops              int      `json:"hops"` // the longest path
	UserPayloadLength int      `json:"user_payload_length"`
	Geometry          hexBytes `json:"geometry_hash"`

	Packets []packetVector `json:"packets"`
	Replies []replyVector  `json:"replies"`
}

// packetVector is a packet and what becomes of it along its path.
type packetVector struct {
	MadeBy  string      `json:"made_by"` // sourdine or katzenpost
	Payload hexBytes    `json:"payload"`
	Packet  hexBytes    `json:"packet"`
	Path    []hopVector `json:"path"`
}

// replyVector is a reply block, the packet that answers with it, and what becomes
// of that.
type replyVector struct {
	MadeBy string      `json:"made_by"`
	UsedBy string      `json:"used_by"`
	Block  hexBytes    `json:"reply_block"`
	Keys   hexBytes    `json:"keys"`
	Answer hexBytes    `json:"answer"`
	Packet hexBytes    `json:"packet"`
	Path   []hopVector `json:"path"`
}

// hopVector is a hop, what it is told, and what it makes of the packet.
type hopVector struct {
	ID        hexBytes `json:"id"`
	Public    hexBytes `json:"public_key"`
	Private   hexBytes `json:"private_key"`
	Delay     uint32   `json:"delay"`
	Recipient hexBytes `json:"recipient,omitempty"`
	Reply     hexBytes `json:"reply,omitempty"`

	Tag hexBytes `json:"replay_tag"`
	// SHA-256 of the packet as it goes to the next hop; of the payload, tag included,
	// as the last hop of a reply passes it on; of the payload that the last hop of a
	// forward packet finds.
	Result hexBytes `json:"result_sha256"`
}

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// The kept vectors hold for both implementations. With -update they are made
// anew, by both.
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
			if len(v.Packets) == 0 || len(v.Replies) == 0 {
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
				payload := checkPath(t, fmt.Sprintf("packet %d", i), g, p.Path, p.Packet)
				if !bytes.Equal(payload, p.Payload) {
					t.Errorf("packet %d has another payload", i)
				}
			}
			for i, r := range v.Replies {
				b := load(t, g, r.Path)
				packet, first, err := b.ours.UseReplyBlock(r.Block, r.Answer)
				if err != nil || !bytes.Equal(packet, r.Packet) || !bytes.Equal(first[:], r.Path[0].ID) {
					t.Errorf("reply %d: its block is used otherwise: %v", i, err)
				}
				theirs, theirFirst, err := b.theirs.NewPacketFromSURB(r.Block, r.Answer)
				if err != nil || !bytes.Equal(theirs, r.Packet) || *theirFirst != first {
					t.Errorf("reply %d: Katzenpost uses its block otherwise: %v", i, err)
				}
				reply := checkPath(t, fmt.Sprintf("reply %d", i), g, r.Path, r.Packet)
				opened, err := b.ours.OpenReply(bytes.Clone(reply), bytes.Clone(r.Keys))
				if err != nil || !bytes.Equal(opened, r.Answer) {
					t.Errorf("reply %d opens otherwise: %v", i, err)
				}
				opened, err = b.theirs.DecryptSURBPayload(reply, bytes.Clone(r.Keys))
				if err != nil || !bytes.Equal(opened, r.Answer) {
					t.Errorf("reply %d opens otherwise for Katzenpost: %v", i, err)
				}
			}
		})
	}
}

// load makes both implementations' keys of a path.
func load(t *testing.T, g *sphinx.Geometry, list []hopVector) *both {
	t.Helper()
	b := &both{geometry: g, ours: sphinx.New(g)}
	var err error
	if b.theirs, err = peer.New(g, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		h := peer.Hop{Public: v.Public, Private: v.Private, Hop: sphinx.Hop{ID: sphinx.NodeID(v.ID), Delay: v.Delay}}
		if h.Key, err = g.PublicKey(v.Public); err != nil {
			t.Fatal(err)
		}
		if v.Recipient != nil {
			h.Recipient = (*sphinx.RecipientID)(v.Recipient)
		}
		if v.Reply != nil {
			h.Reply = (*sphinx.ReplyID)(v.Reply)
		}
		b.hops, b.path = append(b.hops, h), append(b.path, h.Hop)
		ours, err := g.PrivateKey(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := b.theirs.PrivateKey(v.Private)
		if err != nil {
			t.Fatal(err)
		}
		b.keys, b.theirKeys = append(b.keys, ours), append(b.theirKeys, theirs)
	}
	if b.theirPath, err = b.theirs.Path(b.hops); err != nil {
		t.Fatal(err)
	}
	return b
}

// checkPath takes a packet along a path, compares each hop's findings, and
// returns the payload.
func checkPath(t *testing.T, name string, g *sphinx.Geometry, list []hopVector, packet []byte) []byte {
	t.Helper()
	b := load(t, g, list)
	payload := b.carry(t, packet)
	work := bytes.Clone(packet)
	for i, want := range list {
		tag, result, u := b.step(t, i, work)
		if !bytes.Equal(tag, want.Tag) || !bytes.Equal(result, want.Result) {
			t.Errorf("%s: hop %d: tag %x, result %x", name, i+1, tag, result)
		}
		h := b.hops[i]
		if u.Delay != h.Delay || u.HasRecipient != (h.Recipient != nil) || u.HasRecipient && u.Recipient != *h.Recipient ||
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
	sum := sha256.Sum256(packet)
	if u.Last {
		sum = sha256.Sum256(u.Payload)
	}
	return u.Tag[:], sum[:], u
}

// newVectors makes a file: packets of both implementations on a full path, one on
// a shorter path, and replies that either made for the other.
func newVectors(t *testing.T, scheme string) *vectors {
	t.Helper()
	const hops = 3
	g, err := sphinx.NewGeometry(scheme, hops, 64)
	if err != nil {
		t.Fatal(err)
	}
	v := &vectors{Scheme: scheme, Hops: hops, UserPayloadLength: g.UserPayloadLength, Geometry: g.Hash()}
	payload := make([]byte, g.PayloadLength)
	for i := range payload {
		payload[i] = byte(i)
	}
	for _, made := range []struct {
		by   string
		hops int
	}{{"sourdine", hops}, {"katzenpost", hops}, {"sourdine", hops - 1}} {
		b := newBoth(t, g, made.hops, false)
		var packet []byte
		if made.by == "sourdine" {
			packet, err = b.ours.Wrap(b.path, payload)
		} else {
			packet, err = b.theirs.NewPacket(rand.Reader, b.theirPath, payload)
		}
		if err != nil {
			t.Fatal(err)
		}
		v.Packets = append(v.Packets, packetVector{MadeBy: made.by, Payload: payload, Packet: packet, Path: b.record(t, packet)})
	}
	for _, by := range []struct{ made, used string }{{"sourdine", "katzenpost"}, {"katzenpost", "sourdine"}} {
		b := newBoth(t, g, hops, true)
		r := replyVector{MadeBy: by.made, UsedBy: by.used, Answer: payload}
		if by.made == "sourdine" {
			var keys sphinx.ReplyKeys
			r.Block, keys, err = b.ours.NewReplyBlock(b.path)
			r.Keys = hexBytes(keys)
		} else {
			r.Block, r.Keys, err = b.theirs.NewSURB(rand.Reader, b.theirPath)
		}
		if err != nil {
			t.Fatal(err)
		}
		if by.used == "sourdine" {
			r.Packet, _, err = b.ours.UseReplyBlock(r.Block, r.Answer)
		} else {
			r.Packet, _, err = b.theirs.NewPacketFromSURB(r.Block, r.Answer)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Path = b.record(t, r.Packet)
		v.Replies = append(v.Replies, r)
	}
	return v
}

// record writes down a path and what its hops make of a packet.
func (b *both) record(t *testing.T, packet []byte) (list []hopVector) {
	t.Helper()
	work := bytes.Clone(packet)
	for i, h := range b.hops {
		v := hopVector{ID: h.ID[:], Public: h.Public, Private: h.Private, Delay: h.Delay}
		if h.Recipient != nil {
			v.Recipient = h.Recipient[:]
		}
		if h.Reply != nil {
			v.Reply = h.Reply[:]
		}
		v.Tag, v.Result, _ = b.step(t, i, work)
		list = append(list, v)
	}
	return list
}
