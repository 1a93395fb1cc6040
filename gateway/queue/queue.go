// Package queue is where a gateway's mails wait: a durable store in one file, queue.db. What Put and
// Update return nil for is on the disk and survives a killed process and, where the disk honours
// sync, a power loss.
//
// A thief of the file learns how many mails there are, to which exit they go, how long they are to the
// bucket, when they expire, when they are asked for and how far they got. All mails are given the same
// time to live, so the expiry tells the epoch in which one was submitted. It holds nothing that says from
// whom, to whom or about what: the parcel is sealed to the exit, recipients, outcomes and references to the
// user, ids are random, and tags are keyed hashes. Of the references it learns how many there are and in
// which order they came. What is forgotten lingers in the file's free
// pages until they are used again, sealed as it was.
//
// The package keeps records and knows nothing of networks, schedules or keys. It may import mail, the
// standard library, bbolt, cbor and x/sys.
package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
)

// Errors that callers decide on.
var (
	ErrFull     = errors.New("the disk is full, or the quota or file size limit is reached: make room in the gateway's directory")
	ErrLimit    = errors.New("too many mails are waiting already: wait until some have left")
	ErrNotFound = errors.New("no such mail in the queue")
	ErrRunning  = errors.New("another gateway is running in this directory: stop it first")
	ErrDamaged  = errors.New("the queue is damaged: move queue.db out of the gateway's directory and start again; " +
		"what became of the mails in it is then unknown, so ask their recipients before writing again")
	ErrFailed = errors.New("the disk failed to keep the queue: check the disk, then restart the gateway")
)

// Mail is what the queue knows of a mail.
type Mail struct {
	ID        mail.ParcelID
	Exit      [32]byte    // the identity of the exit it is sealed to; no other may have it
	Key       mail.KeyID  // the exit's key it is sealed to
	Expires   uint64      // epoch
	Fragments int         // 1 to mail.MaxFragments
	Have      uint64      // bit i: the exit acknowledged fragment i
	Queries   []time.Time // moments at which its state is still to be asked for, at most 16, kept to the second
	State     mail.State  // what the exit said last; mail.StateUnknown before it said anything

	// Results are the outcomes with their reasons, sealed to the user; nil before there are any. The
	// counts of recipients by outcome are in clear.
	Results                             []byte
	Delivered, Failed, Expired, Waiting int

	Final   bool     // nothing will change any more
	Unknown bool     // the exit did not tell its fate while it remembered, or is gone
	Card    []byte   // recipients, subject and day, sealed to the user
	Tag     [32]byte // keyed hash that recognises a repeated submission

	// Reference is remembered apart, when Put stores the mail, and outlives it. No other method
	// reads or writes it.
	Reference Reference
}

// Reference is what is remembered of a mail so that later ones can refer to it. The zero value stands
// for nothing.
type Reference struct {
	Tag    [32]byte // keyed hash of what it is looked up by
	Sealed []byte   // to the user
}

// maxReferences is how many references are kept: of more, the oldest go.
const maxReferences = 10_000

// ended reports whether the mail's writer can see what became of it.
func (m *Mail) ended() bool { return m.Final || m.Unknown }

// toSend reports whether the exit may still need fragments. An unknown mail has expired, or its exit is
// gone: it is not sent either.
func (m *Mail) toSend() bool {
	return !m.ended() && m.State != mail.StateComplete && m.State != mail.StateDone
}

// Limits bound the mails whose parcels the queue holds because the exit is not responsible for them
// yet. Zero fields stand for the defaults, 1000 mails and 256 MiB.
type Limits struct {
	Mails int
	Bytes int64 // of sealed parcels
}

// reserve is the free space that Put leaves on the disk, so that what is under way can be recorded to
// its end.
const reserve = 16 << 20

// Queue is an open queue. It is safe for concurrent use; changes happen one after the other.
type Queue struct {
	db     *bolt.DB
	limits Limits
	free   func() (int64, error) // bytes on the queue's disk
	failed atomic.Bool           // see change
}

