package gateway

import (
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"errors"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway/queue"
	"codeberg.org/sourdine/sourdine/gateway/sender"
	"codeberg.org/sourdine/sourdine/gateway/submission"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// outbox stands in for a sender.
type outbox struct {
	private hpke.PrivateKey // of the exit
	by      sender.Sealing
	noKey   bool
	ahead   time.Duration // of this machine's clock
	added   []sender.Parcel
	removed []mail.ParcelID
	mu      sync.Mutex
}

func (o *outbox) Add(_ context.Context, p sender.Parcel) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.added = append(o.added, p)
	return nil
}

func (o *outbox) Remove(_ context.Context, id mail.ParcelID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.removed = append(o.removed, id)
}

func (o *outbox) Sealing() (sender.Sealing, error) {
	if o.noKey {
		return sender.Sealing{}, sender.ErrNoKey
	}
	by := o.by
	by.Now = o.Now()
	return by, nil
}

func (o *outbox) Exit() (sphinx.NodeID, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by.Exit, o.by.Exit != sphinx.NodeID{}
}

func (o *outbox) setExit(id sphinx.NodeID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.by.Exit = id
}

func (o *outbox) ExitExpiry() uint64    { return o.by.Info.Expiry }
func (o *outbox) Now() time.Time        { return time.Now().Add(o.ahead) }
func (o *outbox) Status() sender.Status { return sender.Status{CanAccept: !o.noKey, Entry: "e"} }

// newOutbox has a sender that knows its exit and its key.
func newOutbox(t *testing.T) *outbox {
	t.Helper()
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return &outbox{private: private, by: sender.Sealing{
		Key:  mail.NewDayKey(uint32(time.Now().Unix()/86400), private.PublicKey().Bytes()),
		Exit: sphinx.NodeID{1}, Info: directory.ExitInfo{Expiry: 120, Hold: time.Hour},
	}}
}

