package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub"
)

func scrubCommand() *cobra.Command {
	var (
		to, from, name, outPath string
		payload                 int
		asJSON                  bool
	)
	cmd := &cobra.Command{
		Use:   "scrub FILE",
		Short: "Show what would leave of a mail, and what would be removed",
		Long: `Show what a gateway would make of a mail, without sending it: what was written and
what would leave of it, what is removed or changed, and why.

FILE is a mail as a mail program saves it (.eml); "-" reads standard input. With
--out, the mail is written as its recipient gets it; its Message-ID is zeros and its
date today's, for both are drawn when a mail is sent.

It is measured for one recipient; each more takes some bytes of the room for attachments.

The exit status is 1 if the mail would be refused; the reason is what a mail program
would show.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			written, err := readWritten(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			p := mail.Parcel{Date: uint32(time.Now().Unix() / 86400)}
			recipient, err := mail.ParseAddress(to)
			if err != nil {
				return fmt.Errorf("--to: %w", err)
			}
			sender, err := mail.ParseAddress(from)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			if p.From, err = mail.ParseName(name); err != nil {
				return fmt.Errorf("--name: %w", err)
			}
			p.Recipients = []mail.Address{recipient}
			result, err := scrub.Scrub(written, scrub.Options{Room: p.Room(payload)})
			if refusal, ok := errors.AsType[*mail.Refusal](err); ok && asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"refused": refusal.Reason}); err != nil {
					return err
				}
			}
			if err != nil {
				return err
			}
			p.Message = result.Message
			if outPath != "" {
				if err := writeOut(cmd.OutOrStdout(), outPath, p.Render(sender, 0)); err != nil {
					return err
				}
				if outPath == "-" {
					return nil
				}
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(scrubbed(result))
			}
			printScrubbed(cmd.OutOrStdout(), result, len(written))
			return nil
		},
	}
	cmd.Flags().StringVar(&outPath, "out", "", "write the mail that would leave to this `file`; - is standard output, alone")
	cmd.Flags().StringVar(&to, "to", "recipient@example.org", "the recipient's `address`, for --out")
	cmd.Flags().StringVar(&from, "from", "mail@example.org", "the exit's `address`, for --out")
	cmd.Flags().StringVar(&name, "name", "", "the persona's `name`, for --out")
	cmd.Flags().IntVar(&payload, "payload", 30000, "`bytes` of a packet's payload in the network, which bound a mail's size")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// readWritten reads a mail from a file or standard input, a little more than may be.
func readWritten(in io.Reader, path string) ([]byte, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	written, err := io.ReadAll(io.LimitReader(in, scrub.MaxSubmission+1))
	if err != nil {
		return nil, fmt.Errorf("reading the mail: %w", err)
	}
	return written, nil
}

func writeOut(out io.Writer, path string, rendered []byte) error {
	if path == "-" {
		_, err := out.Write(rendered)
		return err
	}
	return config.WriteFile(path, rendered, 0o600)
}

// scrubbedJSON is what --json prints.
type scrubbedJSON struct {
	Subject     string           `json:"subject"`
	Text        string           `json:"text"`
	Attachments []attachmentJSON `json:"attachments"`
	Disclose    bool             `json:"recipients_disclosed"`
	Written     []scrub.Part     `json:"written"`
	Removed     []scrub.Note     `json:"removed"`
	Warnings    []scrub.Note     `json:"warnings"`
}

type attachmentJSON struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Bytes int    `json:"bytes"`
}

func scrubbed(r *scrub.Result) scrubbedJSON {
	s := scrubbedJSON{
		Subject: r.Message.Subject, Text: r.Message.Body, Disclose: r.Disclose, Attachments: []attachmentJSON{},
		Written: r.Parts, Removed: r.Removed, Warnings: r.Warnings,
	}
	for i, a := range r.Message.Attachments {
		s.Attachments = append(s.Attachments, attachmentJSON{a.Type.FileName(i + 1), a.Type.Media(), len(a.Data)})
	}
	return s
}

// printScrubbed says in words what would leave and what was removed.
func printScrubbed(out io.Writer, r *scrub.Result, written int) {
	left := r.Message.Size()
	fmt.Fprintf(out, "Written: %s. Leaves: %s, in packets that all have one size.\n\n", bytesText(written), bytesText(left))
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "written\t\tleaves\t")
	attached := 0
	for _, p := range r.Parts {
		name := "text"
		if p.Kind != "text" {
			name = r.Message.Attachments[attached].Type.FileName(attached + 1)
			attached++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Kind, bytesText(p.Written), name, bytesText(p.Leaves))
	}
	w.Flush()
	printNotes(out, "Removed or changed", r.Removed)
	printNotes(out, "Left, and to be known", r.Warnings)
	fmt.Fprintf(out, "\nSubject: %s\n", r.Message.Subject)
	if r.Message.Body != "" {
		fmt.Fprintf(out, "\n%s", indent(r.Message.Body))
	}
}

func printNotes(out io.Writer, title string, notes []scrub.Note) {
	if len(notes) == 0 {
		return
	}
	fmt.Fprintf(out, "\n%s:\n", title)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, n := range notes {
		fmt.Fprintf(w, "  %s\t%s\t%s\n", n.Part, n.What, n.Why)
	}
	w.Flush()
}

// indent sets a text apart from what is said about it.
func indent(text string) string {
	return "  " + strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\n  "), "  ")
}

func bytesText(n int) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%.1f MB", float64(n)/1e6)
}
