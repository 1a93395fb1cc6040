package main

import (
	"bytes"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/gateway"
)

// personaCommand has what is done to the identities that a gateway's user writes under.
func personaCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "persona",
		Short: "Add, list or remove the names that you write under",
		Long: `Add, list or remove the names that you write under.

Each persona has a login and a password for the mail program, and a name that its
recipients see. Nothing in a mail says that two of them are the same person; how and
about what you write may. All are yours: every password opens what the gateway keeps
for you. A gateway that runs takes a change up when it is started again.`,
	}
	cmd.AddCommand(personaListCommand(), personaAddCommand(), personaPasswordCommand(), personaRemoveCommand())
	return cmd
}

func personaListCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "list -c FILE",
		Short: "List the personas",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "login\tname")
			for _, p := range c.Personas {
				fmt.Fprintf(w, "%s\t%s\n", p.Login, p.Name)
			}
			return w.Flush()
		},
	}
	configFlag(cmd, &path)
	return cmd
}

// newPasswordFlags say where a persona's password comes from, and one that opens the key.
type newPasswordFlags struct{ current, new secretFlags }

func (f *newPasswordFlags) add(cmd *cobra.Command) {
	f.current.add(cmd, "password", "the password of any persona there is")
	f.new.add(cmd, "new-password", "the persona's new password")
}

// with calls do with both passwords, and wipes them.
func (f *newPasswordFlags) with(cmd *cobra.Command, do func(current, password []byte) error) error {
	current, err := f.current.read(cmd.Context(), false)
	if err != nil {
		return err
	}
	defer clear(current)
	password, err := f.new.read(cmd.Context(), true)
	if err != nil {
		return err
	}
	defer clear(password)
	if bytes.Equal(current, password) {
		return fmt.Errorf("the new password is the one given as the old: choose another, for each persona its own")
	}
	return do(current, password)
}

// startAgain is behind every change.
const startAgain = "A gateway that runs knows it when it has been started again."

func personaAddCommand() *cobra.Command {
	var path string
	var p gateway.Persona
	var passwords newPasswordFlags
	cmd := &cobra.Command{
		Use:   "add -c FILE LOGIN",
		Short: "Add a persona with a login and a password of its own",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			p.Login = args[0]
			if err := p.Check(); err != nil {
				return err
			}
			if c.HasPersona(p.Login) {
				return fmt.Errorf("there is a persona with the login %s already", p.Login)
			}
			err = passwords.with(cmd, func(current, password []byte) error {
				return gateway.AddPersona(c, path, p, current, password)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Added the persona %s. %s\n", p.Login, startAgain)
			return nil
		},
	}
	configFlag(cmd, &path)
	cmd.Flags().StringVar(&p.Name, "name", "", "the `name` that recipients see before the exit's address; none if left out")
	passwords.add(cmd)
	return cmd
}

func personaPasswordCommand() *cobra.Command {
	var path string
	var passwords newPasswordFlags
	cmd := &cobra.Command{
		Use:   "password -c FILE LOGIN",
		Short: "Give a persona a new password",
		Long: `Give a persona a new password.

Whoever has a copy of the key file from before can still open it with the old one.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			if !c.HasPersona(args[0]) {
				return fmt.Errorf("there is no persona with the login %s", args[0])
			}
			err = passwords.with(cmd, func(current, password []byte) error {
				return gateway.SetPassword(c, args[0], current, password)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The persona %s has a new password. %s\n", args[0], startAgain)
			return nil
		},
	}
	configFlag(cmd, &path)
	passwords.add(cmd)
	return cmd
}

func personaRemoveCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "remove -c FILE LOGIN",
		Short: "Remove a persona and its password",
		Long: `Remove a persona and its password. What it wrote is sent all the same.

Whoever has a copy of the key file from before can still open it with the password.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			if err := gateway.RemovePersona(c, path, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Removed the persona %s. %s\n", args[0], startAgain)
			return nil
		},
	}
	configFlag(cmd, &path)
	return cmd
}
