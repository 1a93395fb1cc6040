package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// A mail of each kind is measured, and no figure is missing.
func TestScrub(t *testing.T) {
	rounds := 0
	var measured [][]byte
	r, err := Scrub(t.Context(), ScrubOptions{Rounds: 2, Progress: func(round int) { rounds = round }, Memory: func(_ context.Context, written []byte) (int, error) {
		measured = append(measured, written)
		return len(measured), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if rounds != 2 || len(r.Results) != 5 {
		t.Fatalf("%d rounds with %d results", rounds, len(r.Results))
	}
	encoded, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var decoded ScrubReport
	if err := json.Unmarshal(encoded, &decoded); err != nil || !reflect.DeepEqual(&decoded, r) {
		t.Errorf("as JSON it is another report (%v): %s", err, encoded)
	}
	for i, e := range r.Results {
		if e.Written != len(measured[i]) || e.Memory != i+1 || e.Leaves < 50_000 {
			t.Errorf("%s: %d bytes written, %d leave, %d of memory", e.Kind, e.Written, e.Leaves, e.Memory)
		}
		figures := []Spread{e.Time, e.Rate}
		if (e.Recode != nil) != (e.Kind == photograph) {
			t.Errorf("%s: compared with recoding: %v", e.Kind, e.Recode)
		}
		if e.Recode != nil {
			figures = append(figures, *e.Recode)
		}
		for j, f := range figures {
			if f.P25 <= 0 || f.Median < f.P25 || f.P75 < f.Median {
				t.Errorf("%s: figure %d is %v", e.Kind, j, f)
			}
		}
	}
	if size := r.Results[2].Written; size < 6_000_000 || size > 7_500_000 { // 4.5 to 5.5 MB in base64
		t.Errorf("the photograph's mail has %d bytes", size)
	}
}

func TestScrubRefuses(t *testing.T) {
	for _, rounds := range []int{-1, 0, MaxRounds + 1} {
		if _, err := Scrub(t.Context(), ScrubOptions{Rounds: rounds}); err == nil {
			t.Errorf("%d rounds are measured", rounds)
		}
	}
	failed := errors.New("failed")
	if _, err := Scrub(t.Context(), ScrubOptions{Rounds: 1, Memory: func(context.Context, []byte) (int, error) { return 0, failed }}); !errors.Is(err, failed) {
		t.Errorf("error %v", err)
	}
	if _, err := ScrubOne(bytes.Repeat([]byte("no header"), 10)); err == nil {
		t.Error("what is no mail is measured")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Scrub(ctx, ScrubOptions{Rounds: 1}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v when it is interrupted", err)
	}
}
