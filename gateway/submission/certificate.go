package submission

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"codeberg.org/sourdine/sourdine/internal/config"
)

const (
	CertificateFile = "submission.crt"
	keyFile         = "submission.key"
	validity        = 10 // years
)

// Certificate returns the TLS certificate in dir, made by the first call: self-signed ECDSA P-256 for localhost,
// 127.0.0.1 and ::1, valid for ten years. It never changes by itself, because mail programs remember it; what is
// wrong with its files is an error and never a new certificate. The fingerprint is the SHA-256 of the certificate
// as mail programs show it, AB:CD:…
//
// The key lies on the disk unsealed, in a file that only its owner reads: it is needed before the user logs in, and
// all it proves is to be this machine's gateway to this machine's mail programs.
func Certificate(dir string) (certificate tls.Certificate, fingerprint string, err error) {
	certificatePath, keyPath := filepath.Join(dir, CertificateFile), filepath.Join(dir, keyFile)
	_, certificateErr := os.Lstat(certificatePath)
	_, keyErr := os.Lstat(keyPath)
	if errors.Is(certificateErr, fs.ErrNotExist) && errors.Is(keyErr, fs.ErrNotExist) {
		if err := makeCertificate(certificatePath, keyPath); err != nil {
			return tls.Certificate{}, "", fmt.Errorf("making a TLS certificate: %w", err)
		}
	}
	certificate, err = loadCertificate(certificatePath, keyPath)
	if err != nil {
		return tls.Certificate{}, "", fmt.Errorf("reading the TLS certificate: %w; restore %s and %s from a copy, or "+
			"remove both for a new one, which mail programs will ask you to trust again", err, certificatePath, keyPath)
	}
	sum := sha256.Sum256(certificate.Leaf.Raw)
	return certificate, strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":"), nil
}

func loadCertificate(certificatePath, keyPath string) (tls.Certificate, error) {
	certificate, err := tls.LoadX509KeyPair(certificatePath, keyPath)
	if err != nil {
		return tls.Certificate{}, err
	}
	if time.Now().After(certificate.Leaf.NotAfter) {
		return tls.Certificate{}, errors.New("it has expired")
	}
	return certificate, nil
}

func makeCertificate(certificatePath, keyPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return err
	}
	// Yesterday, whole: a clock a little off does no harm, and the hour of installation stays out.
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1)
	template := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: "localhost"},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:             start,
		NotAfter:              start.AddDate(validity, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	certificateDER, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := config.WriteFile(keyPath, keyPEM, 0o600); err != nil {
		return err
	}
	certificatePEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateDER})
	return config.WriteFile(certificatePath, certificatePEM, 0o644)
}
