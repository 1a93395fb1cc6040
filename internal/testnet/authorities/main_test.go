// Package authorities_test is what befalls the authorities of a whole network, and
// what nodes and gateways make of the consensus: members come and go, votes fail.
package authorities_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Ours) }
