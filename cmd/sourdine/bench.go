package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"codeberg.org/sourdine/sourdine/internal/bench"
	"codeberg.org/sourdine/sourdine/sphinx"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how fast this machine is at what nodes and gateways do",
	}
	cmd.AddCommand(benchSphinxCommand(), benchNodeCommand(), benchScrubCommand())
	return cmd
}

func benchSphinxCommand() *cobra.Command {
	var scheme string
	var rounds int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "sphinx",
		Short: "Measure making and opening packets, ours and Katzenpost's",
		Long: `Measure how fast this machine makes and opens packets, for each key exchange
and for user payloads of 2,000 and 30,000 bytes, on paths of five hops:

  unwrap        one hop takes off its layer
  wrap          a sender makes a packet
  open reply    a sender opens what came back with a reply block
  unwrap batch  64 packets, by one goroutine and by two

Katzenpost's own implementation does the same with the same keys and packets.

An unwrap is also compared with the sum of its primitives: the same hashes,
multiplications, decapsulations and ciphers, one after the other on bytes of the
same number, as crypto/... of Go's standard library, golang.org/x/crypto and
gitlab.com/yawning/aez.git do them, with keys that are ready. Where our own
cipher is faster than the library's, we can be below that sum. All that unwrap
begin with a copy of the packet, since unwrapping changes it; so does the sum.

All take turns of 5 ms in every round, since a machine's speed drifts. A time is
the median over the rounds, with the quarter of them below and above it in
brackets; a ratio is the median of the rounds' ratios. Allocations are how often
memory is taken from the heap each time. Everything but the batch is measured on
one processor. The default takes about a minute; let the machine
do nothing else.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			schemes := sphinx.Schemes()
			if scheme != "" {
				schemes = []string{scheme}
			}
			progress := newProgress(rounds)
			r, err := bench.Sphinx(cmd.Context(), bench.Options{Schemes: schemes, Rounds: rounds, Progress: progress.round})
			progress.end()
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			printBench(cmd.OutOrStdout(), r)
			return nil
		},
	}
	cmd.Flags().StringVar(&scheme, "scheme", "", "measure the key exchange of this `name` only: "+strings.Join(sphinx.Schemes(), ", "))
	cmd.Flags().IntVar(&rounds, "rounds", bench.DefaultRounds, "`number` of rounds")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// progress tells a person at a terminal how far a measurement is.
type progress struct {
	out    io.Writer // nil if nobody is there
	rounds int
	first  time.Time
}

func newProgress(rounds int) *progress {
	p := &progress{rounds: rounds}
	if term.IsTerminal(int(os.Stderr.Fd())) {
		p.out = os.Stderr
		fmt.Fprint(p.out, "preparing")
	}
	return p
}

// eraseLine goes to the line's beginning and empties it (ECMA-48, Section 8.3.41).
const eraseLine = "\r\x1b[K"

func (p *progress) round(n int) {
	if p.out == nil {
		return
	}
	fmt.Fprintf(p.out, "%sround %d of %d", eraseLine, n, p.rounds)
	if n == 1 {
		p.first = time.Now()
		return
	}
	left := time.Since(p.first) / time.Duration(n-1) * time.Duration(p.rounds-n+1)
	fmt.Fprintf(p.out, ", about %v left", left.Round(time.Second))
}

func (p *progress) end() {
	if p.out != nil {
		fmt.Fprint(p.out, eraseLine)
	}
}

func printBench(out io.Writer, r *bench.Report) {
	fmt.Fprintf(out, `%s, %d processors, %s %s/%s
Sphinx, paths of %d hops, rounds: %d. Times are in microseconds: the rounds' median (25th to 75th percentile).

`, cmp.Or(r.Machine.CPU, "unknown processor"), r.Machine.Processors, r.Machine.Go, r.Machine.OS, r.Machine.Arch, r.Hops, r.Rounds)

	const (
		compared  = "ours\tKatzenpost's\tKatzenpost's/ours"
		allocated = "our allocations\tKatzenpost's"
	)
	table(out, "Unwrap, one hop", "scheme\tpayload\tpacket\t"+compared+"\tsum of primitives\tours/sum\t"+allocated, r, func(e *bench.Result) string {
		return fmt.Sprintf("%d\t%s\t%s\t%s\t%s", e.Packet, comparison(e.Unwrap), micros(e.Primitives.Sum), ratio(e.Primitives.Ratio), allocations(e.Unwrap))
	})
	heads := "scheme\tpayload\t" + compared + "\t" + allocated
	table(out, fmt.Sprintf("Wrap, %d hops", r.Hops), heads, r, func(e *bench.Result) string {
		return comparison(e.Wrap) + "\t" + allocations(e.Wrap)
	})
	table(out, fmt.Sprintf("Open a reply, %d hops", r.Hops), heads, r, func(e *bench.Result) string {
		return comparison(e.OpenReply) + "\t" + allocations(e.OpenReply)
	})
	table(out, fmt.Sprintf("Unwrap a batch of %d, packets per second", r.Batch), "scheme\tpayload\tone worker\ttwo workers\ttwo/one", r, func(e *bench.Result) string {
		return fmt.Sprintf("%s\t%s\t%s", count(e.Batch.One), count(e.Batch.Two), ratio(e.Batch.Ratio))
	})

	fmt.Fprintln(out, "The primitives of an unwrap, each alone")
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "scheme\tpayload\tprimitive\tbytes\ttime")
	for i := range r.Results {
		e := &r.Results[i]
		for _, p := range e.Primitives.List {
			fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\n", e.Scheme, e.UserPayload, p.Name, p.Bytes, micros(p.Time))
		}
	}
	w.Flush()
}

// table prints a line for each result.
func table(out io.Writer, title, heads string, r *bench.Report, cells func(*bench.Result) string) {
	fmt.Fprintln(out, title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, heads)
	for i := range r.Results {
		e := &r.Results[i]
		fmt.Fprintf(w, "%s\t%d\t%s\n", e.Scheme, e.UserPayload, cells(e))
	}
	w.Flush()
	fmt.Fprintln(out)
}

func comparison(c bench.Comparison) string {
	return micros(c.Ours) + "\t" + micros(c.Katzenpost) + "\t" + ratio(c.Ratio)
}

func allocations(c bench.Comparison) string {
	return fmt.Sprintf("%d\t%d", c.OurAllocations, c.KatzenpostAllocations)
}

func micros(s bench.Spread) string {
	digits := 1
	if s.Median < 10 {
		digits = 2
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", digits, s.Median, digits, s.P25, digits, s.P75)
}

func ratio(s bench.Spread) string { return fmt.Sprintf("%.2f (%.2f-%.2f)", s.Median, s.P25, s.P75) }

func count(s bench.Spread) string { return fmt.Sprintf("%.0f (%.0f-%.0f)", s.Median, s.P25, s.P75) }
