package nodebench

import (
	"context"
	"crypto/rand"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/katzenpost/hpqc/hash"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	"github.com/katzenpost/katzenpost/core/pki"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/ports"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mixnode"
	"codeberg.org/sourdine/sourdine/mixnode/mixkeys"
	"codeberg.org/sourdine/sourdine/mixnode/replay"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Neighbours of the nodes that are measured, before and behind them. A node of a
// small network has about so many.
const (
	feeders = 3
	sinks   = 3
)

// authorities is how many a network has: the least of which one is not enough.
const authorities = 3

// member is a party of the network with all its keys.
type member struct {
	*katzenpost.Keys
	name    string
	id      sphinx.NodeID
	address string // where it is reached
	public  []byte // its mix key, the same in every epoch
	mixKey  sphinx.PublicKey
}

// network is all that the nodes know of the world: authorities with one consensus,
// which they never vote on. Feeders are its first layer, the nodes to be measured
// the second, sinks the third.
type network struct {
	dir        string
	geometry   *sphinx.Geometry
	parameters directory.Parameters
	epoch      uint64
	consensus  []byte

	authorities, feeders, sinks []*member
	ours, stock                 *member

	serving   sync.WaitGroup
	listeners []net.Listener
}

// began is where in an epoch a network is when it is made, as parts of it: too late
// to publish, and long before anything else happens.
const (
	began    = 0.2
	beganBy  = 0.25
	quietFor = 5.0/8 - beganBy // until the next consensus is asked for
)

// period is an epoch of which one is where networks begin, and that has so much
// quiet left.
func period(now time.Time, quiet time.Duration) (time.Duration, error) {
	least := time.Duration(float64(quiet)/quietFor).Truncate(time.Second) + time.Second
	for p := least; p < 2*least; p += time.Second {
		gone := now.Sub(directory.EpochStart(directory.EpochAt(now, p), p))
		if gone > time.Duration(began*float64(p)) && gone < time.Duration(beganBy*float64(p)) {
			return p, nil
		}
	}
	return 0, fmt.Errorf("found no epoch with %v of quiet", quiet)
}

// newNetwork makes a network below dir that is quiet for so long, and serves it.
func newNetwork(dir string, g *sphinx.Geometry, quiet time.Duration) (*network, error) {
	now := time.Now()
	epoch, err := period(now, quiet)
	if err != nil {
		return nil, err
	}
	p := directory.DefaultParameters()
	p.Epoch, p.Slot, p.Delay = epoch, time.Second, meanDelay
	n := &network{dir: dir, geometry: g, parameters: p, epoch: directory.EpochAt(now, epoch)}
	if err := n.makeMembers(); err != nil {
		n.close()
		return nil, err
	}
	if err := n.sign(); err != nil {
		n.close()
		return nil, err
	}
	for i, a := range n.authorities {
		n.serving.Go(func() { n.serve(n.listeners[i], a) })
	}
	return n, nil
}

func (n *network) makeMembers() (err error) {
	several := func(count int, name string) (list []*member, err error) {
		for i := range count {
			m := &member{name: name + strconv.Itoa(i+1)}
			if m.Keys, err = katzenpost.NewKeys(); err != nil {
				return nil, err
			}
			list = append(list, m)
		}
		return list, nil
	}
	if n.authorities, err = several(authorities, "authority"); err != nil {
		return err
	}
	for _, a := range n.authorities {
		l, err := net.Listen("tcp", loopback)
		if err != nil {
			return err
		}
		n.listeners = append(n.listeners, l)
		a.address = l.Addr().String()
	}
	if n.feeders, err = several(feeders, "feeder"); err != nil {
		return err
	}
	if n.sinks, err = several(sinks, "sink"); err != nil {
		return err
	}
	n.ours, n.stock = &member{name: "ours"}, &member{name: "stock"}
	for _, m := range []*member{n.ours, n.stock} {
		if err := n.makeKeys(m); err != nil {
			return err
		}
	}
	for _, m := range append(append([]*member{n.ours, n.stock}, n.feeders...), n.sinks...) {
		m.id = hash.Sum256From(m.IdentityPublic)
		if m.address == "" {
			if m.address, err = freeAddress(); err != nil {
				return err
			}
		}
		if m == n.ours {
			m.public, err = n.ourMixKey()
		} else {
			var private []byte
			if m.public, private, err = n.geometry.GenerateKey(); err == nil && m == n.stock {
				err = n.storeMixKey(private)
			}
		}
		if err != nil {
			return err
		}
		if m.mixKey, err = n.geometry.PublicKey(m.public); err != nil {
			return err
		}
	}
	return nil
}

// loopback is where a listener is given a port by the system.
const loopback = "127.0.0.1:0"

// freeAddress is one that nobody else is given as long as this process lives.
func freeAddress() (string, error) {
	addresses, err := ports.Take(1)
	if err != nil {
		return "", err
	}
	return addresses[0], nil
}

// state is the directory of a node to be measured.
func (n *network) state(m *member) string { return filepath.Join(n.dir, m.name) }

// makeKeys makes the keys of a node in its state directory, which it makes.
func (n *network) makeKeys(m *member) error {
	if err := os.MkdirAll(n.state(m), 0o700); err != nil {
		return err
	}
	sealer, err := seal.Open(seal.Plain, n.state(m), nil)
	if err != nil {
		return err
	}
	defer sealer.Wipe()
	if m.Keys, err = katzenpost.NewKeys(); err != nil {
		return err
	}
	return m.Keys.Store(n.state(m), sealer)
}

// ourMixKey makes our node's mix keys, as it does itself when it first starts, and
// returns the current one.
func (n *network) ourMixKey() ([]byte, error) {
	state := n.state(n.ours)
	sealer, err := seal.Open(seal.Plain, state, nil)
	if err != nil {
		return nil, err
	}
	var keys *mixkeys.Keys
	keys, err = mixkeys.Open(filepath.Join(state, "mixkeys"), n.geometry, sealer, func(epoch uint64) error {
		tags, err := replay.Create(keys.TagsPath(epoch), nil)
		if err != nil {
			return err
		}
		return tags.Close()
	})
	if err != nil {
		return nil, err
	}
	defer keys.Close()
	if err := keys.Ensure(n.epoch); err != nil {
		return nil, err
	}
	return keys.Public(n.epoch), nil
}

// stockKeys is where a stock node finds the mix keys of its last run.
func stockKeys(state string) string { return filepath.Join(state, "mixkeys") }

// storeMixKey stores the current mix key for the stock node, as if it had been
// running before (its server/internal/mixkey, Persist).
func (n *network) storeMixKey(private []byte) error {
	kind := byte(1)
	if n.geometry.NIKEName != "" {
		kind = 0
	}
	dir := stockKeys(n.state(n.stock))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	content := append(append([]byte("KMK1"), kind), private...)
	return os.WriteFile(filepath.Join(dir, fmt.Sprintf("mixkey-%d.bin", n.epoch)), content, 0o600)
}

// sign makes the consensus and the network file.
func (n *network) sign() error {
	list := func(members ...*member) (all []*pki.MixDescriptor) {
		for _, m := range members {
			all = append(all, n.descriptor(m))
		}
		return all
	}
	// Every consensus has these two. They are next to no node that is measured.
	edge := []*member{{name: "entry"}, {name: "exit"}}
	for _, m := range edge {
		var err error
		if m.Keys, err = katzenpost.NewKeys(); err != nil {
			return err
		}
		m.public, m.address = n.stock.public, n.feeders[0].address
	}
	entry, exit := n.descriptor(edge[0]), n.descriptor(edge[1])
	entry.IsGatewayNode, entry.AuthenticationType = true, pki.TrustOnFirstUseAuth
	exit.IsServiceNode = true
	var err error
	p := &n.parameters
	n.consensus, err = katzenpost.SignDocument(&pki.Document{
		Epoch: n.epoch, GenesisEpoch: n.epoch, Version: pki.DocumentVersion, PKISignatureScheme: directory.SignatureScheme,
		Mu: directory.RateOf(p.Delay), LambdaP: directory.RateOf(p.Slot), LambdaL: directory.RateOf(p.Slot),
		GatewayNodes: []*pki.MixDescriptor{entry}, ServiceNodes: []*pki.MixDescriptor{exit},
		Topology:           [][]*pki.MixDescriptor{list(n.feeders...), list(n.ours, n.stock), list(n.sinks...)},
		SphinxGeometryHash: n.geometry.Hash(),
	}, math.MaxUint64, n.keysOfAuthorities()) // this process counts other epochs than the nodes
	if err != nil {
		return err
	}
	file := &directory.Member{Role: directory.RoleEntry, Name: "entry", Operator: "bench", Address: edge[0].address}
	file.SetKeys(edge[0].IdentityPublic, edge[0].LinkPublic)
	members := []*directory.Member{file}
	for _, a := range n.authorities {
		m := &directory.Member{Role: directory.RoleAuthority, Name: a.name, Operator: a.name, Address: a.address, Parameters: p}
		m.SetKeys(a.IdentityPublic, a.LinkPublic)
		members = append(members, m)
	}
	made, err := directory.NewNetwork("bench", members)
	if err != nil {
		return err
	}
	return config.WriteFile(n.file(), made.Bytes(), 0o600)
}

// file is the network file.
func (n *network) file() string { return filepath.Join(n.dir, "network.toml") }

func (n *network) keysOfAuthorities() (keys []*katzenpost.Keys) {
	for _, a := range n.authorities {
		keys = append(keys, a.Keys)
	}
	return keys
}

func (n *network) descriptor(m *member) *pki.MixDescriptor {
	// A key that was just made can be marshalled.
	identity, _ := m.IdentityPublic.MarshalBinary()
	linkKey, _ := m.LinkPublic.MarshalBinary()
	return &pki.MixDescriptor{
		Name: m.name, Epoch: n.epoch, IdentityKey: identity, LinkKey: linkKey,
		MixKeys:   map[uint64][]byte{n.epoch: m.public, n.epoch + 1: m.public, n.epoch + 2: m.public},
		Addresses: map[string][]string{pki.TransportTCPv4: {katzenpost.URL(m.address)}},
	}
}

// config is that of a node to be measured.
func (n *network) config(m *member) mixnode.Config {
	return mixnode.Config{
		Role: directory.RoleMix, Name: m.name, Operator: "bench", Layer: 2, Address: m.address,
		Network: n.file(), State: n.state(m), Keys: string(seal.Plain),
	}
}

// anyone may ask for the consensus.
type anyone struct{}

func (anyone) IsPeerValid(*wire.PeerCredentials) bool { return true }

// serve is an authority: it has the one consensus and takes no descriptor.
func (n *network) serve(l net.Listener, a *member) {
	id := hash.Sum256From(a.IdentityPublic)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		n.serving.Go(func() {
			defer conn.Close()
			s, err := wire.NewPKISession(&wire.SessionConfig{
				KEMScheme: kemschemes.ByName(directory.LinkScheme), PKISignatureScheme: signschemes.ByName(directory.SignatureScheme),
				Authenticator: anyone{}, AdditionalData: id[:], AuthenticationKey: a.Link, RandomReader: rand.Reader,
			}, false)
			if err != nil {
				return
			}
			defer s.Close()
			if s.Initialize(context.Background(), conn) != nil {
				return
			}
			cmd, err := s.RecvCommand(context.Background())
			if err != nil {
				return
			}
			if ask, ok := cmd.(*commands.GetConsensus); ok {
				answer := &commands.Consensus{ErrorCode: commands.ConsensusNotFound}
				if ask.Epoch == n.epoch {
					answer = &commands.Consensus{ErrorCode: commands.ConsensusOk, Payload: n.consensus}
				}
				_ = s.SendCommand(context.Background(), answer)
			}
		})
	}
}

func (n *network) close() {
	for _, l := range n.listeners {
		l.Close()
	}
	n.serving.Wait()
}
