package mixnode

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/router"
)

// fakeRouter gives what says.
type fakeRouter struct {
	mu       sync.Mutex
	says     router.Mapping
	err      error
	asked    []time.Time
	released int
}

func (f *fakeRouter) Map(context.Context) (router.Mapping, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	return f.says, f.err
}

func (f *fakeRouter) Release(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.released++
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return f.err
}

func (f *fakeRouter) set(address string, lasts time.Duration, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.says, f.err = router.Mapping{Lasts: lasts}, err
	if address != "" {
		f.says.Public = netip.MustParseAddrPort(address)
	}
}

// atHome is a node that asks a router, and has no address yet.
func atHome(t *testing.T, f *fakeRouter) (*node, *bytes.Buffer) {
	t.Helper()
	n := standalone(t, directory.RoleMix)
	log := new(bytes.Buffer)
	n.log = slog.New(slog.NewTextHandler(log, nil))
	n.router, n.asked, n.moved = f, make(chan struct{}), make(chan struct{}, 1)
	n.address.Store(new(""))
	return n, log
}

// A port is asked for again before its time is over, soon after a failure, and given
// back at the end.
func TestKeepPort(t *testing.T) {
	const address = "203.0.113.7:4242"
	for name, test := range map[string]struct {
		address string
		lasts   time.Duration
		err     error
		every   time.Duration
		trouble string
	}{
		"an hour":      {address, time.Hour, nil, routerEvery, ""},
		"for ever":     {address, 0, nil, routerEvery, ""},
		"four minutes": {address, 4 * time.Minute, nil, 2 * time.Minute, ""},
		"a second":     {address, time.Second, nil, routerAgain, ""},
		"silent":       {"", 0, router.ErrSilent, routerAgain, "switch one of them on"},
		"behind":       {"", 0, router.ErrBehind, routerAgain, "behind another (carrier-grade) NAT"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := new(fakeRouter)
				f.set(test.address, test.lasts, test.err)
				n, log := atHome(t, f)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- n.keepPort(ctx) }()
				start := time.Now()
				time.Sleep(3*test.every + time.Second)
				synctest.Wait()
				var want []time.Time
				for i := range 4 {
					want = append(want, start.Add(time.Duration(i)*test.every))
				}
				if f.mu.Lock(); !slices.Equal(f.asked, want) {
					t.Errorf("asked at %v, want %v", f.asked, want)
				}
				f.mu.Unlock()
				if got := *n.address.Load(); got != test.address || n.hasAddress(ctx) != (test.address != "") {
					t.Errorf("the address is %q", got)
				}
				text := strings.Join(n.troubles.all(""), "\n")
				if (text == "") != (test.trouble == "") || !strings.Contains(text, test.trouble) {
					t.Errorf("the trouble is %q", text)
				}
				if got := strings.Count(log.String(), "\n"); got != 1 || strings.Contains(log.String(), "203.0") {
					t.Errorf("the log has %d lines:\n%s", got, log)
				}
				// A router that is there again is in trouble no more.
				f.set(address, 0, nil)
				time.Sleep(test.every)
				synctest.Wait()
				if text := n.troubles.all(""); len(text) > 0 || *n.address.Load() != address {
					t.Errorf("then %q, %q", *n.address.Load(), text)
				}
				cancel()
				if err := <-done; err != nil || f.released != 1 {
					t.Errorf("at the end: %v, %d times released", err, f.released)
				}
			})
		})
	}
}

// A port that is not taken back is said, without an address.
func TestKeepPortReleaseFails(t *testing.T) {
	f := new(fakeRouter)
	f.set("", 0, router.ErrSilent)
	n, log := atHome(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.keepPort(ctx); err != nil || len(n.troubles.all("")) > 0 {
		t.Errorf("%v, %q", err, n.troubles.all(""))
	}
	if !strings.Contains(log.String(), "did not take the port back") {
		t.Errorf("the log says %s", log)
	}
}

// posts are authorities that take each epoch's first descriptor, and have no consensus.
type posts struct {
	mu sync.Mutex
	by map[uint64]string // address by epoch
}

func (p *posts) post(_ context.Context, epoch uint64, d *pki.MixDescriptor) (took int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range d.Addresses {
		p.by[epoch] += strings.Join(list, " ")
	}
	return 1
}

func (p *posts) fetch(context.Context, uint64) ([]byte, error) { return nil, errNoConsensus }

func (p *posts) of(epoch uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.by[epoch]
}

// What the router says first is what is published first, a router that answers late
// does not cost an epoch, and a changed address is in the next descriptor.
func TestPublishesTheRoutersAddress(t *testing.T) {
	keys, err := katzenpost.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	const first, second = "203.0.113.7:4242", "203.0.113.8:7777"
	synctest.Test(t, func(t *testing.T) {
		f := new(fakeRouter)
		f.set("", 0, router.ErrSilent)
		n, _ := atHome(t, f)
		authorities := &posts{by: map[uint64]string{}}
		n.identity, n.authorities, n.docs, n.raw = keys, authorities, map[uint64]*directory.View{}, map[uint64][]byte{}
		n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
		n.outgoing = &outgoing{n: n}
		epoch := directory.EpochAt(time.Now(), n.period) + 1
		time.Sleep(time.Until(directory.EpochStart(epoch, n.period)))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { n.follow(ctx) })
		running.Go(func() { n.keepPort(ctx) })

		time.Sleep(30 * time.Second)
		if got := authorities.of(epoch + 1); got != "" {
			t.Errorf("without an address it published %s", got)
		}
		f.set(first, time.Hour, nil)
		time.Sleep(time.Minute)
		if got, want := authorities.of(epoch+1), katzenpost.URL(first); got != want {
			t.Errorf("it published %q, want %q", got, want)
		}
		f.set(second, time.Hour, nil)
		time.Sleep(n.period - 2*time.Minute) // almost until the next epoch
		if got, want := authorities.of(epoch+1), katzenpost.URL(first); got != want {
			t.Errorf("when the address changed it published %q, for an epoch that had %q", got, want)
		}
		time.Sleep(2 * time.Minute)
		if got, want := authorities.of(epoch+2), katzenpost.URL(second); got != want {
			t.Errorf("for the next epoch it published %q, want %q", got, want)
		}
		cancel()
		running.Wait()
	})
}

