package submission

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	certificate, fingerprint, err := Certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	leaf := certificate.Leaf
	sum := sha256.Sum256(leaf.Raw)
	if plain := strings.ToLower(strings.ReplaceAll(fingerprint, ":", "")); plain != hex.EncodeToString(sum[:]) || len(fingerprint) != 95 {
		t.Errorf("fingerprint %s of %x", fingerprint, sum)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, name := range []string{"localhost", "127.0.0.1", "::1"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if key, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
		t.Errorf("public key %T", leaf.PublicKey)
	}
	if left := time.Until(leaf.NotAfter); left < 9*365*24*time.Hour || left > 11*365*24*time.Hour {
		t.Errorf("valid for %v", left)
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	_, again, err := Certificate(dir)
	if err != nil || again != fingerprint {
		t.Errorf("the second call gives %s, %v", again, err)
	}
	_, other, err := Certificate(t.TempDir())
	if err != nil || other == fingerprint {
		t.Errorf("another folder gives %s, %v", other, err)
	}
}

// TestCertificateFails loudly, and leaves what is there alone.
func TestCertificateFails(t *testing.T) {
	for name, spoil := range map[string]func(certificate, key string) error{
		"no certificate":    func(certificate, _ string) error { return os.Remove(certificate) },
		"no key":            func(_, key string) error { return os.Remove(key) },
		"empty certificate": func(certificate, _ string) error { return os.WriteFile(certificate, nil, 0o644) },
		"empty key":         func(_, key string) error { return os.WriteFile(key, nil, 0o600) },
		"a folder":          func(_, key string) error { os.Remove(key); return os.Mkdir(key, 0o700) },
		"a dead link":       func(_, key string) error { os.Remove(key); return os.Symlink("nowhere", key) },
		"another's key": func(_, key string) error {
			dir := t.TempDir()
			if _, _, err := Certificate(dir); err != nil {
				return err
			}
			return os.Rename(filepath.Join(dir, keyFile), key)
		},
	} {
		dir := t.TempDir()
		if _, _, err := Certificate(dir); err != nil {
			t.Fatal(err)
		}
		certificate, key := filepath.Join(dir, CertificateFile), filepath.Join(dir, keyFile)
		if err := spoil(certificate, key); err != nil {
			t.Fatal(err)
		}
		before := list(t, dir)
		_, _, err := Certificate(dir)
		if err == nil || !strings.Contains(err.Error(), "remove both") || !strings.Contains(err.Error(), key) {
			t.Errorf("%s: %v", name, err)
		}
		if after := list(t, dir); after != before {
			t.Errorf("%s: files were %s, are %s", name, before, after)
		}
	}
	if _, _, err := Certificate(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("made in a folder that does not exist")
	}
}

func list(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestCertificateExpires(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		if _, _, err := Certificate(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * 365 * 24 * time.Hour)
		if _, _, err := Certificate(dir); err != nil {
			t.Errorf("after nine years: %v", err)
		}
		time.Sleep(2 * 365 * 24 * time.Hour)
		if _, _, err := Certificate(dir); err == nil || !strings.Contains(err.Error(), "expired") {
			t.Errorf("after eleven years: %v", err)
		}
	})
}
