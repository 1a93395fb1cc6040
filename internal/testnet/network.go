package testnet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/ports"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
)

// Options say what network Start makes. Zero values stand for the defaults.
type Options struct {
	Binary string // the program; required
	Dir    string // an existing, empty directory that is left alone in the end; "": one that Close removes

	Epoch   time.Duration // 10 s
	Slot    time.Duration // 100 ms
	Loop    time.Duration // 1 h: mean between two packets that a node sends to itself
	Delay   time.Duration // 100 ms: mean at each mix
	Payload int           // 30,000 bytes
	Hold    time.Duration // 500 ms: mean time at the exit
	Retry   time.Duration // 1 s: mean time before the exit's first retry
	Resend  time.Duration // 3 s: mean time before the gateway sends a lost fragment again
	Expiry  uint64        // 60 epochs
	MaxLoss float64       // the exit's default: share of packets lost above which gateways hold mail back

	// GatewayFirst lets the gateway have the processor before the others, as if
	// they had machines of their own.
	GatewayFirst bool

	// Taps stand in front of processes, by name: what connects to an authority,
	// a mix, the exit or the sink connects to its tap. The entry's is reached by
	// gateways only; mixes connect past it.
	Taps map[string]tap.Tap

	// Stock are nodes that are Katzenpost's own, by name, run by StockBinary (see
	// folder stock); Decoys lets them send loops.
	Stock       []string
	StockBinary string
	Decoys      bool

	// Spares are mixes besides the three, by name with their layer, which are made,
	// but neither admitted nor started.
	Spares map[string]int

	// Edit changes a configuration file before its process first starts; nil: none.
	Edit func(process string, config map[string]any)

	// Progress is told each step in one line; nil: nobody.
	Progress func(string)
}

func (o *Options) setDefaults() {
	setDefault(&o.Epoch, 10*time.Second)
	setDefault(&o.Slot, 100*time.Millisecond)
	setDefault(&o.Loop, time.Hour)
	setDefault(&o.Delay, 100*time.Millisecond)
	setDefault(&o.Payload, directory.DefaultParameters().Payload)
	setDefault(&o.Hold, 500*time.Millisecond)
	setDefault(&o.Retry, time.Second)
	setDefault(&o.Resend, 3*time.Second)
	setDefault(&o.Expiry, 60)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Names of the processes.
const (
	Gateway = "gateway"
	Entry   = "entry"
	Exit    = "exit"
	Sink    = "sink"
)

var (
	authorities = []string{"auth1", "auth2", "auth3"}
	mixes       = []string{"mix1", "mix2", "mix3"}
	nodes       = append([]string{Entry, Exit}, mixes...)
)

// Network is a running network. Its methods are safe for concurrent use.
type Network struct {
	o         Options
	dir       string
	temporary bool // dir is Start's
	program   *program
	processes []*Process // in the order in which they are started
	real      map[string]string
	reached   map[string]string // where others reach each process: its tap, or itself
	network   *directory.Network
	gateway   *gateway.Config
	user      Submission

	stopTaps  context.CancelFunc
	taps      sync.WaitGroup
	tapped    map[string]net.Listener // until serveTaps hands them over
	closeOnce sync.Once
	closeErr  error
}

// attempts bounds how often Start begins anew because a port was taken between
// its choice and its use.
const attempts = 3

// Start makes a network and returns when its gateway takes mail, some one and a
// half epochs later. Its error quotes the log of the process that failed.
func Start(ctx context.Context, o Options) (*Network, error) {
	o.setDefaults()
	for attempt := 1; ; attempt++ {
		n, err := start(ctx, o)
		if err == nil || attempt == attempts || !strings.Contains(err.Error(), syscall.EADDRINUSE.Error()) {
			return n, err
		}
		o.Progress("another program took a port; once more")
		if o.Dir != "" {
			if err := empty(o.Dir); err != nil {
				return nil, err
			}
		}
	}
}

func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

func start(ctx context.Context, o Options) (_ *Network, err error) {
	n := &Network{o: o, dir: o.Dir, program: newProgram(o.Binary)}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if n.dir == "" {
		n.temporary = true
		if n.dir, err = os.MkdirTemp("", "sourdine-"); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute+8*o.Epoch)
	defer cancel()
	for _, step := range []func(context.Context) error{n.startSink, n.create, n.startMembers, n.startGateway} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("starting the network: %w", err)
		}
	}
	return n, nil
}

