package mixnode

import (
	"context"
	"time"

	"codeberg.org/sourdine/sourdine/internal/link"
)

// This file is how an entry serves a gateway that is not clocked: as a stock entry
// does (Katzenpost server/internal/incoming).

const (
	// ackTimeout is how long a gateway may take to acknowledge a reply.
	ackTimeout = time.Minute
	// heartbeat is how often a gateway hears something, if there is no reply.
	heartbeat = 10 * time.Second
)

// push hands a gateway its replies, one at a time: the next when the one before
// is acknowledged (Katzenpost server/internal/incoming).
func (g *guest) push(ctx context.Context) {
	quiet := time.NewTimer(heartbeat)
	defer quiet.Stop()
	overdue := time.NewTimer(ackTimeout)
	defer overdue.Stop()
	wake(g.box.more) // there may be replies from before
	for sequence := uint32(1); ; {
		p := g.next(g.box)
		if p == nil {
			select {
			case <-ctx.Done():
				return
			case <-g.box.more:
			case <-g.acks: // of a reply that was acknowledged twice
			case <-quiet.C:
				if g.send(link.Command{Kind: link.KindNoOp}) != nil {
					return
				}
				quiet.Reset(heartbeat)
			}
			continue
		}
		err := p.frame.Set(link.Command{Kind: link.KindMessage, Sequence: sequence, Reply: p.reply, Data: p.body})
		if err != nil || g.give(p.frame) != nil {
			return
		}
		g.n.counts.replies.Add(1)
		quiet.Reset(heartbeat)
		overdue.Reset(ackTimeout)
		for acked := false; !acked; {
			select {
			case <-ctx.Done():
				return
			case <-overdue.C:
				return
			case ack := <-g.acks:
				acked = ack == sequence
			}
		}
		sequence++
	}
}

// answerPoll answers a gateway that asks for its replies itself.
func (g *guest) answerPoll() bool {
	p := g.next(g.box)
	if p == nil {
		return g.send(link.Command{Kind: link.KindSendRetrievePacketReply}) == nil
	}
	if err := p.frame.Set(link.Command{Kind: link.KindSendRetrievePacketReply, Reply: p.reply, Data: p.body}); err != nil {
		drop(p)
		return false
	}
	g.n.counts.replies.Add(1)
	return g.give(p.frame) == nil
}

// answerConsensus sends a consensus, whole or in compressed pieces.
func (g *guest) answerConsensus(ask link.Command) error {
	if ask.Kind == link.KindGetConsensus {
		raw, status := g.n.document(ask.Epoch)
		return g.send(link.Command{Kind: link.KindConsensus, Status: status, Data: raw})
	}
	pieces, err := g.pieces(ask.Epoch, g.n.frames.MaxChunk())
	for _, piece := range pieces {
		if err == nil {
			err = g.send(piece)
		}
	}
	return err
}
