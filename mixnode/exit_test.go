package mixnode

import (
	"bytes"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// requested gives the exit a packet for an endpoint, with a reply block that leads
// back over the mix that it sends to.
func (n *node) requested(t *testing.T, endpoint string) {
	t.Helper()
	g := n.sphinx.Geometry()
	public, _, err := g.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := g.PublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, _, err := n.sphinx.NewReplyBlock([]sphinx.Hop{
		{ID: there, Key: key, Delay: 50},
		{ID: sphinx.NodeID{8}, Key: key, Recipient: new(sphinx.RecipientID), Reply: new(sphinx.ReplyID)},
	})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := g.Plaintext(block, []byte("a request"))
	if err != nil {
		t.Fatal(err)
	}
	if key, err = g.PublicKey(n.keys.public(n.epoch())); err != nil {
		t.Fatal(err)
	}
	hop := sphinx.Hop{ID: n.id, Key: key, Delay: 1, Recipient: new(sphinx.RecipientID)}
	copy(hop.Recipient[:], endpoint)
	raw, err := n.sphinx.Wrap([]sphinx.Hop{hop}, plain)
	if err != nil {
		t.Fatal(err)
	}
	n.give(t, raw, false)
}

// Every answer leaves the same time after its request, whether the handler was
// quick or not, and an echo's too.
func TestAnswersLeaveTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleExit)
		now := time.Now()
		n.now = func() time.Time { return now }
		n.mixer.now = n.now
		n.requested(t, echoEndpoint)
		n.requested(t, directory.Endpoint)
		time.Sleep(time.Second) // of the disk's clock: the tags are written
		r := n.exit.nextRequest()
		if !bytes.HasPrefix(r.Payload, []byte("a request")) {
			t.Errorf("the handler is given %q", r.Payload[:20])
		}
		now = now.Add(answerAfter / 2)
		n.exit.answer(n.exit.answered(r.ID), []byte("an answer"))
		if due, _ := n.mixer.pool.Next(); !due.Equal(now.Add(answerAfter / 2)) {
			t.Errorf("the first answer leaves %v after its request", due.Sub(now)+answerAfter/2)
		}
		now = now.Add(answerAfter/2 - 1)
		n.mixer.move()
		if list := n.mixer.take(there, nil, 9); len(list) != 0 {
			t.Errorf("%d answers left too early", len(list))
		}
		now = now.Add(1)
		n.mixer.move()
		list := n.mixer.take(there, nil, 9)
		if len(list) != 2 || n.counts.overdue.Load() != 0 {
			t.Errorf("%d answers left together, want 2; %d are overdue", len(list), n.counts.overdue.Load())
		}
		for _, p := range list {
			drop(p)
		}
	})
}

// An answer whose time has come waits for its request's replay tag to be on disk, and an
// echo's, too: a node that was killed before would answer the same packet twice.
func TestAnswersWaitForTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleExit)
		now := time.Now()
		n.now = func() time.Time { return now }
		n.mixer.now = n.now
		n.requested(t, echoEndpoint)
		n.requested(t, directory.Endpoint)
		r := n.exit.nextRequest()
		n.exit.answer(n.exit.answered(r.ID), []byte("an answer"))
		now = now.Add(2 * answerAfter) // of the node's clock, while none of the disk's goes by
		synctest.Wait()
		n.mixer.move()
		if tags := n.keys.candidates()[0].tags; tags.Len() != 2 || tags.Durable() != 0 {
			t.Fatalf("%d tags, %d of them on disk, want two that are not", tags.Len(), tags.Durable())
		}
		if list := n.mixer.take(there, nil, 9); len(list) != 0 {
			t.Errorf("%d answers left before the tags were on disk", len(list))
		}
		time.Sleep(time.Second)
		n.mixer.move()
		list := n.mixer.take(there, nil, 9)
		if len(list) != 2 {
			t.Errorf("%d answers left when the tags were on disk, want 2", len(list))
		}
		for _, p := range list {
			drop(p)
		}
	})
}

