// Stock is a node of a local test network that is Katzenpost's own (server), as
// others run it, on the configuration of one of ours. With it a network can be
// made of nodes of both kinds. An exit's post office is ours: the engine starts it
// as one of its plugins.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/katzenpost/katzenpost/server"
	"github.com/katzenpost/katzenpost/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/exit"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mixnode"
)

func main() {
	path := flag.String("c", "", "configuration `file` of a node")
	office := flag.String("office", "", "the `program` that is an exit's post office")
	decoys := flag.Bool("decoys", false, "send loops of decoy traffic")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *path, *office, *decoys); err != nil {
		fmt.Fprintln(os.Stderr, "stock node:", err)
		os.Exit(1)
	}
}

// nodeFile is what is read of a node's TOML file.
type nodeFile struct {
	mixnode.Config
	Exit map[string]any `toml:"exit"`
}

func run(ctx context.Context, path, office string, decoys bool) error {
	f := new(nodeFile)
	if err := files.Load(path, f); err != nil {
		return err
	}
	if err := f.Check(filepath.Dir(path)); err != nil {
		return err
	}
	b, err := files.Read(f.Network)
	if err != nil {
		return err
	}
	n, err := directory.ParseNetwork(b)
	if err != nil {
		return err
	}
	c := engine(&f.Config, n, decoys)
	if f.Role == directory.RoleExit {
		life, err := lifeSocket(filepath.Join(f.State, "life.sock"))
		if err != nil {
			return err
		}
		defer life.Close()
		if c.ServiceNode, err = f.services(path, office); err != nil {
			return err
		}
	}
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
	case <-ctx.Done(): // its own way to stop panics in an epoch's first seconds
		return nil
	case <-ended:
		return errors.New("the engine ended by itself")
	}
}

// patience is how long, in milliseconds, a packet may wait in one of the engine's
// queues. Its defaults lose packets on a busy machine.
const patience = 30_000

func engine(c *mixnode.Config, n *directory.Network, decoys bool) *config.Config {
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
			NumSphinxWorkers: 1, NumGatewayWorkers: 1, NumServiceWorkers: 1, NumKaetzchenWorkers: 1,
			UnwrapDelay: patience, GatewayDelay: patience, ServiceDelay: patience, KaetzchenDelay: patience,
			SchedulerSlack: patience, SendSlack: patience,
			ConnectTimeout: 10_000, HandshakeTimeout: 10_000,
			SendDecoyTraffic: decoys,
		},
	}
	if c.Bind != "" {
		e.Server.BindAddresses = []string{katzenpost.URL(c.Bind)}
	}
	return e
}

// services are the post office and the echo that loops turn back at.
func (f *nodeFile) services(path, office string) (*config.ServiceNode, error) {
	s, err := seal.Open(seal.Plain, f.State, nil)
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	signing, err := exit.PublicKey(filepath.Join(f.State, "mail"), s)
	if err != nil {
		return nil, err
	}
	duration := func(key string) time.Duration {
		d, _ := time.ParseDuration(fmt.Sprint(f.Exit[key]))
		return d
	}
	expiry, _ := f.Exit["expiry"].(int64)
	loss, _ := f.Exit["max_loss"].(float64)
	info := directory.ExitInfo{
		Operator: f.Operator, SigningKey: signing, From: fmt.Sprint(f.Exit["from"]),
		Expiry: uint64(expiry), Hold: duration("hold"), MaxLoss: loss,
	}
	if err := info.Check(); err != nil {
		return nil, err
	}
	return &config.ServiceNode{
		Kaetzchen: []*config.Kaetzchen{{Capability: "echo", Endpoint: "+echo"}},
		CBORPluginKaetzchen: []*config.CBORPluginKaetzchen{{
			Capability: directory.Capability, Endpoint: directory.Endpoint,
			PKIAdvertizedData: map[string]map[string]any{directory.Capability: info.Advertise()},
			Command:           office, Config: map[string]any{"p": path}, MaxConcurrency: 1,
		}},
	}, nil
}

// lifeSocket is what a post office wants of its node: a socket that is open as long
// as the node lives, and takes its log.
func lifeSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(os.Stderr, conn)
		}
	}()
	return l, nil
}
