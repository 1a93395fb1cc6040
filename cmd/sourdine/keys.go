package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// passphraseFlags are how a command that opens a member's keys is told where their
// passphrase comes from; without them it is asked for.
type passphraseFlags struct {
	secretFlags
}

func (f *passphraseFlags) add(cmd *cobra.Command) {
	f.secretFlags.add(cmd, "passphrase", "the keys' passphrase")
}

// source returns the passphrase when it is needed, which it is for no other method.
func (f *secretFlags) source(ctx context.Context) seal.Source {
	switch {
	case f.file != "":
		return seal.FromFile(f.file)
	case f.fd >= 0:
		return seal.FromDescriptor(f.fd)
	}
	return func(isNew bool) ([]byte, error) { return f.ask(ctx, isNew) }
}

// open opens a member's sealed keys, and ends a change of how they are sealed that
// was interrupted.
func (f *passphraseFlags) open(ctx context.Context, m *member) (*seal.Sealer, error) {
	var source seal.Source
	if seal.Method(m.method) == seal.Passphrase {
		source = f.source(ctx)
	}
	s, err := seal.Open(seal.Method(m.method), m.state, source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.config, err)
	}
	list, err := m.files()
	if err == nil {
		err = errors.Join(s.Finish(list), m.keepOwner())
	}
	if err != nil {
		s.Wipe()
		return nil, err
	}
	return s, nil
}

// methodFlag is --keys of the commands that seal keys: there is no default.
type methodFlag struct {
	text string
}

func (f *methodFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.text, "keys", "", "how the keys are sealed on the disk: the `method` systemd, passphrase or plain")
}

func (f *methodFlag) method() (seal.Method, error) {
	if f.text == "" {
		return "", errors.New(`--keys METHOD says how the keys are sealed on the disk:
  systemd     A credential of the unit opens them, which systemd keeps sealed to this machine.
              The member comes back alone after a power cut; the disk alone opens nothing.
  passphrase  A passphrase opens them, from the terminal, --passphrase-file or --passphrase-fd.
              The disk alone opens nothing, and somebody must be there at each start.
  plain       Nothing is sealed, and the member comes back alone.
              Whoever reads the disk, or a copy of it, can be this member`)
	}
	m, err := seal.ParseMethod(f.text)
	if err != nil {
		return "", fmt.Errorf("--keys: %w", err)
	}
	return m, nil
}

// credentialFile is the credential's name in a member's directory.
const credentialFile = seal.CredentialName + ".cred"

// credentialLine is how a unit gives a member in dir its credential: the one that is
// there, or the one that its machine has for all.
func credentialLine(dir string) string {
	path := filepath.Join(dir, credentialFile)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join("/etc/credstore.encrypted", seal.CredentialName)
	}
	return "LoadCredentialEncrypted=" + seal.CredentialName + ":" + path
}

// newSecret returns the secret by which keys in dir are to be sealed, for the caller to
// wipe; nil if seal finds it by itself. For systemd that is the credential that this
// process was given, else a new one, which it leaves in dir for the unit; how is what
// the operator then has to do.
func newSecret(ctx context.Context, method seal.Method, dir string, passphrase *passphraseFlags) (secret []byte, how string, err error) {
	switch {
	case method == seal.Passphrase:
		// Asked for here, before anything is made.
		secret, err = passphrase.source(ctx)(true)
		return secret, "", err
	case method == seal.Plain || os.Getenv("CREDENTIALS_DIRECTORY") != "":
		return nil, "", nil
	}
	program, err := exec.LookPath("systemd-creds")
	if err != nil {
		return nil, "", nil // and seal says what to do
	}
	path, err := filepath.Abs(filepath.Join(dir, credentialFile))
	if err != nil {
		return nil, "", err
	}
	if _, err := os.Lstat(path); err == nil {
		return nil, "", fmt.Errorf("%s is there already: give it to this process with systemd-run -p LoadCredentialEncrypted=%s:%s, or move it away if no keys need it", path, seal.CredentialName, path)
	}
	secret = make([]byte, 32)
	rand.Read(secret)
	cmd := exec.CommandContext(ctx, program, "encrypt", "--name="+seal.CredentialName, "-", "-")
	cmd.Stdin = bytes.NewReader(secret)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	sealed, err := cmd.Output()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o700)
	}
	if err == nil {
		err = config.WriteFile(path, sealed, 0o600)
	}
	if err != nil {
		clear(secret)
		return nil, "", fmt.Errorf("making a credential with systemd-creds: %w: %s; run this as root, or choose another --keys", err, bytes.TrimSpace(complaint.Bytes()))
	}
	how = fmt.Sprintf("The keys open by this credential, in the unit's section [Service]:\n  %s\n", credentialLine(filepath.Dir(path)))
	return secret, how, nil
}

