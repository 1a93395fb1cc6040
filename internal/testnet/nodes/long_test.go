//go:build long

package nodes_test

import "time"

// How much the tests of whole networks do when there is time.
const (
	replayKills = 200

	// mixingBatches is how many samples of a mix's delays are judged at 1 %, and
	// mixingFails how many may fail: more do so less than once in a million runs.
	mixingBatches = 20
	mixingFails   = 5

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 256
	overloadedFor = 10 * time.Minute
)
