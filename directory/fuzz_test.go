package directory

import (
	"bytes"
	"crypto/ed25519"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/hpqc/hash"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/hpqc/sign"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	"github.com/katzenpost/katzenpost/core/cert"
	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// The documents of these targets are the same in every process, keys and signatures
// too, so that what one process finds means the same to the others.
const (
	fuzzEpoch = 1000
	never     = 1 << 40 // when what is signed here expires, in epochs
)

// small is a network of one authority, with that one's key.
func small(t testing.TB) (*Network, sign.PrivateKey) {
	t.Helper()
	scheme, link := signschemes.ByName(SignatureScheme), kemschemes.ByName(LinkScheme)
	identity, key := scheme.DeriveKey(make([]byte, scheme.SeedSize()))
	other, _ := scheme.DeriveKey(bytes.Repeat([]byte{1}, scheme.SeedSize()))
	public, _ := link.DeriveKeyPair(make([]byte, link.SeedSize()))
	p := DefaultParameters()
	p.Scheme, p.Payload = "x25519", minPayload
	a := &Member{Role: RoleAuthority, Name: "auth", Operator: "a", Address: "127.0.0.1:1", Parameters: &p}
	a.SetKeys(identity, public)
	e := &Member{Role: RoleEntry, Name: "entry", Operator: "e", Address: "127.0.0.1:2"}
	e.SetKeys(other, public)
	n, err := NewNetwork("small", []*Member{a, e})
	if err != nil {
		t.Fatal(err)
	}
	return n, key
}

// document is a consensus with one node of each kind.
func document(t testing.TB, n *Network) *pki.Document {
	t.Helper()
	g, err := n.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	link, err := n.Entries[0].LinkKey().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	node := func(name string) *pki.MixDescriptor {
		keys := map[uint64][]byte{}
		for epoch := uint64(fuzzEpoch); epoch < fuzzEpoch+3; epoch++ {
			keys[epoch] = append([]byte{9}, make([]byte, 31)...) // X25519's base point
		}
		return &pki.MixDescriptor{
			Name: name, Epoch: fuzzEpoch, IdentityKey: []byte(name), LinkKey: link, MixKeys: keys,
			Addresses: map[string][]string{pki.TransportTCPv4: {"tcp://127.0.0.1:9"}, pki.TransportTCPv6: {"tcp://[::1]:9"}},
		}
	}
	entry, exit := node("entry"), node("exit")
	entry.IsGatewayNode, entry.AuthenticationType = true, pki.TrustOnFirstUseAuth
	exit.IsServiceNode = true
	exit.Kaetzchen = map[string]map[string]any{Capability: {"endpoint": Endpoint}, EchoCapability: {"endpoint": "+echo"}}
	exit.KaetzchenAdvertizedData = map[string]map[string]any{Capability: promises().Advertise()}
	return &pki.Document{
		Epoch: fuzzEpoch, GenesisEpoch: fuzzEpoch, Version: pki.DocumentVersion, PKISignatureScheme: SignatureScheme,
		Mu: RateOf(time.Minute), LambdaP: RateOf(20 * time.Second), LambdaM: RateOf(20 * time.Second),
		Topology:     [][]*pki.MixDescriptor{{node("mix1")}, {node("mix2")}, {node("mix3")}},
		GatewayNodes: []*pki.MixDescriptor{entry}, ServiceNodes: []*pki.MixDescriptor{exit},
		SphinxGeometryHash: g.Hash(),
	}
}

func promises() ExitInfo {
	return ExitInfo{
		Operator: "x", SigningKey: make([]byte, ed25519.PublicKeySize), From: "anonymous@exit.example",
		Expiry: 120, Hold: time.Hour, MaxLoss: 0.2,
	}
}

// encoded is v in CBOR, always with the same bytes.
func encoded(t testing.TB, v any) []byte {
	t.Helper()
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := mode.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The engine's documents and descriptors without their methods, which encode otherwise.
type (
	plainDocument   pki.Document
	plainDescriptor pki.MixDescriptor
)

// usable checks what whoever uses a view relies on, and uses it.
func usable(t *testing.T, v *View) {
	t.Helper()
	if v.Epoch != fuzzEpoch || v.Slot <= 0 || v.Slot > 24*time.Hour || v.Delay <= 0 || v.Delay > 24*time.Hour || v.Loop < 0 || v.Loop > 24*time.Hour {
		t.Fatalf("epoch %d, a slot of %v, a delay of %v, a loop each %v", v.Epoch, v.Slot, v.Delay, v.Loop)
	}
	if len(v.Layers) == 0 || len(v.Entries) == 0 || len(v.services) == 0 || slices.ContainsFunc(v.Layers, func(l []Node) bool { return len(l) == 0 }) {
		t.Fatal("a part of the network is empty")
	}
	for i := range v.Exits {
		if err := v.Exits[i].Check(); err != nil {
			t.Fatal(err)
		}
	}
	ids := v.IDs()
	known := map[sphinx.NodeID]bool{}
	for _, id := range ids {
		known[id] = true
		if _, _, ok := v.Neighbours(id); !ok {
			t.Fatal("a node has no neighbours")
		}
	}
	if len(known) != len(ids) {
		t.Fatal("two nodes have the same identity")
	}
	_ = v.Meets(DefaultFloors())
	rng := rand.New(rand.NewPCG(1, 2))
	for epoch := v.Epoch; epoch < v.Epoch+3; epoch++ {
		for i := range min(len(ids), 8) {
			if r, err := v.LoopRoute(rng, epoch, ids[i], sphinx.RecipientID{}, sphinx.ReplyID{}); err == nil && r.Delay <= 0 {
				t.Fatalf("a loop of %v", r.Delay)
			}
			_ = v.Needed(ids[i])
		}
		for _, e := range v.Exits {
			r, err := v.Route(rng, epoch, v.Entries[0].ID, e.ID, sphinx.RecipientID{}, sphinx.ReplyID{})
			if err == nil && (len(r.Forward) != len(v.Layers)+2 || len(r.Back) != len(v.Layers)+1) {
				t.Fatalf("%d hops there, %d back", len(r.Forward), len(r.Back))
			}
		}
	}
}

// FuzzCertificate reads any bytes as a consensus, as anybody may send or store them.
// No other document than the one that the authority signed is taken.
func FuzzCertificate(f *testing.F) {
	n, key := small(f)
	payload := encoded(f, (*plainDocument)(document(f, n)))
	raw, err := cert.Sign(key, n.Authorities[0].identity, payload, never)
	if err != nil {
		f.Fatal(err)
	}
	if _, err := n.Verify(raw, fuzzEpoch); err != nil {
		f.Fatal(err)
	}
	var good cert.Certificate
	if err := cbor.Unmarshal(raw, &good); err != nil {
		f.Fatal(err)
	}
	id := n.Authorities[0].ID()
	f.Add(raw)
	for _, sig := range [][]byte{nil, {}, good.Signatures[id].Payload[1:], append(bytes.Clone(good.Signatures[id].Payload), 0)} {
		bad := good
		bad.Signatures = map[[32]byte]cert.Signature{id: {PublicKeySum256: id, Payload: sig}}
		f.Add(encoded(f, &bad))
	}
	bad := good
	bad.Signatures = maps.Clone(good.Signatures)
	bad.Signatures[hash.Sum256(nil)] = cert.Signature{PublicKeySum256: id}
	f.Add(encoded(f, &bad))
	bad = good
	bad.Signatures = nil
	f.Add(encoded(f, &bad))
	bad.Certified = nil
	f.Add(encoded(f, &bad))
	f.Add([]byte{})
	f.Add([]byte{0xf6})                                           // null
	f.Add([]byte{0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // a map without end
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		v, err := n.Verify(b, fuzzEpoch)
		if !bytes.Equal(b, before) {
			t.Fatal("reading changed the bytes")
		}
		if err != nil {
			return
		}
		if signed, err := cert.GetCertified(b); err != nil || !bytes.Equal(signed, payload) {
			t.Fatalf("another document than the signed one was taken: %v", err)
		}
		if !bytes.Equal(v.Raw, b) {
			t.Fatal("the view keeps another document")
		}
		usable(t, v)
	})
}

// FuzzConsensus reads any bytes that the authorities have signed as a document.
func FuzzConsensus(f *testing.F) {
	n, key := small(f)
	add := func(change func(*pki.Document)) {
		doc := document(f, n)
		change(doc)
		f.Add(encoded(f, (*plainDocument)(doc)))
	}
	add(func(*pki.Document) {})
	add(func(d *pki.Document) { d.Topology[1][0] = nil })
	add(func(d *pki.Document) { d.GatewayNodes[0] = nil })
	add(func(d *pki.Document) { d.ServiceNodes[0] = nil })
	add(func(d *pki.Document) { d.StorageReplicas = []*pki.ReplicaDescriptor{nil} })
	add(func(d *pki.Document) { d.Topology[0] = append(d.Topology[0], d.Topology[2]...) })
	add(func(d *pki.Document) { d.Mu, d.LambdaM = 1e-300, 0 })
	add(func(d *pki.Document) {
		d.SharedRandomCommit = map[[32]byte][]byte{n.Authorities[0].ID(): {}}
		d.SharedRandomReveal = d.SharedRandomCommit
	})
	f.Add([]byte{0xf6})
	f.Fuzz(func(t *testing.T, payload []byte) {
		raw, err := cert.Sign(key, n.Authorities[0].identity, payload, never)
		if err != nil {
			return // nothing is not signed
		}
		if v, err := n.Verify(raw, fuzzEpoch); err == nil {
			usable(t, v)
		}
	})
}

// FuzzDescriptor reads any bytes as a descriptor, which a node fills in as it likes
// and authorities sign as it is, in each place of a document.
func FuzzDescriptor(f *testing.F) {
	n, _ := small(f)
	doc := document(f, n)
	for place, d := range []*pki.MixDescriptor{doc.Topology[1][0], doc.GatewayNodes[0], doc.ServiceNodes[0]} {
		f.Add(uint8(place), encoded(f, (*plainDescriptor)(d)))
	}
	change := func(change func(d *pki.MixDescriptor)) {
		d := document(f, n).ServiceNodes[0]
		change(d)
		f.Add(uint8(2), encoded(f, (*plainDescriptor)(d)))
	}
	change(func(d *pki.MixDescriptor) { d.LinkKey = d.LinkKey[1:] })
	change(func(d *pki.MixDescriptor) { d.MixKeys[fuzzEpoch] = []byte{} })
	change(func(d *pki.MixDescriptor) { d.KaetzchenAdvertizedData[Capability]["expiry"] = -1 })
	change(func(d *pki.MixDescriptor) { d.KaetzchenAdvertizedData[Capability] = nil })
	change(func(d *pki.MixDescriptor) { d.Kaetzchen[EchoCapability]["endpoint"] = 1 })
	f.Fuzz(func(t *testing.T, place uint8, b []byte) {
		d := new(pki.MixDescriptor)
		if d.UnmarshalBinary(b) != nil {
			return
		}
		doc := document(t, n)
		switch place % 3 {
		case 0:
			doc.Topology[1][0] = d
		case 1:
			doc.GatewayNodes[0] = d
		case 2:
			doc.ServiceNodes[0] = d
		}
		if v, err := n.read(doc, nil, fuzzEpoch); err == nil {
			usable(t, v)
		}
	})
}

// FuzzExitInfo reads any bytes as what an exit promises. What is taken is advertised
// as it was read.
func FuzzExitInfo(f *testing.F) {
	add := func(change func(m map[string]any)) {
		m := promises().Advertise()
		change(m)
		f.Add(encoded(f, m))
	}
	add(func(map[string]any) {})
	add(func(m map[string]any) { m["hold_ms"] = ^uint64(0) })
	add(func(m map[string]any) { m["max_loss_permille"] = ^uint64(0) })
	add(func(m map[string]any) { m["expiry"] = -1 })
	add(func(m map[string]any) { m["signing_key"] = "text" })
	add(func(m map[string]any) { m["from"] = []string{"a", "b"} })
	f.Add(encoded(f, map[string]any(nil)))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m map[string]any
		if cbor.Unmarshal(b, &m) != nil {
			return
		}
		info, err := parseExitInfo(m)
		if err != nil {
			return
		}
		if err := info.Check(); err != nil {
			t.Fatal(err)
		}
		var again map[string]any
		if err := cbor.Unmarshal(encoded(t, info.Advertise()), &again); err != nil {
			t.Fatal(err)
		}
		if got, err := parseExitInfo(again); err != nil || got.Expiry != info.Expiry || got.Hold != info.Hold || got.MaxLoss != info.MaxLoss ||
			got.From != info.From || got.Operator != info.Operator || !got.SigningKey.Equal(info.SigningKey) {
			t.Fatalf("%+v is advertised as %+v, %v", info, got, err)
		}
	})
}
