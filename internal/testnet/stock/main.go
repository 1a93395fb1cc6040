// Stock is a node of a local test network that is Katzenpost's own (server), as
// others run it, on the configuration of one of ours. With it a network can be
// made of nodes of both kinds. An exit's post office is ours: the engine starts it
// as one of its plugins. With decoys, engine.log in the state directory tells of each
// loop that the node sends, and that it came home (Katzenpost server/internal/decoy).
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

	"github.com/katzenpost/katzenpost/server/config"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/exit"
	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/internal/stocknode"
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
	c := stocknode.Config(&f.Config, n)
	c.Debug.NumSphinxWorkers, c.Debug.NumGatewayWorkers = 1, 1
	c.Debug.NumServiceWorkers, c.Debug.NumKaetzchenWorkers = 1, 1
	if decoys {
		c.Debug.SendDecoyTraffic, c.Debug.DecoySlack = true, c.Debug.SendSlack
		c.Logging.File, c.Logging.Level = filepath.Join(f.State, "engine.log"), "DEBUG"
	}
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
	return stocknode.Run(ctx, c)
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
