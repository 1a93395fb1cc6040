//go:build !long

package testnet_test

import "time"

// How much the tests of whole networks do in a few minutes.
const (
	killRounds  = 3
	replayKills = 20
	wireSlots   = 100

	// mixingBatches is how many samples of a mix's delays are judged at 1 %, and
	// mixingFails how many may fail: more do so less than once in ten thousand runs.
	mixingBatches = 5
	mixingFails   = 2

	// overloadedMB is the memory of a mix that gets more packets than it holds, and
	// overloadedFor is for how long.
	overloadedMB  = 16
	overloadedFor = 5 * time.Second

	// wireJudgesJitter says whether slots must keep their times, which a busy
	// machine cannot promise.
	wireJudgesJitter = false

	// killsAwaitFates says whether the gateway's last question about each mail is
	// waited for.
	killsAwaitFates = false

	// killsHitAll says whether the kills must have struck mails in every state, and
	// a delivery at its end.
	killsHitAll = false
)
