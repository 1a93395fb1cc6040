// Package nodes_test is what befalls the nodes of a whole network: faults, attacks, too
// many packets, sealed keys.
package nodes_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m) }
