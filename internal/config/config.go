// Package config reads the TOML files that people write, strictly: a key that
// nothing reads is an error, because a mistyped one would leave its owner with
// a protection they believe they have. It also writes files so that a power cut
// leaves the old one or the new one.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// maxSize bounds what is read of a file, in bytes.
const maxSize = 16 << 20

// Load reads the TOML file at path into v.
func Load(path string, v any) error {
	b, err := Read(path)
	if err != nil {
		return err
	}
	if err := Decode(string(b), v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Read returns the file at path, refusing what is far too large to be ours.
func Read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s: not a file of ours (%d bytes)", path, info.Size())
	}
	return os.ReadFile(path)
}

// Decode reads TOML text into v and names every key that v has no room for.
func Decode(text string, v any) error {
	meta, err := toml.Decode(text, v)
	if err != nil {
		if p, ok := errors.AsType[toml.ParseError](err); ok {
			return fmt.Errorf("line %d: %s", p.Position.Line, p.Message)
		}
		return err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		names := make([]string, len(unknown))
		for i, k := range unknown {
			names[i] = fmt.Sprintf("%q", k.String())
		}
		return fmt.Errorf("unknown key %s: remove it or mend its spelling", strings.Join(names, ", "))
	}
	return nil
}

// WriteFile writes data to path with the given permissions, all of it or
// nothing, and on disk when it returns.
func WriteFile(path string, data []byte, perm fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = f.Chmod(perm); err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir brings the names in a directory to disk: files that were made there,
// renamed or removed.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// SyncDirIfPossible is SyncDir where a directory that may be passed but not read, as
// a parent of ours may be, and a file system that cannot do this are no errors.
func SyncDirIfPossible(path string) error {
	err := SyncDir(path)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil
	}
	return err
}
