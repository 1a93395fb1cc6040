// Package router asks the router of a home to let others in: for a TCP port that it
// forwards to this machine, and for the address at which the world sees it.
//
//	router.go   the port, kept whichever way the router speaks
//	natpmp.go   NAT-PMP (RFC 6886), which is asked first
//	upnp.go     UPnP's Internet Gateway Device, versions 1 and 2
//	route.go    which router that is
//
// Anybody in the home's network can answer, and a router can be anybody's. So
// answers count only from the router's own address, nothing but that address is
// connected to, no name is looked up and no redirect followed; each question takes
// bounded time and each answer bounded memory; and no error names an address.
//
// It asks for IPv4, where homes have translation. It knows nothing of nodes.
package router

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"
)

const (
	// lease is for how long a port is asked for: RFC 6886, 3.3, recommends two hours;
	// one forgets a machine that went away sooner, and outlasts a router's restart.
	lease = time.Hour

	// patience is how long a question takes at most, with all that it consists of.
	patience = 20 * time.Second
)

// Mapping is what a router does for a port.
type Mapping struct {
	Public netip.AddrPort // where others reach the port
	Lasts  time.Duration  // unless it is asked for again; 0: until it is released
}

// Trouble is why a router does not let others in, and what its owner can do.
type Trouble struct{ Says, Do string }

func (t *Trouble) Error() string { return t.Says + ": " + t.Do }

const byHand = "forward the port there by hand, and write the address and no router in the configuration"

// What can be wrong with a router.
var (
	ErrNoRoute = &Trouble{"this machine has no way to a router over IPv4", "connect it; or write the router's own address"}
	ErrSilent  = &Trouble{"the router answers neither NAT-PMP nor UPnP", "switch one of them on in its settings; or " + byHand}
	ErrRefused = &Trouble{"the router does not forward a port to this machine", "allow it in its settings for NAT-PMP or UPnP; or " + byHand}
	ErrOffline = &Trouble{"the router has no address on the outside at present", "see whether its line is up"}
	ErrBehind  = &Trouble{"the router is itself behind another (carrier-grade) NAT: others cannot reach you here", "ask your provider for a public IPv4 address"}
	ErrOdd     = &Trouble{"the router's answer makes no sense", "restart or update it; or " + byHand}
)

// protocol is a way to speak to a router.
type protocol interface {
	// public returns the router's address on the outside, as it says it.
	public(context.Context) (netip.Addr, error)
	// open forwards a port of the outside, outer or another one, to this machine's inner,
	// or goes on with that. It returns the port and for how long; 0: until close.
	open(ctx context.Context, inner, outer uint16) (uint16, time.Duration, error)
	// close ends that.
	close(ctx context.Context, inner, outer uint16) error
}

// Router is asked for one port. Its methods are called one at a time.
type Router struct {
	address      netip.Addr // zero: that of the default route
	inner, outer uint16
	opened       protocol // that has the port; nil: none has

	pmpPort, ssdpPort uint16
	group             netip.Addr    // that UPnP's devices listen to
	wait              time.Duration // for their answers
}

// New returns the router at an IPv4 address, or the one of the default route if it
// is the zero Addr, to be asked for a port of the outside, outer or another one, that
// leads to this machine's port inner.
func New(address netip.Addr, inner, outer uint16) *Router {
	return &Router{
		address: address, inner: inner, outer: outer,
		pmpPort: 5351, ssdpPort: 1900, group: netip.AddrFrom4([4]byte{239, 255, 255, 250}), wait: searchWait,
	}
}

// Map asks for the port, or for it to be kept: the same is asked either way. An error
// that tells what is wrong with the router is a [*Trouble].
func (r *Router) Map(ctx context.Context) (Mapping, error) {
	var m Mapping
	err := r.ask(ctx, func(ctx context.Context, p protocol) error {
		public, err := reachable(p.public(ctx))
		if err != nil {
			return err
		}
		port, lasts, err := p.open(ctx, r.inner, r.outer)
		if err != nil {
			return err
		}
		r.opened, r.outer = p, port
		m = Mapping{netip.AddrPortFrom(public, port), lasts}
		return nil
	})
	return m, err
}

// Public asks for the router's address on the outside, and for nothing else. Its
// errors are those of Map.
func (r *Router) Public(ctx context.Context) (public netip.Addr, err error) {
	err = r.ask(ctx, func(ctx context.Context, p protocol) error {
		public, err = reachable(p.public(ctx))
		return err
	})
	return public, err
}

// Release gives the port back, if the router has it open.
func (r *Router) Release(ctx context.Context) error {
	if r.opened == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := r.opened.close(ctx, r.inner, r.outer)
	r.opened = nil
	return err
}

// ask puts a question in each way that the router may speak, the one that served last
// before the others, until one serves. If none does, the error is of the way that got
// furthest.
func (r *Router) ask(ctx context.Context, question func(context.Context, protocol) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if r.opened != nil && question(ctx, r.opened) == nil {
		return nil
	}
	address := r.address
	if !address.IsValid() {
		var err error
		if address, err = defaultRouter(); err != nil {
			return err
		}
	}
	failed := question(ctx, &pmp{netip.AddrPortFrom(address, r.pmpPort)})
	if failed == nil {
		return nil
	}
	ways, err := r.discover(ctx, address)
	if err != nil {
		return further(failed, err)
	}
	for _, way := range ways {
		err := question(ctx, way)
		if err == nil {
			return nil
		}
		failed = further(failed, err)
	}
	return failed
}

// further is the error of the two that says more: silence says nothing.
func further(a, b error) error {
	if errors.Is(a, ErrSilent) {
		return b
	}
	return a
}

// Spaces from which nobody is reached, besides those that netip knows.
var (
	shared = []netip.Prefix{
		netip.MustParsePrefix("100.64.0.0/10"), // carrier-grade NAT (RFC 6598)
		netip.MustParsePrefix("192.0.0.0/24"),  // dual-stack lite (RFC 6333)
	}
	nowhere = []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),   // this network (RFC 1122)
		netip.MustParsePrefix("240.0.0.0/4"), // reserved, and broadcast (RFC 1112)
	}
)

// reachable refuses an address of a router's outside at which others cannot reach it.
func reachable(a netip.Addr, err error) (netip.Addr, error) {
	has := func(p netip.Prefix) bool { return p.Contains(a) }
	switch {
	case err != nil:
		return a, err
	case a.IsUnspecified():
		return a, ErrOffline
	case a.IsPrivate(), slices.ContainsFunc(shared, has):
		return a, ErrBehind
	case !a.Is4(), !a.IsGlobalUnicast(), slices.ContainsFunc(nowhere, has):
		return a, ErrOdd
	}
	return a, nil
}

// local returns this machine's address on the way to another one. Nothing is sent.
func local(to netip.Addr) (netip.Addr, error) {
	conn, err := net.Dial("udp4", netip.AddrPortFrom(to, 1).String())
	if err != nil {
		return netip.Addr{}, ErrNoRoute
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}
