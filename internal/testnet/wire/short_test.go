//go:build !long

package wire_test

// How much the tests of whole networks do in a few minutes.
const (
	wireSlots = 100

	// wireJudgesJitter says whether slots must keep their times, which a busy
	// machine cannot promise.
	wireJudgesJitter = false
)
