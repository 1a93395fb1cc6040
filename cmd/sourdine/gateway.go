package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/mail"
)

func gatewayCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "gateway -c FILE",
		Short: "Run the gateway between your mail program and the network",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := gateway.Load(path)
			if err != nil {
				return err
			}
			n, err := c.LoadNetwork()
			if err != nil {
				return err
			}
			if err := katzenpost.SetEpoch(n.Parameters.Epoch); err != nil {
				return err
			}
			return gateway.Run(cmd.Context(), c, n, logger())
		},
	}
	configFlag(cmd, &path)
	cmd.AddCommand(gatewayInitCommand(), personaCommand())
	return cmd
}

// secretFlags say where a password or passphrase comes from; without them it is asked
// for.
type secretFlags struct {
	name string // of the secret
	file string
	fd   int
}

// add gives a command the flags --NAME-file and --NAME-fd; what is what it is.
func (f *secretFlags) add(cmd *cobra.Command, name, what string) {
	f.name = name
	cmd.Flags().StringVar(&f.file, name+"-file", "", "read "+what+" from the first line of this `file`")
	cmd.Flags().IntVar(&f.fd, name+"-fd", -1, "read "+what+" from the first line of this file `descriptor`")
	cmd.MarkFlagsMutuallyExclusive(name+"-file", name+"-fd")
}

func (f *secretFlags) given() bool { return f.file != "" || f.fd >= 0 }

// maxPassword bounds a password, in bytes.
const maxPassword = 1024

// read returns the password, asking for it at the terminal if need be, twice if
// it is a new one. The caller wipes it.
func (f *secretFlags) read(ctx context.Context, isNew bool) ([]byte, error) {
	var in io.Reader
	switch {
	case f.file != "":
		file, err := os.Open(f.file)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	case f.fd >= 0:
		file := os.NewFile(uintptr(f.fd), "password")
		if file == nil {
			return nil, fmt.Errorf("file descriptor %d is not open", f.fd)
		}
		defer file.Close()
		in = file
	default:
		return f.ask(ctx, isNew)
	}
	b, err := io.ReadAll(io.LimitReader(in, maxPassword+1))
	if err != nil {
		return nil, fmt.Errorf("reading the password: %w", err)
	}
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		b = b[:i]
	}
	return checkPassword(b)
}

func checkPassword(b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("the password is empty")
	}
	if len(b) > maxPassword {
		return nil, fmt.Errorf("the password is longer than %d bytes", maxPassword)
	}
	return b, nil
}

// ask asks for the secret at the terminal; for a new one twice, and again if the two
// differ.
func (f *secretFlags) ask(ctx context.Context, isNew bool) ([]byte, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, fmt.Errorf("there is no terminal to ask for the %s: use --%s-file or --%s-fd", strings.ReplaceAll(f.name, "-", " "), f.name, f.name)
	}
	ask := func(prompt string) ([]byte, error) {
		terminal := int(os.Stdin.Fd())
		before, err := term.GetState(terminal)
		if err != nil {
			return nil, err
		}
		fmt.Fprint(os.Stderr, prompt)
		defer fmt.Fprintln(os.Stderr)
		type answer struct {
			password []byte
			err      error
		}
		answered := make(chan answer, 1)
		go func() {
			b, err := term.ReadPassword(terminal)
			answered <- answer{b, err}
		}()
		select {
		case a := <-answered:
			return a.password, a.err
		case <-ctx.Done(): // Ctrl-C: the read goes on until the process ends
			_ = term.Restore(terminal, before)
			return nil, errors.New("interrupted")
		}
	}
	name := strings.ReplaceAll(f.name, "-", " ")
	if !isNew {
		secret, err := ask("The " + name + ": ")
		if err != nil {
			return nil, err
		}
		return checkPassword(secret)
	}
	for range tries {
		first, err := ask("Choose the " + name + ": ")
		if err != nil {
			return nil, err
		}
		again, err := ask("The same again: ")
		same := bytes.Equal(first, again)
		clear(again)
		if err == nil && same {
			if first, err = checkPassword(first); err == nil {
				return first, nil
			}
			fmt.Fprintf(os.Stderr, "Not so: %v.\n", err)
			continue
		}
		clear(first)
		if err != nil {
			return nil, err
		}
		fmt.Fprintln(os.Stderr, "Not so: the two differ.")
	}
	return nil, fmt.Errorf("no %s was chosen: begin again", name)
}

