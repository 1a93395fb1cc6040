package main

import (
	"archive/tar"
	"bytes"
	"maps"
	"slices"
	"testing"
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
