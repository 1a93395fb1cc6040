package authority

import (
	"time"

	"codeberg.org/sourdine/sourdine/directory"
)

// turns are the moments at which an authority takes up a changed list of nodes, one
// in each epoch. The engine reads the list only when it starts, and must not be away
// during a vote: votes end after five eighths of an epoch, and the next begins with
// the next epoch (Katzenpost authority/voting/server/state.go). So the turns lie
// between eleven and fourteen sixteenths, which leaves a slow machine a sixteenth
// to end its vote, and two to start the engine. Each authority has its own, by its
// place in the network file, so that one at a time is away; and all have theirs in
// the same epoch, because authorities whose lists differ sign different documents
// (see docs/design.md).
type turns struct {
	period time.Duration // of an epoch
	index  int           // this authority's place among the network's, from 0
	of     int           // how many there are
}

// Between which sixteenths of an epoch the turns lie.
const (
	turnsBegin = 11
	turnsEnd   = 14
)

// next returns the first turn after now.
func (t turns) next(now time.Time) time.Time {
	begins := directory.EpochStart(directory.EpochAt(now, t.period), t.period)
	turn := begins.Add(t.period*turnsBegin/16 + t.period*(turnsEnd-turnsBegin)/16*time.Duration(t.index)/time.Duration(t.of))
	if !turn.After(now) {
		turn = turn.Add(t.period)
	}
	return turn
}

// JoinTime is how long it takes at least and at most, after more than half of the
// authorities have admitted a node, until the consensus that lists it begins: they
// take it up at their turns, vote with it in the next epoch, and for the one after.
func JoinTime(period time.Duration) (least, most time.Duration) {
	return period * (2*16 - turnsEnd) / 16, period * (3*16 - turnsBegin) / 16
}

// safe says whether the engine may start anew at a moment: a timer that slept with
// its machine wakes at any.
func (t turns) safe(at time.Time) bool {
	passed := at.Sub(directory.EpochStart(directory.EpochAt(at, t.period), t.period))
	return passed >= t.period*11/16 && passed < t.period*15/16
}

// firstVote returns the first epoch for whose consensus an engine votes that starts
// at a moment: the next, or, after an eighth of an epoch, when descriptors are not
// taken any more, the one behind it.
func firstVote(start time.Time, period time.Duration) uint64 {
	epoch := directory.EpochAt(start, period)
	if start.Sub(directory.EpochStart(epoch, period)) > period/8 {
		return epoch + 2
	}
	return epoch + 1
}
