package exit

import (
	"encoding/base64"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/mail"
)

var temporary = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "come back later"}

func withText(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: text}
}

func base64Of(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// TestAnswers has a server that answers in one way at first, and accepts from
// its third session on.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("é very long ", 40)
	tests := []struct {
		name    string
		set     func(*server)
		result  mail.Result
		retries uint64
	}{
		{"accepts", func(s *server) {}, mail.Result{Outcome: mail.Delivered}, 0},
		{"down", func(s *server) { s.onDial = func() error { return errors.New("refused") } }, mail.Result{Outcome: mail.Delivered}, 2},
		{"4xx sender", func(s *server) { s.onMail = func(string) error { return temporary } }, mail.Result{Outcome: mail.Delivered}, 2},
		{"4xx recipient", func(s *server) { s.onRcpt = func(string) error { return temporary } }, mail.Result{Outcome: mail.Delivered}, 2},
		{"4xx message", func(s *server) { s.onData = func(*smtp.Conn, string, string) error { return temporary } }, mail.Result{Outcome: mail.Delivered}, 2},
		{"login wanted", func(s *server) { s.onMail = func(string) error { return withText(530, "log in first") } }, mail.Result{Outcome: mail.Delivered}, 2},
		{"5xx sender", func(s *server) { s.onMail = func(string) error { return withText(550, "not from you") } },
			mail.Result{Outcome: mail.Failed, Reason: "550 5.1.1 not from you"}, 0},
		{"5xx recipient", func(s *server) { s.onRcpt = func(string) error { return withText(550, "no such user") } },
			mail.Result{Outcome: mail.Failed, Reason: "550 5.1.1 no such user"}, 0},
		{"5xx message", func(s *server) {
			s.onData = func(*smtp.Conn, string, string) error { return withText(554, "spam,\nsays this\x01server") }
		}, mail.Result{Outcome: mail.Failed, Reason: "554 spam, 5.1.1 says this server"}, 0},
		{"5xx without a code of RFC 3463", func(s *server) {
			s.onRcpt = func(string) error {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.NoEnhancedCode, Message: "go away"}
			}
		}, mail.Result{Outcome: mail.Failed, Reason: "550 go away"}, 0},
		{"5xx at length", func(s *server) { s.onRcpt = func(string) error { return withText(550, long) } },
			mail.Result{Outcome: mail.Failed, Reason: mail.CleanReason("550 5.1.1 " + long)}, 0},
		{"breaks off before the message", func(s *server) {
			s.onRcpt = func(string) error { time.Sleep(6 * time.Minute); return nil }
		}, mail.Result{Outcome: mail.Delivered}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			atDesk(t, nil, func(d *desk) {
				d.server.set(test.set)
				d.server.set(func(s *server) { s.until = 2 })
				p := d.parcel(6000, ana)
				p.Body = ".\r.\n" + p.Body
				p.Body = strings.ReplaceAll(p.Body, "\r", "") + "..dots\n.\n"
				s := d.seal(p)
				d.post(s)
				d.runFor(50 * time.Hour)
				d.wantState(d.ask(s), mail.StateDone, test.result)
				c := d.Counts()
				if test.result.Outcome == mail.Delivered {
					d.wantLetters("anonymous@exit.example", p)
					if c.Delivered != 1 {
						t.Errorf("counts %+v", c)
					}
				} else if n := len(d.server.received()); n != 0 || c.Failed != 1 {
					t.Errorf("%d messages delivered; counts %+v", n, c)
				}
				if c.Retries != test.retries || c.InDoubt != 0 || c.Unwritten != 0 {
					t.Errorf("counts %+v, want %d retries", c, test.retries)
				}
				if len(d.ask(s).Results[0].Reason) > mail.MaxReason {
					t.Error("the reason is too long")
				}
			})
		})
	}
}

