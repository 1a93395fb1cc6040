// Package users_test is what people do with a gateway of a whole network: they write,
// submit with their mail programs and lose processes; and what the demo shows them.
package users_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Ours) }
