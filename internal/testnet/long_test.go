//go:build long

package testnet_test

import "time"

// How much the tests of whole networks do when there is time.
const (
	killRounds  = 20
	replayKills = 200
	wireSlots   = 1010 // 1,000 are judged, and one of them may be late

	// mixingBatches is how many samples of a mix's delays are judged at 1 %, and
	// mixingFails how many may fail: more do so less than once in ten thousand runs.
	mixingBatches = 20
	mixingFails   = 3

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 256
	overloadedFor = 10 * time.Minute

	// wireJudgesJitter says whether slots must keep their times, which a busy
	// machine cannot promise.
	wireJudgesJitter = true

	// killsAwaitFates says whether the gateway's last question about each mail is
	// waited for.
	killsAwaitFates = true

	// killsHitAll says whether the kills must have struck mails in every state, and
	// a delivery at its end.
	killsHitAll = true
)
