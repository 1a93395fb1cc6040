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
	ring, err := CreateWithCost(path, []byte(password), cheap)
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
	if _, err := CreateWithCost(path, []byte("other"), cheap); err == nil || !strings.Contains(err.Error(), "move it away") {
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
		if _, err := CreateWithCost(path, []byte(test.password), test.cost); err == nil {
			t.Errorf("%s: created", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left a file", name)
		}
	}
}

func TestCreateWithDefaultCost(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	ring, err := Create(path, []byte("pw"))
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
