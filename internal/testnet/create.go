package testnet

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/ports"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
)

const networkFile = "network.toml"

// create makes every process's directory with the commands that people use.
func (n *Network) create(ctx context.Context) error {
	n.o.Progress("making keys, the signed network file and configurations in " + n.dir)
	for _, step := range []func(context.Context) error{n.createFounders, n.createNetwork, n.createOthers, n.admit} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := n.configure(); err != nil {
		return err
	}
	return n.serveTaps(ctx)
}

// choosePorts fixes where each process listens and where it is reached.
func (n *Network) choosePorts() error {
	names := slices.Concat(authorities, nodes, n.spares(), []string{Sink, Gateway, gatewayTLS})
	addresses, err := ports.Take(len(names))
	if err != nil {
		return err
	}
	n.real, n.reached, n.tapped = map[string]string{}, map[string]string{}, map[string]net.Listener{}
	for i, name := range names {
		n.real[name] = addresses[i]
	}
	maps.Copy(n.reached, n.real)
	for name := range n.o.Taps {
		if name == Gateway || n.real[name] == "" {
			return fmt.Errorf("nothing connects over the network to %q, so it has no tap", name)
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		n.tapped[name], n.reached[name] = l, l.Addr().String()
	}
	return nil
}

func (n *Network) spares() []string { return slices.Sorted(maps.Keys(n.o.Spares)) }

// gatewayTLS names the gateway's second port.
const gatewayTLS = "gateway's TLS"

// together runs a function for each name, side by side.
func together(names []string, f func(name string) error) error {
	errs := make([]error, len(names))
	var running sync.WaitGroup
	for i, name := range names {
		running.Go(func() { errs[i] = f(name) })
	}
	running.Wait()
	return errors.Join(errs...)
}

// Run runs a command of the program to its end, as in Run(ctx, "queue", "-c",
// path), and returns what it wrote to standard output.
func (n *Network) Run(ctx context.Context, args ...string) (string, error) {
	return n.program.run(ctx, args...)
}

func (n *Network) member(name string) string { return n.Path(name, name+".member") }

// address returns the flags that say where a member is reached and listens.
func (n *Network) address(name string) []string {
	return []string{"--name", name, "--operator", name + "-operator", "--address", n.reached[name], "--bind", n.real[name], "--keys", "plain"}
}

// createFounders makes the authorities and the entry, of whom the network file
// is made.
func (n *Network) createFounders(ctx context.Context) error {
	return together(append([]string{Entry}, authorities...), func(name string) error {
		args := []string{"node", "init", n.Path(name), "--role", "entry"}
		if name != Entry {
			args = []string{"authority", "init", n.Path(name), "--epoch", n.o.Epoch.String(), "--slot", n.o.Slot.String(), "--loop", n.o.Loop.String(),
				"--delay", n.o.Delay.String(), "--payload", strconv.Itoa(n.o.Payload)}
		}
		_, err := n.Run(ctx, append(args, n.address(name)...)...)
		return err
	})
}

// createNetwork makes the network file and lets every authority sign it.
func (n *Network) createNetwork(ctx context.Context) error {
	args := []string{"network", "make", "--name", "testnet", "-o", n.Path(networkFile), n.member(Entry)}
	for _, name := range authorities {
		args = append(args, n.member(name))
	}
	if _, err := n.Run(ctx, args...); err != nil {
		return err
	}
	for _, name := range authorities {
		if _, err := n.Run(ctx, "network", "sign", "-c", n.Path(name, "authority.toml"), n.Path(networkFile)); err != nil {
			return err
		}
	}
	signed, err := os.ReadFile(n.Path(networkFile))
	if err != nil {
		return err
	}
	if n.network, err = directory.ParseNetwork(signed); err != nil {
		return err
	}
	for _, name := range append([]string{Entry}, authorities...) {
		if err := os.WriteFile(n.Path(name, networkFile), signed, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// createOthers makes the mixes, the exit and the gateway, who are given the
// network file.
func (n *Network) createOthers(ctx context.Context) error {
	n.user = Submission{
		StartTLS: n.real[Gateway], TLS: n.real[gatewayTLS], User: "demo", Password: rand.Text(),
	}
	password := n.Path("password")
	if err := os.WriteFile(password, []byte(n.user.Password+"\n"), 0o600); err != nil {
		return err
	}
	err := together(slices.Concat(mixes, n.spares(), []string{Exit, Gateway}), func(name string) error {
		args := []string{"node", "init", n.Path(name), "--network", n.Path(networkFile), "--role"}
		switch name {
		case Gateway:
			args = []string{"gateway", "init", n.Path(name), "--network", n.Path(networkFile), "--login", n.user.User,
				"--password-file", password, "--listen", n.user.StartTLS, "--listen-tls", n.user.TLS}
		case Exit:
			args = append(args, "exit", "--from", "anonymous@exit.example", "--relay", n.reached[Sink], "--relay-tls", "none")
			args = append(args, n.address(name)...)
		default:
			layer := cmp.Or(n.o.Spares[name], slices.Index(mixes, name)+1)
			args = append(args, "mix", "--layer", strconv.Itoa(layer))
			args = append(args, n.address(name)...)
		}
		_, err := n.Run(ctx, args...)
		return err
	})
	if err != nil {
		return err
	}
	certificates, err := filepath.Glob(n.Path(Gateway, "*.crt"))
	if err != nil || len(certificates) != 1 {
		return fmt.Errorf("the gateway made %d certificates, not one", len(certificates))
	}
	n.user.Certificate = certificates[0]
	return nil
}

// admit lets the nodes into the network at each authority.
func (n *Network) admit(ctx context.Context) error {
	return together(authorities, func(name string) error {
		args := []string{"authority", "admit", "-c", n.Path(name, "authority.toml")}
		for _, node := range nodes {
			args = append(args, n.member(node))
		}
		_, err := n.Run(ctx, args...)
		return err
	})
}

// configure writes into the configurations what has no flag of its own.
func (n *Network) configure() error {
	edits := map[string]func(map[string]any){
		Exit: func(c map[string]any) {
			exit := c["exit"].(map[string]any)
			exit["hold"], exit["retry"], exit["expiry"] = n.o.Hold.String(), n.o.Retry.String(), n.o.Expiry
			if n.o.MaxLoss != 0 {
				exit["max_loss"] = n.o.MaxLoss
			}
		},
		Entry: func(c map[string]any) {
			// The network file tells gateways of the tap; the descriptor tells
			// mixes of the entry itself.
			c["address"] = n.real[Entry]
			delete(c, "bind")
		},
		Gateway: func(c map[string]any) {
			c["resend"], c["expiry"] = n.o.Resend.String(), n.o.Expiry
			floors := c["floors"].(map[string]any)
			floors["min_slot"], floors["min_delay"] = n.o.Slot.String(), n.o.Delay.String()
		},
	}
	for _, name := range slices.Concat(authorities, nodes, n.spares(), []string{Gateway}) {
		err := n.Edit(name, func(c map[string]any) {
			if edit := edits[name]; edit != nil {
				edit(c)
			}
			if n.o.Edit != nil {
				n.o.Edit(name, c)
			}
		})
		if err != nil {
			return err
		}
	}
	var err error
	n.gateway, err = gateway.Load(n.configPath(Gateway))
	return err
}

func (n *Network) configPath(name string) string {
	switch {
	case name == Gateway:
		return n.Path(name, gateway.ConfigName)
	case slices.Contains(authorities, name):
		return n.Path(name, "authority.toml")
	}
	return n.Path(name, "node.toml")
}

// Edit changes the configuration file of a member or the gateway. The process
// reads it at its next start.
func (n *Network) Edit(process string, change func(config map[string]any)) error {
	path := n.configPath(process)
	c := map[string]any{}
	if _, err := toml.DecodeFile(path, &c); err != nil {
		return err
	}
	change(c)
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(c); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return config.WriteFile(path, text.Bytes(), 0o600)
}

// serveTaps lets the taps take connections.
func (n *Network) serveTaps(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background()) // until Close
	n.stopTaps = cancel
	for name, l := range n.tapped {
		delete(n.tapped, name)
		target := tap.Target{Address: n.real[name]}
		if name != Sink {
			file, err := os.ReadFile(n.member(name))
			if err != nil {
				return err
			}
			if target.Member, err = directory.ParseMember(file); err != nil {
				return err
			}
			target.State, target.Network = n.Path(name, "state"), n.network
		}
		n.taps.Go(func() { n.o.Taps[name].Serve(ctx, l, target) })
	}
	return nil
}
