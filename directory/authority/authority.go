// Package authority runs a directory authority: one of the few that vote on who
// is in the network, and of which a threshold must sign each epoch's consensus.
// The voting is Katzenpost's (authority/voting/server), embedded. This package
// gives it our configuration, admits members into its directory, and refuses to
// let it log: its lines name the addresses of those who connect.
package authority

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	signpem "github.com/katzenpost/hpqc/sign/pem"
	"github.com/katzenpost/katzenpost/authority/voting/server"
	"github.com/katzenpost/katzenpost/authority/voting/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/control"
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

// Run votes until ctx ends, and answers on the control socket with whom it does.
//
// The engine reads its list of nodes when it starts, so a changed list is taken up
// by starting it anew, at one of this authority's turns. It also gives up by itself
// when it has no vote of its own to reveal, a quarter into an epoch: when too few
// nodes published themselves, or the machine slept through the moment before
// (state.reveal in authority/voting/server/state.go). It is then started anew, and
// joins the next epoch's vote. An engine joins in an epoch's first eighth or waits
// for the next epoch, so one that lives less than the eighth between ended for
// another reason.
func Run(ctx context.Context, c *Config, n *directory.Network, keys *katzenpost.Keys, log *slog.Logger) error {
	t, err := c.turns(n)
	if err != nil {
		return err
	}
	// Only one process can listen at the address, and so only one has the socket.
	if err := c.canListen(); err != nil {
		return err
	}
	v := &voter{cfg: c, network: n, keys: keys, turns: t, log: log}
	answer, err := control.Listen(c.socket(), control.Answers{questionMembers: v.inForce})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	var answering sync.WaitGroup
	var failed error
	answering.Go(func() {
		failed = answer(ctx)
		end()
	})
	err = v.run(ctx)
	end()
	answering.Wait()
	return errors.Join(err, failed)
}

// turns are this authority's in a network.
func (c *Config) turns(n *directory.Network) (turns, error) {
	i := slices.IndexFunc(n.Authorities, func(a *directory.Member) bool { return a.Name == c.Name && a.Address == c.Address })
	if i < 0 {
		return turns{}, fmt.Errorf("the network file lists no authority %s at %s", c.Name, c.Address)
	}
	return turns{period: n.Parameters.Epoch, index: i, of: len(n.Authorities)}, nil
}

// canListen asks for the address first, because the engine only logs that it cannot
// have it.
func (c *Config) canListen() error {
	l, err := net.Listen("tcp", cmp.Or(c.Bind, c.Address))
	if err != nil {
		return fmt.Errorf("listening: %w: is another program using the port, or is the address another machine's?", err)
	}
	return l.Close()
}

// voter runs the engine, one life after the other.
type voter struct {
	cfg     *Config
	network *directory.Network
	keys    *katzenpost.Keys
	turns   turns
	log     *slog.Logger
	counted atomic.Pointer[[]counted] // with whom the engine votes; nil before the first
}

// inForce is an answer on the control socket.
func (v *voter) inForce() (any, error) {
	if list := v.counted.Load(); list != nil {
		return *list, nil
	}
	return []counted{}, nil
}

func (v *voter) run(ctx context.Context) error {
	for {
		started := time.Now()
		changed, err := v.vote(ctx)
		switch {
		case err != nil || ctx.Err() != nil:
			return err
		case changed:
		case time.Since(started) < v.turns.period/8:
			return errors.New("the voting engine ended by itself soon after its start; look at the disk and at the clock, then start the authority again")
		default:
			v.log.Warn("the voting engine ended by itself, and is started anew", "authority", v.cfg.Name)
		}
	}
}

// shutdownTimeout bounds how long the engine may take to end when the process does.
// It goes on for minutes with asking others for a consensus that they do not have or
// who do not answer (state.backgroundFetchConsensus, two minutes). Nothing is lost
// when the process ends before: the engine writes to its database in transactions.
// An engine that is to start anew must have ended, for the next one opens the same
// database: it gets restartTimeout.
const (
	shutdownTimeout = 5 * time.Second
	restartTimeout  = 3 * time.Minute
)

