package mixnode

import (
	"bytes"
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
		id, payload := n.exit.number(<-n.exit.out)
		if !bytes.HasPrefix(payload, []byte("a request")) {
			t.Errorf("the handler is given %q", payload[:20])
		}
		now = now.Add(answerAfter / 2)
		n.exit.answer(n.exit.answered(id), []byte("an answer"))
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
		id, _ := n.exit.number(<-n.exit.out)
		n.exit.answer(n.exit.answered(id), []byte("an answer"))
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
	e := newExit(standalone(t, directory.RoleExit), &Handler{})
	for range 3 * requestsGiven {
		e.number(&request{})
	}
	if len(e.given) != requestsGiven {
		t.Errorf("%d requests are remembered, want %d", len(e.given), requestsGiven)
	}
	for id, want := range map[uint64]bool{0: false, 2*requestsGiven - 1: false, 2 * requestsGiven: true, 3*requestsGiven - 1: true, 3 * requestsGiven: false} {
		if got := e.answered(id) != nil; got != want {
			t.Errorf("request %d is remembered: %v, want %v", id, got, want)
		}
	}
	if e.answered(2*requestsGiven) != nil {
		t.Error("a request is answered twice")
	}
}