// newGateway makes a gateway without its sender and its door.
func newGateway(t *testing.T) (*Gateway, *keyring.Key) {
	t.Helper()
	dir := t.TempDir()
	ring, err := keyring.CreateWithCost(filepath.Join(dir, keysName), "me", []byte("secret"), keyring.Cost{Memory: 8, Passes: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Unlock([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := queue.Open(dir, queue.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return &Gateway{
		cfg: &Config{Expiry: 120, dir: dir}, ring: ring, queue: q, size: 30_000, sender: newOutbox(t), exitChanged: make(chan struct{}, 1),
		network: &directory.Network{Parameters: directory.DefaultParameters()},
		log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	}, key
}

// What a sequence of answers makes of a mail with two fragments and two
// recipients.
func TestAnswered(t *testing.T) {
	done := func(a, b mail.Outcome, reason string) mail.Reply {
		return mail.Reply{State: mail.StateDone, Results: []mail.Result{{Outcome: a}, {Outcome: b, Reason: reason}}}
	}
	first := mail.Reply{State: mail.StateIncomplete, Missing: 2}
	second := mail.Reply{State: mail.StateIncomplete, Missing: 1}
	unknown := mail.Reply{State: mail.StateUnknown}
	complete := mail.Reply{State: mail.StateComplete}
	for _, c := range []struct {
		name    string
		answers []mail.Reply
		asked   time.Duration // after the end of the mail's life; 0: long before
		arrived time.Duration // likewise
		want    string
		stored  int
	}{
		{"nothing yet", nil, 0, 0, stateQueued, 0},
		{"one piece", []mail.Reply{first}, 0, 0, stateSending, 1},
		{"what the newest answer says counts", []mail.Reply{first, second}, 0, 0, stateSending, 1},
		{"forgotten", []mail.Reply{first, unknown}, 0, 0, stateQueued, 0},
		{"complete", []mail.Reply{first, complete}, 0, 0, stateAtExit, 2},
		{"an older answer comes late", []mail.Reply{complete, first, unknown}, 0, 0, stateAtExit, 2},
		{"delivered", []mail.Reply{complete, done(mail.Delivered, mail.Delivered, "")}, 0, 0, stateDelivered, 2},
		{"nothing undoes it", []mail.Reply{done(mail.Delivered, mail.Delivered, ""), unknown, complete}, 0, 0, stateDelivered, 2},
		{"one failed", []mail.Reply{done(mail.Delivered, mail.Failed, "550 no such user")}, 0, 0, stateFailed, 2},
		{"one expired", []mail.Reply{done(mail.Delivered, mail.Expired, "")}, 0, 0, stateExpired, 2},
		{"refused", []mail.Reply{first, {State: mail.StateRefused, Reason: "no"}}, 0, 0, stateFailed, 1},
		{"never got there whole", []mail.Reply{first}, time.Hour, time.Hour, stateExpired, 0},
		{"not there at all", []mail.Reply{unknown}, time.Hour, time.Hour, stateExpired, 0},
		{"answered late, asked in time", []mail.Reply{first}, -time.Minute, time.Hour, stateSending, 1},
		{"perhaps in time by the exit's clock", []mail.Reply{first}, time.Minute, time.Hour, stateSending, 1},
		{"perhaps forgotten", []mail.Reply{unknown}, time.Hour, 30 * time.Hour, stateQueued, 0},
		{"refused, asked late", []mail.Reply{{State: mail.StateRefused, Reason: "no"}}, time.Hour, time.Hour, stateFailed, 0},
		{"expired at the exit", []mail.Reply{complete, done(mail.Expired, mail.Expired, "")}, time.Hour, time.Hour, stateExpired, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, key := newGateway(t)
			m := queue.Mail{ID: mail.ParcelID{1}, Fragments: 2, Waiting: 2, Expires: g.network.Epoch(time.Now()) + 5, State: mail.StateUnknown, Card: []byte("x"), Tag: [32]byte{1}}
			if _, _, err := g.queue.Put(m, make([]byte, 2*mail.FragmentCapacity(g.size))); err != nil {
				t.Fatal(err)
			}
			asked := time.Now()
			if c.asked != 0 {
				end := directory.EpochStart(m.Expires+1, g.network.Parameters.Epoch)
				asked = end.Add(c.asked)
				g.sender.(*outbox).ahead = time.Until(end.Add(c.arrived))
			}
			for _, r := range c.answers {
				r.Parcel = m.ID
				if _, err := g.Answered(&r, asked); err != nil {
					t.Fatal(err)
				}
			}
			list, err := g.entries()
			if err != nil || len(list) != 1 {
				t.Fatal(list, err)
			}
			if list[0].State != c.want || list[0].Stored != c.stored {
				t.Errorf("state %q, %d pieces stored; want %q, %d", list[0].State, list[0].Stored, c.want, c.stored)
			}
			if c.name == "one failed" {
				list[0].Card, _ = g.ring.Seal(cardLabel, []byte(`{"to":["a@b.example"],"subject":"s"}`))
				if err := list[0].Unseal(key); err != nil {
					t.Fatal(err)
				}
				if list[0].Reasons[1] != "550 no such user" || list[0].To[0] != "a@b.example" || list[0].Subject != "s" {
					t.Errorf("unsealed: %+v", list[0])
				}
			}
		})
	}
}

// A mail that the exit has is asked for again after a restart, even if each of
// its moments has passed.
func TestLastMomentIsKept(t *testing.T) {
	g, _ := newGateway(t)
	now := time.Now().Round(time.Second)
	moments := []time.Time{now.Add(-2 * time.Hour), now.Add(-time.Hour), now.Add(-time.Minute)}
	m := queue.Mail{ID: mail.ParcelID{1}, Fragments: 1, Waiting: 1, Expires: g.network.Epoch(now), Queries: moments, State: mail.StateUnknown, Card: []byte("x"), Tag: [32]byte{1}}
	if _, _, err := g.queue.Put(m, make([]byte, mail.FragmentCapacity(g.size))); err != nil {
		t.Fatal(err)
	}
	if ended, err := g.Answered(&mail.Reply{Parcel: m.ID, State: mail.StateComplete}, now); err != nil || ended {
		t.Fatal(ended, err)
	}
	kept, err := g.queue.Get(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	if q := toSend(&kept).Queries; len(q) != 1 || !q[0].Equal(moments[2]) {
		t.Errorf("%v is still to be asked at, want only %v", q, moments[2])
	}
}

// A mail whose exit vanished ends, unknown, and only then.
func TestGiveUp(t *testing.T) {
	g, _ := newGateway(t)
	for i, expires := range []uint64{10, 20} {
		m := queue.Mail{ID: mail.ParcelID{byte(i + 1)}, Fragments: 1, Waiting: 1, Expires: expires, State: mail.StateUnknown, Card: []byte("x"), Tag: [32]byte{byte(i + 1)}}
		if _, _, err := g.queue.Put(m, make([]byte, mail.FragmentCapacity(g.size))); err != nil {
			t.Fatal(err)
		}
		if err := g.queue.Update(m.ID, func(m *queue.Mail) { m.State = mail.StateComplete }); err != nil {
			t.Fatal(err)
		}
	}
	ended := g.giveUp(func(m *queue.Mail) bool { return m.Expires < 15 })
	if len(ended) != 1 || ended[0] != (mail.ParcelID{1}) {
		t.Fatalf("ended %v", ended)
	}
	list, err := g.entries()
	if err != nil {
		t.Fatal(err)
	}
	if list[0].State != stateUnknown || list[1].State != stateAtExit {
		t.Errorf("states %q and %q", list[0].State, list[1].State)
	}
}

// put stores a mail that is sealed to this exit.
func put(t *testing.T, g *Gateway, id byte, exit sphinx.NodeID) queue.Mail {
	t.Helper()
	m := queue.Mail{
		ID: mail.ParcelID{id}, Exit: exit, Fragments: 1, Waiting: 1, Expires: g.network.Epoch(time.Now()) + 5,
		State: mail.StateUnknown, Card: []byte("x"), Tag: [32]byte{id},
	}
	if _, _, err := g.queue.Put(m, make([]byte, mail.FragmentCapacity(g.size))); err != nil {
		t.Fatal(err)
	}
	return m
}

// states returns the states of the mails by the first byte of their ids.
func states(t *testing.T, g *Gateway) map[string]string {
	t.Helper()
	list, err := g.entries()
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, e := range list {
		states[e.ID[:2]] = e.State
	}
	return states
}

// No mail goes to another exit than its own, whenever the gateway was killed and
// whatever it was not told: it ends, unknown, at the latest with the next epoch.
func TestExitChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)))
		g, _ := newGateway(t)
		out := g.sender.(*outbox)
		old, first, second := sphinx.NodeID{9}, sphinx.NodeID{1}, sphinx.NodeID{2}
		out.setExit(sphinx.NodeID{}) // none is chosen yet: the file of guards was removed
		put(t, g, 1, old)
		put(t, g, 2, first)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- g.tend(ctx) }()
		expect := func(when string, want map[string]string) {
			t.Helper()
			synctest.Wait()
			if got := states(t, g); !maps.Equal(got, want) {
				t.Errorf("%s: %v, want %v", when, got, want)
			}
		}
		expect("no exit yet", map[string]string{"01": stateQueued, "02": stateQueued})
		out.setExit(first)
		g.ExitChanged()
		expect("exit chosen", map[string]string{"01": stateUnknown, "02": stateQueued})
		if len(out.added) != 1 || out.added[0].ID != (mixing.ID{2}) || out.added[0].Exit != first {
			t.Errorf("added %v, want the second mail alone", out.added)
		}
		put(t, g, 3, first) // its submission began before the change
		out.setExit(second) // and nobody tells
		put(t, g, 4, second)
		time.Sleep(g.network.Parameters.Epoch)
		expect("an epoch later", map[string]string{"01": stateUnknown, "02": stateUnknown, "03": stateUnknown, "04": stateQueued})
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// The state is asked for five times: never before the mail can have arrived, and
// the last time after its expiry, while the exit still tells.
func TestMoments(t *testing.T) {
	g, _ := newGateway(t)
	now := time.Now()
	expires := g.network.Epoch(now) + 120
	for range 100 {
		list := g.moments(now, expires, 120, 1, time.Hour)
		end := directory.EpochStart(expires+1, time.Hour)
		if len(list) != questions || list[0].Before(now.Add(30*time.Minute)) {
			t.Fatalf("moments %v from %v", list, now)
		}
		if last := list[questions-1]; last.Before(end.Add(30*time.Minute)) || last.After(end.Add(30*time.Hour)) {
			t.Fatalf("the last question is asked at %v, the mail expires at %v", last, end)
		}
	}
}

// A mail whose copy cannot be read ends, and its user can see why; nothing else ends
// by it.
func TestDamagedCopy(t *testing.T) {
	g, key := newGateway(t)
	card, err := g.ring.Seal(cardLabel, []byte(`{"to":["a@b.example"],"subject":"s"}`))
	if err != nil {
		t.Fatal(err)
	}
	m := queue.Mail{ID: mail.ParcelID{1}, Fragments: 2, Waiting: 1, Expires: 1 << 40, State: mail.StateUnknown, Card: card, Tag: [32]byte{1}}
	if _, _, err := g.queue.Put(m, make([]byte, mail.FragmentCapacity(g.size))); err != nil { // half of it
		t.Fatal(err)
	}
	put(t, g, 2, sphinx.NodeID{1})
	if _, err := g.Request(m.ID, 1); err == nil {
		t.Error("what is not there was read")
	}
	if _, err := g.Request(mail.ParcelID{3}, 0); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("a mail that is not there: %v", err)
	}
	if _, err := g.Request(mail.ParcelID{2}, 0); err != nil {
		t.Error(err)
	}
	if got := states(t, g); got["01"] != stateUnknown || got["02"] != stateQueued {
		t.Errorf("states %v", got)
	}
	list, err := g.entries()
	if err != nil {
		t.Fatal(err)
	}
	if err := list[0].Unseal(key); err != nil || len(list[0].Reasons) != 1 || !strings.Contains(list[0].Reasons[0], "damaged") {
		t.Errorf("unsealed: %+v (%v)", list[0], err)
	}
}