var (
	mailsBucket  = []byte("mails")  // parcel id → record
	sealedBucket = []byte("sealed") // parcel id → sealed parcel, framed like a record
	tagsBucket   = []byte("tags")   // tag → parcel id
	spareBucket  = []byte("spare")  // see keepSpare

	// A queue that never had a reference has neither of these.
	referencesBucket = []byte("references")      // tag → turn, sealed
	turnsBucket      = []byte("reference turns") // turn, a big-endian uint64 that grows → tag
)

// Open opens the queue of a gateway's directory, or makes directory and queue. One process at a time
// can have it open; Open waits a second for another to end. It reads the whole structure once, so that
// a damaged file is found now and not when a mail depends on it.
//
// Its errors are ErrRunning, ErrDamaged, ErrFull and, for what the system refuses, those of package os.
func Open(dir string, limits Limits) (*Queue, error) {
	if limits.Mails == 0 {
		limits.Mails = 1000
	}
	if limits.Bytes == 0 {
		limits.Bytes = 256 << 20
	}
	q := &Queue{limits: limits, free: func() (int64, error) {
		var s unix.Statfs_t
		err := unix.Statfs(dir, &s)
		return int64(s.Bavail) * int64(s.Bsize), err
	}}
	if err := guarded(func() error { return q.open(dir) }); err != nil {
		if q.db != nil {
			q.db.Close()
		}
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	return q, nil
}

func (q *Queue) open(dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return advise(err, dir)
	}
	path := filepath.Join(dir, "queue.db")
	q.db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second, NoStatistics: true})
	if err != nil {
		return advise(err, dir)
	}
	// That the file exists must be on the disk as well, not only what is in it.
	for _, d := range []string{dir, filepath.Dir(filepath.Clean(dir))} {
		if err := config.SyncDirIfPossible(d); err != nil {
			return advise(err, dir)
		}
	}
	if err := q.db.View(func(tx *bolt.Tx) error { return check(tx, path) }); err != nil {
		return err
	}
	return q.change(func(tx *bolt.Tx) error {
		if tx.Bucket(mailsBucket) != nil {
			return errNoChange
		}
		for _, name := range [][]byte{mailsBucket, sealedBucket, tagsBucket} {
			if _, err := tx.CreateBucket(name); err != nil {
				return err
			}
		}
		return keepSpare(tx)
	})
}

// guarded turns what a damaged file makes of bbolt, a panic or a fault beyond the file's end, into
// ErrDamaged. Only Open needs it: a file damaged later ends the process, and the next Open tells.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = ErrDamaged
		}
	}()
	return f()
}

// advise says what to do about an error of opening the file.
func advise(err error, dir string) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return ErrRunning
	case full(err):
		return fmt.Errorf("%w (%w)", ErrFull, err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fmt.Errorf("%w: make %s writable for the user that runs the gateway", err, dir)
	case errors.Is(err, bolterrors.ErrVersionMismatch):
		return errVersion
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), strings.Contains(err.Error(), "file size too small"):
		return ErrDamaged
	}
	return err
}

