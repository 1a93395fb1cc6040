package nodebench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/internal/stocknode"
	"codeberg.org/sourdine/sourdine/mixnode"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Kinds of processes that are measured.
const (
	kindOurs  = "ours"
	kindStock = "Katzenpost's"
	kindRelay = "relay" // only reads and writes
	kindBare  = "bare"  // and does what no node can do without
)

// task is what a process that is measured is told, in a file.
type task struct {
	Kind string

	// A node's.
	Node    mixnode.Config
	Scheme  string
	Payload int
	Profile string // the file that our node's processor profile is written to; empty: none

	// The relay's and the bare process's.
	Address string
	Sinks   []string
	Key     []byte // the bare process's private mix key
}

// Child is the process that is measured: it does what the file at path says until
// ctx ends or its standard input does, with which it knows that its parent is gone.
func Child(ctx context.Context, path string, input io.Reader) error {
	b, err := config.Read(path)
	if err != nil {
		return err
	}
	t := new(task)
	if err := json.Unmarshal(b, t); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, input)
		cancel()
	}()
	if t.Kind == kindRelay || t.Kind == kindBare {
		return runRelay(ctx, t)
	}
	if b, err = config.Read(t.Node.Network); err != nil {
		return err
	}
	n, err := directory.ParseNetwork(b)
	if err != nil {
		return err
	}
	// 2,000 bytes are less than a network for mail may have: its file names others.
	n.Parameters.Scheme, n.Parameters.Payload = t.Scheme, t.Payload
	if t.Kind == kindStock {
		c := stocknode.Config(&t.Node, n)
		c.Server.PersistMixKeysOnShutdown, c.Server.PersistMixKeysOnShutdownDir = true, stockKeys(t.Node.State)
		return stocknode.Run(ctx, c)
	}
	if t.Profile != "" {
		f, err := os.Create(t.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	sealer, err := seal.Open(seal.Plain, t.Node.State, nil)
	if err != nil {
		return err
	}
	return mixnode.Run(ctx, &t.Node, n, sealer, nil, nil, slog.New(slog.NewTextHandler(os.Stderr, nil)))
}

// child is such a process, seen from outside.
type child struct {
	cmd   *exec.Cmd
	input io.Closer
	log   string
	ended chan struct{}
	err   error
}

// startChild runs this program as a child with its task, in dir.
func startChild(o *Options, dir string, epoch time.Duration, t *task) (*child, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	base := filepath.Join(dir, strings.ReplaceAll(t.Kind, "'", ""))
	if err := os.WriteFile(base+".json", b, 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(base + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c := &child{cmd: exec.Command(o.Program[0], slices.Concat(o.Program[1:], []string{base + ".json"})...), log: base + ".log", ended: make(chan struct{})}
	c.cmd.Args[0] = os.Args[0] // a program can have several names, by which it knows what to do
	c.cmd.Env = append(os.Environ(), "KATZENPOST_EPOCH_DURATION="+epoch.String())
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if c.input, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// cpu is the processor time that the process has used.
func (c *child) cpu() (time.Duration, error) {
	// The clock of another process (clock_getcpuclockid(3); the kernel's
	// include/linux/posix-timers_types.h, CPUCLOCK_SCHED).
	return clock(int32(^c.cmd.Process.Pid<<3 | 2))
}

func clock(id int32) (time.Duration, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0, fmt.Errorf("reading a processor clock: %w", err)
	}
	return time.Duration(t.Nano()), nil
}

// peak is the most memory that the process has had, in bytes.
func (c *child) peak() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10, nil
		}
	}
	return 0, errors.New("the system does not say how much memory a process had")
}

// stop ends the process, the hard way if it takes long.
func (c *child) stop() {
	c.input.Close()
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.ended
	}
}

// died is why the process ended by itself, or nil.
func (c *child) died() error {
	select {
	case <-c.ended:
		log, _ := os.ReadFile(c.log)
		return fmt.Errorf("a process that is measured ended: %v: %s", c.err, log)
	default:
		return nil
	}
}

