package sphinx

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/blake2b"

	"codeberg.org/sourdine/sourdine/sphinx/internal/cipher"
)

// Defaults of the network: X-Wing (ML-KEM-768 and X25519), entry, three mixes
// and exit, and a user payload that most mails fit. They make packets of
// 44,458 bytes with a header of 7,164.
const (
	DefaultScheme      = "Xwing"
	DefaultHops        = 5
	DefaultUserPayload = 30_000
)

// Bounds of a geometry. They are ours, the format has none: four times the
// default path, and a mail of the largest size in one packet. No consensus can
// make anyone hold a packet of more than 1.1 MB.
const (
	MaxHops        = 20
	MaxUserPayload = 1 << 20
)

// Lengths in bytes of what every geometry has (Katzenpost core/sphinx/geo and
// core/sphinx/internal/crypto).
const (
	versionLength         = 2
	macLength             = 32
	payloadTagLength      = 32
	plaintextHeaderLength = 2 // a flag and a reserved byte
	payloadKeyLength      = cipher.BlockKeySize + cipher.NonceSize
	nextLength            = 1 + NodeIDLength + macLength
	commandsLength        = nextLength + 1 + ReplyIDLength // room, more than any hop needs
)

// Geometry holds the sizes, in bytes, that all packets of a network share. Make
// one with [NewGeometry] or [ParseGeometry]; its zero value is not usable.
type Geometry struct {
	Scheme string // the key exchange, a name of [Schemes]
	Hops   int    // the longest path

	PacketLength      int // header, payload tag, payload
	HeaderLength      int // version, element, routing info, MAC
	ElementLength     int // a group element, or the ciphertext of an encapsulated key
	RoutingInfoLength int // all hops' routing info
	HopInfoLength     int // one hop's share of it
	ReplyBlockLength  int // header, first hop, payload key
	PayloadTagLength  int
	PayloadLength     int // what Wrap takes: plaintext header, reply block, user payload
	UserPayloadLength int

	// The scheme's name in a consensus: one of them, for the two kinds.
	NIKEName, KEMName string

	exchange     scheme
	secretLength int
}

// NewGeometry derives all sizes from the key exchange's name, the longest path
// and the user payload's size in bytes, as Katzenpost's core/sphinx/geo does.
func NewGeometry(scheme string, hops, userPayload int) (*Geometry, error) {
	exchange, err := schemeByName(scheme)
	if err != nil {
		return nil, err
	}
	if err := between("sphinx hops", hops, 1, MaxHops); err != nil {
		return nil, err
	}
	if err := between("sphinx payload", userPayload, 0, MaxUserPayload); err != nil {
		return nil, err
	}
	return newGeometry(exchange, hops, userPayload), nil
}

func between(what string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: %d is not between %d and %d", what, n, low, high)
	}
	return nil
}

func newGeometry(exchange scheme, hops, userPayload int) *Geometry {
	g := &Geometry{
		Scheme: exchange.name(), Hops: hops, exchange: exchange,
		HopInfoLength:     commandsLength,
		PayloadTagLength:  payloadTagLength,
		UserPayloadLength: userPayload,
	}
	g.ElementLength, g.secretLength = exchange.lengths()
	if exchange.blinds() {
		g.NIKEName = exchange.consensusName()
	} else {
		g.KEMName = exchange.consensusName()
		g.HopInfoLength += g.ElementLength // the next hop's
	}
	g.RoutingInfoLength = g.HopInfoLength * hops
	g.HeaderLength = versionLength + g.ElementLength + g.RoutingInfoLength + macLength
	g.ReplyBlockLength = g.HeaderLength + NodeIDLength + payloadKeyLength
	g.PayloadLength = plaintextHeaderLength + g.ReplyBlockLength + userPayload
	g.PacketLength = g.HeaderLength + payloadTagLength + g.PayloadLength
	return g
}

// Where the parts of a header begin.
func (g *Geometry) routingOffset() int { return versionLength + g.ElementLength }
func (g *Geometry) macOffset() int     { return g.HeaderLength - macLength }

// field is one of a geometry as Katzenpost publishes it (core/sphinx/geo): in the
// section SphinxGeometry of its TOML files, and as what a consensus has the hash
// of.
type field struct {
	name  string
	value any // string or int64
}

// fields are all of them, each behind those that it follows from.
func (g *Geometry) fields() []field {
	return []field{
		{"NIKEName", g.NIKEName},
		{"KEMName", g.KEMName},
		{"NrHops", int64(g.Hops)},
		{"UserForwardPayloadLength", int64(g.UserPayloadLength)},
		{"SphinxPlaintextHeaderLength", int64(plaintextHeaderLength)},
		{"PayloadTagLength", int64(g.PayloadTagLength)},
		{"NextNodeHopLength", int64(nextLength)},
		{"SPRPKeyMaterialLength", int64(payloadKeyLength)},
		{"PerHopRoutingInfoLength", int64(g.HopInfoLength)},
		{"RoutingInfoLength", int64(g.RoutingInfoLength)},
		{"HeaderLength", int64(g.HeaderLength)},
		{"SURBLength", int64(g.ReplyBlockLength)},
		{"ForwardPayloadLength", int64(g.PayloadLength)},
		{"PacketLength", int64(g.PacketLength)},
	}
}

// maxGeometry bounds what ParseGeometry reads, in bytes: a hundred times what
// there is to say.
const maxGeometry = 1 << 16

