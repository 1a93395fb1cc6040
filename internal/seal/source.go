package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// CredentialName is the name of the credential that systemd gives the unit.
const CredentialName = "sourdine-seal"

const (
	minCredential = 32      // bytes: as many random ones as the root has
	maxCredential = 1 << 16 // systemd allows 1 MiB in all
	maxPassphrase = 1 << 10
)

// Source returns a passphrase or a credential, which the caller wipes. One that asks a person asks twice
// if it is new.
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
const makeCredential = "as root, make one with `mkdir -p /etc/credstore.encrypted; head -c 32 /dev/urandom | systemd-creds encrypt --name=" + CredentialName +
	" - /etc/credstore.encrypted/" + CredentialName + "`, give it to the node's unit with `LoadCredentialEncrypted=" + CredentialName + ":/etc/credstore.encrypted/" + CredentialName + "`, and let systemd start the node"

// readCredential returns the secret that systemd put into $CREDENTIALS_DIRECTORY (systemd.exec(5)).
func readCredential() ([]byte, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return nil, fmt.Errorf("%w: systemd gave this process none; %s", ErrCredential, makeCredential)
	}
	f, err := os.Open(filepath.Join(dir, CredentialName))
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