// TestAttachments hands over a mail of all that a parcel can have, of the largest size, over many fragments and a
// restart: each recipient gets the message that the parcel renders as.
func TestAttachments(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		p := d.parcel(200, ana, bob)
		p.From, p.Disclosed = "Zo\u00eb", true
		p.References = [][mail.MessageIDLength]byte{{1}, {2}}
		p.Attachments = []mail.Attachment{
			{Type: mail.Text, Data: []byte("--=_\n.\nFrom here\n")},
			{Type: mail.PNG, Data: []byte("\x89PNG\r\n\x1a\n\x00\r\n.\r\n")},
			{Type: mail.JPEG, Data: []byte("\xff\xd8\xff")},
		}
		filling := make([]byte, mail.MaxMail(size)-p.Size())
		fill(filling)
		p.Attachments[2].Data = append(p.Attachments[2].Data, filling...)
		s := d.seal(p)
		if n := s.Fragments(size); n != mail.MaxFragments {
			t.Fatalf("%d fragments", n)
		}
		d.post(s)
		d.restart()
		d.runFor(50 * time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered}, mail.Result{Outcome: mail.Delivered})
		d.wantLetters("anonymous@exit.example", p)
	})
}

// TestRecipients checks that recipients share no transaction and no fate.
func TestRecipients(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.server.set(func(s *server) {
			s.onRcpt = func(to string) error {
				if to == string(bob) {
					return withText(550, "no bob")
				}
				return nil
			}
		})
		p := d.parcel(100, ana, bob, "eve@three.example")
		s := d.seal(p)
		d.post(s)
		d.runFor(50 * time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered},
			mail.Result{Outcome: mail.Failed, Reason: "550 5.1.1 no bob"}, mail.Result{Outcome: mail.Delivered})
		for _, l := range d.server.received() {
			for _, other := range p.Recipients {
				if string(other) != l.to && strings.Contains(l.text, string(other)) {
					t.Error("a message names another recipient")
				}
			}
		}
		if d.server.visits() != 3 {
			t.Errorf("%d sessions, want 3", d.server.visits())
		}
	})
}

