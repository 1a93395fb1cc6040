package testnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is one of the network's processes, running or not. Its methods are
// safe for concurrent use.
type Process struct {
	name    string
	args    []string
	env     []string // besides the starter's
	logPath string
	program *program
	binary  string // "": the program's
	yields  bool   // the others come first on the processor (nice(1))
	mortal  bool   // the kernel kills it when its starter is gone; else it watches its standard input

	changing sync.Mutex // held while it is started or stopped

	mu     sync.Mutex
	run    *running // nil before the first start
	want   bool     // it is meant to run
	groups []int    // the process groups of all lives
}

// running is one life of a process.
type running struct {
	pid   int
	group int
	input io.Closer     // its standard input, if it watches it
	ended chan struct{} // closed when it has ended and err is set
	err   error
}

// stopGrace is how long a process may take to end after SIGTERM: longer than an
// exit waits for its post office (mixnode, stopTimeout, 25 s).
const stopGrace = 30 * time.Second

// orphans are what earlier lives started and what still runs. A number that the
// kernel has given to others since is told by their command.
func (p *Process) orphans() []int {
	p.mu.Lock()
	defer p.mu.Unlock()
	var left []int
	for _, g := range p.groups {
		left = append(left, groupMembers(g)...)
	}
	return slices.DeleteFunc(left, func(pid int) bool {
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		first, _, _ := strings.Cut(string(command), "\x00")
		return err != nil || filepath.Base(first) != filepath.Base(p.program.binary)
	})
}

// Name returns the process's name.
func (p *Process) Name() string { return p.name }

// Give adds to the arguments and the environment of the process's next lives.
func (p *Process) Give(args, env []string) {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.args, p.env = append(p.args, args...), append(p.env, env...)
}

// Become lets the process's next lives run another program, which has the same name in
// another directory and does the same.
func (p *Process) Become(binary string) {
	p.changing.Lock()
	defer p.changing.Unlock()
	p.binary = binary
}

// Start starts the process, which must not run.
func (p *Process) Start() error {
	p.changing.Lock()
	defer p.changing.Unlock()
	if p.alive() {
		return fmt.Errorf("%s is running already", p.name)
	}
	log, err := os.OpenFile(p.logPath, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.program.command(context.Background(), p.mortal, p.args...)
	if p.binary != "" {
		cmd.Path, cmd.Args[0] = p.binary, p.binary
	}
	if p.yields {
		if cmd.Path, err = exec.LookPath("nice"); err != nil {
			return err
		}
		cmd.Args = append([]string{"nice", "-n", "19"}, cmd.Args...)
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(cmd.Env, p.env...)
	r := &running{ended: make(chan struct{})}
	if !p.mortal {
		if r.input, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	if err := p.program.start(cmd); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	r.pid, r.group = cmd.Process.Pid, cmd.Process.Pid
	p.mu.Lock()
	p.run, p.want = r, true
	p.groups = append(p.groups, r.group)
	p.mu.Unlock()
	go func() {
		r.err = cmd.Wait()
		close(r.ended)
	}()
	return nil
}

// Stop asks the process to end (SIGTERM) and waits until it and all that it
// started are gone. It kills what does not go. The error says that it had to, or
// that the process ended with a failure.
func (p *Process) Stop() error {
	p.changing.Lock()
	defer p.changing.Unlock()
	r := p.unwanted()
	if r == nil {
		return nil
	}
	defer r.close()
	_ = syscall.Kill(r.pid, syscall.SIGTERM) // it may have ended by itself
	_ = syscall.Kill(-r.group, syscall.SIGCONT)
	grace, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	select {
	case <-r.ended:
	case <-grace.Done():
	}
	for len(groupMembers(r.group)) > 0 {
		select {
		case <-time.After(pollInterval):
		case <-grace.Done():
			_ = syscall.Kill(-r.group, syscall.SIGKILL)
			<-r.ended
			return fmt.Errorf("%s did not end within %v and was killed", p.name, stopGrace)
		}
	}
	<-r.ended
	if status, ok := exitStatus(r.err); ok && !status.Exited() {
		return nil // a signal, ours or an earlier one
	}
	if r.err != nil {
		return fmt.Errorf("%s ended badly: %w\n%s", p.name, r.err, p.tail())
	}
	return nil
}

// Kill kills the process (SIGKILL) and waits for it. Only the process itself is
// hit: what an exit started must notice.
func (p *Process) Kill() {
	p.changing.Lock()
	defer p.changing.Unlock()
	if r := p.unwanted(); r != nil {
		_ = syscall.Kill(r.pid, syscall.SIGKILL)
		<-r.ended
		r.close()
	}
}

// KillAll kills the process and all that it started (SIGKILL), at once, and waits
// for it.
func (p *Process) KillAll() {
	p.changing.Lock()
	defer p.changing.Unlock()
	if r := p.unwanted(); r != nil {
		_ = syscall.Kill(-r.group, syscall.SIGKILL)
		<-r.ended
		r.close()
	}
}

// KillChildren kills what the process has started (SIGKILL) and waits until it
// has ended by itself, as an exit must without its post office.
func (p *Process) KillChildren() error {
	p.changing.Lock()
	defer p.changing.Unlock()
	children := p.Children()
	r := p.unwanted()
	if r == nil || len(children) == 0 {
		return fmt.Errorf("%s has no children", p.name)
	}
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	select {
	case <-r.ended:
		r.close()
		return nil
	case <-time.After(stopGrace):
		return fmt.Errorf("%s went on for %v without its children", p.name, stopGrace)
	}
}

// Pause freezes the process and all that it started; to the others it is a
// machine that has fallen silent.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.want {
		return fmt.Errorf("%s is not running", p.name)
	}
	return syscall.Kill(-p.run.group, s)
}

// Pid is the process's id; 0 before its first start.
func (p *Process) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return 0
	}
	return p.run.pid
}

