package mixnode

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// withoutConsensus are authorities of whom some have no consensus and one does not
// answer: who asks for it waits.
type withoutConsensus struct {
	published atomic.Uint64 // the last epoch that a descriptor came for
}

func (w *withoutConsensus) post(_ context.Context, epoch uint64, _ *pki.MixDescriptor) (took int) {
	w.published.Store(epoch)
	return 1
}

func (w *withoutConsensus) fetch(ctx context.Context, _ uint64) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A node that waits in vain for a consensus publishes itself in time all the same: else
// one failed vote would make the next ones fail.
func TestPublishesWithoutConsensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := standalone(t, directory.RoleMix)
		n.period = 10 * time.Second
		start := time.Now()
		first := directory.EpochAt(start, n.period) + 1
		n.date = func() time.Time { return directory.EpochStart(first, n.period).Add(time.Since(start)) }
		var err error
		if n.identity, err = katzenpost.NewKeys(); err != nil {
			t.Fatal(err)
		}
		n.docs = map[uint64]*directory.View{}
		n.conns = &incoming{n: n}
		n.outgoing = &outgoing{n: n, senders: map[sphinx.NodeID]context.CancelFunc{}}
		w := new(withoutConsensus)
		n.authorities = w
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n.running = ctx
		followed := make(chan error)
		go func() { followed <- n.follow(ctx) }()
		for epoch := first; epoch < first+3; epoch++ {
			time.Sleep(part(n.period, publishUntil))
			synctest.Wait()
			if got := w.published.Load(); got != epoch+1 {
				t.Errorf("an eighth into epoch +%d it has published itself for epoch +%d", epoch-first, got-first)
			}
			time.Sleep(n.period - part(n.period, publishUntil))
		}
		cancel()
		if err := <-followed; err != nil {
			t.Error(err)
		}
	})
}
