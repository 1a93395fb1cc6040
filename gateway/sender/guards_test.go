package sender

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// network has an authority and these entries, each run by an operator of its name.
func network(t testing.TB, entries ...string) *directory.Network {
	t.Helper()
	p := directory.DefaultParameters()
	members := []*directory.Member{{Role: directory.RoleAuthority, Name: "auth", Operator: "auth", Address: "127.0.0.1:1", Parameters: &p}}
	for _, name := range entries {
		members = append(members, &directory.Member{Role: directory.RoleEntry, Name: name, Operator: name, Address: "127.0.0.1:2"})
	}
	for _, m := range members {
		keys, err := katzenpost.NewKeys()
		if err != nil {
			t.Fatal(err)
		}
		m.SetKeys(keys.IdentityPublic, keys.LinkPublic)
	}
	n, err := directory.NewNetwork("test", members)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func exits(operators ...string) *directory.View {
	v := new(directory.View)
	for i, o := range operators {
		v.Exits = append(v.Exits, directory.Exit{Node: directory.Node{ID: sphinx.NodeID{byte(i + 1)}}, ExitInfo: directory.ExitInfo{Operator: o}})
	}
	return v
}

func TestGuardsAreKept(t *testing.T) {
	n, path := network(t, "e1", "e2", "e3", "e4", "e5"), filepath.Join(t.TempDir(), "guards.json")
	first, err := loadGuards(path, n)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.chooseExit(exits("x1", "x2", "x3"), NewRand(), 5); err != nil {
		t.Fatal(err)
	}
	first.Epoch = 10
	if err := first.later()(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		g, err := loadGuards(path, n)
		if err != nil {
			t.Fatal(err)
		}
		if g.entry != first.entry || g.exit != first.chosen || g.ExitOperator != first.ExitOperator || g.Epoch != 10 {
			t.Fatal("the guards changed without a reason")
		}
	}
	for name, text := range map[string]string{"no JSON": "x", "no identity": `{"exit":"zz"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := loadGuards(path, n); err == nil || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEntryChangesOnlyAfterLongFailure(t *testing.T) {
	g, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), network(t, "e1", "e2"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	first := g.entry
	fail := func(g *guards, from, to, patience uint64) {
		for epoch := from; epoch < to; epoch++ {
			if !g.EntryFailing.failed(epoch) || g.EntryFailing.failed(epoch) {
				t.Fatal("an epoch does not count once")
			}
			g.changeEntry(patience, rng)
		}
	}
	fail(g, 100, 172, 72)
	if g.entry != first {
		t.Fatal("the entry changed after 72 epochs of failure, want more")
	}
	g.EntryFailing.worked(172)
	fail(g, 173, 180, 72)
	fail(g, 10_000, 10_065, 72) // the machine was off for a year
	if g.entry != first {
		t.Fatal("the entry changed though it worked 72 epochs of attempts ago")
	}
	fail(g, 10_065, 10_066, 72)
	if g.entry == first {
		t.Fatal("the entry did not change after 73 epochs of failure")
	}
	alone, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), network(t, "e1"))
	if err != nil {
		t.Fatal(err)
	}
	fail(alone, 1, 100, 1)
	if alone.entry == nil || alone.entry.Name != "e1" {
		t.Error("the only entry was given up")
	}
}

// Nor does an entry follow that the exit's operator runs.
func TestEntryIsNotTheExitsOperators(t *testing.T) {
	for range 20 { // the choice is random
		path := filepath.Join(t.TempDir(), "guards.json")
		g, err := loadGuards(path, network(t, "e1", "e2", "e3"))
		if err != nil {
			t.Fatal(err)
		}
		g.ExitOperator, g.EntryFailing.Epochs = "e2", 100
		first := g.entry
		if !g.changeEntry(72, NewRand()) || g.entry == first || g.entry.Operator == "e2" {
			t.Fatalf("after %s came %s", first.Name, g.entry.Name)
		}
		// The network file no longer lists it.
		if err := g.later()(); err != nil {
			t.Fatal(err)
		}
		if g, err = loadGuards(path, network(t, "e2", "e4")); err != nil || g.entry.Name != "e4" {
			t.Fatalf("%v, and the entry is %v", err, g.entry)
		}
	}
}

func TestExitIsNotTheEntrysOperators(t *testing.T) {
	n := network(t, "same")
	for range 20 { // the choice is random
		g, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), n)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.chooseExit(exits("same"), NewRand(), 10); err == nil {
			t.Fatal("an exit of the entry's operator was chosen")
		}
		if err := g.chooseExit(exits("same", "other"), NewRand(), 10); err != nil {
			t.Fatal(err)
		}
		if g.chosen != (sphinx.NodeID{2}) || g.ExitOperator != "other" {
			t.Fatal("an exit of the entry's operator was chosen")
		}
	}
}

func TestExitChangesOnlyAfterLongAbsence(t *testing.T) {
	g, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), network(t, "e"))
	if err != nil {
		t.Fatal(err)
	}
	choose := func(v *directory.View) {
		t.Helper()
		if err := g.chooseExit(v, NewRand(), 168); err != nil {
			t.Fatal(err)
		}
	}
	v := exits("x1", "x2", "x3")
	choose(v)
	first := g.chosen
	if g.exit != (sphinx.NodeID{}) {
		t.Fatal("in use before it is on the disk")
	}
	choose(v)
	if g.chosen != first {
		t.Fatal("another was chosen before the first was on the disk")
	}
	g.exit = first
	for epoch := range uint64(168) {
		g.ExitFailing.failed(epoch + 1)
	}
	if choose(v); g.chosen != first {
		t.Fatal("changed before its time")
	}
	g.ExitFailing.failed(5000)
	if choose(v); g.chosen == first || g.exit != first || g.ExitFailing.Epochs != 0 {
		t.Fatal("not changed after its time")
	}
	g.exit = g.chosen
	only := exits("x1")
	only.Exits[0].ID = g.exit
	g.ExitFailing.Epochs = 10_000
	if choose(only); g.chosen != g.exit {
		t.Error("the only exit was given up")
	}
}
