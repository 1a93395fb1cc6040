package exit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
)

// The store is one bbolt file. All numbers in it are big-endian.
var (
	parcels    = []byte("parcels")    // id → parcel
	fragments  = []byte("fragments")  // id, index → sealed bytes, as they came
	recipients = []byte("recipients") // id, index → recipient, sealed reason
	due        = []byte("due")        // Unix seconds, id, index → nothing; every recipient who waits
	ends       = []byte("ends")       // parcel.End, id → nothing
	queue      = []byte("queue")      // parcel.Turn → id; the incomplete parcels, longest without progress first
	days       = []byte("days")       // day → the last expiry that its key accepts
	totals     = []byte("totals")     // "space" → bytes that the queue's parcels take; "kept" → the same for all others
)

var (
	space = []byte("space")
	kept  = []byte("kept")
)

// phase is how far a parcel has come.
type phase uint8

const (
	incomplete phase = iota
	complete         // fragments are there until every recipient is final
	done
)

// parcel is what is known of a parcel beside its fragments.
type parcel struct {
	Phase      phase
	Key        mail.KeyID
	Expires    uint64
	End        uint64 // epoch after which sweep has work to do: Expires, then that of forgetting
	Count      uint8
	Size       uint32 // bytes of each fragment
	Have       uint64 // bit i is set if fragment i is there
	Turn       uint64 // place in the queue; 0: not in it
	Recipients uint8
}

func newParcel(r *mail.Request) parcel {
	return parcel{Key: r.Key, Expires: r.Expires, End: r.Expires, Count: r.Count, Size: uint32(len(r.Data))}
}

// matches reports whether a fragment says of its parcel what the first one said.
func (p *parcel) matches(r *mail.Request) bool {
	return p.Key == r.Key && p.Expires == r.Expires && p.Count == r.Count && int(p.Size) == len(r.Data)
}

// wants reports whether the fragment is still to be stored. A parcel that is
// complete has them all.
func (p *parcel) wants(r *mail.Request) bool { return p.Have>>r.Index&1 == 0 }

// all is Have when no fragment is missing.
func (p *parcel) all() uint64 { return 1<<p.Count - 1 }

// bytes is the space that the parcel's fragments take.
func (p *parcel) bytes() int64 { return int64(bits.OnesCount64(p.Have)) * int64(p.Size) }

// What is set aside, in bytes, for the records that outlast a complete parcel's
// fragments: the parcel's own, and each recipient's with its sealed reason.
const (
	parcelSpace    = 512
	recipientSpace = 1536
)

func (p *parcel) records() int64 { return parcelSpace + int64(p.Recipients)*recipientSpace }

// recipient is the delivery to one recipient. Addresses are in the sealed
// parcel only.
type recipient struct {
	Outcome  mail.Outcome
	Begun    bool // the message's end may be on its way, and no answer is recorded
	Doubt    bool // an answer was lost: the recipient may have a copy
	Attempts uint16
	Next     int64 // Unix seconds of the next attempt; 0 once the outcome is final
}

func openStore(path string) (*store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: 5 * time.Second, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("%s: another process has it open: stop that one, or give this exit a directory of its own", path)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{parcels, fragments, recipients, due, ends, queue, days, totals} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = config.SyncDir(filepath.Dir(path)) // the file may be new
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &store{db: db, broken: make(chan struct{})}, nil
}

func indexKey(id mail.ParcelID, i int) []byte { return append(id[:], byte(i)) }

func dueKey(at int64, id mail.ParcelID, i int) []byte {
	return append(number(uint64(at)), indexKey(id, i)...)
}

func endKey(id mail.ParcelID, p *parcel) []byte { return append(number(p.End), id[:]...) }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// load decodes the value of key into v, and returns what follows it.
func load(tx *bolt.Tx, bucket, key []byte, v any) (rest []byte, ok bool) {
	b := tx.Bucket(bucket).Get(key)
	n, err := binary.Decode(b, binary.BigEndian, v)
	if err != nil {
		return nil, false
	}
	return b[n:], true
}

func getParcel(tx *bolt.Tx, id mail.ParcelID) (p parcel, ok bool) {
	_, ok = load(tx, parcels, id[:], &p)
	return p, ok
}

func getRecipient(tx *bolt.Tx, id mail.ParcelID, i int) (r recipient, reason []byte, ok bool) {
	reason, ok = load(tx, recipients, indexKey(id, i), &r)
	return r, bytes.Clone(reason), ok
}

