package nodebench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/katzenpost/hpqc/kem"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Mean delays of packets in a node, exponential. At a rate, four times as long as
// replay tags take to come to disk, as in a network that is used. As fast as it goes,
// the least that a network has, so that a turn does not end in a long trickle.
const (
	meanDelay  = 200 * time.Millisecond
	leastDelay = directory.MinDelay
)

// line is a feeder's connection.
type line interface {
	send(packets [][]byte) error
	close()
}

// sealed is a link to a node.
type sealed struct {
	session *link.Session
	made    *link.Frames
	frames  []*link.Frame
}

func (s *sealed) send(packets [][]byte) error {
	s.frames = s.frames[:0]
	for _, p := range packets {
		f, err := s.made.Make(link.Command{Kind: link.KindSendPacket, Data: p})
		if err != nil {
			return err
		}
		s.frames = append(s.frames, f)
	}
	return s.session.Send(s.frames...)
}

func (s *sealed) close() { s.session.Close() }

// plain is a connection to a process without links: what a link adds to a packet is zeros.
type plain struct {
	conn   net.Conn
	before []byte
	after  []byte
}

// What a record has around its packet, in bytes (internal/link, Frame).
const (
	lengthLength  = 4
	commandHeader = 6
	beforePacket  = linkHeader + commandHeader
	afterPacket   = 16
)

func newPlain(conn net.Conn) *plain {
	return &plain{conn: conn, before: make([]byte, beforePacket), after: make([]byte, afterPacket)}
}

func (p *plain) send(packets [][]byte) error {
	list := make(net.Buffers, 0, 3*len(packets))
	for _, packet := range packets {
		list = append(list, p.before, packet, p.after)
	}
	_, err := list.WriteTo(p.conn)
	return err
}

func (p *plain) close() { p.conn.Close() }

// target is a process that packets are sent through, with its neighbours' side of
// the connections.
type target struct {
	*child
	kind    string
	member  *member // whose mix key packets are made for
	linked  bool    // it speaks the link protocol
	address string
	lines   []line
	up      atomic.Int64 // sinks that it is connected to
	arrived atomic.Int64 // packets at the sinks
}

// dial connects a feeder.
func (t *target) dial(ctx context.Context, frames *link.Frames, from *member) (line, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}
	if !t.linked {
		return newPlain(conn), nil
	}
	s, err := link.Initiate(ctx, conn, link.Config{
		Frames: frames, Key: from.Link, Name: from.id[:],
		Peer: func(_ []byte, key kem.PublicKey) bool { return key.Equal(t.member.LinkPublic) },
	})
	if err != nil {
		return nil, err
	}
	return &sealed{session: s, made: frames}, nil
}

// connect waits until all of a target's neighbours are connected to it.
func (t *target) connect(ctx context.Context, n *network, frames *link.Frames, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	wait := func() error {
		if err := t.died(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s node: not connected to its neighbours within %v", t.kind, patience)
		case <-time.After(200 * time.Millisecond):
			return nil
		}
	}
	for t.up.Load() < sinks {
		if err := wait(); err != nil {
			return err
		}
	}
	for _, f := range n.feeders {
		for {
			l, err := t.dial(ctx, frames, f)
			if err == nil {
				t.lines = append(t.lines, l)
				break
			}
			if err := wait(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *target) close() {
	for _, l := range t.lines {
		l.close()
	}
	if t.child != nil {
		t.stop()
	}
}

// receivers are the sinks.
type receivers struct {
	frames  *link.Frames
	byID    map[sphinx.NodeID]*target
	record  int // bytes
	running sync.WaitGroup

	mu        sync.Mutex
	listeners []net.Listener
	conns     []net.Conn
}

// listen calls handle with each connection to an address, and returns the address.
func (r *receivers) listen(address string, handle func(net.Conn)) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", err
	}
	r.listeners = append(r.listeners, l)
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.conns = append(r.conns, conn)
			r.mu.Unlock()
			r.running.Go(func() {
				defer conn.Close()
				handle(conn)
			})
		}
	})
	return l.Addr().String(), nil
}

// receive counts what comes over a link.
func (r *receivers) receive(conn net.Conn, as *member) {
	var t *target
	s, err := link.Respond(context.Background(), conn, link.Config{
		Frames: r.frames, Key: as.Link, Name: as.id[:], ReadTimeout: time.Hour,
		Peer: func(name []byte, _ kem.PublicKey) bool {
			if len(name) == sphinx.NodeIDLength {
				t = r.byID[sphinx.NodeID(name)]
			}
			return t != nil
		},
	})
	if err != nil {
		return
	}
	defer s.Close()
	t.up.Add(1)
	defer t.up.Add(-1)
	for {
		f, c, err := s.Receive()
		if err != nil {
			return
		}
		f.Release()
		if c.Kind == link.KindSendPacket {
			t.arrived.Add(1)
		}
	}
}

