package mixnode

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
)

// Reach is how an authority answered.
type Reach struct {
	Name  string
	Err   error         // it did not
	Ahead time.Duration // this machine's clock, of its; to the second
}

// tolerance is how far a node's clock may be off: so that its descriptors come in
// time, and the nodes next to it take it for who the consensus says. Clocks are
// compared to the second.
func tolerance(period time.Duration) time.Duration { return max(period/32, 3*time.Second) }

// askAuthorities opens a connection to every authority, as anybody may, and compares
// the clocks.
func askAuthorities(ctx context.Context, n *directory.Network, now func() time.Time) ([]Reach, error) {
	_, key, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		return nil, err
	}
	frames := link.NewAuthorityFrames()
	ask := func(a *directory.Member) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(ctx, connectTimeout)
		defer cancel()
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", a.Address)
		if err != nil {
			return 0, err
		}
		s, err := link.Initiate(ctx, conn, link.Config{
			Frames: frames, Key: key,
			Peer: func(name []byte, key kem.PublicKey) bool {
				p := peer{link: a.LinkKey()}
				return p.proves(a.ID(), name, key)
			},
		})
		if err != nil {
			return 0, err
		}
		defer s.Close()
		return s.ClockSkew() + time.Until(now()), nil
	}
	list := make([]Reach, len(n.Authorities))
	var asking sync.WaitGroup
	for i, a := range n.Authorities {
		asking.Go(func() {
			ahead, err := ask(a)
			list[i] = Reach{a.Name, err, ahead}
		})
	}
	asking.Wait()
	return list, nil
}

// ahead is how far this machine's clock is ahead of the authorities', by their
// median, so that one that is wrong counts for nothing; false if none answered.
func ahead(list []Reach) (time.Duration, bool) {
	var all []time.Duration
	for _, r := range list {
		if r.Err == nil {
			all = append(all, r.Ahead)
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	return all[(len(all)-1)/2], true
}

// clockError says that a clock is off; nil if it is not.
func clockError(ahead, period time.Duration) error {
	if ahead.Abs() <= tolerance(period) {
		return nil
	}
	where := "ahead of"
	if ahead < 0 {
		where = "behind"
	}
	return fmt.Errorf("this machine's clock is %v %s the authorities': set it, and let a time daemon keep it (`timedatectl set-ntp true`)", ahead.Abs().Round(time.Second), where)
}

// checkClock refuses to start with a clock that is off. Where no authority answers,
// as after a power cut that took the line as well, it says nothing.
func (n *node) checkClock(ctx context.Context) error {
	list, err := askAuthorities(ctx, n.network, n.date)
	if err != nil {
		return err
	}
	off, ok := ahead(list)
	if !ok {
		return nil
	}
	return clockError(off, n.period)
}

// watchClock says when the clock goes wrong while the node runs, until ctx ends. A
// node goes on then: what it holds is due by a clock that does not jump.
func (n *node) watchClock(ctx context.Context) error {
	clock := time.NewTicker(n.period)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-clock.C:
		}
		if err := n.checkClock(ctx); err != nil {
			n.say("clock", "the clock is wrong", err)
		} else {
			n.said("clock")
		}
	}
}
