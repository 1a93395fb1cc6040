package mixnode

import (
	"errors"
	"fmt"
	"path/filepath"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// Config is what a node's TOML file says to the node; an exit's file has a
// section for its handler besides. Paths are relative to the file.
type Config struct {
	Role     directory.Role `toml:"role"` // mix, entry or exit
	Name     string         `toml:"name"`
	Operator string         `toml:"operator"`
	Layer    int            `toml:"layer,omitzero"`    // of a mix, from 1
	Address  string         `toml:"address"`           // where others reach it
	Bind     string         `toml:"bind,omitempty"`    // where it listens, if elsewhere
	Network  string         `toml:"network"`           // the network file
	State    string         `toml:"state"`             // the directory of keys and state
	Keys     string         `toml:"keys"`              // how they are sealed: see seal.Method
	Metrics  string         `toml:"metrics,omitempty"` // loopback address and port for Prometheus
	Budget   Budget         `toml:"budget"`
}

// Check validates a configuration that was read from a file in dir, and makes
// its paths absolute.
func (c *Config) Check(dir string) error {
	switch c.Role {
	case directory.RoleMix, directory.RoleEntry, directory.RoleExit:
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
	for _, p := range []*string{&c.Network, &c.State} {
		if *p == "" {
			return errors.New("network and state must each be set")
		}
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	if c.Metrics != "" {
		if err := checkMetrics(c.Metrics); err != nil {
			return err
		}
	}
	if err := c.Budget.check(); err != nil {
		return err
	}
	_, err := seal.ParseMethod(c.Keys)
	return err
}
