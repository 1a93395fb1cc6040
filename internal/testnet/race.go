package testnet

import "strings"

// Frames that are on the stack of whatever the packet engine does in the
// goroutine that started it, or in functions of its own that were inlined there.
var startsEngine = []string{"main.", "sourdine/mixnode.Run", "sourdine/directory/authority.Run"}

// ownRaces returns the race detector's reports in a log that concern code of
// this project: code that is on the stack of one of the two accesses. The engine
// has races of its own, between goroutines of its own, which are its authors'.
func ownRaces(log string) (reports []string) {
	for _, block := range strings.Split(log, "==================") {
		if !strings.Contains(block, "WARNING: DATA RACE") {
			continue
		}
		accesses, _, _ := strings.Cut(block, "\nGoroutine ") // where the goroutines were created
		for line := range strings.Lines(accesses) {
			if frame := strings.TrimSpace(line); ours(frame) {
				reports = append(reports, strings.TrimSpace(block))
				break
			}
		}
	}
	return reports
}

func ours(frame string) bool {
	if !strings.HasSuffix(frame, ")") { // a file's line
		return false
	}
	for _, f := range startsEngine {
		if strings.HasPrefix(strings.TrimPrefix(frame, "codeberg.org/sourdine/"), f) {
			return false
		}
	}
	return strings.HasPrefix(frame, "codeberg.org/sourdine/")
}
