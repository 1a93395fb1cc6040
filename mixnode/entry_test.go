package mixnode

import (
	"bytes"
	"context"
	"math"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// line records what comes over a gateway's connection.
type line struct {
	net.Conn
	mu   sync.Mutex
	read []written
}

type written struct {
	at    time.Time
	bytes int
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.read) - 1; last >= 0 && l.read[last].at.Equal(time.Now()) {
		l.read[last].bytes += n
	} else {
		l.read = append(l.read, written{time.Now(), n})
	}
	return n, err
}

// guestLine connects a gateway to an entry, and returns the gateway's session and
// what comes over its line.
func guestLine(t *testing.T, ctx context.Context, n *node, id sphinx.RecipientID) (*link.Session, *line) {
	t.Helper()
	scheme := kemschemes.ByName(directory.LinkScheme)
	if n.link == nil {
		var err error
		if _, n.link, err = scheme.GenerateKeyPair(); err != nil {
			t.Fatal(err)
		}
	}
	_, key, err := scheme.GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	if n.conns == nil {
		n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	}
	ours, theirs := net.Pipe()
	go n.conns.handle(ctx, theirs)
	l := &line{Conn: ours}
	s, err := link.Initiate(ctx, l, link.Config{
		Frames: n.frames, Key: key, Name: id[:],
		Peer: func([]byte, kem.PublicKey) bool { return true },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, l
}

// reply puts a reply for a gateway into the entry, as if it had come from a mix.
func (n *node) reply(t *testing.T, to sphinx.RecipientID, id byte) {
	t.Helper()
	g := n.sphinx.Geometry()
	f, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
	if err != nil {
		t.Fatal(err)
	}
	payload := bytes.Repeat([]byte{id}, g.PayloadTagLength+g.PayloadLength)
	p := &packet{frame: f, body: payload}
	u := &sphinx.Unwrapped{Last: true, HasRecipient: true, Recipient: to, HasReply: true, Reply: sphinx.ReplyID{id}, Payload: payload}
	if !n.entry.take(p, u) {
		t.Fatal("the entry did not take a reply")
	}
	n.mixer.move()
}

// To a gateway of ours goes one command of one size in every slot of the entry's
// clock, whether there are no replies, some, or many at once.
func TestClock(t *testing.T) {
	const slot = 20 * time.Second
	record := func(t *testing.T, replies func(n *node, id sphinx.RecipientID)) (sizes []int, gaps []time.Duration, ids map[byte]int) {
		ids = map[byte]int{}
		synctest.Test(t, func(t *testing.T) {
			n := standalone(t, directory.RoleEntry)
			n.view.Store(&view{slot: slot})
			ctx, cancel := context.WithCancel(t.Context())
			id := sphinx.RecipientID{5}
			s, l := guestLine(t, ctx, n, id)
			f, err := n.frames.Make(link.Command{Kind: link.KindMessageDelivered, Sequence: link.Clocked})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(f); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			from := len(l.read)
			go replies(n, id)
			for range 30 { // less than the silence that ends a connection
				f, c, err := s.Receive()
				if err != nil {
					t.Fatal(err)
				}
				if c.Kind == link.KindMessage && c.Sequence == 0 && bytes.Count(c.Reply[1:], []byte{0}) == len(c.Reply)-1 {
					ids[c.Reply[0]]++
				}
				f.Release()
			}
			var last time.Time
			for _, w := range l.read[from:] {
				sizes = append(sizes, w.bytes)
				if !last.IsZero() {
					gaps = append(gaps, w.at.Sub(last))
				}
				last = w.at
			}
			cancel()
			s.Close()
			n.conns.running.Wait()
		})
		return sizes, gaps, ids
	}
	for name, test := range map[string]struct {
		replies func(n *node, id sphinx.RecipientID)
		want    int
	}{
		"none": {func(*node, sphinx.RecipientID) {}, 0},
		"one in a slot": {func(n *node, id sphinx.RecipientID) {
			for i := range byte(20) {
				n.reply(t, id, i+1)
				time.Sleep(slot)
			}
		}, 20},
		"bunched": {func(n *node, id sphinx.RecipientID) {
			time.Sleep(2 * slot)
			for i := range byte(10) {
				n.reply(t, id, i+1)
			}
			time.Sleep(6 * slot)
			for i := range byte(10) {
				n.reply(t, id, i+101)
			}
		}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			sizes, gaps, ids := record(t, test.replies)
			if len(ids) != test.want {
				t.Errorf("%d replies came, want %d", len(ids), test.want)
			}
			for _, s := range sizes {
				if s != sizes[0] {
					t.Fatalf("sizes on the line: %d", sizes)
				}
			}
			for _, g := range gaps {
				if g != slot*draining/drained {
					t.Fatalf("distances on the line: %v", gaps)
				}
			}
		})
	}
}

// A stock gateway gets its replies as they come, each when it has acknowledged the
// one before, and sees none of another's.
func TestPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleEntry)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		one, two := sphinx.RecipientID{1}, sphinx.RecipientID{2}
		s, _ := guestLine(t, ctx, n, one)
		other, _ := guestLine(t, ctx, n, two)
		defer other.Close()
		defer s.Close()
		for _, gateway := range []*link.Session{s, other} { // which proves that it has its key
			f, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
			if err != nil {
				t.Fatal(err)
			}
			if err := gateway.Send(f); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		n.reply(t, two, 99)
		for i := range byte(3) {
			n.reply(t, one, i+1)
		}
		for i := range byte(3) {
			f, c, err := s.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if c.Kind != link.KindMessage || c.Sequence != uint32(i)+1 || c.Reply != (sphinx.ReplyID{i + 1}) || c.Data[0] != i+1 {
				t.Fatalf("reply %d is %v number %d", i+1, c.Kind, c.Sequence)
			}
			f.Release()
			ack, err := n.frames.Make(link.Command{Kind: link.KindMessageDelivered, Sequence: c.Sequence})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Send(ack); err != nil {
				t.Fatal(err)
			}
		}
		f, c, err := s.Receive()
		if err != nil || c.Kind != link.KindNoOp {
			t.Fatalf("after the last reply comes %v, %v", c.Kind, err)
		}
		f.Release()
	})
}

