package nodes_test

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// Members whose keys are sealed come back alone after SIGKILL, carry mail, and have
// no byte of a key that opens on their disks. What there is to look for is taken
// while the keys are plain still.
func TestSealed(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := trial.Start(t, testnet.Options{})
	trial.Submit(t, n, "you@far.example", "before", "text\n")
	trial.Arrival(t, ctx, n, "before")
	creds, passphrase := n.Path("creds"), n.Path("passphrase")
	if err := os.Mkdir(creds, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(creds, "sourdine-seal"): strings.Repeat("0123456789abcdef", 2), passphrase: "of a node\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	seals := []struct{ member, kind, config, method string }{
		{"auth1", "authority", "authority.toml", "passphrase"},
		{testnet.Exit, "node", "node.toml", "passphrase"},
		{"mix2", "node", "node.toml", "systemd"},
	}
	for _, s := range seals {
		if err := n.Process(s.member).Stop(); err != nil {
			t.Fatal(err)
		}
		keys := secrets(t, n.Path(s.member))
		if len(keys) < 2 {
			t.Fatalf("%s has %d plain keys", s.member, len(keys))
		}
		if found := holding(t, n.Path(s.member), keys); len(found) == 0 {
			t.Fatalf("the search finds no plain key of %s", s.member)
		}
		reseal := exec.CommandContext(ctx, trial.Program, s.kind, "keys", "reseal", "-c", n.Path(s.member, s.config), "--keys", s.method)
		if s.method == "systemd" {
			env := []string{"CREDENTIALS_DIRECTORY=" + creds}
			reseal.Env = append(os.Environ(), env...)
			n.Process(s.member).Give(nil, env)
		} else {
			reseal.Args = append(reseal.Args, "--new-passphrase-file", passphrase)
			n.Process(s.member).Give([]string{"--passphrase-file", passphrase}, nil)
		}
		if out, err := reseal.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		trial.Restart(t, ctx, n, s.member)
		n.Process(s.member).KillAll()
		trial.Restart(t, ctx, n, s.member)
		if found := holding(t, n.Path(s.member), keys); len(found) > 0 {
			t.Errorf("%s has keys that open in %q", s.member, found)
		}
		if found := len(secrets(t, n.Path(s.member))); found > 0 {
			t.Errorf("%s has %d plain keys", s.member, found)
		}
	}
	trial.Submit(t, n, "you@far.example", "after", "text\n")
	trial.Arrival(t, ctx, n, "after")
	t.Run("idle", func(t *testing.T) { idle(t, n) }) // also of those whose keys took Argon2's memory to open
}

// secrets returns the private keys that lie plain in a member's directory: what its
// secret files hold, and what their PEM or hexadecimal means.
func secrets(t *testing.T, dir string) (keys [][]byte) {
	t.Helper()
	walk(t, dir, func(path string, data []byte) {
		name := filepath.Base(path)
		if !strings.HasSuffix(name, ".private.pem") && filepath.Ext(name) != ".key" || bytes.HasPrefix(data, []byte("sourdine-sealed")) {
			return
		}
		keys = append(keys, data)
		if block, _ := pem.Decode(data); block != nil {
			keys = append(keys, block.Bytes)
		}
		if raw, err := hex.DecodeString(strings.TrimSpace(string(data))); err == nil {
			keys = append(keys, raw, []byte(hex.EncodeToString(raw)))
		}
	})
	return keys
}

// holding names the files in a directory that hold one of the keys.
func holding(t *testing.T, dir string, keys [][]byte) (found []string) {
	t.Helper()
	walk(t, dir, func(path string, data []byte) {
		for _, key := range keys {
			if bytes.Contains(data, key) {
				found = append(found, path)
				return
			}
		}
	})
	return found
}

func walk(t *testing.T, dir string, look func(path string, data []byte)) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil {
			look(path, data)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