// A node that asks a router needs no address, listens wherever the machine is reached,
// and is no entry.
func TestRouterConfig(t *testing.T) {
	for name, test := range map[string]struct {
		router, address, bind string
		role                  directory.Role
		listens, err          string
	}{
		"a port alone":     {"auto", ":4242", "", directory.RoleMix, "0.0.0.0:4242", ""},
		"an exit":          {"auto", ":4242", "", directory.RoleExit, "0.0.0.0:4242", ""},
		"the last address": {"auto", "192.0.2.1:4242", "", directory.RoleMix, "0.0.0.0:4242", ""},
		"another port":     {"192.168.1.1", ":4242", "192.168.1.5:4243", directory.RoleMix, "192.168.1.5:4243", ""},
		"no port":          {"auto", ":0", "", directory.RoleMix, "", "address"},
		"no address":       {"auto", "", "", directory.RoleMix, "", "address"},
		"no router":        {"", ":4242", "", directory.RoleMix, "", "address"},
		"a name":           {"fritz.box", ":4242", "", directory.RoleMix, "", `neither "auto" nor`},
		"IPv6":             {"fe80::1", ":4242", "", directory.RoleMix, "", `neither "auto" nor`},
		"an entry":         {"auto", "192.0.2.1:4242", "", directory.RoleEntry, "", "signed network file"},
	} {
		c := Config{
			Role: test.role, Name: "n", Operator: "o", Address: test.address, Bind: test.bind, Router: test.router,
			Network: "network.toml", State: "state", Keys: "plain", Budget: DefaultBudget(),
		}
		err := c.Check(t.TempDir())
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %v, want %q", name, err, test.err)
		}
		if err == nil && c.listens() != test.listens {
			t.Errorf("%s: it listens on %s, want %s", name, c.listens(), test.listens)
		}
	}
}

// A router that is silent is a finding: it keeps a node without another address from
// being of use, and with one it does not.
func TestCheckRouter(t *testing.T) {
	for address, grade := range map[string]Grade{":4242": Bad, "192.0.2.1:4242": Weak} {
		// Nobody speaks NAT-PMP or UPnP at this address.
		f := checkOwnAddress(t.Context(), &Config{Address: address, Router: "127.65.66.67"})
		if f.About != "router" || f.Grade != grade || f.Says != router.ErrSilent.Says || f.Do == "" {
			t.Errorf("%s: %+v", address, f)
		}
	}
}

// With a router, a changed address or router waits for a restart.
func TestChangeWithRouter(t *testing.T) {
	n, log := atHome(t, new(fakeRouter))
	with, without := *n.cfg, *n.cfg
	with.Router, with.Address = "auto", ":4242"
	without.Router, without.Address = "", "192.0.2.1:4242"
	for _, test := range []struct {
		router       portKeeper
		before, then Config
		says         string
	}{
		{n.router, with, without, `changed="router, address"`},
		{nil, without, with, `changed="router, address"`},
	} {
		log.Reset()
		n.router, n.cfg = test.router, &test.before
		address := "198.51.100.1:4242"
		n.address.Store(&address)
		n.change(&test.then)
		if got := *n.address.Load(); got != address || !strings.Contains(log.String(), test.says) {
			t.Errorf("the address is %q, and the log says %s", got, log)
		}
	}
}

// A running node says which address it publishes.
func TestStatusAddress(t *testing.T) {
	n, _ := atHome(t, new(fakeRouter))
	n.conns = &incoming{n: n, peers: map[string]*neighbour{}}
	for _, want := range []string{"", net.JoinHostPort("203.0.113.7", "4242")} {
		n.address.Store(&want)
		if got := n.report().Address; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
