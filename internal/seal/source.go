package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/term"
)

const (
	credentialName = "sourdine-seal"
	minCredential  = 32      // bytes: as many random ones as the root has
	maxCredential  = 1 << 16 // systemd allows 1 MiB in all
	maxPassphrase  = 1 << 10
)

// Source returns a passphrase, which the caller wipes. One that asks a person asks twice if it is new.
type Source func(isNew bool) ([]byte, error)

// FromFile reads the passphrase from the first line of the file at path.
func FromFile(path string) Source {
	return func(bool) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("reading the passphrase: %w", err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o006 != 0 {
			return nil, fmt.Errorf("every user of this machine can read the passphrase: chmod 600 %s", path)
		}
		return readLine(f)
	}
}

// FromDescriptor reads the passphrase from the first line of what comes from a file descriptor, once,
// and closes it.
func FromDescriptor(fd int) Source {
	return func(bool) ([]byte, error) {
		f := os.NewFile(uintptr(fd), "passphrase")
		if f == nil {
			return nil, fmt.Errorf("file descriptor %d is not open", fd)
		}
		defer f.Close()
		return readLine(f)
	}
}

// FromTerminal asks at the terminal.
func FromTerminal() Source {
	return func(isNew bool) ([]byte, error) {
		fd := int(os.Stdin.Fd())
		if !term.IsTerminal(fd) {
			return nil, errors.New("there is no terminal to ask for the passphrase: name a file or a file descriptor that has it")
		}
		ask := func(prompt string) ([]byte, error) {
			fmt.Fprint(os.Stderr, prompt)
			defer fmt.Fprintln(os.Stderr)
			return term.ReadPassword(fd)
		}
		if !isNew {
			return ask("Passphrase of the keys: ")
		}
		first, err := ask("New passphrase of the keys: ")
		if err != nil {
			return nil, err
		}
		again, err := ask("The same again: ")
		defer clear(again)
		if err == nil && !bytes.Equal(first, again) {
			err = errors.New("the two passphrases differ: try again")
		}
		if err != nil {
			clear(first)
			return nil, err
		}
		return first, nil
	}
}

// readLine reads the first line, without its end.
func readLine(r io.Reader) ([]byte, error) {
	b := make([]byte, maxPassphrase+1)
	n, err := io.ReadFull(r, b) // into one piece of memory, which can be wiped
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		clear(b)
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	line := b[:n]
	if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
		clear(line[i:])
		line = line[:i]
	}
	return line, nil
}

func checkPassphrase(b []byte) error {
	if len(b) == 0 {
		return errors.New("the passphrase is empty")
	}
	if len(b) > maxPassphrase {
		return fmt.Errorf("the passphrase is longer than %d bytes", maxPassphrase)
	}
	return nil
}

// makeCredential is how to make the credential.
const makeCredential = "as root, make one with `mkdir -p /etc/credstore.encrypted; head -c 32 /dev/urandom | systemd-creds encrypt --name=" + credentialName +
	" - /etc/credstore.encrypted/" + credentialName + "`, give it to the node's unit with `LoadCredentialEncrypted=" + credentialName + ":/etc/credstore.encrypted/" + credentialName + "`, and let systemd start the node"

// readCredential returns the secret that systemd put into $CREDENTIALS_DIRECTORY (systemd.exec(5)).
func readCredential() ([]byte, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("%w: systemd gave this process none; %s", ErrCredential, makeCredential)
	}
	f, err := os.Open(filepath.Join(dir, credentialName))
	if err != nil {
		return nil, fmt.Errorf("%w: %w; %s", ErrCredential, err, makeCredential)
	}
	defer f.Close()
	b := make([]byte, maxCredential+1)
	n, err := io.ReadFull(f, b)
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: %w; %s", ErrCredential, err, makeCredential)
	case n < minCredential:
		err = fmt.Errorf("%w: it has %d bytes, and must have %d random ones or more; %s", ErrCredential, n, minCredential, makeCredential)
	case n > maxCredential:
		err = fmt.Errorf("%w: it has more than %d bytes; %s", ErrCredential, maxCredential, makeCredential)
	default:
		return b[:n], nil
	}
	clear(b)
	return nil, err
}