// runRelay reads records from whoever connects, and writes them on to the sinks in
// turn: what the system calls of a node cost, without the node. It reads as
// internal/link does, a header and then what there is of the body and of more, and
// writes what has gathered for a sink at once, up to as much as a node writes. The
// bare process also unwraps each, and enciphers what a node has to.
func runRelay(ctx context.Context, t *task) error {
	g, err := sphinx.NewGeometry(t.Scheme, sphinx.DefaultHops, t.Payload)
	if err != nil {
		return err
	}
	work := func([]byte) error { return nil }
	if t.Kind == kindBare {
		if work, err = bareWork(g, t.Key); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", t.Address)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var (
		length  = beforePacket + g.PacketLength + afterPacket
		free    = sync.Pool{New: func() any { b := make([]byte, length, length+linkHeader); return &b }}
		queues  []chan []byte
		writing sync.WaitGroup
		reading sync.WaitGroup
	)
	for _, address := range t.Sinks {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		queue := make(chan []byte, MaxPackets)
		queues = append(queues, queue)
		writing.Go(func() {
			defer conn.Close()
			relayWrite(conn, queue, &free)
		})
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			break
		}
		reading.Go(func() {
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			r := &relayReader{conn: conn}
			for i := 0; ; i++ {
				record := *free.Get().(*[]byte)
				if r.read(record) != nil || work(record[beforePacket:][:g.PacketLength]) != nil {
					return
				}
				queues[i%len(queues)] <- record
			}
		})
	}
	reading.Wait()
	for _, q := range queues {
		close(q)
	}
	writing.Wait()
	return nil
}

// bareWork is what no node can do without with a packet: to unwrap it, and the
// ciphers of the links that it comes and goes over.
func bareWork(g *sphinx.Geometry, key []byte) (func(packet []byte) error, error) {
	private, err := g.PrivateKey(key)
	if err != nil {
		return nil, err
	}
	s := sphinx.New(g)
	workers := sync.Pool{New: func() any { return newCiphers(g.PacketLength) }}
	return func(packet []byte) error {
		var u sphinx.Unwrapped
		if err := s.Unwrap(private, packet, &u); err != nil {
			return err
		}
		c := workers.Get().(*ciphers)
		defer workers.Put(c)
		return c.bothLinks()
	}, nil
}

// relayWrite writes the records of a queue until it is closed.
func relayWrite(conn net.Conn, queue <-chan []byte, free *sync.Pool) {
	for record := range queue {
		list := [][]byte{record}
		for more := true; more && len(list) < writtenAtOnce; {
			select {
			case record, more = <-queue:
				if more {
					list = append(list, record)
				}
			default:
				more = false
			}
		}
		buffers := net.Buffers(slices.Clone(list))
		if _, err := buffers.WriteTo(conn); err != nil {
			return
		}
		for _, record := range list {
			free.Put(&record)
		}
	}
}

// writtenAtOnce is how many packets a node writes at once at most (mixnode, batch).
const writtenAtOnce = 16

// relayReader reads records with the calls of internal/link's reader.
type relayReader struct {
	conn   net.Conn
	header [linkHeader]byte
	buffer [16 << 10]byte
	ahead  []byte
}

// linkHeader is a record's, in bytes.
const linkHeader = 20

func (r *relayReader) read(record []byte) error {
	have := copy(record[:linkHeader], r.ahead)
	r.ahead = r.ahead[have:]
	if have < linkHeader {
		if _, err := io.ReadFull(r.conn, record[have:linkHeader]); err != nil {
			return err
		}
	}
	body := record[linkHeader:]
	got := copy(body, r.ahead)
	r.ahead = r.ahead[got:]
	if got == len(body) {
		return nil
	}
	if len(body) <= len(r.buffer)/4 {
		n, err := io.ReadAtLeast(r.conn, r.buffer[:], len(body)-got)
		if err != nil {
			return err
		}
		r.ahead = r.buffer[copy(body[got:], r.buffer[:n]):n]
		return nil
	}
	n, err := io.ReadAtLeast(r.conn, body[got:len(body)+linkHeader], len(body)-got)
	if err != nil {
		return err
	}
	r.ahead = r.header[:copy(r.header[:], body[len(body):got+n])]
	return nil
}
