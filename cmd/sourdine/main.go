// Sourdine is a mix network for mail. This one program is the gateway beside a
// mail program, a node of the network, and a directory authority; `sourdine
// --help` lists its commands and docs/ explains them.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

func main() {
	protectMemory()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // who asks again to end means at once
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "sourdine:", err)
		stop()
		os.Exit(1)
	}
}

// protectMemory keeps this process's memory, keys and mails in it, out of core
// files and out of other processes' reach. Both calls can only fail where the
// system has neither.
func protectMemory() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

func command() *cobra.Command {
	var postOffice string
	var secretFD int
	root := &cobra.Command{
		Use:   "sourdine",
		Short: "Mail through a mix network",
		Long: `Sourdine sends mail through a mix network, so that nobody who watches the
networks can tell who wrote it, nor whether or when a person wrote at all.

Try it on this machine alone with: sourdine demo`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if postOffice != "" {
				return runPostOffice(cmd.Context(), postOffice, secretFD)
			}
			return cmd.Help()
		},
	}
	// An exit's node starts its post office so: see mixnode.Handler.
	root.Flags().StringVarP(&postOffice, "post-office", "p", "", "")
	root.Flags().IntVar(&secretFD, "secret-fd", -1, "")
	_ = root.Flags().MarkHidden("post-office")
	_ = root.Flags().MarkHidden("secret-fd")
	root.AddCommand(
		gatewayCommand(), statusCommand(), queueCommand(), scrubCommand(),
		nodeCommand(), authorityCommand(), networkCommand(),
		demoCommand(), benchCommand(), sinkCommand(),
	)
	return root
}

// logger writes to standard error, where systemd and people find it.
func logger() *slog.Logger { return slog.New(slog.NewTextHandler(os.Stderr, nil)) }

// configFlag gives a command the flag -c.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVarP(path, "config", "c", "", "configuration `file`")
	_ = cmd.MarkFlagRequired("config")
}
