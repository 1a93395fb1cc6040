package mixnode

import (
	"bytes"
	"compress/gzip"
	"context"
	cryptorand "crypto/rand"
	"math/rand/v2"
	"time"

	"codeberg.org/sourdine/sourdine/internal/link"
)

// This file is how an entry serves a gateway of ours: by a clock of its own.

// A clocked gateway is sent drained commands in the time of draining slots, a few
// more than it sends packets, so that what had to wait once does not wait for ever.
// They are that many whatever there is to send.
const (
	drained  = 9
	draining = 8
)

// tick sends a gateway one command of one size in every slot, as long as it is
// connected: a reply, a piece of the consensus that it asked for, or a dummy. So
// whoever watches the line finds the same on it, however the replies came here:
// they cannot be bunched into a mark.
func (g *guest) tick(ctx context.Context, asked <-chan uint64) {
	slot := g.n.slot() * draining / drained
	if !sleep(ctx, rand.N(slot)) {
		return
	}
	clock := time.NewTicker(slot)
	defer clock.Stop()
	var pieces []link.Command
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		if len(pieces) == 0 {
			select {
			case epoch := <-asked:
				// A consensus that cannot be compressed is one that the gateway asks for again.
				pieces, _ = g.pieces(epoch, g.n.frames.EvenChunk())
			default:
			}
		}
		f := g.inSlot(&pieces)
		if f == nil || g.give(f) != nil {
			return
		}
	}
}

// inSlot is what goes into a slot.
func (g *guest) inSlot(pieces *[]link.Command) *link.Frame {
	var c link.Command
	if len(*pieces) > 0 {
		c, *pieces = (*pieces)[0], (*pieces)[1:]
	} else if p := g.next(g.box); p != nil {
		if p.frame.Set(link.Command{Kind: link.KindMessage, Reply: p.reply, Data: p.body}) != nil {
			drop(p)
			return nil
		}
		g.n.counts.replies.Add(1)
		return p.frame
	} else {
		// A dummy: no gateway knows this reply.
		c = link.Command{Kind: link.KindMessage, Data: g.nothing}
		cryptorand.Read(c.Reply[:])
	}
	f, err := g.n.frames.Make(c)
	if err != nil {
		return nil
	}
	return f
}

// pieces cuts an epoch's consensus, compressed, into commands with so many bytes
// at most.
func (e *entry) pieces(epoch uint64, size int) ([]link.Command, error) {
	raw, status := e.n.document(epoch)
	if status != link.StatusOK {
		return []link.Command{{Kind: link.KindConsensus2, Status: status, Chunks: 1}}, nil
	}
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	if _, err := z.Write(raw); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	rest := compressed.Bytes()
	chunks := uint32((len(rest) + size - 1) / size)
	pieces := make([]link.Command, chunks)
	for i := range pieces {
		n := min(size, len(rest))
		pieces[i] = link.Command{Kind: link.KindConsensus2, Chunk: uint32(i), Chunks: chunks, Data: rest[:n]}
		rest = rest[n:]
	}
	return pieces, nil
}
