// Package nodes_test is what the nodes of a whole network promise: delays, no replay, a
// budget, loops that come home, keys and secrets kept.
package nodes_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Ours) }
