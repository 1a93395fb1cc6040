package nodes_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
	"codeberg.org/sourdine/sourdine/mixnode/mixkeys"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// passing is a packet on its way through a mix, on the wire.
type passing struct {
	packet   []byte
	came     time.Time
	left     time.Time // zero: it was not seen again
	asked    time.Duration
	ended    bool    // the mix sent it to itself
	overtook float64 // its place among those that it left behind, by age, drawn within its share of 0 to 1
}

// On the wire of a mix that is busy with a gateway's packets, their replies and every
// node's loops, how long each packet stays is the exponential time that its sender drew,
// and which of those that are inside leaves next does not tell which of them came first.
func TestMixing(t *testing.T) {
	t.Parallel()
	const mean, batch = time.Second, 400 // far longer than a busy machine is late
	var mu sync.Mutex
	var came []*passing
	left := map[[32]byte]time.Time{}
	n := trial.Start(t, testnet.Options{
		Epoch: 20 * time.Second, Slot: 40 * time.Millisecond, Loop: mixingLoop, Delay: mean, Payload: 4000,
		Taps: map[string]tap.Tap{
			"mix2": &tap.Relay{Pass: func(packet []byte) bool {
				mu.Lock()
				defer mu.Unlock()
				came = append(came, &passing{packet: slices.Clone(packet), came: time.Now()})
				return true
			}},
			"mix3": &tap.Relay{Pass: func(packet []byte) bool {
				now := time.Now()
				mu.Lock()
				defer mu.Unlock()
				left[sha256.Sum256(packet)] = now
				return true
			}},
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), trial.Patience+2*time.Minute)
	defer cancel()
	network, err := gateway.TrustedNetwork(n.Path("mix2", "network.toml"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := network.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	keys := map[uint64]sphinx.PrivateKey{}
	mu.Lock()
	came = nil // what came before everything was up
	mu.Unlock()
	if err := n.Wait(ctx, "packets", func() (bool, error) {
		copyKeys(t, n.Path("mix2", "state", "mixkeys"), g, n.Epoch(), keys)
		mu.Lock()
		defer mu.Unlock()
		return len(came) >= mixingBatches*batch*14/10, nil // an eighth are loops of its own, which end here
	}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	judged := came // not what comes while these leave
	mu.Unlock()
	time.Sleep(20 * mean)
	mu.Lock()
	defer mu.Unlock()
	s := sphinx.New(g)
	var whole []*passing
	ended := 0
	for _, p := range judged {
		if p.find(s, keys, left) {
			whole = append(whole, p)
		} else if p.ended {
			ended++
		}
	}
	if len(whole) < (len(judged)-ended)*99/100 || len(whole) < mixingBatches*batch {
		t.Fatalf("of %d packets that came, %d ended here and %d are known to have left", len(judged), ended, len(whole))
	}
	rank(whole)

	delays, order, late := 0, 0, time.Duration(0)
	for i := range mixingBatches {
		var stays, places []float64
		for _, p := range whole[i*batch : (i+1)*batch] {
			stay := p.left.Sub(p.came)
			stays = append(stays, 1-math.Exp(-stay.Seconds()/mean.Seconds()))
			places = append(places, p.overtook)
			late = max(late, stay-p.asked)
		}
		if !uniform(stays) {
			delays++
		}
		if !uniform(places) {
			order++
		}
	}
	t.Logf("%d packets; of %d batches of %d, %d are not exponential and %d keep an order, at 1 %%; none left more than %v late",
		len(whole), mixingBatches, batch, delays, order, late)
	if delays > mixingFails || order > mixingFails {
		t.Errorf("%d and %d of %d batches fail a test that one in a hundred should; %d may", delays, order, mixingBatches, mixingFails)
	}
}

// copyKeys reads a node's mix keys around an epoch, from a copy.
func copyKeys(t *testing.T, dir string, g *sphinx.Geometry, epoch uint64, into map[uint64]sphinx.PrivateKey) {
	t.Helper()
	if into[epoch+1] != nil {
		return
	}
	copied := t.TempDir()
	switch err := os.CopyFS(filepath.Join(copied, "mixkeys"), os.DirFS(dir)); {
	case errors.Is(err, fs.ErrNotExist):
		return // the node changed something; the next look finds it
	case err != nil:
		t.Fatal(err)
	}
	sealer, err := seal.Open(seal.Plain, copied, nil)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := mixkeys.Open(filepath.Join(copied, "mixkeys"), g, sealer, func(uint64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for e := epoch - 1; e <= epoch+1; e++ {
		if key := keys.Private(e); key != nil && into[e] == nil {
			into[e] = key
		}
	}
}

// find unwraps a packet as the mix did, and finds when what came of it left.
func (p *passing) find(s *sphinx.Sphinx, keys map[uint64]sphinx.PrivateKey, left map[[32]byte]time.Time) bool {
	for _, key := range keys {
		var u sphinx.Unwrapped
		if s.Unwrap(key, p.packet, &u) == nil {
			p.ended = u.Last
			p.left, p.asked = left[sha256.Sum256(p.packet)], time.Duration(u.Delay)*time.Millisecond
			return !p.left.IsZero()
		}
	}
	return false
}

// rank gives each packet its place, by age, among those that were inside when it
// left: uniform, if leaving has nothing to do with age. A place of k is drawn within
// its k-th part.
func rank(all []*passing) {
	for _, p := range all {
		older, inside := 0, 0
		for _, q := range all {
			if q.came.After(p.left) {
				break // they are in the order in which they came
			}
			if q.left.Before(p.left) {
				continue
			}
			inside++
			if q.came.Before(p.came) {
				older++
			}
		}
		p.overtook = (float64(older) + rand.Float64()) / float64(inside)
	}
}

// uniform says whether values may be drawn evenly from 0 to 1, by Kolmogorov's and
// Smirnov's test at 1 % (its asymptotic quantile is 1.628).
func uniform(values []float64) bool {
	slices.Sort(values)
	n := float64(len(values))
	d := 0.0
	for i, v := range values {
		d = max(d, v-float64(i)/n, float64(i+1)/n-v)
	}
	return d*math.Sqrt(n) < 1.628
}

// The test of the test: what is drawn evenly passes as often as it should, and
// delays that are an eighth too long, or a mix that keeps a little order, do not.
func TestUniform(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, test := range []struct {
		name        string
		draw        func() float64
		least, most int // of 200 samples that fail
	}{
		{"even", rng.Float64, 0, 6},
		{"an eighth too long", func() float64 { return 1 - math.Exp(-rng.ExpFloat64()*1.125) }, 15, 200},
		{"the old leave first", func() float64 { return math.Pow(rng.Float64(), 1.3) }, 150, 200},
	} {
		fails := 0
		for range 200 {
			values := make([]float64, 400)
			for i := range values {
				values[i] = test.draw()
			}
			if !uniform(values) {
				fails++
			}
		}
		if fails < test.least || fails > test.most {
			t.Errorf("%s: %d of 200 samples fail, want %d to %d", test.name, fails, test.least, test.most)
		}
	}
}
