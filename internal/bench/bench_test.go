package bench

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Everything is measured, for every scheme: no figure is missing. How large they
// are is the machine's affair.
func TestSphinx(t *testing.T) {
	rounds := 0
	r, err := Sphinx(context.Background(), Options{
		Schemes: sphinx.Schemes(), Rounds: 2, Progress: func(round int) { rounds = round }, turn: time.Microsecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if rounds != 2 || len(r.Results) != len(sphinx.Schemes())*len(payloads) {
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
		if e.Scheme != sphinx.Schemes()[i/len(payloads)] || e.UserPayload != payloads[i%len(payloads)] {
			t.Errorf("result %d is of %s with %d bytes", i, e.Scheme, e.UserPayload)
		}
		figures := []Spread{e.Primitives.Sum, e.Primitives.Ratio, e.Batch.One, e.Batch.Two, e.Batch.Ratio}
		for _, c := range []Comparison{e.Unwrap, e.Wrap, e.OpenReply} {
			figures = append(figures, c.Ours, c.Katzenpost, c.Ratio)
			if c.KatzenpostAllocations < 10 || c.OurAllocations >= c.KatzenpostAllocations {
				t.Errorf("%s with %d bytes: %d allocations, Katzenpost's %d", e.Scheme, e.UserPayload, c.OurAllocations, c.KatzenpostAllocations)
			}
		}
		for _, p := range e.Primitives.List {
			figures = append(figures, p.Time)
		}
		for j, f := range figures {
			if f.P25 <= 0 || f.Median < f.P25 || f.P75 < f.Median {
				t.Errorf("%s with %d bytes: figure %d is %v", e.Scheme, e.UserPayload, j, f)
			}
		}
	}
}

func TestSphinxRefuses(t *testing.T) {
	for _, o := range []Options{
		{Schemes: sphinx.Schemes()},
		{Schemes: sphinx.Schemes(), Rounds: MaxRounds + 1},
		{Schemes: []string{"rot13"}, Rounds: 1},
	} {
		if _, err := Sphinx(context.Background(), o); err == nil {
			t.Errorf("%+v was measured", o)
		}
	}
}

func TestSphinxEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Schemes: []string{sphinx.DefaultScheme}, Rounds: MaxRounds, Progress: func(int) { cancel() }, turn: time.Microsecond}
	if _, err := Sphinx(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("measuring went on: %v", err)
	}
}

// Work that allocates is seen to.
func TestAllocations(t *testing.T) {
	c := newContender("three times", func() error {
		for range 3 {
			sink = make([]byte, 100)
		}
		return nil
	})
	if err := c.countAllocations(); err != nil || c.allocations != 3 {
		t.Errorf("%d allocations: %v", c.allocations, err)
	}
}

var sink []byte

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		figures []float64
		want    Spread
	}{
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{2, 1}, Spread{1.25, 1.5, 1.75}},
		{[]float64{5, 1, 4, 2, 3}, Spread{2, 3, 4}},
	} {
		if got := SpreadOf(slices.Clone(c.figures)); got != c.want {
			t.Errorf("SpreadOf(%v) = %v, want %v", c.figures, got, c.want)
		}
	}
	a, b := &contender{took: []float64{2, 9, 4}}, &contender{took: []float64{1, 3, 4}}
	if got := ratio(a, b); got != (Spread{1.5, 2, 2.5}) {
		t.Errorf("ratio = %v", got)
	}
	if got := a.rate(8); got.Median != 2e6 {
		t.Errorf("rate = %v", got)
	}
}
