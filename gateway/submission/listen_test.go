package submission

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestNewRefuses(t *testing.T) {
	ring := testRing(t)
	certificate, _, err := Certificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	listening := socketPath(t)
	l, err := net.Listen("unix", listening)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, test := range map[string]struct {
		change func(c *Config)
		want   string
	}{
		"port in use":         {func(c *Config) { c.Listen = busy.Addr().String() }, "choose another port"},
		"TLS port in use":     {func(c *Config) { c.ListenTLS = busy.Addr().String() }, "choose another port"},
		"all addresses":       {func(c *Config) { c.Listen = ":0" }, "no IP address"},
		"0.0.0.0":             {func(c *Config) { c.Listen = "0.0.0.0:0" }, "reached from other machines"},
		"[::]":                {func(c *Config) { c.ListenTLS = "[::]:0" }, "reached from other machines"},
		"mapped, remote":      {func(c *Config) { c.ListenTLS = "[::ffff:10.0.0.1]:0" }, "reached from other machines"},
		"a host name":         {func(c *Config) { c.Listen = "mail.example.org:0" }, "no IP address"},
		"no port":             {func(c *Config) { c.Listen = "127.0.0.1" }, "write it as"},
		"impossible port":     {func(c *Config) { c.Listen = "127.0.0.1:99999" }, "choose"},
		"no TLS":              {func(c *Config) { c.TLS = nil }, "no TLS certificate"},
		"no listener":         {func(c *Config) { c.Listen = "" }, "choose an address"},
		"no persona":          {func(c *Config) { c.Personas = nil }, "no login"},
		"no login":            {func(c *Config) { c.Personas = []Persona{{"", "x"}} }, "no login"},
		"socket is a file":    {func(c *Config) { c.Socket = file }, "is no socket"},
		"socket in use":       {func(c *Config) { c.Socket = listening }, "another gateway"},
		"socket in no folder": {func(c *Config) { c.Socket = "/nonexistent/socket" }, "choose a path"},
		"socket path too long": {func(c *Config) { c.Socket = filepath.Join(t.TempDir(), strings.Repeat("x", 120)) },
			"choose a path"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{
				Listen:   "127.0.0.1:0",
				TLS:      &tls.Config{Certificates: []tls.Certificate{certificate}},
				Personas: testPersonas,
				Room:     testRoom,
			}
			test.change(&cfg)
			s, err := New(cfg, ring, func(context.Context, *Letter) error { return nil }, slog.New(slog.DiscardHandler))
			if err == nil {
				s.Close()
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want one with %q", err, test.want)
			}
		})
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("the file in the socket's place: %v", err)
	}
}

func TestListenTCP(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "127.1.2.3:0", "localhost:0", "[::ffff:127.0.0.1]:0"} {
		l, err := listenTCP(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		l.Close()
	}
}

// TestOldSocket takes the place of a socket that a killed process left, and lets nobody else in.
func TestOldSocket(t *testing.T) {
	path := socketPath(t)
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if uid := info.Sys().(*syscall.Stat_t).Uid; int(uid) != os.Getuid() {
		t.Errorf("owner %d", uid)
	}
}
