//go:build long

package testnet_test

// How much the tests of whole networks do when there is time.
const (
	killRounds = 20
	wireSlots  = 1000

	// wireJudgesJitter says whether slots must keep their times, which a busy
	// machine cannot promise.
	wireJudgesJitter = true

	// killsAwaitFates says whether the gateway's last question about each mail is
	// waited for.
	killsAwaitFates = true
)
