// Package tap holds the stages that a local test network can put in front of a
// process: what connects to the process connects to the stage, which sees,
// slows, cuts or thins out what passes. A [Wire] knows bytes only. A [Lossy]
// speaks the link protocol on both sides, with the keys of the entry that it
// stands before, and loses packets.
//
// They are faults and eyes for tests. Nothing of the product knows of them, and
// none of it imports them. They may import directory and internal/katzenpost.
package tap

import (
	"context"
	"net"
	"sync"

	"codeberg.org/sourdine/sourdine/directory"
)

// Tap is a stage in front of a process.
type Tap interface {
	// Serve carries each connection of l to the process, and back, until ctx
	// ends. It closes l and leaves no goroutine behind.
	Serve(ctx context.Context, l net.Listener, behind Target)
}

// Target is the process that a tap stands before.
type Target struct {
	Address string             // where it listens
	State   string             // directory of its keys; "" for what is no member of the network
	Network *directory.Network //
	Member  *directory.Member  // its public file; nil where State is ""
}

// serve hands each connection of l to carry, until ctx ends, and waits for all.
// carry must return when the ctx it is given ends.
func serve(ctx context.Context, l net.Listener, carry func(context.Context, net.Conn)) {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer c.Close()
			carry(ctx, c)
		})
	}
}
