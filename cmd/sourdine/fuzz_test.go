package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// FuzzReadNode reads any bytes as a node's configuration. What is refused says which
// file it is; what is taken can be used, written and read again.
func FuzzReadNode(f *testing.F) {
	mix := nodeFile{Config: mixnode.Config{
		Role: directory.RoleMix, Name: "mix1", Operator: "o", Layer: 1, Address: "127.0.0.1:4242", Network: "network.toml",
		State: "state", Keys: "plain", Budget: mixnode.DefaultBudget(),
	}}
	exit := mix
	exit.Role, exit.Layer, exit.Metrics, exit.Bind = directory.RoleExit, 0, "127.0.0.1:9", "0.0.0.0:4242"
	exit.Exit = &exitSection{
		From: "anonymous@exit.example", Hold: time.Hour, Retry: 20 * time.Minute, Expiry: 120, MaxLoss: 0.2, Space: 1 << 30, Kept: 4 << 30,
		Relay: "127.0.0.1:25", TLS: "none", Hello: "localhost", User: "user", PasswordFile: "password",
	}
	router := mix
	router.Address, router.Router = ":4242", mixnode.RouterAuto
	for _, c := range []nodeFile{mix, exit, router} {
		f.Add(written(f, &c))
	}
	f.Add([]byte("role = \"exit\"\n"))
	f.Add([]byte("role = \"mix\"\nmore = 1\n"))
	f.Add([]byte("[budget]\nmemory_mb = -1\n"))
	f.Add([]byte("[[exit]]\n[exit.exit]\n"))
	f.Add([]byte("= \n"))
	path := filepath.Join(f.TempDir(), nodeFileName)
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (*nodeFile, error) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return readNode(path)
		}
		c, err := read(b)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Fatalf("nobody is told which file it is: %v", err)
			}
			return
		}
		if !filepath.IsAbs(c.Network) || !filepath.IsAbs(c.State) {
			t.Fatalf("paths %q and %q", c.Network, c.State)
		}
		if (c.Role == directory.RoleExit) != (c.Exit != nil) {
			t.Fatalf("a %s, with a section [exit]: %v", c.Role, c.Exit != nil)
		}
		if c.Budget.Memory() < 16<<20 {
			t.Fatalf("%d bytes of memory", c.Budget.Memory())
		}
		if c.Exit != nil {
			_ = c.Exit.relay().Check()
		}
		again, err := read(written(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if first, second := written(t, c), written(t, again); !bytes.Equal(first, second) {
			t.Fatalf("what reads\n%s\nis read again as\n%s", first, second)
		}
	})
}

func written(t testing.TB, c *nodeFile) []byte {
	t.Helper()
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(c); err != nil {
		t.Fatal(err)
	}
	return text.Bytes()
}
