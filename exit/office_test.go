package exit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"codeberg.org/sourdine/sourdine/mail"
)

const ana, bob mail.Address = "ana@one.example", "bob@two.example"

func TestFragments(t *testing.T) {
	orders := map[string]func(n int) []int{
		"one":  func(int) []int { return []int{0} },
		"even": func(n int) []int { return counting(n) },
		"backwards": func(n int) []int {
			order := counting(n)
			slices.Reverse(order)
			return order
		},
		"shuffled": func(n int) []int { return rand.Perm(n) },
		"twice":    func(n int) []int { return append(rand.Perm(n), rand.Perm(n)...) },
		"each doubled": func(n int) []int {
			order := append(counting(n), counting(n)...)
			slices.Sort(order)
			return order
		},
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			atDesk(t, nil, func(d *desk) {
				p := d.parcel(10_000, ana)
				if name == "one" {
					p.Body = "short\n"
				}
				s := d.seal(p)
				n := s.Fragments(size)
				missing := uint64(1)<<n - 1
				d.wantState(d.ask(s), mail.StateUnknown)
				for _, i := range order(n) {
					missing &^= 1 << i
					r := d.handle(s.Request(i, size))
					state, results := mail.StateIncomplete, []mail.Result(nil)
					if missing == 0 {
						state, results = mail.StateComplete, []mail.Result{{}}
					}
					d.wantState(r, state, results...)
					if again := d.ask(s); r.Missing != missing || again.Missing != missing || again.State != state {
						t.Fatalf("%b missing, then %b, want %b", r.Missing, again.Missing, missing)
					}
				}
				d.runFor(50 * time.Hour)
				d.wantLetters("anonymous@exit.example", p)
				d.wantState(d.post(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
				d.runFor(10 * time.Hour)
				d.wantLetters("anonymous@exit.example", p) // a parcel sent again is not delivered again
				if c := d.Counts(); c.Complete != 1 || c.Delivered != 1 {
					t.Errorf("counts %+v", c)
				}
				if d.held(fragments)+d.held(due)+d.held(queue) != 0 {
					t.Error("the store keeps what is delivered")
				}
			})
		})
	}
}

func counting(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

func TestFragmentsTogether(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		var (
			sent    []*mail.Parcel
			all     []mail.Sealed
			packets []*mail.Request
		)
		for range 5 {
			p := d.parcel(30_000, ana, bob)
			s := d.seal(p)
			sent, all = append(sent, p), append(all, s)
			for i := range s.Fragments(size) {
				packets = append(packets, s.Request(i, size), s.Request(i, size))
			}
		}
		rand.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
		stop := d.run()
		synctest.Wait() // its next look comes when all are complete
		var senders sync.WaitGroup
		for _, r := range packets {
			senders.Go(func() { d.handle(r) })
		}
		senders.Wait()
		for _, s := range all {
			d.wantState(d.ask(s), mail.StateComplete, mail.Result{}, mail.Result{})
		}
		time.Sleep(50 * time.Hour)
		stop()
		d.wantLetters("anonymous@exit.example", sent...)
		if c := d.Counts(); c.Complete != 5 || c.Delivered != 10 || c.Conflicting+c.Unwritten+c.Retries != 0 {
			t.Errorf("counts %+v", c)
		}
	})
}

// TestRestart ends the office between any two steps of a parcel's life.
func TestRestart(t *testing.T) {
	for name, restart := range map[string]func(*desk){"closed": (*desk).restart, "crashed": (*desk).crash} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, nil, func(d *desk) {
				p := d.parcel(10_000, ana, bob)
				s := d.seal(p)
				n := s.Fragments(size)
				for i := range n - 1 {
					d.handle(s.Request(i, size))
					restart(d)
					if r := d.ask(s); r.State != mail.StateIncomplete || r.Missing != (1<<n-1)&^(1<<(i+1)-1) {
						t.Fatalf("after fragment %d: state %d, missing %b", i, r.State, r.Missing)
					}
				}
				d.handle(s.Request(n-1, size))
				restart(d)
				d.wantState(d.ask(s), mail.StateComplete, mail.Result{}, mail.Result{})

				// A temporary refusal from one, success with the other.
				d.server.set(func(s *server) {
					s.onRcpt = func(to string) error {
						if to == string(bob) {
							return temporary
						}
						return nil
					}
				})
				stop := d.run()
				for d.Counts().Retries == 0 || d.Counts().Delivered == 0 {
					time.Sleep(time.Second)
				}
				stop()
				restart(d)
				d.wantState(d.ask(s), mail.StateComplete, mail.Result{Outcome: mail.Delivered}, mail.Result{})
				d.server.set(func(s *server) { s.onRcpt = nil })
				d.runFor(50 * time.Hour) // the wait can be of 16 means by now
				restart(d)
				d.runFor(50 * time.Hour)
				d.wantLetters("anonymous@exit.example", p)
				d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered}, mail.Result{Outcome: mail.Delivered})
			})
		})
	}
}

