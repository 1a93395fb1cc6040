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
		"no persona":         {func(c *Config) { c.Personas = nil }, "[[persona]]"},
		"no login":           {func(c *Config) { c.Personas[0].Login = "" }, "login must be set"},
		"a login of two":     {func(c *Config) { c.Personas[0].Login = "a b" }, "login must be set"},
		"a name":             {func(c *Config) { c.Personas[0].Name = "Ann Bell" }, ""},
		"a name like mail":   {func(c *Config) { c.Personas[0].Name = "ann@bell.example" }, "an @"},
		"a long name":        {func(c *Config) { c.Personas[0].Name = strings.Repeat("n", 65) }, "too long"},
		"an odd name":        {func(c *Config) { c.Personas[0].Name = "Ann\u00a0 Bell" }, "with single spaces"},
		"two nameless":       {func(c *Config) { c.Personas = []Persona{{"a", ""}, {"b", ""}} }, ""},
		"the same login":     {func(c *Config) { c.Personas = []Persona{{"a", "x"}, {"a", "y"}} }, "the login a"},
		"the same name":      {func(c *Config) { c.Personas = []Persona{{"a", "x"}, {"b", "x"}} }, "the same name"},
		"nine personas":      {func(c *Config) { c.Personas = make([]Persona, 9) }, "9 personas"},
		"no door":            {func(c *Config) { c.Listen, c.ListenTLS = "", "" }, "one of"},
		"only a unix socket": {func(c *Config) { c.Listen, c.ListenTLS, c.Socket = "", "", "s" }, ""},
		"for everybody":      {func(c *Config) { c.Listen = "0.0.0.0:25" }, "loopback"},
	} {
		cfg := DefaultConfig(Persona{Login: "me"})
		c.change(cfg)
		if err := cfg.check(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
