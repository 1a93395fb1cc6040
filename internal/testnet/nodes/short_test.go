//go:build !long

package nodes_test

import "time"

// How much the tests of whole networks do in a few minutes.
const (
	replayKills = 20

	// mixingLoop is how often each of five nodes sends a packet through a mix whose
	// delays are judged, beside a gateway that has 50 there in a second.
	mixingLoop = 50 * time.Millisecond

	// mixingBatches is in how many batches of one run's packets the delays are judged at
	// 1 %, and mixingFails how many may fail: more do so less than once in a million runs.
	mixingBatches = 5
	mixingFails   = 3

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 16
	overloadedFor = 5 * time.Second
)
