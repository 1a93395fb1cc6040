package mixnode

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/common"
	"github.com/katzenpost/katzenpost/server/cborplugin"

	"codeberg.org/sourdine/sourdine/directory"
)

// TestMain runs this binary as a handler if it is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "-p" {
		panic("a handler's panic: " + os.Args[2])
	}
	os.Exit(m.Run())
}

// What a handler writes to its standard error ends in the node's log.
func TestPanicIsHeard(t *testing.T) {
	log := new(lines)
	cmd, _, err := (&Handler{Command: os.Args[0], Argument: "of ours", Log: log}).start()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the handler did not panic")
	}
	if !strings.Contains(log.String(), "panic: a handler's panic: of ours") || !strings.Contains(log.String(), "TestMain") {
		t.Errorf("the node's log is %q", log.String())
	}
}

// A node that stops before its handler has come does not wait for it.
func TestStopBeforeTheHandlerComes(t *testing.T) {
	h := &Handler{Dir: shortDir(t), Log: new(lines)}
	w, err := h.listen()
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	begin := time.Now()
	if err := w.stop(); err != nil || time.Since(begin) > stopTimeout/2 {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
}

// lines collects what a handler logs.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start brings up both ends of a handler in one process.
func start(t *testing.T, ctx context.Context, handle func([]byte) []byte) (w *watch, log *lines, ended chan error, engine net.Conn) {
	t.Helper()
	log = new(lines)
	h := &Handler{Dir: shortDir(t), Log: log}
	w, err := h.listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	node, err := DialNode(h.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Write([]byte("a line\n")); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() {
		err := node.Serve(ctx, handle)
		node.Write([]byte("the last line\n"))
		node.Close()
		ended <- err
	}()
	// The engine retries until the handler listens.
	for deadline := time.Now().Add(time.Minute); ; {
		if engine, err = net.Dial("unix", filepath.Join(h.Dir, requestSocket)); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Cleanup(func() { engine.Close() })
	return w, log, ended, engine
}

func wait[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatalf("%s did not happen", what)
	}
	return v
}

func TestHandlerAnswersRequests(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w, log, ended, engine := start(t, ctx, func(b []byte) []byte {
		if string(b) == "garbage" {
			return nil
		}
		return append([]byte("re: "), b...)
	})
	encode, decode := cbor.NewEncoder(engine), cbor.NewDecoder(engine)
	for _, r := range []cborplugin.Request{
		{IsParametersRequest: true},
		{ID: 1, Payload: []byte("no reply block")},
		{ID: 2, Payload: []byte("garbage"), SURB: []byte("block")},
		{ID: 3, Payload: []byte("question"), SURB: []byte("block")},
	} {
		if err := encode.Encode(&r); err != nil {
			t.Fatal(err)
		}
	}
	var answer cborplugin.Response
	if err := decode.Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.ID != 3 || string(answer.Payload) != "re: question" || string(answer.SURB) != "block" {
		t.Errorf("answer %+v", answer)
	}
	cancel()
	if err := wait(t, ended, "the handler's end"); err != nil {
		t.Error(err)
	}
	wait(t, w.gone(), "the node's notice of the handler's end")
	if !strings.Contains(log.String(), "a line") {
		t.Errorf("the node's log is %q", log.String())
	}
}

// Whatever the handler does for a request, its answer leaves the same time after
// it came, as the engine reckons that (server/internal/service/kaetzchen, in
// sendworker). Only what takes longer is late.
func TestAnswersLeaveAtOneTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(345 * time.Millisecond) // the wire has whole seconds
		near, far := net.Pipe()
		var late atomic.Uint64
		ended := make(chan error, 1)
		go func() {
			ended <- serve(far, func(b []byte) []byte {
				took, err := time.ParseDuration(string(b))
				if err != nil {
					t.Error(err)
				}
				time.Sleep(took)
				return b
			}, &late)
		}()
		encode, decode := cbor.NewEncoder(near), cbor.NewDecoder(near)
		for i, took := range []time.Duration{0, 15 * time.Millisecond, 700 * time.Millisecond, 999 * time.Millisecond, 3 * time.Second} {
			came := time.Now()
			err := encode.Encode(&cborplugin.Request{ID: uint64(i), RequestAt: came, Delay: time.Millisecond, Payload: []byte(took.String()), SURB: []byte("block")})
			if err != nil {
				t.Fatal(err)
			}
			var r cborplugin.Response
			if err := decode.Decode(&r); err != nil {
				t.Fatal(err)
			}
			left := time.Now().Add(max(0, r.Delay-time.Since(r.RequestAt)))
			if want := max(answerAfter, took); left.Sub(came) != want {
				t.Errorf("an answer that took %v leaves after %v, want %v", took, left.Sub(came), want)
			}
			time.Sleep(123 * time.Millisecond)
		}
		if n := late.Load(); n != 1 {
			t.Errorf("%d late answers, want 1", n)
		}
		near.Close()
		<-ended
	})
}

// The engine drops what it is asked to keep for longer than a bound that follows
// from the mean delay (server/internal/scheduler).
func TestAnswersAreNotDropped(t *testing.T) {
	if most := time.Duration(common.SafetyCap(directory.RateOf(directory.MinDelay))) * time.Millisecond; answerAfter >= most {
		t.Errorf("an answer waits %v, and the engine drops what waits longer than %v", answerAfter, most)
	}
}

// A node that stops waits for its handler's end, and hears it out.
func TestNodeStopsItsHandler(t *testing.T) {
	w, log, ended, _ := start(t, t.Context(), func([]byte) []byte { return nil })
	if err := w.stop(); err != nil {
		t.Error(err)
	}
	if err := wait(t, ended, "the handler's end"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "the last line") {
		t.Errorf("the node's log is %q", log.String())
	}
}

// A handler whose node is gone ends, so that it does not keep its store locked.
func TestHandlerEndsWithItsNode(t *testing.T) {
	_, _, ended, engine := start(t, t.Context(), func([]byte) []byte { return nil })
	engine.Close()
	if err := wait(t, ended, "the handler's end"); err == nil {
		t.Error("the lost connection is no error")
	}
}

func TestEngineGarbageEndsTheHandler(t *testing.T) {
	_, _, ended, engine := start(t, t.Context(), func([]byte) []byte { return nil })
	if _, err := engine.Write(bytes.Repeat([]byte{0xff}, 100)); err != nil {
		t.Fatal(err)
	}
	if err := wait(t, ended, "the handler's end"); err == nil {
		t.Error("garbage is no error")
	}
}

// A path that one of the two sockets cannot have is told before the handler is
// started.
func TestSocketPathTooLong(t *testing.T) {
	longest := 103 - len("/"+requestSocket)
	for _, test := range []struct {
		length int
		want   string
	}{{longest, "no such file"}, {longest + 1, "at most 103"}, {120, "at most 103"}} {
		h := &Handler{Dir: "/" + strings.Repeat("x", test.length-1), Log: new(lines)}
		if _, err := h.listen(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("directory of %d bytes: error %v, want %q", test.length, err, test.want)
		}
	}
}
