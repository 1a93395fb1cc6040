package sender

import (
	"errors"
	"io"
	"log/slog"
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
func network(t *testing.T, entries ...string) *directory.Network {
	t.Helper()
	p := directory.DefaultParameters()
	members := []*directory.Member{{Role: directory.RoleAuthority, Name: "auth", Operator: "auth", Address: "127.0.0.1:1", Parameters: &p}}
	for _, name := range entries {
		members = append(members, &directory.Member{Role: directory.RoleEntry, Name: name, Operator: name, Address: "127.0.0.1:2"})
	}
	for _, m := range members {
		keys, err := katzenpost.CreateKeys(t.TempDir())
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
	// Whichever is written first: the newest stays.
	older, newer := first.saw(9), first.saw(10)
	for _, write := range []func() error{newer, older} {
		if err := write(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		g, err := loadGuards(path, n)
		if err != nil {
			t.Fatal(err)
		}
		if g.entry != first.entry || g.exit != first.exit || g.Epoch != 10 {
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
	log, rng := slog.New(slog.NewTextHandler(io.Discard, nil)), rand.New(rand.NewPCG(1, 1))
	first := g.entry
	fail := func(from, to uint64) {
		for epoch := from; epoch < to; epoch++ {
			g.entryFailed(epoch, 72, rng, log)
			g.entryFailed(epoch, 72, rng, log)
		}
	}
	fail(100, 172)
	if g.entry != first {
		t.Fatal("the entry changed after 72 epochs of failure, want more")
	}
	g.EntryFailing.worked(172)
	fail(173, 180)
	fail(10_000, 10_065) // the machine was off for a year
	if g.entry != first {
		t.Fatal("the entry changed though it worked 72 epochs of attempts ago")
	}
	fail(10_065, 10_066)
	if g.entry == first {
		t.Fatal("the entry did not change after 73 epochs of failure")
	}
	alone, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), network(t, "e1"))
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range uint64(100) {
		alone.entryFailed(epoch, 1, rng, log)
	}
	if alone.entry == nil || alone.entry.Name != "e1" {
		t.Error("the only entry was given up")
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
		if g.exit != (sphinx.NodeID{2}) {
			t.Fatal("an exit of the entry's operator was chosen")
		}
	}
}

func TestExitChangesOnlyAfterLongAbsence(t *testing.T) {
	g, err := loadGuards(filepath.Join(t.TempDir(), "guards.json"), network(t, "e"))
	if err != nil {
		t.Fatal(err)
	}
	v := exits("x1", "x2", "x3")
	if err := g.chooseExit(v, NewRand(), 168); err != nil {
		t.Fatal(err)
	}
	first := g.exit
	for epoch := range uint64(168) {
		g.ExitFailing.failed(epoch + 1)
	}
	if err := g.chooseExit(v, NewRand(), 168); err != nil || g.exit != first {
		t.Fatalf("changed before its time: %v", err)
	}
	g.ExitFailing.failed(5000)
	if err := g.chooseExit(v, NewRand(), 168); !errors.Is(err, errExitChanged) || g.exit == first {
		t.Fatalf("not changed after its time: %v", err)
	}
	only := exits("x1")
	only.Exits[0].ID = g.exit
	now := g.exit
	g.ExitFailing.Epochs = 10_000
	if err := g.chooseExit(only, NewRand(), 168); err != nil || g.exit != now {
		t.Errorf("the only exit was given up: %v", err)
	}
}