func gatewayInitCommand() *cobra.Command {
	var (
		network  string
		password secretFlags
		c        = gateway.DefaultConfig(gateway.Persona{})
		first    = &c.Personas[0]
	)
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Make a gateway's directory, key and first persona",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if first.Login == "" {
				if err := askPersona(cmd.Context(), first); err != nil {
					return err
				}
			}
			secret, err := password.read(cmd.Context(), true)
			if err != nil {
				return err
			}
			defer clear(secret)
			self, err := os.Executable()
			if err != nil {
				return err
			}
			made, err := gateway.Init(args[0], network, c, secret, self)
			if err != nil {
				return err
			}
			printSettings(cmd.OutOrStdout(), made)
			return nil
		},
	}
	cmd.Flags().StringVar(&network, "network", "", "the network's signed `file`")
	cmd.Flags().StringVar(&first.Login, "login", "", "what your mail program logs in with, one `word`")
	cmd.Flags().StringVar(&first.Name, "name", "", "the `name` that recipients see before the exit's address; none if left out")
	cmd.Flags().StringVar(&c.Listen, "listen", c.Listen, "`IP:port` for SMTP with STARTTLS")
	cmd.Flags().StringVar(&c.ListenTLS, "listen-tls", c.ListenTLS, "`IP:port` for SMTP over TLS")
	cmd.Flags().StringVar(&c.Socket, "socket", "", "`path` of a unix socket for SMTP, besides")
	password.add(cmd, "password", "the password")
	_ = cmd.MarkFlagRequired("network")
	return cmd
}

// askPersona asks at the terminal what the first persona is called.
func askPersona(ctx context.Context, p *gateway.Persona) error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("--login WORD: what your mail program logs in with; it was not given, and there is no terminal to ask at")
	}
	q := &questions{ctx: ctx, in: bufio.NewScanner(os.Stdin), out: os.Stderr, command: "sourdine gateway init"}
	err := q.ask("What does your mail program log in with? (one word)",
		"It stays on this machine. Each persona that you add later has another.",
		"me", func(answer string) error {
			p.Login = answer
			return p.Check()
		})
	if err != nil {
		return err
	}
	return q.ask("Which name do your recipients see? (nothing for none)",
		"It stands before the exit's address in every mail, and ties all mails under it together.",
		"", func(answer string) (err error) {
			p.Name, err = mail.ParseName(answer)
			return err
		})
}

func printSettings(out io.Writer, m *gateway.Created) {
	c := m.Config
	var doors []string
	if c.ListenTLS != "" {
		doors = append(doors, "server       "+gateway.Host(c.ListenTLS)+", port "+gateway.Port(c.ListenTLS)+" with SSL/TLS")
	}
	if c.Listen != "" {
		doors = append(doors, "server       "+gateway.Host(c.Listen)+", port "+gateway.Port(c.Listen)+" with STARTTLS")
	}
	if c.Socket != "" {
		doors = append(doors, "unix socket  "+c.Socket+", without TLS")
	}
	fmt.Fprintf(out, `Made a gateway to the network %s in %s.
Compare this with what the network's people publish:
  fingerprint  %s

Settings for your mail program (outgoing mail, SMTP):
  %s
  user name    %s
  password     the one you chose
  certificate  %s
               SHA-256 %s

Start it now, and leave it on: what protects you is that it always sends.
  sourdine gateway -c %s
Or let systemd keep it running, from the start of the machine:
  loginctl enable-linger
  systemctl --user enable --now %s
Then look with: sourdine status -c %s
`, m.Network.Name, c.Dir(), m.Network.Fingerprint(), strings.Join(doors, "\n  or "), c.Personas[0].Login,
		m.Certificate, m.Fingerprint, m.Path, m.Unit, m.Path)
}
