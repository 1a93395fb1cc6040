package mixnode

import (
	"os"
	"testing"
)

// spoil changes a file's first bytes.
func spoil(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoilt"), 0); err != nil {
		t.Fatal(err)
	}
}