// ParseGeometry reads a geometry as Katzenpost publishes it: TOML with a section
// SphinxGeometry. All follows from the scheme, the hops and the user payload; an
// error names the field that does not, or that is unknown or missing.
func ParseGeometry(text []byte) (*Geometry, error) {
	got, err := parseFields(text)
	if err != nil {
		return nil, err
	}
	nike, kem := got["NIKEName"].(string), got["KEMName"].(string)
	if (nike == "") == (kem == "") {
		return nil, errors.New("geometry: one of NIKEName and KEMName must be set, and the other not")
	}
	kind, name := "KEMName", kem
	if kem == "" {
		kind, name = "NIKEName", nike
	}
	at := slices.IndexFunc(schemes, func(s scheme) bool {
		return s.blinds() == (kem == "") && strings.EqualFold(s.consensusName(), name)
	})
	if at < 0 {
		return nil, fmt.Errorf("geometry: %s %q is unknown", kind, name)
	}
	hops, userPayload := int(got["NrHops"].(int64)), int(got["UserForwardPayloadLength"].(int64))
	if err := between("geometry: NrHops", hops, 1, MaxHops); err != nil {
		return nil, err
	}
	if err := between("geometry: UserForwardPayloadLength", userPayload, 0, MaxUserPayload); err != nil {
		return nil, err
	}
	g := newGeometry(schemes[at], hops, userPayload)
	g.NIKEName, g.KEMName = nike, kem // as spelt: the hash is of that

	var wrong []field
	for _, f := range g.fields() {
		if got[f.name] != f.value {
			wrong = append(wrong, f)
		}
	}
	if len(wrong) == 0 {
		return g, nil
	}
	// Where more than one does not follow, what they follow from is wrong.
	first := wrong[0].name
	from, free := map[string]string{
		"PerHopRoutingInfoLength": kind, "RoutingInfoLength": "NrHops", "ForwardPayloadLength": "UserForwardPayloadLength",
	}[first]
	if free && len(wrong) > 1 {
		return nil, fmt.Errorf("geometry: %s is %v, which the lengths do not follow from", from, got[from])
	}
	return nil, fmt.Errorf("geometry: %s is %v, and follows as %v", first, got[first], wrong[0].value)
}

// parseFields reads the fields, each of its type, and no others.
func parseFields(text []byte) (map[string]any, error) {
	if len(text) > maxGeometry {
		return nil, fmt.Errorf("geometry of %d bytes: more than %d", len(text), maxGeometry)
	}
	var file map[string]map[string]any
	if err := toml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("geometry: %w", err)
	}
	got, ok := file["SphinxGeometry"]
	if !ok || len(file) > 1 {
		return nil, errors.New("geometry: want the section SphinxGeometry and no other")
	}
	known := map[string]bool{}
	for _, f := range new(Geometry).fields() {
		known[f.name] = true
		if value, ok := got[f.name]; !ok {
			return nil, fmt.Errorf("geometry: %s is missing", f.name)
		} else if reflect.TypeOf(value) != reflect.TypeOf(f.value) {
			return nil, fmt.Errorf("geometry: %s is of type %T, want %T", f.name, value, f.value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if !known[name] {
			return nil, fmt.Errorf("geometry: %s is unknown", name)
		}
	}
	return got, nil
}

// canonical is CBOR with the order of keys of RFC 7049, Section 3.9, as the engine
// encodes.
var canonical = func() cbor.EncMode {
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		panic(err) // the options are the library's own
	}
	return mode
}()

// Hash identifies the geometry in a consensus: BLAKE2b-256 of its canonical
// CBOR encoding (Katzenpost core/sphinx/geo).
func (g *Geometry) Hash() []byte {
	list := map[string]any{}
	for _, f := range g.fields() {
		list[f.name] = f.value
	}
	encoded, err := canonical.Marshal(list)
	if err != nil {
		panic(err) // a map of numbers and names
	}
	sum := blake2b.Sum256(encoded)
	return sum[:]
}

// flagReplyBlock is the first byte of a plaintext that carries a reply block
// (Katzenpost server/internal/packet, ParseForwardPacket).
const flagReplyBlock = 1

// Plaintext builds the payload that Wrap takes from a reply block and at most
// UserPayloadLength bytes for the recipient, which it pads with zeros.
func (g *Geometry) Plaintext(replyBlock, user []byte) ([]byte, error) {
	if len(replyBlock) != g.ReplyBlockLength {
		return nil, fmt.Errorf("building a payload: reply block of %d bytes, want %d", len(replyBlock), g.ReplyBlockLength)
	}
	if len(user) > g.UserPayloadLength {
		return nil, fmt.Errorf("building a payload: %d bytes, at most %d fit", len(user), g.UserPayloadLength)
	}
	p := make([]byte, g.PayloadLength)
	p[0] = flagReplyBlock
	n := copy(p[plaintextHeaderLength:], replyBlock)
	copy(p[plaintextHeaderLength+n:], user)
	return p, nil
}

// SplitPlaintext is the inverse of Plaintext at the recipient. The slices point
// into payload; the reply block is nil when the sender gave none.
func (g *Geometry) SplitPlaintext(payload []byte) (replyBlock, user []byte, err error) {
	if len(payload) != g.PayloadLength {
		return nil, nil, fmt.Errorf("reading a payload: %d bytes, want %d", len(payload), g.PayloadLength)
	}
	if payload[0] > flagReplyBlock || payload[1] != 0 {
		return nil, nil, errors.New("reading a payload: unknown flags")
	}
	end := plaintextHeaderLength + g.ReplyBlockLength
	if payload[0] == flagReplyBlock {
		replyBlock = payload[plaintextHeaderLength:end]
	}
	return replyBlock, payload[end:], nil
}
