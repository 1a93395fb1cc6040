package forget

import (
	"bytes"
	"crypto/mlkem"
	"testing"
)

// The standard library of this build keeps keys where they can be wiped.
func TestDecapsulationKey(t *testing.T) {
	k, err := mlkem.GenerateKey768()
	if err != nil {
		t.Fatal(err)
	}
	if !DecapsulationKey(k) {
		t.Fatal("a key of crypto/mlkem is not as it was: it cannot be wiped")
	}
	if !bytes.Equal(k.Bytes(), make([]byte, mlkem.SeedSize)) {
		t.Error("a wiped key still has its seed")
	}
	if !DecapsulationKey(new(mlkem.DecapsulationKey768)) {
		t.Error("a key that is none was not left alone")
	}
}
