package mixnode

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"

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
	Router   string         `toml:"router,omitempty"`  // who is asked for a port: RouterAuto or an IPv4 address
	Network  string         `toml:"network"`           // the network file
	State    string         `toml:"state"`             // the directory of keys and state
	Keys     string         `toml:"keys"`              // how they are sealed: see seal.Method
	Metrics  string         `toml:"metrics,omitempty"` // loopback address and port for Prometheus
	Budget   Budget         `toml:"budget"`
}

// RouterAuto is the router of the machine's default route.
const RouterAuto = "auto"

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
	if err := c.CheckAddress(); err != nil {
		return err
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

// CheckAddress validates where others reach the node: an address, or a port of which a
// router says the rest.
func (c *Config) CheckAddress() error {
	check := directory.CheckAddress
	if c.Router != "" {
		if err := c.checkRouter(); err != nil {
			return fmt.Errorf("router: %w", err)
		}
		check = directory.CheckPort
	}
	if err := check(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	return nil
}

func (c *Config) checkRouter() error {
	if c.Role == directory.RoleEntry {
		return errors.New("an entry's address stands in the signed network file, so it cannot follow what a router says: forward the port by hand")
	}
	if a, err := netip.ParseAddr(c.Router); c.Router != RouterAuto && (err != nil || !a.Is4()) {
		return fmt.Errorf("%q is neither %q nor the IPv4 address of a router", c.Router, RouterAuto)
	}
	return nil
}

// listens is where a node listens: behind a router, wherever the machine is reached.
func (c *Config) listens() string {
	switch {
	case c.Bind != "":
		return c.Bind
	case c.Router != "":
		return netip.AddrPortFrom(netip.IPv4Unspecified(), portOf(c.Address)).String()
	}
	return c.Address
}

// portOf is the port of an address that was checked.
func portOf(address string) uint16 {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.ParseUint(port, 10, 16)
	return uint16(n)
}
