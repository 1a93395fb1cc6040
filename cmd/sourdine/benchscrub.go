package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/internal/bench"
)

func benchScrubCommand() *cobra.Command {
	var rounds int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "scrub",
		Short: "Measure scrubbing mails of each kind",
		Long: `Measure how fast this machine scrubs a mail as a gateway does when it is submitted,
one of each kind: 200 kB of text, the same in HTML, a photograph of 12 megapixels and
about 5 MB, a screenshot, and a PDF of twenty pages. The mails are made by the program
and the same everywhere.

MB/s is of the mail as it is submitted, attachments in base64. Memory is what a process of its own takes
at most that scrubs that mail alone, the program itself included. The last column
compares the photograph with decoding it and encoding its pixels, all of them, with the
same library, which wipes out nothing of the camera.

All take turns in every round, since a machine's speed drifts. A figure is the
median over the rounds, with the quarter of them below and above it in brackets. The
default takes less than a minute; let the machine do nothing else.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			progress := newProgress(rounds)
			r, err := bench.Scrub(cmd.Context(), bench.ScrubOptions{Rounds: rounds, Progress: progress.round, Memory: scrubMemory})
			progress.end()
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(r)
			}
			printScrubBench(cmd.OutOrStdout(), r)
			return nil
		},
	}
	cmd.AddCommand(scrubAloneCommand())
	cmd.Flags().IntVar(&rounds, "rounds", bench.DefaultScrubRounds, "`number` of rounds")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// scrubMemory is how many bytes a process has at most that scrubs a mail.
func scrubMemory(ctx context.Context, written []byte) (int, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	scrub := exec.CommandContext(ctx, program, "bench", "scrub", scrubAlone)
	scrub.Stdin, scrub.Stderr = bytes.NewReader(written), os.Stderr
	out, err := scrub.Output()
	if err != nil {
		return 0, fmt.Errorf("scrubbing in a process of its own: %w", err)
	}
	return strconv.Atoi(string(out))
}

// scrubAlone is the hidden command of the process that scrubMemory starts: what the
// kernel tells of a child's memory includes its parent's (wait4(2) after vfork(2)).
const scrubAlone = "alone"

func scrubAloneCommand() *cobra.Command {
	return &cobra.Command{
		Use:    scrubAlone,
		Short:  "Scrub the mail on standard input, and print how many bytes of memory that took",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			written, err := readWritten(cmd.InOrStdin(), "-")
			if err != nil {
				return err
			}
			if _, err := bench.ScrubOne(written); err != nil {
				return err
			}
			status, err := os.ReadFile("/proc/self/status") // proc(5)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(status)) {
				var kB int
				if _, err := fmt.Sscanf(line, "VmHWM: %d kB", &kB); err == nil {
					fmt.Fprint(cmd.OutOrStdout(), kB<<10)
					return nil
				}
			}
			return errors.New("the system does not tell how much memory a process took")
		},
	}
}

func printScrubBench(out io.Writer, r *bench.ScrubReport) {
	fmt.Fprintf(out, "%s, %d processors, %s %s/%s\nRounds: %d. Figures are the rounds' median (25th to 75th percentile).\n\n",
		cmp.Or(r.Machine.CPU, "unknown processor"), r.Machine.Processors, r.Machine.Go, r.Machine.OS, r.Machine.Arch, r.Rounds)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "mail\twritten\tleaves\tms\tMB/s\tmemory\tto decoding and encoding")
	for _, e := range r.Results {
		recode := ""
		if e.Recode != nil {
			recode = ratio(*e.Recode)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Kind, bytesText(e.Written), bytesText(e.Leaves), micros(e.Time), ratio(e.Rate), bytesText(e.Memory), recode)
	}
	w.Flush()
}
