package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/confine"
	"codeberg.org/sourdine/sourdine/internal/control"
)

// run runs the program in this process.
func run(t *testing.T, args ...string) {
	t.Helper()
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(io.Discard)
	if err := cmd.Execute(); err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
}

// as runs this binary as one of the programs of TestMain.
func as(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Args = append([]string{program}, args...)
	return cmd
}

// newExit makes an exit of a network that does not run, and returns its configuration.
func newExit(t *testing.T) (path string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "x") // short: sockets lie in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	in := func(name string) string { return filepath.Join(dir, name) }
	run(t, "authority", "init", in("a"), "--name", "auth", "--operator", "ann", "--address", "127.0.0.1:1", "--keys", "plain")
	run(t, "node", "init", in("e"), "--role", "entry", "--name", "entry", "--operator", "carl", "--address", "127.0.0.1:4", "--keys", "plain")
	run(t, "network", "make", "--name", "net", "-o", in("net.toml"), in("a/auth.member"), in("e/entry.member"))
	run(t, "network", "sign", "-c", in("a/authority.toml"), in("net.toml"))
	run(t, "node", "init", in("x"), "--role", "exit", "--name", "exit", "--operator", "gina", "--address", "127.0.0.1:7",
		"--from", "anonymous@exit.example", "--relay", "127.0.0.1:25", "--network", in("net.toml"), "--keys", "plain")
	return in("x/node.toml")
}

// burglar is what took a post office over: with its rights it reads and writes files.
func burglar() {
	f, err := readNode(os.Args[1])
	if err == nil {
		err = confineMail(f, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, path := range os.Args[2:] {
		switch _, err := os.ReadFile(path); {
		case err == nil:
			fmt.Println("read", path)
		case errors.Is(err, fs.ErrPermission):
			fmt.Println("kept from", path)
		default:
			fmt.Println(err)
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err == nil {
			f.Close()
			fmt.Println("wrote", path)
		}
	}
}

// What takes over a post office reads and writes its mail, and reads its password; of the
// node's keys, the credential that opens them and the configuration it gets nothing.
func TestPostOfficeIsConfined(t *testing.T) {
	path := newExit(t)
	in := func(name string) string { return filepath.Join(filepath.Dir(path), name) }
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = append(bytes.TrimSpace(text), "\nrelay_user = \"exit\"\nrelay_password_file = \"password\"\n"...) // [exit] is its last section
	for name, data := range map[string][]byte{"node.toml": text, "password": []byte("secret"), "sourdine-seal": []byte("a credential"), "state/mail/office.db": nil} {
		if err := config.WriteFile(in(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed := []string{
		in("state/identity.private.pem"), in("state/link.private.pem"), in("sourdine-seal"), in("node.toml"), in("network.toml"),
		fmt.Sprintf("/proc/%d/mem", os.Getpid()), fmt.Sprintf("/proc/%d/environ", os.Getpid()),
	}
	open := []string{in("state/mail/signing.key"), in("state/mail/office.db"), in("password"), resolvConf}
	for _, path := range append(closed, open...) {
		if f, err := os.Open(path); err != nil {
			t.Errorf("nobody keeps this process from %s, and yet: %v", path, err)
		} else {
			f.Close()
		}
	}
	cmd := as(t, "burglar", append([]string{path}, append(closed, open...)...)...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, log.Bytes())
	}
	said := strings.Split(string(out), "\n")
	says := func(line string) bool {
		for _, l := range said {
			if l == line {
				return true
			}
		}
		return false
	}
	if confine.Level() == 0 {
		if !strings.Contains(log.String(), "all rights of the node's user") || !says("read "+closed[0]) {
			t.Errorf("this kernel confines nothing, and the post office says %q and %q", log.String(), out)
		}
		return
	}
	for _, path := range closed {
		if !says("kept from "+path) || says("wrote "+path) {
			t.Errorf("%s is not kept from it", path)
		}
	}
	for _, path := range open {
		if !says("read " + path) {
			t.Errorf("%s is kept from it", path)
		}
	}
	if !says("wrote "+in("state/mail/office.db")) || says("wrote "+in("password")) {
		t.Errorf("it may write something else than its mail: %q", out)
	}
}

// The post office confines itself before it listens, says so in the node's log, and
// does its work so.
func TestPostOfficeRunsConfined(t *testing.T) {
	path := newExit(t)
	state := filepath.Join(filepath.Dir(path), "state")
	l, err := control.ListenUnix(filepath.Join(state, "life.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := as(t, "sourdine", "-p", path)
	cmd.Stderr = os.Stderr
	said, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	l.SetDeadline(time.Now().Add(time.Minute))
	life, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer life.Close()
	want := "the post office is confined to its mail"
	if confine.Level() == 0 {
		want = "the post office runs with all rights"
	}
	life.SetDeadline(time.Now().Add(time.Minute))
	line, err := bufio.NewReader(life).ReadString('\n')
	if err != nil || !strings.Contains(line, want) {
		t.Errorf("it says %q, %v; want %q", line, err, want)
	}
	// That it listens means that its store and keys are open.
	socket, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", strings.TrimSpace(socket))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() // not before life: requests that end while the node lives are an error
	life.Close()       // its node is gone
	if err := cmd.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(filepath.Join(state, mailDir, "office.db")); err != nil {
		t.Error(err)
	}
}

// lookup asks for a name server twice: as it starts, and when it may not read the file
// that names them any more.
func lookup() {
	r := newResolver(os.Args[1], slog.New(slog.NewTextHandler(os.Stderr, nil)))
	ask := func() {
		conn, err := r.Dial(context.Background(), "udp", "127.0.0.1:53")
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(conn.RemoteAddr())
	}
	ask()
	if err := confine.Process(confine.Rights{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	ask()
	ask()
}

// A post office that may not read a new resolv.conf goes on with the servers of the old
// one, each in its turn, and says so once.
func TestResolverGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(path, []byte("# a comment\nsearch example\nnameserver 127.3.3.3\nnameserver\t127.4.4.4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := as(t, "lookup", path)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, log.Bytes())
	}
	want, lines := "127.0.0.1:53\n127.4.4.4:53\n127.3.3.3:53\n", 1
	if confine.Level() == 0 {
		want, lines = strings.Repeat("127.0.0.1:53\n", 3), 0
	}
	if string(out) != want || strings.Count(log.String(), "was replaced") != lines {
		t.Errorf("it asks\n%s, and want\n%s; its log is %q", out, want, log.String())
	}
}
