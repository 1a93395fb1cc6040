package exit

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/mail"
)

const day = 24 * time.Hour

func TestInitKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	s := plain(t, t.TempDir())
	if _, err := InitKeys(dir, s); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, signingFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	before, _ := os.ReadFile(filepath.Join(dir, signingFile))
	if _, err := InitKeys(dir, s); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("a second time: %v", err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, signingFile)); !bytes.Equal(before, after) {
		t.Error("the key was replaced")
	}
}

// TestDayKeys lives through two weeks. The life of a key is its day, a parcel's
// expiry (120 epochs), and twice the memory beyond (30 epochs): 8.5 days.
func TestDayKeys(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		stop := d.run()
		first := d.todaysKey()
		secret, err := os.ReadFile(keyFile(d.cfg.Dir, first.Day))
		if err != nil || len(secret) != 32 {
			t.Fatalf("%d bytes, %v", len(secret), err)
		}
		open, err := os.Open(keyFile(d.cfg.Dir, first.Day))
		if err != nil {
			t.Fatal(err)
		}
		defer open.Close()
		tomorrow := d.handle(&mail.Request{Kind: mail.Cover}).Keys[1].DayKey
		seen := map[mail.KeyID]bool{}
		for i := range 14 {
			key := d.todaysKey()
			if seen[key.ID] {
				t.Error("a key serves two days")
			}
			seen[key.ID] = true
			if i == 1 && key.ID != tomorrow.ID {
				t.Error("today's key is not the one announced yesterday")
			}
			// At noon the keys of today, tomorrow, and up to eight days back.
			time.Sleep(day / 2)
			if n, want := len(keyFiles(t, d.cfg.Dir)), min(i, 8)+2; n != want {
				t.Errorf("day %d: %d keys, want %d", i, n, want)
			}
			if i == 6 {
				stop()
				d.restart()
				stop = d.run()
			}
			time.Sleep(day / 2)
		}
		synctest.Wait() // for what is due at this midnight
		stop()
		if d.keys.find(first.ID) != nil {
			t.Error("the first key is still there")
		}
		left := make([]byte, 64)
		n, err := open.ReadAt(left, 0)
		if n != 32 || !bytes.Equal(left[:n], make([]byte, 32)) {
			t.Errorf("the removed file still holds %d bytes, %v", n, err)
		}
		s, err := mail.SealParcel(d.parcel(100, ana), first, size)
		if err != nil {
			t.Fatal(err)
		}
		if r := d.post(s); r.State != mail.StateRefused || r.Reason != reasonKey {
			t.Errorf("state %d, reason %q for a parcel to a key that is gone", r.State, r.Reason)
		}
		if d.held(days) != 8 {
			t.Errorf("%d retired keys noted, want 8", d.held(days))
		}
	})
}

// TestOldKeyDelivers seals a parcel at the end of a day and finishes it at the end
// of its life, with the day's key.
func TestOldKeyDelivers(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return temporary } })
		time.Sleep(day - time.Minute)
		p := d.parcel(10_000, ana)
		s := d.seal(p)
		stop := d.run()
		d.handle(s.Request(0, size))
		time.Sleep(4 * day)
		d.wantState(d.post(s), mail.StateComplete, mail.Result{})
		time.Sleep(20 * time.Hour)
		d.server.set(func(s *server) { s.onRcpt = nil })
		for epoch() <= s.Expires {
			time.Sleep(time.Minute)
		}
		time.Sleep(2 * lookInterval)
		// Whether it was still delivered is a matter of the retries' times.
		r := d.ask(s)
		if n := len(d.server.received()); r.State != mail.StateDone || (n == 1) != (r.Results[0].Outcome == mail.Delivered) {
			t.Errorf("state %d, results %q, %d messages", r.State, r.Results, n)
		}
		for epoch() <= s.Expires+30 {
			if again := d.ask(s); again.Results[0] != r.Results[0] {
				t.Fatalf("the result became %q", again.Results)
			}
			time.Sleep(epochLength)
		}
		stop()
	})
}

