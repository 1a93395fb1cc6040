package tap

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"testing"
	"time"
)

// serveTap puts a tap before target and returns the tap's address.
func serveTap(t *testing.T, tap Tap, behind Target) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		tap.Serve(ctx, l, behind)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo answers every byte with itself.
func echo(t *testing.T) string {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// roundTrip sends text and reads it back.
func roundTrip(c net.Conn, text string) error {
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil {
		return err
	}
	if string(back) != text {
		return errors.New("other bytes came back")
	}
	return nil
}

func TestWireRecordsBothDirections(t *testing.T) {
	w := new(Wire)
	address := serveTap(t, w, Target{Address: echo(t)})
	for _, text := range []string{"one", "three"} {
		if err := roundTrip(dial(t, address), text); err != nil {
			t.Fatal(err)
		}
	}
	sums := map[int]map[bool]int{0: {}, 1: {}}
	var last time.Time
	for _, c := range w.Chunks() {
		sums[c.Conn][c.Out] += c.Bytes
		if c.At.Before(last) {
			t.Error("a chunk is out of order")
		}
		last = c.At
	}
	want := map[int]map[bool]int{0: {true: 3, false: 3}, 1: {true: 5, false: 5}}
	if !reflect.DeepEqual(sums, want) {
		t.Errorf("recorded %v, want %v", sums, want)
	}
}

func TestWireCutAndRestored(t *testing.T) {
	w := new(Wire)
	address := serveTap(t, w, Target{Address: echo(t)})
	c := dial(t, address)
	if err := roundTrip(c, "before"); err != nil {
		t.Fatal(err)
	}
	w.Cut()
	if err := roundTrip(c, "cut"); err == nil {
		t.Error("the old connection still works")
	}
	if err := roundTrip(dial(t, address), "cut"); err == nil {
		t.Error("a new connection works")
	}
	w.Restore()
	if err := roundTrip(dial(t, address), "after"); err != nil {
		t.Error(err)
	}
}

func TestWireStalledDeliversLater(t *testing.T) {
	w := new(Wire)
	c := dial(t, serveTap(t, w, Target{Address: echo(t)}))
	w.Stall()
	c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if err := roundTrip(c, "late"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, want silence", err)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	w.Restore()
	back := make([]byte, 4)
	if _, err := io.ReadFull(c, back); err != nil || string(back) != "late" {
		t.Errorf("got %q, %v", back, err)
	}
}

func TestWireSlow(t *testing.T) {
	w := new(Wire)
	c := dial(t, serveTap(t, w, Target{Address: echo(t)}))
	const d = 50 * time.Millisecond
	w.Slow(d)
	start := time.Now()
	if err := roundTrip(c, "slow"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took < 2*d {
		t.Errorf("there and back in %v, want at least %v", took, 2*d)
	}
}

func TestWireEndsWhileStalled(t *testing.T) {
	w := new(Wire)
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		w.Serve(ctx, l, Target{Address: echo(t)})
		close(done)
	}()
	c := dial(t, l.Addr().String())
	w.Stall()
	if _, err := io.WriteString(c, "x"); err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("Serve goes on after its context")
	}
}

func TestBursts(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	chunks := []Chunk{
		{0, at(0), true, 10}, {0, at(1), false, 5}, {1, at(2), true, 1}, {0, at(3), true, 20}, {0, at(8), true, 30}, {0, at(100), true, 40},
	}
	want := []Chunk{{0, at(0), true, 60}, {1, at(2), true, 1}, {0, at(100), true, 40}}
	if got := Bursts(chunks, true, 10*time.Millisecond); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := Bursts(chunks, false, 10*time.Millisecond); len(got) != 1 || got[0].Bytes != 5 {
		t.Errorf("the other direction: %v", got)
	}
}

func TestWireNarrow(t *testing.T) {
	w := new(Wire)
	address := serveTap(t, w, Target{Address: echo(t)})
	w.Narrow(100_000)
	start := time.Now()
	c := dial(t, address)
	for range 2 {
		if err := roundTrip(c, string(make([]byte, 10_000))); err != nil {
			t.Fatal(err)
		}
	}
	// There and back, twice.
	if took := time.Since(start); took < 400*time.Millisecond {
		t.Errorf("40,000 bytes one after the other took %v at 100,000 a second", took)
	}
}

func TestWireGarbled(t *testing.T) {
	w := new(Wire)
	address := serveTap(t, w, Target{Address: echo(t)})
	w.Garble()
	c := dial(t, address)
	if _, err := io.WriteString(c, "text"); err != nil {
		t.Fatal(err)
	}
	w.Restore()
	back := make([]byte, 4)
	if _, err := io.ReadFull(c, back); err != nil {
		t.Fatal(err)
	}
	if err := roundTrip(c, "text"); err != nil {
		t.Error(err)
	}
}
