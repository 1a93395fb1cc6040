package mixnode

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/katzenpost/server/cborplugin"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// said is what one side of a handler's socket says.
func said[T any](t testing.TB, list ...T) (b []byte) {
	t.Helper()
	for _, v := range list {
		one, err := cbor.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		b = append(b, one...)
	}
	return b
}

// heard is what the library makes of what was said, up to where it is wrong.
func heard[T any](b []byte) (list []T) {
	for decode := cbor.NewDecoder(bytes.NewReader(b)); ; {
		var v T
		if decode.Decode(&v) != nil {
			return list
		}
		list = append(list, v)
	}
}

// duplex reads from one and writes to another.
type duplex struct {
	io.Reader
	io.Writer
}

// FuzzRequests gives a handler any bytes for its node's requests. It answers those that
// can be answered, as far as they can be read, and ends.
func FuzzRequests(f *testing.F) {
	one := cborplugin.Request{RequestAt: time.Unix(1, 0), Delay: time.Second, ID: 7, Payload: []byte("a request"), SURB: isBlock}
	f.Add(said(f, one))
	f.Add(said(f, one, cborplugin.Request{IsParametersRequest: true}, cborplugin.Request{ID: 8}, one))
	f.Add(said(f, one)[:20])
	f.Add(append(said(f, one), said(f, []int{1}, make([]int, 17))...))
	f.Add(said(f, map[string]any{"ID": -1, "SURB": []byte{1}, "Payload": "text"}))
	f.Add([]byte{0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // bytes without end
	f.Add([]byte{0xbf, 0x5f})                                           // of no length that is said
	f.Add(bytes.Repeat([]byte{0x81}, 100))
	f.Fuzz(func(t *testing.T, b []byte) {
		var wanted []string
		for _, r := range heard[cborplugin.Request](b) {
			if !r.IsParametersRequest && len(r.SURB) > 0 {
				wanted = append(wanted, fmt.Sprintf("%d %x %x", r.ID, r.SURB, r.Payload))
			}
		}
		var out bytes.Buffer
		err := serve(duplex{bytes.NewReader(b), &out}, func(b []byte) []byte { return append([]byte("re: "), b...) }, new(atomic.Uint64))
		if err == nil {
			t.Fatal("serving ended, and nothing says why")
		}
		var got []string
		for _, r := range heard[cborplugin.Response](out.Bytes()) {
			if payload, ok := bytes.CutPrefix(r.Payload, []byte("re: ")); ok && r.Delay > 0 {
				got = append(got, fmt.Sprintf("%d %x %x", r.ID, r.SURB, payload))
			}
		}
		// What is no message of the protocol's ends it, though the library would read on.
		if len(got) > len(wanted) {
			t.Fatalf("%d answers to %d requests", len(got), len(wanted))
		}
		wanted = wanted[:len(got)]
		slices.Sort(got) // they are answered side by side
		slices.Sort(wanted)
		if !slices.Equal(got, wanted) {
			t.Fatalf("%q was answered, not %q", got, wanted)
		}
	})
}

// FuzzAnswers gives an exit any bytes for its handler's answers. Each request is
// answered once at most, and what fits no packet is counted.
func FuzzAnswers(f *testing.F) {
	const requests = 3
	n := standalone(f, directory.RoleExit)
	n.now = func() time.Time { return time.Now().Add(time.Hour) } // no answer waits
	n.mixer.now = n.now
	g := n.sphinx.Geometry()
	public, _, err := g.GenerateKey()
	if err != nil {
		f.Fatal(err)
	}
	key, err := g.PublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	block, _, err := n.sphinx.NewReplyBlock([]sphinx.Hop{
		{ID: there, Key: key, Delay: 50},
		{ID: sphinx.NodeID{8}, Key: key, Recipient: new(sphinx.RecipientID), Reply: new(sphinx.ReplyID)},
	})
	if err != nil {
		f.Fatal(err)
	}
	one := cborplugin.Response{RequestAt: time.Unix(1, 0), Delay: time.Second, ID: 1, Payload: []byte("an answer")}
	f.Add(said(f, one, one))
	f.Add(said(f, cborplugin.Response{}, cborplugin.Response{ID: math.MaxUint64}, cborplugin.Response{ID: 2, IsParametersResponse: true, Params: map[string]any{"a": 1}}))
	f.Add(said(f, cborplugin.Response{ID: 2, Payload: make([]byte, g.PayloadLength+1)}))
	f.Add(said(f, map[string]any{"ID": 0, "RequestAt": "yesterday"}))
	f.Add([]byte{0xa0, 0xa0, 0xf6})
	f.Add([]byte{0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}) // a list without end
	f.Fuzz(func(t *testing.T, b []byte) {
		e := newExit(n, &Handler{})
		for range requests {
			e.remember(&request{arrived: time.Now(), block: bytes.Clone(block)})
		}
		before := n.counts.answers.Load() + n.counts.misrouted.Load()
		if e.read(bytes.NewReader(b)) == nil {
			t.Fatal("reading ended, and nothing says why")
		}
		open := map[uint64]bool{0: true, 1: true, 2: true}
		for _, r := range heard[cborplugin.Response](b) {
			delete(open, r.ID)
		}
		taken := requests - len(e.given)
		if taken > requests-len(open) {
			t.Fatalf("%d requests are answered, and %d answers came", taken, requests-len(open))
		}
		if got := n.counts.answers.Load() + n.counts.misrouted.Load() - before; got != uint64(taken) {
			t.Fatalf("%d requests are answered, and %d answers counted", taken, got)
		}
		n.mixer.move()
		for _, p := range n.mixer.take(there, nil, 2*requests) {
			drop(p)
		}
	})
}

// endless says the same for ever.
type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

// Neither side of a handler's socket takes more memory than a message may have, whatever
// the other one says for however long.
func TestMessagesAreBounded(t *testing.T) {
	for name, begins := range map[string][]byte{
		"bytes without end": {0x5b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"text without end":  {0x7b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"in a map":          {0xa1, 0x67, 'P', 'a', 'y', 'l', 'o', 'a', 'd', 0x5b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a long list":       {0x9b, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"of no length said": {0x5f},
	} {
		says := func() io.Reader { return io.MultiReader(bytes.NewReader(begins), endless(0x40)) }
		e := newExit(standalone(t, directory.RoleExit), &Handler{})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		served := serve(duplex{says(), io.Discard}, func(b []byte) []byte { return b }, new(atomic.Uint64))
		read := e.read(says())
		runtime.ReadMemStats(&after)
		if served == nil || read == nil || errors.Is(read, io.EOF) {
			t.Errorf("%s: %v, %v", name, served, read)
		}
		// A buffer that grows by half or twice each time is made anew a few times.
		if took := after.TotalAlloc - before.TotalAlloc; took > 16*maxMessage {
			t.Errorf("%s: %d bytes of memory were taken", name, took)
		}
	}
}

// The largest messages of the largest packets are no longer than one may be.
func TestLargestMessage(t *testing.T) {
	for _, scheme := range []string{"x25519", sphinx.DefaultScheme} {
		g, err := sphinx.NewGeometry(scheme, sphinx.MaxHops, sphinx.MaxUserPayload)
		if err != nil {
			t.Fatal(err)
		}
		payload, block := make([]byte, g.UserPayloadLength), make([]byte, g.HeaderLength+1000)
		for name, b := range map[string][]byte{
			"request":  said(t, cborplugin.Request{RequestAt: time.Now(), Delay: math.MaxInt64, ID: math.MaxUint64, Payload: payload, SURB: block}),
			"response": said(t, cborplugin.Response{RequestAt: time.Now(), Delay: math.MaxInt64, ID: math.MaxUint64, Payload: payload, SURB: block}),
		} {
			var v cborplugin.Response
			if err := newPlugin(bytes.NewReader(b)).next(&v); err != nil || len(v.Payload) != len(payload) {
				t.Errorf("%s: a %s of %d bytes: %v", scheme, name, len(b), err)
			}
		}
	}
}

// FuzzTraffic reads any bytes as the month's traffic. Whatever they are, the node goes
// on, at a pace that is one.
func FuzzTraffic(f *testing.F) {
	f.Add([]byte("month = \"2026-11\"\nbytes = 1000\n"), uint16(100))
	f.Add([]byte("month = \"2026-11\"\nbytes = 9223372036854775807\n"), uint16(50))
	f.Add([]byte("month = \"2026-11\"\nbytes = -1\n"), uint16(0))
	f.Add([]byte("month = \"1999-01\"\nbytes = 1\n"), uint16(0))
	f.Add([]byte("month = 3\n"), uint16(0))
	f.Add([]byte("more = 3\n"), uint16(0))
	f.Add([]byte{}, uint16(60))
	dir := f.TempDir()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, b []byte, gigabytes uint16) {
		path := filepath.Join(dir, trafficFile)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		tr, err := newTraffic(dir, Budget{MonthGB: int(gigabytes)}, 2000, func() time.Time { return now })
		if err != nil && (tr.used.Bytes != 0 || !strings.Contains(err.Error(), trafficFile)) {
			t.Fatalf("%d bytes are kept of a file that cannot be read: %v", tr.used.Bytes, err)
		}
		if tr.used.Month != "2026-11" {
			t.Fatalf("the month is %q", tr.used.Month)
		}
		if bounded := gigabytes > 0; bounded != (tr.rate > 0) || bounded && tr.rate < slowest {
			t.Fatalf("a pace of %v bytes a second, with %d GB a month", tr.rate, gigabytes)
		}
		was := tr.used.Bytes
		rest := tr.came(2000)
		if rest < 0 || rest > 2*time.Second || tr.atOnce(10) < 1 || tr.waiting(time.Second) < 1 {
			t.Fatalf("after a packet the line rests for %v", rest)
		}
		if tr.used.Bytes < was {
			t.Fatalf("after %d bytes and 2000 more there are %d", was, tr.used.Bytes)
		}
		if err := tr.store(); err != nil {
			t.Fatal(err)
		}
		again, err := newTraffic(dir, Budget{}, 2000, func() time.Time { return now })
		if err != nil || again.used != tr.used {
			t.Fatalf("%+v is read again as %+v, %v", tr.used, again.used, err)
		}
	})
}
