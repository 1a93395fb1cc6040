package exit

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mail"
)

// size is the length of the tests' requests: room for a reply with two keys, and
// small enough that a parcel of many fragments is quick.
const size = 4000

const epochLength = time.Hour

// epoch is the clock of the tests' network.
func epoch() uint64 { return uint64(time.Now().Unix() / int64(epochLength/time.Second)) }

func epochStart(n uint64) time.Time { return time.Unix(int64(n)*int64(epochLength/time.Second), 0) }

// desk is an office in a bubble of virtual time, with a mail server beside it.
type desk struct {
	*Office
	t      *testing.T
	cfg    Config
	server *server
	log    *logBook
	reader *bolt.Tx // held while the disk is full
}

// atDesk runs test in a bubble. change may be nil.
func atDesk(t *testing.T, change func(*Config), test func(d *desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{Dir: t.TempDir(), From: "anonymous@exit.example", Relay: Relay{Address: "relay.example:25", TLS: "none"}}
		if change != nil {
			change(&cfg)
		}
		if _, err := InitKeys(cfg.Dir, plain(t, cfg.Dir)); err != nil {
			t.Fatal(err)
		}
		d := &desk{t: t, cfg: cfg, log: new(logBook), server: newServer()}
		defer d.server.close()
		d.open()
		defer func() { d.Close() }()
		test(d)
	})
}

