// Package nodebench measures what a packet costs a whole node: ours and
// Katzenpost's, each a process of its own that the same packets of the same load
// generator go through, over the same links on loopback, in turn.
//
// What is measured is the processor time that the node's process uses, the
// system's share of it included, divided by the packets that came out at the other
// end: the load generator and the neighbours on both sides are another process, so
// their work does not count. Our node is also compared with its floor: the sum of
// what no node can do without.
//
//	load generator              the process that is measured
//	three feeders ──links──▶ our node │ a stock node ──links──▶ three sinks
//	three feeders ─────────▶ the relay │ the bare process ─────▶ three sinks
//
//	floor = unwrapping + the links' ciphers + the relay, which only reads and writes
//
// The bare process does these three itself, and nothing else. Where packets come one
// by one it costs more than the floor: between two of them a processor sleeps, and
// what it does then it does with cold caches.
//
// A machine's speed drifts, so all take turns in every round, as in package bench.
//
// To read it: network.go, what the nodes believe to be in; child.go, the processes
// that are measured; load.go, what goes through them; floor.go; and this file,
// which puts them together. It links Katzenpost's own node, which nothing that
// carries mail may.
package nodebench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/internal/bench"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Defaults and bounds of what is asked for. With the defaults it takes about five
// minutes.
const (
	DefaultRounds  = 3
	MaxRounds      = 100
	DefaultPackets = 4000
	MaxPackets     = 20_000
	DefaultRate    = 1000
	MaxRate        = 100_000
)

// Sizes are the packets that are measured: what most mix networks carry, and our
// default.
var Sizes = []Size{{"x25519", 2000}, {sphinx.DefaultScheme, sphinx.DefaultUserPayload}}

// Size is a key exchange and a user payload in bytes.
type Size struct {
	Scheme  string
	Payload int
}

// Options are what to measure.
type Options struct {
	Program  []string // the command, without its last argument, that runs Child
	Sizes    []Size
	Rounds   int             // 1 to MaxRounds
	Packets  int             // in each turn, 1 to MaxPackets
	Rate     int             // packets a second, 1 to MaxRate
	Profile  string          // a directory for processor profiles of our node; empty: none
	Progress func(round int) // if not nil, it is called as each round begins, of all sizes
}

func (o *Options) check() error {
	switch {
	case o.Rounds < 1 || o.Rounds > MaxRounds:
		return fmt.Errorf("%d rounds are not between 1 and %d", o.Rounds, MaxRounds)
	case o.Packets < 1 || o.Packets > MaxPackets:
		return fmt.Errorf("%d packets are not between 1 and %d", o.Packets, MaxPackets)
	case o.Rate < 1 || o.Rate > MaxRate:
		return fmt.Errorf("a rate of %d packets a second is not between 1 and %d", o.Rate, MaxRate)
	case o.quiet() > longestQuiet:
		return errors.New("that takes hours: ask for fewer rounds, fewer packets or a higher rate")
	}
	return nil
}

// Report is what was found. Times are in microseconds of processor time.
type Report struct {
	Machine bench.Machine `json:"machine"`
	Rounds  int           `json:"rounds"`
	Packets int           `json:"packets"` // in each turn
	Results []Result      `json:"results"`
}

// Result is that of a size.
type Result struct {
	Scheme      string `json:"scheme"`
	UserPayload int    `json:"user_payload"` // bytes
	Packet      int    `json:"packet"`

	Unwrap bench.Spread `json:"unwrap_us"` // of a packet
	Link   bench.Spread `json:"link_us"`   // its links' ciphers
	Loads  []Load       `json:"loads"`

	OurPeak        int64 `json:"ours_peak_bytes"` // the most memory that the process had
	KatzenpostPeak int64 `json:"katzenpost_peak_bytes"`
}

// Load is how the processes fared at one rate.
type Load struct {
	Rate       int          `json:"rate"` // packets a second that were sent; 0: as many as the process takes
	Ours       Process      `json:"ours"`
	Katzenpost Process      `json:"katzenpost"`
	Relay      Process      `json:"relay"` // only reads and writes
	Bare       Process      `json:"bare"`  // and unwraps, and enciphers
	Ratio      bench.Spread `json:"katzenpost_to_ours"`

	Floor       bench.Spread `json:"floor_us"` // unwrapping, the links' ciphers and the relay
	OursToFloor bench.Spread `json:"ours_to_floor"`
	OursToBare  bench.Spread `json:"ours_to_bare"`
	Tags        bench.Spread `json:"tags_us"` // a packet's share of bringing its replay tag to disk
	Rest        bench.Spread `json:"rest_us"` // of ours, without floor and tags; below 0 where the turns drifted
}

