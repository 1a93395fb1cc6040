package gateway

import (
	"strings"
	"testing"
	"time"
)

func TestConfigCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // in the error; "": none
	}{
		"default":            {func(*Config) {}, ""},
		"longest expiry":     {func(c *Config) { c.Expiry = 100_000 }, ""},
		"longer":             {func(c *Config) { c.Expiry = 100_001 }, "expiry"},
		"overflowing":        {func(c *Config) { c.Expiry = 1 << 63 }, "expiry"},
		"no expiry":          {func(c *Config) { c.Expiry = 0 }, "expiry"},
		"resend at once":     {func(c *Config) { c.Resend = -time.Second }, "resend"},
		"no user":            {func(c *Config) { c.User = "" }, "user"},
		"no door":            {func(c *Config) { c.Listen, c.ListenTLS = "", "" }, "one of"},
		"only a unix socket": {func(c *Config) { c.Listen, c.ListenTLS, c.Socket = "", "", "s" }, ""},
		"for everybody":      {func(c *Config) { c.Listen = "0.0.0.0:25" }, "loopback"},
	} {
		cfg := DefaultConfig("me")
		c.change(cfg)
		if err := cfg.check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
