package replay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sector is what a disk writes at once.
const sector = 512

// disk is a file in memory that forgets, in a crash, any part of what was not synced.
type disk struct {
	mu       sync.Mutex
	content  []byte // what reads see
	synced   []byte // what survives a crash for certain
	unsynced []op

	slow     time.Duration // of a write or a sync
	lies     bool          // a sync does nothing
	writeErr error         // of every write; half of it is written
	syncErr  error         // of every sync
	dead     bool          // after a crash: nothing changes any more
	writes   int
	syncs    int
}

// op is a write, or a change of size if data is nil.
type op struct {
	offset int64
	data   []byte
}

// newDisk has the same key in every run: under one key in a million two of a test's tags
// have one fingerprint, and TestCrashes would draw a hundred keys.
func newDisk() *disk {
	header := append([]byte(magic), "0123456789abcdef"...)
	header = binary.LittleEndian.AppendUint64(header, headerKey(header).sum(header, 0))
	return &disk{content: header, synced: header}
}

// apply returns content after the write of the data's sectors that keep chooses.
func (o op) apply(content []byte, keep func() bool) []byte {
	if o.data == nil {
		if keep() {
			content = content[:o.offset:o.offset]
		}
		return content
	}
	content = content[:len(content):len(content)]
	for from := 0; from < len(o.data); {
		to := min(len(o.data), from+sector-int(o.offset+int64(from))%sector)
		if keep() {
			if end := int(o.offset) + to; end > len(content) {
				content = append(content, make([]byte, end-len(content))...)
			}
			copy(content[int(o.offset)+from:], o.data[from:to])
		}
		from = to
	}
	return content
}

func always() bool { return true }

func (d *disk) change(o op) {
	if !d.dead {
		d.content = o.apply(append([]byte(nil), d.content...), always)
		d.unsynced = append(d.unsynced, o)
	}
}

func (d *disk) ReadAt(b []byte, offset int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if offset >= int64(len(d.content)) {
		return 0, io.EOF
	}
	n := copy(b, d.content[offset:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (d *disk) WriteAt(b []byte, offset int64) (int, error) {
	time.Sleep(d.slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	if d.writeErr != nil {
		b = b[:len(b)/2]
	}
	d.change(op{offset, append([]byte{}, b...)})
	return len(b), d.writeErr
}

func (d *disk) Truncate(size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.change(op{offset: size})
	return nil
}

func (d *disk) Sync() error {
	time.Sleep(d.slow)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.syncs++
	if d.syncErr != nil {
		return d.syncErr
	}
	if !d.lies && !d.dead {
		d.synced, d.unsynced = d.content, nil
	}
	return nil
}

func (d *disk) Close() error { return nil }

// crash returns the disk after a power cut at this moment. Of each change that was not synced all,
// nothing, the beginning or any sectors are there.
func (d *disk) crash(rng *rand.Rand) *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	content := append([]byte(nil), d.synced...)
	for _, o := range d.unsynced {
		switch rng.IntN(4) {
		case 0:
			content = o.apply(content, always)
		case 1: // nothing
		case 2:
			left := rng.IntN(len(o.data)/sector + 2)
			content = o.apply(content, func() bool { left--; return left >= 0 })
		case 3:
			content = o.apply(content, func() bool { return rng.IntN(2) == 0 })
		}
	}
	return &disk{content: content, synced: content, slow: d.slow, lies: d.lies}
}

func (d *disk) start(wake chan<- struct{}) (*Tags, error) {
	return start(d, "tags", int64(len(d.content)), wake)
}

// tag returns the n-th tag of the tests.
func tag(n uint64) *[32]byte {
	var b [32]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return &b
}

// killed returns the disk after its process was killed: the kernel goes on.
func (d *disk) killed() *disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return &disk{content: d.content, synced: d.synced, unsynced: d.unsynced, lies: d.lies}
}

// crashes lets a store end several times, by a kill or by a power cut, in the middle of whatever it
// does. It returns the first thing that is wrong.
func crashes(seed uint64, lies bool) error {
	rng := rand.New(rand.NewPCG(seed, 4))
	d := newDisk()
	d.lies = lies
	tickets := map[uint64]Ticket{}
	var promised Ticket
	for next := uint64(0); next < 20_000; {
		d.slow = time.Duration(rng.IntN(40)) * time.Millisecond
		tags, err := d.start(nil)
		if err != nil {
			return fmt.Errorf("opening: %w", err)
		}
		defer tags.Close()
		if tags.Durable() < promised {
			return fmt.Errorf("%d tags were promised, %d are left", promised, tags.Durable())
		}
		for n, ticket := range tickets {
			if ticket > tags.Durable() {
				delete(tickets, n)
			} else if _, fresh := tags.Add(tag(n)); fresh {
				return fmt.Errorf("tag %d was promised and is forgotten", n)
			}
		}
		for range rng.IntN(40) {
			for range rng.IntN(300) {
				n := next
				if rng.IntN(4) == 0 {
					n = rng.Uint64N(next + 1)
				}
				next = max(next, n+1)
				ticket, fresh := tags.Add(tag(n))
				if fresh != (tickets[n] == 0) {
					return fmt.Errorf("tag %d is new: %v", n, fresh)
				}
				if fresh {
					tickets[n] = ticket
				}
			}
			time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
		}
		if rng.IntN(8) == 0 {
			if err := tags.Close(); err != nil {
				return err
			}
		}
		synctest.Wait()
		promised = tags.Durable()
		if rng.IntN(3) == 0 {
			d = d.killed()
		} else {
			d = d.crash(rng)
		}
	}
	return nil
}

const seeds = 100

func TestCrashes(t *testing.T) {
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			if err := crashes(seed, false); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		})
	}
}

