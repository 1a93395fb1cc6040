package mixnode

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/control"
)

// Status is how a node fares, in counts since its start.
type Status struct {
	Name  string         `json:"name"`
	Role  directory.Role `json:"role"`
	Since time.Time      `json:"since"` // to the minute

	Address string `json:"address"` // that it publishes; "": its router has not said it yet

	Epoch     uint64   `json:"epoch"`
	Listed    bool     `json:"listed"`    // the consensus lists this node
	Consensus bool     `json:"consensus"` // there is one for this epoch
	Troubles  []string `json:"troubles"`  // what is not as it should be, and what to do

	Published Published `json:"published"`       // how the authorities took what this node said of itself
	Waits     string    `json:"waits,omitempty"` // what a node that is not listed waits for, and about how long

	From     int `json:"from"`     // nodes that send packets to this one, by the consensus
	FromNow  int `json:"from_now"` // of them connected
	To       int `json:"to"`       // nodes that this one sends packets to
	ToNow    int `json:"to_now"`   // of them connected
	Gateways int `json:"gateways"` // connected to an entry

	Received  uint64 `json:"received"`  // packets
	Forwarded uint64 `json:"forwarded"` // packets
	Replies   uint64 `json:"replies"`   // at an entry, to gateways
	Requests  uint64 `json:"requests"`  // at an exit, to its handler
	Answers   uint64 `json:"answers"`   // at an exit, sent back

	Held     int `json:"held"`     // packets that wait
	Ready    int `json:"ready"`    // of them those that wait only for their neighbour
	Capacity int `json:"capacity"` // packets that may wait

	Throttled uint64 `json:"throttled"` // packets that had to wait outside, for their node sends more than its share

	Line Line `json:"line"`

	Loops  Loops   `json:"loops"`
	Alarms []Alarm `json:"alarms"` // in words they are among the troubles

	Dropped Dropped `json:"dropped"`
}

// Published is how the authorities took what the node published last.
type Published struct {
	Epoch uint64 `json:"epoch"` // that it is for; 0: the node has not published since its start
	Took  int    `json:"took"`  // authorities that took it, which those do that admitted the node
	Of    int    `json:"of"`
}

// enough says whether those that took it can bring the node into a consensus.
func (p Published) enough() bool { return 2*p.Took > p.Of }

// Line is what the node may take of its line, and takes.
type Line struct {
	MonthBytes uint64 `json:"month_bytes"` // carried this month, both ways
	MonthGB    int    `json:"month_gb"`    // the budget for it; 0: no end
	PaceKbit   int    `json:"pace_kbit"`   // how fast each way may go at present; 0: no bound
}

// Dropped are packets that went no further, by the reason.
type Dropped struct {
	Damaged    uint64 `json:"damaged"`    // made for none of the node's keys, or changed
	Replayed   uint64 `json:"replayed"`   // seen before
	Misrouted  uint64 `json:"misrouted"`  // with commands that this role does not obey
	Unroutable uint64 `json:"unroutable"` // for somebody who is not next to this node any more
	Limited    uint64 `json:"limited"`    // of gateways that send too much
	Shed       uint64 `json:"shed"`       // at random, for the memory was full
	Slow       uint64 `json:"slow"`       // at random, for the line's budget was used up
	Stale      uint64 `json:"stale"`      // waited too long: for their neighbour, their gateway or the handler's answer
	Unsynced   uint64 `json:"unsynced"`   // the disk failed
	Broken     uint64 `json:"broken"`     // lost with a connection
	Overdue    uint64 `json:"overdue"`    // answers that came too late to hide how long they took; these are sent
}

// controlSocket is where, in its state directory, a node can be asked.
const controlSocket = "control.sock"

// AskStatus asks the running node of a configuration how it fares.
func AskStatus(c *Config) (*Status, error) {
	st := new(Status)
	err := control.Ask(filepath.Join(c.State, controlSocket), "status", st)
	if errors.Is(err, control.ErrNotRunning) {
		err = errors.New("the node is not running: start it with `sourdine node -c FILE`")
	}
	if err != nil {
		return nil, err
	}
	return st, nil
}

func (n *node) status() (any, error) { return n.report(), nil }

