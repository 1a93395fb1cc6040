package mixnode

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/server/cborplugin"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/sphinx"
)

const (
	// echoCapability is what a node must offer so that the loops of stock nodes
	// find their way home (Katzenpost server/internal/service/kaetzchen/echo.go).
	echoCapability = "echo"
	echoEndpoint   = "+echo"

	// requestsWaiting is how many requests may wait for the handler. What comes
	// when there are more is lost, as on a line, and sent again by its gateway.
	requestsWaiting = 1024
)

// exit is what an exit is besides a node: it gives what arrives to its handler,
// and sends the answers.
type exit struct {
	n       *node
	handler *Handler
	echo    sphinx.RecipientID
	office  sphinx.RecipientID
	out     chan *request // to the handler

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*request // given to the handler
}

// request is what arrived for the handler.
type request struct {
	id      uint64
	arrived time.Time
	block   []byte // the reply block
	payload []byte
}

func newExit(n *node, h *Handler) *exit {
	e := &exit{n: n, handler: h, out: make(chan *request, requestsWaiting), waiting: map[uint64]*request{}}
	copy(e.echo[:], echoEndpoint)
	copy(e.office[:], directory.Endpoint)
	return e
}

// take gives a packet that ends here to whom it is for.
func (e *exit) take(p *packet, u *sphinx.Unwrapped) bool {
	if !u.HasRecipient || u.HasReply || u.Recipient != e.echo && u.Recipient != e.office {
		return false
	}
	block, user, err := e.n.sphinx.Geometry().SplitPlaintext(u.Payload)
	if err != nil || block == nil {
		return false // nobody can be answered
	}
	r := &request{arrived: p.arrived, block: append([]byte(nil), block...), payload: append([]byte(nil), user...)}
	if u.Recipient == e.echo {
		r.payload = append([]byte(nil), u.Payload...)
		drop(p)
		e.answer(r, r.payload)
		return true
	}
	drop(p)
	select {
	case e.out <- r:
		e.n.counts.requests.Add(1)
	default:
		e.n.counts.shed.Add(1)
	}
	return true
}

// answer sends an answer back, so long after the request as every other.
func (e *exit) answer(r *request, payload []byte) {
	raw, next, err := e.n.sphinx.UseReplyBlock(r.block, payload)
	if err != nil {
		e.n.counts.misrouted.Add(1)
		return
	}
	if _, ok := e.n.view.Load().to[next]; !ok {
		e.n.counts.unroutable.Add(1)
		return
	}
	f, err := e.n.frames.Make(link.Command{Kind: link.KindSendPacket, Data: raw})
	if err != nil {
		e.n.counts.misrouted.Add(1)
		return
	}
	due := r.arrived.Add(answerAfter)
	if e.n.now().After(due) {
		e.n.counts.overdue.Add(1)
	}
	e.n.counts.answers.Add(1)
	e.n.mixer.add(&packet{frame: f, next: next, due: due})
}

// advertise is what the descriptor says of the exit's services.
func (e *exit) advertise() (services, data map[string]map[string]any) {
	return map[string]map[string]any{
		directory.Capability: {"endpoint": directory.Endpoint},
		echoCapability:       {"endpoint": echoEndpoint},
	}, map[string]map[string]any{directory.Capability: e.handler.Advertise}
}

// run starts the handler and carries requests to it and answers back, until ctx
// ends or the handler does, which is an error.
func (e *exit) run(ctx context.Context, started chan<- struct{}) error {
	w, err := e.handler.listen()
	if err != nil {
		return err
	}
	defer w.close()
	child, path, err := e.handler.start()
	if err != nil {
		return err
	}
	go child.Wait() // so that nothing is left of it when it has ended
	conn, err := e.dial(ctx, w, path)
	if err != nil {
		_ = child.Process.Kill()
		return err
	}
	close(started)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	var writing sync.WaitGroup
	over := make(chan struct{})
	writing.Go(func() { e.write(conn, over) })
	err = e.read(conn)
	close(over)
	conn.Close()
	writing.Wait()
	if ctx.Err() != nil {
		return w.stop()
	}
	return fmt.Errorf("%w: %w", errHandlerEnded, err)
}

var errHandlerEnded = errors.New("the exit's handler ended, so the node ends too, to be started again with it")

// start starts the handler's process, and returns the socket that it listens on.
func (h *Handler) start() (*exec.Cmd, string, error) {
	cmd := exec.Command(h.Command, "-p", h.Argument)
	cmd.Stderr = os.Stderr
	// Its standard output is not read: the socket's path is known.
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("starting the exit's handler: %w", err)
	}
	return cmd, filepath.Join(h.Dir, requestSocket), nil
}

// dial connects to the handler as soon as it listens.
func (e *exit) dial(ctx context.Context, w *watch, path string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		select {
		case <-w.gone():
			return nil, errHandlerEnded
		case <-ctx.Done():
			return nil, fmt.Errorf("connecting to the exit's handler: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// write gives requests to the handler until over is closed.
func (e *exit) write(conn io.Writer, over <-chan struct{}) {
	encode := cbor.NewEncoder(conn)
	for {
		select {
		case <-over:
			return
		case r := <-e.out:
			e.mu.Lock()
			e.last++
			r.id = e.last
			e.waiting[r.id] = r
			e.forget(r.arrived)
			e.mu.Unlock()
			// The reply block stays here: what stands in its place only says that there is one.
			block := binary.BigEndian.AppendUint64(nil, r.id)
			if encode.Encode(&cborplugin.Request{RequestAt: r.arrived, ID: r.id, Payload: r.payload, SURB: block}) != nil {
				return // read sees it, too
			}
			r.payload = nil
		}
	}
}

// forget drops the oldest requests that the handler has not answered. It is called
// under mu.
func (e *exit) forget(now time.Time) {
	if len(e.waiting) <= requestsWaiting {
		return
	}
	for id, r := range e.waiting {
		if now.Sub(r.arrived) > e.n.period {
			delete(e.waiting, id)
		}
	}
}

// read takes answers from the handler until the connection ends.
func (e *exit) read(conn io.Reader) error {
	decode := cbor.NewDecoder(conn)
	for {
		var answer cborplugin.Response
		if err := decode.Decode(&answer); err != nil {
			return err
		}
		e.mu.Lock()
		r := e.waiting[answer.ID]
		delete(e.waiting, answer.ID)
		e.mu.Unlock()
		if r != nil {
			e.answer(r, answer.Payload)
		}
	}
}
