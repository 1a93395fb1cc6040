package seal

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// What a part holds opens the part's files and no others.
func TestPart(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Passphrase, dir, says("pass"))
	whole, of, other := File{filepath.Join(dir, "a.key"), "a"}, File{filepath.Join(dir, "b.key"), "office/b"}, File{filepath.Join(dir, "c.key"), "shop/b"}
	for _, f := range []File{whole, of, other} {
		mustWrite(t, s, f, secretText)
	}
	part, err := s.Part("office")
	if err != nil {
		t.Fatal(err)
	}
	secret := part.Secret()
	if bytes.Equal(secret, s.Secret()) || len(secret) != rootLength {
		t.Fatalf("the part's secret is %x", secret)
	}
	part.Wipe()
	part, err = OpenPart(dir, secret)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Wipe()
	if part.Method() != Passphrase {
		t.Errorf("the part is sealed by %s", part.Method())
	}
	checkRead(t, part, File{of.Path, "b"}, secretText)
	for _, f := range []File{{whole.Path, "a"}, {other.Path, "b"}, {other.Path, "shop/b"}, of} {
		if _, err := part.ReadFile(f.Path, f.Name); !errors.Is(err, ErrDamaged) {
			t.Errorf("the part reads %s as %s: %v", filepath.Base(f.Path), f.Name, err)
		}
	}
	made := File{filepath.Join(dir, "d.key"), "d"}
	mustWrite(t, part, made, secretText)
	checkRead(t, s, File{made.Path, "office/d"}, secretText)
	part.Wipe()

	// A change of how the directory is sealed takes the part's files with it.
	files := []File{whole, of, other, {made.Path, "office/d"}}
	s, err = s.reseal(Passphrase, says("new"), files, cheap, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Wipe()
	for _, f := range files {
		checkRead(t, s, f, secretText)
	}
	if part, err = OpenPart(dir, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := part.ReadFile(of.Path, "b"); !errors.Is(err, ErrDamaged) {
		t.Errorf("with the part's secret from before the change: %v", err)
	}
	part.Wipe()
}

func TestPartOfPlain(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Plain, dir, nil)
	f := File{filepath.Join(dir, "b.key"), "office/b"}
	mustWrite(t, s, f, secretText)
	part, err := s.Part("office")
	if err != nil {
		t.Fatal(err)
	}
	if secret := part.Secret(); secret != nil {
		t.Errorf("a plain part's secret is %x", secret)
	}
	part.Wipe()
	if part, err = OpenPart(dir, nil); err != nil {
		t.Fatal(err)
	}
	defer part.Wipe()
	checkRead(t, part, File{f.Path, "b"}, secretText)
}

func TestOpenPartRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		method Method
		secret []byte
		want   string
	}{
		"none though sealed": {Passphrase, nil, "sealed in another way"},
		"one though plain":   {Plain, make([]byte, rootLength), "not sealed"},
		"short":              {Passphrase, make([]byte, rootLength-1), "31 bytes"},
	} {
		dir := t.TempDir()
		mustCreate(t, test.method, dir, says("pass")).Wipe()
		if _, err := OpenPart(dir, test.secret); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
