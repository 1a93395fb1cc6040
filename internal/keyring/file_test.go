package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDamagedFile(t *testing.T) {
	good, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(f *file)) []byte {
		var f file
		if err := json.Unmarshal(good, &f); err != nil {
			t.Fatal(err)
		}
		change(&f)
		data, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, test := range map[string]struct {
		data []byte
		want string // in the error
	}{
		"empty":                 {nil, "not JSON"},
		"cut short":             {good[:len(good)/2], "not JSON"},
		"zeros":                 {make([]byte, len(good)), "not JSON"},
		"two documents":         {append(bytes.Clone(good), good...), "not JSON"},
		"an array":              {[]byte("[1]"), "not JSON"},
		"too large":             {bytes.Repeat([]byte(" "), maxFile+1), "too large"},
		"a later version":       {edit(func(f *file) { f.Version = 2 }), "version 2"},
		"no version":            {edit(func(f *file) { f.Version = 0 }), "version 0"},
		"an unknown field":      {[]byte(`{"version":1,"private":"x"}`), "unknown field"},
		"not base64":            {[]byte(`{"version":1,"public":"%%"}`), "base64"},
		"no public key":         {edit(func(f *file) { f.Public = nil }), "public key"},
		"half a public key":     {edit(func(f *file) { f.Public = f.Public[:600] }), "public key"},
		"impossible public key": {edit(func(f *file) { copy(f.Public, bytes.Repeat([]byte{0xff}, 1184)) }), "public key"},
		"no slots":              {edit(func(f *file) { f.Slots = nil }), "0 slots"},
		"many slots":            {edit(func(f *file) { f.Slots = make([]slot, 9) }), "9 slots"},
		"long name":             {edit(func(f *file) { f.Slots[0].Name = strings.Repeat("n", 65) }), "name"},
		"short salt":            {edit(func(f *file) { f.Slots[0].Salt = f.Slots[0].Salt[:8] }), "salt"},
		"no memory":             {edit(func(f *file) { f.Slots[0].Memory = 0 }), "cost"},
		"10 GiB of memory":      {edit(func(f *file) { f.Slots[0].Memory = 10 << 20 }), "cost"},
		"endless passes":        {edit(func(f *file) { f.Slots[0].Passes = 1 << 31 }), "cost"},
		"no passes":             {edit(func(f *file) { f.Slots[0].Passes = 0 }), "cost"},
		"no threads":            {edit(func(f *file) { f.Slots[0].Threads = 0 }), "cost"},
		"255 threads":           {edit(func(f *file) { f.Slots[0].Threads = 255 }), "cost"},
		"threads overflow":      {bytes.Replace(good, []byte(`"threads": 1`), []byte(`"threads": 257`), 1), "threads"},
		"short sealed key":      {edit(func(f *file) { f.Slots[0].Sealed = f.Slots[0].Sealed[:47] }), "sealed"},
		"long sealed key":       {edit(func(f *file) { f.Slots[0].Sealed = make([]byte, 4096) }), "sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keys.json")
			if err := os.WriteFile(path, test.data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(path)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("error %v, want one with %q", err, test.want)
			}
			if !strings.Contains(err.Error(), "restore it") && !strings.Contains(err.Error(), "use the program") {
				t.Errorf("error %v does not say what to do", err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "keys.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// TestChangedSlot changes what the slot's seal covers: the right password no longer opens it.
func TestChangedSlot(t *testing.T) {
	for name, change := range map[string]func(s *slot){
		"name":   func(s *slot) { s.Name += "x" },
		"salt":   func(s *slot) { s.Salt[0] ^= 1 },
		"memory": func(s *slot) { s.Memory++ },
		"passes": func(s *slot) { s.Passes++ },
		"sealed": func(s *slot) { s.Sealed[0] ^= 1 },
		"tag":    func(s *slot) { s.Sealed[47] ^= 1 },
	} {
		ring, _ := create(t, "pw")
		change(&ring.slots[0])
		if _, err := ring.Unlock([]byte("pw")); !errors.Is(err, ErrPassword) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestChangedPublicKey puts another's public key into the file: the right password must not go on as if nothing
// had happened.
func TestChangedPublicKey(t *testing.T) {
	ring, _ := create(t, "pw")
	thief, _ := create(t, "thief")
	ring.public = thief.public
	if _, err := ring.Unlock([]byte("pw")); err == nil || !strings.Contains(err.Error(), "somebody changed the file") {
		t.Errorf("error %v", err)
	}
}

func FuzzParse(f *testing.F) {
	good, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"public":"","slots":[{"memory_kib":4294967295,"passes":4294967295,"threads":255}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := parse(data)
		if err != nil {
			return
		}
		if len(ring.slots) == 0 || len(ring.slots) > maxSlots {
			t.Errorf("%d slots", len(ring.slots))
		}
		for _, s := range ring.slots {
			if s.Memory > 128<<10 || s.Passes > 6 || s.Threads < 1 || s.Threads > 4 || s.Passes < 1 {
				t.Errorf("cost %+v", s.Cost)
			}
		}
		again, err := parse(ring.marshal())
		if err != nil {
			t.Fatalf("what was read is not readable when written: %v", err)
		}
		if !bytes.Equal(again.marshal(), ring.marshal()) {
			t.Error("written differently the second time")
		}
	})
}
