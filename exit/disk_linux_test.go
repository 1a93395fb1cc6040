package exit

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-smtp"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/mail"
)

// redirect makes the store's file descriptor write to a device, and returns what
// undoes that.
func (d *desk) redirect(device string) func() {
	d.t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(d.cfg.Dir, "office.db"))
	if err != nil {
		d.t.Fatal(err)
	}
	to, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer unix.Close(to)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		d.t.Fatal(err)
	}
	for _, entry := range fds {
		if target, _ := os.Readlink("/proc/self/fd/" + entry.Name()); target != path {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			d.t.Fatal(err)
		}
		saved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			d.t.Fatal(err)
		}
		if err := unix.Dup3(to, fd, unix.O_CLOEXEC); err != nil {
			d.t.Fatal(err)
		}
		return func() {
			if err := unix.Dup3(saved, fd, unix.O_CLOEXEC); err != nil {
				d.t.Error(err)
			}
			unix.Close(saved)
		}
	}
	d.t.Fatal("the store's file descriptor is not found")
	return nil
}

// makeRoom leaves free pages in the file, so that it need not grow for a while.
func (d *desk) makeRoom() {
	d.t.Helper()
	name := []byte("ballast")
	err := errors.Join(
		d.write(func(w *writer) { w.put(totals, name, make([]byte, 1<<18)) }),
		d.write(func(w *writer) { w.remove(totals, name) }),
		d.write(func(w *writer) { w.remove(totals, name) }), // frees what the one before left pending
	)
	if err != nil {
		d.t.Fatal(err)
	}
}

// After a sync that failed nobody knows what is on the disk, so nothing more is
// promised, not even from what was read before, and the office ends.
func TestFailedSync(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		whole, s := d.seal(d.parcel(100, ana)), d.seal(d.parcel(100, bob))
		d.wantState(d.post(whole), mail.StateComplete, mail.Result{})
		last, err := s.Request(0, size).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		question, err := mail.NewQuery(whole.ID, whole.Expires).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		cover, err := (&mail.Request{Kind: mail.Cover}).Marshal(size)
		if err != nil {
			t.Fatal(err)
		}
		d.makeRoom()
		ended := make(chan error, 1)
		go func() { ended <- d.Office.Run(d.t.Context()) }()
		synctest.Wait()
		restore := d.redirect("/dev/null") // takes every write and cannot sync
		if d.Handle(last) != nil {
			t.Error("a fragment was answered for whose sync failed")
		}
		restore()
		for name, request := range map[string][]byte{"the fragment, again": last, "a question": question, "cover": cover} {
			if d.Handle(request) != nil {
				t.Errorf("%s was answered after a failed sync", name)
			}
		}
		if err := <-ended; !errors.Is(err, errFailed) {
			t.Errorf("Run: %v", err)
		}
		d.restart()
		d.wantState(d.ask(whole), mail.StateComplete, mail.Result{})
		d.wantState(d.post(s), mail.StateComplete, mail.Result{})
		d.runFor(50 * time.Hour)
		if n := len(d.server.received()); n != 2 {
			t.Errorf("%d delivered, want 2", n)
		}
	})
}

// A write that fails for lack of room changes nothing, and the office goes on
// when there is some.
func TestNoSpaceWhileWriting(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		s := d.seal(d.parcel(100, ana))
		d.makeRoom()
		restore := d.redirect("/dev/full")
		d.wantState(d.post(s), mail.StateUnknown)
		restore()
		d.wantState(d.post(s), mail.StateComplete, mail.Result{})
		if c := d.Counts(); c.Unwritten != 1 {
			t.Errorf("counts %+v", c)
		}
	})
}

// The disk fails while an answer is to be recorded, with other transactions under
// way: the office ends soon, and the next one sends again what is in doubt.
func TestFailedSyncAtTheAnswer(t *testing.T) {
	atDesk(t, func(c *Config) { c.Hold = time.Nanosecond }, func(d *desk) {
		d.post(d.seal(d.parcel(100, ana)))
		d.post(d.seal(d.parcel(100, bob)))
		d.makeRoom()
		var restore func()
		d.server.set(func(s *server) {
			s.onRcpt = func(to string) error {
				if to == string(bob) {
					time.Sleep(time.Hour)
				}
				return nil
			}
			s.onData = func(*smtp.Conn, string, string) error {
				restore = d.redirect("/dev/null")
				return nil
			}
		})
		begin := time.Now()
		err := d.Office.Run(d.t.Context())
		if !errors.Is(err, errFailed) || strings.Contains(err.Error(), string(ana)) {
			t.Errorf("Run: %v", err)
		}
		if took := time.Since(begin); took > lookInterval+stopTimeout+time.Second {
			t.Errorf("Run took %v to end", took)
		}
		restore()
		d.server.set(func(s *server) { s.onRcpt, s.onData = nil, nil })
		time.Sleep(2 * time.Hour) // the server's handlers end
		d.restart()
		if c := d.Counts(); c.InDoubt != 1 {
			t.Errorf("counts %+v", c)
		}
		d.runFor(50 * time.Hour)
		if n := len(d.server.received()); n != 3 {
			t.Errorf("%d copies, want one of bob's and two of ana's", n)
		}
	})
}

// Nobody reads while a commit is not synced yet: bbolt would already show what is
// not on the disk.
func TestReadersWaitForTheDisk(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		if err := d.write(func(*writer) {
			if d.settled.TryRLock() {
				d.settled.RUnlock()
				t.Error("the store can be read while a commit is in progress")
			}
		}); err != nil {
			t.Error(err)
		}
	})
}