// plain opens a state directory whose keys are not sealed.
func plain(t *testing.T, dir string) *seal.Sealer {
	t.Helper()
	s, err := seal.Open(seal.Plain, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func (d *desk) open() {
	d.t.Helper()
	o, err := Open(d.cfg, plain(d.t, d.cfg.Dir), epoch, slog.New(slog.NewTextHandler(d.log, nil)))
	if err != nil {
		d.t.Fatal(err)
	}
	o.relay.dial = d.server.dial
	d.Office = o
}

// restart closes the office and opens it again.
func (d *desk) restart() {
	d.t.Helper()
	if err := d.Close(); err != nil {
		d.t.Fatal(err)
	}
	d.open()
}

// crash goes on with a copy of the state as it is on disk at this moment.
func (d *desk) crash() {
	d.t.Helper()
	d.cfg.Dir = d.copy()
	d.Close() // what this may write goes to the old directory
	d.open()
}

// copy copies the state directory between two transactions.
func (d *desk) copy() string {
	dir := d.t.TempDir()
	tx, err := d.db.Begin(true)
	if err != nil {
		d.t.Error(err)
		return dir
	}
	defer tx.Rollback()
	if err := os.CopyFS(dir, os.DirFS(d.cfg.Dir)); err != nil {
		d.t.Error(err)
	}
	return dir
}

// run runs the office until the function it returns is called.
func (d *desk) run() (stop func()) {
	ctx, cancel := context.WithCancel(d.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Office.Run(ctx) }()
	return func() {
		d.t.Helper()
		cancel()
		if err := <-ended; err != nil {
			d.t.Error("Run:", err)
		}
	}
}

// runFor runs the office for a while.
func (d *desk) runFor(while time.Duration) {
	d.t.Helper()
	stop := d.run()
	time.Sleep(while)
	synctest.Wait()
	stop()
}

// handle sends a request, and checks what holds for every reply.
func (d *desk) handle(r *mail.Request) *mail.Reply {
	d.t.Helper()
	b, err := r.Marshal(size)
	if err != nil {
		d.t.Fatal(err)
	}
	answer := d.Handle(b)
	if len(answer) != size {
		d.t.Fatalf("an answer of %d bytes, want %d", len(answer), size)
	}
	reply, err := mail.ParseReply(answer)
	if err != nil {
		d.t.Fatal(err)
	}
	if reply.Parcel != r.Parcel || len(reply.Keys) != 2 || reply.Keys[0].Day != today() || reply.Keys[1].Day != today()+1 {
		d.t.Fatalf("a reply about %x with %d keys", reply.Parcel, len(reply.Keys))
	}
	for _, k := range reply.Keys {
		if !k.Verify(d.SigningKey()) {
			d.t.Fatal("a key is not signed by the exit")
		}
	}
	return reply
}

// cover returns today's key.
func (d *desk) todaysKey() mail.DayKey {
	d.t.Helper()
	return d.handle(&mail.Request{Kind: mail.Cover}).Keys[0].DayKey
}

// parcel makes a mail to the recipients whose body has about length bytes.
func (d *desk) parcel(length int, to ...mail.Address) *mail.Parcel {
	p := &mail.Parcel{Expires: epoch() + d.Office.cfg.Expiry, Recipients: to, Date: today()}
	fill(p.MessageID[:])
	p.Subject = fmt.Sprintf("Subject %x", p.MessageID[:4])
	var text bytes.Buffer
	for text.Len() < length {
		fmt.Fprintf(&text, "line %d\n", text.Len())
	}
	p.Body = text.String()
	return p
}

func fill(b []byte) {
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
}

// seal seals p to today's key.
func (d *desk) seal(p *mail.Parcel) mail.Sealed {
	d.t.Helper()
	s, err := mail.SealParcel(p, d.todaysKey(), size)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

// post sends all fragments of a parcel.
func (d *desk) post(s mail.Sealed) *mail.Reply {
	d.t.Helper()
	var reply *mail.Reply
	for i := range s.Fragments(size) {
		reply = d.handle(s.Request(i, size))
	}
	return reply
}

func (d *desk) ask(s mail.Sealed) *mail.Reply {
	d.t.Helper()
	return d.handle(mail.NewQuery(s.ID, s.Expires))
}

// wantState checks a reply's state and what belongs to it.
func (d *desk) wantState(r *mail.Reply, state mail.State, results ...mail.Result) {
	d.t.Helper()
	if r.State != state || !slices.Equal(r.Results, results) {
		d.t.Fatalf("state %d with results %q, want %d with %q", r.State, r.Results, state, results)
	}
}

// held counts the entries of a bucket of the store.
func (d *desk) held(bucket []byte) (n int) {
	d.t.Helper()
	err := d.db.View(func(tx *bolt.Tx) error {
		n = tx.Bucket(bucket).Stats().KeyN
		return nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// fillDisk lets the store's file grow no more, and uses up what is free in it.
func (d *desk) fillDisk() {
	reader, err := d.db.Begin(false) // keeps later transactions from freeing anything
	if err != nil {
		d.t.Error(err)
		return
	}
	d.reader = reader
	for length := 1 << 16; length > 0; {
		err := d.db.Update(func(tx *bolt.Tx) error {
			d.db.MaxSize = 1
			b, err := tx.CreateBucketIfNotExists([]byte("ballast"))
			if err != nil {
				return err
			}
			n, _ := b.NextSequence()
			return b.Put(number(n), make([]byte, length))
		})
		if err != nil {
			length /= 4
		}
	}
	if err := d.db.Update(func(tx *bolt.Tx) error { return nil }); err == nil {
		d.t.Error("the disk is not full")
	}
}

// freeDisk undoes fillDisk.
func (d *desk) freeDisk() {
	d.t.Helper()
	if err := d.reader.Rollback(); err != nil {
		d.t.Fatal(err)
	}
	tx, err := d.db.Begin(true)
	if err != nil {
		d.t.Fatal(err)
	}
	d.db.MaxSize = 0
	if err := tx.Rollback(); err != nil {
		d.t.Fatal(err)
	}
}

// letter is what the mail server accepted.
type letter struct {
	from, to string
	text     string
	at       time.Time
}

// server is an SMTP server reached through pipes.
type server struct {
	*smtp.Server
	conns chan net.Conn // closed by close
	ended chan error

	mu       sync.Mutex
	letters  []letter
	sessions int

	// What it answers; nil accepts. They may be replaced under mu.
	onDial func() error
	onMail func(from string) error
	onRcpt func(to string) error
	onData func(c *smtp.Conn, to, text string) error
	until  int // the last session that they answer; 0 for all
}

func newServer() *server {
	s := &server{conns: make(chan net.Conn), ended: make(chan error, 1)}
	s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &visit{server: s, conn: c}, nil
	}))
	s.ErrorLog = silent{}
	go func() { s.ended <- s.Serve(pipes{s.conns}) }()
	return s
}

func (s *server) close() {
	s.Server.Close()
	close(s.conns)
	<-s.ended
}

// visits is how many connections were made to it.
func (s *server) visits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	s.sessions++
	if s.until > 0 && s.sessions > s.until {
		s.onDial, s.onMail, s.onRcpt, s.onData = nil, nil, nil, nil
	}
	onDial := s.onDial
	s.mu.Unlock()
	if onDial != nil {
		if err := onDial(); err != nil {
			return nil, err
		}
	}
	near, far := net.Pipe()
	select {
	case s.conns <- far:
		return near, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) received() []letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.letters)
}

// visit is one SMTP session.
type visit struct {
	server   *server
	conn     *smtp.Conn
	from, to string
}

func (v *visit) Mail(from string, _ *smtp.MailOptions) error {
	v.server.mu.Lock()
	onMail := v.server.onMail
	v.server.mu.Unlock()
	v.from = from
	if onMail != nil {
		return onMail(from)
	}
	return nil
}

func (v *visit) Rcpt(to string, _ *smtp.RcptOptions) error {
	v.server.mu.Lock()
	onRcpt := v.server.onRcpt
	v.server.mu.Unlock()
	v.to = to
	if onRcpt != nil {
		return onRcpt(to)
	}
	return nil
}

func (v *visit) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	v.server.mu.Lock()
	onData := v.server.onData
	v.server.mu.Unlock()
	if onData != nil {
		if err := onData(v.conn, v.to, string(text)); err != nil {
			return err
		}
	}
	v.server.set(func(s *server) {
		s.letters = append(s.letters, letter{from: v.from, to: v.to, text: string(text), at: time.Now()})
	})
	return nil
}

func (v *visit) Reset()        {}
func (v *visit) Logout() error { return nil }

// pipes is a net.Listener of the connections it is given.
type pipes struct{ conns chan net.Conn }

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (pipes) Close() error   { return nil }
func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

type silent struct{}

func (silent) Printf(string, ...any) {}
func (silent) Println(...any)        {}

// wantLetters checks that the server has each recipient's message exactly once.
func (d *desk) wantLetters(from mail.Address, parcels ...*mail.Parcel) {
	d.t.Helper()
	want := map[string]int{}
	for _, p := range parcels {
		for i, to := range p.Recipients {
			want[string(from)+" "+string(to)+" "+string(p.Render(from, i))]++
		}
	}
	got := map[string]int{}
	for _, l := range d.server.received() {
		got[l.from+" "+l.to+" "+l.text]++
	}
	if !maps.Equal(got, want) {
		d.t.Fatalf("the server has %d different messages, want %d", len(got), len(want))
	}
}

func keyFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "day-*.key"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// logBook is a log that can be read while it is written.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBook) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