// sealed joins the fragments of a parcel that has them all, or all but the one
// in last, which may be nil.
func sealed(tx *bolt.Tx, id mail.ParcelID, p *parcel, last *mail.Request) mail.Sealed {
	data := make([]byte, 0, int(p.Count)*int(p.Size))
	for i := range int(p.Count) {
		if last != nil && i == int(last.Index) {
			data = append(data, last.Data...)
		} else {
			data = append(data, tx.Bucket(fragments).Get(indexKey(id, i))...)
		}
	}
	return mail.Sealed{ID: id, Key: p.Key, Expires: p.Expires, Data: data}
}

// store is the open file. Its commits are group commits: what comes while one is
// synced shares the next.
type store struct {
	db     *bolt.DB
	broken chan struct{} // closed by commit after a write that failed; failure is set before

	// settled is held by commit until the disk has answered: bbolt shows a reader
	// the pages of a commit that is not synced yet, and those of one whose sync has
	// failed, which may be gone after a power cut.
	settled sync.RWMutex
	failure error // guarded by settled

	mu    sync.Mutex
	group []*change // waits for the commit in progress
}

// change is one caller's part of a group commit.
type change struct {
	fn   func(*writer)
	err  error
	done chan struct{} // closed by commit; err is set before
}

// writer writes in one transaction, and stops at the first error, which undoes
// the transaction.
type writer struct {
	tx  *bolt.Tx
	err error
}

// view runs fn on what is on disk.
func (s *store) view(fn func(*bolt.Tx) error) error {
	s.settled.RLock()
	defer s.settled.RUnlock()
	if s.failure != nil {
		return s.failure
	}
	return s.db.View(fn)
}

// write runs fn in a transaction that it may share with others, and returns
// when that is on disk. It may run fn more than once.
func (s *store) write(fn func(*writer)) error {
	c := &change{fn: fn, done: make(chan struct{})}
	s.mu.Lock()
	s.group = append(s.group, c)
	leads := len(s.group) == 1
	s.mu.Unlock()
	if leads {
		s.settled.Lock() // others may join as long as this waits
		s.mu.Lock()
		group := s.group
		s.group = nil
		s.mu.Unlock()
		s.commit(group)
		s.settled.Unlock()
	}
	<-c.done
	return c.err
}

// commit writes the group's changes in one transaction, without those whose
// functions fail. The caller holds settled.
func (s *store) commit(group []*change) {
	for len(group) > 0 {
		bad := -1
		err := s.failure
		if err == nil {
			err = s.db.Update(func(tx *bolt.Tx) error {
				for i, c := range group {
					w := &writer{tx: tx}
					if c.fn(w); w.err != nil {
						bad = i
						return w.err
					}
				}
				return nil
			})
			if err != nil && bad < 0 && !full(err) && !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
				s.failure = fmt.Errorf("%w: %w", errFailed, err)
				err = s.failure
				close(s.broken)
			}
		}
		if bad >= 0 {
			group[bad].err = err
			close(group[bad].done)
			group = slices.Delete(group, bad, bad+1)
			continue
		}
		for _, c := range group {
			c.err = err
			close(c.done)
		}
		return
	}
}

// errFailed says that the disk failed to write, or to sync what was written. What
// bbolt then shows may not be what the disk holds, so nothing more is read,
// written or promised until the exit has started again.
var errFailed = errors.New("the disk failed; look at its health and the system's log before you trust it with mail again")

// full reports whether a commit failed for lack of room, which leaves everything
// as it was. A failed sync is another matter, whatever its reason: fdatasync's
// error comes bare. bbolt does not wrap the error of growing its file, so the text
// decides as well.
func full(err error) bool {
	if _, sync := err.(syscall.Errno); sync {
		return false
	}
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, e) || strings.HasSuffix(err.Error(), e.Error()) {
			return true
		}
	}
	return errors.Is(err, bolterrors.ErrMaxSizeReached)
}

func (w *writer) put(bucket, key, value []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Put(key, value)
	}
}

func (w *writer) remove(bucket, key []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Delete(key)
	}
}

// save writes a value that load reads.
func (w *writer) save(bucket, key []byte, v any, rest []byte) {
	b, err := binary.Append(nil, binary.BigEndian, v)
	if err != nil && w.err == nil {
		w.err = err
	}
	w.put(bucket, key, append(b, rest...))
}

