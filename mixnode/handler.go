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
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/server/cborplugin"

	"codeberg.org/sourdine/sourdine/internal/control"
)

// Handler is the program that does an exit's work. The node starts it as
//
//	Command -p Argument
//
// or, if there is a secret for it, as
//
//	Command -p Argument --secret-fd 3
//
// where it reads the secret from that file descriptor to its end. It is started
// with two sockets in Dir: over one the node speaks Katzenpost's plugin protocol
// (server/cborplugin), so that the handler also serves a stock node; the other
// carries the handler's log and tells each side whether the other still lives. What
// the handler writes to its standard error, as the Go runtime does of a panic, comes
// out in Log as well.
type Handler struct {
	Command   string
	Argument  string
	Dir       string
	Secret    []byte         // what opens the handler's files; at most a pipe's buffer, nil for none
	Advertise map[string]any // published in the node's descriptor
	Log       io.Writer      // where the handler's log lines go
}

const (
	requestSocket = "requests.sock"
	lifeSocket    = "life.sock"
)

// stopTimeout bounds how long a handler may take to end when its node asks it to.
// It is longer than the mail's handler gives its transactions (exit, stopTimeout
// and quitTimeout, 10 s each).
const stopTimeout = 25 * time.Second

// startTimeout bounds how long a handler may take to come up, and how long it
// waits for its node. A stock node loses patience with it after 40 seconds, and
// panics.
const startTimeout = 30 * time.Second

// watch is the node's end of the life socket.
type watch struct {
	listener *net.UnixListener
	leaving  chan struct{} // closed by stop
	ended    chan struct{} // closed by the goroutine of listen when the handler is gone
}

func (h *Handler) listen() (*watch, error) {
	if err := control.CheckPath(filepath.Join(h.Dir, requestSocket)); err != nil {
		return nil, err // the handler's, said before it is started
	}
	l, err := control.ListenUnix(filepath.Join(h.Dir, lifeSocket))
	if err != nil {
		return nil, err
	}
	w := &watch{listener: l, leaving: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(w.ended)
		l.SetDeadline(time.Now().Add(startTimeout))
		came := make(chan struct{})
		go func() {
			select {
			case <-w.leaving:
				l.SetDeadline(time.Unix(1, 0)) // nobody is awaited any more
			case <-came:
			}
		}()
		conn, err := l.AcceptUnix()
		close(came)
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

// gone is closed when the handler has ended.
func (w *watch) gone() <-chan struct{} { return w.ended }

// stop ends the handler and waits for it.
func (w *watch) stop() error {
	close(w.leaving)
	select {
	case <-w.ended:
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the exit's handler did not end within %v; it ends by itself when it has done what it is at", stopTimeout)
	}
}

func (w *watch) close() { w.listener.Close() }

// Node is the node that started this process, seen from its handler. What is
// written to it comes out as the node's own log.
type Node struct {
	life     net.Conn
	requests *os.File // a socket that is bound, and does not listen yet
	path     string   // its
	late     atomic.Uint64
}

// DialNode connects a handler to its node over the sockets in dir. Nothing is opened
// there later, so the handler can give up its rights to dir then.
func DialNode(dir string) (*Node, error) {
	life, err := net.DialTimeout("unix", filepath.Join(dir, lifeSocket), startTimeout)
	if err != nil {
		return nil, fmt.Errorf("reaching the node that started this process: %w", err)
	}
	n := &Node{life: life, path: filepath.Join(dir, requestSocket)}
	if n.requests, err = control.BindUnix(n.path); err != nil {
		life.Close()
		return nil, err
	}
	return n, nil
}

// Write hands a line to the node's log.
func (n *Node) Write(line []byte) (int, error) { return n.life.Write(line) }

// Close tells the node that its handler has ended.
func (n *Node) Close() error { return errors.Join(n.requests.Close(), n.life.Close()) }

// Late is how many answers left later than they should, which tells whoever
// watches the node that the handler was busy with them.
func (n *Node) Late() uint64 { return n.late.Load() }

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

	// Only now, when the handler is ready: until then a node that connects is refused, and
	// tries again.
	l, err := control.ListenBound(n.requests)
	if err != nil {
		return err
	}
	defer l.Close()
	fmt.Println(n.path) // tells a stock node where to connect
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
	if err := serve(conn, handle, &n.late); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// answerAfter is how long after its request an answer leaves the node. It is the
// same for all and longer than a handler takes, even for one that waits for the
// disk: otherwise whoever watches the node's lines could tell the requests apart
// by how soon an answer follows.
const answerAfter = time.Second

// leaving returns what makes the engine send an answer answerAfter its request
// came: it waits for delay, less the time since the instant at. On the way to it at
// loses what is below a second (cbor, TimeUnix), so delay has that.
func leaving(came time.Time) (at time.Time, delay time.Duration) {
	at = time.Unix(came.Unix(), 0)
	return at, answerAfter + came.Sub(at)
}

// handlersAtOnce bounds the requests being answered together, so that they can
// share the handler's disk syncs without filling its memory.
const handlersAtOnce = 64

// serve counts in late the answers that took longer than answerAfter, and left
// when they were ready.
func serve(conn io.ReadWriter, handle func([]byte) []byte, late *atomic.Uint64) error {
	var (
		requests = newPlugin(conn)
		encode   = cbor.NewEncoder(conn)
		writing  sync.Mutex
		running  sync.WaitGroup
		slots    = make(chan struct{}, handlersAtOnce)
	)
	defer running.Wait()
	for {
		var req cborplugin.Request
		if err := requests.next(&req); err != nil {
			return fmt.Errorf("reading the node's request: %w", err)
		}
		if req.IsParametersRequest || len(req.SURB) == 0 {
			continue // a packet without a reply block is none of ours
		}
		at, delay := leaving(time.Now())
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			answer := handle(req.Payload)
			if answer == nil {
				return
			}
			writing.Lock()
			defer writing.Unlock()
			if time.Since(at) > delay {
				late.Add(1)
			}
			// A failed write shows as a failed read in the loop above.
			_ = encode.Encode(&cborplugin.Response{
				RequestAt: at, Delay: delay, ID: req.ID, SURB: req.SURB, Payload: answer,
			})
		})
	}
}