// Process is what a packet cost a process.
type Process struct {
	CPU          bench.Spread `json:"cpu_us"`
	PerCPUSecond bench.Spread `json:"packets_per_cpu_second"`
	PerSecond    bench.Spread `json:"packets_per_second"` // that went through, by the clock on the wall
	Sent         int          `json:"sent"`               // in all turns
	Arrived      int          `json:"arrived"`
}

// Run measures.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r := &Report{Machine: bench.ThisMachine(), Rounds: o.Rounds, Packets: o.Packets}
	for i, size := range o.Sizes {
		result, err := measure(ctx, &o, size, i*o.Rounds)
		if err != nil {
			return nil, fmt.Errorf("%s with %d bytes: %w", size.Scheme, size.Payload, err)
		}
		r.Results = append(r.Results, *result)
	}
	return r, nil
}

// measure measures one size, after so many rounds of others.
func measure(ctx context.Context, o *Options, size Size, before int) (result *Result, err error) {
	g, err := sphinx.NewGeometry(size.Scheme, sphinx.DefaultHops, size.Payload)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "sourdine-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &stage{o: o, geometry: g, dir: dir}
	defer s.close()
	if err := s.build(ctx); err != nil {
		return nil, err
	}
	loads := newLoads(o.Rate)
	// Whatever happens once, happens now.
	if err := s.round(ctx, loads, max(1, o.Packets/4)); err != nil {
		return nil, err
	}
	loads = newLoads(o.Rate)
	s.unwrap, s.link = nil, nil
	for round := range o.Rounds {
		if o.Progress != nil {
			o.Progress(before + round + 1)
		}
		if err := s.round(ctx, loads, o.Packets); err != nil {
			return nil, err
		}
		slices.Reverse(s.targets)
	}
	result = &Result{
		Scheme: size.Scheme, UserPayload: size.Payload, Packet: g.PacketLength,
		Unwrap: bench.SpreadOf(s.unwrap), Link: bench.SpreadOf(s.link),
	}
	for _, f := range loads {
		result.Loads = append(result.Loads, s.load(f))
	}
	if result.OurPeak, err = s.ours.peak(); err != nil {
		return nil, err
	}
	result.KatzenpostPeak, err = s.stock.peak()
	return result, err
}

// longestQuiet is what fits into the longest epoch, with room.
const longestQuiet = 4 * time.Hour

// stage is where a size is measured: the network, and the processes in it.
type stage struct {
	o        *Options
	geometry *sphinx.Geometry
	dir      string
	network  *network
	sinks    *receivers
	frames   *link.Frames
	alone    *member // whose packets are unwrapped alone, and by the bare process
	key      []byte  // its private mix key

	ours, stock, relay, bare *target
	targets                  []*target

	unwrap, link []float64 // by round
}

// quiet is how long a network must leave its nodes alone, generously.
func (o *Options) quiet() time.Duration {
	turns := 4*float64(o.Packets)/float64(o.Rate) + 0.006*float64(o.Packets) + 10
	return time.Duration(float64(o.Rounds+1)*turns)*time.Second + 30*time.Second
}

func (s *stage) build(ctx context.Context) (err error) {
	if s.network, err = newNetwork(s.dir, s.geometry, s.o.quiet()); err != nil {
		return err
	}
	n := s.network
	s.frames = link.NewFrames(s.geometry)
	s.alone = new(member)
	var public []byte
	if public, s.key, err = s.geometry.GenerateKey(); err != nil {
		return err
	}
	if s.alone.mixKey, err = s.geometry.PublicKey(public); err != nil {
		return err
	}
	s.ours = &target{kind: kindOurs, member: n.ours, linked: true, address: n.ours.address}
	s.stock = &target{kind: kindStock, member: n.stock, linked: true, address: n.stock.address}
	s.relay, s.bare = &target{kind: kindRelay, member: s.alone}, &target{kind: kindBare, member: s.alone}
	s.targets = []*target{s.ours, s.stock, s.relay, s.bare}
	s.sinks = &receivers{
		frames: s.frames, record: beforePacket + s.geometry.PacketLength + afterPacket,
		byID: map[sphinx.NodeID]*target{n.ours.id: s.ours, n.stock.id: s.stock},
	}
	for _, m := range n.sinks {
		if _, err := s.sinks.listen(m.address, func(conn net.Conn) { s.sinks.receive(conn, m) }); err != nil {
			return err
		}
	}
	for _, t := range s.targets {
		work := &task{Kind: t.kind, Scheme: s.geometry.Scheme, Payload: s.geometry.UserPayloadLength}
		if t.linked {
			work.Node = n.config(t.member)
		} else if err := s.plainTask(t, work); err != nil {
			return err
		}
		if t == s.ours && s.o.Profile != "" {
			work.Profile = filepath.Join(s.o.Profile, s.geometry.Scheme+".pprof")
		}
		if t.child, err = startChild(s.o, s.dir, n.parameters.Epoch, work); err != nil {
			return err
		}
	}
	for _, t := range s.targets {
		// A stock node asks for its first consensus after a 64th of an epoch.
		if err := t.connect(ctx, n, s.frames, n.parameters.Epoch/64+time.Minute); err != nil {
			return err
		}
	}
	return nil
}

