package mixed_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	mathrand "math/rand"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/hash"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/core/epochtime"
	"github.com/katzenpost/katzenpost/core/pki"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"
	"github.com/katzenpost/katzenpost/core/sphinx/constants"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"github.com/katzenpost/katzenpost/core/sphinx/path"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway"
	engine "codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// client is a stock client: Katzenpost's own link, packets and reply blocks.
type client struct {
	t       *testing.T
	ctx     context.Context
	name    [constants.RecipientIDLength]byte
	entry   *directory.Member
	session *wire.Session
	cmds    *commands.Commands
	g       *geo.Geometry
	sphinx  *katzenpost.Sphinx
	doc     *pki.Document
	sent    map[[constants.SURBIDLength]byte]sent
}

// sent is a packet whose reply is awaited.
type sent struct{ text, keys []byte }

// ping crosses a network as a stock client does: packets go by ways that Katzenpost's
// own code chose to the echo service of the exit, and back. The entry pushes a reply,
// and the next when the one before is acknowledged; with polls, further ones come
// to who asks for them.
func ping(t *testing.T, n *testnet.Network, polls bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	c := connect(t, ctx, n)
	defer context.AfterFunc(ctx, c.session.Close)()
	defer c.session.Close()
	c.learn(n)
	for sequence := uint32(1); sequence <= 2; sequence++ {
		c.send(&commands.SendPacket{Cmds: c.cmds, SphinxPacket: c.packet()})
		m := receive[*commands.Message](c)
		if m.Sequence != sequence {
			t.Fatalf("reply %d has the sequence number %d", sequence, m.Sequence)
		}
		c.open(m.SURBID, m.Payload)
		if sequence == 1 {
			c.send(&commands.MessageDelivered{Cmds: c.cmds, Sequence: sequence})
		}
	}
	if !polls {
		return
	}
	// The second reply is not acknowledged, so that no other is pushed. An entry takes a
	// packet in each slot.
	slot := time.NewTicker(time.Duration(float64(time.Millisecond) / c.doc.LambdaP))
	defer slot.Stop()
	for {
		c.send(&commands.SendRetrievePacket{Cmds: c.cmds, Geo: c.g, SphinxPacket: c.packet()})
		if r := receive[*commands.SendRetrievePacketReply](c); len(r.Payload) > 0 {
			c.open(r.SURBID, r.Payload)
			return
		}
		select {
		case <-slot.C:
		case <-ctx.Done():
			t.Fatal("whoever polls gets no reply")
		}
	}
}

