package exit

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/mail"
)

const (
	concurrency  = 4               // transactions at a time
	lookInterval = 5 * time.Second // between looks at what is due, the epoch and the day
	tellInterval = time.Hour       // between reports of trouble, at fixed moments: one right after an attempt would tell when that was
	sweepBatch   = 100             // parcels in one transaction of sweep
	maxDoublings = 4               // of the mean time between retries
)

// firstTell is how long after the start of Run the first report of trouble is.
const firstTell = 10 * time.Minute

// job is one recipient whose time has come.
type job struct {
	at    int64 // as in recipient.Next
	id    mail.ParcelID
	index int
}

// Run delivers parcels, expires and forgets them, and rotates the day keys,
// until ctx ends. It then gives transactions in progress a few seconds, and
// returns. Its error is that of a disk that failed, after which the exit must be
// opened anew.
func (o *Office) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var (
		workers  sync.WaitGroup
		busy     = map[job]bool{}
		finished = make(chan job, concurrency) // room for all: no worker waits for the loop
		tick     = time.NewTicker(lookInterval)
		kept     date
		told     = time.Now().Add(firstTell - tellInterval)
	)
	defer workers.Wait()
	defer cancel() // before the workers are waited for, whatever the reason to return
	defer tick.Stop()
	for {
		kept = o.maintain(kept)
		if time.Since(told) >= tellInterval {
			o.tell()
			told = told.Add(tellInterval)
		}
		for len(busy) < concurrency {
			j, ok, err := o.nextDue(busy)
			if err != nil {
				return fmt.Errorf("looking for what is due: %w", err)
			}
			if !ok {
				break
			}
			busy[j] = true
			workers.Go(func() {
				o.attempt(ctx, j)
				finished <- j
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-o.broken:
			return o.failure // set before broken was closed, and never again
		case j := <-finished:
			delete(busy, j)
		case <-tick.C:
		}
	}
}

// nextDue returns the first delivery whose time has come and that is not busy.
func (o *Office) nextDue(busy map[job]bool) (j job, ok bool, err error) {
	err = o.view(func(tx *bolt.Tx) error {
		c := tx.Bucket(due).Cursor()
		for k, _ := c.First(); k != nil && !ok; k, _ = c.Next() {
			if j = jobOf(k); j.at > time.Now().Unix() {
				break
			}
			ok = !busy[j]
		}
		return nil
	})
	return j, ok, err
}

// jobOf reads what dueKey wrote.
func jobOf(k []byte) job {
	return job{at: int64(binary.BigEndian.Uint64(k)), id: mail.ParcelID(k[8:24]), index: int(k[24])}
}

// attempt tries one delivery and records what it came to. If that cannot be
// written it goes on trying: a delivery must not be repeated because the disk is
// full. After a disk that failed, the mark of begin puts the delivery in doubt.
func (o *Office) attempt(ctx context.Context, j job) {
	v, end := o.try(ctx, j)
	defer end() // after the result is on disk
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		err := o.record(j, v)
		if err == nil {
			return
		}
		o.unwritten(err)
		select {
		case <-ctx.Done():
			return
		case <-o.broken:
			return
		case <-time.After(pause):
		}
	}
}

// errOver says that a delivery must not be finished any more.
var errOver = errors.New("the parcel has expired")

// try runs one SMTP transaction. The caller ends its session.
func (o *Office) try(ctx context.Context, j job) (v verdict, end func()) {
	var (
		p      parcel
		parts  mail.Sealed
		exists bool
	)
	end = func() {}
	if err := o.view(func(tx *bolt.Tx) error {
		if p, exists = getParcel(tx, j.id); exists {
			parts = sealed(tx, j.id, &p, nil)
		}
		return nil
	}); err != nil {
		o.note("reading the store", err)
		return verdict{}, end
	}
	if !exists || o.now() > p.Expires {
		return verdict{outcome: mail.Expired}, end
	}
	opened, err := o.open(parts)
	if err != nil || j.index >= len(opened.Recipients) {
		return verdict{outcome: mail.Failed, reason: "the exit can no longer open the mail"}, end
	}
	s, err := o.relay.open(ctx)
	if err != nil {
		o.note("using the mail server", err)
		return verdict{reason: "the exit could not use its mail server"}, end
	}
	message := opened.Render(o.from, j.index)
	defer clear(message)
	v, err = s.send(o.from, opened.Recipients[j.index], message, func() error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return o.begin(j)
	})
	switch {
	case errors.Is(err, errOver):
		v.outcome = mail.Expired
	case err != nil && ctx.Err() == nil:
		o.unwritten(err)
	}
	return v, s.end
}

// begin marks a delivery as begun, on disk, right before the message's end is
// sent.
func (o *Office) begin(j job) error {
	return o.write(func(w *writer) {
		p, known := getParcel(w.tx, j.id)
		r, reason, ok := getRecipient(w.tx, j.id, j.index)
		if !known || !ok || r.Outcome != mail.Waiting || o.now() > p.Expires {
			w.err = errOver
			return
		}
		r.Begun = true
		w.putRecipient(j.id, j.index, r, reason)
	})
}

