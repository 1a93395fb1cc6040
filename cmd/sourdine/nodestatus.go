package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/mixnode"
)

func nodeStatusCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status -c FILE",
		Short: "Say whether this node is useful now, and if not, why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, _, err := loadNode(path)
			if err != nil {
				return err
			}
			st, err := mixnode.AskStatus(&f.Config)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(st)
			}
			printNodeStatus(cmd.OutOrStdout(), st)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printNodeStatus(out io.Writer, st *mixnode.Status) {
	switch {
	case st.Listed && st.ToNow > 0 && st.FromNow+st.Gateways > 0:
		fmt.Fprintln(out, "USEFUL: the network sends its packets through this node.")
	case st.Listed:
		fmt.Fprintln(out, "NOT YET: this node is in the network, and its neighbours are not connected.")
	default:
		fmt.Fprintln(out, "NOT USEFUL:")
	}
	if st.Waits != "" {
		fmt.Fprintln(out, "  -", st.Waits)
	}
	for _, t := range st.Troubles {
		fmt.Fprintln(out, "  -", t)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	consensus := "there is none for this epoch; the node goes on with its last one for two epochs"
	if st.Consensus {
		consensus = "there is one"
	}
	fmt.Fprintf(w, "\nnode\t%s, %s; runs since %s\n", st.Name, st.Role, st.Since.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(w, "address\t%s\n", cmp.Or(st.Address, "none yet: the router has not said it"))
	fmt.Fprintf(w, "consensus\tof epoch %d: %s\n", st.Epoch, consensus)
	fmt.Fprintf(w, "neighbours\t%d of %d that send to it are connected, and %d of %d that it sends to\n", st.FromNow, st.From, st.ToNow, st.To)
	if st.Role == directory.RoleEntry {
		fmt.Fprintf(w, "gateways\t%d connected; %d replies handed to them\n", st.Gateways, st.Replies)
	}
	if st.Role == directory.RoleExit {
		fmt.Fprintf(w, "post office\t%d requests given to it, %d answers sent\n", st.Requests, st.Answers)
	}
	fmt.Fprintf(w, "packets\t%d came, %d went on\n", st.Received, st.Forwarded)
	fmt.Fprintf(w, "line\t%s\n", lineText(&st.Line))
	fmt.Fprintf(w, "waiting\t%d packets, of %d that have room; %d only for a slow neighbour or line; %d came later, from nodes that send more than their share\n", st.Held, st.Capacity, st.Ready, st.Throttled)
	fmt.Fprintf(w, "loops\t%d sent, %d home; of the last %d, %d lost\n", st.Loops.Sent, st.Loops.Home, st.Loops.Recent, st.Loops.RecentLost)
	d := st.Dropped
	fmt.Fprintf(w, "dropped\t%d damaged, %d replayed, %d misrouted, %d for nobody, %d over a gateway's rate\n", d.Damaged, d.Replayed, d.Misrouted, d.Unroutable, d.Limited)
	fmt.Fprintf(w, "lost here\t%d for want of memory, %d for want of line, %d waited too long, %d with a connection, %d with the disk\n", d.Shed, d.Slow, d.Stale, d.Broken, d.Unsynced)
	w.Flush()
}

// lineText says what a node carried this month and may carry.
func lineText(l *mixnode.Line) string {
	text := fmt.Sprintf("%.1f GB this month", float64(l.MonthBytes)/1e9)
	if l.MonthGB > 0 {
		text += fmt.Sprintf(" of %d", l.MonthGB)
	}
	if l.PaceKbit > 0 {
		text += fmt.Sprintf("; at most %d kbit/s each way at present", l.PaceKbit)
	}
	return text
}
