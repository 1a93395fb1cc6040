// Package authority runs a directory authority: one of the few that vote on who
// is in the network, and of which a threshold must sign each epoch's consensus.
// The voting is Katzenpost's (authority/voting/server), embedded. This package
// gives it our configuration, admits members into its directory, and refuses to
// let it log: its lines name the addresses of those who connect.
package authority

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	signpem "github.com/katzenpost/hpqc/sign/pem"
	"github.com/katzenpost/katzenpost/authority/voting/server"
	"github.com/katzenpost/katzenpost/authority/voting/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// Config is an authority's TOML file. Paths are relative to the file.
type Config struct {
	Name    string `toml:"name"`
	Address string `toml:"address"`        // where others reach it
	Bind    string `toml:"bind,omitempty"` // where it listens, if elsewhere
	Network string `toml:"network"`        // the network file
	Members string `toml:"members"`        // the directory of admitted members' public files
	State   string `toml:"state"`          // the directory of keys and votes
	Keys    string `toml:"keys"`           // how they are sealed: see seal.Method
}

// Load reads a configuration and makes its paths absolute.
func Load(path string) (*Config, error) {
	c := new(Config)
	if err := files.Load(path, c); err != nil {
		return nil, err
	}
	if err := directory.CheckName(c.Name); err != nil {
		return nil, fmt.Errorf("%s: name: %w", path, err)
	}
	if err := directory.CheckAddress(c.Address); err != nil {
		return nil, fmt.Errorf("%s: address: %w", path, err)
	}
	if c.Bind != "" {
		if err := directory.CheckAddress(c.Bind); err != nil {
			return nil, fmt.Errorf("%s: bind: %w", path, err)
		}
	}
	if _, err := seal.ParseMethod(c.Keys); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	base, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for _, p := range []*string{&c.Network, &c.Members, &c.State} {
		if *p == "" {
			return nil, fmt.Errorf("%s: network, members and state must each be set", path)
		}
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	return c, nil
}

// memberSuffix ends the names of admitted members' files.
const memberSuffix = ".member"

// Admit checks a member's public file and puts it among the admitted ones. The
// authority counts with it from its next start.
func (c *Config) Admit(file []byte) (*directory.Member, error) {
	m, err := directory.ParseMember(file)
	if err != nil {
		return nil, err
	}
	if m.Role == directory.RoleAuthority {
		return nil, fmt.Errorf("%s is an authority: authorities are fixed by the network file", m.Name)
	}
	if err := c.checkLayer(m); err != nil {
		return nil, err
	}
	admitted, err := c.admitted()
	if err != nil {
		return nil, err
	}
	for _, other := range admitted {
		if (other.Name == m.Name) != (other.ID() == m.ID()) {
			return nil, fmt.Errorf("%s: a member with this name or this key is admitted already, with another key or name", m.Name)
		}
	}
	if err := os.MkdirAll(c.Members, 0o700); err != nil {
		return nil, err
	}
	return m, files.WriteFile(filepath.Join(c.Members, m.Name+memberSuffix), file, 0o600)
}

// checkLayer refuses a mix of a layer that the network does not have. Before there
// is a network file, vote does.
func (c *Config) checkLayer(m *directory.Member) error {
	b, err := files.Read(c.Network)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	n, err := directory.ParseNetwork(b)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Network, err)
	}
	if m.Layer > n.Parameters.Layers {
		return fmt.Errorf("%s is of layer %d, the network has %d", m.Name, m.Layer, n.Parameters.Layers)
	}
	return nil
}

// admitted returns the admitted members by name.
func (c *Config) admitted() ([]*directory.Member, error) {
	entries, err := os.ReadDir(c.Members)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []*directory.Member
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), memberSuffix) {
			continue
		}
		b, err := files.Read(filepath.Join(c.Members, e.Name()))
		if err != nil {
			return nil, err
		}
		m, err := directory.ParseMember(b)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(c.Members, e.Name()), err)
		}
		list = append(list, m)
	}
	return list, nil
}

// Run votes until ctx ends. The engine gives up when it has no vote of its own to
// reveal, a quarter into an epoch: when too few nodes published themselves, or the
// machine slept through the moment before (state.reveal in
// authority/voting/server/state.go). It is then started anew, and joins the next
// epoch's vote. An engine joins in an epoch's first eighth or waits for the next
// epoch, so one that lives less than the eighth between ended for another reason.
func Run(ctx context.Context, c *Config, n *directory.Network, keys *katzenpost.Keys, log *slog.Logger) error {
	for {
		started := time.Now()
		if err := c.vote(ctx, n, keys, log); err != nil || ctx.Err() != nil {
			return err
		}
		if time.Since(started) < n.Parameters.Epoch/8 {
			return errors.New("the voting engine ended by itself soon after its start; look at the disk and at the clock, then start the authority again")
		}
		log.Warn("the voting engine ended by itself, and is started anew", "authority", c.Name)
	}
}