func TestHoldIsExponential(t *testing.T) {
	const n = 400
	atDesk(t, func(c *Config) { c.Hold = 10 * time.Hour }, func(d *desk) {
		d.db.NoSync = true
		var posts sync.WaitGroup
		for range n {
			s := d.seal(d.parcel(100, ana))
			posts.Go(func() { d.post(s) })
		}
		posts.Wait()
		begin := time.Now()
		var sum float64
		short, long := 0, 0
		err := d.db.View(func(tx *bolt.Tx) error {
			return tx.Bucket(due).ForEach(func(k, _ []byte) error {
				x := float64(time.Unix(jobOf(k).at, 0).Sub(begin)) / float64(10*time.Hour)
				sum += x
				if x < math.Ln2 {
					short++
				}
				if x > 2 {
					long++
				}
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		// A right office is out of these bounds once in thirty million runs: they are
		// six standard deviations wide.
		if mean := sum / n; mean < 0.7 || mean > 1.3 {
			t.Errorf("mean %.2f of what it should be", mean)
		}
		if short < 140 || short > 260 {
			t.Errorf("%d of %d below the median", short, n)
		}
		if long < 15 || long > 100 {
			t.Errorf("%d of %d above twice the mean", long, n)
		}
	})
}

func TestRetriesGrow(t *testing.T) {
	o := &Office{cfg: Config{RetryMean: 20 * time.Minute}}
	for attempts, factor := range []float64{1, 2, 4, 8, 16, 16} {
		const n = 2000
		var sum float64
		for range n {
			r := recipient{Attempts: uint16(attempts)}
			o.reschedule(&r)
			sum += float64(r.Next - time.Now().Unix())
		}
		if mean := sum / n / (20 * 60); mean < 0.85*factor || mean > 1.15*factor { // 6.7 standard deviations
			t.Errorf("after %d attempts: mean %.2f of the first one's, want %.0f", attempts, mean, factor)
		}
	}
}

func TestDeliveryWaitsForItsTime(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		stop := d.run()
		time.Sleep(3 * time.Second)
		d.post(s)
		var at time.Time
		_ = d.db.View(func(tx *bolt.Tx) error {
			k, _ := tx.Bucket(due).Cursor().First()
			at = time.Unix(jobOf(k).at, 0)
			return nil
		})
		time.Sleep(50 * time.Hour)
		stop()
		if got := d.server.received()[0].at; got.Before(at) || got.Sub(at) > 2*lookInterval {
			t.Errorf("delivered at %v, planned for %v", got, at)
		}
	})
}

func TestExpiry(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return temporary } })
		whole, part := d.seal(d.parcel(100, ana, bob)), d.seal(d.parcel(20_000, ana))
		d.post(whole)
		d.handle(part.Request(0, size))
		last := whole.Expires
		stop := d.run()
		for epoch() <= last {
			d.wantState(d.ask(whole), mail.StateComplete, mail.Result{}, mail.Result{})
			time.Sleep(epochLength / 4)
		}
		d.server.set(func(s *server) { s.onRcpt = nil }) // too late
		time.Sleep(2 * lookInterval)
		reason := "451 4.7.1 come back later"
		for epoch() <= last+30 {
			d.wantState(d.ask(whole), mail.StateDone, mail.Result{Outcome: mail.Expired, Reason: reason}, mail.Result{Outcome: mail.Expired, Reason: reason})
			d.wantState(d.post(part), mail.StateUnknown) // it was never complete
			time.Sleep(epochLength)
		}
		time.Sleep(2 * lookInterval)
		d.wantState(d.ask(whole), mail.StateUnknown)
		d.wantState(d.post(whole), mail.StateUnknown) // and does not begin anew
		d.wantState(d.ask(part), mail.StateUnknown)
		stop()
		if n := len(d.server.received()); n != 0 {
			t.Errorf("%d messages delivered after expiry", n)
		}
		c := d.Counts()
		if c.Expired != 2 || c.Late == 0 || c.Delivered != 0 {
			t.Errorf("counts %+v", c)
		}
		for _, bucket := range [][]byte{parcels, fragments, recipients, due, ends, queue} {
			if n := d.held(bucket); n != 0 {
				t.Errorf("%d entries left in %s", n, bucket)
			}
		}
	})
}

// TestExpiryWhileClosed opens the office only after the expiry: the delivery is
// long overdue, and must not happen.
func TestExpiryWhileClosed(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		d.post(s)
		d.Close()
		time.Sleep(time.Duration(d.Office.cfg.Expiry+1) * epochLength)
		d.open()
		// Also without the sweep, which Run does first.
		if err := d.begin(job{id: s.ID}); !errors.Is(err, errOver) {
			t.Errorf("begin: %v", err)
		}
		d.attempt(t.Context(), job{id: s.ID})
		d.runFor(time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Expired})
		if d.server.visits() != 0 {
			t.Error("the server was called for an expired mail")
		}
	})
}

// TestExpiryInTransaction lets the parcel expire while the server thinks about
// the recipient: the message's end must not be sent.
func TestExpiryInTransaction(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
		p := d.parcel(100, ana)
		p.Expires = epoch()
		s := d.seal(p)
		d.post(s)
		time.Sleep(time.Until(epochStart(p.Expires + 1).Add(-time.Minute)))
		d.server.set(func(s *server) { s.onRcpt = func(string) error { time.Sleep(2 * time.Minute); return nil } })
		d.runFor(time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Expired})
		if n := len(d.server.received()); n != 0 || d.server.visits() != 1 {
			t.Errorf("%d messages delivered in %d sessions", n, d.server.visits())
		}
	})
}