// count counts records of a process without links.
func (r *receivers) count(conn net.Conn, t *target) {
	t.up.Add(1)
	defer t.up.Add(-1)
	record := make([]byte, r.record)
	for {
		if _, err := io.ReadFull(conn, record); err != nil {
			return
		}
		t.arrived.Add(1)
	}
}

func (r *receivers) close() {
	for _, l := range r.listeners {
		l.Close()
	}
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// wrap makes packets that a node passes on to the sinks in turn.
func (n *network) wrap(ctx context.Context, to *member, count int, mean time.Duration) ([][]byte, error) {
	var (
		packets = make([][]byte, count)
		s       = sphinx.New(n.geometry)
		payload = make([]byte, n.geometry.PayloadLength)
		next    atomic.Int64
		working sync.WaitGroup
		failed  atomic.Pointer[error]
	)
	rand.Read(payload)
	for range runtime.GOMAXPROCS(0) {
		working.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				delay := min(mathrand.ExpFloat64(), longest) * float64(mean.Milliseconds())
				sink := n.sinks[i%sinks]
				p, err := s.Wrap([]sphinx.Hop{
					{ID: to.id, Key: to.mixKey, Delay: uint32(math.Ceil(delay))},
					{ID: sink.id, Key: sink.mixKey, Recipient: new(sphinx.RecipientID)},
				}, payload)
				if err != nil {
					failed.Store(&err)
					return
				}
				packets[i] = p
			}
		})
	}
	working.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return packets, ctx.Err()
}

// longest bounds a delay, in means: a stock node drops those that are far out
// (Katzenpost common.SafetyCap).
const longest = 8

// turn is what a target did with the packets of one turn.
type turn struct {
	sent, arrived int
	cpu           time.Duration // of its process
	took          time.Duration // from the first packet sent to the last that arrived
}

// perPacket is the processor time of a packet, in microseconds.
func (t *turn) perPacket() float64 {
	return float64(t.cpu) / float64(time.Microsecond) / float64(max(t.arrived, 1))
}

// perSecond is how many packets went through in a second.
func (t *turn) perSecond() float64 { return float64(t.arrived) / t.took.Seconds() }

// giveUp is how long after the last one a packet is waited for: a busy machine may let
// a process wait for seconds.
const giveUp = 10 * time.Second

// run sends packets through the target at a rate per second, each as soon as it is
// due; at a rate of 0 as fast as it takes them.
func (t *target) run(ctx context.Context, packets [][]byte, rate int) (*turn, error) {
	var (
		already = t.arrived.Load()
		result  = &turn{sent: len(packets)}
		start   = time.Now()
		last    = start // when a packet arrived
		sending sync.WaitGroup
		errs    = make([]error, len(t.lines))
	)
	before, err := t.cpu()
	if err != nil {
		return nil, err
	}
	for i, l := range t.lines {
		sending.Go(func() { errs[i] = feed(ctx, l, packets, i, len(t.lines), start, rate) })
	}
	sending.Wait()
	last = time.Now()
	if err := errors.Join(append(errs, t.died())...); err != nil {
		return nil, fmt.Errorf("sending to the %s process: %w", t.kind, err)
	}
	for result.arrived < result.sent && time.Since(last) < giveUp {
		if err := sleep(ctx, time.Millisecond); err != nil {
			return nil, err
		}
		if now := int(t.arrived.Load() - already); now != result.arrived {
			result.arrived, last = now, time.Now()
		}
	}
	result.took = last.Sub(start)
	after, err := t.cpu()
	result.cpu = after - before
	return result, err
}

// feed sends every packet whose place is first, or so many steps behind it.
func feed(ctx context.Context, l line, packets [][]byte, first, step int, start time.Time, rate int) error {
	var batch [][]byte
	for i := first; i < len(packets); {
		due := len(packets)
		if rate > 0 {
			if err := sleep(ctx, time.Until(start.Add(time.Duration(i)*time.Second/time.Duration(rate)))); err != nil {
				return err
			}
			due = min(due, int(time.Since(start).Seconds()*float64(rate))+1)
		}
		batch = batch[:0]
		for ; i < due && len(batch) < writtenAtOnce; i += step {
			batch = append(batch, packets[i])
		}
		if err := l.send(batch); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
