// Package faults_test is what befalls the nodes of a whole network, and what they do then:
// lost processes, garbage, full disks, slow and lost neighbours, wrong clocks.
package faults_test

import (
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

func TestMain(m *testing.M) { trial.Main(m, trial.Ours) }
