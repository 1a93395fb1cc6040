//go:build long

package nodes_test

import "time"

// How much the tests of whole networks do when there is time.
const (
	replayKills = 200

	// mixingLoop is how often each of five nodes sends a packet through a mix whose
	// delays are judged, beside a gateway that has 50 there in a second.
	mixingLoop = 20 * time.Millisecond

	// mixingBatches is in how many batches of one run's packets the delays are judged at
	// 1 %, and mixingFails how many may fail: more do so less than once in a million runs.
	mixingBatches = 20
	mixingFails   = 5

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 256
	overloadedFor = 10 * time.Minute
)