// A reply is handed to its gateway, however that is served, only when its replay tag is
// on disk: until then a kill would make the node forget it, and hand it out twice. Time
// is virtual, and a commit takes some of it: as much as a test's clock lets go by.
func TestRepliesWaitForTags(t *testing.T) {
	const slot = 9 * time.Millisecond // some of them in a commit
	for name, ask := range map[string]*link.Command{
		"pushed":  nil,
		"clocked": {Kind: link.KindMessageDelivered, Sequence: link.Clocked},
		"polled":  {Kind: link.KindSendRetrievePacket},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := standalone(t, directory.RoleEntry)
				n.view.Store(&view{slot: slot})
				ctx, cancel := context.WithCancel(t.Context())
				running := make(chan error, 1)
				go func() { running <- n.mixer.run(ctx, n.keys.broken) }()
				id, reply := sphinx.RecipientID{5}, sphinx.ReplyID{6}
				s, _ := guestLine(t, ctx, n, id)
				send := func(c link.Command) {
					t.Helper()
					if c.Kind == link.KindSendRetrievePacket {
						c.Data = make([]byte, n.sphinx.Geometry().PacketLength)
					}
					f, err := n.frames.Make(c)
					if err != nil {
						t.Fatal(err)
					}
					if err := s.Send(f); err != nil {
						t.Fatal(err)
					}
				}
				send(link.Command{Kind: link.KindNoOp}) // which proves that it has its key
				if name == "clocked" {
					send(*ask)
				}
				synctest.Wait()
				key, err := n.sphinx.Geometry().PublicKey(n.keys.public(n.epoch()))
				if err != nil {
					t.Fatal(err)
				}
				block, _, err := n.sphinx.NewReplyBlock([]sphinx.Hop{{ID: n.id, Key: key, Recipient: &id, Reply: &reply}})
				if err != nil {
					t.Fatal(err)
				}
				raw, _, err := n.sphinx.UseReplyBlock(block, []byte("an answer"))
				if err != nil {
					t.Fatal(err)
				}
				n.give(t, raw, false)
				tags := n.keys.candidates()[0].tags
				if tags.Len() != 1 || tags.Durable() != 0 {
					t.Fatalf("%d tags, %d of them on disk, want one that is not", tags.Len(), tags.Durable())
				}
				before := 0 // commands that came before the reply
				for came := false; !came; before++ {
					if name == "polled" {
						send(*ask)
					}
					f, c, err := s.Receive()
					if err != nil {
						t.Fatal(err)
					}
					came = c.Reply == reply
					f.Release()
					if came && tags.Durable() != 1 {
						t.Error("a reply was handed out before its tag was on disk")
					}
					if name == "polled" {
						time.Sleep(slot)
					}
				}
				if name != "pushed" && before < 3 {
					t.Errorf("%d commands came with the reply, which is too few for a commit's time", before)
				}
				n.give(t, raw, false)
				if got := n.counts.replayed.Load(); got != 1 {
					t.Errorf("%d replays counted", got)
				}
				cancel()
				s.Close()
				n.conns.running.Wait()
				if err := <-running; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Replies for gateways that never came are dropped; for those that are away they
// are kept, in bounds, and not for ever.
func TestBoxes(t *testing.T) {
	n := standalone(t, directory.RoleEntry)
	now := time.Now()
	n.now = func() time.Time { return now }
	n.entry.resize(10)
	n.reply(t, sphinx.RecipientID{1}, 1)
	if n.counts.unroutable.Load() != 1 || len(n.entry.boxes) != 0 {
		t.Error("a recipient that never came has a box")
	}
	b := n.entry.arrive(sphinx.RecipientID{1})
	n.entry.arrive(sphinx.RecipientID{1}) // anew, before the old connection has ended
	n.entry.depart(b)
	for i := range 12 {
		n.reply(t, sphinx.RecipientID{1}, byte(i))
	}
	if len(b.replies) != 10 || n.counts.shed.Load() != 2 {
		t.Errorf("%d replies are kept, %d shed", len(b.replies), n.counts.shed.Load())
	}
	for last := -1; len(b.replies) > 3; {
		p := n.entry.next(b)
		if int(p.reply[0]) <= last {
			t.Error("the oldest reply does not come first")
		}
		last = int(p.reply[0])
		drop(p)
	}
	now = now.Add(2 * n.period)
	n.entry.sweep()
	if len(n.entry.boxes) != 1 {
		t.Error("a gateway that is connected is forgotten")
	}
	n.entry.depart(b)
	n.entry.sweep()
	if len(n.entry.boxes) != 1 {
		t.Error("a gateway that has just gone is forgotten")
	}
	now = now.Add(2 * n.period)
	n.entry.sweep()
	if len(n.entry.boxes) != 0 || n.entry.replies != 0 || n.counts.stale.Load() != 3 {
		t.Errorf("%d boxes and %d replies are left, %d were counted", len(n.entry.boxes), n.entry.replies, n.counts.stale.Load())
	}

	// Names that somebody makes up do not fill the memory.
	n.maxPeers = 3
	for i := range 20 {
		id := sphinx.RecipientID{2, byte(i)}
		n.entry.depart(n.entry.arrive(id))
		n.reply(t, id, 1)
	}
	if len(n.entry.boxes) != 2*n.maxPeers || n.entry.replies != 2*n.maxPeers {
		t.Errorf("%d boxes and %d replies for %d gateways", len(n.entry.boxes), n.entry.replies, n.maxPeers)
	}
	if got := n.counts.shed.Load(); got != 2+20-2*uint64(n.maxPeers) {
		t.Errorf("%d replies shed", got)
	}
}

// What is shed of an entry's replies is one of the fullest box, or of a box that is full
// by itself, drawn at random: the newest and the oldest have the chance of the others,
// and who keeps few loses none to who keeps many.
func TestBoxesShedAtRandom(t *testing.T) {
	n := standalone(t, directory.RoleEntry)
	few, many, last := sphinx.RecipientID{1}, sphinx.RecipientID{2}, sphinx.RecipientID{3}
	for _, test := range []struct {
		name string
		room int
		have []sphinx.RecipientID // of a reply each, in this order; then one more than there is room for comes
		want []float64            // of the chances of each; 0: it stays
	}{
		{"the fullest is the newest's", 5, []sphinx.RecipientID{few, many, many, few, many, many}, []float64{0, 1, 1, 0, 1, 1}},
		{"the fullest is another's", 5, []sphinx.RecipientID{many, few, many, few, many, few}, []float64{1, 1, 1, 1, 1, 1}},
		{"many boxes", 5, []sphinx.RecipientID{many, many, few, many, last, few}, []float64{1, 1, 0, 1, 0, 0}},
		{"a full box", 2 * boxSize, nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.have == nil {
				for range boxSize + 1 {
					test.have, test.want = append(test.have, many), append(test.want, 1)
				}
			}
			const rounds = 6000
			n.entry.resize(test.room)
			sum := 0.0
			for _, chance := range test.want {
				sum += chance
			}
			lost := make([]float64, len(test.have))
			for range rounds {
				n.counts.shed.Store(0)
				boxes := []*box{n.entry.arrive(few), n.entry.arrive(many), n.entry.arrive(last)}
				var packets []*packet
				for _, to := range test.have {
					f, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
					if err != nil {
						t.Fatal(err)
					}
					packets = append(packets, &packet{frame: f, box: n.entry.boxes[to]})
					n.entry.keep(packets[len(packets)-1])
				}
				for i, p := range packets {
					if p.frame == nil {
						lost[i]++
					}
				}
				if got := n.counts.shed.Load(); got != 1 || n.entry.replies != len(packets)-1 {
					t.Fatalf("%d replies are kept, %d were shed", n.entry.replies, got)
				}
				for _, b := range boxes {
					n.entry.forget(b)
				}
			}
			for i, got := range lost {
				want := rounds * test.want[i] / sum
				if math.Abs(got-want) > 6*math.Sqrt(want) || want > 0 && got == 0 {
					t.Errorf("reply %d of %d was shed %v times of %d, want about %.0f", i, len(lost), got, rounds, want)
				}
			}
			for replies, boxes := range n.entry.with {
				if len(boxes) > 0 {
					t.Errorf("%d boxes are listed with %d replies when all are gone", len(boxes), replies)
				}
			}
		})
	}
}

// Less room for replies holds at once, and costs the gateways with the most.
func TestBoxesResize(t *testing.T) {
	n := standalone(t, directory.RoleEntry)
	var boxes []*box
	for i := range byte(4) {
		id := sphinx.RecipientID{i}
		boxes = append(boxes, n.entry.arrive(id))
		for range 1 + 10*int(i) {
			n.reply(t, id, i)
		}
	}
	n.entry.resize(20)
	for i, want := range []int{1, 6, 6, 6} {
		if got := len(boxes[i].replies); got < want || got > want+1 {
			t.Errorf("box %d has %d replies, want about %d", i, got, want)
		}
	}
	if shed := n.counts.shed.Load(); n.entry.replies != 20 || shed != 1+11+21+31-20 {
		t.Errorf("%d replies are kept, %d shed", n.entry.replies, shed)
	}
}

// A gateway that comes anew has sent what it has sent: it cannot buy another burst with
// another connection.
func TestLimitOutlivesConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleEntry)
		slot := n.slot()
		passed := func(packets int) (count int) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			before := n.counts.received.Load()
			s, _ := guestLine(t, ctx, n, sphinx.RecipientID{5})
			for range packets {
				f, err := n.frames.Make(link.Command{Kind: link.KindSendPacket, Data: make([]byte, n.sphinx.Geometry().PacketLength)})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Send(f); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			s.Close()
			n.conns.running.Wait()
			return int(n.counts.received.Load() - before)
		}
		if got := passed(burst + 8); got != burst {
			t.Errorf("%d packets pass at once, want %d", got, burst)
		}
		if got := passed(8); got != 0 {
			t.Errorf("%d packets pass over another connection at once", got)
		}
		time.Sleep(5 * slot)
		if got, want := passed(burst), int(5*2*headroom); got != want {
			t.Errorf("%d packets pass five slots later, want %d", got, want)
		}
		if got := n.counts.limited.Load(); got != 8+8+burst-uint64(5*2*headroom) {
			t.Errorf("%d packets are counted", got)
		}
	})
}
