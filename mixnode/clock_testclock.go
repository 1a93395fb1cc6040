//go:build testclock

package mixnode

import (
	"os"
	"strings"
	"time"
)

// wallClock is a clock that a test sets while the node runs: it is off by the duration
// that stands in the file named by SOURDINE_TEST_CLOCK. Only a program that is built for
// it has it, so no configuration reaches the clock of any other.
func wallClock() time.Time {
	text, err := os.ReadFile(os.Getenv("SOURDINE_TEST_CLOCK"))
	if err != nil {
		panic(err)
	}
	off, err := time.ParseDuration(strings.TrimSpace(string(text)))
	if err != nil {
		panic(err)
	}
	return time.Now().Add(off)
}
