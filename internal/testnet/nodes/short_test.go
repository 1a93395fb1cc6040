//go:build !long

package nodes_test

import "time"

// How much the tests of whole networks do in a few minutes.
const (
	replayKills = 20

	// mixingBatches is how many samples of a mix's delays are judged at 1 %, and
	// mixingFails how many may fail: more do so less than once in a million runs.
	mixingBatches = 5
	mixingFails   = 3

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 16
	overloadedFor = 5 * time.Second
)
