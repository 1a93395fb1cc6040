package mixnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/authority/voting/client"
	"github.com/katzenpost/katzenpost/core/log"
	"github.com/katzenpost/katzenpost/core/pki"
	"github.com/katzenpost/katzenpost/loops"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/link"
)

// When things happen in an epoch, as parts of it (Katzenpost
// authority/voting/server/state.go): descriptors for the next one are taken until
// publishUntil, less what a slow upload takes, and its consensus is there from
// votedAt on.
const (
	publishUntil = 1.0/8 - 1.0/48
	votedAt      = 5.0 / 8
	askAgain     = 1.0 / 16
)

// fetchTimeout is how long a consensus is waited for at least.
const fetchTimeout = 2500 * time.Millisecond

// authorities is how the node talks to the authorities.
type authorities interface {
	// post publishes a descriptor for an epoch at all authorities, and again where
	// it fails, until ctx ends. It is an error unless most of them took it.
	post(ctx context.Context, epoch uint64, d *pki.MixDescriptor) error
	// fetch returns an epoch's consensus, unchecked.
	fetch(ctx context.Context, epoch uint64) ([]byte, error)
}

// voters are the authorities of a network.
type voters struct {
	client pki.MixNodeClient
	keys   *katzenpost.Keys
	id     [32]byte
}

func newVoters(n *directory.Network, keys *katzenpost.Keys, id [32]byte) (*voters, error) {
	backend, err := log.New(katzenpost.LogFile, katzenpost.LogLevel, false)
	if err != nil {
		return nil, err
	}
	c, err := client.New(&client.Config{
		KEMScheme: kemschemes.ByName(directory.LinkScheme), LinkKey: keys.Link, LogBackend: backend,
		Authorities: katzenpost.Authorities(n), Geo: katzenpost.Geometry(n.Parameters),
		DialTimeoutSec: 10, HandshakeTimeoutSec: 10,
	})
	if err != nil {
		return nil, err
	}
	return &voters{c, keys, id}, nil
}

func (v *voters) post(ctx context.Context, epoch uint64, d *pki.MixDescriptor) error {
	stats := &loops.LoopStats{MixIdentityHash: &v.id, Epoch: epoch}
	return v.client.Post(ctx, epoch, v.keys.Identity, v.keys.IdentityPublic, d, stats)
}

func (v *voters) fetch(ctx context.Context, epoch uint64) ([]byte, error) {
	_, raw, err := v.client.GetPKIDocumentForEpoch(ctx, epoch)
	return raw, err
}

// follow keeps the node in the network: it makes mix keys ahead, publishes the
// node's descriptor in each epoch for the next, and fetches each consensus, until
// ctx ends.
func (n *node) follow(ctx context.Context) error {
	published := uint64(0)
	for {
		now := n.now()
		epoch := directory.EpochAt(now, n.period)
		begins := directory.EpochStart(epoch, n.period)
		if err := n.keys.roll(epoch); err != nil {
			n.say("keys", "mix keys", err)
		} else {
			n.said("keys")
		}
		// The consensus first: an authority that is away may hold up the publishing for
		// as long as descriptors are taken.
		n.refresh()
		n.fetchMissing(ctx, epoch, !now.Before(begins.Add(part(n.period, votedAt))))
		n.refresh()
		if n.leaves() {
			if n.hasLeft(epoch) {
				return errLeft
			}
			n.say("leaving", "this node leaves the network, as you told it to: it ends when no consensus lists it any more", nil)
			published = epoch + 1
		} else {
			n.said("leaving")
		}
		if until := begins.Add(part(n.period, publishUntil)); published <= epoch && n.now().Before(until) && n.hasAddress(ctx) {
			if err := n.publish(ctx, epoch+1, until); err != nil {
				n.say("publishing", "the authorities did not take this node's descriptor; it tries again", err)
			} else {
				published = epoch + 1
				n.said("publishing")
			}
		}
		if n.entry != nil {
			n.entry.sweep()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(n.untilNext(epoch, published)):
		case <-n.moved:
		}
	}
}

func part(d time.Duration, share float64) time.Duration { return time.Duration(share * float64(d)) }

// untilNext is how long follow has nothing to do.
func (n *node) untilNext(epoch, published uint64) time.Duration {
	now := n.now()
	begins := directory.EpochStart(epoch, n.period)
	next := begins.Add(n.period)
	sooner := func(t time.Time) {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	sooner(begins.Add(part(n.period, votedAt)))
	sooner(begins.Add(part(n.period, 1-early))) // when the next consensus's nodes may connect
	_, have := n.docs[epoch+1]
	late := !now.Before(begins.Add(part(n.period, votedAt)))
	if n.docs[epoch] == nil || late && !have || published <= epoch && now.Before(begins.Add(part(n.period, publishUntil))) {
		sooner(now.Add(part(n.period, askAgain)))
	}
	return max(next.Sub(now), time.Millisecond)
}

// publish posts the descriptor for an epoch.
func (n *node) publish(ctx context.Context, epoch uint64, until time.Time) error {
	d, err := n.descriptor(epoch)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, until.Sub(n.now()))
	defer cancel()
	if n.authorities.post(ctx, epoch, d) != nil {
		return errNotTaken // the engine's error names addresses
	}
	return nil
}