// check reads every page and record once, along the tree and by searching, as all later work does.
// Everything in the file must belong together.
func check(tx *bolt.Tx, path string) error {
	if info, err := os.Stat(path); err != nil {
		return err
	} else if info.Size() < tx.Size() {
		return ErrDamaged
	}
	records, sealed, tags := tx.Bucket(mailsBucket), tx.Bucket(sealedBucket), tx.Bucket(tagsBucket)
	if records == nil && sealed == nil && tags == nil {
		return nil // new
	} else if records == nil || sealed == nil || tags == nil {
		return ErrDamaged
	}
	mails, parcels, named := 0, 0, 0
	if err := each(tx, func(m *Mail) error {
		if records.Get(m.ID[:]) == nil || !bytes.Equal(tags.Get(m.Tag[:]), m.ID[:]) {
			return ErrDamaged
		}
		if sealed.Get(m.ID[:]) != nil {
			parcels++
		} else if m.toSend() {
			return ErrDamaged
		}
		mails++
		return nil
	}); err != nil {
		return err
	}
	last := byte(0)
	if err := sealed.ForEach(func(_, v []byte) error {
		if len(v) <= frameSize || len(v) > frameSize+maxParcel {
			return ErrDamaged
		}
		last ^= v[len(v)-1] // a fault here and now if it lies outside the file
		parcels--
		return nil
	}); err != nil {
		return err
	}
	runtime.KeepAlive(last)
	if err := tags.ForEach(func(_, _ []byte) error { named++; return nil }); err != nil {
		return err
	}
	if parcels != 0 || named != mails {
		return ErrDamaged
	}
	if err := readReferences(tx); err != nil {
		return err
	}
	if err := checkSpare(tx); err != nil {
		return err
	}
	return checkPages(tx)
}

// readReferences reads every reference once, like check: where one lies outside the file, that is found now. What is
// wrong in them otherwise costs a thread at its reader's, and no mail.
func readReferences(tx *bolt.Tx) error {
	last := byte(0)
	for _, name := range [][]byte{referencesBucket, turnsBucket} {
		if b := tx.Bucket(name); b != nil {
			if err := b.ForEach(func(_, v []byte) error {
				if len(v) > 0 {
					last ^= v[len(v)-1]
				}
				return nil
			}); err != nil {
				return err
			}
		}
	}
	runtime.KeepAlive(last)
	return nil
}

// checkPages finds pages that are both free and in use: the next change would overwrite them. bbolt's
// check does it, in a goroutine of its own whose faults nobody can catch; so it comes last, when all that
// it follows was read without a fault, except for the lengths of pages, which are looked at here.
func checkPages(tx *bolt.Tx) error {
	end := int(tx.Size()) / tx.DB().Info().PageSize
	for id := 0; id < end; id++ {
		page, err := tx.Page(id)
		if err != nil {
			return err
		}
		if page.Type != "free" {
			if page.OverflowCount >= end-id {
				return ErrDamaged
			}
			id += page.OverflowCount
		}
	}
	var err error
	for range tx.Check(bolt.WithKVStringer(silent{})) {
		err = ErrDamaged
	}
	return err
}

// silent keeps keys out of bbolt's messages, which also would follow their lengths.
type silent struct{}

func (silent) KeyToString([]byte) string   { return "" }
func (silent) ValueToString([]byte) string { return "" }

// Put stores a mail and its sealed parcel and returns the ID under which it is kept. A mail with a Tag
// that is there already is the same mail, submitted again: nothing is stored, and the ID is the first
// one's. Besides ErrFull and ErrLimit, an error means that the mail must not be promised to be sent.
func (q *Queue) Put(m Mail, sealed []byte) (existing mail.ParcelID, again bool, err error) {
	existing = m.ID
	err = q.change(func(tx *bolt.Tx) error {
		if id := tx.Bucket(tagsBucket).Get(m.Tag[:]); id != nil {
			copy(existing[:], id)
			again = true
			return errNoChange
		}
		if tx.Bucket(mailsBucket).Get(m.ID[:]) != nil {
			return errors.New("another mail has the same parcel ID")
		}
		record, err := m.encode()
		if err != nil {
			return err
		}
		if !m.toSend() || len(sealed) == 0 || len(sealed) > maxParcel {
			return errors.New("the mail has nothing to send, or a parcel longer than there are")
		}
		if err := q.room(tx, len(sealed)); err != nil {
			return err
		}
		return errors.Join(
			tx.Bucket(mailsBucket).Put(m.ID[:], record),
			tx.Bucket(sealedBucket).Put(m.ID[:], frame(m.ID, sealed)),
			tx.Bucket(tagsBucket).Put(m.Tag[:], m.ID[:]),
			remember(tx, &m.Reference),
			keepSpare(tx))
	})
	if err != nil {
		return mail.ParcelID{}, false, fmt.Errorf("storing a mail: %w", err)
	}
	return existing, again, nil
}

