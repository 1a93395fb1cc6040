package authorities_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/sign"
	"github.com/katzenpost/katzenpost/core/cert"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// consensuses are the documents that the nodes had while they were current.
type consensuses struct {
	t       *testing.T
	n       *testnet.Network
	network *directory.Network
	first   uint64
	views   map[uint64]*directory.View
}

// watch begins with the current epoch.
func watch(t *testing.T, n *testnet.Network) *consensuses {
	t.Helper()
	b, err := os.ReadFile(n.Path("network.toml"))
	if err != nil {
		t.Fatal(err)
	}
	network, err := directory.ParseNetwork(b)
	if err != nil {
		t.Fatal(err)
	}
	return &consensuses{t, n, network, n.Epoch(), map[uint64]*directory.View{}}
}

// look reads the current epoch's document, if any node has it and it was not read yet.
func (c *consensuses) look() {
	c.t.Helper()
	epoch := c.n.Epoch()
	if c.views[epoch] != nil {
		return
	}
	paths, err := filepath.Glob(c.n.Path("*", "state", "consensus", strconv.FormatUint(epoch, 10)))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has just been removed
		}
		if c.views[epoch], err = c.network.Verify(raw, epoch); err != nil {
			c.t.Fatal(err)
		}
		return
	}
}

// until looks until an epoch begins, and sends a mail in each before.
func (c *consensuses) until(ctx context.Context, epoch uint64) {
	c.t.Helper()
	written := uint64(0)
	err := c.n.Wait(ctx, fmt.Sprintf("epoch +%d", epoch-c.first), func() (bool, error) {
		c.look()
		now := c.n.Epoch()
		if now != written && now < epoch {
			trial.Submit(c.t, c.n, "you@far.example", fmt.Sprintf("epoch %d", now), "x\n")
			written = now
		}
		return now >= epoch, nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// complete checks that every epoch before the current one had its consensus.
func (c *consensuses) complete() {
	c.t.Helper()
	for epoch := c.first; epoch < c.n.Epoch(); epoch++ {
		if c.views[epoch] == nil {
			c.t.Errorf("epoch +%d had no consensus", epoch-c.first)
		}
	}
}

// lists says whether an epoch's consensus lists a mix.
func (c *consensuses) lists(epoch uint64, mix string) bool {
	v := c.views[epoch]
	return v != nil && slices.ContainsFunc(slices.Concat(v.Layers...), func(n directory.Node) bool { return n.Name == mix })
}

// signed says whether an authority signed an epoch's consensus.
func (c *consensuses) signed(epoch uint64, authority string) bool {
	v := c.views[epoch]
	if v == nil {
		return false
	}
	for _, a := range c.network.Authorities {
		if a.Name == authority {
			_, good, _, _ := cert.VerifyThreshold([]sign.PublicKey{a.IdentityKey()}, 1, v.Raw)
			return len(good) == 1
		}
	}
	return false
}

// authorityRun runs a command of an authority.
func authorityRun(t *testing.T, ctx context.Context, n *testnet.Network, name, command string, args ...string) string {
	t.Helper()
	out, err := n.Run(ctx, append([]string{"authority", command, "-c", n.Path(name, "authority.toml")}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var authorities = []string{"auth1", "auth2", "auth3"}

// checkedByAuthorities sees that `node check` reaches the authorities and takes its
// machine's clock, which is theirs, for right.
func checkedByAuthorities(t *testing.T, ctx context.Context, n *testnet.Network, name string) {
	t.Helper()
	out, err := n.Run(ctx, "node", "check", "-c", n.Path(name, "node.toml"), "--json")
	if err != nil {
		t.Fatal(err)
	}
	var findings []mixnode.Finding
	if err := json.Unmarshal([]byte(out), &findings); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	for _, f := range findings {
		said[f.About] = string(f.Grade) + ": " + f.Says
	}
	if said["clock"] != "ok: as the authorities'" || said["authorities"] != "ok: 3 of 3 answer" {
		t.Errorf("it says %v", said)
	}
}

// Three mixes join, one of them for a time, and all leave again, one because its
// operator says so, while mail flows and no process is started by hand. One authority
// does what the others do an epoch before them, so that for a while their lists
// differ. No epoch is without a consensus.
func TestJoinAndLeave(t *testing.T) {
	t.Parallel()
	o := testnet.Options{Spares: map[string]int{"mix4": 2, "mix5": 3, "mix6": 1}}
	if trial.Race {
		o.Epoch = 20 * time.Second // the authorities' commands must fit into half of one
	}
	n := trial.Start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 3*trial.Patience)
	defer cancel()
	for _, name := range []string{"mix4", "mix5", "mix6"} {
		if err := n.Process(name).Start(); err != nil {
			t.Fatal(err)
		}
	}
	c := watch(t, n)
	admitted := c.first + 1
	c.until(ctx, admitted)
	until := directory.EpochStart(admitted+5, c.network.Parameters.Epoch).Format(time.RFC3339)
	for _, auth := range authorities {
		out := authorityRun(t, ctx, n, auth, "admit", n.Path("mix4", "mix4.member"), n.Path("mix6", "mix6.member"))
		if !strings.Contains(out, fmt.Sprintf("the consensus of epoch %d lists them", admitted+2)) {
			t.Errorf("%s does not say from when mix4 can be in the consensus:\n%s", auth, out)
		}
		authorityRun(t, ctx, n, auth, "admit", "--until", until, n.Path("mix5", "mix5.member"))
		if auth != "auth1" {
			continue
		}
		out = authorityRun(t, ctx, n, auth, "list")
		for _, want := range []string{fmt.Sprintf("no; from epoch %d", admitted+2), fmt.Sprintf("not from epoch %d on", admitted+5)} {
			if !strings.Contains(out, want) {
				t.Errorf("the list does not say %q:\n%s", want, out)
			}
		}
	}

	c.until(ctx, admitted+2)
	removed := n.Epoch()
	authorityRun(t, ctx, n, "auth1", "remove", "mix4")
	n.Process("mix6").LetEnd()
	if _, err := n.Run(ctx, "node", "leave", "-c", n.Path("mix6", "node.toml")); err != nil {
		t.Fatal(err)
	}
	err := n.Wait(ctx, "the new mixes to be of use", func() (bool, error) {
		c.look()
		useful := func(st mixnode.Status) bool { return st.Listed && st.Received > 0 && st.Forwarded > 0 && st.ToNow > 0 }
		return useful(trial.NodeStatus(t, ctx, n, "mix4")) && useful(trial.NodeStatus(t, ctx, n, "mix5")), nil
	})
	if err != nil {
		t.Fatal(err)
	}

	checkedByAuthorities(t, ctx, n, "mix5")

	c.until(ctx, removed+1)
	for _, auth := range authorities[1:] {
		authorityRun(t, ctx, n, auth, "remove", "mix4")
	}
	c.until(ctx, admitted+5)
	err = n.Wait(ctx, "the consensus without the two", func() (bool, error) {
		c.look()
		return c.views[admitted+5] != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.complete()
	for i, want := range []struct{ mix4, mix5 bool }{2: {true, true}, 3: {true, true}, 4: {true, true}, 5: {}} {
		epoch := admitted + uint64(i)
		if i >= 2 && (c.lists(epoch, "mix4") != want.mix4 || c.lists(epoch, "mix5") != want.mix5) {
			t.Errorf("%d epochs after: mix4 is in the consensus: %v, mix5: %v; want %+v", i, c.lists(epoch, "mix4"), c.lists(epoch, "mix5"), want)
		}
	}
	if err := n.Wait(ctx, "mix4 to know that it is out", func() (bool, error) {
		return !trial.NodeStatus(t, ctx, n, "mix4").Listed, nil
	}); err != nil {
		t.Error(err)
	}
	select {
	case <-n.Process("mix6").Ended():
	case <-ctx.Done():
		t.Fatal("mix6 does not end, though it left the network")
	}
	if log := n.Process("mix6").Log(); !strings.Contains(log, "it has left the network, and ends") || c.lists(admitted+5, "mix6") {
		t.Errorf("mix6 ended, listed in the consensus: %v:\n%s", c.lists(admitted+5, "mix6"), log)
	}
	for _, auth := range authorities {
		if log := n.Process(auth).Log(); !strings.Contains(log, "the list of nodes has changed") || strings.Contains(log, "ended by itself") {
			t.Errorf("%s did not start its engine anew as it should:\n%s", auth, log)
		}
	}
	trial.AllOnce(t, ctx, n)
}

// One of three authorities is away for three epochs. The others go on without it, and
// it votes again when it is back. It goes at an epoch's beginning, when no vote goes on.
func TestAuthorityAway(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	c := watch(t, n)
	c.until(ctx, c.first+1)
	n.Process("auth3").Kill()
	gone := n.Epoch()
	c.until(ctx, gone+4)
	if err := n.Process("auth3").Start(); err != nil {
		t.Fatal(err)
	}
	back := n.Epoch()
	err := n.Wait(ctx, "the authority's signature", func() (bool, error) {
		c.look()
		return c.signed(n.Epoch(), "auth3"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.complete()
	for epoch := gone + 1; epoch <= back; epoch++ {
		if c.signed(epoch, "auth3") {
			t.Errorf("epoch +%d: signed by an authority that is away", epoch-gone)
		}
	}
	trial.AllOnce(t, ctx, n)
}

// One of three authorities is killed between its vote, in which it commits itself to a
// number, and its revealing that number. This costs one consensus: a certificate needs
// the reveal of each commitment, so that nobody can make one (Katzenpost core/pki,
// IsDocumentWellFormed). The next vote is the others' alone, and mail does not wait
// for it.
func TestAuthorityKilledWhileVoting(t *testing.T) {
	t.Parallel()
	var o testnet.Options
	if trial.Race {
		o.Epoch = 20 * time.Second // a vote must come in time
	}
	n := trial.Start(t, o)
	ctx, cancel := context.WithTimeout(t.Context(), 3*trial.Patience)
	defer cancel()
	c := watch(t, n)
	c.until(ctx, c.first+1)
	// Votes go out after an eighth of an epoch and reveals after a quarter.
	period := c.network.Parameters.Epoch
	var voting uint64
	err := n.Wait(ctx, "the middle of a vote", func() (bool, error) {
		c.look()
		voting = n.Epoch()
		passed := time.Since(directory.EpochStart(voting, period))
		return passed >= period*13/64 && passed < period*14/64, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Process("auth3").Kill()
	lost := voting + 1
	c.until(ctx, lost+1)
	trial.Arrival(t, ctx, n, fmt.Sprintf("epoch %d", lost))
	if c.views[lost] != nil {
		t.Error("the vote did not fail: docs/network.md says it does")
	}
	c.until(ctx, lost+4)
	for epoch := lost + 1; epoch <= lost+3; epoch++ {
		if c.views[epoch] == nil || c.signed(epoch, "auth3") {
			t.Errorf("%d epochs after the failed vote's: a consensus %v, signed by the one that is away %v", epoch-lost, c.views[epoch] != nil, c.signed(epoch, "auth3"))
		}
	}
	if err := n.Process("auth3").Start(); err != nil {
		t.Fatal(err)
	}
	err = n.Wait(ctx, "the authority's signature", func() (bool, error) {
		c.look()
		return c.signed(n.Epoch(), "auth3"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	trial.AllOnce(t, ctx, n)
}

// Two of three authorities are gone for as long as nodes go on without a consensus.
// Mail that is written meanwhile arrives, and when they are back there is a
// consensus again.
func TestTwoAuthoritiesAway(t *testing.T) {
	t.Parallel()
	n := trial.Start(t, testnet.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	c := watch(t, n)
	away := authorities[1:]
	for _, name := range away {
		if err := n.Process(name).Stop(); err != nil {
			t.Fatal(err)
		}
	}
	// The consensus of the next epoch may have been voted before; then there is none.
	c.until(ctx, c.first+2)
	trial.Arrival(t, ctx, n, fmt.Sprintf("epoch %d", c.first+1))
	c.until(ctx, c.first+3)
	if c.views[c.first+2] != nil {
		t.Error("one authority of three made a consensus")
	}
	for _, name := range away {
		if err := n.Process(name).Start(); err != nil {
			t.Fatal(err)
		}
	}
	trial.Submit(t, n, "you@far.example", "without a consensus", "x\n")
	err := n.Wait(ctx, "a consensus", func() (bool, error) {
		c.look()
		return c.views[n.Epoch()] != nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	trial.AllOnce(t, ctx, n)
}