// TestExpiryBeforeTheAnswer lets the parcel expire while the server thinks about
// the message: what it then says counts.
func TestExpiryBeforeTheAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		want   mail.Result
	}{
		"accepted": {nil, mail.Result{Outcome: mail.Delivered}},
		"not now":  {temporary, mail.Result{Outcome: mail.Expired, Reason: "451 4.7.1 come back later"}},
	} {
		t.Run(name, func(t *testing.T) {
			atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
				p := d.parcel(100, ana)
				p.Expires = epoch()
				s := d.seal(p)
				d.post(s)
				time.Sleep(time.Until(epochStart(p.Expires + 1).Add(-time.Minute)))
				d.server.set(func(s *server) {
					s.onData = func(*smtp.Conn, string, string) error { time.Sleep(3 * time.Minute); return test.answer }
				})
				stop := d.run()
				time.Sleep(2 * time.Minute)
				d.wantState(d.ask(s), mail.StateComplete, mail.Result{}) // nobody can know yet
				time.Sleep(2 * time.Minute)
				d.wantState(d.ask(s), mail.StateDone, test.want)
				time.Sleep(time.Hour)
				stop()
				if d.server.visits() != 1 {
					t.Errorf("%d sessions", d.server.visits())
				}
			})
		})
	}
}

// hangUp ends the connection without an answer to the message.
func hangUp(c *smtp.Conn, _, _ string) error {
	c.Conn().Close()
	return nil
}

// TestLostAnswer breaks the connection after the message's end.
func TestLostAnswer(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.server.set(func(s *server) { s.onData, s.until = hangUp, 1 })
		p := d.parcel(100, ana)
		s := d.seal(p)
		d.post(s)
		d.runFor(50 * time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
		got := d.server.received()
		if len(got) != 2 || got[0].text != got[1].text || got[0].text != string(p.Render(d.from, 0)) {
			t.Errorf("%d copies, or copies that differ", len(got))
		}
		if c := d.Counts(); c.InDoubt != 1 || c.Delivered != 1 {
			t.Errorf("counts %+v", c)
		}
	})
}

// TestDoubtIsTold ends a mail in doubt without a success.
func TestDoubtIsTold(t *testing.T) {
	tests := []struct {
		name  string
		after func(*server)
		want  mail.Result
	}{
		{"expired", func(s *server) { s.onDial = func() error { return errors.New("refused") } },
			mail.Result{Outcome: mail.Expired, Reason: reasonDoubt + "; the exit could not use its mail server"}},
		{"failed", func(s *server) { s.onRcpt = func(string) error { return withText(550, "seen that") } },
			mail.Result{Outcome: mail.Failed, Reason: reasonDoubt + "; 550 5.1.1 seen that"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			atDesk(t, nil, func(d *desk) {
				d.server.set(func(s *server) { s.onData = hangUp })
				s := d.seal(d.parcel(100, ana))
				d.post(s)
				stop := d.run()
				for d.Counts().InDoubt == 0 {
					time.Sleep(time.Second)
				}
				d.server.set(test.after)
				for d.held(due) > 0 {
					time.Sleep(time.Hour)
				}
				stop()
				d.wantState(d.ask(s), mail.StateDone, test.want)
			})
		})
	}
}

// TestCrashBeforeTheAnswer goes on with what is on disk when the server has the
// whole message and has not answered yet.
func TestCrashBeforeTheAnswer(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		p := d.parcel(100, ana)
		s := d.seal(p)
		d.post(s)
		left, again := "", ""
		d.server.set(func(srv *server) {
			srv.onData = func(*smtp.Conn, string, string) error {
				left, again = d.copy(), d.copy()
				return nil
			}
		})
		stop := d.run()
		for d.Counts().Delivered == 0 {
			time.Sleep(time.Second)
		}
		stop()
		d.Close()
		d.cfg.Dir = left
		d.server.set(func(s *server) { s.onData = nil })
		d.open()
		if c := d.Counts(); c.InDoubt != 1 || !strings.Contains(d.log.String(), "count=1") {
			t.Errorf("counts %+v, log %q", c, d.log)
		}
		d.wantState(d.ask(s), mail.StateComplete, mail.Result{})
		d.runFor(20 * time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
		got := d.server.received()
		if len(got) != 2 || got[0].text != got[1].text {
			t.Errorf("%d copies, or copies that differ", len(got))
		}
		d.restart() // and nothing is in doubt any more
		if c := d.Counts(); c.InDoubt != 0 {
			t.Errorf("counts %+v", c)
		}

		// The same moment once more, with a server that refuses the second copy.
		d.Close()
		d.cfg.Dir = again
		d.server.set(func(s *server) { s.onRcpt = func(string) error { return withText(550, "seen that") } })
		d.open()
		d.runFor(20 * time.Hour)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Failed, Reason: reasonDoubt + "; 550 5.1.1 seen that"})
	})
}