func TestUnreadableRequests(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		good, err := s.Request(0, size).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		random := make([]byte, size)
		fill(random)
		random[0] = 0
		bad := map[string][]byte{
			"nothing": nil, "empty": {}, "random": random, "header only": good[:36],
			"other version": append([]byte{2}, good[1:]...),
			"unknown kind":  append([]byte{1, 9}, good[2:]...),
			"short cover":   append([]byte{1, 0}, make([]byte, 100)...), // no room for a reply
		}
		for name, b := range bad {
			if answer := d.Handle(b); answer != nil {
				t.Errorf("%s: answered", name)
			}
		}
		if c := d.Counts(); c.Garbage != uint64(len(bad)) {
			t.Errorf("%d counted as garbage, want %d", c.Garbage, len(bad))
		}
		if d.held(parcels) != 0 {
			t.Error("garbage was stored")
		}
		d.wantState(d.post(s), mail.StateComplete, mail.Result{})
	})
}

func TestConflictingFragments(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		p := d.parcel(10_000, ana)
		s := d.seal(p)
		d.handle(s.Request(0, size))
		changes := map[string]func(r *mail.Request){
			"count":   func(r *mail.Request) { r.Count = 24 },
			"expiry":  func(r *mail.Request) { r.Expires-- },
			"key":     func(r *mail.Request) { r.Key[0] ^= 1 },
			"far":     func(r *mail.Request) { r.Expires += 1000 },
			"expired": func(r *mail.Request) { r.Expires = 0 },
		}
		for name, change := range changes {
			r := s.Request(1, size)
			change(r)
			if reply := d.handle(r); reply.State != mail.StateIncomplete || reply.Missing != 1<<s.Fragments(size)-2 {
				t.Errorf("%s: state %d, missing %b", name, reply.State, reply.Missing)
			}
		}
		if c := d.Counts(); c.Conflicting != uint64(len(changes)) {
			t.Errorf("counts %+v", c)
		}
		d.wantState(d.post(s), mail.StateComplete, mail.Result{})
		d.runFor(50 * time.Hour)
		d.wantLetters("anonymous@exit.example", p)
	})
}

func TestRefusals(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		flip := func(s *mail.Sealed) { s.Data[len(s.Data)/2] ^= 1 }
		tests := []struct {
			name   string
			expiry uint64 // epochs from now
			change func(*mail.Sealed)
			reason string // "": taken
		}{
			{"as it should be", 120, nil, ""},
			{"a clock ahead by an epoch", 121, nil, ""},
			{"too far", 122, nil, reasonFar},
			{"far too far", 1 << 63, nil, reasonFar},
			{"damaged", 120, flip, reasonBroken},
			{"another id", 120, func(s *mail.Sealed) { s.ID[3] ^= 1 }, reasonBroken},
			{"another expiry", 120, func(s *mail.Sealed) { s.Expires-- }, reasonBroken},
			{"unknown key", 120, func(s *mail.Sealed) { s.Key[3] ^= 1 }, reasonKey},
			{"short and damaged", 120, flip, reasonBroken},
		}
		for _, test := range tests {
			p := d.parcel(5000, ana)
			if strings.HasPrefix(test.name, "short") {
				p.Body = "x\n"
			}
			p.Expires = epoch() + test.expiry
			s := d.seal(p)
			if test.change != nil {
				test.change(&s)
			}
			r := d.post(s)
			if test.reason == "" {
				d.wantState(r, mail.StateComplete, mail.Result{})
				continue
			}
			if r.State != mail.StateRefused || r.Reason != test.reason {
				t.Errorf("%s: state %d, reason %q", test.name, r.State, r.Reason)
			}
			// Nothing is remembered of it, and it is refused again.
			d.wantState(d.ask(s), mail.StateUnknown)
			if r := d.post(s); r.State != mail.StateRefused || r.Reason != test.reason {
				t.Errorf("%s, again: state %d, reason %q", test.name, r.State, r.Reason)
			}
		}
		if n := d.held(parcels); n != 2 {
			t.Errorf("%d parcels are remembered, want the 2 that were taken", n)
		}
		d.runFor(50 * time.Hour)
		if got := len(d.server.received()); got != 2 {
			t.Errorf("%d messages delivered, want 2", got)
		}
		if d.held(fragments) != 0 {
			t.Error("fragments of refused parcels are kept")
		}
	})
}