// from is the source of a secret that newSecret returned.
func from(secret []byte) seal.Source {
	if secret == nil {
		return nil
	}
	return func(bool) ([]byte, error) { return bytes.Clone(secret), nil } // whoever asks wipes it
}

// createSealer makes a member's state directory in dir and sets its keys up to be
// sealed; how is as in newSecret.
func createSealer(ctx context.Context, method seal.Method, dir, state string, passphrase *passphraseFlags) (_ *seal.Sealer, how string, err error) {
	secret, how, err := newSecret(ctx, method, dir, passphrase)
	if err != nil {
		return nil, "", err
	}
	defer clear(secret)
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, "", err
	}
	s, err := seal.Create(method, state, from(secret))
	return s, how, err
}

// member is what a command that works on a member's keys knows of it.
type member struct {
	config string // its file
	method string // keys = "…" in it
	state  string
	files  func() ([]seal.File, error)
}

// keepOwner gives what root has written to whom the member's state belongs.
func (m *member) keepOwner() error {
	o, err := ownerOf(m.state)
	if err != nil {
		return err
	}
	return o.take(m.state, m.config, filepath.Join(filepath.Dir(m.config), credentialFile))
}

// keysCommand has what is done to the keys of a member, which load reads the
// configuration of.
func keysCommand(load func(path string) (*member, error)) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Change how the keys are sealed",
	}
	var (
		path     string
		to       methodFlag
		old, new passphraseFlags
	)
	reseal := &cobra.Command{
		Use:   "reseal -c FILE --keys METHOD",
		Short: "Seal the keys in another way, or by a new passphrase",
		Long: `Seal the keys in another way, or by a new passphrase.

The member must not run. If this is interrupted, no key is lost: run it again, or
start the member, when the configuration's keys = "…" says what the error tells.
Who seals keys because somebody may have read them needs new keys, not this.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (failed error) {
			method, err := to.method()
			if err != nil {
				return err
			}
			m, err := load(path)
			if err != nil {
				return err
			}
			s, err := old.open(cmd.Context(), m)
			if err != nil {
				return err
			}
			defer func() { s.Wipe() }()
			files, err := m.files()
			if err != nil {
				return err
			}
			secret, how, err := newSecret(cmd.Context(), method, filepath.Dir(path), &new)
			if err != nil {
				return err
			}
			defer clear(secret)
			defer func() { failed = errors.Join(failed, m.keepOwner()) }()
			resealed, err := s.Reseal(method, from(secret), files)
			if err != nil {
				return err
			}
			s = resealed
			if err := writeMethod(m.config, method); err != nil {
				return fmt.Errorf("the keys are sealed by %s now: %w", method, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "The keys are sealed by %s now, and %s says so.\n%s", method, m.config, how)
			return nil
		},
	}
	configFlag(reseal, &path)
	to.add(reseal)
	old.add(reseal)
	new.secretFlags.add(reseal, "new-passphrase", "the keys' new passphrase")
	cmd.AddCommand(reseal)
	return cmd
}

// withValue returns a configuration's text with another value of a key at its top,
// all else as it was; ok is false if its line key = "…" is not plain to see.
func withValue(text []byte, key, value string) (changed []byte, ok bool) {
	line := regexp.MustCompile(`(?m)^[ \t]*` + key + `[ \t]*=[ \t]*("[^"\n]*"|'[^'\n]*')`)
	at := line.FindAllSubmatchIndex(text, 2)
	if len(at) != 1 {
		return nil, false
	}
	return bytes.Join([][]byte{text[:at[0][2]], fmt.Appendf(nil, "%q", value), text[at[0][3]:]}, nil), true
}

// writeMethod writes how the keys are sealed into a configuration.
func writeMethod(path string, method seal.Method) error {
	text, err := config.Read(path)
	if err != nil {
		return err
	}
	changed, ok := withValue(text, "keys", string(method))
	if !ok {
		return fmt.Errorf("write keys = %q into %s", method, path)
	}
	return config.WriteFile(path, changed, 0o600)
}

// readHanded reads what the node hands its post office over a pipe; nil if there is
// no descriptor.
func readHanded(fd int) ([]byte, error) {
	if fd < 0 {
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "secret")
	if f == nil {
		return nil, fmt.Errorf("file descriptor %d is not open", fd)
	}
	defer f.Close()
	b := make([]byte, 64)
	n, err := io.ReadFull(f, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("reading the secret of the post office: %w", err)
	}
	return b[:n], nil
}
