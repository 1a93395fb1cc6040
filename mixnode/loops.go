package mixnode

import (
	"cmp"
	"context"
	cryptorand "crypto/rand"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

const (
	// loopUnit is, as a part of an epoch, how long loops that are due count about as
	// much as one (mixing.WatchParams): 75 s of an hour.
	loopUnit = 1.0 / 48

	// loopsPerAlarm is how many loops there are to a false alarm: as many as a node
	// sends in a year at one every 20 s.
	loopsPerAlarm = 365 * 24 * 3600 / 20

	// loopLate is how much longer than its delays a loop may take, besides the mean
	// delay of one mix: slow lines have queues.
	loopLate = 10 * time.Second
)

// looper sends packets from the node to itself, through the layers behind it
// to an exit that echoes, and home through the layers before it. Nobody can tell them
// from others: they are as large, wait in the pool like others before they leave, and
// where they end nothing shows. They leave in a Poisson process of the mean that the
// consensus says for all nodes, whatever became of those before.
type looper struct {
	n    *node
	rng  *rand.Rand         // run's alone
	self sphinx.RecipientID // to whom they come home; nobody else knows it

	mu     sync.Mutex
	watch  *mixing.Watch[sphinx.NodeID]
	out    map[sphinx.ReplyID]outLoop
	doc    *directory.View          // the newest that was looked at
	alarms map[sphinx.NodeID]string // those of now, by the node and with its name; the zero id is all nodes
}

// outLoop is a loop that is not home.
type outLoop struct {
	ticket mixing.Ticket
	keys   sphinx.ReplyKeys
	due    time.Time
}

func newLooper(n *node) *looper {
	var seed [32]byte
	cryptorand.Read(seed[:])
	l := &looper{
		n: n, rng: rand.New(rand.NewChaCha8(seed)), out: map[sphinx.ReplyID]outLoop{}, alarms: map[sphinx.NodeID]string{},
		watch: mixing.NewWatch[sphinx.NodeID](mixing.WatchParams{
			Loops: loopsPerAlarm, Nodes: 2*n.network.Parameters.Layers + 1, Unit: part(n.period, loopUnit),
		}),
	}
	cryptorand.Read(l.self[:])
	return l
}

// run sends loops and judges them until ctx ends.
func (l *looper) run(ctx context.Context) error {
	for {
		v := l.n.view.Load()
		mean := l.n.slot()
		if v.doc != nil && v.doc.Loop > 0 {
			mean = v.doc.Loop
		}
		if !sleep(ctx, mixing.Delay(l.rng, mean)) {
			return nil
		}
		l.turn(l.n.view.Load())
	}
}

// turn judges the loops that are due, and sends one where there is a consensus.
func (l *looper) turn(v *view) {
	l.judge(v)
	if v.doc == nil || v.doc.Loop == 0 || !v.listed {
		return
	}
	if err := l.send(v.doc); err == nil {
		l.n.said("loops")
	} else if v.current {
		l.n.say("loops", "this node cannot send packets to itself, so it does not notice who drops packets", err)
	}
}

// send lets a loop wait in the pool until it leaves.
func (l *looper) send(doc *directory.View) error {
	n := l.n
	now := n.now()
	var id sphinx.ReplyID
	cryptorand.Read(id[:])
	route, err := doc.LoopRoute(l.rng, directory.EpochAt(n.date(), n.period), n.id, l.self, id)
	if err != nil {
		return err
	}
	block, keys, err := n.sphinx.NewReplyBlock(route.Back)
	if err != nil {
		return err
	}
	payload, err := n.sphinx.Geometry().Plaintext(block, nil)
	if err != nil {
		return err
	}
	raw, err := n.sphinx.Wrap(route.Forward, payload)
	if err != nil {
		return err
	}
	f, err := n.frames.Make(link.Command{Kind: link.KindSendPacket, Data: raw})
	if err != nil {
		return err
	}
	leaves := now.Add(mixing.Delay(l.rng, doc.Delay))
	due := leaves.Add(route.Delay + answerAfter + doc.Delay + loopLate)
	l.mu.Lock()
	l.out[id] = outLoop{l.watch.Sent(l.passed(route), due), keys, due}
	l.mu.Unlock()
	n.mixer.add(&packet{frame: f, next: route.Forward[0].ID, due: leaves})
	return nil
}

// passed are the nodes on a route, each once and without this one.
func (l *looper) passed(r *directory.Route) []sphinx.NodeID {
	var list []sphinx.NodeID
	for _, h := range slices.Concat(r.Forward, r.Back) {
		if h.ID != l.n.id && !slices.Contains(list, h.ID) {
			list = append(list, h.ID)
		}
	}
	return list
}

// take ends a packet that came home, or returns false if it is no loop. One whose
// payload was changed on its way counts as lost.
func (l *looper) take(p *packet, u *sphinx.Unwrapped) bool {
	if !u.HasRecipient || !u.HasReply || u.Recipient != l.self {
		return false
	}
	l.mu.Lock()
	out, ok := l.out[u.Reply]
	delete(l.out, u.Reply)
	l.mu.Unlock()
	if ok {
		if _, err := l.n.sphinx.OpenReply(u.Payload, out.keys); err == nil {
			l.mu.Lock()
			l.watch.Home(out.ticket)
			l.mu.Unlock()
		}
	}
	drop(p)
	return true
}

// judge looks which loops are lost, and logs the alarms that begin and end.
func (l *looper) judge(v *view) {
	now := l.n.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.doc != nil && v.doc != l.doc {
		l.doc = v.doc
		listed := all(v.doc)
		l.watch.Keep(func(id sphinx.NodeID) bool { return listed[id] })
	}
	l.watch.Tick(now)
	maps.DeleteFunc(l.out, func(_ sphinx.ReplyID, o outLoop) bool { return o.due.Before(now) })
	alarms := map[sphinx.NodeID]string{}
	for _, s := range l.watch.Suspicions() {
		name := "any node"
		if !s.All {
			name = l.doc.Name(s.Node) // a loop was sent, so there is one
		}
		alarms[s.Node] = name
		if _, before := l.alarms[s.Node]; !before {
			l.n.log.Warn("packets that this node sends to itself are lost: `sourdine node status` says what to do", "through", name)
		}
	}
	for id, name := range l.alarms {
		if _, still := alarms[id]; !still {
			l.n.log.Info("the alarm about lost packets is over", "through", name)
		}
	}
	l.alarms = alarms
}

// Loops are what became of the packets that a node sends to itself.
type Loops struct {
	Sent       uint64 `json:"sent"`
	Home       uint64 `json:"home"`
	Lost       uint64 `json:"lost"`
	Recent     int    `json:"recent"`      // the last ones whose fate is known
	RecentLost int    `json:"recent_lost"` // of these
}

// Alarm is that loops are lost more often than everyday life explains.
type Alarm struct {
	Node  string    `json:"node"`  // on whose way they are lost; "": whichever way they take
	Since time.Time `json:"since"` // to the minute
	Lost  int       `json:"lost"`
	Of    int       `json:"of"` // loops since then

	Needed []string `json:"needed,omitempty"` // nodes on every way, where Node is ""
}

// report returns what became of the loops, and the alarms of now.
func (l *looper) report() (Loops, []Alarm) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.watch.Counts()
	alarms := []Alarm{}
	for _, s := range l.watch.Suspicions() {
		a := Alarm{Since: s.Since.Truncate(time.Minute), Lost: s.Lost, Of: s.Of}
		if s.All {
			a.Needed = l.doc.Needed(l.n.id)
		} else {
			a.Node = l.alarms[s.Node]
		}
		alarms = append(alarms, a)
	}
	slices.SortFunc(alarms, func(a, b Alarm) int { return cmp.Compare(a.Node, b.Node) })
	return Loops{c.Sent, c.Home, c.Lost, c.Recent, c.RecentLost}, alarms
}

