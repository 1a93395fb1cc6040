package users_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// demo is a running `sourdine demo` whose temporary files lie in a directory of
// its own.
type demo struct {
	t     *testing.T
	cmd   *exec.Cmd
	tmp   string
	lines *bufio.Scanner // of its standard error
	out   bytes.Buffer   // its standard output
	told  strings.Builder
}

func startDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	// t.TempDir has the test's name in it, too long for the paths of sockets.
	tmp, err := os.MkdirTemp("", "demo-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(tmp) })
	d := &demo{t: t, tmp: tmp}
	d.cmd = exec.CommandContext(t.Context(), trial.Program, append([]string{"demo", "--json"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	d.cmd.Stdout = &d.out
	problems, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(problems)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// until reads what the demo tells up to the line that holds text.
func (d *demo) until(text string) {
	d.t.Helper()
	for d.lines.Scan() {
		d.told.WriteString(d.lines.Text() + "\n")
		if strings.Contains(d.lines.Text(), text) {
			return
		}
	}
	d.t.Fatalf("the demo ended without telling %q:\n%s", text, d.told.String())
}

// end waits for the demo's end and until nothing of it is left.
func (d *demo) end() error {
	d.t.Helper()
	for d.lines.Scan() {
		d.told.WriteString(d.lines.Text() + "\n")
	}
	err := d.cmd.Wait()
	gone := time.Now().Add(trial.Patience)
	for {
		files, failed := os.ReadDir(d.tmp)
		if failed != nil {
			d.t.Fatal(failed)
		}
		left := processesOf(d.t, d.tmp)
		if len(files) == 0 && len(left) == 0 {
			return err
		}
		if time.Now().After(gone) {
			d.t.Fatalf("left behind: files %v, processes %v\n%s", files, left, d.told.String())
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// processesOf returns the processes in whose command lines a path is named.
func processesOf(t *testing.T, path string) (list []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err == nil && bytes.Contains(b, []byte(path)) {
			list = append(list, filepath.Base(filepath.Dir(f))+" "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return list
}

// The demo delivers every mail once, stays up as long as it is told to, and
// leaves nothing.
func TestDemo(t *testing.T) {
	t.Parallel()
	d := startDemo(t, "--mails", "5", "--keep")
	d.until("stays up until Ctrl-C")
	d.until("sourdine queue -c")
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := d.end(); err != nil {
		t.Errorf("%v\n%s", err, d.told.String())
	}
	lines := strings.Split(strings.TrimSpace(d.out.String()), "\n")
	var r struct {
		Submitted, Delivered, Lost, Duplicated int
		Sent                                   int     `json:"packets_sent"`
		Cover                                  int     `json:"cover_packets_sent"`
		First                                  float64 `json:"seconds_to_first_delivery"`
		Last                                   float64 `json:"seconds_to_last_delivery"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &r); err != nil {
		t.Fatalf("%v in %q", err, d.out.String())
	}
	if r.Submitted != 5 || r.Delivered != 5 || r.Lost != 0 || r.Duplicated != 0 {
		t.Errorf("%+v", r)
	}
	if r.Cover == 0 || r.Cover > r.Sent-5 {
		t.Errorf("%d packets of cover among %d", r.Cover, r.Sent)
	}
	if r.First <= 0 || r.Last < r.First {
		t.Errorf("first delivery after %v s, last after %v s", r.First, r.Last)
	}
	for _, want := range []string{"mail 5: arrived", "protects nobody", "MB of memory"} {
		if !strings.Contains(d.told.String(), want) {
			t.Errorf("the demo did not tell %q:\n%s", want, d.told.String())
		}
	}
}

// However and whenever a demo ends, it leaves nothing.
func TestDemoEnds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		when   string
		signal syscall.Signal
	}{
		{"making keys", syscall.SIGINT},
		{"making keys", syscall.SIGKILL},
		{"all run", syscall.SIGTERM},
		{"all run", syscall.SIGKILL},
		{"answered 250", syscall.SIGKILL},
	} {
		t.Run(test.signal.String()+" after "+test.when, func(t *testing.T) {
			d := startDemo(t)
			d.until(test.when)
			if err := d.cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			if err := d.end(); err == nil {
				t.Error("an interrupted demo ended with status 0")
			}
		})
	}
}

// When one of its processes dies, the demo says which, and leaves nothing.
func TestDemoFails(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.until("all run")
	pid := 0
	for _, p := range processesOf(t, d.tmp) {
		if strings.Contains(p, "mix2/node.toml") {
			pid, _ = strconv.Atoi(strings.Fields(p)[0])
		}
	}
	if pid == 0 {
		t.Fatal("there is no process of mix2")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := d.end(); err == nil || !strings.Contains(d.told.String(), "mix2 ended by itself") {
		t.Errorf("the demo ended with %v and told:\n%s", err, d.told.String())
	}
}

// A port that another program takes between choice and use costs a new attempt.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	var taken net.Listener
	again := false
	_, err := testnet.Start(ctx, testnet.Options{
		Binary: trial.Program, Dir: t.TempDir(),
		Edit: func(process string, config map[string]any) {
			if process == "mix2" && taken == nil {
				var err error
				if taken, err = net.Listen("tcp", config["bind"].(string)); err != nil {
					t.Error(err)
				}
			}
		},
		Progress: func(step string) {
			if strings.Contains(step, "once more") {
				again = true
			} else if again && strings.Contains(step, "all run") {
				cancel() // seen enough
			}
		},
	})
	if taken != nil {
		taken.Close()
	}
	if !again || !errors.Is(err, context.Canceled) {
		t.Errorf("another attempt: %v; the end: %v", again, err)
	}
}

// An exit whose post office cannot start says why, and ends.
func TestPostOfficeFails(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
	defer cancel()
	_, err := testnet.Start(ctx, testnet.Options{
		Binary: trial.Program,
		Edit: func(process string, config map[string]any) {
			if process == testnet.Exit {
				config["exit"].(map[string]any)["space"] = 1
			}
		},
	})
	if err == nil {
		t.Fatal("the network started")
	}
	for _, want := range []string{"exit ended by itself", "space is 1 bytes", "the exit's handler ended"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

// The switches that other tests rely on.
func TestSwitches(t *testing.T) {
	t.Parallel()
	entry, relay := new(tap.Wire), new(tap.Wire)
	n := trial.Start(t, testnet.Options{Taps: map[string]tap.Tap{testnet.Entry: entry, testnet.Sink: relay}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()

	connected := func(want bool) {
		t.Helper()
		err := n.Wait(ctx, "the gateway's connection", func() (bool, error) {
			st, err := n.Status()
			return err == nil && st.Connected == want, err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Run("recorder", func(t *testing.T) {
		bytes := map[bool]int{}
		for _, c := range entry.Chunks() {
			bytes[c.Out] += c.Bytes
		}
		if bytes[true] == 0 || bytes[false] == 0 {
			t.Errorf("recorded %v", bytes)
		}
	})
	t.Run("partition", func(t *testing.T) {
		connected(true)
		entry.Cut()
		connected(false)
		entry.Restore()
		connected(true)
	})
	t.Run("memory", func(t *testing.T) {
		u := n.Usage()
		if u.Processes != 11 || u.Memory < 50<<20 || u.Memory > 8<<30 {
			t.Errorf("%+v", u)
		}
	})
	t.Run("pause", func(t *testing.T) {
		mix := n.Process("mix1")
		for _, step := range []struct {
			signal func() error
			paused bool
		}{{mix.Pause, true}, {mix.Resume, false}} {
			if err := step.signal(); err != nil {
				t.Fatal(err)
			}
			err := n.Wait(ctx, "the process to take the signal", func() (bool, error) {
				return (processState(t, mix.Pid()) == "T") == step.paused, nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("mail after all that", func(t *testing.T) {
		trial.Submit(t, n, "you@far.example", "after all that", "x\n")
		if got := trial.Arrival(t, ctx, n, "after all that"); got != "x\n" {
			t.Errorf("%q arrived", got)
		}
		chunks := relay.Chunks()
		if !slices.ContainsFunc(chunks, func(c tap.Chunk) bool { return c.Out }) {
			t.Error("the mail did not pass the tap before the receiving server")
		}
	})
	t.Run("post office", func(t *testing.T) {
		exit := n.Process(testnet.Exit)
		children := exit.Children()
		if len(children) != 1 {
			t.Fatalf("the exit has the children %v", children)
		}
		// What the Go runtime writes about a fatal signal or a panic is heard.
		if err := syscall.Kill(children[0], syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		select {
		case <-exit.Ended():
		case <-ctx.Done():
			t.Fatal("the exit did not end with its post office")
		}
		if log := exit.Log(); !strings.Contains(log, "SIGQUIT: quit") || !strings.Contains(log, "runPostOffice") {
			t.Errorf("the exit's log does not tell how its post office ended:\n%s", log)
		}
		exit.Kill() // it is gone; now it is not meant to run
		if err := exit.Start(); err != nil {
			t.Fatal(err)
		}
		err := n.Wait(ctx, "the exit's post office", func() (bool, error) {
			children = exit.Children()
			return len(children) == 1, nil
		})
		if err != nil {
			t.Fatalf("%v: the exit has the children %v", err, children)
		}
		exit.Kill()
		err = n.Wait(ctx, "the post office to end", func() (bool, error) { return !exists(children[0]), nil })
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("failure", func(t *testing.T) {
		if err := syscall.Kill(n.Process("auth3").Pid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		err := n.Wait(ctx, "nothing", func() (bool, error) { return false, nil })
		if err == nil || !strings.Contains(err.Error(), "auth3 ended by itself") {
			t.Errorf("got %v", err)
		}
	})
}

func exists(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

// processState returns the letter of proc_pid_stat(5).
func processState(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[0]
}
