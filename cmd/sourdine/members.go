package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/directory/authority"
	"codeberg.org/sourdine/sourdine/internal/config"
)

func authorityAdmitCommand() *cobra.Command {
	var path, end string
	cmd := &cobra.Command{
		Use:   "admit -c FILE MEMBER...",
		Short: "Let nodes into the network, by their public files",
		Long: `Let nodes into the network, by their public files.

A running authority takes the change up by itself, late in the epoch when no vote
goes on, and the command says when. The nodes are in the consensus when more than
half of the authorities have admitted them.

With --until they leave by themselves, at the end of the epoch in which that moment
lies. Admit a node again to change the end or, without --until, to lift it.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := authority.Load(path)
			if err != nil {
				return err
			}
			until, err := parseUntil(end, time.Now())
			if err != nil {
				return err
			}
			for _, name := range args {
				b, err := config.Read(name)
				if err != nil {
					return err
				}
				a, err := c.Admit(b, until)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				note := ""
				if a.Layer > 0 {
					note = fmt.Sprintf(", layer %d", a.Layer)
				}
				if !until.IsZero() {
					note += ", until " + moment(until)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "admitted %s %s%s, run by %s, key %x\n", a.Role, a.Name, note, a.Operator, a.ID())
			}
			return printEffect(cmd.OutOrStdout(), c, "more than half of the authorities do", "lists them")
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&end, "until", "", "`when` they leave by themselves: a date as 2030-12-31 (00:00 UTC), a moment as 2030-12-31T18:00:00Z, or a time from now as 90d or 12h")
	return cmd
}

func authorityRemoveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "remove -c FILE NAME...",
		Short: "Let nodes go from the network",
		Long: `Let nodes go from the network.

A running authority takes the change up by itself, late in the epoch when no vote
goes on, and the command says when. The nodes leave the consensus when so many
authorities have removed them that no majority is left for them.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := authority.Load(path)
			if err != nil {
				return err
			}
			for _, name := range args {
				a, err := c.Remove(name)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "removed %s %s, run by %s, key %x\n", a.Role, a.Name, a.Operator, a.ID())
			}
			return printEffect(cmd.OutOrStdout(), c, "so many authorities do that no majority is left for them", "is without them")
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func authorityListCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List the admitted nodes, and whether this authority votes for them now",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, n, err := loadAuthority(path)
			if err != nil {
				return err
			}
			l, err := c.List(n)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(l)
			}
			printListing(cmd.OutOrStdout(), l)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// printEffect says when a change that was just made takes effect: when this authority
// takes it up, who else must by when, and what the consensus does then.
func printEffect(out io.Writer, c *authority.Config, others, then string) error {
	e, err := c.Effect()
	if err != nil {
		return fmt.Errorf("the change is made, but the running authority cannot be asked when it takes it up: %w", err)
	}
	if e == nil {
		fmt.Fprintln(out, "The authority is not running, and counts with the change from its start.")
		return nil
	}
	fmt.Fprintf(out, "This authority takes the change up by itself at %s.\n", moment(e.Turn))
	fmt.Fprintf(out, "If %s by %s, the consensus of epoch %d %s, which begins at %s; otherwise a later one.\n",
		others, moment(e.Vote), e.Epoch, then, moment(e.Begins))
	return nil
}

func printListing(out io.Writer, l *authority.Listing) {
	if !l.Running {
		fmt.Fprintln(out, "The authority is not running: nobody is in force.")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "node\trole\toperator\tsince\tuntil\tin force\tkey")
	for _, s := range l.Members {
		role := string(s.Role)
		if s.Layer > 0 {
			role = fmt.Sprintf("%s, layer %d", s.Role, s.Layer)
		}
		inForce := []string{"no"}
		if s.InForce {
			inForce[0] = "yes"
		}
		if s.Joins != nil {
			inForce = append(inForce, fmt.Sprintf("from epoch %d, %s", s.Joins.Epoch, moment(s.Joins.Begins)))
		}
		if s.Leaves != nil {
			inForce = append(inForce, fmt.Sprintf("not from epoch %d on, %s", s.Leaves.Epoch, moment(s.Leaves.Begins)))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, role, s.Operator, moment(s.Since), moment(s.Until), strings.Join(inForce, "; "), s.Key)
	}
	w.Flush()
}

// moment writes a time as people read it, in UTC.
func moment(t time.Time) string {
	switch t = t.UTC().Truncate(time.Second); {
	case t.IsZero():
		return "-"
	case t.Second() != 0:
		return t.Format("2006-01-02 15:04:05 UTC")
	}
	return t.Format("2006-01-02 15:04 UTC")
}

// parseUntil reads a date, a moment, or a time from now; "" is the zero time.
func parseUntil(s string, now time.Time) (until time.Time, err error) {
	if s == "" {
		return time.Time{}, nil
	}
	days, isDays := strings.CutSuffix(s, "d")
	if until, err = time.Parse(time.DateOnly, s); err != nil {
		until, err = time.Parse(time.RFC3339, s)
	}
	if count, failed := strconv.ParseUint(days, 10, 16); err != nil && isDays && failed == nil {
		until, err = now.AddDate(0, 0, int(count)), nil
	}
	if d, failed := time.ParseDuration(s); err != nil && failed == nil {
		until, err = now.Add(d), nil
	}
	if err != nil {
		return until, fmt.Errorf("--until: %q is none of a date as 2030-12-31, a moment as 2030-12-31T18:00:00Z, and a time from now as 90d or 12h", s)
	}
	if !until.After(now) {
		return until, errors.New("--until: that is in the past")
	}
	return until.UTC().Truncate(time.Second), nil
}
