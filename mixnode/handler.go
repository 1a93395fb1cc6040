package mixnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/server/cborplugin"
)

// Handler is the program that does an exit's work. The node starts it as
//
//	Command -p Argument
//
// with two sockets in Dir: over one the engine speaks its plugin protocol
// (server/cborplugin), the other carries the handler's log and tells each side
// whether the other still lives.
type Handler struct {
	Command   string
	Argument  string
	Dir       string
	Advertise map[string]any // published in the node's descriptor
	Log       io.Writer      // where the handler's log lines go
}

const (
	requestSocket = "requests.sock"
	lifeSocket    = "life.sock"
)

// stopTimeout bounds how long a handler may take to end when its node asks it to.
const stopTimeout = 10 * time.Second

// startTimeout bounds how long a handler may take to come up, and how long it
// waits for its node. The engine loses patience with it after 40 seconds, and
// panics.
const startTimeout = 30 * time.Second

// watch is the node's end of the life socket.
type watch struct {
	listener *net.UnixListener
	leaving  chan struct{} // closed by stop
	ended    chan struct{} // closed by the goroutine of listen when the handler is gone
}

func (h *Handler) listen() (*watch, error) {
	if err := checkSocket(filepath.Join(h.Dir, requestSocket)); err != nil {
		return nil, err // the handler's, said before it is started
	}
	l, err := listenUnix(filepath.Join(h.Dir, lifeSocket))
	if err != nil {
		return nil, err
	}
	w := &watch{listener: l, leaving: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		l.SetDeadline(time.Now().Add(startTimeout))
		conn, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer conn.Close()
		go func() {
			select {
			case <-w.leaving:
				conn.CloseWrite() // the handler takes the node for gone
			case <-w.ended:
			}
		}()
		io.Copy(h.Log, conn) // its log, until it is gone
	}()
	return w, nil
}

// gone is closed when the handler has ended; for a node without one, never.
func (w *watch) gone() <-chan struct{} {
	if w == nil {
		return nil
	}
	return w.ended
}

// stop ends the handler, if there is one, and waits for it.
func (w *watch) stop() error {
	if w == nil {
		return nil
	}
	close(w.leaving)
	select {
	case <-w.ended:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the exit's handler did not end within %v; it ends by itself when it has done what it is at", stopTimeout)
	}
}

func (w *watch) close() { w.listener.Close() }

// longestSocket is how long a socket's path may be (unix(7): 108 bytes with the
// zero behind it; BSD and macOS have 104).
const longestSocket = 103

func checkSocket(path string) error {
	if len(path) > longestSocket {
		return fmt.Errorf("%s: the path has %d bytes, and a socket's at most %d; choose a state directory with a shorter one", path, len(path), longestSocket)
	}
	return nil
}

func listenUnix(path string) (*net.UnixListener, error) {
	if err := checkSocket(path); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// Node is the node that started this process, seen from its handler. What is
// written to it comes out as the node's own log.
type Node struct {
	dir  string
	life net.Conn
}

// DialNode connects a handler to its node over the sockets in dir.
func DialNode(dir string) (*Node, error) {
	life, err := net.DialTimeout("unix", filepath.Join(dir, lifeSocket), startTimeout)
	if err != nil {
		return nil, fmt.Errorf("reaching the node that started this process: %w", err)
	}
	return &Node{dir: dir, life: life}, nil
}

// Write hands a line to the node's log.
func (n *Node) Write(line []byte) (int, error) { return n.life.Write(line) }

// Close tells the node that its handler has ended.
func (n *Node) Close() error { return n.life.Close() }

// Serve answers the node's requests with handle, which must be safe for
// concurrent use and returns nil where there is to be no answer. It returns when
// ctx ends or the node is gone.
func (n *Node) Serve(ctx context.Context, handle func(request []byte) []byte) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		io.Copy(io.Discard, n.life) // until the node is gone
	}()

	path := filepath.Join(n.dir, requestSocket)
	l, err := listenUnix(path)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(path) // tells a stock node where to connect
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	l.SetDeadline(time.Now().Add(startTimeout))
	conn, err := l.Accept()
	if err != nil {
		return fmt.Errorf("waiting for the node to connect: %w", err)
	}
	defer conn.Close()
	stop = context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := serve(conn, handle); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// handlersAtOnce bounds the requests being answered together, so that they can
// share the handler's disk syncs without filling its memory.
const handlersAtOnce = 64

func serve(conn io.ReadWriter, handle func([]byte) []byte) error {
	var (
		decode  = cbor.NewDecoder(conn)
		encode  = cbor.NewEncoder(conn)
		writing sync.Mutex
		running sync.WaitGroup
		slots   = make(chan struct{}, handlersAtOnce)
	)
	defer running.Wait()
	for {
		var req cborplugin.Request
		if err := decode.Decode(&req); err != nil {
			return fmt.Errorf("reading the node's request: %w", err)
		}
		if req.IsParametersRequest || len(req.SURB) == 0 {
			continue // a packet without a reply block is none of ours
		}
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			answer := handle(req.Payload)
			if answer == nil {
				return
			}
			writing.Lock()
			defer writing.Unlock()
			// A failed write shows as a failed read in the loop above.
			_ = encode.Encode(&cborplugin.Response{
				RequestAt: req.RequestAt, Delay: req.Delay, ID: req.ID, SURB: req.SURB, Payload: answer,
			})
		})
	}
}
