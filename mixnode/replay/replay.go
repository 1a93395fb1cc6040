// Package replay remembers which packets a mix key has seen, so that no packet leaves a mix twice:
// not in one run, and not after a killed process or, where the disk honours sync, a power cut.
//
// A mix key has one file of tags for its whole life. [Create] makes it before the key is first
// stored, [Open] reads it again after a restart, [Tags.Remove] deletes it once the key is gone. A
// key whose file is missing or damaged must be given up: nobody knows any more what it has seen.
//
//	unwrapped packet ─Add─▶ set in memory ──seen before: drop it
//	                            │ fresh: a ticket, and the packet waits out its delay
//	                            ▼
//	                  one frame, one sync for all that came meanwhile
//	                            │
//	                  Durable ≥ ticket: from now on the packet may leave
//
// What always holds:
//   - A ticket that [Tags.Durable] covers is on disk, synced. After any crash its tag is known.
//   - A frame is written only after the one before it was synced. So a crash leaves at most one
//     frame unfinished, and that is the last. No ticket in it was ever covered, no packet of it
//     left: Open cuts it off silently, and such a packet may come again, for the first time.
//   - Any other damage is [ErrDamaged]. After a failed write or sync nothing is promised any more,
//     because nobody knows which of its pages the kernel still means to write.
//
// What Open cannot tell from an unfinished frame is damage within the last frame, and damage that
// hits the length of the frame before an unfinished one. Close ends the file with an empty frame, so
// that after a clean stop only damage within those last 12 bytes goes unnoticed, and loses nothing.
// Nor can it tell that somebody put back an older copy of the file.
//
// # What is kept of a tag
//
// A tag is a hash that a sender can choose by trial. The store keeps 48 bits of its SipHash-2-4
// under a random key of the file, so nobody can aim at a place in the set or at another's tag. Two
// tags with the same 48 bits make the later one look seen: with ten million tags in the set that
// befalls a fresh packet with a probability of 10^7 / 2^48 = 3.6e-8. Over the ten million it costs
// 0.18 packets, one in 56 million, where links lose more.
//
// In the file a tag takes 6 bytes and a frame 12 more. Commits are at least 50 ms apart, so ten
// million tags take at most 62.6 MB, even if they trickle in during all three hours in which the
// network accepts a key. In memory 16 of the bits choose one of 65,536 small tables and the other 32
// are stored, in about 6 bytes. Each table grows by itself, and at ten million has about 150
// tags, so that no packet waits for many to move. The first 8,192 lie in a map, so that a store
// which is hardly used takes no more than it needs; they move together, in about 2 ms.
//
// There is no Bloom filter in front, because this set is one already: it keeps a few bits of each
// tag, and errs on the same side. A filter says "surely fresh" without a look at the set, which pays
// where the set is on a disk. Here a fresh tag, and nearly all are, must be put into the set in
// memory anyway, which looks at the very slots that finding it would. With ten million tags
// a fresh one takes 0.3 µs; behind a blocked filter of 10 bits a tag it takes 0.4 µs, and 12 MB
// more (BenchmarkBloom). In place of the set, a filter with as few errors would take 36 bits a tag
// (1.44 log2(1/p)), only a quarter less, and all of them from the start.
//
// The package knows nothing of packets, keys and delays. It may import the standard library,
// siphash and x/sys.
package replay

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// gather is how long a commit waits for more tags after the first one. It bounds the syncs to 20 a
// second, which a memory card survives, and the file's size (see above). It must be far below the
// mixing delay: a packet whose delay ends earlier leaves with its commit, among those of the same
// commit, and at a mean of 60 s that is one packet in 1200.
const gather = 50 * time.Millisecond

// Ticket stands for one tag: the place of its arrival, from 1. Tickets in the file come first, so
// they go on growing over restarts.
type Ticket uint64

// Tags are the replay tags of one mix key. All methods are safe for concurrent use.
type Tags struct {
	path string
	file file
	key  key
	wake chan<- struct{}

	durable atomic.Uint64

	mu      sync.Mutex
	table   *table // nil: closed
	last    Ticket
	pending []byte // the fingerprints that no commit has taken yet
	err     error

	arrived chan struct{} // of capacity 1: something is pending
	closing chan struct{} // closed by stop
	stopped chan struct{} // closed by run when it has ended
	stop    func()        // ends run and waits for it
	close   func() error

	// Used by Open, then by run alone.
	offset int64  // the file's end
	taken  []byte // the fingerprints of this commit
	frame  []byte
}

// Create makes an empty store at path for a new key, and replaces what an earlier key left there.
// The file and its name are on disk when it returns. Store the key afterwards: then a key without a
// file is one that lost it.
//
// The store sends to wake, without ever waiting, when Durable has grown or Err was set. One channel
// of capacity 1 can serve several stores.
func Create(path string, wake chan<- struct{}) (*Tags, error) {
	return open(path, os.O_CREATE, wake)
}

// Open reads the store at path. All its tags are durable. The error is [fs.ErrNotExist] if there is
// none and [ErrDamaged] if it cannot be trusted; the key must then be given up. Other errors are the
// system's, or say that the store is in use: only one process can have it open. About wake see
// Create.
func Open(path string, wake chan<- struct{}) (*Tags, error) {
	return open(path, 0, wake)
}

