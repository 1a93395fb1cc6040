package mixnode

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"runtime/debug"

	"github.com/katzenpost/katzenpost/server"
	"github.com/katzenpost/katzenpost/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

// patience is how long, in milliseconds, a packet may wait in one of the
// engine's queues before the engine drops it. Its own defaults, 50 to 750, lose
// the packets of a node on a slow line or a busy machine.
const patience = 30_000

// garbage is how far, in percent, the heap may grow between two collections. Each
// mix key has a replay filter of 64 MiB in the engine, and goes with its epoch.
const garbage = 20

// Run runs the node until ctx ends. An exit needs a handler. The process must end
// with Run: the engine goes on until then. Its own way to stop panics where it
// meets the first seconds of an epoch, in which it makes keys (server/server.go,
// halt and reshadowCryptoWorkers), and it saves nothing: mix keys are in memory
// alone, and what the entry and the handler keep on disk outlasts any end.
func Run(ctx context.Context, c *Config, n *directory.Network, h *Handler, log *slog.Logger) error {
	debug.SetGCPercent(garbage)
	engine := c.engine(n)
	var handler *watch
	if c.Role == directory.RoleExit {
		if h == nil {
			return errors.New("an exit needs a handler")
		}
		var err error
		if handler, err = h.listen(); err != nil {
			return err
		}
		defer handler.close()
		engine.ServiceNode = &config.ServiceNode{CBORPluginKaetzchen: []*config.CBORPluginKaetzchen{h.plugin()}}
	}
	if err := engine.FixupAndValidate(); err != nil {
		return fmt.Errorf("configuring the node: %w", err)
	}
	s, err := startEngine(ctx, engine, handler)
	if ctx.Err() != nil {
		return handler.stop()
	}
	if err != nil {
		if opErr, ok := errors.AsType[*net.OpError](err); ok && opErr.Op == "listen" {
			return fmt.Errorf("listening: %w: is another program using the port, or is the address another machine's?", err)
		}
		return fmt.Errorf("starting the node: %w", err)
	}
	log.Info("switching packets", "node", c.Name, "role", c.Role, "network", n.Name)

	ended := make(chan struct{})
	go func() { s.Wait(); close(ended) }()
	select {
	case <-ctx.Done():
		return handler.stop()
	case <-handler.gone():
		return errHandlerEnded
	case <-ended:
		return errors.New("the packet engine ended by itself; start the node again")
	}
}

var errHandlerEnded = errors.New("the exit's handler ended, so the node ends too, to be started again with it")

// startEngine starts the engine, unless ctx or the handler that it starts ends
// before: the engine would go on asking for the handler, and panic in the end
// (server/cborplugin/socket.go).
func startEngine(ctx context.Context, c *config.Config, handler *watch) (*server.Server, error) {
	type result struct {
		s   *server.Server
		err error
	}
	started := make(chan result, 1)
	go func() {
		s, err := server.New(c)
		started <- result{s, err}
	}()
	select {
	case r := <-started:
		return r.s, r.err
	case <-handler.gone():
		return nil, errHandlerEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// engine makes the engine's configuration of ours.
func (c *Config) engine(n *directory.Network) *config.Config {
	engine := &config.Config{
		Server: &config.Server{
			Identifier:         c.Name,
			WireKEM:            directory.LinkScheme,
			PKISignatureScheme: directory.SignatureScheme,
			Addresses:          []string{katzenpost.URL(c.Address)},
			DataDir:            c.State,
			IsGatewayNode:      c.Role == directory.RoleEntry,
			IsServiceNode:      c.Role == directory.RoleExit,
			// The engine can save mix keys at a clean stop, but not the tags of the
			// packets it has seen: after a restart each could be replayed once. So
			// the keys go with the process, and come anew with the next consensus.
			PersistMixKeysOnShutdown: false,
		},
		Logging:        &config.Logging{File: katzenpost.LogFile, Level: katzenpost.LogLevel},
		Management:     &config.Management{},
		PKI:            &config.PKI{Voting: &config.Voting{Authorities: katzenpost.Authorities(n)}},
		SphinxGeometry: katzenpost.Geometry(n.Parameters),
		Debug: &config.Debug{
			NumSphinxWorkers: runtime.NumCPU(), NumGatewayWorkers: 1, NumServiceWorkers: 1, NumKaetzchenWorkers: 1,
			SchedulerMaxBurst: 16,
			UnwrapDelay:       patience, GatewayDelay: patience, ServiceDelay: patience, KaetzchenDelay: patience,
			SchedulerSlack: patience, SendSlack: patience,
			ConnectTimeout: 10_000, HandshakeTimeout: 10_000,
		},
	}
	if c.Bind != "" {
		engine.Server.BindAddresses = []string{katzenpost.URL(c.Bind)}
	}
	return engine
}
