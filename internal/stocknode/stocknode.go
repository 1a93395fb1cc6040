// Package stocknode is Katzenpost's own node (server) on the configuration of one
// of ours: what our nodes are tested in a network with, and measured beside.
// Nothing that carries mail imports it.
package stocknode

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/katzenpost/katzenpost/server"
	"github.com/katzenpost/katzenpost/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// patience is how long, in milliseconds, a packet may wait in one of the engine's
// queues. Its defaults lose packets on a busy machine.
const patience = 30_000

// Config is the engine's configuration of a node of ours, without loops of decoy
// traffic and what an exit serves.
func Config(c *mixnode.Config, n *directory.Network) *config.Config {
	e := &config.Config{
		Server: &config.Server{
			Identifier: c.Name, WireKEM: directory.LinkScheme, PKISignatureScheme: directory.SignatureScheme,
			Addresses: []string{katzenpost.URL(c.Address)}, DataDir: c.State,
			IsGatewayNode: c.Role == directory.RoleEntry, IsServiceNode: c.Role == directory.RoleExit,
		},
		Logging:        &config.Logging{File: katzenpost.LogFile, Level: katzenpost.LogLevel},
		Management:     &config.Management{},
		PKI:            &config.PKI{Voting: &config.Voting{Authorities: katzenpost.Authorities(n)}},
		SphinxGeometry: katzenpost.Geometry(n.Parameters),
		Debug: &config.Debug{
			UnwrapDelay: patience, GatewayDelay: patience, ServiceDelay: patience, KaetzchenDelay: patience,
			SchedulerSlack: patience, SendSlack: patience,
			ConnectTimeout: 10_000, HandshakeTimeout: 10_000,
		},
	}
	if c.Bind != "" {
		e.Server.BindAddresses = []string{katzenpost.URL(c.Bind)}
	}
	return e
}

// Run runs a node until ctx ends. The process should end then, too, with the node
// as it is: its own way to stop panics in an epoch's first seconds.
func Run(ctx context.Context, c *config.Config) error {
	if err := c.FixupAndValidate(); err != nil {
		return err
	}
	s, err := server.New(c)
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "a stock node runs")
	ended := make(chan struct{})
	go func() { s.Wait(); close(ended) }()
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return errors.New("the engine ended by itself")
	}
}