// text says what an alarm means, and what to do. connected is whether any neighbour is.
func (a *Alarm) text(connected bool) string {
	lost := fmt.Sprintf("%d of the last %d packets that this node sent to itself", a.Lost, a.Of)
	switch {
	case a.Node != "":
		return fmt.Sprintf("%s through %s are lost, since %s UTC: it drops packets, is cut off or is away; ask its operator, and if it goes on, tell the authorities, who can leave it out", lost, a.Node, a.Since.UTC().Format("15:04"))
	case connected:
		return fmt.Sprintf("%s are lost whichever way they take, since %s UTC: somebody may drop all packets to this node but those of the sender that they follow (an n-1 attack), or this line fails%s; ask the other operators whether they see the same, and if they do not, your provider", lost, a.Since.UTC().Format("15:04"), a.needed())
	}
	return fmt.Sprintf("%s are lost, since %s UTC, and no neighbour is connected: this machine's line is down, or its address or port cannot be reached; `sourdine node check` says which", lost, a.Since.UTC().Format("15:04"))
}

// needed says which nodes may be to blame because every way needs them.
func (a *Alarm) needed() string {
	if len(a.Needed) == 0 {
		return ""
	}
	return ", or one of the nodes that every way needs: " + strings.Join(a.Needed, ", ")
}
