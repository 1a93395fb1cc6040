package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/directory/authority"
	"codeberg.org/sourdine/sourdine/exit"
	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/internal/systemd"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixnode"
)

func nodeCommand() *cobra.Command {
	var (
		path       string
		passphrase passphraseFlags
	)
	cmd := &cobra.Command{
		Use:   "node -c FILE",
		Short: "Run a node: mix, entry or exit",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, n, err := loadNode(path)
			if err != nil {
				return err
			}
			if err := checkRunner(f.State); err != nil {
				return err
			}
			sealer, err := passphrase.open(cmd.Context(), f.member(path))
			if err != nil {
				return err
			}
			defer sealer.Wipe()
			var handler *mixnode.Handler
			if f.Exit != nil {
				if handler, err = f.handler(path, sealer); err != nil {
					return err
				}
				defer clear(handler.Secret)
			}
			log := logger()
			return mixnode.Run(cmd.Context(), &f.Config, n, sealer, handler, reloads(cmd.Context(), path, f, n, log), log)
		},
	}
	configFlag(cmd, &path)
	passphrase.add(cmd)
	cmd.AddCommand(nodeInitCommand(), nodeStatusCommand(), nodeCheckCommand(), nodeLeaveCommand(), nodeBackupCommand(), nodeRestoreCommand(), keysCommand(func(path string) (*member, error) {
		f, err := readNode(path)
		if err != nil {
			return nil, err
		}
		return f.member(path), nil
	}))
	return cmd
}

// reloads reads a node's configuration anew when it is asked to (SIGHUP), until ctx
// ends. One that is wrong changes nothing. What mixnode does not know of, an exit's
// section and what the network file says, is compared here with what the node runs with.
func reloads(ctx context.Context, path string, running *nodeFile, network *directory.Network, log *slog.Logger) <-chan *mixnode.Config {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	changes := make(chan *mixnode.Config)
	go func() {
		defer signal.Stop(asked)
		for {
			select {
			case <-ctx.Done():
				return
			case <-asked:
			}
			f, n, err := readBoth(path)
			if err != nil {
				log.Error("the configuration is not read anew, and nothing changed", "error", err)
				continue
			}
			if waits := append(running.Exit.changes(f.Exit), networkChanges(network, n)...); len(waits) > 0 {
				log.Warn("what of the exit and the network was changed holds only after a restart", "changed", strings.Join(waits, ", "))
			}
			select {
			case <-ctx.Done():
				return
			case changes <- &f.Config:
			}
		}
	}()
	return changes
}

// networkChanges names what two network files differ in.
func networkChanges(before, now *directory.Network) []string {
	if before.Fingerprint() == now.Fingerprint() {
		return nil
	}
	return []string{"the network file's text"}
}

// nodeFile is a node's TOML file: what the node reads, and what an exit's post
// office does.
type nodeFile struct {
	mixnode.Config
	Exit *exitSection `toml:"exit,omitempty"`
}

// member returns what the commands for keys need to know.
func (f *nodeFile) member(path string) *member {
	return &member{path, f.Keys, f.State, func() ([]seal.File, error) {
		files, err := mixnode.KeyFiles(f.State)
		if err != nil || f.Exit == nil {
			return files, err
		}
		more, err := exit.KeyFiles(filepath.Join(f.State, mailDir))
		return append(files, more...), err
	}}
}

// readNode reads a node's configuration.
func readNode(path string) (*nodeFile, error) {
	f := new(nodeFile)
	if err := config.Load(path, f); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := f.Check(dir); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if isExit := f.Role == directory.RoleExit; isExit != (f.Exit != nil) {
		return nil, fmt.Errorf("%s: a node of role exit, and no other, has a section [exit]", path)
	}
	if f.Exit != nil && f.Exit.PasswordFile != "" && !filepath.IsAbs(f.Exit.PasswordFile) {
		f.Exit.PasswordFile = filepath.Join(dir, f.Exit.PasswordFile)
	}
	return f, nil
}

