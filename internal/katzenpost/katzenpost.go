// Package katzenpost is the seam to the engine: what Katzenpost's embedded
// servers want in their own types and files, made from ours. It may import
// directory; directory and sphinx never import it.
package katzenpost

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/katzenpost/hpqc/kem"
	kempem "github.com/katzenpost/hpqc/kem/pem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	nikeschemes "github.com/katzenpost/hpqc/nike/schemes"
	"github.com/katzenpost/hpqc/sign"
	signpem "github.com/katzenpost/hpqc/sign/pem"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
	authconfig "github.com/katzenpost/katzenpost/authority/voting/server/config"
	"github.com/katzenpost/katzenpost/core/cert"
	"github.com/katzenpost/katzenpost/core/epochtime"
	"github.com/katzenpost/katzenpost/core/pki"
	"github.com/katzenpost/katzenpost/core/sphinx/geo"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// epochVariable is where Katzenpost reads an epoch's length, once, when the
// process starts (core/epochtime).
const epochVariable = "KATZENPOST_EPOCH_DURATION"

// SetEpoch makes the process run with epochs of this length. The engine derives
// package variables from it before main begins, so a process that was started
// with another length replaces itself by one that has the right one.
func SetEpoch(period time.Duration) error {
	if epochtime.Period == period {
		return nil
	}
	if os.Getenv(epochVariable) == period.String() {
		return fmt.Errorf("the engine does not take epochs of %v", period)
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program to start it again: %w", err)
	}
	if err := os.Setenv(epochVariable, period.String()); err != nil {
		return err
	}
	return fmt.Errorf("starting again with epochs of %v: %w", period, syscall.Exec(self, os.Args, os.Environ()))
}

// Geometry returns, in the engine's type, the packet geometry of parameters that
// were checked, as those of a network file are.
func Geometry(p directory.Parameters) *geo.Geometry {
	g, err := p.Geometry()
	if err != nil {
		panic(err)
	}
	if g.NIKEName != "" {
		return geo.GeometryFromUserForwardPayloadLength(nikeschemes.ByName(g.NIKEName), g.UserPayloadLength, true, g.Hops)
	}
	return geo.KEMGeometryFromUserForwardPayloadLength(kemschemes.ByName(g.KEMName), g.UserPayloadLength, true, g.Hops)
}

// Authorities returns the network's authorities in the engine's type.
func Authorities(n *directory.Network) []*authconfig.Authority {
	list := make([]*authconfig.Authority, len(n.Authorities))
	for i, a := range n.Authorities {
		list[i] = &authconfig.Authority{
			Identifier:         a.Name,
			IdentityPublicKey:  a.IdentityKey(),
			PKISignatureScheme: directory.SignatureScheme,
			LinkPublicKey:      authconfig.LinkPublicKey{PublicKey: a.LinkKey()},
			WireKEMScheme:      directory.LinkScheme,
			Addresses:          []string{URL(a.Address)},
		}
	}
	return list
}

// SignDocument returns a consensus as authorities with these keys sign it, for
// networks that vote on nothing. The signatures hold until an epoch.
func SignDocument(doc *pki.Document, until uint64, authorities []*Keys) (signed []byte, err error) {
	mode, err := cbor.CanonicalEncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	type plain pki.Document // without its methods, as the authorities sign it
	payload, err := mode.Marshal((*plain)(doc))
	if err != nil {
		return nil, err
	}
	for i, a := range authorities {
		if i == 0 {
			signed, err = cert.Sign(a.Identity, a.IdentityPublic, payload, until)
		} else {
			signed, err = cert.SignMulti(a.Identity, a.IdentityPublic, signed)
		}
		if err != nil {
			return nil, err
		}
	}
	return signed, nil
}

// URL is a TCP address as the engine writes it.
func URL(address string) string { return (&url.URL{Scheme: "tcp", Host: address}).String() }

// LogFile is where the engine logs to: nowhere, because its lines name peers'
// addresses. Its own switch to turn logs off makes it dereference a nil pointer
// at the first line (core/log, discardCloser).
const LogFile = os.DevNull

// LogLevel is the least that the engine can be told to log.
const LogLevel = "ERROR"

// Names of the key files, fixed by the engine.
const (
	identityPrivate = "identity.private.pem"
	identityPublic  = "identity.public.pem"
	linkPrivate     = "link.private.pem"
	linkPublic      = "link.public.pem"
)

// Keys are a member's identity and link keys.
type Keys struct {
	Identity       sign.PrivateKey
	IdentityPublic sign.PublicKey
	Link           kem.PrivateKey
	LinkPublic     kem.PublicKey
}

// Names under which the private keys are sealed.
const (
	identityName = "identity key"
	linkName     = "link key"
)

// KeyFiles returns the private keys in dir, for [seal.Sealer.Reseal] and Finish.
func KeyFiles(dir string) []seal.File {
	return []seal.File{
		{Path: filepath.Join(dir, identityPrivate), Name: identityName},
		{Path: filepath.Join(dir, linkPrivate), Name: linkName},
	}
}

