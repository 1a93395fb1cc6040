package mixnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/authority/voting/client"
	authconfig "github.com/katzenpost/katzenpost/authority/voting/server/config"
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
	// it fails, until ctx ends, and returns how many of them took it.
	post(ctx context.Context, epoch uint64, d *pki.MixDescriptor) (took int)
	// fetch returns an epoch's consensus, unchecked.
	fetch(ctx context.Context, epoch uint64) ([]byte, error)
}

// voters are the authorities of a network.
type voters struct {
	client pki.MixNodeClient   // of all, to fetch what they signed
	each   []pki.MixNodeClient // of one each, because the engine does not tell how many took a descriptor
	keys   *katzenpost.Keys
	id     [32]byte
}

func newVoters(n *directory.Network, keys *katzenpost.Keys, id [32]byte) (*voters, error) {
	backend, err := log.New(katzenpost.LogFile, katzenpost.LogLevel, false)
	if err != nil {
		return nil, err
	}
	ask := func(list ...*authconfig.Authority) (pki.MixNodeClient, error) {
		return client.New(&client.Config{
			KEMScheme: kemschemes.ByName(directory.LinkScheme), LinkKey: keys.Link, LogBackend: backend,
			Authorities: list, Geo: katzenpost.Geometry(n.Parameters),
			DialTimeoutSec: 10, HandshakeTimeoutSec: 10,
		})
	}
	all := katzenpost.Authorities(n)
	v := &voters{keys: keys, id: id}
	if v.client, err = ask(all...); err != nil {
		return nil, err
	}
	for _, a := range all {
		c, err := ask(a)
		if err != nil {
			return nil, err
		}
		v.each = append(v.each, c)
	}
	return v, nil
}

func (v *voters) post(ctx context.Context, epoch uint64, d *pki.MixDescriptor) (took int) {
	stats := &loops.LoopStats{MixIdentityHash: &v.id, Epoch: epoch}
	var (
		posting sync.WaitGroup
		count   atomic.Int64
	)
	for _, c := range v.each {
		posting.Go(func() {
			err := c.Post(ctx, epoch, v.keys.Identity, v.keys.IdentityPublic, d, stats)
			if err == nil || errors.Is(err, pki.ErrInvalidPostEpoch) { // it has another one of this node, which stays
				count.Add(1)
			}
		})
	}
	posting.Wait()
	return int(count.Load())
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
		now := n.date()
		epoch := directory.EpochAt(now, n.period)
		begins := directory.EpochStart(epoch, n.period)
		if err := n.keys.roll(epoch); err != nil {
			n.say("keys", "mix keys", err)
		} else {
			n.said("keys")
		}
		// Side by side: an authority that is away may hold up either for as long as
		// descriptors are taken.
		publishing := n.startPublishing(ctx, epoch, published, begins)
		n.refresh()
		n.fetchMissing(ctx, epoch, !now.Before(begins.Add(part(n.period, votedAt))))
		n.refresh()
		published = publishing()
		if n.leaves() && n.hasLeft(epoch) {
			return errLeft
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
	now := n.date()
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

// startPublishing publishes the descriptor for the next epoch beside what its caller
// does meanwhile, if it is time and was not done yet. What it returns waits for that,
// and returns the last epoch that is published for.
func (n *node) startPublishing(ctx context.Context, epoch, published uint64, begins time.Time) (wait func() uint64) {
	if n.leaves() {
		n.say("leaving", "this node leaves the network, as you told it to: it ends when no consensus lists it any more", nil)
		return func() uint64 { return epoch + 1 }
	}
	n.said("leaving")
	until := begins.Add(part(n.period, publishUntil))
	if published > epoch || !n.date().Before(until) {
		return func() uint64 { return published }
	}
	result := make(chan error, 1)
	go func() { result <- n.publish(ctx, epoch+1, until) }()
	return func() uint64 {
		switch err := <-result; {
		case errors.Is(err, errNoAddress): // the router's silence is said already
			return published
		case err != nil:
			n.say("publishing", "not enough authorities took this node's descriptor; it tries again", err)
			return published
		}
		n.said("publishing")
		return epoch + 1
	}
}

var errNoAddress = errors.New("no router said an address yet")

// publish posts the descriptor for an epoch, when there is an address to publish.
func (n *node) publish(ctx context.Context, epoch uint64, until time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, until.Sub(n.date()))
	defer cancel()
	if !n.hasAddress(ctx) {
		return errNoAddress
	}
	d, err := n.descriptor(epoch)
	if err != nil {
		return err
	}
	p := &Published{Epoch: epoch, Took: n.authorities.post(ctx, epoch, d), Of: len(n.network.Authorities)}
	n.published.Store(p)
	if !p.enough() {
		return fmt.Errorf("taken by %d of %d: is this node admitted there, do they run, and is the clock right?", p.Took, p.Of)
	}
	return nil
}

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
// current one and, when it is voted, the next. It ends with the epoch, for the next one
// begins with what cannot wait.
func (n *node) fetchMissing(ctx context.Context, epoch uint64, next bool) {
	wanted := []uint64{epoch}
	ends := directory.EpochStart(epoch+1, n.period)
	if next {
		wanted = append(wanted, epoch+1)
	}
	for _, e := range wanted {
		if n.docs[e] != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, min(max(part(n.period, askAgain), fetchTimeout), ends.Sub(n.date())))
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
// that are of no use any more, or damaged, which it says.
func (n *node) loadDocuments() error {
	dir := filepath.Join(n.cfg.State, documentsDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	now := directory.EpochAt(n.date(), n.period)
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		epoch, err := strconv.ParseUint(e.Name(), 10, 64)
		if err == nil && epoch+keyEpochs > now && epoch <= now+1 {
			var v *directory.View
			raw, err := config.Read(path)
			if err == nil {
				v, err = n.network.Verify(raw, epoch)
			}
			if err == nil {
				n.docs[epoch], n.raw[epoch] = v, raw
				continue
			}
			n.log.Warn("a damaged state file", "error", fmt.Errorf("%s: %w; it is removed and fetched again, and nothing else is lost", path, err))
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
	if epoch+1 < directory.EpochAt(n.date(), n.period) {
		return nil, link.StatusGone
	}
	return nil, link.StatusNotFound
}

// refresh looks anew at who is next to this node, and lets the others go.
func (n *node) refresh() {
	v := look(n.id, n.docs, n.date(), n.period)
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