func TestSpace(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.Office.cfg.MaxSpace = 10 * int64(mail.FragmentCapacity(size))
		var all []mail.Sealed
		for range 3 {
			all = append(all, d.seal(d.parcel(20_000, ana))) // 6 fragments each
		}
		for i := range 3 {
			d.handle(all[0].Request(i, size))
			d.handle(all[1].Request(i, size))
		}
		d.handle(all[0].Request(3, size)) // now the second has been longest without progress
		for i := range 3 {
			d.handle(all[2].Request(i, size))
		}
		d.wantState(d.ask(all[0]), mail.StateIncomplete)
		d.wantState(d.ask(all[1]), mail.StateIncomplete)
		d.restart()
		d.Office.cfg.MaxSpace = 10 * int64(mail.FragmentCapacity(size))
		d.handle(all[2].Request(3, size)) // the eleventh
		d.wantState(d.ask(all[0]), mail.StateIncomplete)
		d.wantState(d.ask(all[1]), mail.StateUnknown)
		d.wantState(d.ask(all[2]), mail.StateIncomplete)
		if c := d.Counts(); c.Forgotten != 1 {
			t.Errorf("%d forgotten, want 1", c.Forgotten)
		}
		// Complete parcels take none of the space, and what was forgotten can come again.
		for _, i := range []int{0, 2, 1} {
			d.wantState(d.post(all[i]), mail.StateComplete, mail.Result{})
		}
		_ = d.db.View(func(tx *bolt.Tx) error {
			if n := total(tx, space); n != 0 {
				t.Errorf("%d bytes in use without an incomplete parcel", n)
			}
			return nil
		})
		// A parcel that does not fit alone is not stored, and pushes nobody out
		// for nothing.
		d.Office.cfg.MaxSpace = 2 * int64(mail.FragmentCapacity(size))
		s := d.seal(d.parcel(20_000, ana))
		for i := range 3 {
			d.handle(s.Request(i, size))
		}
		if r := d.ask(s); r.State != mail.StateIncomplete || r.Missing != 0b111100 {
			t.Errorf("state %d, missing %b", r.State, r.Missing)
		}
	})
}

// TestFlood sends more complete mails than there is space for. What is there is
// delivered all the same and makes room, and in the end no space is in use.
func TestFlood(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.Office.cfg.MaxKept = 100_000
		kept := func() (n int64) {
			t.Helper()
			if err := d.view(func(tx *bolt.Tx) error { n = total(tx, kept); return nil }); err != nil {
				t.Fatal(err)
			}
			return n
		}
		// Many recipients in a small mail: their records outlast it.
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return withText(550, "no") } })
		var many []mail.Address // every third mail's; the others have one recipient
		for i := range 20 {
			many = append(many, mail.Address(fmt.Sprintf("user%d@one.example", i)))
		}
		var taken, turned []mail.Sealed
		for i := range 30 {
			s := d.seal(d.parcel(5_000*(i%2), many[:1+19*(i%3/2)]...))
			r := d.post(s)
			last := uint64(1) << (s.Fragments(size) - 1)
			switch {
			case r.State == mail.StateComplete && len(turned) == 0:
				taken = append(taken, s)
			case r.State == mail.StateIncomplete && r.Missing == last, r.State == mail.StateUnknown && last == 1:
				turned = append(turned, s)
			case r.State != mail.StateComplete: // a smaller one may still fit
				t.Fatalf("state %d, missing %b", r.State, r.Missing)
			}
			if n := kept(); n > 100_000 {
				t.Fatalf("%d bytes are kept", n)
			}
		}
		if len(taken) < 3 || len(turned) < 3 {
			t.Fatalf("%d taken, %d turned away", len(taken), len(turned))
		}
		if c := d.Counts(); c.Crowded < uint64(len(turned)) || c.Unwritten != 0 {
			t.Errorf("counts %+v", c)
		}
		full := kept()
		stop := d.run()
		for d.held(due) > 0 {
			time.Sleep(time.Hour)
		}
		if !strings.Contains(d.log.String(), "kept_space") {
			t.Error("the operator was not told")
		}
		if n := kept(); n >= full {
			t.Errorf("%d bytes are kept after the delivery, %d before", n, full)
		}
		d.server.set(func(s *server) { s.onRcpt = nil })
		if r := d.post(turned[0]); r.State != mail.StateComplete {
			t.Errorf("state %d of a mail that there is room for again", r.State)
		}
		time.Sleep(time.Duration(d.Office.cfg.Expiry+mail.Memory(d.Office.cfg.Expiry)+3) * epochLength)
		stop()
		if c := d.Counts(); c.Failed == 0 || c.Delivered == 0 {
			t.Errorf("counts %+v", c)
		}
		if n := kept(); n != 0 || d.held(parcels) != 0 {
			t.Errorf("%d bytes and %d parcels are kept when all are forgotten", n, d.held(parcels))
		}
	})
}