// readBoth also reads the network file.
func readBoth(path string) (*nodeFile, *directory.Network, error) {
	f, err := readNode(path)
	if err != nil {
		return nil, nil, err
	}
	n, err := gateway.TrustedNetwork(f.Network)
	return f, n, err
}

// loadNode also makes the process run with the network's epochs.
func loadNode(path string) (*nodeFile, *directory.Network, error) {
	f, n, err := readBoth(path)
	if err != nil {
		return nil, nil, err
	}
	return f, n, katzenpost.SetEpoch(n.Parameters.Epoch)
}

func nodeInitCommand() *cobra.Command {
	var (
		f             memberFlags
		own           ownerFlag
		role, network string
		from, relay   string
		relayTLS      string
	)
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a node's keys, configuration and public file",
		Long: `Make a node's keys, configuration and public file, and a unit for systemd.

What no flag says it asks at the terminal, three questions at most: what the node is
and in which layer (--role, --layer), where others reach it (--address), and what
opens its keys (--keys). Without a terminal these flags must be given. The name is
the directory's unless --name says another.

No node needs root. By sudo, all that is made belongs to the user who called it, as
whom the node then runs, or to the one whom --user names.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := args[0]
			if err := checkUnused(dir, nodeFileName); err != nil {
				return err
			}
			owner, err := own.owner()
			if err != nil {
				return err
			}
			made := newIn(dir)
			var trusted *directory.Network
			layers := directory.DefaultParameters().Layers
			if network != "" {
				var err error
				if trusted, err = gateway.TrustedNetwork(network); err != nil {
					return err
				}
				layers = trusted.Parameters.Layers
			}
			f.member.Role = directory.Role(role)
			if err := f.complete(cmd.Context(), dir, layers, from != "" && relay != ""); err != nil {
				return err
			}
			if trusted != nil && f.member.Layer > layers {
				return fmt.Errorf("--layer %d: the network has %d", f.member.Layer, layers)
			}
			c := nodeFile{Config: mixnode.Config{
				Role: f.member.Role, Name: f.member.Name, Operator: f.member.Operator, Layer: f.member.Layer,
				Address: f.member.Address, Bind: f.bind, Router: f.router, Network: networkFileName, State: stateName, Keys: f.keys.text,
				Budget: mixnode.DefaultBudget(),
			}}
			if err := c.CheckAddress(); err != nil {
				return err
			}
			switch f.member.Role {
			case directory.RoleMix, directory.RoleEntry:
			case directory.RoleExit:
				if _, err := mail.ParseAddress(from); err != nil {
					return fmt.Errorf("--from: %w", err)
				}
				if relay == "" {
					return errors.New("--relay: an exit needs the host:port of an SMTP server that takes its mail")
				}
				c.Exit = &exitSection{
					From: from, Hold: time.Hour, Retry: 20 * time.Minute, Expiry: 120, MaxLoss: 0.2, Space: 1 << 30, Kept: 4 << 30,
					Relay: relay, TLS: relayTLS, Hello: "localhost",
				}
				if err := c.Exit.relay().Check(); err != nil {
					return err
				}
			default:
				return fmt.Errorf("--role %q is none of mix, entry, exit", role)
			}
			public, _, err := f.create(cmd.Context(), dir, nodeFileName, "# A Sourdine node. Times are written 90s, 20m, 1h.\n\n", nodeComments, c, func(s *seal.Sealer) error {
				if c.Exit != nil {
					office, err := s.Part(exit.Part)
					if err != nil {
						return err
					}
					defer office.Wipe()
					if _, err := exit.InitKeys(filepath.Join(dir, stateName, mailDir), office); err != nil {
						return err
					}
				}
				if trusted == nil {
					return nil
				}
				return config.WriteFile(filepath.Join(dir, networkFileName), trusted.Bytes(), 0o644)
			})
			if err != nil {
				return err
			}
			unit, err := writeNodeUnit(dir, &f, owner.name)
			if err != nil {
				return err
			}
			if err := owner.take(append(made, public, unit)...); err != nil {
				return err
			}
			printNode(cmd.OutOrStdout(), dir, public, unit, &f, owner, trusted)
			return nil
		},
	}
	f.add(cmd)
	own.add(cmd)
	cmd.Flags().StringVar(&role, "role", "", "mix, entry or exit")
	cmd.Flags().IntVar(&f.member.Layer, "layer", 0, "of a mix: 1 is next to the entries, the last next to the exits")
	cmd.Flags().StringVar(&f.router, "router", "", "ask the home's router for the port and the public address, so that --address may be :4242 alone; alone, or `=IP` of the router")
	cmd.Flags().Lookup("router").NoOptDefVal = mixnode.RouterAuto
	cmd.Flags().StringVar(&network, "network", "", "the network's signed `file`; an entry that founds a network has none yet")
	cmd.Flags().StringVar(&from, "from", "", "of an exit: the `address` that all its mail comes from")
	cmd.Flags().StringVar(&relay, "relay", "", "of an exit: the `host:port` of the SMTP server that takes its mail")
	cmd.Flags().StringVar(&relayTLS, "relay-tls", "starttls", "of an exit: none, starttls or tls")
	return cmd
}

// writeNodeUnit writes the unit by which systemd runs a node as a user of the machine,
// and returns its path.
func writeNodeUnit(dir string, f *memberFlags, name string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	program, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding this program for the unit: %w", err)
	}
	n := systemd.Node{
		Role: string(f.member.Role), Name: f.member.Name, User: name, Program: program,
		Config: filepath.Join(dir, nodeFileName), Dir: dir,
	}
	if f.keys.text == string(seal.Systemd) {
		n.Lines = []string{credentialLine(dir)}
	}
	path := filepath.Join(dir, n.FileName())
	return path, config.WriteFile(path, []byte(n.Unit()), 0o644)
}

// printNode says what was made, what its owner does next, and what they then wait for.
func printNode(out io.Writer, dir, public, unit string, f *memberFlags, own owner, trusted *directory.Network) {
	m, file := &f.member, filepath.Join(dir, nodeFileName)
	what := string(m.Role)
	if m.Layer > 0 {
		what = fmt.Sprintf("%s of layer %d", m.Role, m.Layer)
	}
	fmt.Fprintf(out, "Made the %s %s, run by %s, in %s. It runs as the user %s.\n%s\n", what, m.Name, m.Operator, dir, own.name, own.warning())
	each := "each authority"
	if trusted != nil {
		each = fmt.Sprintf("each of the %d authorities", len(trusted.Authorities))
		fmt.Fprintf(out, "It is for the network %s. Compare its fingerprint with what the network's people publish:\n  %s\n", trusted.Name, trusted.Fingerprint())
	} else {
		fmt.Fprintf(out, "Put the signed network file at %s when there is one.\n", filepath.Join(dir, networkFileName))
	}
	fmt.Fprintf(out, `Send its public file, in which nothing is secret, to %s:
  %s
They compare its key with you, and let it in by one command each:
  key %x
  sourdine authority admit -c authority.toml %s
`, each, public, m.ID(), filepath.Base(public))
	byHand := "sourdine node -c " + file
	bySystemd := fmt.Sprintf("sudo cp %s /etc/systemd/system/ && sudo systemctl enable --now %s", unit, strings.TrimSuffix(filepath.Base(unit), ".service"))
	switch seal.Method(f.keys.text) {
	case seal.Systemd:
		fmt.Fprintf(out, "Start it meanwhile:\n  %s\n", bySystemd)
	case seal.Passphrase:
		fmt.Fprintf(out, "Start it meanwhile; it asks for the passphrase:\n  %s\n", byHand)
	default:
		fmt.Fprintf(out, "Start it meanwhile, by systemd or by hand:\n  %s\n  %s\n", bySystemd, byHand)
	}
	fmt.Fprintf(out, "See what it waits for, and what is missing on this machine:\n  sourdine node status -c %s\n  sourdine node check -c %s\n", file, file)
	if trusted != nil {
		least, most := authority.JoinTime(trusted.Parameters.Epoch)
		fmt.Fprintf(out, "It is useful %v to %v after more than half of the authorities have let it in.\n", least.Round(time.Second), most.Round(time.Second))
	}
}