// putParcel writes p and its place in ends.
func (w *writer) putParcel(id mail.ParcelID, p *parcel) {
	if old, ok := getParcel(w.tx, id); ok && old.End != p.End {
		w.remove(ends, endKey(id, &old))
	}
	w.put(ends, endKey(id, p), nil)
	w.save(parcels, id[:], p, nil)
}

// putRecipient writes r and its place in due.
func (w *writer) putRecipient(id mail.ParcelID, i int, r recipient, reason []byte) {
	if old, _, ok := getRecipient(w.tx, id, i); ok && old.Next != r.Next {
		w.remove(due, dueKey(old.Next, id, i))
	}
	if r.Outcome == mail.Waiting {
		w.put(due, dueKey(r.Next, id, i), nil)
	}
	w.save(recipients, indexKey(id, i), r, reason)
}

// errSpace says that a fragment would exceed the space for incomplete parcels
// though no other one is left to forget.
var errSpace = errors.New("space is too small for one parcel")

// addFragment stores a fragment of p, which stays incomplete. If incomplete
// parcels take more space than there is, those that have been longest without a
// new fragment are forgotten: whoever floods the exit then delays others only as
// long as the flood lasts.
func (w *writer) addFragment(p *parcel, r *mail.Request, limit int64) (forgotten uint64) {
	w.leaveQueue(p)
	p.Have |= 1 << r.Index
	w.put(fragments, indexKey(r.Parcel, int(r.Index)), r.Data)
	for w.err == nil && total(w.tx, space)+p.bytes() > limit {
		if _, first := w.tx.Bucket(queue).Cursor().First(); first != nil {
			w.forget(mail.ParcelID(first))
			forgotten++
		} else {
			w.err = errSpace
		}
	}
	if w.err == nil {
		p.Turn, w.err = w.tx.Bucket(queue).NextSequence()
	}
	w.put(queue, number(p.Turn), r.Parcel[:])
	w.addTotal(space, p.bytes())
	w.putParcel(r.Parcel, p)
	return forgotten
}

// complete stores the last fragment of p, which has so many recipients. It
// reports false, and stores nothing, if that would exceed the space for complete
// parcels: none of them can be forgotten, for their gateways rely on them.
func (w *writer) complete(p *parcel, r *mail.Request, recipients int, limit int64) bool {
	whole := *p
	whole.Phase, whole.Have, whole.Recipients = complete, p.all(), uint8(recipients)
	if total(w.tx, kept)+whole.bytes()+whole.records() > limit {
		return false
	}
	w.leaveQueue(p)
	whole.Turn = p.Turn
	*p = whole
	w.put(fragments, indexKey(r.Parcel, int(r.Index)), r.Data)
	w.addTotal(kept, p.bytes()+p.records())
	w.putParcel(r.Parcel, p)
	return true
}

// total is what the named parcels take, in bytes.
func total(tx *bolt.Tx, name []byte) (n int64) {
	load(tx, totals, name, &n)
	return n
}

func (w *writer) addTotal(name []byte, n int64) { w.save(totals, name, total(w.tx, name)+n, nil) }

func (w *writer) leaveQueue(p *parcel) {
	if p.Turn != 0 {
		w.remove(queue, number(p.Turn))
		w.addTotal(space, -p.bytes())
		p.Turn = 0
	}
}

func (w *writer) dropFragments(id mail.ParcelID, p *parcel) {
	w.leaveQueue(p)
	if p.Phase == complete {
		w.addTotal(kept, -p.bytes())
	}
	for i := range int(p.Count) {
		w.remove(fragments, indexKey(id, i))
	}
}

// finish drops the parcel's fragments once every recipient is final.
func (w *writer) finish(id mail.ParcelID, p *parcel) {
	for i := range int(p.Recipients) {
		if r, _, ok := getRecipient(w.tx, id, i); ok && r.Outcome == mail.Waiting {
			return
		}
	}
	w.dropFragments(id, p)
	p.Phase = done
	w.putParcel(id, p)
}

// forget removes every trace of a parcel.
func (w *writer) forget(id mail.ParcelID) {
	p, ok := getParcel(w.tx, id)
	if !ok {
		w.err = errors.New("an index names a parcel that is not there")
		return
	}
	w.dropFragments(id, &p)
	if p.Phase != incomplete {
		w.addTotal(kept, -p.records())
	}
	for i := range int(p.Recipients) {
		r, _, _ := getRecipient(w.tx, id, i)
		w.remove(due, dueKey(r.Next, id, i))
		w.remove(recipients, indexKey(id, i))
	}
	w.remove(ends, endKey(id, &p))
	w.remove(parcels, id[:])
}