// startSink chooses all ports and starts the receiving mail server. It comes
// first because it watches over the directory.
func (n *Network) startSink(ctx context.Context) error {
	for _, dir := range []string{"log", Sink} {
		if err := os.Mkdir(n.Path(dir), 0o700); err != nil {
			return err
		}
	}
	if err := n.choosePorts(); err != nil {
		return err
	}
	args := []string{"sink", "--listen", n.real[Sink], "--dir", n.Path(Sink)}
	if n.temporary {
		args = append(args, "--remove", n.dir)
	}
	n.add(Sink, args).mortal = false
	return n.up(ctx, Sink)
}

// add makes a process without starting it.
func (n *Network) add(name string, args []string) *Process {
	p := &Process{
		name: name, args: args, logPath: n.Path("log", name+".log"), program: n.program, mortal: true,
		yields: n.o.GatewayFirst && name != Gateway,
		// With it the program need not start itself again for the network's
		// epochs, which it would do from a thread that does not die with ours.
		env: []string{epochVariable + "=" + n.o.Epoch.String()},
	}
	n.processes = append(n.processes, p)
	return p
}

// epochVariable is where the packet engine reads an epoch's length (Katzenpost
// core/epochtime).
const epochVariable = "KATZENPOST_EPOCH_DURATION"

// up starts processes and waits until they listen.
func (n *Network) up(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := n.Process(name).Start(); err != nil {
			return err
		}
	}
	return n.Listening(ctx, names...)
}

