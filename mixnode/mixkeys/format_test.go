package mixkeys

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/seal"
)

func TestDecode(t *testing.T) {
	public, private := bytes.Repeat([]byte{1}, 1216), bytes.Repeat([]byte{2}, 1248)
	good := encode("Xwing", 1<<40+7, public, private)
	if cap(good) != len(good) {
		t.Errorf("%d bytes in memory of %d: what was outgrown is not wiped", len(good), cap(good))
	}
	scheme, epoch, gotPublic, gotPrivate, err := decode(good)
	if err != nil || scheme != "Xwing" || epoch != 1<<40+7 || !bytes.Equal(gotPublic, public) || !bytes.Equal(gotPrivate, private) {
		t.Fatalf("%q, %d, %d and %d bytes, %v", scheme, epoch, len(gotPublic), len(gotPrivate), err)
	}
	body := good[:len(good)-sha256.Size]
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		if _, _, _, _, err := decode(flipped); !errors.Is(err, seal.ErrDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
		if _, _, _, _, err := decode(good[:i]); !errors.Is(err, seal.ErrDamaged) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	// With the right checksum, as a faulty program would write it.
	for i := range body {
		if _, _, _, _, err := decode(summed(body[:i])); !errors.Is(err, seal.ErrDamaged) {
			t.Fatalf("cut to %d and summed: %v", i, err)
		}
	}
	if _, _, _, _, err := decode(summed(append(bytes.Clone(body), 0))); !errors.Is(err, seal.ErrDamaged) {
		t.Errorf("longer: %v", err)
	}
}

func summed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(bytes.Clone(body), sum[:]...)
}

// FuzzDecode reads any key file, after it was opened. The checksum is made right, which is no secret.
func FuzzDecode(f *testing.F) {
	good := encode("x25519", 17, make([]byte, 32), make([]byte, 32))
	f.Add(good[:len(good)-sha256.Size])
	f.Add([]byte(magic + "\x00\x00\x00\x00\x00\x00\x00\x01\x01x\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		_, _, _, _, err := decode(body)
		if err == nil {
			body = body[:len(body)-sha256.Size]
		}
		data := summed(body)
		scheme, epoch, public, private, err := decode(data)
		if err != nil {
			return
		}
		if again := encode(scheme, epoch, public, private); !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}
