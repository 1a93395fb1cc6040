// Package mixed_test is whole networks of our nodes and Katzenpost's own.
package mixed_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Stock) }