// A test that no fault can fail tests nothing: without the sync most runs must show a violation.
func TestCrashesFindAMissingSync(t *testing.T) {
	found := 0
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			if crashes(seed, true) != nil {
				found++
			}
		})
	}
	if found < seeds*9/10 {
		t.Errorf("%d of %d runs on a disk that does not sync were found out, want nine tenths", found, seeds)
	}
}

var errDisk = errors.New("input/output error")

// After a failure nothing becomes durable, even if the disk is well again.
func TestFailedDisk(t *testing.T) {
	for name, fail := range map[string]func(*disk, error){
		"full disk":    func(d *disk, err error) { d.writeErr = err },
		"failing sync": func(d *disk, err error) { d.syncErr = err },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, wake := newDisk(), make(chan struct{}, 1)
				tags, err := d.start(wake)
				if err != nil {
					t.Fatal(err)
				}
				tags.Add(tag(1))
				<-wake
				d.mu.Lock()
				fail(d, errDisk)
				d.mu.Unlock()
				tags.Add(tag(2))
				<-wake
				if !errors.Is(tags.Err(), errDisk) {
					t.Errorf("Err is %v, want %v", tags.Err(), errDisk)
				}
				d.mu.Lock()
				fail(d, nil)
				writes, syncs := d.writes, d.syncs
				d.mu.Unlock()
				ticket, fresh := tags.Add(tag(3))
				if _, again := tags.Add(tag(3)); !fresh || ticket != 3 || again {
					t.Errorf("the set does not work any more: ticket %d, fresh %v, then %v", ticket, fresh, again)
				}
				time.Sleep(time.Hour)
				if tags.pending != nil {
					t.Errorf("%d bytes are pending for ever", len(tags.pending))
				}
				if tags.Durable() != 1 {
					t.Errorf("Durable is %d after the failure, want 1", tags.Durable())
				}
				if err := tags.Close(); !errors.Is(err, errDisk) {
					t.Errorf("Close returns %v, want %v", err, errDisk)
				}
				if d.writes != writes || d.syncs != syncs {
					t.Error("the file was touched after the failure")
				}
				again, err := d.start(nil)
				if err != nil {
					t.Fatalf("opening what is left: %v", err)
				}
				if _, fresh := again.Add(tag(1)); fresh {
					t.Error("the durable tag is forgotten")
				}
				again.Close()
			})
		})
	}
}

