package exit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mail"
)

// Config is what an exit's operator decides. A zero Hold, RetryMean, Expiry,
// MaxSpace or MaxKept stands for its default.
type Config struct {
	Dir       string        // state directory, for this exit alone
	From      string        // the address that all mail comes from
	Relay     Relay         // the server that takes the mail
	Hold      time.Duration // mean of the exponential time before the first attempt; 1 h
	RetryMean time.Duration // mean time before the first retry, doubling up to 16-fold; 20 min
	Expiry    uint64        // epochs that a parcel may live; 120
	MaxSpace  int64         // bytes that incomplete parcels may take together; 1 GiB
	MaxKept   int64         // bytes that complete ones, and the records of those that are done, may take; 4 GiB
}

const (
	defaultHold   = time.Hour
	defaultRetry  = 20 * time.Minute
	defaultExpiry = 120
	defaultSpace  = 1 << 30
	defaultKept   = 4 << 30
	minimumSpace  = 2 << 20 // the largest parcel, mail.MaxFragments of 30,000 bytes, and room beside it
)

// Relay is the SMTP server (RFC 5321) that mail is handed to. Its certificate
// must be valid for the host in Address, unless TLS is "none".
type Relay struct {
	Address      string // host:port
	TLS          string // "none", "starttls" (the default) or "tls"
	Hello        string // the name given in EHLO; "localhost"
	Username     string // empty: no login
	PasswordFile string // its first line is the password
}

// Office is an open post office. Its methods are safe for concurrent use.
type Office struct {
	cfg   Config
	from  mail.Address
	now   func() uint64
	log   *slog.Logger
	keys  *keyring
	relay *relay
	*store

	telling sync.Mutex // guards what follows
	counts  Counts
	trouble map[string]trouble // by what the exit tried to do
}

// trouble is what Run has to tell the operator.
type trouble struct {
	times int
	last  error
}

// Counts is what an office has done since it was opened.
type Counts struct {
	Covers, Fragments, Queries uint64 // requests
	Garbage                    uint64 // requests that could not be read, and got no answer
	Conflicting, Late          uint64 // fragments that disagree with their parcel, or came after its expiry
	Unwritten                  uint64 // writes to disk that failed
	Forgotten                  uint64 // incomplete parcels given up for space
	Crowded                    uint64 // last fragments not taken, for the complete parcels have all their space
	Complete, Refused          uint64 // parcels
	Delivered, Failed, Expired uint64 // recipients
	Retries                    uint64 // attempts that another one is to follow
	InDoubt                    uint64 // attempts interrupted between the message's end and its recorded answer
}

func (c *Counts) add(d Counts) {
	c.Covers += d.Covers
	c.Fragments += d.Fragments
	c.Queries += d.Queries
	c.Garbage += d.Garbage
	c.Conflicting += d.Conflicting
	c.Late += d.Late
	c.Unwritten += d.Unwritten
	c.Forgotten += d.Forgotten
	c.Crowded += d.Crowded
	c.Complete += d.Complete
	c.Refused += d.Refused
	c.Delivered += d.Delivered
	c.Failed += d.Failed
	c.Expired += d.Expired
	c.Retries += d.Retries
	c.InDoubt += d.InDoubt
}

// Reasons of a refusal, as the gateway's user reads them.
const (
	reasonFar    = "the mail's expiry is further away than this exit allows"
	reasonKey    = "the mail is sealed to a key that this exit does not have, or not any more"
	reasonBroken = "the mail does not open, or breaks the exit's limits"
	reasonDoubt  = "a copy may have arrived, for a server's answer was lost"
)

