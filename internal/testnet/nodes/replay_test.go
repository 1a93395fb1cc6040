package nodes_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// recorder is what two relays see of a mix between them.
type recorder struct {
	mu     sync.Mutex
	came   [][]byte         // the last packets that its neighbours sent it, oldest first
	fresh  int              // how many they sent
	left   map[[32]byte]int // how often it sent each packet on
	closed bool             // nothing goes to it any more
}

// recorded is how many packets that came are kept to be sent again.
const recorded = 2000

func (r *recorder) coming(packet []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.fresh++
	r.came = append(r.came, slices.Clone(packet))
	if len(r.came) > recorded {
		r.came = r.came[1:]
	}
	return true
}

func (r *recorder) leaving(packet []byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left[sha256.Sum256(packet)]++
	return true
}

// counts is how many packets came, how many different ones left, and how many left
// more than once.
func (r *recorder) counts() (fresh, left, twice int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, times := range r.left {
		if times > 1 {
			twice++
		}
	}
	return r.fresh, len(r.left), twice
}

// some are the newest packets that came, and others at random.
func (r *recorder) some(rng *rand.Rand, newest, others int) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := slices.Clone(r.came[max(0, len(r.came)-newest):])
	for range others {
		list = append(list, r.came[rng.IntN(len(r.came))])
	}
	return list
}

// Whoever recorded packets sends them to a mix again: at once, and after the mix was
// killed at a random instant, or ended because its disk was full, when some of them
// had come and not left. None leaves it twice, and what is fresh leaves it after the
// restart as before.
func TestReplays(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	r := &recorder{left: map[[32]byte]int{}}
	into, beyond := &tap.Relay{Pass: r.coming}, &tap.Relay{Pass: r.leaving}
	n := trial.Start(t, testnet.Options{
		Slot: 50 * time.Millisecond, Delay: 300 * time.Millisecond, Payload: 4000,
		Taps: map[string]tap.Tap{"mix2": into, "mix3": beyond},
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(replayKills)*20*time.Second+2*trial.Patience)
	defer cancel()
	sent := 0
	again := func(packets [][]byte) {
		for _, p := range packets {
			if into.Send(p) == nil {
				sent++
			}
		}
	}
	flows := func(what string, packets int) {
		t.Helper()
		_, before, _ := r.counts()
		if err := n.Wait(ctx, what, func() (bool, error) { _, now, _ := r.counts(); return now >= before+packets, nil }); err != nil {
			t.Fatal(err)
		}
	}
	flows("packets to leave", 20)
	trial.Submit(t, n, "you@far.example", "full disk", "x\n")
	fullDisk(t, ctx, n)
	if err := n.Process("mix2").Start(); err != nil {
		t.Fatal(err)
	}
	flows("packets to leave after a full disk", 1)
	again(r.some(rng, 40, 10))
	for kill := range replayKills {
		trial.Submit(t, n, "you@far.example", fmt.Sprintf("replay %d", kill), "x\n")
		flows("packets to leave", 20+rng.IntN(20))
		again(r.some(rng, 20, 10))
		time.Sleep(time.Duration(rng.IntN(200)) * time.Millisecond)
		n.Process("mix2").Kill()
		if err := n.Process("mix2").Start(); err != nil {
			t.Fatal(err)
		}
		flows("packets to leave after a kill", 1)
		again(r.some(rng, 40, 10))
	}
	afterKills := sent
	again(r.some(rng, 0, max(0, 1000-sent)))

	// From the restart on, with an empty mix, as many leave as come.
	n.Process("mix2").Kill()
	time.Sleep(time.Second) // what left the killed mix has come to the next
	fresh, left, _ := r.counts()
	if err := n.Process("mix2").Start(); err != nil {
		t.Fatal(err)
	}
	flows("packets to leave after the last kill", 200)
	again(r.some(rng, 100, 0))
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	var before int
	if err := n.Wait(ctx, "the last packets to leave", func() (bool, error) {
		_, now, _ := r.counts()
		quiet := now == before
		before = now
		if !quiet {
			time.Sleep(3 * time.Second) // ten times the mean delay
		}
		return quiet, nil
	}); err != nil {
		t.Fatal(err)
	}
	freshNow, leftNow, twice := r.counts()
	fresh, left = freshNow-fresh, leftNow-left
	t.Logf("%d kills, %d packets sent again, %d of them around kills; %d left more than once; after the last kill %d fresh ones came and %d left",
		replayKills+1, sent, afterKills, twice, fresh, left)
	if twice > 0 {
		t.Errorf("%d packets left more than once", twice)
	}
	if sent < 1000 {
		t.Errorf("only %d packets were sent again", sent)
	}
	if left < fresh*99/100 {
		t.Errorf("after the restart %d fresh packets came, and %d left: %+v", fresh, left, trial.NodeStatus(t, ctx, n, "mix2"))
	}
	if got := trial.NodeStatus(t, ctx, n, "mix2").Dropped.Replayed; got < 100 {
		t.Errorf("the mix counts %d replays, and was sent 100 since its start", got)
	}
	r.mu.Lock()
	r.closed = false
	r.mu.Unlock()
	trial.AllOnce(t, ctx, n)
}

// fullDisk lets the mix's files grow no further and waits for its end: a packet whose
// tag is not on disk may not leave, and it says so.
func fullDisk(t *testing.T, ctx context.Context, n *testnet.Network) {
	t.Helper()
	mix := n.Process("mix2")
	mix.LetEnd()
	// Its tags outgrow this in seconds, and what it logs about them does not.
	trial.LimitFiles(t, mix.Pid(), uint64(len(mix.Log()))+2000)
	select {
	case <-mix.Ended():
	case <-ctx.Done():
		t.Fatal("a mix whose disk is full goes on")
	}
	if log := mix.Log(); !strings.Contains(log, "writing replay tags") || !strings.Contains(log, "make room") {
		t.Errorf("it does not say why it ended:\n%s", log)
	}
}
