package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// cheap makes a password attempt take microseconds.
var cheap = Cost{Memory: 8, Passes: 1, Threads: 1}

func create(t *testing.T, password string) (*Ring, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := CreateWithCost(path, "first", []byte(password), cheap)
	if err != nil {
		t.Fatal(err)
	}
	return ring, path
}

func TestSealAndOpen(t *testing.T) {
	_, path := create(t, "correct horse")
	ring, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Unlock([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "a", strings.Repeat("long ", 10_000)} {
		sealed, err := ring.Seal("report", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(sealed) != len(text)+1137 {
			t.Errorf("%d bytes sealed take %d", len(text), len(sealed))
		}
		opened, err := key.Open("report", sealed)
		if err != nil || string(opened) != text {
			t.Errorf("opened %q, %v", opened, err)
		}
		if _, err := key.Open("state", sealed); err == nil {
			t.Error("opened under another label")
		}
		again, _ := ring.Seal("report", []byte(text))
		if bytes.Equal(again, sealed) {
			t.Error("sealing twice gives the same bytes")
		}
		for _, at := range []int{0, 1, 600, 1130, len(sealed) - 1} {
			damaged := bytes.Clone(sealed)
			damaged[at] ^= 1
			if _, err := key.Open("report", damaged); err == nil {
				t.Errorf("opened with byte %d changed", at)
			}
		}
		for _, length := range []int{0, 1, 100, 1136} {
			if _, err := key.Open("report", sealed[:length]); err == nil {
				t.Errorf("opened the first %d bytes", length)
			}
		}
	}
}

func TestUnlock(t *testing.T) {
	ring, _ := create(t, "caf\u00e9")
	for _, test := range []struct {
		password string
		want     error
	}{
		{"caf\u00e9", nil},
		{"cafe\u0301", nil}, // the same word as another program spells it
		{"cafe", ErrPassword},
		{"", ErrPassword},
		{"caf\u00e9 ", ErrPassword},
		{"caf\xe9", ErrPassword},
		{strings.Repeat("x", 100_000), ErrPassword},
	} {
		if _, err := ring.Unlock([]byte(test.password)); !errors.Is(err, test.want) {
			t.Errorf("password %.20q: %v, want %v", test.password, err, test.want)
		}
	}
}

func TestUnlockTriesEverySlot(t *testing.T) {
	ring, _ := create(t, "one")
	other, _ := create(t, "two")
	ring.slots = append(other.slots, ring.slots[0], other.slots[0])
	if _, err := ring.Unlock([]byte("one")); err != nil {
		t.Errorf("the middle slot's password: %v", err)
	}
	// The other ring's private key does not belong to this public key.
	if _, err := ring.Unlock([]byte("two")); err == nil || errors.Is(err, ErrPassword) {
		t.Errorf("a foreign slot's password: %v", err)
	}
}

// TestNames gives the key to several names, each with its own password: every password opens it, but none under
// another's name.
func TestNames(t *testing.T) {
	ring, path := create(t, "one")
	sealed, err := ring.Seal("x", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Give("second", []byte("wrong"), []byte("two")); !errors.Is(err, ErrPassword) {
		t.Errorf("given by a wrong password: %v", err)
	}
	for _, give := range []struct{ name, current, password string }{
		{"second", "one", "2"}, {"second", "one", "two"}, {"third", "two", "three"}, {"fourth", "three", "one"},
	} {
		if err := ring.Give(give.name, []byte(give.current), []byte(give.password)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Take("fourth"); err != nil {
		t.Fatal(err)
	}
	if err := ring.Save(path); err != nil {
		t.Fatal(err)
	}
	if ring, err = Open(path); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"first": "one", "second": "two", "third": "three"}
	for _, name := range []string{"first", "second", "third", "fourth", "", "First", strings.Repeat("x", 1000)} {
		if ring.Has(name) != (names[name] != "") {
			t.Errorf("has %.10q: %v", name, ring.Has(name))
		}
		for _, password := range []string{"one", "two", "three", "2", ""} {
			key, err := ring.UnlockAs(name, []byte(password))
			if names[name] != password || password == "" {
				if !errors.Is(err, ErrPassword) || key != nil {
					t.Errorf("%.10q with the password %q: %v", name, password, err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("%q: %v", name, err)
			}
			if text, err := key.Open("x", sealed); err != nil || string(text) != "text" {
				t.Errorf("%q opens %q, %v", name, text, err)
			}
		}
	}
	for _, password := range []string{"one", "two", "three"} {
		if _, err := ring.Unlock([]byte(password)); err != nil {
			t.Errorf("%q: %v", password, err)
		}
	}
	if _, err := ring.Unlock([]byte("2")); !errors.Is(err, ErrPassword) {
		t.Errorf("a password that was replaced: %v", err)
	}
}

// TestUnlockAsCosts counts what a login costs: one stretched password, whether the name is there or not.
func TestUnlockAsCosts(t *testing.T) {
	ring, _ := create(t, "one")
	if err := ring.Give("second", []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	work := func(name, password string) float64 {
		return testing.AllocsPerRun(20, func() { ring.UnlockAs(name, []byte(password)) })
	}
	want := work("first", "two")
	for _, c := range [][2]string{{"second", "one"}, {"nobody", "one"}, {"nobody", "nothing"}, {"", "one"}} {
		if got := work(c[0], c[1]); got < want-2 || got > want+4 { // what opens allocates a seed
			t.Errorf("%q with %q allocates %v times, a wrong password %v times", c[0], c[1], got, want)
		}
	}
}

func TestGiveAndTakeRefuse(t *testing.T) {
	ring, _ := create(t, "pw")
	if err := ring.Take("first"); err == nil || !strings.Contains(err.Error(), "last") {
		t.Errorf("taking the last password: %v", err)
	}
	if err := ring.Take("second"); err == nil {
		t.Error("took what is not there")
	}
	if err := ring.Give("second", []byte("pw"), nil); err == nil {
		t.Error("gave an empty password")
	}
	if err := ring.Give(strings.Repeat("n", maxSlotName+1), []byte("pw"), []byte("x")); err == nil {
		t.Error("gave a password under too long a name")
	}
	for i := 1; i < maxSlots; i++ {
		if err := ring.Give(strings.Repeat("n", i), []byte("pw"), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := ring.Give("more", []byte("pw"), []byte("x")); err == nil {
		t.Errorf("gave more than %d passwords", maxSlots)
	}
	if err := ring.Give("first", []byte("pw"), []byte("new")); err != nil {
		t.Errorf("replacing the password of a full ring: %v", err)
	}
}

func TestUnlockFromManySides(t *testing.T) {
	ring, _ := create(t, "pw")
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			password, want := "pw", error(nil)
			if i%2 == 1 {
				password, want = "no", ErrPassword
			}
			key, err := ring.Unlock([]byte(password))
			if !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
			if err == nil {
				key.Wipe()
			}
		})
	}
	all.Wait()
}

func TestTag(t *testing.T) {
	ring, _ := create(t, "pw")
	key, err := ring.Unlock([]byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := ring.Unlock([]byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	other, _ := create(t, "pw")
	foreign, err := other.Unlock([]byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	a, b, ab := []byte("a"), []byte("b"), []byte("ab")
	base := key.Tag("sent", a, b)
	if again.Tag("sent", a, b) != base {
		t.Error("the same data has another tag after unlocking again")
	}
	for name, tag := range map[string][32]byte{
		"another label":   key.Tag("seen", a, b),
		"another order":   key.Tag("sent", b, a),
		"joined parts":    key.Tag("sent", ab),
		"a part more":     key.Tag("sent", a, b, nil),
		"part into label": key.Tag("senta", b),
		"another key":     foreign.Tag("sent", a, b),
	} {
		if tag == base {
			t.Errorf("%s: same tag", name)
		}
	}
}

func TestWipe(t *testing.T) {
	ring, _ := create(t, "pw")
	key, err := ring.Unlock([]byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal("x", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	before := key.Tag("x")
	seed, err := key.private.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key.Wipe()
	key.Wipe()
	if !bytes.Equal(seed, make([]byte, 32)) {
		t.Error("the seed is still in memory")
	}
	if _, err := key.Open("x", sealed); !errors.Is(err, ErrWiped) {
		t.Errorf("opening with a wiped key: %v", err)
	}
	if key.Tag("x") == before {
		t.Error("a wiped key still makes tags")
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	_, path := create(t, "pw")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CreateWithCost(path, "first", []byte("other"), cheap); err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("creating over a key file: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("the key file changed")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("%d files, want keys.json alone", len(entries))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestCreateRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		password string
		cost     Cost
	}{
		"empty password": {"", cheap},
		"no cost":        {"pw", Cost{}},
		"10 GiB":         {"pw", Cost{Memory: 10 << 20, Passes: 1, Threads: 1}},
	} {
		path := filepath.Join(t.TempDir(), "keys.json")
		if _, err := CreateWithCost(path, "first", []byte(test.password), test.cost); err == nil {
			t.Errorf("%s: created", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left a file", name)
		}
	}
}

func TestCreateWithDefaultCost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := Create(path, "first", []byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.slots[0].Cost; got != (Cost{Memory: 65536, Passes: 3, Threads: 1}) {
		t.Errorf("cost %+v", got)
	}
	if _, err := ring.Unlock([]byte("pw")); err != nil {
		t.Error(err)
	}
}

// TestVector reads a file, a sealed text and a tag that an earlier build made: what is on users' disks stays
// readable.
func TestVector(t *testing.T) {
	var vector struct {
		Password, Label, Plaintext, Sealed, Tag string
	}
	data, err := os.ReadFile("testdata/vector.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vector); err != nil {
		t.Fatal(err)
	}
	ring, err := Open("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Unlock([]byte(vector.Password))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := hex.DecodeString(vector.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := key.Open(vector.Label, sealed)
	if err != nil || string(plaintext) != vector.Plaintext {
		t.Errorf("opened %q, %v", plaintext, err)
	}
	tag := key.Tag(vector.Label, []byte(vector.Plaintext))
	if hex.EncodeToString(tag[:]) != vector.Tag {
		t.Errorf("tag %x, want %s", tag, vector.Tag)
	}
}