// connect is a client's connection to a network's entry.
func connect(t *testing.T, ctx context.Context, n *testnet.Network) *client {
	t.Helper()
	network, err := gateway.TrustedNetwork(n.Path(testnet.Gateway, "network.toml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, ctx: ctx, entry: network.Entries[0], g: engine.Geometry(network.Parameters), sent: map[[constants.SURBIDLength]byte]sent{}}
	rand.Read(c.name[:])
	c.cmds = commands.NewMixnetCommands(c.g)
	if c.sphinx, err = katzenpost.FromGeometry(c.g); err != nil {
		t.Fatal(err)
	}
	scheme := kemschemes.ByName(directory.LinkScheme)
	_, key, err := scheme.GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	if c.session, err = wire.NewSession(&wire.SessionConfig{
		KEMScheme: scheme, Geometry: c.g, Authenticator: c, AdditionalData: c.name[:], AuthenticationKey: key,
		RandomReader: rand.Reader, HandshakeTimeout: trial.Patience, ReadTimeout: trial.Patience, WriteTimeout: trial.Patience,
	}, true); err != nil {
		t.Fatal(err)
	}
	socket, err := new(net.Dialer).DialContext(ctx, "tcp", c.entry.Address)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.session.Initialize(ctx, socket); err != nil {
		socket.Close()
		t.Fatal(err)
	}
	return c
}

// IsPeerValid makes a client Katzenpost's authenticator of its entry.
func (c *client) IsPeerValid(peer *wire.PeerCredentials) bool {
	id := c.entry.ID()
	return hmac.Equal(peer.AdditionalData, id[:]) && c.entry.LinkKey().Equal(peer.PublicKey)
}

func (c *client) send(command commands.Command) {
	c.t.Helper()
	if err := c.session.SendCommand(c.ctx, command); err != nil {
		c.t.Fatal(err)
	}
}

// receive is the next command, which is of this type or empty.
func receive[T commands.Command](c *client) T {
	c.t.Helper()
	for {
		command, err := c.session.RecvCommand(c.ctx)
		if err != nil {
			c.t.Fatal(err)
		}
		switch command := command.(type) {
		case T:
			return command
		case *commands.NoOp:
		default:
			c.t.Fatalf("a client is sent %T", command)
		}
	}
}

// learn fetches the consensus of the epoch. An entry may have it a moment later than
// the epoch begins.
func (c *client) learn(n *testnet.Network) {
	c.t.Helper()
	var epoch uint64
	pieces := pki.NewDechunker()
	for len(pieces.Output) == 0 {
		if pieces.ChunkTotal == 0 {
			epoch = n.Epoch()
			c.send(&commands.GetConsensus2{Cmds: c.cmds, Epoch: epoch})
		}
		m := receive[*commands.Consensus2](c)
		if m.ErrorCode != commands.ConsensusOk {
			select {
			case <-time.After(100 * time.Millisecond):
				continue
			case <-c.ctx.Done():
				c.t.Fatalf("the entry has no consensus of epoch %d: %d", epoch, m.ErrorCode)
			}
		}
		pieces.ChunkNum, pieces.ChunkTotal = int(m.ChunkNum), int(m.ChunkTotal)
		if err := pieces.Consume(m.Payload, int(m.ChunkNum), int(m.ChunkTotal)); err != nil {
			c.t.Fatal(err)
		}
	}
	var err error
	if c.doc, err = pki.ParseDocument(pieces.Output); err != nil {
		c.t.Fatal(err)
	}
	// This process's epochs are of another length than the network's, so that the
	// keys of now have another number in it.
	here, _, _ := epochtime.FromUnix(time.Now().Unix())
	for _, nodes := range append(c.doc.Topology, c.doc.GatewayNodes, c.doc.ServiceNodes) {
		for _, d := range nodes {
			d.MixKeys[here], d.MixKeys[here+1] = d.MixKeys[epoch], d.MixKeys[epoch]
		}
	}
}

// packet makes a packet to the echo service with a text and a reply block.
func (c *client) packet() []byte {
	c.t.Helper()
	rng := mathrand.New(mathrand.NewSource(time.Now().UnixNano()))
	entry, exit := c.doc.GatewayNodes[0], c.doc.ServiceNodes[0]
	var reply [constants.SURBIDLength]byte
	rand.Read(reply[:])
	there, then, err := path.New(rng, c.g, c.doc, append([]byte("+echo"), make([]byte, constants.RecipientIDLength-5)...), entry, exit, &reply, time.Now(), true, true)
	if err != nil {
		c.t.Fatal(err)
	}
	if hash.Sum256(entry.IdentityKey) != there[0].ID {
		c.t.Fatal("the way does not begin at the entry")
	}
	back, _, err := path.New(rng, c.g, c.doc, c.name[:], exit, entry, &reply, then, false, false)
	if err != nil {
		c.t.Fatal(err)
	}
	block, keys, err := c.sphinx.NewSURB(rand.Reader, back)
	if err != nil {
		c.t.Fatal(err)
	}
	text := make([]byte, 1000)
	rand.Read(text)
	payload := slices.Concat([]byte{1, 0}, block, text)
	payload = append(payload, make([]byte, c.g.ForwardPayloadLength-len(payload))...)
	packet, err := c.sphinx.NewPacket(rand.Reader, there, payload)
	if err != nil {
		c.t.Fatal(err)
	}
	c.sent[reply] = sent{text, keys}
	return packet
}

// open takes a reply, which is one to a packet that has none yet.
func (c *client) open(id [constants.SURBIDLength]byte, payload []byte) {
	c.t.Helper()
	s, ok := c.sent[id]
	if !ok {
		c.t.Fatal("a reply to nothing, or a second one")
	}
	delete(c.sent, id)
	answer, err := c.sphinx.DecryptSURBPayload(payload, s.keys)
	if err != nil {
		c.t.Fatal(err)
	}
	if !bytes.Contains(answer, s.text) {
		c.t.Error("the ping came back with something else")
	}
}