// plainTask is what a process without links does.
func (s *stage) plainTask(t *target, work *task) (err error) {
	if t.address, err = freeAddress(); err != nil {
		return err
	}
	work.Address, work.Key = t.address, s.key
	for range sinks {
		address, err := s.sinks.listen(loopback, func(conn net.Conn) { s.sinks.count(conn, t) })
		if err != nil {
			return err
		}
		work.Sinks = append(work.Sinks, address)
	}
	return nil
}

func (s *stage) close() {
	for _, t := range s.targets {
		t.close()
	}
	if s.sinks != nil {
		s.sinks.close()
	}
	if s.network != nil {
		s.network.close()
	}
}

// figures are what was found at one rate, by round.
type figures struct {
	rate        int
	turns       map[*target][]*turn
	floor, tags []float64
}

func newLoads(rate int) []*figures {
	return []*figures{{rate: rate, turns: map[*target][]*turn{}}, {rate: 0, turns: map[*target][]*turn{}}}
}

// Samples of what is measured alone, in each round: enough for a clock, and the
// machine is the same throughout.
const (
	unwrapsAlone = 256
	commitsAlone = 8
)

// round gives each target its turn at each rate, and measures what they are
// compared with.
func (s *stage) round(ctx context.Context, loads []*figures, packets int) error {
	alone, err := s.network.wrap(ctx, s.alone, min(packets, unwrapsAlone), meanDelay)
	if err != nil {
		return err
	}
	key, err := s.geometry.PrivateKey(s.key)
	if err != nil {
		return err
	}
	unwrap, err := unwrapTime(s.geometry, key, alone)
	if err != nil {
		return err
	}
	ciphers, err := linkTime(s.geometry.PacketLength, len(alone))
	if err != nil {
		return err
	}
	s.unwrap, s.link = append(s.unwrap, unwrap), append(s.link, ciphers)
	for _, f := range loads {
		mean := meanDelay
		if f.rate == 0 {
			mean = leastDelay
		}
		for _, t := range s.targets {
			fresh, err := s.network.wrap(ctx, t.member, packets, mean)
			if err != nil {
				return err
			}
			took, err := t.run(ctx, fresh, f.rate)
			if err != nil {
				return err
			}
			f.turns[t] = append(f.turns[t], took)
		}
		last := func(t *target) *turn { return f.turns[t][len(f.turns[t])-1] }
		f.floor = append(f.floor, unwrap+ciphers+last(s.relay).perPacket())
		tags := max(1, int(gather.Seconds()*last(s.ours).perSecond()))
		commit, err := syncTime(s.dir, tags, commitsAlone)
		if err != nil {
			return err
		}
		f.tags = append(f.tags, commit/float64(tags))
	}
	return nil
}

// gather is how long a node waits for more replay tags to write at once
// (mixnode/replay).
const gather = 50 * time.Millisecond

func (s *stage) load(f *figures) Load {
	by := func(figure func(round int) float64) bench.Spread {
		list := make([]float64, len(f.floor))
		for i := range list {
			list[i] = figure(i)
		}
		return bench.SpreadOf(list)
	}
	each := func(t *target, i int) float64 { return f.turns[t][i].perPacket() }
	process := func(t *target) (p Process) {
		p.CPU = by(func(i int) float64 { return each(t, i) })
		p.PerCPUSecond = by(func(i int) float64 { return 1e6 / each(t, i) })
		p.PerSecond = by(func(i int) float64 { return f.turns[t][i].perSecond() })
		for _, turn := range f.turns[t] {
			p.Sent += turn.sent
			p.Arrived += turn.arrived
		}
		return p
	}
	return Load{
		Rate: f.rate, Ours: process(s.ours), Katzenpost: process(s.stock), Relay: process(s.relay), Bare: process(s.bare),
		Ratio:       by(func(i int) float64 { return each(s.stock, i) / each(s.ours, i) }),
		Floor:       by(func(i int) float64 { return f.floor[i] }),
		OursToFloor: by(func(i int) float64 { return each(s.ours, i) / f.floor[i] }),
		OursToBare:  by(func(i int) float64 { return each(s.ours, i) / each(s.bare, i) }),
		Tags:        by(func(i int) float64 { return f.tags[i] }),
		Rest:        by(func(i int) float64 { return each(s.ours, i) - f.floor[i] - f.tags[i] }),
	}
}
