package mixnode

import (
	"context"
	"net/netip"
	"time"

	"codeberg.org/sourdine/sourdine/internal/router"
)

// This file keeps the port of a node at home open in its router, and has the node
// publish the address at which the router is reached.

const (
	// routerEvery is how often the router is asked, which prolongs what it gave: so
	// that one that restarted has the port again, and a new address is known, that much
	// later.
	routerEvery = 5 * time.Minute

	// routerAgain is how soon it is asked after it failed, and at the soonest.
	routerAgain = time.Minute
)

// portKeeper is a [router.Router].
type portKeeper interface {
	Map(context.Context) (router.Mapping, error)
	Release(context.Context) error
}

// router is the router that a configuration names. It is asked for the port that the
// node publishes.
func (c *Config) router() *router.Router {
	var address netip.Addr // of the default route
	if c.Router != RouterAuto {
		address = netip.MustParseAddr(c.Router) // Check did
	}
	return router.New(address, portOf(c.listens()), portOf(c.Address))
}

// keepPort asks the router for the node's port until ctx ends, and gives it back then.
func (n *node) keepPort(ctx context.Context) error {
	first := true
	for {
		wait := routerAgain
		m, err := n.router.Map(ctx)
		switch {
		case ctx.Err() != nil: // an error says nothing of the router
		case err != nil:
			n.say("router", "the router keeps no port open for this node", err)
		default:
			n.said("router")
			n.move(m.Public.String())
			wait = routerEvery
			if m.Lasts > 0 {
				wait = max(min(wait, m.Lasts/2), routerAgain)
			}
		}
		if first {
			close(n.asked)
			first = false
		}
		if !sleep(ctx, wait) {
			break
		}
	}
	if err := n.router.Release(context.WithoutCancel(ctx)); err != nil {
		n.log.Warn("the router did not take the port back: it ends by itself within the hour, or has to be removed there by hand", "error", err)
	}
	return nil
}

// move takes an address that the router said.
func (n *node) move(address string) {
	if *n.address.Swap(&address) == address {
		return
	}
	n.log.Info("the router's public address is new; it is published with the next descriptor")
	select {
	case n.moved <- struct{}{}:
	default:
	}
}

// hasAddress waits until a router was asked once, so that what it says is in the first
// descriptor, and says whether there is an address to publish.
func (n *node) hasAddress(ctx context.Context) bool {
	if n.router != nil {
		select {
		case <-n.asked:
		case <-ctx.Done():
		}
	}
	return *n.address.Load() != ""
}