// letter is a submission with this Message-ID.
func letter(key *keyring.Key, id string) *submission.Letter {
	return &submission.Letter{
		Key: key, Persona: submission.Persona{Login: "me", Name: "Ann"}, MessageID: id, Recipients: []mail.Address{"a@x.example", "b@y.example"},
		Message: &mail.Message{Subject: "s", Body: "x\n"}, Digest: sha256.Sum256([]byte(id)),
	}
}

// A mail that is handed in again is not sent twice, and is not answered 250 when the
// first did not arrive.
func TestRepeatedSubmission(t *testing.T) {
	ended := func(delivered, failed, expired int, unknown bool) func(m *queue.Mail) {
		return func(m *queue.Mail) {
			m.Final, m.Unknown, m.Delivered, m.Failed, m.Expired = true, unknown, delivered, failed, expired
			m.Waiting -= delivered + failed + expired
		}
	}
	for _, c := range []struct {
		name   string
		id     string // Message-ID
		change func(*queue.Mail)
		want   string // in the answer; "": 250
		mails  int    // then in the queue
	}{
		{"while it waits", "<1@x>", func(*queue.Mail) {}, "", 1},
		{"at the exit", "<1@x>", func(m *queue.Mail) { m.State = mail.StateComplete }, "", 1},
		{"delivered", "<1@x>", ended(2, 0, 0, false), "", 1},
		{"failed", "<1@x>", ended(0, 2, 0, false), "handed in before and did not arrive: `sourdine queue` says why", 1},
		{"failed in part", "<1@x>", ended(1, 1, 0, false), "did not reach all", 1},
		{"expired", "<1@x>", ended(0, 0, 2, false), "did not arrive", 1},
		{"unknown", "<1@x>", ended(0, 0, 0, true), "may not have arrived", 1},
		{"no Message-ID, while it waits", "", func(*queue.Mail) {}, "", 1},
		{"no Message-ID, delivered", "", ended(2, 0, 0, false), "", 2},
		{"no Message-ID, failed", "", ended(0, 2, 0, false), "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, key := newGateway(t)
			if err := g.accept(t.Context(), letter(key, c.id)); err != nil {
				t.Fatal(err)
			}
			first := g.sender.(*outbox).added[0]
			if first.Exit != (sphinx.NodeID{1}) {
				t.Errorf("the mail is for the exit %x", first.Exit)
			}
			if err := g.queue.Update(mail.ParcelID(first.ID), c.change); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second repetition is like the first
				err := g.accept(t.Context(), letter(key, c.id))
				refusal, refused := errors.AsType[*submission.Permanent](err)
				if c.want == "" && err != nil || c.want != "" && (!refused || !strings.Contains(refusal.Text, c.want)) {
					t.Errorf("answered %v, want %q", err, c.want)
				}
			}
			if list, err := g.queue.All(); err != nil || len(list) != c.mails {
				t.Errorf("%d mails in the queue (%v), want %d", len(list), err, c.mails)
			}
		})
	}
}

