package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/mixnode"
)

func nodeLeaveCommand() *cobra.Command {
	var path string
	var back bool
	cmd := &cobra.Command{
		Use:   "leave -c FILE",
		Short: "Leave the network without losing a packet",
		Long: `Leave the network without losing a packet. The node publishes itself no more and
goes on carrying packets until no consensus lists it, which takes two to three
epochs; then it ends by itself. Leave it running until then. It is no use to tell
the authorities first, and a courtesy to tell them afterwards, so that they remove
it from their lists.

To stop a node that comes back, stop it (SIGTERM): it lets what waits in it leave,
and ends within five minutes.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, n, err := loadNode(path)
			if err != nil {
				return err
			}
			if back {
				if err := mixnode.Stay(&f.Config); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "The node stays. If it has ended already, start it: it is in the consensus two epochs later.")
				return nil
			}
			if err := errors.Join(mixnode.Leave(&f.Config), f.member(path).keepOwner()); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `The node leaves. Let it run: it ends by itself when nobody needs it any more, in two
to three epochs of %v. Until then this takes it back:
  sourdine node leave --back -c %s
`, n.Parameters.Epoch, path)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&back, "back", false, "take it back: the node stays")
	return cmd
}
