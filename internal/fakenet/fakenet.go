// Package fakenet is a whole network in memory, for tests in virtual time: three
// authorities' keys, a node of each kind, and an entry that speaks the real link
// protocol on a net.Conn. It holds every node's private keys, so it carries a
// packet through all hops at once and keeps it for the sum of their delays. Its
// entry behaves as a stock one does: it pushes one reply at a time and waits for
// its acknowledgement.
package fakenet

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/katzenpost/hpqc/hash"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/core/pki"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// member is an authority or a node with its private keys.
type member struct {
	*katzenpost.Keys
	public []byte // the same mix key in every epoch
	mixKey sphinx.PrivateKey
}

// Network is a network in memory.
type Network struct {
	*directory.Network
	Exit   func(request []byte) []byte // answers what reaches the exit; nil: nothing
	Info   directory.ExitInfo
	Signer ed25519.PrivateKey // the exit's

	// Voters are the authorities, by index, that sign each consensus; nil: all.
	Voters []int
	// Change edits a document before it is signed; Missing is asked whether the
	// entry has none for an epoch. Both may be nil.
	Change  func(*pki.Document)
	Missing func(epoch uint64) bool
	// Drop is asked whether the packet that came as n-th is lost on its way.
	Drop func(n int) bool
	// Seen is told of every command that the entry receives, and when.
	Seen func(command string, bytes int)

	authorities []*member
	entry, exit *member
	mixes       []*member
	sphinx      *sphinx.Sphinx

	mu       sync.Mutex
	received int
}

// authorities is how many a network has: the least of which one is not enough.
const authorities = 3

// New makes a network with these parameters.
func New(p directory.Parameters) (*Network, error) {
	n := new(Network)
	g, err := p.Geometry()
	if err != nil {
		return nil, err
	}
	n.sphinx = sphinx.New(g)
	members := make([]*member, authorities+2+p.Layers)
	for i := range members {
		members[i] = new(member)
		if members[i].Keys, err = katzenpost.NewKeys(); err != nil {
			return nil, err
		}
		var private []byte
		if members[i].public, private, err = g.GenerateKey(); err != nil {
			return nil, err
		}
		if members[i].mixKey, err = g.PrivateKey(private); err != nil {
			return nil, err
		}
	}
	n.authorities, members = members[:authorities], members[authorities:]
	n.entry, n.exit, n.mixes = members[0], members[1], members[2:]
	e := &directory.Member{Role: directory.RoleEntry, Name: "entry", Operator: "e", Address: "127.0.0.1:2"}
	e.SetKeys(n.entry.IdentityPublic, n.entry.LinkPublic)
	public := []*directory.Member{e}
	for i, m := range n.authorities {
		a := &directory.Member{
			Role: directory.RoleAuthority, Name: fmt.Sprintf("auth%d", i+1), Operator: fmt.Sprintf("a%d", i+1),
			Address: fmt.Sprintf("127.0.0.1:%d", 11+i), Parameters: &p,
		}
		a.SetKeys(m.IdentityPublic, m.LinkPublic)
		public = append(public, a)
	}
	if n.Network, err = directory.NewNetwork("fake", public); err != nil {
		return nil, err
	}
	for _, a := range n.authorities {
		if err := n.AddSignature(a.Identity); err != nil {
			return nil, err
		}
	}
	_, n.Signer, err = ed25519.GenerateKey(rand.Reader)
	n.Info = directory.ExitInfo{
		Operator: "x", SigningKey: n.Signer.Public().(ed25519.PublicKey), From: "anonymous@exit.example",
		Expiry: 120, Hold: time.Hour, MaxLoss: 0.2,
	}
	return n, err
}

// Consensus returns the signed consensus of an epoch.
func (n *Network) Consensus(epoch uint64) ([]byte, error) {
	p := n.Parameters
	descriptor := func(name string, m *member) *pki.MixDescriptor {
		identity, _ := m.IdentityPublic.MarshalBinary()
		linkKey, _ := m.LinkPublic.MarshalBinary()
		return &pki.MixDescriptor{
			Name: name, Epoch: epoch, IdentityKey: identity, LinkKey: linkKey,
			MixKeys:   map[uint64][]byte{epoch: m.public, epoch + 1: m.public, epoch + 2: m.public},
			Addresses: map[string][]string{pki.TransportTCPv4: {"tcp://127.0.0.1:9"}},
		}
	}
	entry := descriptor("entry", n.entry)
	entry.IsGatewayNode, entry.AuthenticationType = true, pki.TrustOnFirstUseAuth
	exit := descriptor("exit", n.exit)
	exit.IsServiceNode = true
	exit.Kaetzchen = map[string]map[string]any{
		directory.Capability: {"endpoint": directory.Endpoint}, directory.EchoCapability: {"endpoint": "+echo"},
	}
	exit.KaetzchenAdvertizedData = map[string]map[string]any{directory.Capability: n.Info.Advertise()}
	doc := &pki.Document{
		Epoch: epoch, GenesisEpoch: epoch, Version: pki.DocumentVersion, PKISignatureScheme: directory.SignatureScheme,
		Mu: directory.RateOf(p.Delay), LambdaP: directory.RateOf(p.Slot), LambdaL: directory.RateOf(p.Slot), LambdaM: directory.RateOf(p.Slot),
		GatewayNodes: []*pki.MixDescriptor{entry}, ServiceNodes: []*pki.MixDescriptor{exit},
		SphinxGeometryHash: n.sphinx.Geometry().Hash(),
	}
	for i, m := range n.mixes {
		doc.Topology = append(doc.Topology, []*pki.MixDescriptor{descriptor(fmt.Sprintf("mix%d", i+1), m)})
	}
	if n.Change != nil {
		n.Change(doc)
	}
	var signers []*katzenpost.Keys
	for i, a := range n.authorities {
		if n.Voters == nil || slices.Contains(n.Voters, i) {
			signers = append(signers, a.Keys)
		}
	}
	return katzenpost.SignDocument(doc, doc.Epoch+5, signers)
}

