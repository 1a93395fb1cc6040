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
//	three feeders ──links──▶ our node │ a stock node │ a relay ──links──▶ three sinks
//
//	floor = unwrapping + the links' ciphers + the relay, which only reads and writes
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
	"os"
	"path/filepath"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/internal/bench"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Defaults and bounds of what is asked for. With the defaults it takes about six
// minutes.
const (
	DefaultRounds  = 5
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
	Packets int           `json:"packets"`       // in each turn
	Delay   int64         `json:"mean_delay_ms"` // that packets wait in a node
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
	Relay      Process      `json:"relay"`
	Ratio      bench.Spread `json:"katzenpost_to_ours"`

	Floor       bench.Spread `json:"floor_us"` // unwrapping, the links' ciphers and the relay
	OursToFloor bench.Spread `json:"ours_to_floor"`
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
	r := &Report{Machine: bench.ThisMachine(), Rounds: o.Rounds, Packets: o.Packets, Delay: meanDelay.Milliseconds()}
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
	loads := []*figures{{rate: o.Rate}, {rate: 0}}
	// Whatever happens once, happens now.
	if err := s.round(ctx, loads, max(1, o.Packets/4)); err != nil {
		return nil, err
	}
	loads = []*figures{{rate: o.Rate}, {rate: 0}}
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
		result.Loads = append(result.Loads, f.load())
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
	alone    *member           // whose packets are unwrapped alone
	key      sphinx.PrivateKey // its

	ours, stock, relay *target
	targets            []*target

	unwrap, link []float64 // by round
}

// quiet is how long a network must leave its nodes alone, generously.
func (o *Options) quiet() time.Duration {
	turns := 3*float64(o.Packets)/float64(o.Rate) + 0.004*float64(o.Packets) + 15
	return time.Duration(float64(o.Rounds+1)*turns)*time.Second + time.Minute
}

func (s *stage) build(ctx context.Context) (err error) {
	if s.network, err = newNetwork(s.dir, s.geometry, s.o.quiet()); err != nil {
		return err
	}
	n := s.network
	s.frames = link.NewFrames(s.geometry)
	s.ours = &target{kind: kindOurs, member: n.ours, address: n.ours.address}
	s.stock = &target{kind: kindStock, member: n.stock, address: n.stock.address}
	s.relay = &target{kind: kindRelay}
	if s.relay.address, err = freeAddress(); err != nil {
		return err
	}
	s.targets = []*target{s.ours, s.stock, s.relay}
	record := beforePacket + s.geometry.PacketLength + afterPacket
	s.sinks = &receivers{
		frames: s.frames, relay: s.relay, record: record,
		byID: map[sphinx.NodeID]*target{n.ours.id: s.ours, n.stock.id: s.stock},
	}
	var plain []string
	for _, m := range n.sinks {
		if _, err := s.sinks.listen(m.address, m); err != nil {
			return err
		}
		address, err := s.sinks.listen(loopback, nil)
		if err != nil {
			return err
		}
		plain = append(plain, address)
	}
	for _, t := range s.targets {
		work := &task{Kind: t.kind, Scheme: s.geometry.Scheme, Payload: s.geometry.UserPayloadLength}
		if t == s.relay {
			work.Address, work.Sinks, work.Record = t.address, plain, record
		} else {
			work.Node = n.config(t.member)
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
	return s.prepareAlone()
}

// prepareAlone makes the key of packets that are unwrapped alone.
func (s *stage) prepareAlone() error {
	public, private, err := s.geometry.GenerateKey()
	if err != nil {
		return err
	}
	s.alone = new(member)
	if s.alone.mixKey, err = s.geometry.PublicKey(public); err != nil {
		return err
	}
	s.key, err = s.geometry.PrivateKey(private)
	return err
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
	rate               int
	ours, stock, relay []*turn
	floor, tags        []float64
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
	alone, err := s.network.wrap(ctx, s.alone, min(packets, unwrapsAlone))
	if err != nil {
		return err
	}
	unwrap, err := unwrapTime(s.geometry, s.key, alone)
	if err != nil {
		return err
	}
	ciphers, err := linkTime(s.geometry.PacketLength, len(alone))
	if err != nil {
		return err
	}
	s.unwrap, s.link = append(s.unwrap, unwrap), append(s.link, ciphers)
	for _, f := range loads {
		for _, t := range s.targets {
			to := t.member
			if t == s.relay {
				to = s.alone // it does not look
			}
			fresh, err := s.network.wrap(ctx, to, packets)
			if err != nil {
				return err
			}
			took, err := t.run(ctx, fresh, f.rate)
			if err != nil {
				return err
			}
			switch t {
			case s.ours:
				f.ours = append(f.ours, took)
			case s.stock:
				f.stock = append(f.stock, took)
			default:
				f.relay = append(f.relay, took)
			}
		}
		f.floor = append(f.floor, unwrap+ciphers+last(f.relay).perPacket())
		tags := max(1, int(gather.Seconds()*last(f.ours).perSecond()))
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

func last(turns []*turn) *turn { return turns[len(turns)-1] }

func (t *turn) perSecond() float64 { return float64(t.arrived) / t.took.Seconds() }

func (f *figures) load() Load {
	by := func(figure func(i int) float64) bench.Spread {
		list := make([]float64, len(f.ours))
		for i := range list {
			list[i] = figure(i)
		}
		return bench.SpreadOf(list)
	}
	process := func(turns []*turn) (p Process) {
		p.CPU = by(func(i int) float64 { return turns[i].perPacket() })
		p.PerCPUSecond = by(func(i int) float64 { return 1e6 / turns[i].perPacket() })
		p.PerSecond = by(func(i int) float64 { return turns[i].perSecond() })
		for _, t := range turns {
			p.Sent += t.sent
			p.Arrived += t.arrived
		}
		return p
	}
	return Load{
		Rate: f.rate, Ours: process(f.ours), Katzenpost: process(f.stock), Relay: process(f.relay),
		Ratio:       by(func(i int) float64 { return f.stock[i].perPacket() / f.ours[i].perPacket() }),
		Floor:       by(func(i int) float64 { return f.floor[i] }),
		OursToFloor: by(func(i int) float64 { return f.ours[i].perPacket() / f.floor[i] }),
		Tags:        by(func(i int) float64 { return f.tags[i] }),
		Rest:        by(func(i int) float64 { return f.ours[i].perPacket() - f.floor[i] - f.tags[i] }),
	}
}
