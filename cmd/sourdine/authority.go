package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/directory/authority"
	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

func authorityCommand() *cobra.Command {
	var (
		path       string
		passphrase passphraseFlags
	)
	cmd := &cobra.Command{
		Use:   "authority -c FILE",
		Short: "Run a directory authority",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, n, err := loadAuthority(path)
			if err != nil {
				return err
			}
			if err := katzenpost.SetEpoch(n.Parameters.Epoch); err != nil {
				return err
			}
			keys, err := authorityKeys(cmd.Context(), path, c, &passphrase)
			if err != nil {
				return err
			}
			return authority.Run(cmd.Context(), c, n, keys, logger())
		},
	}
	configFlag(cmd, &path)
	passphrase.add(cmd)
	cmd.AddCommand(authorityInitCommand(), authorityParametersCommand(), authorityAdmitCommand(), authorityListCommand(), authorityRemoveCommand(), keysCommand(func(path string) (*member, error) {
		c, err := authority.Load(path)
		if err != nil {
			return nil, err
		}
		return authorityMember(path, c), nil
	}))
	return cmd
}

func authorityMember(path string, c *authority.Config) *member {
	return &member{path, c.Keys, c.State, func() ([]seal.File, error) { return katzenpost.KeyFiles(c.State), nil }}
}

// authorityKeys opens an authority's keys, and needs the rest of its secret no more.
func authorityKeys(ctx context.Context, path string, c *authority.Config, passphrase *passphraseFlags) (*katzenpost.Keys, error) {
	s, err := passphrase.open(ctx, authorityMember(path, c))
	if err != nil {
		return nil, err
	}
	defer s.Wipe()
	return katzenpost.LoadKeys(c.State, s)
}

// memberFlags are what `authority init` and `node init` ask alike.
type memberFlags struct {
	member directory.Member
	bind   string
	router string // of a mix or an exit: as mixnode.Config has it
	keys   methodFlag
	phrase passphraseFlags
}

func (f *memberFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.member.Name, "name", "", "`name` in the network: a-z, 0-9 and hyphens")
	cmd.Flags().StringVar(&f.member.Operator, "operator", "", "`name` of who runs it; no user's entry and exit have the same")
	cmd.Flags().StringVar(&f.member.Address, "address", "", "`IP:port` at which others reach it")
	cmd.Flags().StringVar(&f.bind, "bind", "", "`IP:port` to listen on, if it is not the address")
	f.keys.add(cmd)
	f.phrase.add(cmd)
}

// create makes the directory, the keys and the public file of a member, lets more
// make what it needs besides, and returns the public file's path and what is to be
// done so that the keys open. conf is written as its configuration, last: a
// directory that has one is whole. What people can get wrong is looked at before
// anything is made.
func (f *memberFlags) create(ctx context.Context, dir, configName, heading string, comments map[string]string, conf any, more func(*seal.Sealer) error) (public, how string, err error) {
	if err := f.member.Check(); err != nil {
		return "", "", err
	}
	if f.bind != "" {
		if err := directory.CheckAddress(f.bind); err != nil {
			return "", "", fmt.Errorf("--bind: %w", err)
		}
	}
	if err := checkUnused(dir, configName); err != nil {
		return "", "", err
	}
	sealer, how, err := f.seal(ctx, dir)
	if err != nil {
		return "", "", err
	}
	defer sealer.Wipe()
	keys, err := katzenpost.NewKeys()
	if err != nil {
		return "", "", err
	}
	if err := keys.Store(filepath.Join(dir, stateName), sealer); err != nil {
		return "", "", err
	}
	f.member.SetKeys(keys.IdentityPublic, keys.LinkPublic)
	signed, err := f.member.Sign(keys.Identity)
	if err != nil {
		return "", "", err
	}
	public = filepath.Join(dir, f.member.Name+".member")
	if err := config.WriteFile(public, signed, 0o644); err != nil {
		return "", "", err
	}
	if err := more(sealer); err != nil {
		return "", "", err
	}
	var text bytes.Buffer
	if err := toml.NewEncoder(&text).Encode(conf); err != nil {
		return "", "", err
	}
	file := heading + commented(text.String(), comments)
	return public, how, config.WriteFile(filepath.Join(dir, configName), []byte(file), 0o600)
}

// checkUnused refuses a directory that is a member's.
func checkUnused(dir, configName string) error {
	if _, err := os.Lstat(filepath.Join(dir, configName)); err == nil {
		return fmt.Errorf("%s is in use already: choose another directory", dir)
	}
	return nil
}

// seal sets up the state directory of a new member in dir.
func (f *memberFlags) seal(ctx context.Context, dir string) (_ *seal.Sealer, how string, err error) {
	method, err := f.keys.method()
	if err != nil {
		return nil, "", err
	}
	state := filepath.Join(dir, stateName)
	if err := katzenpost.CheckNoKeys(state); err != nil {
		return nil, "", err
	}
	return createSealer(ctx, method, dir, state, &f.phrase)
}

