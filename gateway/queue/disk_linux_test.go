package queue

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/mail"
)

// Some tests end or cripple a process: they run this binary again as a child.
func TestMain(m *testing.M) {
	dir := os.Getenv("QUEUE_TEST_DIR")
	switch os.Getenv("QUEUE_TEST_CHILD") {
	case "":
		os.Exit(m.Run())
	case "limited":
		limitedChild(dir)
	case "killed":
		killedChild(dir)
	}
}

func child(role, dir string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "QUEUE_TEST_CHILD="+role, "QUEUE_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func fatal(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// limitedChild fills a queue whose file cannot grow beyond 256 KiB, makes room, and goes on. It prints
// the mails that it was told are stored.
func limitedChild(dir string) {
	fatal(unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 256 << 10, Max: 256 << 10}))
	q, err := Open(dir, Limits{})
	fatal(err)
	n := 0
	for {
		_, _, err := q.Put(sample(n))
		if errors.Is(err, ErrFull) {
			break
		}
		fatal(err)
		n++
	}
	for k := range n / 2 {
		m, _ := sample(k)
		fatal(q.Forget(m.ID))
	}
	_, _, err = q.Put(sample(n)) // there is room again
	fatal(err)
	fmt.Println(n/2, n)
	os.Exit(0) // without closing
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	out, err := child("limited", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	var from, last int
	if _, err := fmt.Sscan(string(out), &from, &last); err != nil || last < 10 {
		t.Fatalf("the child says %q", out)
	}
	var want []int
	for n := from; n <= last; n++ {
		want = append(want, n)
	}
	holds(t, open(t, dir), want...)
}

// killedChild stores mails until it is killed, and says of each that it is stored.
func killedChild(dir string) {
	q, err := Open(dir, Limits{})
	fatal(err)
	for n := 0; ; n++ { // a parent that died is noticed by the broken pipe
		_, _, err := q.Put(sample(n))
		fatal(err)
		fmt.Println(n)
	}
}

func TestKilled(t *testing.T) {
	for kill := range 5 {
		dir := t.TempDir()
		cmd := child("killed", dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if last == 7*kill {
				cmd.Process.Kill() // while it stores the next
			}
		}
		if err := cmd.Wait(); err == nil || last < 7*kill {
			t.Fatalf("the child ended after %d mails: %v", last+1, err)
		}
		q := open(t, dir)
		n := len(all(t, q))
		if n < last+1 {
			t.Fatalf("%d mails were stored, %d are there", last+1, n)
		}
		var want []int
		for k := range n {
			want = append(want, k)
		}
		holds(t, q, want...)
	}
}

// redirect makes the queue's file descriptor write to a device, and returns what undoes that.
func redirect(t *testing.T, dir, device string) func() {
	t.Helper()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(d)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range fds {
		if target, _ := os.Readlink("/proc/self/fd/" + entry.Name()); target != path {
			continue
		}
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		saved, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.Dup3(d, fd, unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		return func() {
			if err := unix.Dup3(saved, fd, unix.O_CLOEXEC); err != nil {
				t.Fatal(err)
			}
			unix.Close(saved)
		}
	}
	t.Fatal("the queue's file descriptor is not found")
	return nil
}

// makeRoom leaves free pages in the file, so that it need not grow for a while.
func makeRoom(t *testing.T, q *Queue) {
	t.Helper()
	for n := 10; n < 30; n++ {
		put(t, q, n)
	}
	for n := 10; n < 30; n++ {
		m, _ := sample(n)
		if err := q.Forget(m.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// A write that fails for lack of room changes nothing, and the queue goes on when there is some.
func TestNoSpaceWhileWriting(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	put(t, q, 1)
	makeRoom(t, q)
	restore := redirect(t, dir, "/dev/full")
	if _, _, err := q.Put(sample(2)); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Errorf("storing on a full disk: %v", err)
	}
	m, _ := sample(1)
	if err := q.Update(m.ID, func(m *Mail) { m.State = mail.StateComplete }); !errors.Is(err, ErrFull) {
		t.Errorf("updating on a full disk: %v", err)
	}
	if err := q.Forget(m.ID); !errors.Is(err, ErrFull) {
		t.Errorf("forgetting on a full disk: %v", err)
	}
	holds(t, q, 1)
	restore()
	put(t, q, 2)
	holds(t, q, 1, 2)
	q.Close()
	holds(t, open(t, dir), 1, 2)
}

// After a sync that failed nobody knows what is on the disk, so nothing more is promised.
func TestFailedSync(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	put(t, q, 1)
	makeRoom(t, q)
	restore := redirect(t, dir, "/dev/null") // takes every write and cannot sync
	if _, _, err := q.Put(sample(2)); !errors.Is(err, ErrFailed) || errors.Is(err, ErrFull) {
		t.Errorf("the sync failed: %v", err)
	}
	restore()
	if err := q.Err(); !errors.Is(err, ErrFailed) {
		t.Errorf("the queue says of itself: %v", err)
	}
	m, _ := sample(1)
	_, _, errPut := q.Put(sample(2))
	_, _, errAgain := q.Put(sample(1))
	for _, err := range []error{errPut, errAgain, q.Forget(m.ID), q.Update(m.ID, func(*Mail) {})} {
		if !errors.Is(err, ErrFailed) {
			t.Errorf("after a failed sync: %v", err)
		}
	}
	q.Close()
	q = open(t, dir)
	if err := q.Err(); err != nil {
		t.Errorf("after a new start the queue says: %v", err)
	}
	put(t, q, 2)
	holds(t, q, 1, 2)
}

// Root may write anywhere; without its capabilities it may not, and another user never.
func TestReadOnlyDirectory(t *testing.T) {
	readOnly, file := t.TempDir(), t.TempDir()
	q := open(t, file)
	put(t, q, 1)
	q.Close()
	if err := os.Chmod(filepath.Join(file, "queue.db"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(readOnly, 0o500); err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	go func() {
		defer close(errs)
		runtime.LockOSThread() // never unlocked: the thread ends with its lost capabilities
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			t.Error(err)
			return
		}
		for _, dir := range []string{readOnly, filepath.Join(readOnly, "new"), file} {
			_, err := Open(dir, Limits{})
			errs <- err
		}
	}()
	for err := range errs {
		if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "writable") {
			t.Errorf("error %v", err)
		}
	}
}
