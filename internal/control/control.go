// Package control lets a running program of ours be asked how it fares, by its
// owner alone: JSON over HTTP on a socket in its directory that only its user may
// open. It answers questions and takes no orders.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// longest is how long a socket's path may be, in bytes: a few less than unix(7) allows,
// 108 with the zero behind it.
const longest = 103

// CheckPath refuses a path that no socket can have.
func CheckPath(path string) error {
	if len(path) > longest {
		return fmt.Errorf("%s: the path has %d bytes, and a socket's at most %d; choose a directory with a shorter one", path, len(path), longest)
	}
	return nil
}

// ListenUnix binds a socket for this process's user alone, over one that an earlier
// run left: the caller knows that nobody else runs there.
func ListenUnix(path string) (*net.UnixListener, error) {
	socket, err := BindUnix(path)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	l, err := ListenBound(socket)
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(true) // as of a listener that net has made
	return l, nil
}

// BindUnix does the first half of ListenUnix, and [ListenBound] the second, between which
// a process may lose its rights to the directory. Who connects meanwhile is refused. The
// socket stays in the directory when it is closed.
func BindUnix(path string) (_ *os.File, err error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	socket := os.NewFile(uintptr(fd), path)
	defer func() {
		if err != nil {
			socket.Close()
		}
	}()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, fmt.Errorf("%s: %w", path, os.NewSyscallError("bind", err))
	}
	return socket, os.Chmod(path, 0o600)
}

// ListenBound listens on a socket that BindUnix bound, which stays the caller's to close.
func ListenBound(socket *os.File) (*net.UnixListener, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = unix.Listen(int(fd), unix.SOMAXCONN) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("listen", failed)
	}
	l, err := net.FileListener(socket)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// Answers are what may be asked, by name.
type Answers map[string]func() (any, error)

// Listen binds the socket at path, as ListenUnix does, and returns what answers
// until ctx ends.
func Listen(path string, answers Answers) (serve func(context.Context) error, err error) {
	l, err := ListenUnix(path)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	mux := http.NewServeMux()
	for name, get := range answers {
		mux.Handle("GET /"+name, serveJSON(get))
	}
	s := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	return func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { s.Close() })()
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	}, nil
}

func serveJSON(get func() (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v, err := get()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the reader is gone if this fails
	})
}

// Errors of Ask that a caller puts into the words of its program.
var (
	ErrNotRunning = errors.New("nothing answers on the control socket")
	ErrForbidden  = errors.New("it runs as another user, and tells its state to that user only")
)

// Ask asks the program whose socket is at path for one of its answers.
func Ask(path, name string, answer any) error {
	client := http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}},
	}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://control/" + name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return ErrNotRunning
	case errors.Is(err, fs.ErrPermission):
		return ErrForbidden
	case err != nil:
		return fmt.Errorf("it does not answer: %w", errors.Unwrap(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("it answers: %s: %s", resp.Status, strings.TrimSpace(string(why)))
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
