// Package wire_test is what somebody sees who watches the line between a gateway and its
// entry.
package wire_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Stock) }