func TestFullDisk(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		first, second := d.seal(d.parcel(20_000, ana)), d.seal(d.parcel(20_000, bob))
		d.handle(first.Request(0, size))
		d.fillDisk()
		if r := d.handle(first.Request(1, size)); r.State != mail.StateIncomplete || r.Missing != 0b111110 {
			t.Errorf("state %d, missing %b: a fragment that was not stored was acknowledged", r.State, r.Missing)
		}
		d.wantState(d.handle(second.Request(0, size)), mail.StateUnknown)
		if c := d.Counts(); c.Unwritten != 2 {
			t.Errorf("%d unwritten, want 2", c.Unwritten)
		}
		d.freeDisk()
		d.wantState(d.post(first), mail.StateComplete, mail.Result{})
		d.wantState(d.post(second), mail.StateComplete, mail.Result{})
		d.runFor(50 * time.Hour)
		if n := len(d.server.received()); n != 2 {
			t.Errorf("%d delivered, want 2", n)
		}
	})
}

// TestNothingReadableOnDisk looks for words of the mail, its addresses, and its
// servers' answers in all files and in the log.
func TestNothingReadableOnDisk(t *testing.T) {
	const answer = "quarrelsome"
	marks := []string{"marmalade", "lighthouse", "pelican", "petrichor", answer}
	atDesk(t, nil, func(d *desk) {
		p := d.parcel(9_000, "marmalade@lighthouse.example", "bob@lighthouse.example")
		p.Subject, p.Body = "about the pelican", strings.Repeat("petrichor\n", 900)
		if rendered := p.Render("a@b.example", 0); found(rendered, marks[0]) == "" || found(rendered, "petrichor") == "" {
			t.Fatal("the search does not find what is there")
		}
		d.server.set(func(s *server) {
			s.onRcpt = func(to string) error {
				if strings.HasPrefix(to, "bob") {
					return withText(550, answer+" <"+to+"> does not live here")
				}
				return withText(451, answer+" <"+to+"> is away")
			}
		})
		s := d.seal(p)
		look := func(when string) {
			t.Helper()
			names, err := fs.Glob(os.DirFS(d.cfg.Dir), "*")
			if err != nil || len(names) < 4 {
				t.Fatalf("files %q, %v", names, err)
			}
			for _, name := range names {
				b, err := os.ReadFile(filepath.Join(d.cfg.Dir, name))
				if err != nil {
					t.Fatal(err)
				}
				for _, mark := range marks {
					if how := found(b, mark); how != "" {
						t.Errorf("%s: %s holds %q as %s", when, name, mark, how)
					}
				}
			}
			for _, mark := range append(marks, string(s.ID[:]), string(s.Key[:])) {
				if how := found([]byte(d.log.String()), mark); how != "" {
					t.Errorf("%s: the log holds a mark as %s", when, how)
				}
			}
		}
		d.handle(s.Request(0, size))
		look("incomplete")
		d.post(s)
		look("complete")
		stop := d.run()
		for d.Counts().Retries < 2 || d.Counts().Failed == 0 {
			time.Sleep(time.Minute)
		}
		look("waiting")
		d.server.set(func(s *server) { s.onRcpt = nil })
		time.Sleep(100 * time.Hour)
		look("delivered")
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered},
			mail.Result{Outcome: mail.Failed, Reason: "550 5.1.1 " + answer + " <bob@lighthouse.example> does not live here"})
		stop()
		look("stopped")
	})
}