// shutdownTimeout bounds how long the engine may take to end when it is asked to. It
// goes on for minutes with asking others for a consensus that they do not have or who
// do not answer (state.backgroundFetchConsensus). Nothing is lost when the process
// ends before: the engine writes to its database in transactions.
const shutdownTimeout = 5 * time.Second

// vote runs one life of the engine, which ends with ctx or by itself. When ctx ends,
// what is left of it ends with the process.
func (c *Config) vote(ctx context.Context, n *directory.Network, keys *katzenpost.Keys, log *slog.Logger) error {
	var engine *config.Config
	var s *server.Server
	err := keys.Lend(filepath.Join(c.State, engineDir), func() (err error) {
		if engine, err = c.engine(n); err != nil {
			return err
		}
		// The engine only logs that it cannot listen; ask first, so that it is said.
		bind := c.Bind
		if bind == "" {
			bind = c.Address
		}
		l, err := net.Listen("tcp", bind)
		if err != nil {
			return fmt.Errorf("listening: %w: is another program using the port, or is the address another machine's?", err)
		}
		l.Close()
		if s, err = server.New(engine); err != nil {
			return fmt.Errorf("starting the authority: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	log.Info("voting", "authority", c.Name, "network", n.Name, "mixes", len(engine.Mixes),
		"entries", len(engine.GatewayNodes), "exits", len(engine.ServiceNodes), "epoch", n.Parameters.Epoch)
	stop := context.AfterFunc(ctx, s.Shutdown)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		select {
		case <-ended:
		case <-time.After(shutdownTimeout):
		}
	}
	return nil
}

// engineDir is where, in an authority's state directory, the engine has its votes.
const engineDir = "engine"

// engine makes the engine's configuration of ours.
func (c *Config) engine(n *directory.Network) (*config.Config, error) {
	if !slices.ContainsFunc(n.Authorities, func(a *directory.Member) bool { return a.Name == c.Name && a.Address == c.Address }) {
		return nil, fmt.Errorf("the network file lists no authority %s at %s", c.Name, c.Address)
	}
	members, err := c.admitted()
	if err != nil {
		return nil, err
	}
	p := n.Parameters
	engine := &config.Config{
		Server: &config.Server{
			Identifier:         c.Name,
			WireKEMScheme:      directory.LinkScheme,
			PKISignatureScheme: directory.SignatureScheme,
			Addresses:          []string{katzenpost.URL(c.Address)},
			DataDir:            filepath.Join(c.State, engineDir),
			// Closing later than an epoch's eighth would cost the next vote.
			CloseDelaySec: max(1, int(min(p.Epoch/16, 10e9).Seconds())),
		},
		Authorities: katzenpost.Authorities(n),
		Logging:     &config.Logging{File: katzenpost.LogFile, Level: katzenpost.LogLevel},
		Parameters: &config.Parameters{
			Mu:      directory.RateOf(p.Delay),
			LambdaP: directory.RateOf(p.Slot),
			// Gateways send no loops of their own. The rate is there because an
			// entry lets a client send at the sum of both: headroom for jitter.
			LambdaL: directory.RateOf(p.Slot),
			LambdaM: directory.RateOf(p.Slot),
		},
		Debug:          &config.Debug{Layers: p.Layers, MinNodesPerLayer: 1},
		Topology:       &config.Topology{Layers: make([]config.Layer, p.Layers)},
		SphinxGeometry: katzenpost.Geometry(p),
	}
	if c.Bind != "" {
		engine.Server.BindAddresses = []string{katzenpost.URL(c.Bind)}
	}
	for _, m := range members {
		pem := m.Name + ".pem"
		if err := files.WriteFile(filepath.Join(engine.Server.DataDir, pem), signpem.ToPublicPEMBytes(m.IdentityKey()), 0o600); err != nil {
			return nil, err
		}
		node := &config.Node{Identifier: m.Name, IdentityPublicKeyPem: pem}
		switch m.Role {
		case directory.RoleEntry:
			engine.GatewayNodes = append(engine.GatewayNodes, node)
		case directory.RoleExit:
			engine.ServiceNodes = append(engine.ServiceNodes, node)
		case directory.RoleMix:
			if m.Layer > p.Layers {
				return nil, fmt.Errorf("%s is of layer %d, the network has %d", m.Name, m.Layer, p.Layers)
			}
			engine.Mixes = append(engine.Mixes, node)
			layer := &engine.Topology.Layers[m.Layer-1]
			layer.Nodes = append(layer.Nodes, *node)
		}
	}
	for i, layer := range engine.Topology.Layers {
		if len(layer.Nodes) == 0 {
			return nil, fmt.Errorf("no mix of layer %d is admitted: run `sourdine authority admit` with one's public file", i+1)
		}
	}
	if len(engine.GatewayNodes) == 0 || len(engine.ServiceNodes) == 0 {
		return nil, errors.New("an entry and an exit must be admitted before the authority can vote: run `sourdine authority admit` with their public files")
	}
	if err := engine.FixupAndValidate(false); err != nil {
		return nil, fmt.Errorf("configuring the authority: %w", err)
	}
	return engine, nil
}