// TestCrashBeforeTheEnd goes on with what is on disk before the message's end
// is sent: nothing is in doubt then.
func TestCrashBeforeTheEnd(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		d.post(s)
		left := ""
		d.server.set(func(srv *server) {
			srv.onRcpt = func(string) error {
				left = d.copy()
				return nil
			}
		})
		stop := d.run()
		for d.Counts().Delivered == 0 {
			time.Sleep(time.Second)
		}
		stop()
		d.Close()
		d.cfg.Dir = left
		d.open()
		if c := d.Counts(); c.InDoubt != 0 {
			t.Errorf("counts %+v", c)
		}
	})
}

// TestDiskFullAtTheAnswer fills the disk between the message's end and the
// answer: the result must be kept until it can be written, and the mail not be
// delivered again.
func TestDiskFullAtTheAnswer(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		d.post(s)
		d.server.set(func(srv *server) {
			srv.onData = func(*smtp.Conn, string, string) error {
				d.fillDisk()
				return nil
			}
		})
		stop := d.run()
		for d.Counts().Unwritten == 0 {
			time.Sleep(time.Second)
		}
		time.Sleep(24 * time.Hour)
		if d.server.visits() != 1 || d.Counts().Delivered != 0 {
			t.Errorf("%d sessions, counts %+v", d.server.visits(), d.Counts())
		}
		if !strings.Contains(d.log.String(), "writing to disk") {
			t.Error("the operator was not told")
		}
		d.freeDisk()
		time.Sleep(time.Hour)
		stop()
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
		if n := len(d.server.received()); n != 1 {
			t.Errorf("%d copies", n)
		}
	})
}

// TestTroubleIsToldByTheClock: what went wrong is logged at moments that do not
// depend on when that was.
func TestTroubleIsToldByTheClock(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold, c.RetryMean = time.Nanosecond, time.Minute }, func(d *desk) {
		d.server.set(func(s *server) { s.onDial = func() error { return errors.New("refused") } })
		stop := d.run()
		defer stop()
		time.Sleep(firstTell + 2*lookInterval) // nothing to tell yet
		d.post(d.seal(d.parcel(100, ana)))
		time.Sleep(tellInterval - 3*lookInterval)
		if d.server.visits() == 0 || d.log.String() != "" {
			t.Errorf("after %d sessions the log says %q", d.server.visits(), d.log)
		}
		time.Sleep(3 * lookInterval)
		if !strings.Contains(d.log.String(), "using the mail server") {
			t.Errorf("the operator was not told: %q", d.log)
		}
	})
}

