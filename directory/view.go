package directory

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/katzenpost/core/cert"
	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Capability is the name under which an exit's descriptor lists the post
// office, and Endpoint the recipient that packets for it name.
const (
	Capability = "sourdine"
	Endpoint   = "sourdine"
)

// EchoCapability is the name under which a service node's descriptor lists that it
// sends back what it is sent, and to which endpoint: where loops turn (Katzenpost
// server/internal/service/kaetzchen/echo.go).
const EchoCapability = "echo"

// echo is a node at which loops turn.
type echo struct {
	node     Node
	endpoint sphinx.RecipientID
}

// Node is a node as a consensus lists it.
type Node struct {
	Name      string
	ID        sphinx.NodeID
	Addresses []string                    // host:port over TCP
	Link      kem.PublicKey               // proves the node at the other end of a connection
	MixKeys   map[uint64]sphinx.PublicKey // by epoch
}

// Exit is an exit and what its descriptor promises.
type Exit struct {
	Node
	ExitInfo
}

// ExitInfo is what an exit advertises in its descriptor.
type ExitInfo struct {
	Operator   string
	SigningKey ed25519.PublicKey // signs the keys of the day
	From       string            // the address its mail comes from
	Expiry     uint64            // epochs: how long a parcel may live at most
	Hold       time.Duration     // mean time a complete parcel is held
	MaxLoss    float64           // share of packets lost above which fragments are held back
}

// Advertise encodes an exit's promises for a descriptor.
func (e ExitInfo) Advertise() map[string]any {
	return map[string]any{
		"version": uint64(1), "operator": e.Operator, "signing_key": []byte(e.SigningKey), "from": e.From,
		"expiry": e.Expiry, "hold_ms": uint64(e.Hold.Milliseconds()), "max_loss_permille": uint64(math.Round(e.MaxLoss * 1000)),
	}
}

// maxHold bounds the hold that an exit may advertise.
const maxHold = 7 * 24 * time.Hour

// parseExitInfo reads what Advertise wrote, from a descriptor that an exit is
// free to fill with anything.
func parseExitInfo(m map[string]any) (e ExitInfo, err error) {
	number := func(key string) uint64 {
		v, ok := m[key].(uint64)
		if !ok && err == nil {
			err = fmt.Errorf("%s is missing", key)
		}
		return v
	}
	if number("version") != 1 && err == nil {
		err = errors.New("unknown version")
	}
	e.Expiry = number("expiry")
	e.Hold = time.Duration(min(number("hold_ms"), uint64(maxHold/time.Millisecond))) * time.Millisecond
	e.MaxLoss = float64(number("max_loss_permille")) / 1000
	e.Operator, _ = m["operator"].(string)
	e.From, _ = m["from"].(string)
	key, _ := m["signing_key"].([]byte)
	e.SigningKey = key
	if err == nil {
		err = e.Check()
	}
	return e, err
}

// maxExpiry bounds the epochs that an exit may keep a mail.
const maxExpiry = 100_000

// Check refuses promises that no gateway would believe.
func (e *ExitInfo) Check() error {
	switch {
	case len(e.SigningKey) != ed25519.PublicKeySize:
		return errors.New("signing_key is not an Ed25519 key")
	case CheckName(e.Operator) != nil:
		return errors.New("operator is not a name")
	case len(e.From) == 0 || len(e.From) > 254:
		return errors.New("from is not an address")
	case e.Expiry == 0 || e.Expiry > maxExpiry:
		return fmt.Errorf("expiry is not between 1 and %d epochs", maxExpiry)
	case e.Hold < time.Millisecond || e.Hold > maxHold: // the descriptor's unit
		return fmt.Errorf("hold is not between 1ms and %v", maxHold)
	case !(e.MaxLoss >= 0.0005 && e.MaxLoss <= 1): // else the descriptor would say 0
		return errors.New("max_loss is not a share between 0.0005 and 1")
	}
	return nil
}

// View is one epoch's consensus, checked.
type View struct {
	Epoch   uint64
	Slot    time.Duration // one packet of each gateway in each
	Delay   time.Duration // mean at each mix
	Loop    time.Duration // mean between two packets that a node sends to itself; 0: it sends none
	Layers  [][]Node      // of mixes, the entries' side first
	Entries []Node
	Exits   []Exit // those with a post office
	Raw     []byte // the signed document

	services []Node // all service nodes, exits among them
	echoes   []echo // those that send back what they are sent
}

// maxConsensus bounds a consensus document, in bytes.
const maxConsensus = 8 << 20

