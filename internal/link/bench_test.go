package link

import (
	"context"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/katzenpost/katzenpost/core/wire"
	"github.com/katzenpost/katzenpost/core/wire/commands"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// The machine's speed drifts, so each iteration times a turn of ours and a turn of
// Katzenpost's, and what counts is the median of the ratios. A turn is so many
// packets, sent and received: through memory in one goroutine, or over TCP on the
// loopback device in two, one packet a write or several.
const turn = 64

func BenchmarkPackets(b *testing.B) {
	for _, size := range []struct {
		name     string
		geometry *sphinx.Geometry
	}{{"2kB", small2k(b)}, {"44kB", large(b)}} {
		b.Run(size.name+"/memory", func(b *testing.B) { compare(b, newMemoryTurns(b, size.geometry)) })
		b.Run(size.name+"/tcp", func(b *testing.B) { compare(b, newTCPTurns(b, size.geometry, 1)) })
		b.Run(size.name+"/tcp-by-8", func(b *testing.B) { compare(b, newTCPTurns(b, size.geometry, 8)) })
	}
}

// turns are the two contenders.
type turns struct{ ours, theirs func() error }

func compare(b *testing.B, c turns) {
	var ours, theirs, ratios []float64
	timed := func(f func() error) float64 {
		start := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(start)) / turn
	}
	for b.Loop() {
		o, t := timed(c.ours), timed(c.theirs)
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, t/o)
	}
	median := func(list []float64) float64 {
		slices.Sort(list)
		return list[len(list)/2]
	}
	b.ReportMetric(median(ours), "ours-ns/packet")
	b.ReportMetric(median(theirs), "katzenpost-ns/packet")
	b.ReportMetric(median(ratios), "times-as-fast")
	b.ReportMetric(0, "ns/op")
}

// theirPair are two sessions of the referee's.
func theirPair(b *testing.B, g *sphinx.Geometry, connect func() (net.Conn, net.Conn)) (from, to *wire.Session) {
	i, r := two(b)
	from, to = i.theirs(b, g, true), r.theirs(b, g, false)
	x, y := connect()
	done := make(chan error)
	go func() { done <- to.Initialize(context.Background(), y) }()
	if err := from.Initialize(context.Background(), x); err != nil {
		b.Fatal(err)
	}
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return from, to
}

// switchable is a connection that becomes another after the handshake.
type switchable struct{ net.Conn }

func newMemoryTurns(b *testing.B, g *sphinx.Geometry) turns {
	frames, packet := NewFrames(g), random(g.PacketLength)
	initiator, responder := sessions(b, frames, pipe)
	remember(initiator, responder)
	x, y := new(switchable), new(switchable)
	from, to := theirPair(b, g, func() (net.Conn, net.Conn) { x.Conn, y.Conn = pipe(b); return x, y })
	m := new(memory)
	x.Conn, y.Conn = m, m
	cmd := &commands.SendPacket{Cmds: from.GetCommands(), SphinxPacket: packet}
	f := framed(b, frames, Command{Kind: KindSendPacket, Data: packet})
	ctx := context.Background()
	return turns{
		ours: func() error {
			for range turn {
				if err := initiator.Send(f); err != nil {
					return err
				}
				var err error
				if f, _, err = responder.Receive(); err != nil {
					return err
				}
			}
			return nil
		},
		theirs: func() error {
			for range turn {
				if err := from.SendCommand(ctx, cmd); err != nil {
					return err
				}
				got, err := to.RecvCommand(ctx)
				if err != nil {
					return err
				}
				cmd.SphinxPacket = got.(*commands.SendPacket).SphinxPacket
			}
			return nil
		},
	}
}

// newTCPTurns sends packets that were received before, as a mix does: ours come in
// frames, theirs as slices. Katzenpost has one write a packet always.
func newTCPTurns(b *testing.B, g *sphinx.Geometry, batch int) turns {
	frames, packet := NewFrames(g), random(g.PacketLength)
	initiator, responder := sessions(b, frames, tcp)
	from, to := theirPair(b, g, func() (net.Conn, net.Conn) { return tcp(b) })
	b.Cleanup(func() { from.Close(); to.Close() })
	cmd := &commands.SendPacket{Cmds: from.GetCommands(), SphinxPacket: packet}
	ctx := context.Background()
	both := func(send, receive func() error) error {
		sent := make(chan error, 1)
		go func() { sent <- send() }()
		if err := receive(); err != nil {
			return err
		}
		return <-sent
	}
	waiting := make(chan *Frame, 2*turn)
	for range 2 * turn {
		waiting <- framed(b, frames, Command{Kind: KindSendPacket, Data: packet})
	}
	return turns{
		ours: func() error {
			return both(func() error {
				list := make([]*Frame, batch)
				for range turn / batch {
					for i := range list {
						list[i] = <-waiting
					}
					if err := initiator.Send(list...); err != nil {
						return err
					}
				}
				return nil
			}, func() error {
				for range turn {
					f, _, err := responder.Receive()
					if err != nil {
						return err
					}
					waiting <- f
				}
				return nil
			})
		},
		theirs: func() error {
			return both(func() error {
				for range turn {
					if err := from.SendCommand(ctx, cmd); err != nil {
						return err
					}
				}
				return nil
			}, func() error {
				for range turn {
					if _, err := to.RecvCommand(ctx); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}