// found says in which form b holds the word, or nothing.
func found(b []byte, word string) string {
	forms := map[string]string{"text": word, "hexadecimal": fmt.Sprintf("%x", word)}
	for shift := range 3 {
		// What base64 makes of the word behind so many bytes, without the
		// characters that depend on its neighbours: of a word of seven letters at
		// least eight, which chance does not put into a file.
		encoded := base64Of(strings.Repeat("\x00", shift) + word)
		forms[fmt.Sprint("base64 at ", shift)] = encoded[(shift*8+5)/6 : (shift+len(word))*8/6]
	}
	lower := bytes.ToLower(b)
	for name, form := range forms {
		if bytes.Contains(b, []byte(form)) || bytes.Contains(lower, []byte(strings.ToLower(form))) {
			return name
		}
	}
	return ""
}

// TestLongReply asks about more refusals than a small packet has room for: their
// outcomes are told with what there is room for of the reasons.
func TestLongReply(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		text := strings.Repeat("no ", 60)
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return withText(550, text) } })
		var to []mail.Address
		for i := range 10 {
			to = append(to, mail.Address(fmt.Sprintf("user%d@one.example", i)))
		}
		reason := mail.CleanReason("550 5.1.1 " + text)
		s := d.seal(d.parcel(100, to...))
		d.post(s)
		d.runFor(50 * time.Hour)
		long := d.ask(s)
		if long.State != mail.StateDone || len(long.Results) != len(to) {
			t.Fatalf("state %d with %d results", long.State, len(long.Results))
		}
		for _, r := range long.Results {
			if r.Outcome != mail.Failed || len(r.Reason) >= len(reason) || !strings.HasPrefix(reason, r.Reason) || !strings.HasPrefix(r.Reason, "550 5.1.1") {
				t.Errorf("a result is %+v", r)
			}
		}
		short := d.seal(d.parcel(100, ana))
		d.post(short)
		d.runFor(50 * time.Hour)
		d.wantState(d.ask(short), mail.StateDone, mail.Result{Outcome: mail.Failed, Reason: reason})
	})
}

func TestConfig(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Config)
		want   string // part of the error; "": opens
	}{
		{"good", func(*Config) {}, ""},
		{"from", func(c *Config) { c.From = "nobody" }, "from address"},
		{"from with parameters", func(c *Config) { c.From = "a> SIZE=1<@b.example" }, "from address"},
		{"hold", func(c *Config) { c.Hold = -1 }, "negative"},
		{"space", func(c *Config) { c.MaxSpace = 1000 }, "at least"},
		{"kept space", func(c *Config) { c.MaxKept = 1000 }, "at least"},
		{"address", func(c *Config) { c.Relay.Address = "relay.example" }, "host:port"},
		{"tls", func(c *Config) { c.Relay.TLS = "maybe" }, "starttls"},
		{"hello", func(c *Config) { c.Relay.Hello = "a b" }, "host name"},
		{"password in clear", func(c *Config) { c.Relay.Username = "exit" }, "in clear"},
		{"no password file", func(c *Config) { c.Relay.Username, c.Relay.TLS = "exit", "tls" }, "password"},
		{"no key", func(c *Config) { c.Dir = filepath.Join(c.Dir, "other") }, "node init"},
		{"damaged key", func(c *Config) {
			os.WriteFile(filepath.Join(c.Dir, signingFile), []byte("zz"), 0o600)
		}, "damaged"},
		{"damaged day key", func(c *Config) {
			os.WriteFile(keyFile(c.Dir, 7), []byte("zz"), 0o600)
		}, "day-7.key is damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			public, err := InitKeys(dir, plain(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			cfg := Config{Dir: dir, From: "anonymous@exit.example", Relay: Relay{Address: "relay.example:25", TLS: "none"}}
			test.change(&cfg)
			o, err := Open(cfg, plain(t, dir), epoch, nil)
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("error %v, want one about %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if !public.Equal(o.SigningKey()) {
				t.Error("another signing key")
			}
		})
	}
}

func TestOpenTwice(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		_, err := Open(d.cfg, plain(t, d.cfg.Dir), epoch, nil)
		if err == nil || !strings.Contains(err.Error(), "another process") {
			t.Fatalf("error %v", err)
		}
	})
}

func TestClosed(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		b, err := s.Request(0, size).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if d.Handle(b) != nil {
			t.Error("a closed office answered about a parcel")
		}
		if err := d.Office.Run(d.t.Context()); !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			t.Errorf("Run: %v", err)
		}
		synctest.Wait()
	})
}
