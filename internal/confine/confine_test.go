package confine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain runs this binary as a burglar if it is started as one.
func TestMain(m *testing.M) {
	if text := os.Getenv("BURGLAR"); text != "" {
		var j job
		if err := json.Unmarshal([]byte(text), &j); err != nil {
			panic(err)
		}
		j.run()
		return
	}
	os.Exit(m.Run())
}

// job is what a burglar is started with: rights to keep, nil for all, and a house.
type job struct {
	Rights   *Rights
	Dir      string
	Port     int // where somebody listens
	Abstract string
}

// attempts are what a burglar tries. Those of the rights work; the others are taken
// away at the level beside them.
func (j *job) attempts() []attempt {
	in := func(name string) string { return filepath.Join(j.Dir, name) }
	parent := fmt.Sprint(os.Getppid())
	return []attempt{
		{"read the key", 1, func() error { _, err := os.ReadFile(in("identity.private.pem")); return err }},
		{"read the credential", 1, func() error { _, err := os.ReadFile(in("credentials/sourdine-seal")); return err }},
		{"read the key by a link in the mail", 1, func() error { _, err := os.ReadFile(in("mail/link")); return err }},
		{"list the house", 1, func() error { _, err := os.ReadDir(j.Dir); return err }},
		{"write the key", 1, func() error { return openAndClose(in("identity.private.pem"), os.O_WRONLY) }},
		{"make a file", 1, func() error { return openAndClose(in("made"), os.O_WRONLY|os.O_CREATE) }},
		{"remove a file", 1, func() error { return os.Remove(in("removable")) }},
		{"move a file in", 1, func() error { return os.Rename(in("movable"), in("mail/moved")) }},
		{"write what may be read", 1, func() error { return openAndClose(in("password"), os.O_WRONLY) }},
		{"execute what lies in the mail", 1, func() error { return exec.Command(in("mail/program")).Run() }},
		{"read the node's memory", 1, func() error { return openAndClose("/proc/"+parent+"/mem", os.O_RDONLY) }},
		{"empty the key", Truncation, func() error { return os.Truncate(in("emptied"), 0) }},
		{"connect elsewhere", TCP, func() error { return dial("tcp", fmt.Sprintf("127.0.0.1:%d", j.Port)) }},
		{"listen", TCP, func() error { return bind(&unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}) }},
		{"signal the node", Signals, func() error { return syscall.Kill(os.Getppid(), 0) }},
		{"connect to an abstract socket", Signals, func() error { return dial("unix", j.Abstract) }},
		{"connect to a socket", Sockets, func() error { return dial("unix", in("control.sock")) }},

		{"read the password", kept, func() error { _, err := os.ReadFile(in("password")); return err }},
		{"read a file in a directory", kept, func() error { _, err := os.ReadFile(in("resolve/conf")); return err }},
		{"write mail", kept, func() error { return os.WriteFile(in("mail/new"), []byte("x"), 0o600) }},
		{"rename mail", kept, func() error { return os.Rename(in("mail/new"), in("mail/newer")) }},
		{"remove mail", kept, func() error { return os.Remove(in("mail/newer")) }},
		{"list mail", kept, func() error { _, err := os.ReadDir(in("mail")); return err }},
		{"signal itself", kept, func() error { return unix.Tgkill(os.Getpid(), os.Getpid(), 0) }},
	}
}

// kept is the level of what stays.
const kept = 1 << 10

type attempt struct {
	what  string
	level int
	try   func() error
}

