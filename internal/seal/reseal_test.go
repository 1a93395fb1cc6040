package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// way is a method and what it takes to open by it.
type way struct {
	name   string
	method Method
	secret string
}

var ways = []way{
	{"plain", Plain, ""},
	{"passphrase", Passphrase, "old"},
	{"another passphrase", Passphrase, "new"},
	{"credential", Systemd, strings.Repeat("o", 32)},
	{"another credential", Systemd, strings.Repeat("n", 32)},
}

// source makes the way's secret available.
func (w way) source(t *testing.T) Source {
	t.Helper()
	if w.method == Systemd {
		credential(t, w.secret)
		return nil
	}
	return says(w.secret)
}

// member makes a directory with secret files, one of them in a folder.
func member(t *testing.T, w way) (dir string, files []File) {
	t.Helper()
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "mix"), 0o700); err != nil {
		t.Fatal(err)
	}
	s := mustCreate(t, w.method, dir, w.source(t))
	for i, path := range []string{"link.key", "identity.key", "mix/1.key"} {
		f := File{filepath.Join(dir, path), "name of " + path}
		mustWrite(t, s, f, secretOf(i))
		files = append(files, f)
	}
	s.Wipe()
	return dir, files
}

func secretOf(i int) string { return fmt.Sprintf("%s, number %d", secretText, i) }

func checkAll(t *testing.T, s *Sealer, files []File) {
	t.Helper()
	for i, f := range files {
		checkRead(t, s, f, secretOf(i))
	}
}

// checkForms checks that the directory has no trace of an unfinished change, and the secrets in plain
// only if that is the way.
func checkForms(t *testing.T, dir string, method Method) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data := read(t, path)
		if method != Plain && bytes.Contains(data, []byte(secretText)) {
			t.Errorf("%s has a secret in plain", d.Name())
		}
		if strings.HasSuffix(path, ".key") && isSealed(data) != (method != Plain) {
			t.Errorf("%s is not %s", d.Name(), method)
		}
		if info, err := d.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", d.Name(), info.Mode(), err)
		}
		if strings.HasPrefix(d.Name(), ".") {
			t.Errorf("%s is left", d.Name())
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	st, err := readState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if (st == nil) != (method == Plain) || st != nil && (st.Method != method || len(st.Change) > 0) {
		t.Errorf("seal.toml has %+v", st)
	}
}

// TestReseal goes from one way to another, and looks at what a crash after each step leaves: every file
// can be read, and the change can be ended.
func TestReseal(t *testing.T) {
	for from, all := range map[way][]way{
		ways[0]: {ways[1], ways[3]},
		ways[1]: {ways[0], ways[1], ways[2], ways[3]},
		ways[3]: {ways[0], ways[4]},
	} {
		for _, to := range all {
			t.Run(from.name+" to "+to.name, func(t *testing.T) {
				dir, files := member(t, from)
				s := mustOpen(t, from.method, dir, from.source(t))
				root := s.form.root

				var crashes []string // what the directory was like after each step
				crash := func() {
					copied := t.TempDir()
					if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
						t.Fatal(err)
					}
					err := filepath.WalkDir(copied, func(path string, d fs.DirEntry, err error) error {
						if err != nil || d.IsDir() {
							return err
						}
						return os.Chmod(path, 0o600) // CopyFS adds what the umask allows
					})
					if err != nil {
						t.Fatal(err)
					}
					crashes = append(crashes, copied)
				}
				crash()
				resealed, err := s.reseal(to.method, to.source(t), files, cheap, crash)
				if err != nil {
					t.Fatal(err)
				}
				checkAll(t, resealed, files)
				resealed.Wipe()
				checkForms(t, dir, to.method)
				checkAll(t, mustOpen(t, to.method, dir, to.source(t)), files)
				if s, err := Open(from.method, dir, from.source(t)); err == nil && from != to {
					t.Error("it still opens by the old way")
					s.Wipe()
				}
				if from.method != Plain && !bytes.Equal(root, make([]byte, rootLength)) {
					t.Error("the old root is still in memory")
				}

				if len(crashes) != 1+1+len(files)+1 {
					t.Fatalf("%d steps", len(crashes)-1)
				}
				for i, dir := range crashes {
					opens := to
					if i == 0 || to.method == Plain && i < len(crashes)-1 {
						opens = from
					}
					testCrash(t, dir, i, from, to, opens)
				}
			})
		}
	}
}

