package directory

import (
	"bytes"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/katzenpost/hpqc/hash"
	"github.com/katzenpost/hpqc/kem"
	kempem "github.com/katzenpost/hpqc/kem/pem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/hpqc/sign"
	signpem "github.com/katzenpost/hpqc/sign/pem"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
)

// The schemes of identities and links. Both are hybrids of a classical and a
// post-quantum scheme.
const (
	SignatureScheme = "Ed448-Dilithium3"
	LinkScheme      = "XWING"
)

const (
	signatureBlock  = "SOURDINE SIGNATURE"
	signatureHeader = "Key" // the signer's identity hash in hexadecimal
	signatureDomain = "sourdine signed file v1\x00"
	maxSignatures   = 64
)

// Signatures maps the hash of an identity key to its signature.
type Signatures map[[32]byte][]byte

// splitSigned separates a signed file into its text, which is what is signed,
// and the signatures in PEM blocks below it.
func splitSigned(b []byte) (text []byte, sigs Signatures, err error) {
	sigs = Signatures{}
	at := bytes.Index(b, []byte("-----BEGIN "+signatureBlock))
	if at < 0 {
		return b, sigs, nil
	}
	text, rest := b[:at], b[at:]
	for len(bytes.TrimSpace(rest)) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != signatureBlock || len(sigs) == maxSignatures {
			return nil, nil, errors.New("damaged below the first signature")
		}
		id, err := parseHash(block.Headers[signatureHeader])
		if err != nil {
			return nil, nil, fmt.Errorf("a signature's key: %w", err)
		}
		sigs[id] = block.Bytes
		rest = after
	}
	return text, sigs, nil
}

// signText returns the PEM block with key's signature of text.
func signText(text []byte, key sign.PrivateKey, public sign.PublicKey) []byte {
	id := hash.Sum256From(public)
	sig := key.Scheme().Sign(key, append([]byte(signatureDomain), text...), nil)
	return pemSignature(id, sig)
}

func pemSignature(id [32]byte, sig []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{
		Type:    signatureBlock,
		Headers: map[string]string{signatureHeader: hex.EncodeToString(id[:])},
		Bytes:   sig,
	})
}

// signedBy reports whether sigs holds a good signature of text by public.
func signedBy(text []byte, sigs Signatures, public sign.PublicKey) bool {
	sig, ok := sigs[hash.Sum256From(public)]
	return ok && public.Scheme().Verify(public, append([]byte(signatureDomain), text...), sig, nil)
}

func parseHash(s string) ([32]byte, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	if err != nil || len(b) != 32 {
		return [32]byte{}, errors.New("not 64 hexadecimal digits")
	}
	return [32]byte(b), nil
}

func parseIdentity(text string) (sign.PublicKey, error) {
	key, err := signpem.FromPublicPEMString(text, signschemes.ByName(SignatureScheme))
	if err != nil {
		return nil, fmt.Errorf("identity key: not a %s public key in PEM", SignatureScheme)
	}
	return key, nil
}

func parseLink(text string) (kem.PublicKey, error) {
	key, err := kempem.FromPublicPEMString(text, kemschemes.ByName(LinkScheme))
	if err != nil {
		return nil, fmt.Errorf("link key: not a %s public key in PEM", LinkScheme)
	}
	return key, nil
}
