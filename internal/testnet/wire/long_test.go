//go:build long

package wire_test

// How much the tests of whole networks do when there is time.
const (
	wireSlots = 1010 // 1,000 are judged, and one of them may be late

	// wireJudgesJitter says whether slots must keep their times, which a busy
	// machine cannot promise.
	wireJudgesJitter = true
)
