package sphinx

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/katzenpost/hpqc/nike"
	"github.com/katzenpost/hpqc/nike/x448"
	katzenpost "github.com/katzenpost/katzenpost/core/sphinx"
	"github.com/katzenpost/katzenpost/core/sphinx/commands"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
)

// x448NIKE is what it takes to add a key exchange, here one whose elements,
// secrets and blinding factors are all of another length than X25519's.
type x448NIKE struct{}

var curve448 nike.Scheme = x448.Scheme(rand.Reader)

func (x448NIKE) name() string                   { return "x448" }
func (x448NIKE) consensusName() string          { return "x448" }
func (x448NIKE) blinds() bool                   { return true }
func (x448NIKE) lengths() (element, secret int) { return 56, 56 }

func (x448NIKE) generateKey() (public, private []byte, err error) {
	p, k, err := curve448.GenerateKeyPair()
	if err != nil {
		return nil, nil, err
	}
	return p.Bytes(), k.Bytes(), nil
}

type x448Public struct {
	keyOf
	u []byte
}

func (s x448NIKE) publicKey(b []byte) (PublicKey, error) {
	return &x448Public{keyOf{s}, b}, checkLength(b, 56)
}

type x448Private struct {
	keyOf
	scalar []byte
}

func (s x448NIKE) privateKey(b []byte) (PrivateKey, error) {
	return &x448Private{keyOf{s}, b}, checkLength(b, 56)
}

func (k *x448Private) sharedSecret(element, secret []byte) bool {
	copy(secret, x448Mult(k.scalar, element))
	return true
}

func (k *x448Private) Wipe() { *k = x448Private{} }

func x448Mult(scalar, u []byte) []byte {
	public, private := curve448.NewEmptyPublicKey(), curve448.NewEmptyPrivateKey()
	if public.FromBytes(u) != nil || private.FromBytes(scalar) != nil {
		panic("a key of another length")
	}
	return curve448.DeriveSecret(private, public)
}

func (x448NIKE) agree(w *workspace, path []Hop, dst []agreement) error {
	public, private, err := curve448.GenerateKeyPair()
	if err != nil {
		return err
	}
	for i, hop := range path {
		element, secret := public.Bytes(), x448Mult(private.Bytes(), hop.Key.(*x448Public).u)
		for j := range i {
			var factor [56]byte
			dst[j].keys.blindingFactor(factor[:])
			element, secret = x448Mult(factor[:], element), x448Mult(factor[:], secret)
		}
		copy(dst[i].element, element)
		dst[i].keys.derive(w, secret, true)
	}
	return nil
}

func (x448NIKE) nextElement(element, _ []byte, k *keys) {
	var factor [56]byte
	k.blindingFactor(factor[:])
	copy(element, x448Mult(factor[:], element))
}

// Another key exchange is another file: with the methods above, packets over X448
// cross Katzenpost's hops and ours.
func TestAnotherScheme(t *testing.T) {
	g := newGeometry(x448NIKE{}, 3, 100)
	s := New(g)
	size := geo.GeometryFromUserForwardPayloadLength(curve448, 100, true, 3)
	if size.PacketLength != g.PacketLength || size.HeaderLength != g.HeaderLength {
		t.Fatalf("packets of %d bytes, Katzenpost's of %d", g.PacketLength, size.PacketLength)
	}
	theirs := katzenpost.NewNIKESphinx(curve448, size)
	var (
		path      []Hop
		theirPath []*katzenpost.PathHop
		keys      []PrivateKey
		theirKeys []nike.PrivateKey
	)
	for i := range 3 {
		public, private, err := g.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		h := Hop{ID: NodeID{byte(i)}, Delay: 1}
		if h.Key, err = g.PublicKey(public); err != nil {
			t.Fatal(err)
		}
		their := &katzenpost.PathHop{ID: h.ID, Commands: []commands.RoutingCommand{&commands.NodeDelay{Delay: 1}}}
		if their.NIKEPublicKey, err = curve448.UnmarshalBinaryPublicKey(public); err != nil {
			t.Fatal(err)
		}
		if i == 2 {
			h.Recipient = new(RecipientID)
			their.Commands = append(their.Commands, &commands.Recipient{})
		}
		key, err := g.PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		theirKey, err := curve448.UnmarshalBinaryPrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		path, theirPath = append(path, h), append(theirPath, their)
		keys, theirKeys = append(keys, key), append(theirKeys, theirKey)
	}
	want := bytes.Repeat([]byte{1}, g.PayloadLength)
	ours, err := s.Wrap(path, want)
	if err != nil {
		t.Fatal(err)
	}
	other, err := theirs.NewPacket(rand.Reader, theirPath, want)
	if err != nil {
		t.Fatal(err)
	}
	for _, packet := range [][]byte{ours, other} {
		work := bytes.Clone(packet)
		var u Unwrapped
		for i := range path {
			if err := s.Unwrap(keys[i], work, &u); err != nil {
				t.Fatalf("hop %d: %v", i+1, err)
			}
			payload, _, _, err := theirs.Unwrap(theirKeys[i], packet)
			if err != nil {
				t.Fatalf("hop %d: Katzenpost: %v", i+1, err)
			}
			if !bytes.Equal(u.Payload, payload) || !u.Last && !bytes.Equal(work, packet) {
				t.Fatalf("hop %d differs from Katzenpost", i+1)
			}
		}
		if !bytes.Equal(u.Payload, want) {
			t.Error("another payload arrives")
		}
	}
	keys[0].Wipe()
	if err := s.Unwrap(keys[0], ours, new(Unwrapped)); err != errKey {
		t.Errorf("with a wiped key: %v", err)
	}
}