// Names in a member's directory.
const (
	stateName         = "state"
	networkFileName   = "network.toml"
	authorityFileName = "authority.toml"
	nodeFileName      = "node.toml"
)

// loadAuthority reads an authority's configuration and its network file.
func loadAuthority(path string) (*authority.Config, *directory.Network, error) {
	c, err := authority.Load(path)
	if err != nil {
		return nil, nil, err
	}
	n, err := gateway.TrustedNetwork(c.Network)
	return c, n, err
}

func authorityInitCommand() *cobra.Command {
	var f memberFlags
	p := directory.DefaultParameters()
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make an authority's keys, configuration and public file",
		Long: `Make an authority's keys, configuration and public file.

All authorities of a network must be given the same --epoch, --slot, --loop, --delay,
--layers, --scheme and --payload.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f.member.Role, f.member.Parameters = directory.RoleAuthority, &p
			public, how, err := f.create(cmd.Context(), args[0], authorityFileName, "# A Sourdine directory authority.\n\n", nil, authority.Config{
				Name: f.member.Name, Address: f.member.Address, Bind: f.bind,
				Network: networkFileName, Members: "members", State: stateName, Keys: f.keys.text,
			}, func(*seal.Sealer) error { return nil })
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Made the authority %s in %s.

Its key, for others to compare in what they are given:
  %x
Give its public file to the other authorities:
  %s
%sWhen the network file is made and signed, put it at %s, admit the
nodes with `+"`sourdine authority admit`"+`, and start:
  sourdine authority -c %s
`, f.member.Name, args[0], f.member.ID(), public, how, filepath.Join(args[0], networkFileName), filepath.Join(args[0], authorityFileName))
			return nil
		},
	}
	f.add(cmd)
	for _, name := range []string{"name", "operator", "address"} {
		_ = cmd.MarkFlagRequired(name)
	}
	cmd.Flags().DurationVar(&p.Epoch, "epoch", p.Epoch, "time between two consensus documents")
	parameterFlags(cmd, &p)
	return cmd
}

// parameterFlags are for what can change in a network: epochs are counted in their own
// length.
func parameterFlags(cmd *cobra.Command, p *directory.Parameters) {
	cmd.Flags().DurationVar(&p.Loop, "loop", p.Loop, "mean time between two packets that a node sends to itself; 0: a slot")
	cmd.Flags().DurationVar(&p.Slot, "slot", p.Slot, "time between two packets of a gateway")
	cmd.Flags().DurationVar(&p.Delay, "delay", p.Delay, "mean delay at each mix")
	cmd.Flags().IntVar(&p.Layers, "layers", p.Layers, "layers of mixes")
	cmd.Flags().StringVar(&p.Scheme, "scheme", p.Scheme, "key exchange of the packets")
	cmd.Flags().IntVar(&p.Payload, "payload", p.Payload, "bytes of user payload in a packet")
}

func authorityParametersCommand() *cobra.Command {
	var (
		path       string
		passphrase passphraseFlags
		p          directory.Parameters
	)
	cmd := &cobra.Command{
		Use:   "parameters -c FILE",
		Short: "Make an authority's public file again, for a network with other parameters",
		Long: `Make an authority's public file again, for a network with other parameters.

What no flag says stays as the network file has it. All authorities must change the
same; then the network file is made of their files again, and signed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, n, err := loadAuthority(path)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(n.Authorities, func(a *directory.Member) bool { return a.Name == c.Name })
			if i < 0 {
				return fmt.Errorf("%s lists no authority %s", c.Network, c.Name)
			}
			keys, err := authorityKeys(cmd.Context(), path, c, &passphrase)
			if err != nil {
				return err
			}
			m, changed := *n.Authorities[i], n.Parameters
			for name, set := range map[string]func(){
				"loop": func() { changed.Loop = p.Loop }, "slot": func() { changed.Slot = p.Slot }, "delay": func() { changed.Delay = p.Delay },
				"layers": func() { changed.Layers = p.Layers }, "scheme": func() { changed.Scheme = p.Scheme }, "payload": func() { changed.Payload = p.Payload },
			} {
				if cmd.Flags().Changed(name) {
					set()
				}
			}
			m.Address, m.Parameters = c.Address, &changed
			m.SetKeys(keys.IdentityPublic, keys.LinkPublic)
			signed, err := m.Sign(keys.Identity)
			if err != nil {
				return err
			}
			public := filepath.Join(filepath.Dir(path), c.Name+".member")
			if err := config.WriteFile(public, signed, 0o644); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Made %s again. When all authorities have, make the network file of their files and the entries':\n  sourdine network make --name %s -o FILE MEMBER...\n", public, n.Name)
			return nil
		},
	}
	configFlag(cmd, &path)
	passphrase.add(cmd)
	parameterFlags(cmd, &p)
	return cmd
}
