package seal

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// goodState returns a state that opens with the passphrase "pass".
func goodState(t testing.TB) *state {
	t.Helper()
	st, f, err := newState(Passphrase, says("pass"), cheap)
	if err != nil {
		t.Fatal(err)
	}
	if st, err = st.change(f.root, form{}); err != nil {
		t.Fatal(err)
	}
	return st
}

func marshal(t testing.TB, st *state) []byte {
	t.Helper()
	text, err := toml.Marshal(st)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParseState(t *testing.T) {
	good := string(marshal(t, goodState(t)))
	if st, err := parseState([]byte(stateComment + good)); err != nil {
		t.Fatal(err)
	} else if again := string(marshal(t, st)); again != good {
		t.Errorf("read and written again it is\n%s\nand was\n%s", again, good)
	}
	edit := func(change func(st *state)) string {
		st := goodState(t)
		change(st)
		return string(marshal(t, st))
	}
	for name, test := range map[string]struct {
		text string
		want string // in the error
	}{
		"empty":               {"", "version 0"},
		"zeros":               {strings.Repeat("\x00", 500), "not TOML"},
		"cut short":           {good[:len(good)-20], "not TOML"},
		"twice":               {good + good, "not TOML"},
		"too large":           {good + strings.Repeat("\n", maxState), "too large"},
		"a later version":     {edit(func(st *state) { st.Version = 2 }), "version 2"},
		"an unknown key":      {good + "colour = 1\n", "colour"},
		"no method":           {edit(func(st *state) { st.Method = "" }), "method"},
		"plain":               {edit(func(st *state) { st.Method = Plain }), "method"},
		"no salt":             {edit(func(st *state) { st.Salt = nil }), "salt"},
		"long salt":           {edit(func(st *state) { st.Salt = make([]byte, 17) }), "salt"},
		"not hexadecimal":     {strings.Replace(good, `salt = "`, `salt = "x`, 1), "invalid byte"},
		"salt is a number":    {`version = 1` + "\nsalt = 7\n", "damaged"},
		"no check":            {edit(func(st *state) { st.Check = nil }), "check"},
		"short change":        {edit(func(st *state) { st.Change = st.Change[1:] }), "change"},
		"long change":         {edit(func(st *state) { st.Change = append(st.Change, 0) }), "change"},
		"no memory":           {edit(func(st *state) { st.Memory = 0 }), "cost"},
		"10 GiB of memory":    {edit(func(st *state) { st.Memory = 10 << 20 }), "cost"},
		"memory overflows":    {strings.Replace(good, "memory_kib = 8", "memory_kib = 4294967304", 1), "out of range"},
		"negative memory":     {strings.Replace(good, "memory_kib = 8", "memory_kib = -8", 1), "out of range"},
		"no passes":           {edit(func(st *state) { st.Passes = 0 }), "cost"},
		"endless passes":      {edit(func(st *state) { st.Passes = 1 << 31 }), "cost"},
		"no threads":          {edit(func(st *state) { st.Threads = 0 }), "cost"},
		"255 threads":         {edit(func(st *state) { st.Threads = 255 }), "cost"},
		"a credential's cost": {edit(func(st *state) { st.Method = Systemd }), "cost"},
	} {
		if _, err := parseState([]byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		} else if !strings.Contains(err.Error(), "from a copy") && !strings.Contains(err.Error(), "use the program") {
			t.Errorf("%s: %v does not say what to do", name, err)
		}
	}
}

// What decides about the root is under its protection: changed, the right passphrase opens nothing.
func TestChangedState(t *testing.T) {
	for name, change := range map[string]func(st *state){
		"salt":    func(st *state) { st.Salt[0] ^= 1 },
		"memory":  func(st *state) { st.Memory += 8 },
		"passes":  func(st *state) { st.Passes++ },
		"threads": func(st *state) { st.Threads++ },
		"check":   func(st *state) { st.Check[0] ^= 1 },
	} {
		st := goodState(t)
		if _, _, err := st.open(says("pass")); err != nil {
			t.Fatal(err)
		}
		change(st)
		if _, _, err := st.open(says("pass")); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	st := goodState(t)
	st.Change[50] ^= 1
	if _, _, err := st.open(says("pass")); err == nil || !strings.Contains(err.Error(), "from a copy") {
		t.Errorf("change: %v", err)
	}
}

// FuzzParseState reads any seal.toml.
func FuzzParseState(f *testing.F) {
	f.Add(marshal(f, goodState(f)))
	f.Add([]byte("version = 1\nmethod = \"systemd\"\nsalt = \"00\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		st, err := parseState(data)
		if err != nil {
			return
		}
		if st.Memory > 128<<10 || st.Passes > 6 || st.Threads > 4 || st.Method == Passphrase && (st.Passes < 1 || st.Threads < 1) {
			t.Errorf("cost %+v", st.cost)
		}
		text := marshal(t, st)
		again, err := parseState(text)
		if err != nil {
			t.Fatalf("what was read is not readable when written: %v", err)
		}
		if !bytes.Equal(marshal(t, again), text) {
			t.Error("written differently the second time")
		}
	})
}
