package mixnode

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

// Config is a node's TOML file. Paths are relative to the file.
type Config struct {
	Role     directory.Role `toml:"role"` // mix, entry or exit
	Name     string         `toml:"name"`
	Operator string         `toml:"operator"`
	Layer    int            `toml:"layer,omitzero"` // of a mix, from 1
	Address  string         `toml:"address"`        // where others reach it
	Bind     string         `toml:"bind,omitempty"` // where it listens, if elsewhere
	Network  string         `toml:"network"`        // the network file
	State    string         `toml:"state"`          // the directory of keys and state
	KeysSeal string         `toml:"keys"`           // "plain": see katzenpost.CheckPlain
	Exit     *Exit          `toml:"exit,omitempty"`
}

// Exit is what an exit's TOML file says besides. The node passes it on: it is
// the handler that reads mail.
type Exit struct {
	From       string        `toml:"from"`        // the address all mail comes from
	Hold       time.Duration `toml:"hold"`        // mean time between a mail's arrival and its delivery
	Retry      time.Duration `toml:"retry"`       // mean time before the first retry
	Expiry     uint64        `toml:"expiry"`      // epochs that a mail is tried at most
	MaxLoss    float64       `toml:"max_loss"`    // share of lost packets above which gateways hold fragments back
	Space      int64         `toml:"space"`       // bytes that incomplete mails may take
	RelayTo    string        `toml:"relay"`       // host:port of the SMTP server that takes the mail
	RelayTLS   string        `toml:"relay_tls"`   // none, starttls or tls
	RelayHello string        `toml:"relay_hello"` // the name given in EHLO
	RelayUser  string        `toml:"relay_user,omitempty"`
	RelayPass  string        `toml:"relay_password_file,omitempty"`
}

// DefaultExit is what `node init` writes for an exit.
func DefaultExit(from, relay string) *Exit {
	return &Exit{
		From: from, Hold: time.Hour, Retry: 20 * time.Minute, Expiry: 120, MaxLoss: 0.2, Space: 1 << 30,
		RelayTo: relay, RelayTLS: "starttls", RelayHello: "localhost",
	}
}

// Load reads a configuration and makes its paths absolute.
func Load(path string) (*Config, error) {
	c := new(Config)
	if err := files.Load(path, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	paths := []*string{&c.Network, &c.State}
	if c.Exit != nil && c.Exit.RelayPass != "" {
		paths = append(paths, &c.Exit.RelayPass)
	}
	for _, p := range paths {
		if *p == "" {
			return nil, fmt.Errorf("%s: network and state must each be set", path)
		}
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	return c, nil
}

func (c *Config) check() error {
	switch c.Role {
	case directory.RoleMix, directory.RoleEntry:
		if c.Exit != nil {
			return fmt.Errorf("a node of role %s has no section [exit]", c.Role)
		}
	case directory.RoleExit:
		if c.Exit == nil {
			return errors.New("a node of role exit needs a section [exit]")
		}
	default:
		return fmt.Errorf("role %q is none of mix, entry, exit", c.Role)
	}
	if err := directory.CheckName(c.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if err := directory.CheckName(c.Operator); err != nil {
		return fmt.Errorf("operator: %w", err)
	}
	if err := directory.CheckAddress(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if c.Bind != "" {
		if err := directory.CheckAddress(c.Bind); err != nil {
			return fmt.Errorf("bind: %w", err)
		}
	}
	return katzenpost.CheckPlain(c.KeysSeal)
}
