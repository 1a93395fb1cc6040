package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"reflect"
	"testing"
	"time"

	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// pair is one command in both implementations.
type pair struct {
	ours   Command
	theirs commands.Command
}

// pairs are the commands of an initiator, or a responder.
func pairs(g *sphinx.Geometry, cmds *commands.Commands, initiator bool) []pair {
	var (
		theirG  = theirGeometry(g)
		packet  = random(g.PacketLength)
		payload = random(g.PayloadTagLength + g.PayloadLength)
		id      = sphinx.ReplyID(random(16))
		both    = []pair{
			{Command{Kind: KindNoOp}, &commands.NoOp{Cmds: cmds}},
			{Command{Kind: KindDisconnect}, &commands.Disconnect{Cmds: cmds}},
		}
	)
	if initiator {
		return append(both,
			pair{Command{Kind: KindSendPacket, Data: packet}, &commands.SendPacket{Cmds: cmds, SphinxPacket: packet}},
			pair{Command{Kind: KindSendRetrievePacket, Data: packet}, &commands.SendRetrievePacket{Cmds: cmds, Geo: theirG, SphinxPacket: packet}},
			pair{Command{Kind: KindMessageDelivered, Sequence: 0x01020304}, &commands.MessageDelivered{Cmds: cmds, Sequence: 0x01020304}},
			pair{Command{Kind: KindMessageDelivered}, &commands.MessageDelivered{Cmds: cmds}},
			pair{Command{Kind: KindGetConsensus, Epoch: 1 << 60}, &commands.GetConsensus{Cmds: cmds, Epoch: 1 << 60, MixnetTransmission: true}},
			pair{Command{Kind: KindGetConsensus2, Epoch: 3}, &commands.GetConsensus2{Cmds: cmds, Epoch: 3}},
		)
	}
	full := random(cmds.MaxMessageLenServerToClient)
	return append(both,
		pair{Command{Kind: KindMessage, Sequence: 7, Reply: id, Data: payload}, &commands.Message{Cmds: cmds, Geo: theirG, Sequence: 7, SURBID: id, Payload: payload}},
		pair{Command{Kind: KindSendRetrievePacketReply, Reply: id, Data: payload}, &commands.SendRetrievePacketReply{Cmds: cmds, Geo: theirG, SURBID: id, Payload: payload}},
		pair{Command{Kind: KindSendRetrievePacketReply, Reply: id}, &commands.SendRetrievePacketReply{Cmds: cmds, Geo: theirG, SURBID: id}},
		pair{Command{Kind: KindConsensus, Data: full}, &commands.Consensus{Payload: full}},
		pair{Command{Kind: KindConsensus, Status: StatusGone}, &commands.Consensus{ErrorCode: commands.ConsensusGone}},
		pair{Command{Kind: KindConsensus2, Chunk: 1, Chunks: 3, Data: full}, &commands.Consensus2{Cmds: cmds, ChunkNum: 1, ChunkTotal: 3, Payload: full}},
		pair{Command{Kind: KindConsensus2, Chunk: 2, Chunks: 3, Data: full[:10]}, &commands.Consensus2{Cmds: cmds, ChunkNum: 2, ChunkTotal: 3, Payload: full[:10]}},
		pair{Command{Kind: KindConsensus2, Chunk: 0, Chunks: 1, Data: full[:len(full)-10]}, &commands.Consensus2{Cmds: cmds, ChunkTotal: 1, Payload: full[:len(full)-10]}},
		pair{Command{Kind: KindConsensus2, Status: StatusNotFound, Chunks: 1}, &commands.Consensus2{Cmds: cmds, ErrorCode: commands.ConsensusNotFound, ChunkTotal: 1}},
	)
}

// same says whether commands are equal; no Data is no Data.
func same(a, b Command) bool {
	data := bytes.Equal(a.Data, b.Data)
	a.Data, b.Data = nil, nil
	return data && reflect.DeepEqual(a, b)
}