// Open opens the office in cfg.Dir, which [InitKeys] prepared, with keys that are
// sealed by s, whose owner keeps it open as long as the office. now returns the
// current epoch. Attempts that were interrupted at their end are counted as in
// doubt, and scheduled again.
func Open(cfg Config, s *seal.Sealer, now func() uint64, log *slog.Logger) (_ *Office, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening the exit: %w", err)
		}
	}()
	setDefault(&cfg.Hold, defaultHold)
	setDefault(&cfg.RetryMean, defaultRetry)
	setDefault(&cfg.Expiry, defaultExpiry)
	setDefault(&cfg.MaxSpace, defaultSpace)
	setDefault(&cfg.MaxKept, defaultKept)
	if cfg.Hold < 0 || cfg.RetryMean < 0 {
		return nil, errors.New("hold and retry_mean cannot be negative")
	}
	if cfg.MaxSpace < minimumSpace {
		return nil, fmt.Errorf("space is %d bytes, and must be at least %d", cfg.MaxSpace, minimumSpace)
	}
	if cfg.MaxKept < minimumSpace {
		return nil, fmt.Errorf("kept_space is %d bytes, and must be at least %d", cfg.MaxKept, minimumSpace)
	}
	from, err := mail.ParseAddress(cfg.From)
	if err != nil {
		return nil, fmt.Errorf("reading its from address: %w", err)
	}
	relay, err := newRelay(cfg.Relay)
	if err != nil {
		return nil, err
	}
	signer, err := LoadKey(cfg.Dir, s)
	if err != nil {
		return nil, err
	}
	store, err := openStore(filepath.Join(cfg.Dir, "office.db"))
	if err != nil {
		return nil, err
	}
	o := &Office{
		cfg: cfg, from: from, now: now, log: log, store: store, relay: relay,
		trouble: map[string]trouble{},
	}
	if err = store.check(); err != nil {
		err = fmt.Errorf("%s: %w: look at the disk's health, and move the file away to start with an empty one; mails that wait in it are then lost, and end as unknown for their writers", store.db.Path(), err)
	}
	if err == nil {
		o.keys, err = openKeyring(cfg.Dir, s, store.db, signer)
	}
	if err == nil {
		err = o.rotate()
	}
	if err == nil {
		err = o.recover()
	}
	if err != nil {
		store.db.Close()
		return nil, err
	}
	return o, nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}

// Close closes the office's state. Run has returned before.
func (o *Office) Close() error {
	if err := o.db.Close(); err != nil {
		return fmt.Errorf("closing the exit: %w", err)
	}
	return nil
}

// SigningKey is the key that the exit's day keys are signed with.
func (o *Office) SigningKey() ed25519.PublicKey {
	return o.keys.signer.Public().(ed25519.PublicKey)
}

// Counts returns the counters as they stand.
func (o *Office) Counts() Counts {
	o.telling.Lock()
	defer o.telling.Unlock()
	return o.counts
}

func (o *Office) count(c Counts) {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.counts.add(c)
}

// note keeps what went wrong for Run to log.
func (o *Office) note(doing string, err error) {
	o.telling.Lock()
	defer o.telling.Unlock()
	o.trouble[doing] = trouble{times: o.trouble[doing].times + 1, last: err}
}

// unwritten counts a failed write to disk.
func (o *Office) unwritten(err error) {
	o.count(Counts{Unwritten: 1})
	o.note("writing to disk", err)
}

// Handle answers one request with a reply of the same length. It returns nil,
// for no answer, if the request is malformed or the disk has failed.
func (o *Office) Handle(request []byte) []byte {
	r, err := mail.ParseRequest(request)
	if err != nil {
		o.count(Counts{Garbage: 1})
		return nil
	}
	reply := &mail.Reply{Parcel: r.Parcel}
	refusal := ""
	switch r.Kind {
	case mail.Cover:
		o.count(Counts{Covers: 1})
	case mail.Query:
		o.count(Counts{Queries: 1})
	case mail.Fragment:
		o.count(Counts{Fragments: 1})
		refusal, err = o.accept(r)
	}
	switch {
	case err != nil:
	case refusal != "":
		reply.State, reply.Reason = mail.StateRefused, refusal
	case r.Kind != mail.Cover:
		err = o.view(func(tx *bolt.Tx) error { return o.describe(tx, reply) })
	}
	if err == nil {
		err = o.view(func(*bolt.Tx) error { return nil }) // cover too gets no answer when the disk has failed
	}
	if err != nil {
		o.note("reading the store", err)
		return nil
	}
	if reply.Keys, err = o.keys.announce(today()); err != nil {
		o.unwritten(err) // today's key, made yesterday, is announced all the same
	}
	answer, err := reply.Marshal(len(request))
	if err != nil { // only in a request too short to be a packet's
		o.count(Counts{Garbage: 1})
		return nil
	}
	return answer
}

// errCrowded is told to the operator.
var errCrowded = errors.New("kept_space is used up by the mails that wait and the records of those that went")

