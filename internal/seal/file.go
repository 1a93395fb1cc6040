package seal

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"

	"codeberg.org/sourdine/sourdine/internal/config"
)

const (
	magic      = "sourdine-sealed"
	version    = 1
	header     = magic + "\x01"
	nonceSize  = chacha20poly1305.NonceSizeX
	overhead   = len(header) + nonceSize + chacha20poly1305.Overhead
	rootLength = 32
)

// Labels of what is derived from a root. None is a prefix of another, so that no file's name can make
// its label equal to one of the rest.
const (
	fileLabel   = "sourdine sealed file v1: " // and the file's name
	changeLabel = "sourdine seal change v1"
	checkLabel  = "sourdine seal check v1"
	rootLabel   = "sourdine seal root v1"   // of a credential
	partLabel   = "sourdine seal part v1: " // and the part's name
)

// maxName bounds the name of a file, in bytes.
const maxName = 255

// derive is HKDF-SHA256 (RFC 5869). It fails for no key of ours.
func derive(secret, salt []byte, label string) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, label, rootLength)
}

func newAEAD(root []byte, label string) (cipher.AEAD, error) {
	key, err := derive(root, nil, label)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	return chacha20poly1305.NewX(key)
}

// sealBytes seals a secret as the package comment says; name is authenticated.
func sealBytes(root []byte, label, name string, secret []byte) ([]byte, error) {
	aead, err := newAEAD(root, label+name)
	if err != nil {
		return nil, err
	}
	sealed := make([]byte, len(header)+nonceSize, overhead+len(secret))
	copy(sealed, header)
	rand.Read(sealed[len(header):])
	return aead.Seal(sealed, sealed[len(header):], secret, []byte(header+name)), nil
}

// isSealed reports whether data looks like a sealed file.
func isSealed(data []byte) bool { return bytes.HasPrefix(data, []byte(magic)) }

// openBytes is the inverse of sealBytes, for bytes that anybody may have written.
func openBytes(root []byte, label, name string, sealed []byte) ([]byte, error) {
	if len(sealed) > len(magic) && sealed[len(magic)] != version {
		return nil, fmt.Errorf("sealed in version %d, and this program reads version %d only: use the program that wrote it", sealed[len(magic)], version)
	}
	if len(sealed) < overhead || len(sealed) > overhead+MaxSecret {
		return nil, ErrDamaged
	}
	aead, err := newAEAD(root, label+name)
	if err != nil {
		return nil, err
	}
	rest := sealed[len(header):]
	secret, err := aead.Open(nil, rest[:nonceSize], rest[nonceSize:], []byte(header+name))
	if err != nil {
		return nil, ErrDamaged
	}
	return secret, nil
}

// of returns the root of the file with this name, which the caller wipes, and what is left of the name:
// a file "part/name" has the part's root.
func (f *form) of(name string) (root []byte, rest string, err error) {
	root = bytes.Clone(f.root)
	for {
		part, rest, ok := strings.Cut(name, "/")
		if !ok {
			return root, name, nil
		}
		next, err := derive(root, nil, partLabel+part)
		clear(root)
		if err != nil {
			return nil, "", err
		}
		root, name = next, rest
	}
}

func (f *form) write(path, name string, secret []byte) error {
	if name == "" || len(name) > maxName || len(secret) > MaxSecret {
		return fmt.Errorf("writing %s: a name of %d bytes and a secret of %d; 1 to %d and at most %d can be", path, len(name), len(secret), maxName, MaxSecret)
	}
	data := secret
	if f.sealed() {
		root, rest, err := f.of(name)
		defer clear(root)
		if err == nil {
			data, err = sealBytes(root, fileLabel, rest, secret)
		}
		if err != nil {
			return fmt.Errorf("sealing %s: %w", path, err)
		}
	} else if isSealed(secret) {
		return fmt.Errorf("writing %s: the secret begins like a sealed file, and could not be told from one", path)
	}
	if err := config.WriteFile(path, data, 0o600); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// open returns the secret in a file's data, which it does not keep, or ErrPlain, ErrSealed or
// ErrDamaged.
func (f *form) open(data []byte, name string) ([]byte, error) {
	switch sealed := isSealed(data); {
	case !f.sealed() && sealed:
		return nil, ErrSealed
	case !f.sealed():
		return data, nil
	case !sealed:
		return nil, ErrPlain
	}
	root, rest, err := f.of(name)
	defer clear(root)
	if err != nil {
		return nil, err
	}
	return openBytes(root, fileLabel, rest, data)
}
