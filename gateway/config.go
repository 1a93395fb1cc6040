package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway/submission"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/internal/systemd"
)

// Config is a gateway's TOML file, which lies in the gateway's directory.
type Config struct {
	Network   string           `toml:"network"`          // the network file
	Listen    string           `toml:"listen"`           // SMTP with STARTTLS; "": off
	ListenTLS string           `toml:"listen_tls"`       // SMTP over TLS; "": off
	Socket    string           `toml:"socket,omitempty"` // SMTP on a unix socket; "": off
	Resend    time.Duration    `toml:"resend"`           // mean wait before a lost piece of a mail is sent again
	Expiry    uint64           `toml:"expiry"`           // epochs after which a mail is given up
	Personas  []Persona        `toml:"persona"`          // whom the user writes as
	Floors    directory.Floors `toml:"floors"`

	dir string
}

// Names in a gateway's directory.
const (
	ConfigName  = "gateway.toml"
	networkName = "network.toml"
	keysName    = "keys.json"
	guardsName  = "guards.json"
	controlName = "control.sock"
	UnitName    = "sourdine-gateway.service"
)

// DefaultConfig is what `gateway init` writes.
func DefaultConfig(first Persona) *Config {
	return &Config{
		Network: networkName, Personas: []Persona{first},
		Listen: "127.0.0.1:1025", ListenTLS: "127.0.0.1:1465",
		Resend: time.Hour, Expiry: 120, Floors: directory.DefaultFloors(),
	}
}

// Load reads a configuration.
func Load(path string) (*Config, error) {
	c := &Config{Floors: directory.DefaultFloors()}
	if err := files.Load(path, c); err != nil {
		return nil, err
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var err error
	if c.dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return nil, err
	}
	for _, p := range []*string{&c.Network, &c.Socket} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(c.dir, *p)
		}
	}
	return c, nil
}

func (c *Config) check() error {
	if err := checkPersonas(c.Personas); err != nil {
		return err
	}
	for name, a := range map[string]string{"listen": c.Listen, "listen_tls": c.ListenTLS} {
		if a == "" {
			continue
		}
		p, err := netip.ParseAddrPort(a)
		if err != nil {
			return fmt.Errorf("%s: %q is not an IP address with a port, as in 127.0.0.1:1025", name, a)
		}
		if !p.Addr().IsLoopback() {
			return fmt.Errorf("%s: %q is not a loopback address: whoever reached it could try passwords and watch when you write", name, a)
		}
	}
	if c.Listen == "" && c.ListenTLS == "" && c.Socket == "" {
		return errors.New("one of listen, listen_tls and socket must be set")
	}
	if c.Network == "" {
		return errors.New("network must be set")
	}
	if c.Resend <= 0 {
		return errors.New("resend must be more than zero")
	}
	if c.Expiry == 0 || c.Expiry > maxExpiry {
		return fmt.Errorf("expiry must be 1 to %d epochs", maxExpiry)
	}
	return nil
}

// maxExpiry bounds a mail's life in epochs, as exits bound it.
const maxExpiry = 100_000

// logins are the personas as the submission server takes them.
func (c *Config) logins() []submission.Persona {
	list := make([]submission.Persona, len(c.Personas))
	for i, p := range c.Personas {
		list[i] = submission.Persona(p)
	}
	return list
}

// Dir is the gateway's directory.
func (c *Config) Dir() string { return c.dir }

// keys is the path of the user's key file.
func (c *Config) keys() string { return filepath.Join(c.dir, keysName) }

// Keyring opens the user's key file.
func (c *Config) Keyring() (*keyring.Ring, error) {
	path := c.keys()
	ring, err := keyring.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return ring, nil
}

// LoadNetwork reads the network file and checks that its authorities signed it.
func (c *Config) LoadNetwork() (*directory.Network, error) { return TrustedNetwork(c.Network) }

// TrustedNetwork reads the network file at path and checks its signatures.
func TrustedNetwork(path string) (*directory.Network, error) {
	b, err := files.Read(path)
	if err != nil {
		return nil, err
	}
	n, err := directory.ParseNetwork(b)
	if err == nil {
		err = n.Trusted()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

// Created is what Init made, for its user to read.
type Created struct {
	Config      *Config
	Network     *directory.Network
	Path        string // of the configuration
	Certificate string // path
	Fingerprint string // of the certificate
	Unit        string // path of the systemd unit
}

// Init makes a gateway's directory: configuration, network file, the user's key
// with the first persona's password, certificate, and a systemd user unit.
func Init(dir, networkFile string, c *Config, password []byte, executable string) (*Created, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	network, err := TrustedNetwork(networkFile)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, ConfigName)
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("%s is a gateway already: choose another directory", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := files.WriteFile(filepath.Join(dir, networkName), network.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if _, err := keyring.Create(filepath.Join(dir, keysName), c.Personas[0].Login, password); err != nil {
		return nil, err
	}
	_, fingerprint, err := submission.Certificate(dir)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.WriteString("# A Sourdine gateway. Times are written 90s, 20m, 1h.\n\n")
	if err := toml.NewEncoder(&text).Encode(c); err != nil {
		return nil, err
	}
	unit := filepath.Join(dir, UnitName)
	if err := files.WriteFile(unit, []byte(systemd.Gateway(executable, path)), 0o644); err != nil {
		return nil, err
	}
	// The configuration comes last: with it the directory is a gateway.
	if err := files.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return nil, err
	}
	c.dir = dir
	return &Created{Config: c, Network: network, Path: path, Certificate: filepath.Join(dir, submission.CertificateFile), Fingerprint: fingerprint, Unit: unit}, nil
}

// Host returns the host of an address, for people.
func Host(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// Port returns the port of an address, for people.
func Port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return port
}