func open(path string, create int, wake chan<- struct{}) (*Tags, error) {
	f, size, err := openFile(path, create)
	if err != nil {
		return nil, fmt.Errorf("opening replay tags: %w", err)
	}
	t, err := start(f, path, size, wake)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("opening replay tags: %w", err)
	}
	return t, nil
}

// start loads the tags in a file of that size and starts the goroutine that commits new ones.
func start(f file, path string, size int64, wake chan<- struct{}) (*Tags, error) {
	t := &Tags{
		path:    path,
		file:    f,
		wake:    wake,
		arrived: make(chan struct{}, 1),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
	}
	t.stop = sync.OnceFunc(func() { close(t.closing); <-t.stopped })
	t.close = sync.OnceValue(t.finish)
	if err := t.load(size); err != nil {
		return nil, err
	}
	go t.run()
	return t, nil
}

// Add notes a tag and reports whether it is new. If so, its packet must wait until Durable reaches
// the ticket; if not, its packet is a replay and must be dropped. After Close and Remove no tag is
// new.
func (t *Tags) Add(tag *[32]byte) (Ticket, bool) {
	fp := t.key.fingerprint(tag)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.table == nil || !t.table.add(fp) {
		return 0, false
	}
	t.last++
	if t.err == nil {
		if len(t.pending) == 0 {
			select {
			case t.arrived <- struct{}{}:
			default:
			}
		}
		t.pending = appendFingerprint(t.pending, fp)
	}
	return t.last, true
}

// Durable returns the last ticket that is on disk; all before it are, too. It never goes back.
func (t *Tags) Durable() Ticket { return Ticket(t.durable.Load()) }

// Err returns why no further ticket will become durable, or nil. After Close and Remove it is
// [fs.ErrClosed], if nothing failed before. After a failure Add still tells replays, but a packet
// whose ticket is not durable must never leave.
func (t *Tags) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Len returns the number of tags.
func (t *Tags) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return int(t.last)
}

// Memory returns how many bytes the set of tags takes. What waits for a commit comes to it, of which
// there is never much.
func (t *Tags) Memory() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.table == nil {
		return 0
	}
	return t.table.memory()
}

// Close commits what is pending and closes the file; it waits as long as the disk takes. It returns
// the error that kept a tag from becoming durable, if any. The set's memory is free then, whoever
// still waits for a ticket.
func (t *Tags) Close() error { return t.close() }

// Remove closes the store without a commit and deletes its file. Erase the key first: a key that
// outlived its tags would accept every packet again. The file need not be overwritten: without
// the key nobody can compute the tag of a packet they recorded.
func (t *Tags) Remove() error {
	t.fail(fs.ErrClosed)
	t.stop()
	err := os.Remove(t.path) // while the lock is held
	t.Close()
	if err == nil {
		err = config.SyncDir(filepath.Dir(t.path))
	}
	if err != nil {
		return fmt.Errorf("removing replay tags: %w", err)
	}
	return nil
}

// finish is what Close does the first time.
func (t *Tags) finish() error {
	t.stop()
	err := t.Err()
	t.fail(fs.ErrClosed)
	t.mu.Lock()
	t.table = nil
	t.mu.Unlock()
	if failed := t.file.Close(); err == nil && failed != nil {
		err = fmt.Errorf("closing replay tags: %w", failed)
	}
	return err
}

// run commits until the store is closed or fails. Tags that arrive during a commit share the next.
func (t *Tags) run() {
	defer close(t.stopped)
	for open := true; open; {
		select {
		case <-t.arrived:
			select {
			case <-time.After(gather):
			case <-t.closing:
				open = false
			}
		case <-t.closing:
			open = false
		}
		t.commit()
	}
	if t.Err() == nil {
		if err := t.write(nil); err != nil {
			t.fail(err)
		}
	}
}

// commit makes durable what is pending, in as many frames as it takes.
func (t *Tags) commit() {
	t.mu.Lock()
	t.pending, t.taken = t.taken[:0], t.pending
	t.mu.Unlock()
	for tags := t.taken; len(tags) > 0 && t.Err() == nil; {
		n := min(len(tags), maxTags*tagSize)
		if err := t.write(tags[:n]); err != nil {
			t.fail(err)
			return
		}
		t.durable.Add(uint64(n / tagSize))
		t.notify()
		tags = tags[n:]
	}
}

// write appends one frame and returns when it is on disk.
func (t *Tags) write(tags []byte) error {
	t.frame = t.key.appendFrame(t.frame[:0], tags, t.offset)
	end := t.offset + int64(len(t.frame))
	if end > maxFile {
		return fmt.Errorf("writing replay tags: %s is full: a key has at most %d MiB of them", t.path, maxFile>>20)
	}
	if _, err := t.file.WriteAt(t.frame, t.offset); err != nil {
		return fmt.Errorf("writing replay tags: %w", err)
	}
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("syncing replay tags: %w", err)
	}
	t.offset = end
	return nil
}

// fail ends all promises; the first reason stays.
func (t *Tags) fail(err error) {
	t.mu.Lock()
	if t.err == nil {
		t.err = err
	}
	t.pending = nil
	t.mu.Unlock()
	t.notify()
}

func (t *Tags) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}