// TestKeyIsNotProlonged sends a parcel to an old key whose expiry would keep the
// key beyond its time.
func TestKeyIsNotProlonged(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		old := d.todaysKey()
		stop := d.run()
		defer func() { stop() }()
		time.Sleep(4 * day)
		for _, test := range []struct {
			expires uint64 // epochs after the end of the key's day
			state   mail.State
		}{{151, mail.StateRefused}, {150, mail.StateComplete}} {
			p := d.parcel(100, ana)
			p.Expires = epoch() - 4*24 + 24 + test.expires
			s, err := mail.SealParcel(p, old, size)
			if err != nil {
				t.Fatal(err)
			}
			if r := d.post(s); r.State != test.state {
				t.Errorf("%d epochs after the key's day: state %d, want %d", test.expires, r.State, test.state)
			}
		}
	})
}

// TestNeededKeyStays has a parcel accepted for longer than the key's usual life,
// under a configuration that has changed since.
func TestNeededKeyStays(t *testing.T) {
	atDesk(t, func(c *Config) { c.Expiry = 480 }, func(d *desk) {
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return temporary } })
		p := d.parcel(100, ana)
		s := d.seal(p)
		d.post(s)
		d.cfg.Expiry = 24
		d.restart()
		stop := d.run()
		time.Sleep(15 * day)
		d.wantState(d.ask(s), mail.StateComplete, mail.Result{})
		d.server.set(func(s *server) { s.onRcpt = nil })
		time.Sleep(4 * day)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
		d.wantLetters(d.from, p)
		time.Sleep(2 * day)
		stop()
		if d.keys.find(s.Key) != nil {
			t.Error("the key stays though its parcel is forgotten")
		}
	})
}

// TestInterruptedKeyIsErased leaves the file that a crash can leave of a key in
// the making.
func TestInterruptedKeyIsErased(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		path := filepath.Join(d.cfg.Dir, ".day-20000.key.123")
		if err := os.WriteFile(path, make([]byte, 32), 0o600); err != nil {
			t.Fatal(err)
		}
		d.restart()
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file is still there: %v", err)
		}
	})
}

// TestUnmakableKey makes it impossible to write tomorrow's key: requests are still
// answered, with today's.
func TestUnmakableKey(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		moved := d.cfg.Dir + "-moved"
		if err := os.Rename(d.cfg.Dir, moved); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day)
		b, err := (&mail.Request{Kind: mail.Cover}).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := mail.ParseReply(d.Handle(b))
		if err != nil || len(reply.Keys) != 1 || reply.Keys[0].Day != today() {
			t.Fatalf("%d keys, %v", len(reply.Keys), err)
		}
		if c := d.Counts(); c.Unwritten != 1 {
			t.Errorf("counts %+v", c)
		}
		if err := os.Rename(moved, d.cfg.Dir); err != nil {
			t.Fatal(err)
		}
		d.todaysKey() // checks that tomorrow's is there again
	})
}

func TestSealedReasons(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		key, id := d.todaysKey().ID, mail.ParcelID{1}
		short, long := "no", strings.Repeat("x", mail.MaxReason)
		a, b := d.keys.sealReason(key, id, 0, short), d.keys.sealReason(key, id, 0, long)
		if len(a) != len(b) {
			t.Errorf("sealed reasons of %d and %d bytes", len(a), len(b))
		}
		for _, test := range []struct {
			id     mail.ParcelID
			index  int
			sealed []byte
			want   string
		}{{id, 0, a, short}, {id, 0, b, long}, {id, 1, a, ""}, {mail.ParcelID{2}, 0, a, ""}, {id, 0, nil, ""}} {
			if got := d.keys.openReason(key, test.id, test.index, test.sealed); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		}
	})
}
