// Package golden keeps what tests expect in files. With the flag -update, which it
// gives every test that imports it, the files are written anew:
//
//	go test ./mail -update
package golden

import (
	"flag"
	"os"
	"testing"
)

// Update says whether files are written anew.
var Update = flag.Bool("update", false, "write testdata anew")

// File returns the content of a file, which -update writes first.
func File(t *testing.T, file string, content func() []byte) []byte {
	t.Helper()
	if *Update {
		if err := os.WriteFile(file, content(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