// accept stores a fragment that is wanted, and says why its parcel is refused
// if that shows. When the last fragment comes, accept opens the parcel and
// schedules its delivery in the same transaction. What does not open is forgotten
// and not remembered, for it would not open the next time either. A failed write
// is no error, nor is a lack of space: the reply then shows the fragment as
// missing, and the gateway sends it again later.
func (o *Office) accept(r *mail.Request) (refusal string, err error) {
	var (
		now   = o.now()
		p     parcel
		known bool
	)
	err = o.view(func(tx *bolt.Tx) error {
		p, known = getParcel(tx, r.Parcel)
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case known && !p.matches(r):
		o.count(Counts{Conflicting: 1})
		return "", nil
	case now > r.Expires:
		o.count(Counts{Late: 1})
		return "", nil
	case known && !p.wants(r):
		return "", nil
	case known:
	case r.Expires > now+o.cfg.Expiry+1: // by one: the gateway's clock may be a little ahead
		return reasonFar, nil
	case !o.keys.accepts(r.Key, r.Expires):
		return reasonKey, nil
	}

	var change Counts
	err = o.write(func(w *writer) {
		change = Counts{}
		p, known := getParcel(w.tx, r.Parcel)
		if !known {
			p = newParcel(r)
		} else if !p.matches(r) || !p.wants(r) {
			return
		}
		if p.Have|1<<r.Index != p.all() {
			change.Forgotten = w.addFragment(&p, r, o.cfg.MaxSpace)
			return
		}
		opened, err := o.open(sealed(w.tx, r.Parcel, &p, r))
		switch {
		case err != nil:
			change.Refused = 1
			if known {
				w.forget(r.Parcel)
			}
		case w.complete(&p, r, len(opened.Recipients), o.cfg.MaxKept):
			change.Complete = 1
			at := time.Now().Add(exponential(o.cfg.Hold)).Unix()
			for i := range opened.Recipients {
				w.putRecipient(r.Parcel, i, recipient{Next: at}, nil)
			}
		default:
			change.Crowded = 1
		}
	})
	if err != nil {
		o.unwritten(err)
		return "", nil
	}
	o.count(change)
	if change.Crowded > 0 {
		o.note("taking mail", errCrowded)
	}
	if change.Refused > 0 {
		return reasonBroken, nil
	}
	return "", nil
}

func (o *Office) open(s mail.Sealed) (*mail.Parcel, error) {
	key := o.keys.find(s.Key)
	if key == nil {
		return nil, errors.New("opening a parcel: its key is gone")
	}
	return mail.OpenParcel(s, key.private)
}

// describe fills in a reply with what the store says of its parcel.
func (o *Office) describe(tx *bolt.Tx, reply *mail.Reply) error {
	p, known := getParcel(tx, reply.Parcel)
	switch {
	case !known:
		reply.State = mail.StateUnknown
	case p.Phase == incomplete:
		reply.State, reply.Missing = mail.StateIncomplete, p.all()&^p.Have
	case p.Phase == complete:
		reply.State = mail.StateComplete
	default:
		reply.State = mail.StateDone
	}
	over, waiting := o.now() > p.Expires, 0
	for i := range int(p.Recipients) {
		r, reason, ok := getRecipient(tx, reply.Parcel, i)
		if !ok {
			return errors.New("a recipient's record is missing")
		}
		if r.Outcome == mail.Waiting && !r.Begun && over {
			r.Outcome = mail.Expired // begin refuses it; sweep has yet to write that
		}
		if r.Outcome == mail.Waiting {
			waiting++
		}
		result := mail.Result{Outcome: r.Outcome}
		if r.Outcome == mail.Failed || r.Outcome == mail.Expired {
			result.Reason = o.keys.openReason(p.Key, reply.Parcel, i, reason)
			switch {
			case r.Doubt && result.Reason != "":
				result.Reason = mail.CleanReason(reasonDoubt + "; " + result.Reason)
			case r.Doubt:
				result.Reason = reasonDoubt
			}
		}
		reply.Results = append(reply.Results, result)
	}
	if p.Phase == complete && waiting == 0 {
		reply.State = mail.StateDone
	}
	return nil
}

// today is the day of the wall clock, in days since 1970-01-01 UTC.
func today() uint32 { return uint32(time.Now().Unix() / (24 * 60 * 60)) }
