package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a running exit does not take anew is named: keys of its section, and the network.
func TestReloadNamesWhatWaits(t *testing.T) {
	path := newExit(t)
	dir := filepath.Dir(filepath.Dir(path))
	f, n, err := readBoth(path)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`hold = "1h0m0s"`), []byte(`hold = "2h0m0s"`), 1)
	text = append(text, "relay_user = \"exit\"\n"...)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	changed, same, err := readBoth(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(f.Exit.changes(changed.Exit), ", "); got != "exit.hold, exit.relay_user" {
		t.Errorf("changed: %s", got)
	}
	if got := append(f.Exit.changes(f.Exit), networkChanges(n, same)...); len(got) > 0 {
		t.Errorf("nothing changed, and yet %v", got)
	}
	run(t, "network", "make", "--name", "other", "-o", filepath.Join(dir, "other.toml"), filepath.Join(dir, "a/auth.member"), filepath.Join(dir, "e/entry.member"))
	run(t, "network", "sign", "-c", filepath.Join(dir, "a/authority.toml"), filepath.Join(dir, "other.toml"))
	if err := os.Rename(filepath.Join(dir, "other.toml"), filepath.Join(dir, "x/network.toml")); err != nil {
		t.Fatal(err)
	}
	if _, other, err := readBoth(path); err != nil || len(networkChanges(n, other)) != 1 {
		t.Errorf("another network file, and %v", err)
	}
}
