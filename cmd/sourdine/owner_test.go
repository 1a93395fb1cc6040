package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// everybody says whose a tree's files are: their users' numbers.
func everybody(t *testing.T, dir string) map[int][]string {
	t.Helper()
	list := map[int][]string{}
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err == nil {
			uid := int(info.Sys().(*syscall.Stat_t).Uid)
			list[uid] = append(list[uid], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Made by sudo, a node belongs to and runs as who called it; made without, to who made
// it. What root's commands write later stays that user's.
func TestOwner(t *testing.T) {
	const alice = 54321
	root := os.Geteuid() == 0
	want := os.Geteuid()
	t.Setenv("SUDO_USER", "alice")
	t.Setenv("SUDO_UID", "54321")
	t.Setenv("SUDO_GID", "54321")
	if root {
		want = alice
	}
	only := func(dir string) {
		t.Helper()
		if list := everybody(t, dir); len(list) != 1 || len(list[want]) == 0 {
			t.Errorf("files by their owners: %v; want all to be %d's", list, want)
		}
	}
	top := t.TempDir()
	dir := filepath.Join(top, "nodes/mix7") // neither is there
	args := []string{"node", "init", dir, "--role", "mix", "--layer", "1", "--operator", "erin", "--address", "127.0.0.1:5", "--keys", "plain"}
	var said bytes.Buffer
	cmd := command()
	cmd.SetArgs(args)
	cmd.SetOut(&said)
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	only(filepath.Join(top, "nodes"))
	unit, err := os.ReadFile(filepath.Join(dir, "sourdine-mix7.service"))
	if err != nil {
		t.Fatal(err)
	}
	if asAlice := strings.Contains(string(unit), "\nUser=alice\n"); asAlice != root || strings.Contains(said.String(), "WARNING") {
		t.Errorf("run by root: %v, the unit runs as alice: %v; said: %s", root, asAlice, &said)
	}

	// A change of its keys, by root: every file is another, and alice's.
	pass := filepath.Join(top, "pass")
	if err := os.WriteFile(pass, []byte("correct horse"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "node", "keys", "reseal", "-c", filepath.Join(dir, "node.toml"), "--keys", "passphrase", "--new-passphrase-file", pass)
	only(dir)

	// As root, her node does not run.
	if err := checkRunner(filepath.Join(dir, "state")); (err != nil) != root {
		t.Errorf("run by root: %v, and its run says %v", root, err)
	}
}

// In a directory that was there, what is not the node's stays whose it was; and a link,
// or a file that lies elsewhere too, is given to nobody.
func TestOwnerTakesOnlyTheNode(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(in("shadow"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := newIn(dir); len(got) != 4 || strings.Contains(strings.Join(got, " "), "shadow") {
		t.Errorf("in a directory that is there, %v is new", got)
	}
	if err := os.WriteFile(in("node.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := newIn(dir); len(got) != 3 {
		t.Errorf("with one file of it, %v is new", got)
	}
	if err := os.MkdirAll(in("state/mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(in("state/mail/key"), nil, 0o600), os.Link(in("shadow"), in("state/mail/linked")), os.Symlink(in("shadow"), in("state/link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	self, alice := os.Geteuid(), 54321
	if self != 0 {
		alice = self // who is not root gives nothing away
	}
	if err := (owner{"alice", alice, alice}).take(in("state"), in("missing")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"": self, "shadow": self, "state/mail/linked": self, "state/link": self, "state": alice, "state/mail": alice, "state/mail/key": alice} {
		info, err := os.Lstat(in(name))
		if err != nil {
			t.Fatal(err)
		}
		if got := int(info.Sys().(*syscall.Stat_t).Uid); got != want {
			t.Errorf("%q is %d's, want %d's", name, got, want)
		}
	}
}

// Only root names another user; and root's own node is warned of.
func TestOwnerFlag(t *testing.T) {
	for _, name := range []string{"SUDO_USER", "SUDO_UID", "SUDO_GID"} {
		t.Setenv(name, "")
	}
	o, err := (&ownerFlag{}).owner()
	if err != nil || o.uid != os.Geteuid() || (o.warning() != "") != (o.uid == 0) {
		t.Errorf("by default %+v, %v, %q", o, err, o.warning())
	}
	if os.Geteuid() == 0 {
		if o, err := (&ownerFlag{"nobody"}).owner(); err != nil || o.uid == 0 {
			t.Errorf("nobody is %+v, %v", o, err)
		}
	} else if o, err := (&ownerFlag{"root"}).owner(); err == nil || !strings.Contains(err.Error(), "only root") {
		t.Errorf("root is %+v, %v", o, err)
	}
	if _, err := (&ownerFlag{"no such user"}).owner(); err == nil {
		t.Error("a user that is not there")
	}
	if os.Geteuid() == 0 {
		t.Setenv("SUDO_USER", "alice")
		t.Setenv("SUDO_UID", "-7")
		t.Setenv("SUDO_GID", "x")
		if _, err := (&ownerFlag{}).owner(); err == nil {
			t.Error("a user without a number")
		}
	}
}
