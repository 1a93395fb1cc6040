package link

import (
	"encoding/binary"
	"testing"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// pieces is a connection that gives what it holds in reads of at most so many
// bytes, and counts them.
type pieces struct {
	*memory
	most  int // of one read
	reads int
}

func (p *pieces) Read(b []byte) (int, error) {
	p.reads++
	return p.memory.Read(b[:min(len(b), p.most)])
}

// However a stream of long and short commands is cut into reads, the same commands
// come out; and no more reads are made than it takes.
func TestReads(t *testing.T) {
	for _, g := range []*sphinx.Geometry{small2k(t), geometry(t, "x25519", 5, 6000), large(t)} {
		frames := NewFrames(g)
		record := sealedHeader + frames.up + macLength
		for _, most := range []int{1, 19, 20, 21, 1000, record - 1, record, record + 1, record + 19, record + 20, 3*record + 7, 1 << 20} {
			const n = 12
			initiator, responder := sessions(t, frames, pipe)
			m := remember(initiator, responder)
			p := &pieces{memory: m, most: most}
			responder.in.conn = p
			packet := make([]byte, g.PacketLength)
			for i := range n {
				binary.BigEndian.PutUint32(packet, uint32(i))
				c := Command{Kind: KindSendPacket, Data: packet}
				if i%5 == 3 {
					c = Command{Kind: KindGetConsensus, Epoch: uint64(i)}
				}
				if err := initiator.Send(shorten(framed(t, frames, c))); err != nil {
					t.Fatal(err)
				}
			}
			total := m.held.Len()
			for i := range n {
				f, c, err := responder.Receive()
				if err != nil {
					t.Fatalf("%s, reads of %d, command %d: %v", g.Scheme, most, i, err)
				}
				if i%5 == 3 && c.Epoch != uint64(i) || i%5 != 3 && binary.BigEndian.Uint32(c.Data) != uint32(i) {
					t.Errorf("%s, reads of %d: another command than the %dth", g.Scheme, most, i)
				}
				f.Release()
			}
			if _, _, err := responder.Receive(); err == nil {
				t.Error("a command came of nothing")
			}
			if responder.in.buffer != nil {
				t.Error("an empty buffer is kept")
			}
			if most < 1<<20 {
				continue
			}
			want := 1 + n + n/5 + 1 // the first header, a body with the next header each, and a short one may not bring it
			if record <= small {
				want = 2 + total/(len(buffer{})-record) + 1
			}
			if p.reads > want+1 {
				t.Errorf("packets of %d bytes: %d reads for %d commands, want %d", g.PacketLength, p.reads, n, want)
			}
		}
	}
}

// shorten takes the padding off a GetConsensus, as Katzenpost can be told to.
func shorten(f *Frame) *Frame {
	if f.kind() == KindGetConsensus {
		f.length = commandHeader + epochLength
	}
	return f
}

// An idle session holds no frame and no buffer.
func TestIdle(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	initiator, responder := sessions(t, frames, pipe)
	lent := NewFrames(g)
	responder.frames = lent
	made := count(lent)
	done := make(chan error)
	go func() {
		for range 2 {
			f, _, err := responder.Receive()
			if err != nil {
				done <- err
				return
			}
			f.Release()
			done <- nil
		}
	}()
	if err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp})); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	before := *made
	initiator.conn.Write(make([]byte, sealedHeader-1)) // not yet a header
	if *made != before {
		t.Error("a frame was taken before there was a command")
	}
	initiator.Close()
	if err := <-done; err == nil {
		t.Error("a command came")
	}
	if responder.in.buffer != nil || *made != before {
		t.Error("memory is held for nothing")
	}
}
