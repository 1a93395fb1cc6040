package seal

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// cheap makes an attempt at a passphrase take microseconds.
var cheap = cost{Memory: 8, Passes: 1, Threads: 1}

func says(passphrase string) Source {
	return func(bool) ([]byte, error) { return []byte(passphrase), nil }
}

// credential lets this process have a systemd credential.
func credential(t *testing.T, secret string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	write(t, filepath.Join(dir, CredentialName), secret)
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func mustCreate(t *testing.T, method Method, dir string, source Source) *Sealer {
	t.Helper()
	if method == Systemd {
		source = nil // the credential's
	}
	s, err := create(method, dir, source, cheap)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func mustOpen(t *testing.T, method Method, dir string, source Source) *Sealer {
	t.Helper()
	if method == Systemd {
		source = nil // the credential's
	}
	s, err := Open(method, dir, source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return s
}

func mustWrite(t *testing.T, s *Sealer, f File, secret string) {
	t.Helper()
	if err := s.WriteFile(f.Path, f.Name, []byte(secret)); err != nil {
		t.Fatal(err)
	}
}

func checkRead(t *testing.T, s *Sealer, f File, want string) {
	t.Helper()
	if got, err := s.ReadFile(f.Path, f.Name); err != nil || string(got) != want {
		t.Errorf("%s has %.40q, %v; want %.40q", filepath.Base(f.Path), got, err, want)
	}
}

const secretText = "a secret of one member"

func TestWriteAndRead(t *testing.T) {
	credential(t, strings.Repeat("c", 32))
	for _, method := range []Method{Systemd, Passphrase, Plain} {
		t.Run(string(method), func(t *testing.T) {
			dir := t.TempDir()
			s := mustCreate(t, method, dir, says("pass"))
			if s.Method() != method {
				t.Errorf("method %q", s.Method())
			}
			again := mustOpen(t, method, dir, says("pass")) // two processes may have a directory open
			for i, secret := range []string{"", "x", secretText, strings.Repeat(secretText, MaxSecret/len(secretText))} {
				f := File{filepath.Join(dir, fmt.Sprintf("%d.key", i)), fmt.Sprintf("key %d", i)}
				mustWrite(t, s, f, secret)
				checkRead(t, s, f, secret)
				checkRead(t, again, f, secret)
				if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o600 {
					t.Errorf("%v, %v", info.Mode(), err)
				}
				data := read(t, f.Path)
				if method == Plain {
					if string(data) != secret {
						t.Error("a plain file is not the secret as it is")
					}
					continue
				}
				if !bytes.HasPrefix(data, []byte("sourdine-sealed\x01")) || len(data) != len(secret)+56 {
					t.Errorf("the file begins with %q and has %d bytes", data[:16], len(data))
				}
				if bytes.Contains(data, []byte(secretText)) {
					t.Error("the secret can be read in the file")
				}
				mustWrite(t, s, f, secret)
				if bytes.Equal(read(t, f.Path), data) {
					t.Error("the same secret is sealed to the same bytes")
				}
			}
			_, err := os.Stat(filepath.Join(dir, stateFile))
			if (err == nil) != (method != Plain) {
				t.Errorf("seal.toml: %v", err)
			}
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Plain, dir, nil)
	for name, test := range map[string]struct {
		name   string
		secret []byte
	}{
		"no name":             {"", nil},
		"long name":           {strings.Repeat("n", 256), nil},
		"long secret":         {"n", make([]byte, MaxSecret+1)},
		"looks like a sealed": {"n", []byte(magic + "\x01 rest")},
	} {
		path := filepath.Join(dir, "x.key")
		if err := s.WriteFile(path, test.name, test.secret); err == nil {
			t.Errorf("%s: written", name)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s: left a file", name)
		}
	}
	if err := s.WriteFile(filepath.Join(dir, "no", "x.key"), "n", nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := s.ReadFile(filepath.Join(dir, "x.key"), "n"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Nothing but the file as it was written, under its own name and seal, opens.
func TestChangedFile(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Passphrase, dir, says("pass"))
	f, g := File{filepath.Join(dir, "f.key"), "f"}, File{filepath.Join(dir, "g.key"), "g"}
	mustWrite(t, s, f, secretText)
	mustWrite(t, s, g, "another")
	good := read(t, f.Path)

	refused := func(what string, data []byte) {
		t.Helper()
		write(t, g.Path, string(data))
		if secret, err := s.ReadFile(g.Path, f.Name); err == nil {
			t.Errorf("%s: opens as %q", what, secret)
		} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrPlain) && !strings.Contains(err.Error(), "version") {
			t.Errorf("%s: %v", what, err)
		} else if !strings.Contains(err.Error(), "copy") && !strings.Contains(err.Error(), "use the program") {
			t.Errorf("%s: %v does not say what to do", what, err)
		}
	}
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		refused(fmt.Sprintf("byte %d flipped", i), flipped)
		refused(fmt.Sprintf("cut to %d bytes", i), good[:i])
	}
	refused("longer", append(bytes.Clone(good), 0))
	refused("huge", append(bytes.Clone(good), make([]byte, MaxSecret)...))

	write(t, g.Path, string(good)) // f moved to where g was
	if _, err := s.ReadFile(g.Path, g.Name); !errors.Is(err, ErrDamaged) {
		t.Errorf("a moved file: %v", err)
	}
	other := mustCreate(t, Passphrase, t.TempDir(), says("pass")) // another salt
	if _, err := other.ReadFile(f.Path, f.Name); !errors.Is(err, ErrDamaged) {
		t.Errorf("a file of another directory: %v", err)
	}
	checkRead(t, s, f, secretText)
}

func TestPassphrase(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Passphrase, dir, says("caf\u00e9"))
	f := File{filepath.Join(dir, "f.key"), "f"}
	mustWrite(t, s, f, secretText)
	for _, test := range []struct {
		passphrase string
		want       error
	}{
		{"caf\u00e9", nil},
		{"cafe\u0301", nil}, // the same word as another machine spells it
		{"cafe", ErrPassphrase},
		{"caf\u00e9 ", ErrPassphrase},
		{"caf\xe9", ErrPassphrase},
		{strings.Repeat("x", maxPassphrase), ErrPassphrase},
	} {
		s, err := Open(Passphrase, dir, says(test.passphrase))
		if !errors.Is(err, test.want) {
			t.Errorf("passphrase %.20q: %v, want %v", test.passphrase, err, test.want)
		}
		if err == nil {
			checkRead(t, s, f, secretText)
			s.Wipe()
		}
	}
	for name, source := range map[string]Source{
		"no source": nil,
		"empty":     says(""),
		"too long":  says(strings.Repeat("x", maxPassphrase+1)),
		"an error":  func(bool) ([]byte, error) { return nil, errors.New("no") },
	} {
		if _, err := Open(Passphrase, dir, source); err == nil || errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := create(Passphrase, t.TempDir(), source, cheap); err == nil {
			t.Errorf("%s: created", name)
		}
	}
}

func TestDefaultCost(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(Passphrase, dir, says("pass"))
	if err != nil {
		t.Fatal(err)
	}
	s.Wipe()
	if st, err := readState(dir); err != nil || st.cost != (cost{Memory: 65536, Passes: 3, Threads: 1}) {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestSources(t *testing.T) {
	path := filepath.Join(t.TempDir(), "passphrase")
	for text, want := range map[string]string{
		"pass":                     "pass",
		"pass\n":                   "pass",
		"pass\r\nsecond":           "pass",
		" pass \n":                 " pass ",
		"\npass":                   "",
		"":                         "",
		strings.Repeat("x", 1<<20): strings.Repeat("x", maxPassphrase+1), // refused later
	} {
		write(t, path, text)
		if got, err := FromFile(path)(false); err != nil || string(got) != want {
			t.Errorf("file %.20q: %.20q, %v", text, got, err)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			w.WriteString(text) // fails where more is written than read
			w.Close()
		}()
		fd, err := unix.Dup(int(r.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := FromDescriptor(fd)(true); err != nil || string(got) != want {
			t.Errorf("descriptor %.20q: %.20q, %v", text, got, err)
		}
		r.Close()
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			t.Error("the descriptor is still open")
		}
	}

	for _, mode := range []fs.FileMode{0o604, 0o602, 0o666} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := FromFile(path)(false); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := FromFile(path + "x")(false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := FromFile(filepath.Dir(path))(false); err == nil {
		t.Error("a folder is read")
	}
	for _, fd := range []int{-1, 1 << 20} {
		if _, err := FromDescriptor(fd)(false); err == nil {
			t.Errorf("descriptor %d is read", fd)
		}
	}
}

func TestCredential(t *testing.T) {
	credential(t, strings.Repeat("c", 32))
	dir := t.TempDir()
	s := mustCreate(t, Systemd, dir, nil)
	f := File{filepath.Join(dir, "f.key"), "f"}
	mustWrite(t, s, f, secretText)
	s.Wipe()

	checkRead(t, mustOpen(t, Systemd, dir, nil), f, secretText)
	for name, place := range map[string]func(path string){
		"none":  func(path string) {},
		"short": func(path string) { write(t, path, strings.Repeat("c", 31)) },
		"long":  func(path string) { write(t, path, strings.Repeat("c", maxCredential+1)) },
		"a folder": func(path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"unreadable": func(path string) {
			if os.Geteuid() != 0 { // whom nothing is unreadable to
				write(t, path, strings.Repeat("c", 32))
				if err := os.Chmod(path, 0); err != nil {
					t.Fatal(err)
				}
			}
		},
		"the folder is a file": func(path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Dir(path), "")
		},
		"no folder": func(path string) {
			if err := os.Remove(filepath.Dir(path)); err != nil {
				t.Fatal(err)
			}
		},
		"no variable": func(path string) { t.Setenv("CREDENTIALS_DIRECTORY", "") },
	} {
		creds := filepath.Join(t.TempDir(), "credentials")
		if err := os.Mkdir(creds, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Setenv("CREDENTIALS_DIRECTORY", creds)
		place(filepath.Join(creds, CredentialName))
		_, err := Open(Systemd, dir, nil)
		if !errors.Is(err, ErrCredential) || !strings.Contains(err.Error(), "systemd-creds encrypt --name=sourdine-seal") {
			t.Errorf("%s: %v", name, err)
		}
		fresh := t.TempDir()
		if _, err := Create(Systemd, fresh, nil); !errors.Is(err, ErrCredential) {
			t.Errorf("%s: created, %v", name, err)
		}
		if _, err := os.Stat(filepath.Join(fresh, stateFile)); err == nil {
			t.Errorf("%s: left a seal.toml", name)
		}
	}
	// Another one is not to be replaced by a new one: that would not open the keys either.
	credential(t, strings.Repeat("c", 33))
	if _, err := Open(Systemd, dir, nil); !errors.Is(err, ErrCredential) || strings.Contains(err.Error(), "systemd-creds") {
		t.Errorf("another credential: %v", err)
	}
}

// The configuration says one thing and the directory another.
func TestWrongMethod(t *testing.T) {
	credential(t, strings.Repeat("c", 32))
	for _, test := range []struct {
		disk, config Method
		want         error
		advice       string
	}{
		{Plain, Systemd, ErrPlain, `keys = "plain"`},
		{Plain, Passphrase, ErrPlain, `keys = "plain"`},
		{Systemd, Plain, ErrSealed, `keys = "systemd"`},
		{Systemd, Passphrase, ErrSealed, `keys = "systemd"`},
		{Passphrase, Plain, ErrSealed, `keys = "passphrase"`},
		{Passphrase, Systemd, ErrSealed, `keys = "passphrase"`},
	} {
		dir := t.TempDir()
		mustCreate(t, test.disk, dir, says("pass"))
		_, err := Open(test.config, dir, says("pass"))
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), "write "+test.advice) {
			t.Errorf("%s on the disk, %s configured: %v", test.disk, test.config, err)
		}
	}
	for _, method := range []Method{"", "Plain", "tpm"} {
		if _, err := Open(method, t.TempDir(), nil); err == nil || !strings.Contains(err.Error(), `"systemd"`) {
			t.Errorf("method %q: %v", method, err)
		}
		if _, err := Create(method, t.TempDir(), nil); err == nil {
			t.Errorf("method %q: created", method)
		}
		if _, err := ParseMethod(string(method)); err == nil {
			t.Errorf("method %q is one", method)
		}
	}
	if m, err := ParseMethod("systemd"); m != Systemd || err != nil {
		t.Errorf("%q, %v", m, err)
	}
}

// One file is not as the others are.
func TestWrongFile(t *testing.T) {
	dir := t.TempDir()
	f := File{filepath.Join(dir, "f.key"), "f"}
	s := mustCreate(t, Passphrase, dir, says("pass"))

	write(t, f.Path, secretText)
	_, err := s.ReadFile(f.Path, f.Name)
	if !errors.Is(err, ErrPlain) || !strings.Contains(err.Error(), f.Path) || strings.Contains(err.Error(), secretText) {
		t.Errorf("a plain file: %v", err)
	}

	mustWrite(t, s, f, secretText)
	s.Wipe()
	if err := os.Remove(statePath(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Passphrase, dir, says("pass")); !errors.Is(err, ErrPlain) || !strings.Contains(err.Error(), "from a copy") {
		t.Errorf("seal.toml is lost: %v", err)
	}
	if _, err := mustOpen(t, Plain, dir, nil).ReadFile(f.Path, f.Name); !errors.Is(err, ErrSealed) {
		t.Errorf("a sealed file: %v", err)
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	dir := t.TempDir()
	mustCreate(t, Passphrase, dir, says("pass"))
	before := read(t, statePath(dir))
	for _, method := range []Method{Passphrase, Plain} {
		if _, err := create(method, dir, says("other"), cheap); err == nil || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", method, err)
		}
	}
	if !bytes.Equal(read(t, statePath(dir)), before) {
		t.Error("seal.toml changed")
	}
	if info, err := os.Stat(statePath(dir)); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// Without seal.toml, sealed files say that it was there.
	s := mustOpen(t, Passphrase, dir, says("pass"))
	if err := os.Mkdir(filepath.Join(dir, "mix"), 0o700); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, s, File{filepath.Join(dir, "mix", "f.key"), "f"}, secretText)
	if err := os.Remove(statePath(dir)); err != nil {
		t.Fatal(err)
	}
	for _, method := range []Method{Passphrase, Plain} {
		if _, err := create(method, dir, says("pass"), cheap); err == nil || !strings.Contains(err.Error(), "f.key is sealed") {
			t.Errorf("%s over sealed files: %v", method, err)
		}
	}
	if _, err := Create(Plain, filepath.Join(dir, "no"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
}

// Of many that set up a directory at once, at most one does.
func TestCreateAtOnce(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	made := make(chan *Sealer, 8)
	for range cap(made) {
		all.Go(func() {
			if s, err := create(Passphrase, dir, says("pass"), cheap); err == nil {
				made <- s
			}
		})
	}
	all.Wait()
	close(made)
	n := 0
	for s := range made {
		n++
		f := File{filepath.Join(dir, "f.key"), "f"}
		mustWrite(t, s, f, secretText)
		s.Wipe()
		checkRead(t, mustOpen(t, Passphrase, dir, says("pass")), f, secretText)
	}
	if n > 1 {
		t.Errorf("%d set it up", n)
	}
}

func TestWipe(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Passphrase, dir, says("pass"))
	f := File{filepath.Join(dir, "f.key"), "f"}
	mustWrite(t, s, f, secretText)
	root := s.form.root
	s.Wipe()
	s.Wipe()
	if !bytes.Equal(root, make([]byte, rootLength)) {
		t.Error("the root is still in memory")
	}
	if _, err := s.ReadFile(f.Path, f.Name); !errors.Is(err, ErrWiped) {
		t.Errorf("reading: %v", err)
	}
	if err := s.WriteFile(f.Path, f.Name, nil); !errors.Is(err, ErrWiped) {
		t.Errorf("writing: %v", err)
	}
	if _, err := s.Reseal(Plain, nil, nil); !errors.Is(err, ErrWiped) {
		t.Errorf("resealing: %v", err)
	}
	if err := s.Finish(nil); !errors.Is(err, ErrWiped) {
		t.Errorf("finishing: %v", err)
	}
}

func TestManySides(t *testing.T) {
	dir := t.TempDir()
	s := mustCreate(t, Passphrase, dir, says("pass"))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			f := File{filepath.Join(dir, fmt.Sprintf("%d.key", i)), "n"}
			for range 5 {
				if err := s.WriteFile(f.Path, f.Name, []byte(secretText)); err != nil && !errors.Is(err, ErrWiped) {
					t.Error(err)
				}
				if got, err := s.ReadFile(f.Path, f.Name); (err != nil || string(got) != secretText) && !errors.Is(err, ErrWiped) {
					t.Errorf("%q, %v", got, err)
				}
			}
		})
	}
	all.Go(s.Wipe)
	all.Wait()
}

func TestErase(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "f.key"), filepath.Join(dir, "link")
	secret := strings.Repeat(secretText, 10_000)
	write(t, path, secret)
	held, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := Erase(link); err != nil {
		t.Fatal(err)
	}
	if got := read(t, path); string(got) != secret {
		t.Error("what a link points at was erased")
	}
	if err := Erase(path); err != nil {
		t.Fatal(err)
	}
	left := make([]byte, len(secret))
	if n, err := held.Read(left); n != len(secret) || err != nil || !bytes.Equal(left, make([]byte, n)) {
		t.Errorf("%d bytes are left, %v", n, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if err := Erase(path); err != nil {
		t.Errorf("a second time: %v", err)
	}
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Erase(path); err != nil {
		t.Errorf("a pipe: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Erase(path); err == nil {
		t.Error("a folder is erased")
	}
}

const vectorRoot = "d35d0a894b04ecd31edca728d8cdca123a9c7b5b451814ce5a04cb472586bf04"

// TestVector reads what an earlier build sealed: what is on members' disks stays readable.
func TestVector(t *testing.T) {
	dir := t.TempDir() // a lock file is made there
	for _, name := range []string{stateFile, "link.key"} {
		write(t, filepath.Join(dir, name), string(read(t, filepath.Join("testdata", name))))
	}
	s := mustOpen(t, Passphrase, dir, says("correct horse"))
	checkRead(t, s, File{filepath.Join(dir, "link.key"), "link key"}, "the secret of the vector")
	if got, want := hex.EncodeToString(s.form.root), vectorRoot; got != want {
		t.Errorf("root %s, want %s", got, want)
	}
}

// FuzzOpenFile opens any file. Who does not have the root makes none that opens.
func FuzzOpenFile(f *testing.F) {
	root, err := hex.DecodeString(vectorRoot)
	if err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile("testdata/link.key")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(header))
	f.Add(append([]byte(magic), 2))
	f.Add(make([]byte, overhead))
	f.Fuzz(func(t *testing.T, data []byte) {
		sealed, plain := form{root}, form{}
		before := bytes.Clone(data)
		secret, err := sealed.open(data, "link key")
		if (err == nil) != (secret != nil && bytes.Equal(data, good)) {
			t.Errorf("opens as %q, %v", secret, err)
		}
		secret, err = plain.open(data, "link key")
		if isSealed(data) != errors.Is(err, ErrSealed) || !isSealed(data) && !bytes.Equal(secret, data) {
			t.Errorf("plain, opens as %q, %v", secret, err)
		}
		if !bytes.Equal(data, before) {
			t.Error("the file was changed")
		}
	})
}