// Commands are Katzenpost's, byte for byte.
func TestCommandsAreKatzenposts(t *testing.T) {
	for _, g := range []*sphinx.Geometry{small2k(t), large(t), geometry(t, "x25519-kem", 1, 0), geometry(t, "MLKEM768", 20, 1)} {
		frames, cmds := NewFrames(g), commands.NewMixnetCommands(theirGeometry(g))
		if frames.up != cmds.MaxMessageLenClientToServer || frames.down != cmds.MaxMessageLenServerToClient {
			t.Errorf("commands are padded to %d and %d, want %d and %d", frames.up, frames.down, cmds.MaxMessageLenClientToServer, cmds.MaxMessageLenServerToClient)
		}
		for _, initiator := range []bool{true, false} {
			for _, p := range pairs(g, cmds, initiator) {
				f := framed(t, frames, p.ours)
				want := p.theirs.ToBytes()
				if !bytes.Equal(f.command(), want) {
					t.Errorf("%s: %T is written with other bytes", g.Scheme, p.theirs)
				}
				back, err := frames.parse(want, initiator)
				if err != nil || !same(back, p.ours) {
					t.Errorf("%s: %T is read as %+v, %v", g.Scheme, p.theirs, back, err)
				}
				if _, err := frames.parse(want, !initiator); (err != nil) != (p.ours.Kind > KindDisconnect) {
					t.Errorf("%s: %T from the other side: %v", g.Scheme, p.theirs, err)
				}
				f.Release()
			}
		}
		piece := framed(t, frames, Command{Kind: KindConsensus2, Data: random(frames.EvenChunk())})
		if piece.length != cmds.MaxMessageLenServerToClient {
			t.Errorf("%s: pieces of a consensus are commands of %d bytes, others of %d", g.Scheme, piece.length, cmds.MaxMessageLenServerToClient)
		}
		piece.Release()
		short := (&commands.GetConsensus{Epoch: 9}).ToBytes()
		if c, err := frames.parse(short, true); err != nil || c.Epoch != 9 {
			t.Errorf("a GetConsensus without padding is read as %+v, %v", c, err)
		}
	}
}

// Katzenpost's session understands ours, and ours Katzenpost's, in both roles.
func TestKatzenpost(t *testing.T) {
	for name, connect := range transports {
		for _, g := range []*sphinx.Geometry{small2k(t), large(t)} {
			for role, initiator := range map[string]bool{"initiator": true, "responder": false} {
				t.Run(name+"/"+g.Scheme+"/"+role, func(t *testing.T) {
					t.Parallel()
					a, b := connect(t)
					me, referee := two(t)
					theirs := referee.theirs(t, g, !initiator)
					done := make(chan error, 1)
					go func() { done <- theirs.Initialize(context.Background(), b) }()
					establish := Respond
					if initiator {
						establish = Initiate
					}
					frames := NewFrames(g)
					ours, err := establish(context.Background(), a, me.config(frames))
					if err := errors.Join(err, <-done); err != nil {
						t.Fatal(err)
					}
					defer theirs.Close()
					defer ours.Close()
					talk(t, g, ours, theirs)
				})
			}
		}
	}
}