// vote runs one life of the engine, which ends with ctx, by itself, or because the
// list of nodes has changed. When ctx ends, what is left of it ends with the process.
func (v *voter) vote(ctx context.Context) (changed bool, err error) {
	var (
		list   []counted
		engine *config.Config
		s      *server.Server
	)
	err = v.lend(func() error {
		if list, engine, err = v.read(time.Now()); err != nil {
			return err
		}
		if err := v.cfg.canListen(); err != nil {
			return err
		}
		if s, err = server.New(engine); err != nil {
			return fmt.Errorf("starting the authority: %w", err)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	v.counted.Store(&list)
	v.log.Info("voting", "authority", v.cfg.Name, "network", v.network.Name, "mixes", len(engine.Mixes),
		"entries", len(engine.GatewayNodes), "exits", len(engine.ServiceNodes), "epoch", v.turns.period)
	stop := context.AfterFunc(ctx, s.Shutdown)
	defer stop()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Wait()
	}()
	for !changed {
		turn := time.NewTimer(time.Until(v.turns.next(time.Now())))
		select {
		case <-turn.C:
			changed = v.changed(list, time.Now())
		case <-ended:
			return false, nil
		case <-ctx.Done():
			select {
			case <-ended:
			case <-time.After(shutdownTimeout):
			}
			return false, nil
		}
	}
	v.log.Info("the list of nodes has changed, and the voting engine starts anew with it", "authority", v.cfg.Name)
	go s.Shutdown()
	select {
	case <-ended:
		return true, nil
	case <-ctx.Done():
		return false, nil
	case <-time.After(restartTimeout):
		return false, fmt.Errorf("the voting engine has a new list of nodes and did not end within %v to take it up: start the authority again", restartTimeout)
	}
}

// engineDir is where, in an authority's state directory, the engine has its votes.
const engineDir = "engine"

// lend lets the engine read its keys while f configures or starts it.
func (v *voter) lend(f func() error) error {
	return v.keys.Lend(filepath.Join(v.cfg.State, engineDir), f)
}

// read returns the members with whom an engine votes that starts at a moment, and its
// configuration.
func (v *voter) read(start time.Time) ([]counted, *config.Config, error) {
	admitted, err := v.cfg.Admitted()
	if err != nil {
		return nil, nil, err
	}
	admitted = counting(admitted, changeAt(firstVote(start, v.turns.period), v.turns.period).Begins)
	list := make([]counted, len(admitted))
	for i, a := range admitted {
		list[i] = a.counted()
	}
	engine, err := v.cfg.engine(v.network, admitted)
	return list, engine, err
}

// changed says whether the engine should start anew for a list that differs from its
// own. One that it could not start with stays where it is.
func (v *voter) changed(list []counted, now time.Time) bool {
	if !v.turns.safe(now) {
		return false
	}
	var read []counted
	err := v.lend(func() (err error) { read, _, err = v.read(now); return err })
	if err != nil {
		v.log.Warn("the list of nodes cannot be used, and the old one stays in force", "authority", v.cfg.Name, "error", err)
		return false
	}
	return !slices.Equal(read, list)
}

// engine makes the engine's configuration of ours.
func (c *Config) engine(n *directory.Network, members []*Admitted) (*config.Config, error) {
	p := n.Parameters
	for _, m := range members {
		if m.Layer > p.Layers {
			return nil, fmt.Errorf("%s is of layer %d, the network has %d", m.Name, m.Layer, p.Layers)
		}
	}
	if err := complete(members, p.Layers); err != nil {
		return nil, err
	}
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
			LambdaM: directory.RateOf(p.LoopMean()),
		},
		Debug:          &config.Debug{Layers: p.Layers, MinNodesPerLayer: 1},
		Topology:       &config.Topology{Layers: make([]config.Layer, p.Layers)},
		SphinxGeometry: katzenpost.Geometry(p),
	}
	if c.Bind != "" {
		engine.Server.BindAddresses = []string{katzenpost.URL(c.Bind)}
	}
	for _, m := range members {
		// Named by the key, so that an engine that still runs finds what it was told of.
		pem := fmt.Sprintf("%x.pem", m.ID())
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
			engine.Mixes = append(engine.Mixes, node)
			layer := &engine.Topology.Layers[m.Layer-1]
			layer.Nodes = append(layer.Nodes, *node)
		}
	}
	if err := engine.FixupAndValidate(false); err != nil {
		return nil, fmt.Errorf("configuring the authority: %w", err)
	}
	return engine, nil
}