// Children returns the ids of the processes that it started and that run.
func (p *Process) Children() []int {
	pid := p.Pid()
	return slices.DeleteFunc(groupMembers(pid), func(id int) bool { return id == pid })
}

// Ended returns a channel that is closed when the life it is now in is over.
func (p *Process) Ended() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return nil
	}
	return p.run.ended
}

// Log returns what the process has written to its standard output and error.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return ""
	}
	return string(b)
}

// failed says how the process ended if it was meant to run.
func (p *Process) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil || !p.want {
		return nil
	}
	select {
	case <-p.run.ended:
		return fmt.Errorf("%s ended by itself (%v)\n%s", p.name, p.run.err, p.tail())
	default:
		return nil
	}
}

// alive reports whether the last life goes on.
func (p *Process) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == nil {
		return false
	}
	select {
	case <-p.run.ended:
		return false
	default:
		return true
	}
}

// LetEnd says that the process may end by itself from now on.
func (p *Process) LetEnd() { p.unwanted() }

// unwanted notes that the process is not meant to run, and returns its life.
func (p *Process) unwanted() *running {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want = false
	return p.run
}

func (r *running) close() {
	if r.input != nil {
		r.input.Close()
	}
}

// tailLines is how much of a log an error quotes.
const tailLines = 15

func (p *Process) tail() string {
	lines := strings.Split(strings.TrimSpace(p.Log()), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}

func exitStatus(err error) (syscall.WaitStatus, bool) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return 0, false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return status, ok
}

// program starts processes of one binary. The kernel ends a process with the
// thread that started it (PR_SET_PDEATHSIG, prctl(2)), and Go's threads come and
// go, so one goroutine that owns a thread starts them all.
type program struct {
	binary string
	calls  chan func() // closed by close
	over   chan struct{}
}

func newProgram(binary string) *program {
	p := &program{binary: binary, calls: make(chan func()), over: make(chan struct{})}
	go func() {
		defer close(p.over)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		for call := range p.calls {
			call()
		}
	}()
	return p
}

// close ends the thread, and with it what still runs.
func (p *program) close() {
	close(p.calls)
	<-p.over
}

// command prepares a process in a group of its own, so that a terminal's Ctrl-C
// reaches only the one who can end them in order.
func (p *program) command(ctx context.Context, mortal bool, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if mortal {
		cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	}
	// What is set for the one process must not be for the others.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, epochVariable+"=") })
	// Races show in the log, where ownRaces tells them apart, not in the status.
	cmd.Env = append(cmd.Env, "GORACE="+strings.TrimSpace(os.Getenv("GORACE")+" exitcode=0"))
	return cmd
}

func (p *program) start(cmd *exec.Cmd) error {
	result := make(chan error)
	p.calls <- func() { result <- cmd.Start() }
	return <-result
}

// run runs a command to its end and returns what it wrote to standard output.
func (p *program) run(ctx context.Context, args ...string) (string, error) {
	cmd := p.command(ctx, true, args...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := p.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(problems.String()))
	}
	return out.String(), nil
}
