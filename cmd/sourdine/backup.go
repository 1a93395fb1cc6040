package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/exit"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// A backup is a tar file in an age file (age-encryption.org/v1) under a passphrase,
// so that `age -d` opens it as well. Names in it, besides nodeFileName and
// networkFileName:
const (
	backupIdentity = "identity.private.pem"
	backupPublic   = "identity.public.pem"
	backupLink     = "link.private.pem"
	backupSigning  = "signing.key" // an exit's; the seed in hexadecimal
)

// Bounds of a backup that anybody may have written.
const (
	maxBackup     = 8 << 20
	maxBackupFile = 1 << 20
	backupWork    = 16 // log2 of scrypt's N: 64 MiB
	maxBackupWork = 18
)

func nodeBackupCommand() *cobra.Command {
	var (
		path       string
		passphrase passphraseFlags
		own        secretFlags
	)
	cmd := &cobra.Command{
		Use:   "backup -c FILE OUT",
		Short: "Write the keys by which the network knows the node into a sealed file",
		Long: `Write the keys by which the network knows the node into a file, sealed by a
passphrase of its own (age, scrypt): the identity and link keys, an exit's signing
key, the configuration and the network file.

It does not hold mix keys and what they have seen, nor an exit's mails and the
keys of its days, nor a file that the configuration names, as relay_password_file.
A node that is restored makes new mix keys, and is of use when the network has
learnt of them, up to three epochs later.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			f, err := readNode(path)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(args[0]); err == nil {
				return fmt.Errorf("%s is there already, and a backup replaces nothing", args[0])
			}
			s, err := passphrase.open(cmd.Context(), f.member(path))
			if err != nil {
				return err
			}
			defer s.Wipe()
			text, err := config.Read(path)
			if err != nil {
				return err
			}
			b, err := collect(f, text, s)
			if err != nil {
				return err
			}
			defer b.wipe()
			sealed, err := b.seal(cmd.Context(), &own)
			if err != nil {
				return err
			}
			if err := config.WriteFile(args[0], sealed, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Wrote %s. Who has it and its passphrase can be the node %s.
It holds no mix keys, and no mails of an exit. Restore it only when this node does not
run any more, and never will: two that are one node answer to each other's packets.
`, args[0], f.Name)
			return nil
		},
	}
	configFlag(cmd, &path)
	passphrase.add(cmd)
	own.add(cmd, "backup-passphrase", "the backup's passphrase")
	return cmd
}

// backup is what a backup holds, by name.
type backup map[string][]byte

func (b backup) wipe() {
	for _, data := range b {
		clear(data)
	}
}

// collect gathers what a backup of the node holds. text is its configuration.
func collect(f *nodeFile, text []byte, s *seal.Sealer) (b backup, err error) {
	b = backup{nodeFileName: text}
	defer func() {
		if err != nil {
			b.wipe()
		}
	}()
	keys, err := katzenpost.LoadKeys(f.State, s)
	if err != nil {
		return nil, err
	}
	b[backupIdentity], b[backupPublic], b[backupLink] = keys.PEM()
	if b[networkFileName], err = config.Read(f.Network); err != nil {
		return nil, err
	}
	if f.Exit == nil {
		return b, nil
	}
	office, err := s.Part(exit.Part)
	if err != nil {
		return nil, err
	}
	defer office.Wipe()
	signing, err := exit.LoadKey(filepath.Join(f.State, mailDir), office)
	if err != nil {
		return nil, err
	}
	defer clear(signing)
	b[backupSigning] = hex.AppendEncode(nil, signing.Seed())
	return b, nil
}

// seal returns the backup as a file.
func (b backup) seal(ctx context.Context, f *secretFlags) ([]byte, error) {
	passphrase, err := f.read(ctx, true)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	recipient, err := age.NewScryptRecipient(string(passphrase))
	if err != nil {
		return nil, err
	}
	recipient.SetWorkFactor(backupWork)
	var out bytes.Buffer
	sealed, err := age.Encrypt(&out, recipient)
	if err != nil {
		return nil, err
	}
	archive := tar.NewWriter(sealed)
	for name, data := range b {
		if len(data) > maxBackupFile {
			return nil, fmt.Errorf("%s has more than %d bytes", name, maxBackupFile)
		}
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(data))}); err != nil {
			return nil, err
		}
		if _, err := archive.Write(data); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(archive.Close(), sealed.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// openBackup opens a file that anybody may have written.
func openBackup(data []byte, passphrase string) (b backup, err error) {
	identity, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, err
	}
	identity.SetMaxWorkFactor(maxBackupWork)
	opened, err := age.Decrypt(bytes.NewReader(data), identity)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return nil, errors.New("wrong passphrase")
	}
	if err != nil {
		return nil, fmt.Errorf("not a backup, or damaged: %w", err)
	}
	return unpack(opened)
}

// unpack reads a backup's archive.
func unpack(r io.Reader) (b backup, err error) {
	b = backup{}
	defer func() {
		if err != nil {
			b.wipe()
			b = nil
		}
	}()
	archive := tar.NewReader(r)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("damaged: %w", err)
		}
		switch header.Name {
		case nodeFileName, networkFileName, backupIdentity, backupPublic, backupLink, backupSigning:
		default:
			return nil, fmt.Errorf("it holds %.40q, which no backup of a node has", header.Name)
		}
		if header.Typeflag != tar.TypeReg || header.Size > maxBackupFile || b[header.Name] != nil {
			return nil, fmt.Errorf("its %s is not one file of at most %d bytes", header.Name, maxBackupFile)
		}
		b[header.Name] = make([]byte, header.Size)
		if _, err := io.ReadFull(archive, b[header.Name]); err != nil {
			return nil, fmt.Errorf("damaged: %w", err)
		}
	}
	for _, name := range []string{nodeFileName, networkFileName, backupIdentity, backupPublic, backupLink} {
		if b[name] == nil {
			return nil, fmt.Errorf("it holds no %s: this is no backup of a node, or not all of one", name)
		}
	}
	return b, nil
}