// room reports whether size bytes more may wait and fit.
func (q *Queue) room(tx *bolt.Tx, size int) error {
	count, total := 1, int64(size)
	err := tx.Bucket(sealedBucket).ForEach(func(_, v []byte) error {
		count++
		total += int64(len(v))
		return nil
	})
	if err != nil {
		return err
	}
	if count > q.limits.Mails || total > q.limits.Bytes {
		return ErrLimit
	}
	free, err := q.free()
	if err != nil {
		return fmt.Errorf("asking for the disk's free space: %w", err)
	}
	if free < reserve+int64(size) {
		return ErrFull
	}
	return nil
}

// remember stores a reference in place of the one with the same tag, and forgets the oldest of too many.
func remember(tx *bolt.Tx, r *Reference) error {
	if len(r.Sealed) == 0 {
		return nil
	}
	references, err := tx.CreateBucketIfNotExists(referencesBucket)
	if err != nil {
		return err
	}
	turns, err := tx.CreateBucketIfNotExists(turnsBucket)
	if err != nil {
		return err
	}
	if old := references.Get(r.Tag[:]); len(old) >= turnSize {
		if err := turns.Delete(bytes.Clone(old[:turnSize])); err != nil {
			return err
		}
	}
	turn, err := turns.NextSequence()
	if err != nil {
		return err
	}
	key := binary.BigEndian.AppendUint64(nil, turn)
	if err := errors.Join(turns.Put(key, r.Tag[:]), references.Put(r.Tag[:], append(key, r.Sealed...))); err != nil {
		return err
	}
	err = forgetReferences(tx, func(key, _ []byte) bool { return binary.BigEndian.Uint64(key)+maxReferences <= turn })
	if errors.Is(err, errNoChange) {
		return nil
	}
	return err
}

// turnSize is the length in bytes of a turn.
const turnSize = 8

// forgetReferences removes references, the oldest first, as long as f says so of their turn and their sealed form.
// A turn or a reference without the other is removed, too: it is of no use, and no reason to keep a mail out.
func forgetReferences(tx *bolt.Tx, f func(turn, sealed []byte) bool) error {
	references, turns := tx.Bucket(referencesBucket), tx.Bucket(turnsBucket)
	if references == nil || turns == nil {
		return errNoChange
	}
	gone := 0
	for {
		turn, tag := turns.Cursor().First()
		if turn == nil {
			break
		}
		turn, tag = bytes.Clone(turn), bytes.Clone(tag)
		r := references.Get(tag)
		whole := len(turn) == turnSize && bytes.HasPrefix(r, turn)
		if whole && !f(turn, r[turnSize:]) {
			break
		}
		if err := turns.Delete(turn); err != nil {
			return err
		}
		if whole {
			if err := references.Delete(tag); err != nil {
				return err
			}
		}
		gone++
	}
	if gone == 0 {
		return errNoChange
	}
	return nil
}

