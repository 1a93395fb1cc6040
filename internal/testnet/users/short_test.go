//go:build !long

package users_test

// How much the tests of whole networks do in a few minutes.
const (
	killRounds = 3

	// killsAwaitFates says whether the gateway's last question about each mail is
	// waited for.
	killsAwaitFates = false

	// killsHitAll says whether the kills must have struck mails in every state, and
	// a delivery at its end.
	killsHitAll = false
)