func talk(t *testing.T, g *sphinx.Geometry, ours *Session, theirs *wire.Session) {
	var (
		frames, cmds = ours.frames, theirs.GetCommands()
		send         = pairs(g, cmds, ours.initiator)
		receive      = pairs(g, cmds, !ours.initiator)
		done         = make(chan error, 2)
	)
	if credentials, err := theirs.PeerCredentials(); err != nil || len(credentials.AdditionalData) != 32 {
		t.Error(credentials, err)
	}
	skew := ours.ClockSkew()
	if !ours.initiator {
		skew = theirs.ClockSkew()
	}
	if skew < 0 || skew > 30*time.Second {
		t.Errorf("a clock is %v ahead of itself", skew)
	}

	// One at a time, and all at once.
	go func() {
		for _, p := range send {
			if err := ours.Send(framed(t, frames, p.ours)); err != nil {
				done <- err
				return
			}
		}
		var all []*Frame
		for _, p := range send {
			all = append(all, framed(t, frames, p.ours))
		}
		done <- ours.Send(all...)
	}()
	go func() {
		for _, p := range append(receive, receive...) {
			if err := theirs.SendCommand(context.Background(), p.theirs); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	theirsDone := make(chan struct{})
	go func() {
		defer close(theirsDone)
		for _, p := range append(send, send...) {
			cmd, err := theirs.RecvCommand(context.Background())
			if err != nil {
				t.Errorf("Katzenpost does not take %T: %v", p.theirs, err)
				return
			}
			if _, padded := cmd.(*commands.GetConsensus); padded {
				cmd.(*commands.GetConsensus).MixnetTransmission = true // it reads none of this
			}
			if reflect.TypeOf(cmd) != reflect.TypeOf(p.theirs) || !bytes.Equal(written(g, cmd, cmds), p.theirs.ToBytes()) {
				t.Errorf("Katzenpost reads %T as another %T", p.theirs, cmd)
			}
		}
	}()
	ours.asked.Store(100) // for the Consensuses that follow
	for _, p := range append(receive, receive...) {
		f, c, err := ours.Receive()
		if err != nil {
			t.Fatalf("receiving %T: %v", p.theirs, err)
		}
		if !same(c, p.ours) || !bytes.Equal(f.command(), p.theirs.ToBytes()) {
			t.Errorf("%T came as %+v", p.theirs, c.Kind)
		}
		f.Release()
	}
	<-theirsDone
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// written is a command that the referee read as it writes it: some it reads without
// what it needs for that.
func written(g *sphinx.Geometry, cmd commands.Command, cmds *commands.Commands) []byte {
	switch cmd := cmd.(type) {
	case *commands.Message:
		cmd.Geo = theirGeometry(g)
	case *commands.Consensus2:
		cmd.Cmds = cmds
	}
	return cmd.ToBytes()
}

// Who is not expected gets no session, whichever implementation says so.
func TestKatzenpostRefusesAndIsRefused(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	for _, c := range []struct {
		name             string
		initiator        bool
		weRefuse, refuse bool
	}{
		{"we initiate and refuse", true, true, false},
		{"we initiate and are refused", true, false, true},
		{"we respond and refuse", false, true, false},
		{"we respond and are refused", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := pipe(t)
			me, referee := two(t)
			stranger := newParty(t, 32)
			if c.weRefuse {
				me.expect = stranger
			}
			if c.refuse {
				referee.expect = stranger
			}
			theirs := referee.theirs(t, g, !c.initiator)
			defer theirs.Close()
			done := make(chan error, 1)
			go func() {
				err := theirs.Initialize(context.Background(), b)
				theirs.Close()
				done <- err
			}()
			establish := Respond
			if c.initiator {
				establish = Initiate
			}
			_, err := establish(context.Background(), a, me.config(frames))
			if err == nil || errors.Is(err, ErrPeer) != c.weRefuse {
				t.Errorf("we say %v", err)
			}
			if err := <-done; err == nil {
				t.Error("Katzenpost is content")
			}
		})
	}
}

// A session with one of Katzenpost's authorities, which pads nothing, begins too.
func TestKatzenpostAuthority(t *testing.T) {
	we, they := two(t)
	a, b := tcp(t)
	s, err := wire.NewPKISession(&wire.SessionConfig{
		KEMScheme: scheme, PKISignatureScheme: signschemes.ByName(directory.SignatureScheme), Geometry: theirGeometry(small2k(t)),
		Authenticator: they, AdditionalData: they.name, AuthenticationKey: they.key, RandomReader: rand.Reader,
		HandshakeTimeout: 30 * time.Second,
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	done := make(chan error)
	go func() { done <- s.Initialize(context.Background(), b) }()
	ours, err := Initiate(context.Background(), a, we.config(NewAuthorityFrames()))
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if skew := ours.ClockSkew().Abs(); skew > 2*time.Second {
		t.Errorf("the same clock is %v off", skew)
	}
}
