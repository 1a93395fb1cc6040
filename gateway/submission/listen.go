package submission

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// listenTCP binds an IP address and port. Names other than localhost are refused: looking them up would ask the
// network.
func listenTCP(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%q is no address and port: write it as 127.0.0.1:1025", address)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, fmt.Errorf("%q is no IP address: write 127.0.0.1 or ::1", host)
	}
	if !ip.Unmap().IsLoopback() {
		return nil, fmt.Errorf("%s can be reached from other machines: use 127.0.0.1 or ::1", host)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: %w: is another gateway running? Stop it or choose another port", address, syscall.EADDRINUSE)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s is not ours to use: choose a port above 1023", address)
	case err != nil:
		return nil, fmt.Errorf("%s: %w: choose an address of this machine and a free port", address, err)
	}
	return l, nil
}

// listenUnix binds a unix socket that only this user can connect to, in place of one that a killed process left.
func listenUnix(path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != fs.ModeSocket {
			return nil, fmt.Errorf("%s is there and is no socket: move it away or choose another path", path)
		}
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%s is in use: is another gateway running? Stop it or choose another path", path)
		}
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("removing an old socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w: choose a path in a folder of yours, of at most 100 characters", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// connections counts the open connections of all listeners.
type connections struct {
	mu       sync.Mutex
	open     map[*connection]struct{}
	draining bool
}

// admit counts c, or returns nil if there are too many.
func (cs *connections) admit(c net.Conn) *connection {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) == maxConnections {
		return nil
	}
	if cs.open == nil {
		cs.open = make(map[*connection]struct{})
	}
	admitted := &connection{Conn: c, all: cs}
	admitted.limit = time.AfterFunc(maxSession, admitted.end)
	cs.open[admitted] = struct{}{}
	return admitted
}

// drain ends every wait for a mail program's next bytes, now and from now on, so that go-smtp ends the sessions.
func (cs *connections) drain() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.draining = true
	for c := range cs.open {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

// connection is one that was admitted.
type connection struct {
	net.Conn
	all    *connections
	limit  *time.Timer // ends it when it has lasted too long
	ending bool        // guarded by all.mu
}

// end ends the wait for the mail program's next bytes, so that go-smtp says 421 and hangs up.
func (c *connection) end() {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	c.ending = true
	c.Conn.SetReadDeadline(time.Unix(1, 0))
}

func (c *connection) SetReadDeadline(t time.Time) error {
	c.all.mu.Lock()
	defer c.all.mu.Unlock()
	if c.all.draining || c.ending {
		t = time.Unix(1, 0)
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *connection) Close() error {
	c.limit.Stop()
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// limitedListener turns connections away when there are too many.
type limitedListener struct {
	net.Listener
	connections *connections
	plain       bool // say why, as no TLS stands before the greeting
}

func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := l.connections.admit(c); admitted != nil {
			return admitted, nil
		}
		if l.plain {
			c.SetWriteDeadline(time.Now().Add(time.Second))
			io.WriteString(c, "421 4.3.2 Too many connections: close other mail programs or try again later\r\n")
		}
		c.Close()
	}
}
