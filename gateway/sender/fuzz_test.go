package sender

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// FuzzGuards reads any bytes as the file of a gateway's entry and exit. What is refused
// says which file it is; what is taken has an entry of the network and can be used,
// written and read again. The entry's identity is another one in each process, so in
// the bytes "@e1" stands for it.
func FuzzGuards(f *testing.F) {
	n := network(f, "e1", "e2")
	id := n.Entries[0].ID()
	e1 := []byte(hex.EncodeToString(id[:]))
	exit := strings.Repeat("01", sphinx.NodeIDLength)
	key := mail.SignedKey{DayKey: mail.NewDayKey(7, []byte{1, 2}), Signature: []byte{3}}
	for _, g := range []guards{
		{Entry: "@e1"},
		{Entry: "@e1", Exit: exit, ExitOperator: "x1", Epoch: 10, ExitFailing: failures{Epochs: 1 << 63, Last: 9}, Keys: []mail.SignedKey{key}},
		{Entry: "none", Exit: exit, ExitOperator: "e2"},
		{Entry: "@e1", Exit: "01"},
		{Entry: "@e1", Keys: slices.Repeat([]mail.SignedKey{key}, 2*keptKeys)},
	} {
		b, err := json.Marshal(&g)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("null"))
	f.Add([]byte(`{"entry":"@e1","exit_keys":[null]}`))
	f.Add([]byte(`{"entry":1}`))
	f.Add([]byte(`{"epoch":-1}`))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "guards.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.ReplaceAll(b, []byte("@e1"), e1)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		g, err := loadGuards(path, n)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("nobody is told which file it is: %v", err)
			}
			return
		}
		usable := func(g *guards) {
			if !slices.Contains(n.Entries, g.entry) {
				t.Fatal("the entry is none of the network's")
			}
			if id := g.entry.ID(); g.Entry != hex.EncodeToString(id[:]) {
				t.Fatalf("the entry is written as %q", g.Entry)
			}
			if g.chosen != (sphinx.NodeID{}) && !strings.EqualFold(g.Exit, hex.EncodeToString(g.chosen[:])) {
				t.Fatalf("the exit is written as %q", g.Exit)
			}
		}
		usable(g)
		if g.exit != g.chosen || g.exit == (sphinx.NodeID{}) && strings.Trim(g.Exit, "0") != "" {
			t.Fatalf("the exit %q is read as %x", g.Exit, g.exit)
		}
		rng := rand.New(rand.NewPCG(1, 2))
		g.EntryFailing.failed(g.Epoch)
		g.changeEntry(5, rng)
		if err := g.chooseExit(exits("x1", "e1", "x2"), rng, 5); err == nil && g.exit == (sphinx.NodeID{}) && g.ExitOperator == g.entry.Operator {
			t.Fatal("entry and exit are run by the same operator")
		}
		many := max(keptKeys, len(g.Keys))
		for day := range uint32(2 * keptKeys) {
			g.keep(mail.SignedKey{DayKey: mail.NewDayKey(day, nil)}, 0)
		}
		if len(g.Keys) > many {
			t.Fatalf("%d keys are kept", len(g.Keys))
		}
		usable(g)
		if err := g.later()(); err != nil {
			t.Fatal(err)
		}
		again, err := loadGuards(path, n)
		if err != nil {
			t.Fatal(err)
		}
		if !sameGuards(g, again) || again.exit != g.chosen {
			t.Fatalf("%+v is read again as %+v", g, again)
		}
	})
}

// sameGuards compares what the file has.
func sameGuards(a, b *guards) bool {
	keys := func(g *guards) (list [][]byte) {
		for _, k := range g.Keys {
			text, _ := json.Marshal(k)
			list = append(list, text)
		}
		return list
	}
	return a.Entry == b.Entry && a.Exit == b.Exit && a.ExitOperator == b.ExitOperator && a.EntryFailing == b.EntryFailing &&
		a.ExitFailing == b.ExitFailing && a.Epoch == b.Epoch && reflect.DeepEqual(keys(a), keys(b))
}
