package mixed_test

import (
	"bytes"
	"context"
	"crypto/rand"
	mathrand "math/rand"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/katzenpost/core/epochtime"
	"github.com/katzenpost/katzenpost/core/pki"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"
	"github.com/katzenpost/katzenpost/core/sphinx/constants"
	"github.com/katzenpost/katzenpost/core/sphinx/path"

	"codeberg.org/sourdine/sourdine/gateway"
	engine "codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// ping crosses a network as a stock client does: a packet and a reply block made by
// Katzenpost's own code, on ways that it chose, to the echo service of the exit, and
// back.
func ping(t *testing.T, n *testnet.Network) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	network, err := gateway.TrustedNetwork(n.Path(testnet.Gateway, "network.toml"))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := network.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	id, err := link.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", network.Entries[0].Address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := link.Handshake(ctx, socket, id, network.Entries[0], ours, trial.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, conn.Close)()
	defer conn.Close()
	epoch := n.Epoch()
	if err := conn.RequestConsensus(epoch); err != nil {
		t.Fatal(err)
	}
	var doc *pki.Document
	for doc == nil {
		m, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := m.(*link.Consensus); ok {
			if doc, err = pki.ParseDocument(c.Raw); err != nil {
				t.Fatal(err)
			}
		}
	}

	// This process's epochs are of another length than the network's, so that the
	// keys of now have another number in it.
	at := time.Now()
	here, _, _ := epochtime.FromUnix(at.Unix())
	for _, nodes := range append(doc.Topology, doc.GatewayNodes, doc.ServiceNodes) {
		for _, d := range nodes {
			d.MixKeys[here] = d.MixKeys[epoch]
		}
	}
	g := engine.Geometry(network.Parameters)
	s, err := katzenpost.FromGeometry(g)
	if err != nil {
		t.Fatal(err)
	}
	rng := mathrand.New(mathrand.NewSource(time.Now().UnixNano()))
	entry, exit := doc.GatewayNodes[0], doc.ServiceNodes[0]
	client := id.Client()
	var reply [constants.SURBIDLength]byte
	rand.Read(reply[:])
	there, then, err := path.New(rng, g, doc, append([]byte("+echo"), make([]byte, constants.RecipientIDLength-5)...), entry, exit, &reply, at, true, true)
	if err != nil {
		t.Fatal(err)
	}
	back, _, err := path.New(rng, g, doc, client[:], exit, entry, &reply, then, false, false)
	if err != nil {
		t.Fatal(err)
	}
	block, keys, err := s.NewSURB(rand.Reader, back)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 1000)
	rand.Read(text)
	payload := slices.Concat([]byte{1, 0}, block, text)
	payload = append(payload, make([]byte, g.ForwardPayloadLength-len(payload))...)
	packet, err := s.NewPacket(rand.Reader, there, payload)
	if err != nil {
		t.Fatal(err)
	}
	if hash.Sum256(entry.IdentityKey) != there[0].ID {
		t.Fatal("the way does not begin at the entry")
	}
	if err := conn.SendSlot(packet, nil); err != nil {
		t.Fatal(err)
	}
	for {
		m, err := conn.Receive()
		if err != nil {
			t.Fatalf("no reply to the ping: %v", err)
		}
		r, ok := m.(*link.Reply)
		if !ok || r.ID != reply {
			continue
		}
		answer, err := s.DecryptSURBPayload(r.Payload, keys)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(answer, text) {
			t.Error("the ping came back with something else")
		}
		return
	}
}