// Verify checks a consensus document: signed by the threshold of the network's
// authorities, well-formed, for packets of the network's geometry, for epoch.
func (n *Network) Verify(raw []byte, epoch uint64) (*View, error) {
	if len(raw) > maxConsensus {
		return nil, fmt.Errorf("consensus of %d bytes: more than %d", len(raw), maxConsensus)
	}
	if _, _, _, err := cert.VerifyThreshold(n.verifiers(), n.Threshold(), raw); err != nil {
		return nil, fmt.Errorf("consensus: not signed by %d of the %d authorities: %w", n.Threshold(), len(n.Authorities), err)
	}
	doc, err := pki.ParseDocument(raw)
	if err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	return n.read(doc, raw, epoch)
}

// read checks what the authorities signed.
func (n *Network) read(doc *pki.Document, raw []byte, epoch uint64) (*View, error) {
	if doc.Epoch != epoch {
		return nil, fmt.Errorf("consensus: it is for epoch %d, not %d", doc.Epoch, epoch)
	}
	if err := complete(doc); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	if err := pki.IsDocumentWellFormed(doc, n.verifiers()); err != nil {
		return nil, fmt.Errorf("consensus: %w", err)
	}
	g, err := n.Parameters.Geometry()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(doc.SphinxGeometryHash, g.Hash()) {
		return nil, errors.New("consensus: it is for packets of another geometry: get the network file again")
	}
	return newView(doc, raw, g)
}

// complete says whether there is a descriptor wherever the document lists one. CBOR's
// null makes none, which the engine does not expect.
func complete(doc *pki.Document) error {
	for _, list := range slices.Concat(doc.Topology, [][]*pki.MixDescriptor{doc.GatewayNodes, doc.ServiceNodes}) {
		if slices.Contains(list, nil) {
			return errNoDescriptor
		}
	}
	if slices.Contains(doc.StorageReplicas, nil) {
		return errNoDescriptor
	}
	return nil
}

var errNoDescriptor = errors.New("it lists a node without a descriptor")

func newView(doc *pki.Document, raw []byte, g *sphinx.Geometry) (*View, error) {
	v := &View{Epoch: doc.Epoch, Raw: raw}
	var err error
	if v.Slot, err = meanOf(doc.LambdaP); err != nil {
		return nil, fmt.Errorf("consensus: LambdaP: %w", err)
	}
	if v.Delay, err = meanOf(doc.Mu); err != nil {
		return nil, fmt.Errorf("consensus: Mu: %w", err)
	}
	if doc.LambdaM != 0 {
		if v.Loop, err = meanOf(doc.LambdaM); err != nil {
			return nil, fmt.Errorf("consensus: LambdaM: %w", err)
		}
	}
	for _, layer := range doc.Topology {
		v.Layers = append(v.Layers, nodes(layer, g))
	}
	v.Entries = nodes(doc.GatewayNodes, g)
	v.services = nodes(doc.ServiceNodes, g)
	for _, d := range doc.ServiceNodes {
		if endpoint, ok := d.Kaetzchen[EchoCapability]["endpoint"].(string); ok && len(endpoint) <= sphinx.RecipientIDLength {
			e := echo{node: node(d, g)}
			copy(e.endpoint[:], endpoint)
			v.echoes = append(v.echoes, e)
		}
		// An exit without a post office, or with one we cannot read, is nobody's exit.
		if _, has := d.Kaetzchen[Capability]; !has {
			continue
		}
		if info, err := parseExitInfo(d.KaetzchenAdvertizedData[Capability]); err == nil {
			v.Exits = append(v.Exits, Exit{Node: node(d, g), ExitInfo: info})
		}
	}
	return v, nil
}

// meanOf turns a rate in events per millisecond into the mean time between two.
func meanOf(rate float64) (time.Duration, error) {
	if !(rate > 0) || rate > 1 || 1/rate > float64(24*time.Hour/time.Millisecond) {
		return 0, fmt.Errorf("rate %v per millisecond is out of bounds", rate)
	}
	return time.Duration(math.Round(1/rate)) * time.Millisecond, nil
}

// RateOf is the inverse of what a View reads: events per millisecond.
func RateOf(mean time.Duration) float64 { return 1 / float64(mean.Milliseconds()) }

func nodes(list []*pki.MixDescriptor, g *sphinx.Geometry) []Node {
	out := make([]Node, len(list))
	for i, d := range list {
		out[i] = node(d, g)
	}
	return out
}

