package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/mixnode"
)

func nodeCheckCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Look at all that this node needs, and say what to do",
		Long: `Look at all that this node needs from its machine, its line and the network:
clock, authorities, port, address or router, disk, entropy, files, memory, of an exit
whether its post office can be confined; and, if it runs, what it says of itself. It
changes nothing. It fails if something is wrong that keeps the node from being of use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, n, err := loadNode(path)
			if err != nil {
				return err
			}
			list, err := mixnode.Check(cmd.Context(), &f.Config, n)
			if err != nil {
				return err
			}
			if f.Exit != nil {
				list = append(list, checkConfinement())
			}
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			} else {
				printFindings(cmd.OutOrStdout(), list)
			}
			for _, f := range list {
				if f.Grade == mixnode.Bad {
					return errors.Join(err, errors.New("what is marked as wrong keeps this node from being of use"))
				}
			}
			return err
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	return cmd
}

func printFindings(out io.Writer, list []mixnode.Finding) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer w.Flush()
	for _, f := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.Grade, f.About, f.Says)
		if f.Do != "" {
			fmt.Fprintf(w, "\t\t→ %s\n", f.Do)
		}
	}
}
