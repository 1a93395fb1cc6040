package mixnode

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// A mix's loops are packets like others: of their size, and out of the pool. Where
// they come home, nothing is left of them but a count; what only looks like one is
// dropped, and a gateway brings none.
func TestLoopsComeHome(t *testing.T) {
	n := standalone(t, directory.RoleMix)
	g := n.sphinx.Geometry()
	var id sphinx.ReplyID
	hop := func(recipient sphinx.RecipientID) []byte {
		key, err := g.PublicKey(n.keys.public(n.epoch()))
		if err != nil {
			t.Fatal(err)
		}
		block, keys, err := n.sphinx.NewReplyBlock([]sphinx.Hop{{ID: n.id, Key: key, Recipient: &recipient, Reply: &id}})
		if err != nil {
			t.Fatal(err)
		}
		due := n.now().Add(time.Minute)
		n.loops.out[id] = outLoop{n.loops.watch.Sent([]sphinx.NodeID{there}, due), keys, due}
		raw, _, err := n.sphinx.UseReplyBlock(block, nil)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	counts := func() mixing.LoopCounts { return n.loops.watch.Counts() }

	n.give(t, hop(n.loops.self), false)
	if c := counts(); c.Sent != 1 || c.Home != 1 || len(n.counts.all()) != 0 {
		t.Errorf("a loop came home: %+v, %v", c, n.counts.all())
	}
	n.give(t, hop(n.loops.self), true)
	if c := counts(); c.Home != 1 || n.counts.misrouted.Load() != 1 {
		t.Error("a gateway brought a loop")
	}
	n.give(t, hop(sphinx.RecipientID{9}), false)
	if c := counts(); c.Home != 1 || n.counts.misrouted.Load() != 2 {
		t.Error("a stranger's reply is a loop")
	}
	changed := hop(n.loops.self)
	changed[len(changed)-1] ^= 1
	n.give(t, changed, false)
	if c := counts(); c.Home != 1 || n.counts.misrouted.Load() != 2 {
		t.Error("a loop that was changed on its way came home, or something else happened")
	}
}

// A loop is a packet of the same size as others. When all are lost there is an alarm,
// logged once when it begins and once when it ends, and its text says what to do.
func TestLoopAlarms(t *testing.T) {
	fake := newFake(t)
	const every = 5 * time.Second
	n := standalone(t, directory.RoleMix)
	var log bytes.Buffer
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	n.period = fakePeriod
	g, err := fake.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	n.sphinx, n.frames = sphinx.New(g), link.NewFrames(g)
	now := time.Now()
	n.now = func() time.Time { return now }
	n.date = n.now
	n.mixer.now = n.now
	epoch := n.epoch()
	doc := consensus(t, fake, epoch, func(d *pki.Document) { d.LambdaM = directory.RateOf(every) })
	n.id = doc.Layers[1][0].ID
	n.loops = newLooper(n)
	v := look(n.id, map[uint64]*directory.View{epoch: doc}, now, n.period)
	n.view.Store(v)
	n.mixer.serve(v.to)
	turn := func(times int, home bool) (left int) {
		for range times {
			now = now.Add(every)
			n.loops.turn(v)
			n.mixer.move()
			for _, p := range n.mixer.take(doc.Layers[2][0].ID, nil, 9) {
				if len(p.frame.Packet()) != g.PacketLength {
					t.Errorf("a loop of %d bytes", len(p.frame.Packet()))
				}
				left++
				drop(p)
			}
			for id, o := range n.loops.out {
				if home {
					n.loops.watch.Home(o.ticket)
					delete(n.loops.out, id)
				}
			}
		}
		return left
	}
	if left := turn(120, false); left < 110 {
		t.Errorf("%d loops left of 120", left)
	}
	_, alarms := n.loops.report()
	if len(alarms) != 1 || alarms[0].Node != "" || strings.Count(log.String(), "level=WARN") != 1 {
		t.Fatalf("alarms %+v, and the log is\n%s", alarms, &log)
	}
	if text := alarms[0].text(true); !strings.Contains(text, "n-1") || !strings.Contains(text, "needs: mix1, mix3, exit") {
		t.Error(text)
	}
	if text := alarms[0].text(false); !strings.Contains(text, "line is down") {
		t.Error(text)
	}
	turn(240, true)
	if _, alarms := n.loops.report(); len(alarms) != 0 || strings.Count(log.String(), "is over") != 1 {
		t.Errorf("alarms %+v, and the log is\n%s", alarms, &log)
	}
	if len(n.troubles.all("")) != 0 {
		t.Errorf("troubles: %q", n.troubles.all(""))
	}
}

// A neighbour whose packets crowd out the others' is not read from until they have
// left; the others are.
func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		heavy, light := newSide(t, 1), newSide(t, 2)
		n := listening(t, directory.RoleMix, heavy, light)
		n.mixer.resize(20, 20)
		start := time.Now()
		throttled := func(s side) time.Duration {
			nb := &neighbour{name: s.id[:]}
			n.conns.peers[string(nb.name)] = nb
			before := time.Now()
			if !n.conns.throttle(ctx, nb) {
				t.Error("the connection is said to be another's")
			}
			return time.Since(before)
		}
		hold := func(s side, packets int) {
			for range packets {
				f, err := n.frames.Make(link.Command{Kind: link.KindNoOp})
				if err != nil {
					t.Fatal(err)
				}
				n.mixer.add(&packet{frame: f, next: there, due: start.Add(time.Minute), from: s.id})
			}
		}
		hold(heavy, 10)
		if waited := throttled(heavy); waited != 0 {
			t.Errorf("a neighbour with its share waited %v", waited)
		}
		hold(heavy, 1)
		if waited := throttled(light); waited != 0 || n.counts.throttled.Load() != 0 {
			t.Errorf("another neighbour waited %v", waited)
		}
		go func() {
			time.Sleep(time.Minute - time.Since(start))
			n.mixer.move()
			for _, p := range n.mixer.take(there, nil, 20) {
				drop(p)
			}
		}()
		if waited := throttled(heavy); waited < time.Minute-time.Second || waited > time.Minute+time.Second || n.counts.throttled.Load() != 1 {
			t.Errorf("the heavy neighbour waited %v, want about a minute; %d counted", waited, n.counts.throttled.Load())
		}
		cancel()
	})
}

// An alarm about one node names it.
func TestAlarmNamesItsNode(t *testing.T) {
	a := Alarm{Node: "mix2", Lost: 11, Of: 12}
	if text := a.text(true); !strings.Contains(text, "through mix2") || !strings.Contains(text, "11 of the last 12") {
		t.Error(text)
	}
}