func node(d *pki.MixDescriptor, g *sphinx.Geometry) Node {
	n := Node{Name: d.Name, ID: hash.Sum256(d.IdentityKey), MixKeys: map[uint64]sphinx.PublicKey{}}
	for epoch, b := range d.MixKeys {
		// A node that publishes no key that can be read has none.
		if key, err := g.PublicKey(b); err == nil {
			n.MixKeys[epoch] = key
		}
	}
	// A node whose link key cannot be read is one that nobody can connect to.
	n.Link, _ = kemschemes.ByName(LinkScheme).UnmarshalBinaryPublicKey(d.LinkKey)
	for _, transport := range []string{pki.TransportTCPv4, pki.TransportTCPv6} {
		for _, a := range d.Addresses[transport] {
			if u, err := url.Parse(a); err == nil {
				n.Addresses = append(n.Addresses, u.Host)
			}
		}
	}
	return n
}

// Exit returns the exit with this identity.
func (v *View) Exit(id sphinx.NodeID) (*Exit, bool) {
	i := slices.IndexFunc(v.Exits, func(e Exit) bool { return e.ID == id })
	if i < 0 {
		return nil, false
	}
	return &v.Exits[i], true
}

// Entry returns the entry with this identity.
func (v *View) Entry(id sphinx.NodeID) (*Node, bool) {
	i := slices.IndexFunc(v.Entries, func(n Node) bool { return n.ID == id })
	if i < 0 {
		return nil, false
	}
	return &v.Entries[i], true
}

// Neighbours returns the nodes that send packets to the node with this identity,
// and those that it sends packets to: between entries or service nodes and the
// first layer, from layer to layer, and between the last layer and entries or
// service nodes. It returns false if the consensus does not list the node.
func (v *View) Neighbours(id sphinx.NodeID) (from, to []Node, ok bool) {
	edge := slices.Concat(v.Entries, v.services)
	layers := append(append([][]Node{edge}, v.Layers...), edge)
	for i, layer := range layers[:len(layers)-1] {
		if !slices.ContainsFunc(layer, func(n Node) bool { return n.ID == id }) {
			continue
		}
		if i == 0 { // the edge, which is before the first layer and behind the last
			return layers[len(layers)-2], layers[1], true
		}
		return layers[i-1], layers[i+1], true
	}
	return nil, nil, false
}

// Name is the name of the node with this identity; "" if the consensus lists none.
func (v *View) Name(id sphinx.NodeID) string {
	for _, list := range append([][]Node{v.Entries, v.services}, v.Layers...) {
		for i := range list {
			if list[i].ID == id {
				return list[i].Name
			}
		}
	}
	return ""
}

// IDs are the identities of all nodes that the consensus lists.
func (v *View) IDs() []sphinx.NodeID {
	var ids []sphinx.NodeID
	for _, list := range append([][]Node{v.Entries, v.services}, v.Layers...) {
		for i := range list {
			ids = append(ids, list[i].ID)
		}
	}
	return ids
}

// Floors are what a gateway insists on, whatever the authorities sign.
type Floors struct {
	MinSlot   time.Duration `toml:"min_slot"`   // a faster network costs the home line
	MaxSlot   time.Duration `toml:"max_slot"`   // a slower one carries nothing
	MinDelay  time.Duration `toml:"min_delay"`  // mean at each mix
	MinLayers int           `toml:"min_layers"` // of mixes
	MinMixes  int           `toml:"min_mixes"`  // in each layer
}

// DefaultFloors are those of a gateway whose owner says nothing.
func DefaultFloors() Floors {
	return Floors{MinSlot: 5 * time.Second, MaxSlot: 2 * time.Minute, MinDelay: 10 * time.Second, MinLayers: 3, MinMixes: 1}
}

// ErrBelowFloors is wrapped by what View.Meets returns.
var ErrBelowFloors = errors.New("the consensus is below this gateway's floors")

// Meets is nil when the view is at or above the floors, else says what is not.
func (v *View) Meets(f Floors) error {
	switch {
	case v.Slot < f.MinSlot:
		return fmt.Errorf("%w: a packet every %v, floor %v", ErrBelowFloors, v.Slot, f.MinSlot)
	case v.Slot > f.MaxSlot:
		return fmt.Errorf("%w: a packet every %v only, floor %v", ErrBelowFloors, v.Slot, f.MaxSlot)
	case v.Delay < f.MinDelay:
		return fmt.Errorf("%w: a mean delay of %v at each mix, floor %v", ErrBelowFloors, v.Delay, f.MinDelay)
	case len(v.Layers) < f.MinLayers:
		return fmt.Errorf("%w: %d layers of mixes, floor %d", ErrBelowFloors, len(v.Layers), f.MinLayers)
	}
	for i, layer := range v.Layers {
		if len(layer) < f.MinMixes {
			return fmt.Errorf("%w: %d mixes in layer %d, floor %d", ErrBelowFloors, len(layer), i+1, f.MinMixes)
		}
	}
	return nil
}