// NewKeys makes a member's keys.
func NewKeys() (*Keys, error) {
	public, private, err := signschemes.ByName(directory.SignatureScheme).GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("making an identity key: %w", err)
	}
	linkPublic, link, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		return nil, fmt.Errorf("making a link key: %w", err)
	}
	return &Keys{Identity: private, IdentityPublic: public, Link: link, LinkPublic: linkPublic}, nil
}

// CheckNoKeys refuses a directory that has keys.
func CheckNoKeys(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, identityPrivate)); err == nil {
		return fmt.Errorf("%s has keys already: choose another directory, or remove it if nobody relies on them", dir)
	}
	return nil
}

// Store writes the keys into dir, the private ones sealed by s. It refuses a
// directory that has keys.
func (k *Keys) Store(dir string, s *seal.Sealer) error {
	if err := CheckNoKeys(dir); err != nil {
		return err
	}
	identity, _, link := k.PEM()
	defer clear(link)
	defer clear(identity)
	err := k.storePublic(dir)
	if err == nil {
		err = s.WriteFile(filepath.Join(dir, linkPrivate), linkName, link)
	}
	if err == nil { // last: with it the directory has keys
		err = s.WriteFile(filepath.Join(dir, identityPrivate), identityName, identity)
	}
	if err != nil {
		return fmt.Errorf("writing keys: %w", err)
	}
	return nil
}

func (k *Keys) storePublic(dir string) error {
	return errors.Join(
		config.WriteFile(filepath.Join(dir, identityPublic), signpem.ToPublicPEMBytes(k.IdentityPublic), 0o600),
		config.WriteFile(filepath.Join(dir, linkPublic), kempem.ToPublicPEMBytes(k.LinkPublic), 0o600),
	)
}

// LoadKeys reads the keys that Store wrote into dir.
func LoadKeys(dir string, s *seal.Sealer) (*Keys, error) {
	private, err := readKey(s, filepath.Join(dir, identityPrivate), identityName)
	defer clear(private)
	if err != nil {
		return nil, err
	}
	link, err := readKey(s, filepath.Join(dir, linkPrivate), linkName)
	defer clear(link)
	if err != nil {
		return nil, err
	}
	public, err := config.Read(filepath.Join(dir, identityPublic))
	if err != nil {
		return nil, err
	}
	k, err := ParsePEM(private, public, link)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return k, nil
}

func readKey(s *seal.Sealer, path, name string) ([]byte, error) {
	pem, err := s.ReadFile(path, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s holds no %s; `init` makes one", filepath.Dir(path), name)
	}
	return pem, err
}

// PEM returns the keys as Store writes them. The caller wipes the private ones.
func (k *Keys) PEM() (identity, identityPublic, link []byte) {
	return signpem.ToPrivatePEMBytes(k.Identity), signpem.ToPublicPEMBytes(k.IdentityPublic), kempem.ToPrivatePEMBytes(k.Link)
}

// ParsePEM is the inverse of PEM.
func ParsePEM(identity, identityPublic, link []byte) (*Keys, error) {
	scheme := signschemes.ByName(directory.SignatureScheme)
	// The errors of the engine's parsers say nothing that helps.
	private, err := signpem.FromPrivatePEMBytes(identity, scheme)
	if err != nil {
		return nil, errors.New("the identity key is damaged: put it back from a copy")
	}
	public, err := signpem.FromPublicPEMBytes(identityPublic, scheme)
	if err != nil {
		return nil, errors.New("the public identity key is damaged: put it back from a copy")
	}
	linkKey, err := kempem.FromPrivatePEMBytes(link, kemschemes.ByName(directory.LinkScheme))
	if err != nil {
		return nil, errors.New("the link key is damaged: put it back from a copy")
	}
	return &Keys{Identity: private, IdentityPublic: public, Link: linkKey, LinkPublic: linkKey.Public()}, nil
}

// Lend lets the engine read the keys from dir while start runs. The private ones
// come to no disk: their files are links to memory of this process.
func (k *Keys) Lend(dir string, start func() error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := k.storePublic(dir); err != nil {
		return err
	}
	identity, _, link := k.PEM()
	for _, f := range []struct {
		name string
		pem  []byte
	}{{identityPrivate, identity}, {linkPrivate, link}} {
		defer clear(f.pem)
		path := filepath.Join(dir, f.name)
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a killed process left it
			return err
		}
		memory, err := inMemory(f.name, f.pem)
		if err != nil {
			return fmt.Errorf("handing the engine its keys: %w", err)
		}
		defer memory.Close()
		if err := os.Symlink(fmt.Sprintf("/proc/self/fd/%d", memory.Fd()), path); err != nil {
			return err
		}
		defer os.Remove(path)
	}
	return start()
}

// inMemory returns a file with these contents on no disk (memfd_create(2)).
func inMemory(name string, contents []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.Write(contents); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
