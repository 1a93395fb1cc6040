package tap

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kempem "github.com/katzenpost/hpqc/kem/pem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// entry answers each packet with a reply that begins with the packet's first
// byte, and each question for a consensus with document.
type entry struct {
	Target
	key  kem.PrivateKey
	name chan []byte // what each gateway calls itself
	acks chan uint32
}

var document = []byte("a consensus")

func newEntry(t *testing.T) *entry {
	t.Helper()
	identity, _, err := signschemes.ByName(directory.SignatureScheme).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	p := directory.DefaultParameters()
	p.Payload = 4000
	e := &entry{key: private, name: make(chan []byte, 10), acks: make(chan uint32, 100)}
	e.Network = &directory.Network{Parameters: p}
	e.Member = &directory.Member{Role: directory.RoleEntry, Name: "entry", Operator: "e", Address: "127.0.0.1:1"}
	e.Member.SetKeys(identity, public)
	e.State = t.TempDir()
	if err := os.WriteFile(filepath.Join(e.State, "link.private.pem"), kempem.ToPrivatePEMBytes(private), 0o600); err != nil {
		t.Fatal(err)
	}
	l := listen(t)
	e.Address = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go e.serve(c)
		}
	}()
	return e
}

func (e *entry) geometry() *geo.Geometry { return katzenpost.Geometry(e.Network.Parameters) }

func (e *entry) ourGeometry(t *testing.T) *sphinx.Geometry {
	t.Helper()
	g, err := e.Network.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (e *entry) serve(c net.Conn) {
	g := e.geometry()
	s, err := newSession(g, e.key, anyone{}, entryID(e.Member), false)
	if err != nil {
		panic(err)
	}
	defer s.Close()
	ctx := context.Background()
	if s.Initialize(ctx, c) != nil {
		return
	}
	peer, err := s.PeerCredentials()
	if err != nil {
		panic(err)
	}
	e.name <- peer.AdditionalData
	for sequence := uint32(1); ; {
		cmd, err := s.RecvCommand(ctx)
		if err != nil {
			return
		}
		switch cmd := cmd.(type) {
		case *commands.SendPacket:
			payload := make([]byte, g.PayloadTagLength+g.ForwardPayloadLength)
			payload[0] = cmd.SphinxPacket[0]
			_ = s.SendCommand(ctx, &commands.Message{Geo: g, Cmds: s.GetCommands(), Sequence: sequence, Payload: payload})
			sequence++
		case *commands.MessageDelivered:
			e.acks <- cmd.Sequence
		case *commands.GetConsensus2:
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			w.Write(document)
			w.Close()
			_ = s.SendCommand(ctx, &commands.Consensus2{Cmds: s.GetCommands(), ChunkTotal: 1, Payload: b.Bytes()})
		}
	}
}

func TestLossyLosesPacketsAndNothingElse(t *testing.T) {
	e := newEntry(t)
	lossy := &Lossy{Drop: Every(3)}
	address := serveTap(t, lossy, e.Target)

	id, err := link.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	g := e.ourGeometry(t)
	conn, err := link.Handshake(context.Background(), dial(t, address), id, e.Member, g, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := id.Client()
	if name := <-e.name; !bytes.Equal(name, client[:]) {
		t.Errorf("the entry was told the name %x, want %x", name, client)
	}

	packet := make([]byte, g.PacketLength)
	rand.Read(packet)
	for i := range byte(9) {
		packet[0] = i
		ack := uint32(i)
		if err := conn.SendSlot(packet, &ack); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.RequestConsensus(1); err != nil {
		t.Fatal(err)
	}
	var came []byte
	for {
		m, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if c, ok := m.(*link.Consensus); ok {
			if !bytes.Equal(c.Raw, document) {
				t.Errorf("the consensus came as %q", c.Raw)
			}
			break
		}
		came = append(came, m.(*link.Reply).Payload[0])
	}
	if want := []byte{0, 1, 3, 4, 6, 7}; !bytes.Equal(came, want) {
		t.Errorf("packets %v were answered, want %v", came, want)
	}
	if ack := <-e.acks; ack != link.Clocked {
		t.Errorf("the first acknowledgement is %d, and should ask for a clock", ack)
	}
	for i := range uint32(9) {
		if ack := <-e.acks; ack != i {
			t.Errorf("acknowledgement %d, want %d", ack, i)
		}
	}
	if received, dropped := lossy.Counts(); received != 9 || dropped != 3 {
		t.Errorf("counted %d and %d", received, dropped)
	}
}

func TestLossyClosesWithTheEntry(t *testing.T) {
	e := newEntry(t)
	e.Address = listenAndClose(t) // nobody is there
	id, err := link.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := link.Handshake(context.Background(), dial(t, serveTap(t, &Lossy{}, e.Target)), id, e.Member, e.ourGeometry(t), 30*time.Second)
	if err != nil {
		return // closed during the handshake
	}
	defer conn.Close()
	if _, err := conn.Receive(); err == nil {
		t.Error("the link lives without an entry")
	}
}

func listenAndClose(t *testing.T) string {
	t.Helper()
	l := listen(t)
	l.Close()
	return l.Addr().String()
}
