package directory

import (
	"github.com/katzenpost/circl/sign"
	"github.com/katzenpost/circl/sign/eddilithium3"
	"github.com/katzenpost/hpqc/sign/circlsign"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
)

// measured is a signature scheme that refuses a signature of another length than its
// own. The library's cuts a signature in two before it looks how long it is, and
// panics at a short one: whoever sent a document with such a signature would end the
// process that checks it.
type measured struct{ sign.Scheme }

func (s measured) Verify(key sign.PublicKey, message, signature []byte, opts *sign.SignatureOpts) bool {
	return len(signature) == s.SignatureSize() && s.Scheme.Verify(key, message, signature, opts)
}

// The scheme is mended where the engine has it, and not around our own calls only,
// because the engine checks what authorities and nodes send it by itself.
func init() {
	*signschemes.ByName(SignatureScheme).(*circlsign.Scheme) = *circlsign.FromCircl(measured{eddilithium3.Scheme()}).(*circlsign.Scheme)
}
