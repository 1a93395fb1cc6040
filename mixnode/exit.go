package mixnode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/server/cborplugin"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/mixnode/replay"
	"codeberg.org/sourdine/sourdine/sphinx"
)

const (
	// echoEndpoint is where the loops of all nodes turn.
	echoEndpoint = "+echo"

	// requestsWaiting is how many requests may wait for the handler at most, and
	// requestsGiven how many are remembered that it was given and has not answered. Of
	// one more, one at random is shed, as in the mixer, and sent again by its gateway.
	requestsWaiting = 1024
	requestsGiven   = 1024

	// answerable is for how long a request is remembered that the handler was given: it
	// answers within seconds, and some requests never, which would fill the list.
	answerable = time.Minute

	// lastWords is how long a handler may still log that takes no requests any more.
	lastWords = 5 * time.Second
)

// exit is what an exit is besides a node: it gives what arrives to its handler,
// and sends the answers.
type exit struct {
	n       *node
	handler *Handler
	echo    sphinx.RecipientID
	office  sphinx.RecipientID
	more    chan struct{} // of capacity 1: a request waits

	mu      sync.Mutex
	waiting []*request          // for the handler, oldest first
	room    int                 // for them
	given   map[uint64]*request // to the handler, by their numbers
	oldest  uint64              // every request before it was answered or forgotten
	next    uint64              // request's number
}

// request is what arrived for the handler.
type request struct {
	arrived time.Time
	given   time.Time // to the handler
	block   []byte    // the reply block
	payload []byte
	key     *epochKey     // among whose replay tags its packet's is
	ticket  replay.Ticket // of that tag
}

func newExit(n *node, h *Handler) *exit {
	e := &exit{n: n, handler: h, more: make(chan struct{}, 1), given: map[uint64]*request{}}
	copy(e.echo[:], echoEndpoint)
	copy(e.office[:], directory.Endpoint)
	return e
}

// take gives a packet that ends here to whom it is for. Its tag need not be on disk yet:
// only the answer leaves the node, and waits for it. So a handler may be given a request
// twice, if the node was killed in between, and has to do then as if it came once.
func (e *exit) take(p *packet, u *sphinx.Unwrapped) bool {
	if !u.HasRecipient || u.HasReply || u.Recipient != e.echo && u.Recipient != e.office {
		return false
	}
	block, user, err := e.n.sphinx.Geometry().SplitPlaintext(u.Payload)
	if err != nil || block == nil {
		return false // nobody can be answered
	}
	r := &request{arrived: p.arrived, block: append([]byte(nil), block...), payload: append([]byte(nil), user...), key: p.key, ticket: p.ticket}
	if u.Recipient == e.echo {
		r.payload = append([]byte(nil), u.Payload...)
		drop(p)
		e.answer(r, r.payload)
		return true
	}
	drop(p)
	e.wait(r)
	return true
}

// wait lets a request wait for the handler.
func (e *exit) wait(r *request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.waiting = append(e.waiting, r)
	e.shedBeyond()
	wake(e.more)
}

// resize changes how many requests may wait for the handler.
func (e *exit) resize(room int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.room = room
	e.shedBeyond()
}

// shedBeyond sheds the requests for which there is no room.
func (e *exit) shedBeyond() {
	for len(e.waiting) > e.room {
		i := rand.IntN(len(e.waiting))
		e.waiting = slices.Delete(e.waiting, i, i+1)
		e.n.counts.shed.Add(1)
	}
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
	e.n.mixer.add(&packet{frame: f, next: next, due: due, key: r.key, ticket: r.ticket})
}

// advertise is what the descriptor says of the exit's services.
func (e *exit) advertise() (services, data map[string]map[string]any) {
	return map[string]map[string]any{
		directory.Capability:     {"endpoint": directory.Endpoint},
		directory.EchoCapability: {"endpoint": echoEndpoint},
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
	// It is heard out: how it ended is in its last words.
	select {
	case <-w.gone():
	case <-time.After(lastWords):
	}
	return fmt.Errorf("%w: %w", errHandlerEnded, err)
}

var errHandlerEnded = errors.New("the exit's handler ended, so the node ends too, to be started again with it")

// start starts the handler's process, and returns the socket that it listens on.
func (h *Handler) start() (*exec.Cmd, string, error) {
	cmd := exec.Command(h.Command, "-p", h.Argument)
	cmd.Stderr = h.Log
	if h.Secret != nil {
		secret, err := handOver(h.Secret)
		if err != nil {
			return nil, "", fmt.Errorf("handing the exit's handler its secret: %w", err)
		}
		defer secret.Close()
		cmd.Args = append(cmd.Args, "--secret-fd", "3") // the first after the standard ones
		cmd.ExtraFiles = []*os.File{secret}
	}
	// The credential that opens all of the node's keys is none of the handler's.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CREDENTIALS_DIRECTORY=") })
	// Its standard output is not read: the socket's path is known.
	if err := cmd.Start(); err != nil {
		return nil, "", fmt.Errorf("starting the exit's handler: %w", err)
	}
	return cmd, filepath.Join(h.Dir, requestSocket), nil
}

// handOver returns a pipe that holds the secret.
func handOver(secret []byte) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Write(secret); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
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
		r := e.nextRequest()
		if r == nil {
			select {
			case <-over:
				return
			case <-e.more:
			}
			continue
		}
		if encode.Encode(r) != nil {
			return // read sees it, too
		}
	}
}

// isBlock stands in the place of a reply block, which stays with the node, and says
// that there is one.
var isBlock = []byte{1}

// nextRequest is what the handler is given next, under a number of its own; nil: nothing
// waits. The request is remembered without its payload.
func (e *exit) nextRequest() *cborplugin.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		return nil
	}
	r := e.waiting[0]
	e.waiting[0] = nil
	e.waiting = e.waiting[1:]
	out := &cborplugin.Request{RequestAt: r.arrived, ID: e.next, Payload: r.payload, SURB: isBlock}
	r.payload = nil
	e.remember(r)
	e.n.counts.requests.Add(1)
	return out
}

// remember keeps a request for when it is answered.
func (e *exit) remember(r *request) {
	r.given = e.n.now()
	if len(e.given) >= requestsGiven {
		e.forgetStale(r.given)
	}
	e.given[e.next] = r
	e.next++
	if len(e.given) <= requestsGiven {
		return
	}
	e.n.counts.shed.Add(1)
	n := rand.IntN(len(e.given))
	for id := range e.given {
		if n--; n < 0 {
			delete(e.given, id)
			return
		}
	}
}

// forgetStale makes room where requests have waited for too long for their answers.
func (e *exit) forgetStale(now time.Time) {
	for ; e.oldest < e.next; e.oldest++ {
		old := e.given[e.oldest]
		if old != nil && now.Sub(old.given) < answerable {
			return
		}
		if old != nil {
			delete(e.given, e.oldest)
			e.n.counts.stale.Add(1)
		}
	}
}

// answered takes out the request with a number; nil if there is none any more.
func (e *exit) answered(id uint64) *request {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.given[id]
	delete(e.given, id)
	return r
}

// read takes answers from the handler until the connection ends.
func (e *exit) read(conn io.Reader) error {
	answers := newPlugin(conn)
	for {
		var answer cborplugin.Response
		if err := answers.next(&answer); err != nil {
			return err
		}
		if r := e.answered(answer.ID); r != nil {
			e.answer(r, answer.Payload)
		}
	}
}