// A handler that never answers does not fill the node's memory, and an answer to
// what was forgotten, or that nobody asked for, is none.
func TestUnansweredRequestsAreBounded(t *testing.T) {
	n := standalone(t, directory.RoleExit)
	now := time.Now()
	n.now = func() time.Time { return now }
	e := n.exit
	give := func(requests int) {
		for range requests {
			e.wait(&request{})
			e.nextRequest()
		}
	}
	give(3 * requestsGiven)
	if len(e.given) != requestsGiven || n.counts.shed.Load() != 2*requestsGiven {
		t.Errorf("%d requests are remembered, %d were shed, want %d", len(e.given), n.counts.shed.Load(), requestsGiven)
	}
	var kept [3]int // of the oldest third, the middle and the newest
	for id := range uint64(3 * requestsGiven) {
		if e.answered(id) == nil {
			continue
		}
		if kept[id/requestsGiven]++; e.answered(id) != nil {
			t.Fatal("a request is answered twice")
		}
	}
	if len(e.given) != 0 || e.answered(3*requestsGiven) != nil {
		t.Errorf("%d requests are left when all have been answered", len(e.given))
	}
	// One of all is shed, 2n times of n: of the oldest third e^-2 is left, of the newest 1 - 1/e.
	for i, share := range []float64{0.135, 0.233, 0.632} {
		want := share * requestsGiven
		if math.Abs(float64(kept[i])-want) > 6*math.Sqrt(want*(1-share)) {
			t.Errorf("of the oldest, middle and newest third %d requests are kept, want about %.0f in place %d", kept, want, i)
		}
	}

	// What is not answered for long makes room for the others.
	n.counts.shed.Store(0)
	give(requestsGiven)
	now = now.Add(answerable - 1)
	give(1)
	if n.counts.shed.Load() != 1 || n.counts.stale.Load() != 0 {
		t.Errorf("%d requests were shed, %d too old", n.counts.shed.Load(), n.counts.stale.Load())
	}
	now = now.Add(1)
	give(requestsGiven - 1)
	if len(e.given) > requestsGiven || n.counts.shed.Load() != 1 || n.counts.stale.Load() < requestsGiven-1 {
		t.Errorf("%d requests are remembered, %d were shed, %d too old", len(e.given), n.counts.shed.Load(), n.counts.stale.Load())
	}
}

// When more requests come than may wait for the handler, whether one is the newest or the
// oldest, its chance to be shed is that of the others; and what is left keeps its order.
func TestRequestsAreShedAtRandom(t *testing.T) {
	const rounds, room = 6000, 10
	n := standalone(t, directory.RoleExit)
	n.exit.resize(room)
	lost := make([]float64, room+1)
	for i := range lost {
		lost[i] = rounds
	}
	for range rounds {
		n.counts.shed.Store(0)
		for i := range byte(room + 1) {
			n.exit.wait(&request{payload: []byte{i}})
		}
		if n.counts.shed.Load() != 1 || len(n.exit.waiting) != room {
			t.Fatalf("%d requests wait, %d were shed", len(n.exit.waiting), n.counts.shed.Load())
		}
		last := -1
		for r := n.exit.nextRequest(); r != nil; r = n.exit.nextRequest() {
			i := int(r.Payload[0])
			if i <= last {
				t.Fatal("an older request is given after a newer one")
			}
			last = i
			lost[i]--
			n.exit.answered(r.ID)
		}
	}
	want := float64(rounds) / (room + 1)
	for i, got := range lost {
		if math.Abs(got-want) > 6*math.Sqrt(want) {
			t.Errorf("request %d of %d was shed %v times of %d, want about %.0f", i, len(lost), got, rounds, want)
		}
	}
	n.exit.wait(&request{})
	n.exit.wait(&request{})
	if n.exit.resize(1); len(n.exit.waiting) != 1 {
		t.Errorf("%d requests wait when there is room for one", len(n.exit.waiting))
	}
}
