// Package mixing holds the state machines that decide when a packet leaves and what it carries.
//
//   - [Clock] says when: one slot in every period, from a phase chosen once. It knows nothing of
//     mail, of answers or of an [Outbox], and that is the point of the system: the instants at which
//     a machine sends say nothing about its user.
//   - [Outbox] says what: a fragment of a parcel, else a question about a parcel, else cover. It
//     follows each packet until its answer is there or overdue, sends lost fragments again, and
//     holds the mail back while too many packets are lost.
//   - [Pool] holds a mix's packets until they are due, within a budget of memory.
//   - [Watch] notices by the packets that a node sends to itself that packets are lost, and where.
//   - [Delay] and [Moments] draw the random times that packets and questions wait.
//
// Time and randomness are arguments. The package reads no clock, starts no goroutine, does no I/O,
// allocates nothing in a slot that carries cover, and makes the same choices again from the same
// random source, so that a simulator of many users runs exactly what a gateway runs. Nothing here
// is safe for concurrent use: each Outbox, and the source it draws from, belongs to one goroutine.
//
// Whoever predicts these draws sees through the mixing, so outside a simulator the source must be
// rand.New(rand.NewChaCha8(seed)) with a seed from crypto/rand.
//
// It imports the standard library alone.
package mixing

import "time"

// Clock is the schedule of the slots: phase + k·period for every whole k.
type Clock struct {
	phase  time.Time
	period time.Duration
}

// NewClock returns the schedule with a slot at phase and one every period before and after it. The
// phase should be drawn uniformly within one period of the start. It panics, like
// [time.NewTicker], unless period is positive.
func NewClock(phase time.Time, period time.Duration) Clock {
	if period <= 0 {
		panic("mixing: NewClock: the period must be positive")
	}
	return Clock{phase, period}
}

// Next returns the first slot strictly after now. Since it is computed from now alone, slots that
// went by during a suspension are gone: the caller waits for Next, sends, and asks Next again.
//
// The result carries a monotonic reading when now does, and the schedule ignores steps of the wall
// clock when phase does too.
func (c Clock) Next(now time.Time) time.Time {
	into := now.Sub(c.phase) % c.period
	if into < 0 {
		into += c.period
	}
	return now.Add(c.period - into)
}