// Dial connects a gateway to the entry.
func (n *Network) Dial(ctx context.Context, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go n.serve(theirs)
	return ours, nil
}

// anyone accepts every gateway, as entries do.
type anyone struct{}

func (anyone) IsPeerValid(*wire.PeerCredentials) bool { return true }

// serve is the entry's side of one connection.
func (n *Network) serve(conn net.Conn) {
	id := hash.Sum256From(n.entry.IdentityPublic)
	geometry := katzenpost.Geometry(n.Parameters)
	session, err := wire.NewSession(&wire.SessionConfig{
		KEMScheme: kemschemes.ByName(directory.LinkScheme), Geometry: geometry, Authenticator: anyone{},
		AdditionalData: id[:], AuthenticationKey: n.entry.Link, RandomReader: rand.Reader,
		ReadTimeout: time.Hour,
	}, false)
	if err != nil {
		panic(err)
	}
	defer session.Close()
	if session.Initialize(context.Background(), conn) != nil {
		return
	}
	var (
		cmds    = commands.NewMixnetCommands(geometry)
		writing sync.Mutex
		replies = make(chan *commands.Message, 10_000)
		acks    = make(chan uint32, 1)
		done    = make(chan struct{})
	)
	defer close(done)
	send := func(c commands.Command) {
		writing.Lock()
		defer writing.Unlock()
		_ = session.SendCommand(context.Background(), c)
	}
	go func() { // pushes replies, one at a time
		idle := time.NewTicker(10 * time.Second)
		defer idle.Stop()
		for seq := uint32(1); ; {
			select {
			case <-done:
				return
			case <-idle.C:
				send(&commands.NoOp{Cmds: cmds})
			case m := <-replies:
				m.Sequence = seq
				send(m)
				for got := uint32(0); got != seq; {
					select {
					case <-done:
						return
					case got = <-acks:
					}
				}
				seq++
			}
		}
	}()
	for {
		cmd, err := session.RecvCommand(context.Background())
		if err != nil {
			return
		}
		if n.Seen != nil {
			n.Seen(fmt.Sprintf("%T", cmd), len(cmd.ToBytes()))
		}
		switch cmd := cmd.(type) {
		case *commands.SendPacket:
			n.carry(cmd.SphinxPacket, func(reply *commands.Message) {
				reply.Geo, reply.Cmds = geometry, cmds
				select {
				case replies <- reply:
				case <-done:
				}
			})
		case *commands.MessageDelivered:
			select {
			case acks <- cmd.Sequence:
			default:
			}
		case *commands.GetConsensus2:
			n.answer(cmd.Epoch, cmds, send)
		}
	}
}

func (n *Network) answer(epoch uint64, cmds *commands.Commands, send func(commands.Command)) {
	raw, err := n.Consensus(epoch)
	now := n.Epoch(time.Now())
	// An entry has the documents of now, of the two epochs before, and of the
	// next once it is voted.
	if err != nil || epoch > now+1 || epoch+2 < now || n.Missing != nil && n.Missing(epoch) {
		send(&commands.Consensus2{Cmds: cmds, ErrorCode: commands.ConsensusNotFound, ChunkTotal: 1})
		return
	}
	chunks, err := pki.Chunk(raw, cmds.MaxMessageLenServerToClient)
	if err != nil {
		panic(err)
	}
	for i, chunk := range chunks {
		send(&commands.Consensus2{Cmds: cmds, ChunkNum: uint32(i), ChunkTotal: uint32(len(chunks)), Payload: chunk})
	}
}

// carry takes a packet to the exit and its reply back to the entry, and hands
// the reply over after all hops' delays.
func (n *Network) carry(packet []byte, deliver func(*commands.Message)) {
	n.mu.Lock()
	n.received++
	lost := n.Drop != nil && n.Drop(n.received)
	n.mu.Unlock()
	if lost {
		return
	}
	var life time.Duration
	walk := func(packet []byte, path ...*member) *sphinx.Unwrapped {
		for i, m := range path {
			u := new(sphinx.Unwrapped)
			if err := n.sphinx.Unwrap(m.mixKey, packet, u); err != nil {
				return nil
			}
			life += time.Duration(u.Delay) * time.Millisecond
			if i == len(path)-1 {
				return u
			}
		}
		return nil
	}
	there := walk(packet, append(append([]*member{n.entry}, n.mixes...), n.exit)...)
	var endpoint sphinx.RecipientID
	copy(endpoint[:], directory.Endpoint)
	if there == nil || !there.HasRecipient || there.Recipient != endpoint {
		return
	}
	block, user, err := n.sphinx.Geometry().SplitPlaintext(there.Payload)
	if err != nil || block == nil {
		return
	}
	answer := n.Exit(user)
	if answer == nil {
		return
	}
	reply, _, err := n.sphinx.UseReplyBlock(block, answer)
	if err != nil {
		return
	}
	back := walk(reply, append(append([]*member{}, n.mixes...), n.entry)...)
	if back == nil || !back.HasReply {
		return
	}
	time.AfterFunc(life, func() { deliver(&commands.Message{SURBID: back.Reply, Payload: back.Payload}) })
}
