package bench

import (
	"os"
	"runtime"
	"strings"
)

// Machine is what the figures are of.
type Machine struct {
	CPU        string `json:"cpu"`        // as the system calls it; empty where it does not
	Processors int    `json:"processors"` // that this program may use
	Go         string `json:"go"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
}

// ThisMachine is the one that the program runs on.
func ThisMachine() Machine {
	return Machine{CPU: processor(), Processors: runtime.GOMAXPROCS(0), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
}

// processor reads the name of the processor where Linux tells it.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
