package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/internal/nodebench"
)

func benchNodeCommand() *cobra.Command {
	var (
		o      nodebench.Options
		scheme string
		child  string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Measure what a packet costs a whole node, ours and Katzenpost's",
		Long: `Measure what a packet costs a mix: ours, and a stock one of Katzenpost's, each a
process of its own. The same load generator sends both the same kind of packets,
over the same links on loopback, from three neighbours to three others, in turn:
packets of the key exchange x25519 with 2,000 bytes, and of Xwing with 30,000.
Each packet waits in the node for an exponential time: 200 ms on the mean, and
40 ms at full load.

A packet costs what processor time the node's process used, the system's share
included, divided by the packets that came out; 1,000,000 divided by it is the
packets per second of one processor. There are two loads: a rate per second that
both sustain, and as fast as the node takes packets. Packets that did not come
out are counted.

Our node is compared with its floor, the sum of what no node can do without,
measured in the same run: unwrapping a packet; the ciphers of the two links,
ChaCha20-Poly1305 of golang.org/x/crypto; and a process that reads and writes
the same bytes as the node does, and does nothing else. The bare process does
these three itself: where packets come one by one, that costs more than the sum,
because the processor sleeps between two of them and its caches go cold. "tags"
is a packet's share of writing and syncing the replay tags 20 times a second, and
"rest" what is left of ours above floor and tags: the mixer, the replay tags in
memory, the garbage collector, and at the low rate waking from sleep.

All take turns in every round, since a machine's speed drifts. A figure is the
median over the rounds, with the quarter of them below and above it in brackets;
a ratio is the median of the rounds' ratios. The default takes about five minutes
and 700 MB; let the machine do nothing else.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if child != "" {
				return nodebench.Child(cmd.Context(), child, cmd.InOrStdin())
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("finding this program to start it again: %w", err)
			}
			o.Program = []string{self, "bench", "node", "--child"}
			o.Sizes = slices.Clone(nodebench.Sizes)
			if scheme != "" {
				o.Sizes = slices.DeleteFunc(o.Sizes, func(s nodebench.Size) bool { return s.Scheme != scheme })
				if len(o.Sizes) == 0 {
					return fmt.Errorf("--scheme %q is none of %s, %s", scheme, nodebench.Sizes[0].Scheme, nodebench.Sizes[1].Scheme)
				}
			}
			progress := newProgress(o.Rounds * len(o.Sizes))
			o.Progress = progress.round
			r, err := nodebench.Run(cmd.Context(), o)
			progress.end()
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			printBenchNode(cmd.OutOrStdout(), r)
			return nil
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "measure packets of the key exchange of this `name` only")
	cmd.Flags().IntVar(&o.Rounds, "rounds", nodebench.DefaultRounds, "`number` of rounds")
	cmd.Flags().IntVar(&o.Packets, "packets", nodebench.DefaultPackets, "`number` of packets in each turn")
	cmd.Flags().IntVar(&o.Rate, "rate", nodebench.DefaultRate, "packets per second: a `number` that both nodes sustain")
	cmd.Flags().StringVar(&o.Profile, "profile", "", "`directory` for processor profiles of our node, for go tool pprof")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	// The processes that are measured are started so.
	cmd.Flags().StringVar(&child, "child", "", "")
	_ = cmd.Flags().MarkHidden("child")
	return cmd
}

func printBenchNode(out io.Writer, r *nodebench.Report) {
	fmt.Fprintf(out, `%s, %d processors, %s %s/%s
A mix, rounds: %d, of %d packets each. Times are in microseconds of processor time for a packet: the rounds' median (25th to 75th percentile).
`, cmp.Or(r.Machine.CPU, "unknown processor"), r.Machine.Processors, r.Machine.Go, r.Machine.OS, r.Machine.Arch, r.Rounds, r.Packets)
	lines := func(title, heads string, cells func(*nodebench.Result, *nodebench.Load) string) {
		fmt.Fprintf(out, "\n%s\n", title)
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "scheme\tpayload\tload\t"+heads)
		for i := range r.Results {
			e := &r.Results[i]
			for j := range e.Loads {
				l := &e.Loads[j]
				rate := "full"
				if l.Rate > 0 {
					rate = fmt.Sprintf("%d/s", l.Rate)
				}
				fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", e.Scheme, e.UserPayload, rate, cells(e, l))
			}
		}
		w.Flush()
	}
	lines("The node's process, for a packet", "ours\tKatzenpost's\tKatzenpost's/ours\tour packets lost\tKatzenpost's", func(_ *nodebench.Result, l *nodebench.Load) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", micros(l.Ours.CPU), micros(l.Katzenpost.CPU), ratio(l.Ratio), lost(&l.Ours), lost(&l.Katzenpost))
	})
	lines("Packets", "ours per CPU-second\tKatzenpost's\tours through, per second\tKatzenpost's", func(_ *nodebench.Result, l *nodebench.Load) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s", count(l.Ours.PerCPUSecond), count(l.Katzenpost.PerCPUSecond), count(l.Ours.PerSecond), count(l.Katzenpost.PerSecond))
	})
	lines("Our node and its floor", "unwrap\tlink ciphers\treads and writes\tfloor\tbare process\tours\tours/floor\tours/bare\ttags\trest", func(e *nodebench.Result, l *nodebench.Load) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", micros(e.Unwrap), micros(e.Link), micros(l.Relay.CPU), micros(l.Floor), micros(l.Bare.CPU),
			micros(l.Ours.CPU), ratio(l.OursToFloor), ratio(l.OursToBare), micros(l.Tags), micros(l.Rest))
	})
	fmt.Fprintln(out, "\nThe most memory of the process, MB")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scheme\tpayload\tours\tKatzenpost's")
	for _, e := range r.Results {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\n", e.Scheme, e.UserPayload, e.OurPeak/1e6, e.KatzenpostPeak/1e6)
	}
	w.Flush()
}

func lost(p *nodebench.Process) string {
	return fmt.Sprintf("%d of %d", p.Sent-p.Arrived, p.Sent)
}
