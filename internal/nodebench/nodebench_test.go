package nodebench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"reflect"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/bench"
)

// The test's own program is the one that runs the children.
const childArgument = "nodebench-child"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == childArgument {
		if err := Child(context.Background(), os.Args[2], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func options(t *testing.T) Options {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Options{Program: []string{self, childArgument}, Sizes: Sizes, Rounds: 1, Packets: 40, Rate: 200}
}

// Everything is measured, for every size and load, and every packet comes through.
// How large the figures are is the machine's affair.
func TestRun(t *testing.T) {
	o := options(t)
	o.Profile = t.TempDir()
	rounds := 0
	o.Progress = func(round int) { rounds = round }
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if rounds != len(Sizes) || len(r.Results) != len(Sizes) {
		t.Fatalf("%d rounds with %d results", rounds, len(r.Results))
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var decoded Report
	if err := json.Unmarshal(encoded, &decoded); err != nil || !reflect.DeepEqual(&decoded, r) {
		t.Errorf("as JSON it is another report (%v): %s", err, encoded)
	}
	for i, e := range r.Results {
		if e.Scheme != Sizes[i].Scheme || e.UserPayload != Sizes[i].Payload || len(e.Loads) != 2 || e.Loads[0].Rate != o.Rate || e.Loads[1].Rate != 0 {
			t.Fatalf("result %d is %+v", i, e)
		}
		figures := []bench.Spread{e.Unwrap, e.Link}
		for _, l := range e.Loads {
			figures = append(figures, l.Ratio, l.Floor, l.OursToFloor, l.OursToBare, l.Tags)
			for kind, p := range map[string]Process{kindOurs: l.Ours, kindStock: l.Katzenpost, kindRelay: l.Relay, kindBare: l.Bare} {
				figures = append(figures, p.CPU, p.PerCPUSecond, p.PerSecond)
				if p.Sent != o.Packets || p.Arrived != p.Sent {
					t.Errorf("%s, %s process at rate %d: %d of %d packets came through", e.Scheme, kind, l.Rate, p.Arrived, p.Sent)
				}
			}
		}
		for j, f := range figures {
			if f.P25 <= 0 || f.Median < f.P25 || f.P75 < f.Median {
				t.Errorf("%s: figure %d is %v", e.Scheme, j, f)
			}
		}
		if e.OurPeak < 1e6 || e.KatzenpostPeak < 1e6 {
			t.Errorf("%s: the processes had %d and %d bytes", e.Scheme, e.OurPeak, e.KatzenpostPeak)
		}
		if info, err := os.Stat(o.Profile + "/" + e.Scheme + ".pprof"); err != nil || info.Size() == 0 {
			t.Errorf("%s: no profile: %v", e.Scheme, err)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no rounds":           func(o *Options) { o.Rounds = 0 },
		"too many rounds":     func(o *Options) { o.Rounds = MaxRounds + 1 },
		"no packets":          func(o *Options) { o.Packets = 0 },
		"too many packets":    func(o *Options) { o.Packets = MaxPackets + 1 },
		"no rate":             func(o *Options) { o.Rate = 0 },
		"too high a rate":     func(o *Options) { o.Rate = MaxRate + 1 },
		"what takes hours":    func(o *Options) { o.Rate, o.Packets = 1, MaxPackets },
		"an unknown scheme":   func(o *Options) { o.Sizes = []Size{{"rot13", 2000}} },
		"a missing program":   func(o *Options) { o.Program = []string{"/nowhere/at/all"} },
		"a program that ends": func(o *Options) { o.Program = []string{"/bin/true"} },
	} {
		o := options(t)
		change(&o)
		if _, err := Run(t.Context(), o); err == nil {
			t.Errorf("with %s it was measured", name)
		}
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	o.Rounds, o.Sizes, o.Progress = MaxRounds, Sizes[:1], func(int) { cancel() }
	if _, err := Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("measuring went on: %v", err)
	}
}

// A network begins late enough in its epoch for nobody to publish, and has the quiet
// that it was asked for until the next consensus.
func TestPeriod(t *testing.T) {
	begin := time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)
	for _, quiet := range []time.Duration{time.Minute, 5 * time.Minute, longestQuiet} {
		for i := range 1000 {
			now := begin.Add(time.Duration(i) * 7919 * time.Millisecond)
			p, err := period(now, quiet)
			if err != nil {
				t.Fatal(err)
			}
			gone := now.Sub(directory.EpochStart(directory.EpochAt(now, p), p))
			left := time.Duration(5.0/8*float64(p)) - gone
			if p%time.Second != 0 || p > 24*time.Hour || gone < p/8 || left < quiet {
				t.Fatalf("at %v an epoch of %v is %v old: %v of quiet are left, want %v", now, p, gone, left, quiet)
			}
		}
	}
}

// The relay's reader finds the records' bounds however the bytes come.
func TestRelayReader(t *testing.T) {
	for _, length := range []int{100, 5000} {
		var sent bytes.Buffer
		for i := range 20 {
			sent.Write(bytes.Repeat([]byte{byte(i)}, length))
		}
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			for chunk := 1; sent.Len() > 0; chunk += 97 {
				if _, err := far.Write(sent.Next(chunk)); err != nil {
					return
				}
			}
		}()
		r := &relayReader{conn: near}
		record := make([]byte, length, length+linkHeader)
		for i := range 20 {
			if err := r.read(record); err != nil || !bytes.Equal(record, bytes.Repeat([]byte{byte(i)}, length)) {
				t.Fatalf("record %d of %d bytes is another: %v", i, length, err)
			}
		}
		if err := r.read(record); !errors.Is(err, io.EOF) {
			t.Errorf("after the last record: %v", err)
		}
	}
}
