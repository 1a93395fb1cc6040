package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/keyring"
)

func statusCommand() *cobra.Command {
	var path string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status -c FILE",
		Short: "Say whether you are protected now, and if not, why",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			st, err := gateway.Connect(c).Status()
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(st)
			}
			printStatus(cmd.OutOrStdout(), st)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func printStatus(out io.Writer, st *gateway.Status) {
	if st.Protected {
		fmt.Fprintln(out, "PROTECTED: packets leave in every slot and their replies come back.")
	} else {
		fmt.Fprintln(out, "NOT PROTECTED:")
		for _, r := range st.Reasons {
			fmt.Fprintln(out, "  -", r)
		}
	}
	for _, w := range st.Warnings {
		fmt.Fprintln(out, "  note:", w)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	connected := "not connected"
	if st.Connected {
		connected = "connected"
	}
	consensus := "none"
	if st.Epoch > 0 {
		consensus = fmt.Sprintf("of epoch %d: mixes %s, mean delay %s at each", st.Epoch, strings.Trim(strings.ReplaceAll(fmt.Sprint(st.Mixes), " ", " + "), "[]"), st.Delay)
	}
	fmt.Fprintf(w, "\nentry\t%s, %s\n", st.Entry, connected)
	fmt.Fprintf(w, "consensus\t%s\n", consensus)
	fmt.Fprintf(w, "packets\tone every %s; %d sent, %d of them cover; %d slots missed\n", st.Slot, st.PacketsSent, st.CoverSent, st.SlotsMissed)
	fmt.Fprintf(w, "replies\t%d came back; lost %d of the last %d\n", st.Answered, st.Lost, st.RecentOf)
	accept := "no"
	switch {
	case st.CanAccept:
		accept = "yes"
	case st.Answered == 0:
		accept = "no: the exit has not answered yet"
	}
	fmt.Fprintf(w, "takes mail\t%s\n", accept)
	m := st.Mails
	fmt.Fprintf(w, "mails\t%d here, %d at the exit, %d delivered, %d failed, %d expired, %d unknown\n", m.Waiting, m.Accepted, m.Delivered, m.Failed, m.Expired, m.Unknown)
	w.Flush()
}

func queueCommand() *cobra.Command {
	var path string
	var asJSON, details bool
	var password secretFlags
	cmd := &cobra.Command{
		Use:   "queue -c FILE",
		Short: "List your mails and how each fares",
		Long: `List your mails and how each fares.

Recipients, subjects and the reasons of failures are sealed to your key: with
--details you are asked for the password that opens it.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			list, err := gateway.Connect(c).Queue()
			if err != nil {
				return err
			}
			var key *keyring.Key
			if details || password.given() {
				if key, err = unlock(cmd.Context(), c, &password); err != nil {
					return err
				}
				defer key.Wipe()
			}
			for i := range list {
				if err := list[i].Unseal(key); err != nil {
					return err
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(list)
			}
			printQueue(cmd.OutOrStdout(), list)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON array")
	cmd.Flags().BoolVar(&details, "details", false, "show recipients, subjects and reasons")
	password.add(cmd, "password", "the password")
	return cmd
}

func unlock(ctx context.Context, c *gateway.Config, f *secretFlags) (*keyring.Key, error) {
	ring, err := c.Keyring()
	if err != nil {
		return nil, err
	}
	secret, err := f.read(ctx, false)
	if err != nil {
		return nil, err
	}
	defer clear(secret)
	return ring.Unlock(secret)
}

func printQueue(out io.Writer, list []gateway.Entry) {
	if len(list) == 0 {
		fmt.Fprintln(out, "no mails")
		return
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "mail\tstate\tpieces\trecipients\tsubject")
	for _, e := range list {
		n := e.Waiting + e.Delivered + e.Failed + e.Expired
		fmt.Fprintf(w, "%s\t%s\t%d of %d\t%d of %d\t%s\n", e.ID, e.State, e.Stored, e.Fragments, e.Delivered, n, e.Subject)
		for _, r := range e.Recipients {
			fmt.Fprintf(w, "\t%s\t\t\t%s\n", r.Outcome, strings.TrimSpace(r.Address+"  "+r.Reason))
		}
	}
	w.Flush()
}