var errNotTaken = errors.New("not taken by most of them: is this node admitted there, do they run, and is the clock right?")

func (n *node) descriptor(epoch uint64) (*pki.MixDescriptor, error) {
	identity, err := n.identity.IdentityPublic.MarshalBinary()
	if err != nil {
		return nil, err
	}
	linkKey, err := n.identity.LinkPublic.MarshalBinary()
	if err != nil {
		return nil, err
	}
	transport := pki.TransportTCPv6
	address := *n.address.Load()
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host).To4() != nil {
		transport = pki.TransportTCPv4
	}
	d := &pki.MixDescriptor{
		Name: n.cfg.Name, Epoch: epoch, IdentityKey: identity, LinkKey: linkKey, MixKeys: map[uint64][]byte{},
		Addresses: map[string][]string{transport: {katzenpost.URL(address)}},
	}
	for e := epoch; e < epoch+keyEpochs; e++ {
		if key := n.keys.public(e); key != nil {
			d.MixKeys[e] = key
		}
	}
	switch {
	case n.isEntry():
		d.IsGatewayNode, d.AuthenticationType = true, pki.TrustOnFirstUseAuth
	case n.exit != nil:
		d.IsServiceNode = true
		d.Kaetzchen, d.KaetzchenAdvertizedData = n.exit.advertise()
	}
	return d, pki.IsDescriptorWellFormed(d, epoch)
}

// fetchMissing fetches the documents that a node needs at an epoch and has not: the
// current one and, when it is voted, the next.
func (n *node) fetchMissing(ctx context.Context, epoch uint64, next bool) {
	wanted := []uint64{epoch}
	if next {
		wanted = append(wanted, epoch+1)
	}
	for _, e := range wanted {
		if n.docs[e] != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, max(part(n.period, askAgain), fetchTimeout))
		raw, err := n.authorities.fetch(ctx, e)
		cancel()
		if err != nil {
			if e == epoch {
				n.say("fetching", n.without(), errNoConsensus)
			}
			continue
		}
		v, err := n.network.Verify(raw, e)
		if err != nil {
			n.say("fetching", "a consensus was refused", err)
			continue
		}
		n.said("fetching")
		n.keep(v)
	}
}

// without says what it means that there is no consensus.
func (n *node) without() string {
	if len(n.docs) == 0 {
		return "the authorities have no consensus for this epoch; the node waits for one"
	}
	return "the authorities have no consensus for this epoch; the node goes on with its last one for two epochs"
}

var errNoConsensus = errors.New("none was voted, or no authority answers")

// keep takes a checked document in, also on disk, so that the node is of use at
// once after a restart.
func (n *node) keep(v *directory.View) {
	n.docs[v.Epoch] = v
	if err := config.WriteFile(n.documentPath(v.Epoch), v.Raw, 0o600); err != nil {
		n.say("writing", "a consensus could not be stored", err)
	}
	n.docsMu.Lock()
	defer n.docsMu.Unlock()
	n.raw[v.Epoch] = v.Raw
	for e := range n.docs {
		if e+keyEpochs <= v.Epoch {
			delete(n.docs, e)
			delete(n.raw, e)
			_ = os.Remove(n.documentPath(e)) // one left over is removed at the next start
		}
	}
}

const documentsDir = "consensus"

func (n *node) documentPath(epoch uint64) string {
	return filepath.Join(n.cfg.State, documentsDir, strconv.FormatUint(epoch, 10))
}

// loadDocuments reads the documents that an earlier run kept, and removes those
// that are of no use any more, or damaged.
func (n *node) loadDocuments() error {
	dir := filepath.Join(n.cfg.State, documentsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	now := directory.EpochAt(n.now(), n.period)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		epoch, err := strconv.ParseUint(e.Name(), 10, 64)
		if err == nil && epoch+keyEpochs > now && epoch <= now+1 {
			raw, err := config.Read(path)
			if err == nil {
				if v, err := n.network.Verify(raw, epoch); err == nil {
					n.docs[epoch], n.raw[epoch] = v, raw
					continue
				}
			}
		}
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("removing an old consensus: %w", err)
		}
	}
	return nil
}

// document returns an epoch's consensus for those who ask an entry for it.
func (n *node) document(epoch uint64) (raw []byte, status byte) {
	n.docsMu.Lock()
	defer n.docsMu.Unlock()
	if raw := n.raw[epoch]; raw != nil {
		return raw, link.StatusOK
	}
	if epoch+1 < directory.EpochAt(n.now(), n.period) {
		return nil, link.StatusGone
	}
	return nil, link.StatusNotFound
}

// refresh looks anew at who is next to this node, and lets the others go.
func (n *node) refresh() {
	v := look(n.id, n.docs, n.now(), n.period)
	n.view.Store(v)
	n.mixer.serve(v.to)
	n.outgoing.follow(n.running, v)
	n.conns.check()
	if v.listed != n.wasListed {
		n.wasListed = v.listed
		if v.listed {
			n.log.Info("the consensus lists this node: it carries packets", "node", n.cfg.Name)
		} else {
			n.log.Warn("the consensus does not list this node any more", "node", n.cfg.Name)
		}
	}
}
