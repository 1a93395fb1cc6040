package authority

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

// person makes members: their keys, and their signed files.
type person struct {
	directory.Member
	keys *katzenpost.Keys
	dir  string // of the keys
}

func newPerson(t *testing.T, m directory.Member) *person {
	t.Helper()
	dir := t.TempDir()
	keys, err := katzenpost.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	m.Operator = "op"
	if m.Address == "" {
		m.Address = "192.0.2.1:1"
	}
	m.SetKeys(keys.IdentityPublic, keys.LinkPublic)
	return &person{m, keys, dir}
}

// file is what the person signs, with a change.
func (p *person) file(t *testing.T, change func(*directory.Member)) []byte {
	t.Helper()
	m := p.Member
	change(&m)
	b, err := m.Sign(p.keys.Identity)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func asItIs(*directory.Member) {}

// newConfig makes an authority of a network with epochs of an hour, an entry and two
// layers.
func newConfig(t *testing.T) (c *Config, n *directory.Network, entry, auth *person) {
	t.Helper()
	p := directory.DefaultParameters()
	p.Layers = 2
	auth = newPerson(t, directory.Member{Role: directory.RoleAuthority, Name: "auth1", Parameters: &p})
	entry = newPerson(t, directory.Member{Role: directory.RoleEntry, Name: "entry"})
	n, err := directory.NewNetwork("test", []*directory.Member{&auth.Member, &entry.Member})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c = &Config{Name: "auth1", Address: auth.Address, Network: filepath.Join(dir, "network.toml"), Members: filepath.Join(dir, "members"), State: auth.dir}
	if err := os.WriteFile(c.Network, n.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return c, n, entry, auth
}

func admit(t *testing.T, c *Config, file []byte, until time.Time) *Admitted {
	t.Helper()
	a, err := c.Admit(file, until)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func names(list []*Admitted) (names []string) {
	for _, a := range list {
		names = append(names, a.Name)
	}
	return names
}

func admittedNames(t *testing.T, c *Config) []string {
	t.Helper()
	list, err := c.Admitted()
	if err != nil {
		t.Fatal(err)
	}
	return names(list)
}

func TestAdmit(t *testing.T) {
	c, _, entry, _ := newConfig(t)
	mix := newPerson(t, directory.Member{Role: directory.RoleMix, Name: "mix1", Layer: 1})
	other := newPerson(t, directory.Member{Role: directory.RoleMix, Name: "mix2", Layer: 2})
	until := time.Now().Add(48 * time.Hour).UTC().Truncate(time.Second)
	first := admit(t, c, mix.file(t, asItIs), until)
	list, err := c.Admitted()
	if err != nil || len(list) != 1 || !list[0].Until.Equal(until) || !list[0].Since.Equal(first.Since) || list[0].ID() != mix.ID() {
		t.Fatalf("%+v, %v", list, err)
	}

	// A newer file takes the older one's place, with another end and the same beginning.
	moved := admit(t, c, mix.file(t, func(m *directory.Member) { m.Address = "192.0.2.9:9" }), time.Time{})
	list, err = c.Admitted()
	if err != nil || len(list) != 1 || list[0].Address != "192.0.2.9:9" || !list[0].Until.IsZero() || !list[0].Since.Equal(first.Since) {
		t.Fatalf("%+v, %v", list, err)
	}
	if moved.counted() != first.counted() {
		t.Error("the engine would start anew for another address")
	}

	whole := other.file(t, asItIs)
	var signatures []byte
	for i := range 70 {
		signatures = fmt.Appendf(signatures, "-----BEGIN SOURDINE SIGNATURE-----\nKey: %064x\n\nAA==\n-----END SOURDINE SIGNATURE-----\n", i)
	}
	for _, test := range []struct {
		name  string
		file  []byte
		until time.Time
		why   string
	}{
		{"a name that another has", other.file(t, func(m *directory.Member) { m.Name = "mix1" }), time.Time{}, "is admitted already"},
		{"a key that another has", mix.file(t, func(m *directory.Member) { m.Name = "mix7" }), time.Time{}, "is admitted already"},
		{"the name of the network's entry", other.file(t, func(m *directory.Member) { m.Name = "entry" }), time.Time{}, "the network file has a member"},
		{"the name of an authority", other.file(t, func(m *directory.Member) { m.Name = "auth1" }), time.Time{}, "the network file has a member"},
		{"the key of the network's entry", entry.file(t, func(m *directory.Member) { m.Name = "entry2" }), time.Time{}, "the network file has a member"},
		{"no such layer", other.file(t, func(m *directory.Member) { m.Layer = 3 }), time.Time{}, "is of layer 3, the network has 2"},
		{"an end before its beginning", whole, time.Now().Add(time.Hour), "would be over before"},
		{"nothing", nil, time.Time{}, "role"},
		{"cut", whole[:len(whole)/2], time.Time{}, ""},
		{"without its signature", whole[:bytes.Index(whole, []byte("-----BEGIN SOURDINE"))], time.Time{}, "signature does not match"},
		{"changed", bytes.Replace(whole, []byte("192.0.2.1"), []byte("192.0.2.2"), 1), time.Time{}, "signature does not match"},
		{"renamed", bytes.Replace(whole, []byte("mix2"), []byte("mix3"), 1), time.Time{}, "signature does not match"},
		{"a path for a name", bytes.Replace(whole, []byte(`"mix2"`), []byte(`"../x"`), 1), time.Time{}, "name"},
		{"a huge one", append(bytes.Repeat([]byte("#\n"), 40_000), whole...), time.Time{}, "more than a member's file can have"},
		{"nested for ever", []byte("x = " + strings.Repeat("[", 60_000)), time.Time{}, ""},
		{"signatures of many", append(slices.Clone(whole), signatures...), time.Time{}, "damaged below the first signature"},
	} {
		if _, err := c.Admit(test.file, test.until); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
	if got := admittedNames(t, c); !slices.Equal(got, []string{"mix1"}) {
		t.Errorf("admitted are %v", got)
	}
	if files, err := os.ReadDir(c.Members); err != nil || len(files) != 2 {
		t.Errorf("left in the directory: %v, %v", files, err)
	}
}

func TestRemove(t *testing.T) {
	c, _, entry, _ := newConfig(t)
	people := map[string]*person{"entry": entry}
	for name, m := range map[string]directory.Member{
		"mix1": {Role: directory.RoleMix, Layer: 1}, "mix2": {Role: directory.RoleMix, Layer: 2},
		"mix3": {Role: directory.RoleMix, Layer: 2}, "exit": {Role: directory.RoleExit},
	} {
		m.Name = name
		people[name] = newPerson(t, m)
	}
	// As long as the list makes no network, what is wrong in it can go.
	for _, name := range []string{"entry", "mix1", "mix2", "mix3"} {
		admit(t, c, people[name].file(t, asItIs), time.Time{})
	}
	if _, err := c.Remove("mix1"); err != nil {
		t.Error(err)
	}
	admit(t, c, people["mix1"].file(t, asItIs), time.Time{})
	admit(t, c, people["exit"].file(t, asItIs), time.Time{})
	for name, why := range map[string]string{
		"mix1": "the only mix of layer 1", "entry": "the only entry", "exit": "the only exit", "mix9": "no member", "../entry": "no member",
	} {
		if _, err := c.Remove(name); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := c.Remove("mix2"); err != nil {
		t.Error(err)
	}
	if _, err := c.Remove("mix3"); err == nil || !strings.Contains(err.Error(), "the only mix of layer 2") {
		t.Error(err)
	}
	if got := admittedNames(t, c); !slices.Equal(got, []string{"entry", "exit", "mix1", "mix3"}) {
		t.Errorf("admitted are %v", got)
	}
}

// What a person or an accident leaves in the directory is named.
func TestAdmittedRefuses(t *testing.T) {
	c, _, entry, _ := newConfig(t)
	admit(t, c, entry.file(t, asItIs), time.Time{})
	if err := os.Remove(filepath.Join(c.Members, "entry.toml")); err != nil {
		t.Fatal(err)
	}
	// A file that an earlier version of the program or a person put there is enough.
	if got := admittedNames(t, c); !slices.Equal(got, []string{"entry"}) {
		t.Errorf("without its admission: %v", got)
	}
	for name, text := range map[string]string{
		"entry.toml":    "until = 3\n",
		"copy.member":   string(entry.file(t, asItIs)),
		"broken.member": "role = ",
	} {
		path := filepath.Join(c.Members, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Admitted(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "mend or remove") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// An engine starts anew only for a list that differs and that it can start with.
func TestChanged(t *testing.T) {
	c, n, entry, auth := newConfig(t)
	admit(t, c, entry.file(t, asItIs), time.Time{})
	for name, m := range map[string]directory.Member{
		"mix1": {Role: directory.RoleMix, Layer: 1}, "mix2": {Role: directory.RoleMix, Layer: 2},
		"mix3": {Role: directory.RoleMix, Layer: 2}, "exit": {Role: directory.RoleExit},
	} {
		m.Name = name
		admit(t, c, newPerson(t, m).file(t, asItIs), time.Time{})
	}
	const year = 8760 * time.Hour
	begins := directory.EpochStart(directory.EpochAt(time.Now(), time.Hour), time.Hour)
	admit(t, c, newPerson(t, directory.Member{Role: directory.RoleExit, Name: "exit2"}).file(t, asItIs), begins.Add(year))
	var log bytes.Buffer
	v := &voter{cfg: c, network: n, keys: auth.keys, turns: turns{time.Hour, 0, 1}, log: slog.New(slog.NewTextHandler(&log, nil))}
	turn := v.turns.next(begins)
	var list []counted
	err := v.lend(func() (err error) { list, _, err = v.read(turn); return err })
	if err != nil || len(list) != 6 {
		t.Fatal(list, err)
	}
	file := func(name string) string { return filepath.Join(c.Members, name) }
	for _, test := range []struct {
		name   string
		change func() error
		at     time.Time
		want   bool
		says   string
	}{
		{"nothing", func() error { return nil }, turn, false, ""},
		{"a year later", func() error { return nil }, turn.Add(year), true, ""},
		{"a damaged file", func() error { return os.WriteFile(file("x.member"), []byte("role"), 0o600) }, turn, false, "x.member"},
		{"a mix less", func() error { return errors.Join(os.Remove(file("x.member")), os.Remove(file("mix2.member"))) }, turn, true, ""},
		{"a mix less, in a vote", func() error { return nil }, begins, false, ""},
		{"a layer less", func() error { return os.Remove(file("mix3.member")) }, turn, false, "no mix of layer 2"},
	} {
		log.Reset()
		if err := test.change(); err != nil {
			t.Fatal(err)
		}
		if got := v.changed(list, test.at); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		if got := log.String(); (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
			t.Errorf("%s: the log says %q, want %q", test.name, got, test.says)
		}
	}
}

// member is one that was admitted, without keys.
func member(name string, role directory.Role, layer int, until time.Time) *Admitted {
	m := &directory.Member{Name: name, Role: role, Layer: layer}
	return &Admitted{Member: m, Until: until}
}

func TestCounting(t *testing.T) {
	over, later := hour, hour.Add(time.Second)
	for _, test := range []struct {
		name string
		list []*Admitted
		want []string
	}{
		{"nobody", nil, nil},
		{"one over", []*Admitted{member("a", directory.RoleMix, 1, time.Time{}), member("b", directory.RoleMix, 1, over)}, []string{"a"}},
		{"one in time", []*Admitted{member("a", directory.RoleMix, 1, later), member("b", directory.RoleMix, 1, over)}, []string{"a"}},
		{"the last of its layer", []*Admitted{member("a", directory.RoleMix, 1, time.Time{}), member("b", directory.RoleMix, 2, over)}, []string{"a", "b"}},
		{"the last two of a layer", []*Admitted{member("a", directory.RoleMix, 1, over), member("b", directory.RoleMix, 1, over)}, []string{"a", "b"}},
		{"the last entry", []*Admitted{member("a", directory.RoleEntry, 0, over), member("b", directory.RoleExit, 0, time.Time{})}, []string{"a", "b"}},
	} {
		if got := names(counting(test.list, hour)); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestStandings(t *testing.T) {
	_, _, entry, _ := newConfig(t)
	exit := newPerson(t, directory.Member{Role: directory.RoleExit, Name: "exit"})
	in := func(p *person, until time.Time) *Admitted { return &Admitted{Member: &p.Member, Until: until} }
	next := changeAt(epoch+2, time.Hour)
	type standing struct {
		inForce       bool
		joins, leaves uint64 // after this epoch; 0: never
	}
	for _, test := range []struct {
		name    string
		list    []*Admitted
		counted []*Admitted
		running bool
		want    map[string]standing
	}{
		{"not running", []*Admitted{in(entry, time.Time{})}, nil, false, map[string]standing{"entry": {}}},
		{"in force", []*Admitted{in(entry, time.Time{})}, []*Admitted{in(entry, time.Time{})}, true, map[string]standing{"entry": {inForce: true}}},
		{"just admitted", []*Admitted{in(entry, time.Time{})}, nil, true, map[string]standing{"entry": {joins: 2}}},
		{"just removed", nil, []*Admitted{in(entry, time.Time{})}, true, map[string]standing{"entry": {inForce: true, leaves: 2}}},
		{"for a time, and the last of its kind", []*Admitted{in(entry, hour.Add(5*time.Hour))}, []*Admitted{in(entry, time.Time{})}, true, map[string]standing{"entry": {inForce: true}}},
	} {
		var list []counted
		for _, a := range test.counted {
			list = append(list, a.counted())
		}
		for _, s := range standings(test.list, list, test.running, next, time.Hour) {
			got := standing{inForce: s.InForce}
			if s.Joins != nil {
				got.joins = s.Joins.Epoch - epoch
			}
			if s.Leaves != nil {
				got.leaves = s.Leaves.Epoch - epoch
			}
			if got != test.want[s.Name] {
				t.Errorf("%s: %s is %+v, want %+v", test.name, s.Name, got, test.want[s.Name])
			}
			delete(test.want, s.Name)
		}
		if len(test.want) > 0 {
			t.Errorf("%s: not listed: %v", test.name, test.want)
		}
	}
	// One of two for a time: it leaves with the first epoch that begins after that.
	second := newPerson(t, directory.Member{Role: directory.RoleExit, Name: "exit2"})
	list := []*Admitted{in(exit, hour.Add(4*time.Hour+time.Minute)), in(second, time.Time{})}
	got := standings(list, nil, true, next, time.Hour)[0]
	if got.Joins == nil || got.Joins.Epoch != epoch+2 || got.Leaves == nil || got.Leaves.Epoch != epoch+5 {
		t.Errorf("for a time: %+v", got)
	}
}

func FuzzParseAdmission(f *testing.F) {
	f.Add([]byte("since = 2026-11-25T12:00:00Z\nuntil = 2027-01-01T00:00:00Z\n"))
	f.Add([]byte("until = 2027-01-01\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAdmission(b)
		if err != nil {
			return
		}
		text, err := a.encode()
		if err != nil {
			return // a year that RFC 3339 does not have
		}
		again, err := parseAdmission(text)
		if err != nil || !again.Since.Equal(a.Since) || !again.Until.Equal(a.Until) {
			t.Errorf("%q became %q, %v", b, text, err)
		}
	})
}
