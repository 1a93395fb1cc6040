package mail

import (
	"flag"
	"os"
	"testing"
)

// update makes the tests write their golden files and vectors anew:
//
//	go test ./mail -update
var update = flag.Bool("update", false, "write testdata anew")

// golden returns the content of a file, which -update writes first.
func golden(t *testing.T, file string, content func() []byte) []byte {
	t.Helper()
	if *update {
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