// Listening waits until the named processes take connections.
func (n *Network) Listening(ctx context.Context, names ...string) error {
	for _, name := range names {
		err := n.Wait(ctx, name+" to listen", func() (bool, error) {
			c, err := net.DialTimeout("tcp", n.real[name], time.Second)
			if err != nil {
				return false, nil
			}
			return true, c.Close()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// startupShare is how much of an epoch must be left for the processes to start
// before the next one begins. Nodes upload their descriptors, and authorities
// begin to vote, in an epoch's first eighth only.
const startupShare = 0.25

// startMembers starts authorities and nodes, and returns when the consensus that
// they then vote is in use.
func (n *Network) startMembers(ctx context.Context) error {
	if begun := time.Since(directory.EpochStart(n.Epoch(), n.o.Epoch)); n.o.Epoch-begun < time.Duration(startupShare*float64(n.o.Epoch)) {
		// Half of them would come too late and the others vote without them.
		if err := sleepUntil(ctx, directory.EpochStart(n.Epoch()+1, n.o.Epoch).Add(n.o.Epoch/8)); err != nil {
			return err
		}
	}
	for _, name := range authorities {
		n.add(name, []string{"authority", "-c", n.Path(name, "authority.toml")})
	}
	for _, name := range nodes {
		config := n.Path(name, "node.toml")
		if !slices.Contains(n.o.Stock, name) {
			n.add(name, []string{"node", "-c", config})
			continue
		}
		args := []string{"-c", config, "-office", n.o.Binary}
		if n.o.Decoys {
			args = append(args, "-decoys")
		}
		n.add(name, args).binary = n.o.StockBinary
	}
	for _, name := range n.spares() {
		n.add(name, []string{"node", "-c", n.Path(name, "node.toml")})
	}
	n.o.Progress("starting 3 authorities, 3 mixes, an entry and an exit")
	if err := n.up(ctx, append(slices.Clone(authorities), nodes...)...); err != nil {
		return err
	}
	first := n.Epoch() + 2
	wait := time.Until(directory.EpochStart(first, n.o.Epoch))
	n.o.Progress(fmt.Sprintf("all run; they vote in epoch %d for epoch %d, which begins in %.0f s", first-1, first, wait.Seconds()))
	return n.Wait(ctx, "the first consensus", func() (bool, error) { return n.Epoch() >= first, nil })
}

// startGateway starts the gateway and waits until it takes mail.
func (n *Network) startGateway(ctx context.Context) error {
	n.add(Gateway, []string{"gateway", "-c", n.Path(Gateway, gateway.ConfigName)})
	n.o.Progress(fmt.Sprintf("epoch %d: starting the gateway", n.Epoch()))
	if err := n.Process(Gateway).Start(); err != nil {
		return err
	}
	return n.Ready(ctx)
}

// Ready waits until the gateway takes mail: it has a consensus, and the exit's
// answer has come back to it.
func (n *Network) Ready(ctx context.Context) error {
	var last error
	err := n.Wait(ctx, "the gateway to take mail", func() (bool, error) {
		st, err := n.Status()
		if err != nil {
			last = err
			return false, nil
		}
		if last = nil; len(st.Reasons) > 0 {
			last = errors.New(strings.Join(st.Reasons, "; "))
		}
		return st.CanAccept, nil
	})
	if err != nil && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// pollInterval is how often a state is looked at that nothing announces.
const pollInterval = 50 * time.Millisecond

// Wait returns when done says so. It ends with an error when ctx does, when done
// returns one, or when a process ends that was meant to run; what says in words
// what is waited for.
func (n *Network) Wait(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if err := n.Failed(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		}
	}
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Failed returns an error, with the end of its log, if a process has ended that
// was meant to run.
func (n *Network) Failed() error {
	for _, p := range n.processes {
		if err := p.failed(); err != nil {
			return err
		}
	}
	return nil
}

// Process returns a process: gateway, entry, exit, mix1 to mix3, auth1 to auth3,
// sink or a spare. It panics on any other name.
func (n *Network) Process(name string) *Process {
	for _, p := range n.processes {
		if p.name == name {
			return p
		}
	}
	panic("testnet: there is no process " + name)
}

// Path returns the path of something in the network's directory, in which each
// process has a directory by its name.
func (n *Network) Path(parts ...string) string {
	return filepath.Join(append([]string{n.dir}, parts...)...)
}

// Address is where a process listens.
func (n *Network) Address(name string) string { return n.real[name] }

// Epoch is the number of the current epoch.
func (n *Network) Epoch() uint64 { return directory.EpochAt(time.Now(), n.o.Epoch) }

// Close stops all processes, the gateway first, waits for them, and removes the
// directory if Start made it. Its error says which process did not end as asked
// or left something behind, and which found a data race. It may be called again,
// and on a network that did not come up.
func (n *Network) Close() error {
	n.closeOnce.Do(func() { n.closeErr = n.close() })
	return n.closeErr
}

func (n *Network) close() error {
	errs := make([]error, len(n.processes))
	stop := func(which func(*Process) bool) {
		var stopping sync.WaitGroup
		for i, p := range n.processes {
			if which(p) {
				stopping.Go(func() { errs[i] = p.Stop() })
			}
		}
		stopping.Wait()
	}
	// The engine's entry may crash when it stops while replies come in: first end
	// what brings them.
	stop(func(p *Process) bool { return p.name == Gateway })
	stop(func(p *Process) bool { return slices.Contains(mixes, p.name) })
	stop(func(p *Process) bool { return p.name != Sink })
	stop(func(p *Process) bool { return p.name == Sink })
	ports.Return(slices.Collect(maps.Values(n.real))...)
	err := errors.Join(errs...)
	for _, p := range n.processes {
		if left := p.orphans(); len(left) > 0 {
			err = errors.Join(err, fmt.Errorf("%s left %d processes behind", p.name, len(left)))
			for _, pid := range left {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if races := ownRaces(p.Log()); len(races) > 0 {
			err = errors.Join(err, fmt.Errorf("%s has %d data races, first:\n%s", p.name, len(races), races[0]))
		}
	}
	if n.stopTaps != nil {
		n.stopTaps()
	}
	for _, l := range n.tapped {
		l.Close()
	}
	n.taps.Wait()
	n.program.close()
	if n.temporary && n.dir != "" {
		err = errors.Join(err, os.RemoveAll(n.dir))
	}
	return err
}
