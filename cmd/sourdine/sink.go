package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
)

// sinkCommand is the receiving mail server of `sourdine demo`, which alone
// starts it: when its standard input ends, so does it.
func sinkCommand() *cobra.Command {
	var listen, dir, remove string
	cmd := &cobra.Command{
		Use:    "sink --listen IP:PORT --dir DIR",
		Short:  "Receive mail for a local test network",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("listening: %w", err)
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			orphaned := make(chan struct{})
			go func() {
				_, _ = io.Copy(io.Discard, os.Stdin) // until whoever started this is gone
				close(orphaned)
				cancel()
			}()
			err = sink.Serve(ctx, l, dir)
			select {
			case <-orphaned:
				if remove != "" {
					return removeSoon(remove)
				}
			default:
			}
			return err
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "`IP:port` to receive mail on")
	cmd.Flags().StringVar(&dir, "dir", "", "`directory` to keep the mails in")
	cmd.Flags().StringVar(&remove, "remove", "", "`directory` to remove when standard input ends")
	_ = cmd.MarkFlagRequired("listen")
	_ = cmd.MarkFlagRequired("dir")
	return cmd
}

// removePatience is how long the other processes of a network may take to end
// and to write no more.
const removePatience = 10 * time.Second

// removeSoon removes a directory in which processes may still be writing that
// end at this moment.
func removeSoon(dir string) error {
	deadline := time.Now().Add(removePatience)
	for quiet := 0; ; time.Sleep(100 * time.Millisecond) {
		err := os.RemoveAll(dir)
		if _, gone := os.Lstat(dir); err == nil && os.IsNotExist(gone) {
			if quiet++; quiet == 5 {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}