// Reference returns what is remembered under a tag, or ErrNotFound.
func (q *Queue) Reference(tag [32]byte) (sealed []byte, err error) {
	err = q.db.View(func(tx *bolt.Tx) error {
		b := tx.Bucket(referencesBucket)
		if b == nil {
			return ErrNotFound
		}
		r := b.Get(tag[:])
		if len(r) < turnSize {
			return ErrNotFound
		}
		sealed = bytes.Clone(r[turnSize:])
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking for a reference: %w", err)
	}
	return sealed, nil
}

// ForgetReferences removes references, the oldest first, as long as old says so of their sealed form.
func (q *Queue) ForgetReferences(old func(sealed []byte) bool) error {
	err := q.note(func(tx *bolt.Tx) error {
		return forgetReferences(tx, func(_, sealed []byte) bool { return old(sealed) })
	})
	if err != nil {
		return fmt.Errorf("forgetting references: %w", err)
	}
	return nil
}

// Get returns what the queue knows of a mail, or ErrNotFound.
func (q *Queue) Get(id mail.ParcelID) (m Mail, err error) {
	err = q.db.View(func(tx *bolt.Tx) error {
		record := tx.Bucket(mailsBucket).Get(id[:])
		if record == nil {
			return ErrNotFound
		}
		m, err = decode(id, record)
		return err
	})
	if err != nil {
		return Mail{}, fmt.Errorf("reading a mail's record: %w", err)
	}
	return m, nil
}

// Data returns a mail's sealed parcel, or ErrNotFound if there is none or it is no longer needed.
func (q *Queue) Data(id mail.ParcelID) (sealed []byte, err error) {
	err = q.db.View(func(tx *bolt.Tx) error {
		v := tx.Bucket(sealedBucket).Get(id[:])
		if v == nil {
			return ErrNotFound
		}
		v, err := unframe(id, v)
		sealed = bytes.Clone(v)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a parcel: %w", err)
	}
	return sealed, nil
}

// Update lets f change a mail and stores it. Its ID and Tag stay what they are. The sealed parcel is
// dropped, for good, once the exit is responsible or the mail is final or unknown. Nothing is written when f changes
// nothing. f must not call the queue.
func (q *Queue) Update(id mail.ParcelID, f func(*Mail)) error {
	err := q.note(func(tx *bolt.Tx) error {
		old := tx.Bucket(mailsBucket).Get(id[:])
		if old == nil {
			return ErrNotFound
		}
		m, err := decode(id, old)
		if err != nil {
			return err
		}
		tag := m.Tag
		f(&m)
		m.ID, m.Tag = id, tag
		record, err := m.encode()
		if err != nil {
			return err
		}
		if bytes.Equal(record, old) {
			return errNoChange
		}
		if !m.toSend() {
			if err := tx.Bucket(sealedBucket).Delete(id[:]); err != nil {
				return err
			}
		} else if tx.Bucket(sealedBucket).Get(id[:]) == nil {
			return errors.New("the parcel was dropped when nothing was left to send, and cannot be sent again")
		}
		return tx.Bucket(mailsBucket).Put(id[:], record)
	})
	if err != nil {
		return fmt.Errorf("updating a mail: %w", err)
	}
	return nil
}

// All returns all mails, in the order of their random IDs.
func (q *Queue) All() (mails []Mail, err error) {
	err = q.db.View(func(tx *bolt.Tx) error {
		return each(tx, func(m *Mail) error {
			mails = append(mails, *m)
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading the queue: %w", err)
	}
	return mails, nil
}

// Forget removes a mail, whatever its state, with its tag: submitted again, it would be a new mail.
// Forgetting what is not there is no error.
func (q *Queue) Forget(id mail.ParcelID) error {
	_, err := q.forget(func(m *Mail) bool { return m.ID == id })
	return err
}

// ForgetBefore removes the mails that expired before an epoch and returns their number. Those that are
// neither final nor unknown stay: their writer does not know yet what became of them.
func (q *Queue) ForgetBefore(epoch uint64) (int, error) {
	return q.forget(func(m *Mail) bool { return m.Expires < epoch && m.ended() })
}

func (q *Queue) forget(which func(*Mail) bool) (n int, err error) {
	err = q.note(func(tx *bolt.Tx) error {
		var gone []Mail
		if err := each(tx, func(m *Mail) error {
			if which(m) {
				gone = append(gone, *m)
			}
			return nil
		}); err != nil {
			return err
		}
		for _, m := range gone {
			if err := errors.Join(
				tx.Bucket(mailsBucket).Delete(m.ID[:]),
				tx.Bucket(sealedBucket).Delete(m.ID[:]),
				tx.Bucket(tagsBucket).Delete(m.Tag[:])); err != nil {
				return err
			}
		}
		if n = len(gone); n == 0 {
			return errNoChange
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("forgetting mails: %w", err)
	}
	return n, nil
}

// Err is ErrFailed once the disk has failed the queue, which then takes no change any more.
func (q *Queue) Err() error {
	if q.failed.Load() {
		return ErrFailed
	}
	return nil
}

// Close closes the queue.
func (q *Queue) Close() error { return q.db.Close() }

// each calls f with every mail.
func each(tx *bolt.Tx, f func(*Mail) error) error {
	return tx.Bucket(mailsBucket).ForEach(func(k, v []byte) error {
		if len(k) != len(mail.ParcelID{}) {
			return ErrDamaged
		}
		m, err := decode(mail.ParcelID(k), v)
		if err != nil {
			return err
		}
		return f(&m)
	})
}

// errNoChange ends a change that has nothing to write.
var errNoChange = errors.New("nothing to write")

// change runs f in a transaction and makes it durable. If the disk is full nothing has changed and
// the queue goes on. After any other failure to write, what is in memory may differ from what is on
// the disk (a failed sync leaves new pages in the cache, marked clean), and a repeated submission might
// be answered from the cache alone; so every further change is refused until the gateway restarts.
func (q *Queue) change(f func(*bolt.Tx) error) error {
	if q.failed.Load() {
		return ErrFailed
	}
	tx, err := q.db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback()  // unless committed
	if q.failed.Load() { // while this one waited for its turn
		return ErrFailed
	}
	if err := f(tx); errors.Is(err, errNoChange) {
		return nil
	} else if err != nil {
		return err
	}
	err = tx.Commit()
	_, sync := err.(unix.Errno) // fdatasync's error comes bare
	switch {
	case err == nil:
		return nil
	case full(err) && !sync:
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	q.failed.Store(true)
	return fmt.Errorf("%w (%w)", ErrFailed, err)
}

// note is change for what must be possible on a full disk, too: how a mail fares, and forgetting it. Pages
// are written anew before the old ones are free, so it gives the spare ones up if it has to.
func (q *Queue) note(f func(*bolt.Tx) error) error {
	err := q.change(f)
	if !errors.Is(err, ErrFull) || q.change(dropSpare) != nil {
		return err
	}
	return q.change(f)
}

// sparePages is how many pages are kept for note. It changes a path of a few pages in each bucket.
const sparePages = 16

// keepSpare fills spare pages where there are none. The disk's free space does not show a quota, so without
// them a file that cannot grow could not shrink either; and Put stores no mail without them.
func keepSpare(tx *bolt.Tx) error {
	b, err := tx.CreateBucketIfNotExists(spareBucket)
	if err != nil {
		return err
	}
	if first, _ := b.Cursor().First(); first != nil {
		return nil
	}
	for i := range byte(sparePages) {
		if err := b.Put([]byte{i}, sparePage(tx)); err != nil {
			return err
		}
	}
	return nil
}

// sparePage is so long that no two fit in a page.
func sparePage(tx *bolt.Tx) []byte { return make([]byte, tx.DB().Info().PageSize*3/4) }

// checkSpare reads the spare pages once, like check.
func checkSpare(tx *bolt.Tx) error {
	b := tx.Bucket(spareBucket)
	if b == nil {
		return nil
	}
	return b.ForEach(func(k, v []byte) error {
		if len(k) != 1 || !bytes.Equal(v, sparePage(tx)) {
			return ErrDamaged
		}
		return nil
	})
}

// dropSpare frees the spare pages, for the next change.
func dropSpare(tx *bolt.Tx) error {
	if tx.Bucket(spareBucket) == nil {
		return errNoChange
	}
	return tx.DeleteBucket(spareBucket)
}

// full reports whether an error says that there is no room. bbolt does not wrap the error of growing
// its file, so its text decides as well.
func full(err error) bool {
	for _, e := range []unix.Errno{unix.ENOSPC, unix.EDQUOT, unix.EFBIG} {
		if errors.Is(err, e) || strings.HasSuffix(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}
