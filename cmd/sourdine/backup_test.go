package main

import (
	"archive/tar"
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
)

// archive makes what unpack reads.
func archive(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever an archive holds, what is taken from it is a node's files, in bounds.
func FuzzUnpack(f *testing.F) {
	whole := map[string]string{nodeFileName: "a", networkFileName: "b", backupIdentity: "c", backupPublic: "d", backupLink: "e"}
	f.Add(archive(f, whole))
	f.Add(archive(f, map[string]string{nodeFileName: "a"}))
	f.Add(archive(f, map[string]string{"../" + nodeFileName: "a"}))
	f.Add(archive(f, whole)[:700])
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := unpack(bytes.NewReader(data))
		if err != nil {
			if b != nil {
				t.Error("an archive that is refused leaves something")
			}
			return
		}
		for name, file := range b {
			if len(file) > maxBackupFile {
				t.Errorf("%s has %d bytes", name, len(file))
			}
			if name != backupSigning && !slices.Contains([]string{nodeFileName, networkFileName, backupIdentity, backupPublic, backupLink}, name) {
				t.Errorf("it has a file %q", name)
			}
		}
		if len(b) < 5 {
			t.Errorf("it has %d files", len(b))
		}
	})
}

// Whatever paths a backup's configuration names, a node is restored in the directory
// that was asked for and writes nothing elsewhere.
func TestRestoreStaysInside(t *testing.T) {
	keys, err := katzenpost.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	identity, public, link := keys.PEM()
	const conf = "role = \"mix\"\nname = \"mix1\"\noperator = \"erin\"\nlayer = 1\naddress = \"192.0.2.1:1\"\n"
	const sealed = "keys = \"passphrase\"\n"
	for name, test := range map[string]struct {
		text    string // OUT stands for a directory outside
		refused string // "": it is restored
	}{
		"as init writes":    {sealed + "state = \"state\"\nnetwork = \"network.toml\"\n[budget]\nmemory_mb = 64\n", ""},
		"absolute":          {sealed + "state = \"OUT/state\"\nnetwork = \"OUT/network.toml\"\n[budget]\nmemory_mb = 64\n", ""},
		"upwards":           {sealed + "state = \"../../outside/state\"\nnetwork = '../../outside/network.toml'\n[budget]\nmemory_mb = 64\n", ""},
		"a quoted key":      {sealed + "\"state\" = \"OUT/state\"\nnetwork = \"network.toml\"\n", "not one line state"},
		"in another string": {sealed + "bind = \"\"\"\nstate = \"x\"\"\"\"\n\"state\" = \"OUT/state\"\nnetwork = \"network.toml\"\n", "not each on a line"},
		"twice":             {sealed + "state = \"a\"\nstate = \"OUT/state\"\nnetwork = \"network.toml\"\n", "not one line state"},
		"another value":     {sealed + "state = \"\"\"OUT/state\"\"\"\nnetwork = \"network.toml\"\n", "line"},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			outside, dir := filepath.Join(top, "outside"), filepath.Join(top, "a", "new")
			if err := os.Mkdir(outside, 0o700); err != nil {
				t.Fatal(err)
			}
			b := backup{
				nodeFileName: []byte(conf + strings.ReplaceAll(test.text, "OUT", outside)), networkFileName: []byte("net"),
				backupIdentity: identity, backupPublic: public, backupLink: link,
			}
			_, err := b.restore(t.Context(), dir, seal.Plain, nil)
			if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
				t.Errorf("outside lies %v (%v)", entries, err)
			}
			if test.refused != "" {
				if err == nil || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("%v, want %q", err, test.refused)
				}
				if entries, _ := os.ReadDir(top); len(entries) != 1 {
					t.Errorf("it was refused, and made %v", entries)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			f, err := readNode(filepath.Join(dir, nodeFileName))
			if err != nil {
				t.Fatal(err)
			}
			if f.State != filepath.Join(dir, stateName) || f.Network != filepath.Join(dir, networkFileName) || f.Keys != "plain" {
				t.Errorf("state %s, network %s, keys %s", f.State, f.Network, f.Keys)
			}
			if err := katzenpost.CheckNoKeys(f.State); err == nil {
				t.Error("the keys are not there")
			}
		})
	}
	t.Run("a link", func(t *testing.T) {
		outside, dir := t.TempDir(), t.TempDir()
		if err := os.Symlink(outside, filepath.Join(dir, stateName)); err != nil {
			t.Fatal(err)
		}
		b := backup{
			nodeFileName: []byte(conf + sealed + "state = \"state\"\nnetwork = \"network.toml\"\n[budget]\nmemory_mb = 64\n"), networkFileName: []byte("net"),
			backupIdentity: identity, backupPublic: public, backupLink: link,
		}
		if _, err := b.restore(t.Context(), dir, seal.Plain, nil); err == nil || !strings.Contains(err.Error(), "is not a folder") {
			t.Errorf("%v, want a refusal", err)
		}
		if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
			t.Errorf("outside lies %v (%v)", entries, err)
		}
	})
}