// record writes what an attempt came to. What would be tried again but has
// expired is Expired.
func (o *Office) record(j job, v verdict) error {
	var change Counts
	err := o.write(func(w *writer) {
		change = Counts{}
		p, known := getParcel(w.tx, j.id)
		r, reason, ok := getRecipient(w.tx, j.id, j.index)
		if !known || !ok || r.Outcome != mail.Waiting {
			w.remove(due, dueKey(j.at, j.id, j.index))
			return
		}
		r.Begun, r.Outcome, r.Next = false, v.outcome, 0
		if v.doubt {
			r.Doubt, change.InDoubt = true, 1
		}
		if r.Outcome == mail.Waiting && o.now() > p.Expires {
			r.Outcome = mail.Expired
		}
		if v.reason != "" {
			reason = o.keys.sealReason(p.Key, j.id, j.index, v.reason)
		}
		switch r.Outcome {
		case mail.Waiting:
			change.Retries = 1
			o.reschedule(&r)
		case mail.Delivered:
			change.Delivered = 1
			reason = nil
		case mail.Failed:
			change.Failed = 1
		case mail.Expired:
			change.Expired = 1
		}
		w.putRecipient(j.id, j.index, r, reason)
		w.finish(j.id, &p)
	})
	if err == nil {
		o.count(change)
	}
	return err
}

// reschedule draws when to try again.
func (o *Office) reschedule(r *recipient) {
	mean := o.cfg.RetryMean << min(r.Attempts, maxDoublings)
	r.Attempts = min(r.Attempts, maxDoublings) + 1
	r.Next = time.Now().Add(exponential(mean)).Unix()
}

// recover schedules again what was begun when the office last ended.
func (o *Office) recover() error {
	var begun []job
	err := o.view(func(tx *bolt.Tx) error {
		return tx.Bucket(due).ForEach(func(k, _ []byte) error {
			j := jobOf(k)
			if r, _, ok := getRecipient(tx, j.id, j.index); ok && r.Begun {
				begun = append(begun, j)
			}
			return nil
		})
	})
	if err != nil || len(begun) == 0 {
		return err
	}
	err = o.write(func(w *writer) {
		for _, j := range begun {
			r, reason, _ := getRecipient(w.tx, j.id, j.index)
			r.Begun, r.Doubt = false, true
			o.reschedule(&r)
			w.putRecipient(j.id, j.index, r, reason)
		}
	})
	if err != nil {
		return fmt.Errorf("scheduling interrupted deliveries again: %w", err)
	}
	o.count(Counts{InDoubt: uint64(len(begun))})
	o.log.Warn("deliveries were interrupted at their end and will be tried again", "count", len(begun))
	return nil
}

// date is what maintain depends on.
type date struct {
	epoch uint64
	day   uint32
}

// maintain does what the passing of epochs and days asks for, unless it was
// done at this date. It returns the date for which it is done.
func (o *Office) maintain(kept date) date {
	now := date{o.now(), today()}
	if now == kept {
		return kept
	}
	if err := errors.Join(o.sweep(), o.rotate()); err != nil {
		o.unwritten(err)
		return kept
	}
	return now
}

// sweep expires the parcels whose epoch has passed, and forgets those that
// nobody will ask for any more.
func (o *Office) sweep() error {
	for {
		var over []mail.ParcelID
		err := o.view(func(tx *bolt.Tx) error {
			c := tx.Bucket(ends).Cursor()
			for k, _ := c.First(); k != nil && binary.BigEndian.Uint64(k) < o.now() && len(over) < sweepBatch; k, _ = c.Next() {
				over = append(over, mail.ParcelID(k[8:]))
			}
			return nil
		})
		if err != nil || len(over) == 0 {
			return err
		}
		var change Counts
		err = o.write(func(w *writer) {
			change = Counts{}
			for _, id := range over {
				change.Expired += o.end(w, id)
			}
		})
		if err != nil {
			return err
		}
		o.count(change)
	}
}

// end expires a parcel, or forgets it if that was done before or if it was never
// complete. It leaves out recipients whose delivery has begun: record expires
// them if it fails.
func (o *Office) end(w *writer, id mail.ParcelID) (expired uint64) {
	p, ok := getParcel(w.tx, id)
	if !ok || p.End > p.Expires || p.Phase == incomplete {
		w.forget(id)
		return 0
	}
	p.End = p.Expires + mail.Memory(o.cfg.Expiry)
	w.putParcel(id, &p)
	if p.Phase != complete {
		return 0
	}
	for i := range int(p.Recipients) {
		r, reason, ok := getRecipient(w.tx, id, i)
		if ok && r.Outcome == mail.Waiting && !r.Begun {
			r.Outcome, r.Next = mail.Expired, 0
			w.putRecipient(id, i, r, reason)
			expired++
		}
	}
	w.finish(id, &p)
	return expired
}

// tell logs what the operator should know, in counts.
func (o *Office) tell() {
	o.telling.Lock()
	all := o.trouble
	o.trouble = map[string]trouble{}
	o.telling.Unlock()
	for doing, t := range all {
		o.log.Warn("the exit had trouble "+doing, "times", t.times, "last", t.last)
	}
}

// exponential draws an exponentially distributed duration that nobody can
// predict.
func exponential(mean time.Duration) time.Duration {
	return time.Duration(rand.New(unpredictable{}).ExpFloat64() * float64(mean))
}

type unpredictable struct{}

func (unpredictable) Uint64() uint64 {
	var b [8]byte
	cryptorand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