func openAndClose(path string, flag int) error {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func dial(network, address string) error {
	conn, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// bind is what net.Listen does, whose sockets are of Multipath TCP, which no kernel
// confines.
func bind(a unix.Sockaddr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Bind(fd, a)
}

// run tries everything on each of many threads that were there before, and prints which
// worked on one of them and which were refused on one of them.
func (j *job) run() {
	const threads = 8
	var started, running sync.WaitGroup
	begin := make(chan struct{})
	turn := new(sync.Mutex)
	found := result{Done: map[string]bool{}, Refused: map[string]bool{}, Errors: map[string]string{}}
	started.Add(threads)
	for range threads {
		running.Go(func() {
			runtime.LockOSThread()
			started.Done()
			<-begin
			turn.Lock()
			defer turn.Unlock()
			for _, a := range j.attempts() {
				switch err := a.try(); {
				case err == nil:
					found.Done[a.what] = true
				case errors.Is(err, os.ErrPermission):
					found.Refused[a.what] = true
				default:
					found.Errors[a.what] = err.Error()
				}
			}
		})
	}
	started.Wait()
	if j.Rights != nil {
		if err := Process(*j.Rights); err != nil {
			found.Process = err.Error()
		}
	}
	close(begin)
	running.Wait()
	json.NewEncoder(os.Stdout).Encode(found)
}

type result struct {
	Process       string
	Done, Refused map[string]bool
	Errors        map[string]string
}

// house is a directory with what a burglar wants, and listeners beside it.
func house(t *testing.T) *job {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"mail", "credentials", "resolve"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"identity.private.pem": "a key", "credentials/sourdine-seal": "a credential", "emptied": "another key", "password": "a password",
		"resolve/conf": "servers", "removable": "", "movable": "", "mail/program": "#!/bin/sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("../identity.private.pem", filepath.Join(dir, "mail/link")); err != nil {
		t.Fatal(err)
	}
	j := &job{Dir: dir, Abstract: "@" + dir}
	for network, address := range map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(dir, "control.sock"), "abstract": j.Abstract} {
		l, err := net.Listen(strings.Replace(network, "abstract", "unix", 1), address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if a, ok := l.Addr().(*net.TCPAddr); ok {
			j.Port = a.Port
		}
	}
	return j
}

func (j *job) start(t *testing.T) (r result) {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), "BURGLAR="+string(text))
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.Bytes())
	}
	if err := json.Unmarshal(out, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// A confined process does, on none of its threads, what its rights do not say, and what
// they say it does. Without, it does everything.
func TestProcess(t *testing.T) {
	j := house(t)
	j.Rights = &Rights{
		Write:   []string{filepath.Join(j.Dir, "mail")},
		Read:    []string{filepath.Join(j.Dir, "password"), filepath.Join(j.Dir, "resolve"), filepath.Join(j.Dir, "missing")},
		Connect: []uint16{1},
	}
	level, r := Level(), j.start(t)
	t.Logf("landlock of level %d", level)
	if want := map[bool]string{true: ErrMissing.Error()}[level == 0]; r.Process != want {
		t.Fatalf("confining says %q, want %q", r.Process, want)
	}
	for _, a := range j.attempts() {
		done, refused := r.Done[a.what], r.Refused[a.what]
		if taken := a.level <= level; taken && (done || !refused) {
			t.Errorf("%s: done is %v, refused is %v: %s", a.what, done, refused, r.Errors[a.what])
		}
		if a.level == kept && (!done || refused) {
			t.Errorf("%s: done is %v, refused is %v, of what it has a right to: %s", a.what, done, refused, r.Errors[a.what])
		}
	}

	free := house(t)
	r = free.start(t)
	for _, a := range free.attempts() {
		// Whom another may trace is the machine's affair (ptrace(2)).
		if !r.Done[a.what] && a.what != "read the node's memory" {
			t.Errorf("%s: not done, by a process that was not confined: %s", a.what, r.Errors[a.what])
		}
	}
}

// A right to what is not there is refused, rather than left out, where files are written.
func TestMissingDirectory(t *testing.T) {
	if Level() == 0 {
		if err := Process(Rights{}); !errors.Is(err, ErrMissing) {
			t.Errorf("on a kernel that has nothing: %v", err)
		}
		return
	}
	if err := Process(Rights{Write: []string{filepath.Join(t.TempDir(), "missing")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a directory that is missing: %v", err)
	}
}