// One write, one sync: nothing is written while a frame is not on disk, and what comes meanwhile
// shares the next frame.
func TestSlowSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tags, err := d.start(nil)
		if err != nil {
			t.Fatal(err)
		}
		d.slow = time.Second
		d.writes, d.syncs = 0, 0
		began := time.Now()
		step := func(at time.Duration, durable Ticket, writes, syncs int) {
			t.Helper()
			time.Sleep(time.Until(began.Add(at)))
			synctest.Wait()
			d.mu.Lock()
			defer d.mu.Unlock()
			if tags.Durable() != durable || d.writes != writes || d.syncs != syncs {
				t.Errorf("after %v: %d durable, %d writes, %d syncs, want %d, %d, %d",
					at, tags.Durable(), d.writes, d.syncs, durable, writes, syncs)
			}
		}
		tags.Add(tag(1))
		tags.Add(tag(2))
		step(gather, 0, 0, 0)
		tags.Add(tag(3))
		step(gather+time.Second, 0, 1, 0)
		tags.Add(tag(4))
		step(gather+2*time.Second, 2, 1, 1)
		step(2*gather+4*time.Second, 4, 2, 2)
		step(time.Hour, 4, 2, 2)
		if got, want := len(d.content), headerSize+2*frameSize+4*tagSize; got != want {
			t.Errorf("the file has %d bytes, want %d", got, want)
		}
		tags.Close()
	})
}

// More than one frame's worth of tags becomes durable frame by frame.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tags, err := d.start(nil)
		if err != nil {
			t.Fatal(err)
		}
		d.slow = time.Second
		for n := range uint64(2*maxTags + 1) {
			tags.Add(tag(n))
		}
		for i, want := range []Ticket{maxTags, 2 * maxTags, 2*maxTags + 1} {
			time.Sleep(2 * time.Second)
			if i == 0 {
				time.Sleep(gather)
			}
			synctest.Wait()
			if tags.Durable() != want {
				t.Errorf("Durable is %d, want %d", tags.Durable(), want)
			}
		}
		if err := tags.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := d.start(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if again.Len() != 2*maxTags+1 || again.Durable() != 2*maxTags+1 {
			t.Errorf("after reopening: %d tags, %d durable", again.Len(), again.Durable())
		}
	})
}

// TestMain lets this binary be the process that is killed.
func TestMain(m *testing.M) {
	path := os.Getenv("REPLAY_TEST_FILE")
	if path == "" {
		os.Exit(m.Run())
	}
	next, err := strconv.ParseUint(os.Getenv("REPLAY_TEST_NEXT"), 10, 64)
	if err == nil {
		err = killedChild(path, next)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// killedChild adds tags from next on and prints each that is durable, until it is killed.
func killedChild(path string, next uint64) error {
	wake := make(chan struct{}, 1)
	tags, err := Open(path, wake)
	if err != nil {
		return err
	}
	waiting := map[Ticket]uint64{}
	done := tags.Durable()
	for {
		for range 20 {
			ticket, fresh := tags.Add(tag(next))
			if !fresh {
				return fmt.Errorf("tag %d is not new", next)
			}
			waiting[ticket] = next
			next++
		}
		select {
		case <-wake:
		case <-time.After(time.Millisecond): // else go on adding while the commit runs
		}
		if err := tags.Err(); err != nil {
			return err
		}
		for durable := tags.Durable(); done < durable; {
			done++
			fmt.Println(waiting[done])
			delete(waiting, done)
		}
	}
}

func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tags")
	tags, err := Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tags.Close(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 5))
	printed := map[uint64]bool{}
	for round := range uint64(20) {
		next := round << 32
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "REPLAY_TEST_FILE="+path, fmt.Sprint("REPLAY_TEST_NEXT=", next))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines, kill := bufio.NewReader(out), 1+rng.IntN(2000)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // killed
			}
			tag, err := strconv.ParseUint(line[:len(line)-1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			printed[tag] = true
			if n == kill {
				time.AfterFunc(time.Duration(rng.IntN(50))*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		tags, err := Open(path, nil)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		for n := range printed {
			if _, fresh := tags.Add(tag(n)); fresh {
				t.Fatalf("after kill %d: tag %d was durable and is forgotten", round, n)
			}
		}
		if err := tags.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d tags were durable when their process was killed", len(printed))
}
