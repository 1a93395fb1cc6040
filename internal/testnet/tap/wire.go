package tap

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// Chunk is what one read of a connection brought.
type Chunk struct {
	Conn  int       // the connection, counted from 0
	At    time.Time // when it was read
	Out   bool      // towards the process; false: from it
	Bytes int
}

// Wire is a TCP proxy that records what passes, and that can stall, slow, narrow,
// garble or cut it. Its zero value is ready; its methods are safe for concurrent use.
type Wire struct {
	mu      sync.Mutex
	chunks  []Chunk
	conns   map[net.Conn]bool
	opened  int
	cut     bool
	delay   time.Duration
	rate    int                // bytes a second in each direction; 0: no bound
	free    map[bool]time.Time // by direction: when the narrow line has room again
	garbled bool
	stalled chan struct{} // nil: not stalled; closed by Restore
}

// Cut closes the connections there are, and refuses new ones, as a broken line
// does that both ends notice.
func (w *Wire) Cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = true
	for c := range w.conns {
		c.Close()
	}
}

// Stall lets nothing pass any more, as a broken line does that neither end
// notices. What comes meanwhile passes after Restore.
func (w *Wire) Stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stalled == nil {
		w.stalled = make(chan struct{})
	}
}

// Slow holds each chunk for d before it passes, in both directions.
func (w *Wire) Slow(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay = d
}

// Narrow lets so many bytes a second pass in each direction.
func (w *Wire) Narrow(rate int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rate, w.free = rate, map[bool]time.Time{}
}

// Garble changes a bit of each chunk.
func (w *Wire) Garble() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.garbled = true
}

// Restore ends what Cut, Stall, Slow, Narrow and Garble began.
func (w *Wire) Restore() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.delay, w.rate, w.garbled = false, 0, 0, false
	if w.stalled != nil {
		close(w.stalled)
		w.stalled = nil
	}
}

// Chunks returns what passed so far, in the order of time.
func (w *Wire) Chunks() []Chunk {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.chunks)
}

// Bursts joins the chunks of one direction that follow each other on their
// connection by less than gap: what was written together, as far as one can see
// on the wire. At is the moment of a burst's first byte.
func Bursts(chunks []Chunk, out bool, gap time.Duration) []Chunk {
	var bursts []Chunk
	last := map[int]int{}       // by connection: the index of its last burst
	seen := map[int]time.Time{} // by connection: when its last chunk came
	for _, c := range chunks {
		if c.Out != out {
			continue
		}
		i, ok := last[c.Conn]
		if ok && c.At.Sub(seen[c.Conn]) < gap {
			bursts[i].Bytes += c.Bytes
		} else {
			last[c.Conn] = len(bursts)
			bursts = append(bursts, c)
		}
		seen[c.Conn] = c.At
	}
	return bursts
}

// Serve implements Tap.
func (w *Wire) Serve(ctx context.Context, l net.Listener, behind Target) {
	serve(ctx, l, func(ctx context.Context, front net.Conn) {
		back, err := new(net.Dialer).DialContext(ctx, "tcp", behind.Address)
		if err != nil {
			return
		}
		defer back.Close()
		number, ok := w.open(front, back)
		if !ok {
			return
		}
		defer w.forget(front, back)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(ctx, func() { front.Close(); back.Close() })()
		var copying sync.WaitGroup
		for _, d := range []struct {
			from, to net.Conn
			out      bool
		}{{front, back, true}, {back, front, false}} {
			copying.Go(func() {
				defer cancel() // one direction's end is the connection's
				w.copy(ctx, d.to, d.from, number, d.out)
			})
		}
		copying.Wait()
	})
}

// open counts a connection, unless the line is cut.
func (w *Wire) open(front, back net.Conn) (number int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cut {
		return 0, false
	}
	if w.conns == nil {
		w.conns = map[net.Conn]bool{}
	}
	w.conns[front], w.conns[back] = true, true
	w.opened++
	return w.opened - 1, true
}

func (w *Wire) forget(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		delete(w.conns, c)
	}
}

// bufferSize holds what a gateway writes in a slot, so that it is mostly seen
// as one chunk.
const bufferSize = 256 << 10

// piece is a chunk on its way.
type piece struct {
	data []byte
	due  time.Time
}

// copy carries one direction until either end closes or ctx ends.
func (w *Wire) copy(ctx context.Context, to, from net.Conn, number int, out bool) {
	pieces := make(chan piece, 1024) // closed by the reader below
	var reading sync.WaitGroup
	defer reading.Wait()
	defer from.Close()
	reading.Go(func() {
		defer close(pieces)
		buf := make([]byte, bufferSize)
		for {
			n, err := from.Read(buf)
			if n > 0 {
				select {
				case pieces <- w.record(buf[:n], number, out):
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	for p := range pieces {
		if !w.pass(ctx, p.due) {
			return
		}
		if _, err := to.Write(p.data); err != nil {
			return
		}
	}
}

// record notes a chunk and says when it may pass.
func (w *Wire) record(data []byte, number int, out bool) piece {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.chunks = append(w.chunks, Chunk{Conn: number, At: now, Out: out, Bytes: len(data)})
	p := piece{data: slices.Clone(data), due: now.Add(w.delay)}
	if w.rate > 0 {
		if free := w.free[out]; free.After(p.due) {
			p.due = free
		}
		p.due = p.due.Add(time.Duration(len(data)) * time.Second / time.Duration(w.rate))
		w.free[out] = p.due
	}
	if w.garbled {
		p.data[0] ^= 1
	}
	return p
}

// pass waits until due, and as long as the line is stalled.
func (w *Wire) pass(ctx context.Context, due time.Time) bool {
	if wait := time.Until(due); wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	for {
		w.mu.Lock()
		stalled := w.stalled
		w.mu.Unlock()
		if stalled == nil {
			return true
		}
		select {
		case <-stalled:
		case <-ctx.Done():
			return false
		}
	}
}
