package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/directory/authority"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

func networkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "network",
		Short: "Make, sign and show the file that says what a network is",
	}
	cmd.AddCommand(networkMakeCommand(), networkSignCommand(), networkMergeCommand(), networkShowCommand())
	return cmd
}

func networkMakeCommand() *cobra.Command {
	var name, out string
	cmd := &cobra.Command{
		Use:   "make --name NAME -o FILE MEMBER...",
		Short: "Make a network file of the public files of authorities and entries",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var members []*directory.Member
			for _, path := range args {
				b, err := config.Read(path)
				if err != nil {
					return err
				}
				m, err := directory.ParseMember(b)
				if err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
				members = append(members, m)
			}
			n, err := directory.NewNetwork(name, members)
			if err != nil {
				return err
			}
			if err := config.WriteFile(out, n.Bytes(), 0o644); err != nil {
				return err
			}
			show(cmd, n)
			fmt.Fprintf(cmd.OutOrStdout(), "\nLet %d of the authorities compare this fingerprint and run:\n  sourdine network sign -c authority.toml %s\n", n.Threshold(), out)
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the network's `name`: a-z, 0-9 and hyphens")
	cmd.Flags().StringVarP(&out, "output", "o", "", "`file` to write")
	_ = cmd.MarkFlagRequired("name")
	_ = cmd.MarkFlagRequired("output")
	return cmd
}

func readNetwork(path string) (*directory.Network, error) {
	b, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	n, err := directory.ParseNetwork(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func networkSignCommand() *cobra.Command {
	var (
		path       string
		passphrase passphraseFlags
	)
	cmd := &cobra.Command{
		Use:   "sign -c AUTHORITY.toml FILE",
		Short: "Sign a network file as one of its authorities",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := authority.Load(path)
			if err != nil {
				return err
			}
			keys, err := authorityKeys(cmd.Context(), path, c, &passphrase)
			if err != nil {
				return err
			}
			n, err := readNetwork(args[0])
			if err != nil {
				return err
			}
			if err := listedAs(n, c, keys); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if err := n.AddSignature(keys.Identity); err != nil {
				return err
			}
			if err := config.WriteFile(args[0], n.Bytes(), 0o644); err != nil {
				return err
			}
			show(cmd, n)
			return nil
		},
	}
	configFlag(cmd, &path)
	passphrase.add(cmd)
	return cmd
}

func networkMergeCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "merge FILE COPY...",
		Short: "Gather in a network file the signatures of copies that were signed apart",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := readNetwork(args[0])
			if err != nil {
				return err
			}
			for _, path := range args[1:] {
				signed, err := readNetwork(path)
				if err != nil {
					return err
				}
				if err := n.Merge(signed); err != nil {
					return fmt.Errorf("%s: %w", path, err)
				}
			}
			if err := config.WriteFile(args[0], n.Bytes(), 0o644); err != nil {
				return err
			}
			show(cmd, n)
			return nil
		},
	}
}

// listedAs is an error if the network file says something else of this authority
// than its configuration and keys do. That the authority is in it at all,
// AddSignature checks.
func listedAs(n *directory.Network, c *authority.Config, keys *katzenpost.Keys) error {
	for _, m := range n.Authorities {
		if !m.IdentityKey().Equal(keys.IdentityPublic) {
			continue
		}
		for _, field := range []struct {
			name          string
			listed, wants string
		}{{"name", m.Name, c.Name}, {"address", m.Address, c.Address}} {
			if field.listed != field.wants {
				return fmt.Errorf("this authority's %s is %s in it, and %s in the configuration: make the network again with its present public file, and do not sign this one",
					field.name, field.listed, field.wants)
			}
		}
		if !m.LinkKey().Equal(keys.LinkPublic) {
			return errors.New("it gives this authority a link key that is not its own: do not sign it, and ask who made it")
		}
	}
	return nil
}

func networkShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Show what a network file says and who signed it",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := readNetwork(args[0])
			if err != nil {
				return err
			}
			show(cmd, n)
			return n.Trusted()
		},
	}
}

func show(cmd *cobra.Command, n *directory.Network) {
	out, p := cmd.OutOrStdout(), n.Parameters
	fmt.Fprintf(out, "network      %s\n", n.Name)
	fmt.Fprintf(out, "parameters   epoch %v, slot %v, loops every %v, delay %v at each of %d mixes, %s packets with %d bytes\n",
		p.Epoch, p.Slot, p.LoopMean(), p.Delay, p.Layers, p.Scheme, p.Payload)
	for _, m := range slices.Concat(n.Authorities, n.Entries) {
		fmt.Fprintf(out, "%-12s %s at %s, run by %s, key %x\n", m.Role, m.Name, m.Address, m.Operator, m.ID())
	}
	signers := "nobody"
	if s := n.Signers(); len(s) > 0 {
		signers = strings.Join(s, ", ")
	}
	fmt.Fprintf(out, "signed by    %s (%d needed)\n", signers, n.Threshold())
	fmt.Fprintf(out, "fingerprint  %s\n", n.Fingerprint())
}