func nodeRestoreCommand() *cobra.Command {
	var (
		method     methodFlag
		passphrase passphraseFlags
		own        secretFlags
		user       ownerFlag
	)
	cmd := &cobra.Command{
		Use:   "restore BACKUP DIR --keys METHOD",
		Short: "Make a node's directory of a backup, on the same machine or another",
		Long: `Make a node's directory of a backup, on the same machine or another, and seal its
keys there by --keys. Nothing is written elsewhere: where the configuration named
other paths for its network file and its state, it names DIR's own.

The machine that the backup is of must not run the node any more: its mix keys are
not in the backup, and two that are one node answer to each other's packets.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := method.method()
			if err != nil {
				return err
			}
			dir := args[1]
			if err := checkUnused(dir, nodeFileName); err != nil {
				return err
			}
			owner, err := user.owner()
			if err != nil {
				return err
			}
			made := newIn(dir)
			b, err := readBackup(cmd.Context(), args[0], &own)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			defer b.wipe()
			how, err := b.restore(cmd.Context(), dir, m, &passphrase)
			if err != nil {
				return err
			}
			if err := owner.take(made...); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Restored the node in %s. It belongs to the user %s.
%s%sLook over %s: its addresses, and an exit's relay, are the old machine's.
When the old machine does not run the node any more, and never will, start:
  sourdine node -c %s
It makes new mix keys; the network has learnt of them after up to three epochs.
`, dir, owner.name, owner.warning(), how, filepath.Join(dir, nodeFileName), filepath.Join(dir, nodeFileName))
			return nil
		},
	}
	method.add(cmd)
	passphrase.add(cmd)
	user.add(cmd)
	own.add(cmd, "backup-passphrase", "the backup's passphrase")
	return cmd
}

func readBackup(ctx context.Context, path string, f *secretFlags) (backup, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxBackup {
		return nil, fmt.Errorf("more than %d bytes: not a backup of a node", maxBackup)
	}
	data, err := config.Read(path)
	if err != nil {
		return nil, err
	}
	passphrase, err := f.read(ctx, false)
	if err != nil {
		return nil, err
	}
	defer clear(passphrase)
	return openBackup(data, string(passphrase))
}

// restore makes the directory of a node; how is as in newSecret. The
// configuration is written last: a directory that has one is whole.
func (b backup) restore(ctx context.Context, dir string, method seal.Method, passphrase *passphraseFlags) (how string, err error) {
	text, f, err := b.configuration(method)
	if err != nil {
		return "", fmt.Errorf("the backup's %s: %w", nodeFileName, err)
	}
	if s, err := os.Lstat(filepath.Join(dir, stateName)); err == nil && !s.IsDir() {
		return "", fmt.Errorf("%s is not a folder: choose another directory", filepath.Join(dir, stateName))
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := f.Check(absolute); err != nil {
		return "", fmt.Errorf("the backup's %s: %w", nodeFileName, err)
	}
	keys, err := katzenpost.ParsePEM(b[backupIdentity], b[backupPublic], b[backupLink])
	if err != nil {
		return "", fmt.Errorf("the backup: %w", err)
	}
	var signing ed25519.PrivateKey
	if f.Exit != nil {
		seed, err := hex.AppendDecode(nil, b[backupSigning])
		defer clear(seed)
		if err != nil || len(seed) != ed25519.SeedSize {
			return "", errors.New("the backup holds no signing key of an exit")
		}
		signing = ed25519.NewKeyFromSeed(seed)
		defer clear(signing)
	}
	if err := katzenpost.CheckNoKeys(f.State); err != nil {
		return "", err
	}
	s, how, err := createSealer(ctx, method, dir, f.State, passphrase)
	if err != nil {
		return "", err
	}
	defer s.Wipe()
	if signing != nil {
		office, err := s.Part(exit.Part)
		if err != nil {
			return "", err
		}
		defer office.Wipe()
		if err := exit.StoreKey(filepath.Join(f.State, mailDir), office, signing); err != nil {
			return "", err
		}
	}
	if err := keys.Store(f.State, s); err != nil {
		return "", err
	}
	if _, err := os.Lstat(f.Network); errors.Is(err, os.ErrNotExist) {
		if err := config.WriteFile(f.Network, b[networkFileName], 0o644); err != nil {
			return "", err
		}
	}
	return how, config.WriteFile(filepath.Join(dir, nodeFileName), text, 0o600)
}

// configuration returns the configuration of a node that is restored. Its paths are
// those that `node init` writes, whatever the backup says: it may have been made where
// others were right, or by anybody.
func (b backup) configuration(method seal.Method) (text []byte, f *nodeFile, err error) {
	text = b[nodeFileName]
	for _, line := range []struct{ key, value string }{
		{"keys", string(method)}, {"state", stateName}, {"network", networkFileName},
	} {
		var ok bool
		if text, ok = withValue(text, line.key, line.value); !ok {
			return nil, nil, fmt.Errorf("it has not one line %s = \"…\"", line.key)
		}
	}
	f = new(nodeFile)
	if err := config.Decode(string(text), f); err != nil {
		return nil, nil, err
	}
	if f.Keys != string(method) || f.State != stateName || f.Network != networkFileName {
		return nil, nil, errors.New("its keys, state and network are not each on a line of its own")
	}
	return text, f, nil
}
