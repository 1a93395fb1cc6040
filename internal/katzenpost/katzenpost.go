// Package katzenpost is the seam to the engine: what Katzenpost's embedded
// servers want in their own types and files, made from ours. It may import
// directory; directory and sphinx never import it.
package katzenpost

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
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

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
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

// CreateKeys makes a member's keys in dir, which it creates with permission for
// its owner only. It refuses a directory that has keys.
func CreateKeys(dir string) (*Keys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, identityPrivate)); err == nil {
		return nil, fmt.Errorf("%s has keys already: choose another directory, or remove it if nobody relies on them", dir)
	}
	k, err := NewKeys()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{identityPublic, signpem.ToPublicPEMBytes(k.IdentityPublic)},
		{linkPrivate, kempem.ToPrivatePEMBytes(k.Link)},
		{linkPublic, kempem.ToPublicPEMBytes(k.LinkPublic)},
		{identityPrivate, signpem.ToPrivatePEMBytes(k.Identity)},
	} {
		if err := config.WriteFile(filepath.Join(dir, f.name), f.data, 0o600); err != nil {
			return nil, fmt.Errorf("writing keys: %w", err)
		}
	}
	return k, nil
}

// LoadKeys reads the keys that CreateKeys made in dir.
func LoadKeys(dir string) (*Keys, error) {
	scheme := signschemes.ByName(directory.SignatureScheme)
	private, err := signpem.FromPrivatePEMFile(filepath.Join(dir, identityPrivate), scheme)
	if err != nil {
		return nil, fmt.Errorf("%s holds no identity key; `init` makes one", dir)
	}
	public, err := signpem.FromPublicPEMFile(filepath.Join(dir, identityPublic), scheme)
	if err != nil {
		return nil, fmt.Errorf("%s holds no public identity key", dir)
	}
	link, err := kempem.FromPrivatePEMFile(filepath.Join(dir, linkPrivate), kemschemes.ByName(directory.LinkScheme))
	if err != nil {
		return nil, fmt.Errorf("%s holds no link key", dir)
	}
	return &Keys{Identity: private, IdentityPublic: public, Link: link, LinkPublic: link.Public()}, nil
}

// plainKeys is what an operator writes to accept keys that are not sealed.
const plainKeys = "plain"

// CheckPlain refuses to run on unsealed keys unless the operator said so.
func CheckPlain(keys string) error {
	if strings.TrimSpace(keys) == plainKeys {
		return nil
	}
	return errors.New(`keys: this program keeps a member's keys unsealed in its directory, so whoever reads the disk can be this member; write keys = "plain" to accept that`)
}