func (n *node) report() *Status {
	v := n.view.Load()
	st := &Status{
		Name: n.cfg.Name, Role: n.cfg.Role, Since: n.since.Truncate(time.Minute), Address: *n.address.Load(),
		Epoch: directory.EpochAt(n.date(), n.period), Listed: v.listed, Consensus: v.current,
		From: len(v.from), To: len(v.to), ToNow: int(n.connected.Load()),
		Received: n.counts.received.Load(), Forwarded: n.counts.forwarded.Load(), Replies: n.counts.replies.Load(),
		Requests: n.counts.requests.Load(), Answers: n.counts.answers.Load(),
		Line: n.traffic.line(), Throttled: n.counts.throttled.Load(),
		Dropped: Dropped{
			Damaged: n.counts.damaged.Load(), Replayed: n.counts.replayed.Load(), Misrouted: n.counts.misrouted.Load(),
			Unroutable: n.counts.unroutable.Load(), Limited: n.counts.limited.Load(), Shed: n.counts.shed.Load(),
			Slow: n.counts.slow.Load(), Stale: n.counts.stale.Load(), Unsynced: n.counts.unsynced.Load(), Broken: n.counts.broken.Load(), Overdue: n.counts.overdue.Load(),
		},
	}
	if p := n.published.Load(); p != nil {
		st.Published = *p
	}
	said := "" // by Waits already
	if !v.listed && !n.leaves() {
		st.Waits = waits(st.Published, v.current && v.doc.Epoch == st.Epoch, n.date(), n.period)
		if st.Published.Epoch > 0 {
			said = "publishing"
		}
		if st.Address == "" {
			st.Waits = "it has no address to publish, as long as its router says none"
		}
	}
	st.Troubles = n.troubles.all(said)
	st.Held, st.Ready = n.mixer.load()
	st.Capacity = n.mixer.size()
	st.FromNow, st.Gateways = n.conns.count()
	st.Loops, st.Alarms = n.loops.report()
	for i := range st.Alarms {
		st.Troubles = append(st.Troubles, st.Alarms[i].text(st.ToNow+st.FromNow > 0))
	}
	return st
}

// waits says what a node waits for that no consensus of now lists, though there may
// be one. It can know only what became of its descriptor, which it publishes at the
// beginning of each epoch for the next.
func waits(p Published, current bool, now time.Time, period time.Duration) string {
	epoch := directory.EpochAt(now, period)
	next := directory.EpochStart(epoch+1, period)
	when := func(t time.Time) string {
		return fmt.Sprintf("%s UTC, in %v", t.UTC().Format(time.TimeOnly), t.Sub(now).Round(time.Second))
	}
	text := fmt.Sprintf("not in the consensus of epoch %d: ", epoch)
	if !current {
		text = fmt.Sprintf("there is no consensus of epoch %d: ", epoch)
	}
	switch {
	case p.Epoch == 0 && now.Before(next.Add(part(period, publishUntil)-period)):
		text += "the node publishes itself at the authorities, and says within " + part(period, publishUntil).Round(time.Second).String() + " how many of them have admitted it"
	case p.Epoch == 0:
		text += "the node publishes itself at the authorities at " + when(next) + ", and then says how many of them have admitted it"
	case !p.enough():
		text += fmt.Sprintf("%d of %d authorities had admitted this node when the epoch %d began, and more than half must: the others do by `sourdine authority admit` with its .member file. It asks again at %s, and is in the network an epoch after enough of them count with it", p.Took, p.Of, p.Epoch-1, when(next))
	case p.Epoch > epoch:
		text += fmt.Sprintf("%d of %d authorities have admitted this node. Unless their vote fails, it is in the network at %s", p.Took, p.Of, when(next))
	case !current:
		text += fmt.Sprintf("%d of %d authorities have admitted this node, and it asks them for one until the next at %s", p.Took, p.Of, when(next))
	default:
		text += fmt.Sprintf("%d of %d authorities have admitted this node, and the vote for epoch %d did not list it: it failed, or their lists of nodes differ, which `sourdine authority list` shows. The next can at %s", p.Took, p.Of, p.Epoch, when(next))
	}
	return text
}