func TestStop(t *testing.T) {
	tests := []struct {
		name    string
		stall   func(s *server, while time.Duration)
		while   time.Duration // that the server takes
		within  time.Duration // that Run takes to end
		result  mail.Outcome
		inDoubt uint64
	}{
		{"while dialing", func(s *server, while time.Duration) {
			s.onDial = func() error { time.Sleep(while); return errors.New("refused") }
		}, time.Second, 2 * time.Second, mail.Waiting, 0},
		{"before the message", func(s *server, while time.Duration) {
			s.onRcpt = func(string) error { time.Sleep(while); return nil }
		}, time.Hour, stopTimeout + time.Second, mail.Waiting, 0},
		{"before the message, answered in time", func(s *server, while time.Duration) {
			s.onRcpt = func(string) error { time.Sleep(while); return nil }
		}, stopTimeout / 2, stopTimeout, mail.Waiting, 0},
		{"after the message", func(s *server, while time.Duration) {
			s.onData = func(*smtp.Conn, string, string) error { time.Sleep(while); return temporary }
		}, time.Hour, stopTimeout + time.Second, mail.Waiting, 1},
		{"after the message, answered in time", func(s *server, while time.Duration) {
			s.onData = func(*smtp.Conn, string, string) error { time.Sleep(while); return nil }
		}, stopTimeout / 2, stopTimeout, mail.Delivered, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
				stalled := make(chan struct{})
				var once sync.Once
				d.server.set(func(s *server) {
					test.stall(s, test.while)
					if rcpt := s.onRcpt; rcpt != nil {
						s.onRcpt = func(to string) error { once.Do(func() { close(stalled) }); return rcpt(to) }
					}
					if data := s.onData; data != nil {
						s.onData = func(c *smtp.Conn, to, text string) error {
							once.Do(func() { close(stalled) })
							return data(c, to, text)
						}
					}
					if dial := s.onDial; dial != nil {
						s.onDial = func() error { once.Do(func() { close(stalled) }); return dial() }
					}
				})
				p := d.parcel(100, ana)
				s := d.seal(p)
				d.post(s)
				stop := d.run()
				<-stalled
				begin := time.Now()
				stop()
				if took := time.Since(begin); took > test.within {
					t.Errorf("Run took %v to end", took)
				}
				if c := d.Counts(); c.InDoubt != test.inDoubt || c.Delivered != uint64(test.result) {
					t.Errorf("counts %+v", c)
				}
				time.Sleep(2 * time.Hour) // the server's handlers end
				d.restart()
				if got := d.ask(s).Results[0].Outcome; got != test.result {
					t.Errorf("outcome %d, want %d", got, test.result)
				}
				d.server.set(func(s *server) { s.onDial, s.onRcpt, s.onData = nil, nil, nil })
				d.runFor(50 * time.Hour)
				d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Delivered})
				d.wantLetters(d.from, p)
			})
		})
	}
}

// TestConcurrency checks that a slow server gets a few transactions at a time
// and that none is lost or made twice.
func TestConcurrency(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
		now, most := 0, 0
		d.server.set(func(s *server) {
			s.onData = func(*smtp.Conn, string, string) error {
				s.set(func(*server) { now++; most = max(most, now) })
				time.Sleep(time.Minute)
				s.set(func(*server) { now-- })
				return nil
			}
		})
		var to []mail.Address
		for i := range 30 {
			to = append(to, mail.Address(string(rune('a'+i%26))+string(rune('a'+i/26))+"@one.example"))
		}
		p := d.parcel(100, to...)
		s := d.seal(p)
		d.post(s)
		stop := d.run()
		time.Sleep(time.Hour)
		synctest.Wait()
		stop()
		d.wantLetters(d.from, p)
		if most != concurrency {
			t.Errorf("%d transactions at a time, want %d", most, concurrency)
		}
	})
}

// TestExpiryBetweenLooks asks for a parcel's state right after its expiry, before
// Run has looked: the answer is final all the same.
func TestExpiryBetweenLooks(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold = 1000 * time.Hour }, func(d *desk) {
		p := d.parcel(100, ana, bob)
		p.Expires = epoch()
		s := d.seal(p)
		d.post(s)
		time.Sleep(time.Until(epochStart(p.Expires+1)) + time.Second)
		d.wantState(d.ask(s), mail.StateDone, mail.Result{Outcome: mail.Expired}, mail.Result{Outcome: mail.Expired})
		d.runFor(2000 * time.Hour)
		if d.server.visits() != 0 {
			t.Errorf("%d sessions after the expiry", d.server.visits())
		}
	})
}
