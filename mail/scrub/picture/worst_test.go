//go:build long && linux

package picture

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/sample"
)

// TestWorst cleans each picture at the bounds twice in a process of its own, and looks how large that becomes.
func TestWorst(t *testing.T) {
	if os.Getenv("PICTURE_WORST") != "" {
		data, err := io.ReadAll(os.Stdin)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		for range 2 {
			p, err := Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := p.Encode(0); err != nil {
				t.Fatal(err)
			}
		}
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, peak, _ := strings.Cut(string(status), "VmHWM:")
		fmt.Printf("PEAK %s\n", strings.Fields(peak)[0])
		return
	}
	for _, heavy := range sample.HeavyPictures {
		t.Run(heavy.Name, func(t *testing.T) {
			data := heavy.Make(1)
			if len(data) > 26<<20 {
				t.Errorf("%d bytes are more than can be submitted", len(data))
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestWorst$")
			cmd.Env = append(os.Environ(), "PICTURE_WORST=1")
			cmd.Stdin = bytes.NewReader(data)
			out, err := cmd.CombinedOutput()
			_, peak, found := strings.Cut(string(out), "PEAK ")
			if err != nil || !found {
				t.Fatalf("%v\n%s", err, out)
			}
			kilobytes, err := strconv.Atoi(strings.Fields(peak)[0])
			if err != nil {
				t.Fatal(err)
			}
			milliseconds := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Milliseconds() / 2
			t.Logf("%d bytes: %d MiB, %d ms of a core", len(data), kilobytes>>10, milliseconds)
			if kilobytes > 512<<10 {
				t.Errorf("takes %d MiB", kilobytes>>10)
			}
			if milliseconds > 15_000 {
				t.Errorf("takes %d ms", milliseconds)
			}
		})
	}
}