func testCrash(t *testing.T, dir string, step int, from, to, opens way) {
	moved := func(dir string) (files []File) {
		for _, path := range []string{"link.key", "identity.key", "mix/1.key"} {
			files = append(files, File{filepath.Join(dir, path), "name of " + path})
		}
		return files
	}
	files := moved(dir)
	// An interrupted write leaves a temporary file, here with a secret in plain.
	temporary := filepath.Join(dir, "mix", ".1.key.12345")
	write(t, temporary, secretText)

	for _, w := range []way{from, to} {
		s, err := Open(w.method, dir, w.source(t))
		if w == opens {
			if err != nil {
				t.Fatalf("step %d, %s: %v", step, w.name, err)
			}
			checkAll(t, s, files)
			mustWrite(t, s, files[0], secretOf(0)) // a node that does not wait for the end
			checkAll(t, s, files)
			s.Wipe()
		} else if err == nil {
			t.Errorf("step %d: opens by %s", step, w.name)
			s.Wipe()
		} else if !errors.Is(err, ErrSealed) && !errors.Is(err, ErrPlain) && !errors.Is(err, ErrPassphrase) && !errors.Is(err, ErrCredential) {
			t.Errorf("step %d, %s: %v", step, w.name, err)
		} else if errors.Is(err, ErrPassphrase) && from.method == Passphrase && step > 0 && step < len(files)+2 && !strings.Contains(err.Error(), "new one") {
			t.Errorf("step %d, %s: %v", step, w.name, err)
		}
	}

	ended := t.TempDir()
	if err := os.CopyFS(ended, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	// Either the change is ended towards what it opens by,
	s := mustOpen(t, opens.method, dir, opens.source(t))
	unfinished := s.other != nil
	if err := s.Finish(files); err != nil {
		t.Fatalf("step %d: %v", step, err)
	}
	checkAll(t, s, files)
	s.Wipe()
	if unfinished {
		checkForms(t, dir, opens.method)
	}
	checkAll(t, mustOpen(t, opens.method, dir, opens.source(t)), files)

	// or it is begun anew.
	files = moved(ended)
	s = mustOpen(t, opens.method, ended, opens.source(t))
	if to.method == Plain && opens.method == Plain {
		return
	}
	s, err := s.reseal(to.method, to.source(t), files, cheap, func() {})
	if err != nil {
		t.Fatalf("step %d, again: %v", step, err)
	}
	checkAll(t, s, files)
	s.Wipe()
	for _, name := range []string{"link.key", "identity.key", "mix/1.key", stateFile, lockName} {
		_ = os.Chmod(filepath.Join(ended, name), 0o600) // as CopyFS made them; plain has no seal.toml
	}
	checkForms(t, ended, to.method)
}

// What a plain file held is overwritten on the disk, not only without a name.
func TestResealOverwritesPlain(t *testing.T) {
	dir, files := member(t, ways[0])
	var held []*os.File
	for _, f := range files {
		h, err := os.Open(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		held = append(held, h)
	}
	s, err := mustOpen(t, Plain, dir, nil).reseal(Passphrase, says("pass"), files, cheap, func() {})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Wipe()
	for i, h := range held {
		data := make([]byte, len(secretOf(i)))
		if n, err := h.Read(data); n != len(data) || err != nil || !bytes.Equal(data, make([]byte, n)) {
			t.Errorf("file %d: the disk still has %q, %v", i, data, err)
		}
	}
}

// What can be told beforehand leaves everything as it was.
func TestResealRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		from    way
		method  Method
		source  Source
		prepare func(t *testing.T, dir string, files []File)
		want    error
	}{
		"plain to plain":   {from: ways[0], method: Plain},
		"no such method":   {from: ways[0], method: "tpm"},
		"empty passphrase": {from: ways[0], method: Passphrase, source: says("")},
		"no source":        {from: ways[0], method: Passphrase},
		"no credential": {from: ways[0], method: Systemd, want: ErrCredential, prepare: func(t *testing.T, _ string, _ []File) {
			t.Setenv("CREDENTIALS_DIRECTORY", "")
		}},
		"a file is missing": {from: ways[1], method: Plain, want: fs.ErrNotExist, prepare: func(t *testing.T, _ string, files []File) {
			files[2].Path += "x"
		}},
		"a file is damaged": {from: ways[1], method: Plain, want: ErrDamaged, prepare: func(t *testing.T, _ string, files []File) {
			data := read(t, files[2].Path)
			data[len(data)-1] ^= 1
			write(t, files[2].Path, string(data))
		}},
		"a file has another name": {from: ways[1], method: Plain, want: ErrDamaged, prepare: func(t *testing.T, _ string, files []File) {
			files[2].Name += "x"
		}},
		"a file is left out": {from: ways[1], method: Passphrase, source: says("new"), prepare: func(t *testing.T, dir string, _ []File) {
			s := mustOpen(t, Passphrase, dir, says("old"))
			mustWrite(t, s, File{filepath.Join(dir, "mix", "2.key"), "left out"}, secretText)
			s.Wipe()
		}},
		"a node is running": {from: ways[1], method: Plain, want: ErrBusy, prepare: func(t *testing.T, dir string, _ []File) {
			mustOpen(t, Passphrase, dir, says("old"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, files := member(t, test.from)
			s := mustOpen(t, test.from.method, dir, test.from.source(t))
			if test.prepare != nil {
				test.prepare(t, dir, files)
			}
			before := snapshot(t, dir)
			_, err := s.reseal(test.method, test.source, files, cheap, func() {})
			if err == nil || test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if after := snapshot(t, dir); after != before {
				t.Errorf("the directory changed from\n%s\nto\n%s", before, after)
			}
			checkRead(t, s, files[0], secretOf(0))
			checkRead(t, mustOpen(t, test.from.method, dir, test.from.source(t)), files[0], secretOf(0))
		})
	}
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fmt.Fprintf(&all, "%s %x\n", path, read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// A process that could not be alone still keeps others from a change.
func TestResealKeepsTheLock(t *testing.T) {
	dir, files := member(t, ways[1])
	first, second := mustOpen(t, Passphrase, dir, says("old")), mustOpen(t, Passphrase, dir, says("old"))
	if _, err := first.reseal(Plain, nil, files, cheap, func() {}); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	if _, err := second.reseal(Plain, nil, files, cheap, func() {}); !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
	first.Wipe()
	plain, err := second.reseal(Plain, nil, files, cheap, func() {})
	if err != nil {
		t.Fatal(err)
	}
	plain.Wipe()
}

// While a change goes on, nobody else opens the directory.
func TestResealIsAlone(t *testing.T) {
	dir, files := member(t, ways[0])
	steps := 0
	s, err := mustOpen(t, Plain, dir, nil).reseal(Passphrase, says("pass"), files, cheap, func() {
		steps++
		if _, err := Open(Passphrase, dir, says("pass")); !errors.Is(err, ErrBusy) {
			t.Errorf("step %d: %v", steps, err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	checkAll(t, mustOpen(t, Passphrase, dir, says("pass")), files)
	s.Wipe()
}

// A disk that fails in the middle is a crash whose process lives on.
func TestResealFails(t *testing.T) {
	dir, files := member(t, ways[0])
	s := mustOpen(t, Plain, dir, nil)
	step := 0
	_, err := s.reseal(Passphrase, says("pass"), files, cheap, func() {
		if step++; step == 2 {
			if err := os.Remove(files[2].Path); err != nil {
				t.Fatal(err)
			}
		}
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := s.ReadFile(files[0].Path, files[0].Name); !errors.Is(err, ErrWiped) {
		t.Errorf("the old Sealer reads: %v", err)
	}
	s = mustOpen(t, Passphrase, dir, says("pass"))
	checkAll(t, s, files[:2])
	if err := s.Finish(files[:2]); err != nil {
		t.Error(err)
	}
	if err := s.Finish(files[:2]); err != nil { // there is nothing left to do
		t.Error(err)
	}
	checkAll(t, s, files[:2])
}

// A file in plain is taken only while a change from or to plain is unfinished.
func TestFinishEndsPlain(t *testing.T) {
	dir, files := member(t, ways[1])
	s := mustOpen(t, Passphrase, dir, says("old"))
	var err error
	if s.state, err = s.state.change(s.form.root, form{}); err != nil {
		t.Fatal(err)
	}
	if err := s.state.write(dir); err != nil {
		t.Fatal(err)
	}
	s.Wipe()
	write(t, files[1].Path, secretOf(1))
	s = mustOpen(t, Passphrase, dir, says("old"))
	checkAll(t, s, files)
	other := mustOpen(t, Passphrase, dir, says("old"))
	if err := s.Finish(files); !errors.Is(err, ErrBusy) {
		t.Errorf("with another process: %v", err)
	}
	checkAll(t, s, files)
	other.Wipe()
	if err := s.Finish(files); err != nil {
		t.Fatal(err)
	}
	checkForms(t, dir, Passphrase)
	write(t, files[1].Path, secretOf(1))
	if _, err := s.ReadFile(files[1].Path, files[1].Name); !errors.Is(err, ErrPlain) {
		t.Errorf("a plain file after the change: %v", err)
	}
}