// Each recipient's outcome is told, whatever the exit said of them.
func TestRecipients(t *testing.T) {
	waiting, delivered := mail.Result{}, mail.Result{Outcome: mail.Delivered}
	failed := mail.Result{Outcome: mail.Failed, Reason: "550 no"}
	for _, c := range []struct {
		name    string
		state   string
		results []mail.Result
		a, b    string // outcome and reason
	}{
		{"nothing known", stateQueued, nil, "waiting ", "waiting "},
		{"under way", stateAtExit, []mail.Result{delivered, waiting}, "delivered ", "waiting "},
		{"one failed", stateFailed, []mail.Result{delivered, failed}, "delivered ", "failed 550 no"},
		{"refused", stateFailed, []mail.Result{{Outcome: mail.Failed, Reason: "no key"}}, "failed no key", "failed no key"},
		{"never got there whole", stateExpired, nil, "expired ", "expired "},
		{"exit gone", stateUnknown, []mail.Result{delivered, waiting}, "delivered ", "unknown "},
		{"damaged", stateUnknown, []mail.Result{{Reason: "damaged"}}, "unknown damaged", "unknown damaged"},
	} {
		g, key := newGateway(t)
		e := Entry{State: c.state}
		var err error
		if e.Card, err = g.ring.Seal(cardLabel, []byte(`{"to":["a@x.example","b@x.example"],"subject":"s"}`)); err != nil {
			t.Fatal(err)
		}
		if c.results != nil {
			e.Results = g.sealResults(c.results)
		}
		if err := e.Unseal(key); err != nil {
			t.Fatal(err)
		}
		r := e.Recipients
		if len(r) != 2 || r[0].Address != "a@x.example" || r[1].Address != "b@x.example" || r[0].Outcome+" "+r[0].Reason != c.a || r[1].Outcome+" "+r[1].Reason != c.b {
			t.Errorf("%s: %+v", c.name, r)
		}
		if len(e.Reasons) != len(c.results) {
			t.Errorf("%s: reasons %q", c.name, e.Reasons)
		}
	}
}

// Where the queue fails, the status still says what the sender does, and the client
// is told why it gets no list.
func TestControlWithoutQueue(t *testing.T) {
	g, _ := newGateway(t)
	c := g.cfg
	c.dir = t.TempDir()
	client := Connect(c)
	if _, err := client.Status(); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no gateway: %v", err)
	}
	serve, err := g.listenControl()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- serve(ctx) }()
	if st, err := client.Status(); err != nil || !st.CanAccept || len(st.Warnings) != 0 {
		t.Errorf("status %+v (%v)", st, err)
	}
	if err := g.queue.Close(); err != nil {
		t.Fatal(err)
	}
	st, err := client.Status()
	if err != nil || st.Entry != "e" || len(st.Warnings) != 1 || !strings.Contains(st.Warnings[0], "reading the queue") {
		t.Errorf("status %+v (%v)", st, err)
	}
	if _, err := client.Queue(); err == nil || !strings.Contains(err.Error(), "reading the queue") {
		t.Errorf("queue: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
