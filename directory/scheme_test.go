package directory

import (
	"slices"
	"testing"

	"github.com/katzenpost/hpqc/sign"
	signpem "github.com/katzenpost/hpqc/sign/pem"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"
)

// A signature of any other length than the scheme's is wrong, and ends nothing, with
// whatever key of ours: one that was made, one derived, one read.
func TestSignaturesOfAnotherLength(t *testing.T) {
	scheme := signschemes.ByName(SignatureScheme)
	made, madePrivate, err := scheme.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	derived, derivedPrivate := scheme.DeriveKey(make([]byte, scheme.SeedSize()))
	read, err := signpem.FromPublicPEMString(signpem.ToPublicPEMString(made), scheme)
	if err != nil {
		t.Fatal(err)
	}
	message := []byte("message")
	for name, pair := range map[string]struct {
		public  sign.PublicKey
		private sign.PrivateKey
	}{"made": {made, madePrivate}, "derived": {derived, derivedPrivate}, "read": {read, madePrivate}} {
		good := scheme.Sign(pair.private, message, nil)
		verify := func(signature []byte) bool {
			return pair.public.Scheme().Verify(pair.public, message, signature, nil)
		}
		if !verify(good) {
			t.Errorf("%s: a good signature is refused", name)
		}
		for _, bad := range [][]byte{nil, {}, good[:1], good[:len(good)/2], good[:len(good)-1], append(slices.Clone(good), 0)} {
			if verify(bad) {
				t.Errorf("%s: a signature of %d bytes is taken", name, len(bad))
			}
		}
	}
}

// A file whose signature is too short is one that is not signed.
func TestFilesWithShortSignatures(t *testing.T) {
	n, key := small(t)
	if err := n.AddSignature(key); err != nil {
		t.Fatal(err)
	}
	id := n.Authorities[0].ID()
	n.sigs[id] = n.sigs[id][:10]
	again, err := ParseNetwork(n.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if again.Trusted() == nil {
		t.Error("a network file with a short signature is trusted")
	}
	m := n.Authorities[0]
	m.Parameters = &n.Parameters
	text, err := encode(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseMember(append(text, pemSignature(id, []byte("short"))...)); err == nil {
		t.Error("a member's file with a short signature is taken")
	}
}
