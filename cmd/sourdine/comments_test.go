package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/mixnode"
)

// Comments stand above what they are about, and change nothing.
func TestCommented(t *testing.T) {
	f := nodeFile{
		Config: mixnode.Config{Role: "exit", Name: "exit", Address: "192.0.2.1:1", Budget: mixnode.DefaultBudget()},
		Exit:   &exitSection{From: "a@b.example", Space: 3},
	}
	var plain bytes.Buffer
	if err := toml.NewEncoder(&plain).Encode(f); err != nil {
		t.Fatal(err)
	}
	text := commented(plain.String(), nodeComments)
	for _, want := range []string{
		"# " + nodeComments["role"] + "\nrole = ", "# " + nodeComments["[budget]"] + "\n[budget]\n",
		"  # " + nodeComments["space"] + "\n  space = 3\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	var back nodeFile
	if _, err := toml.Decode(text, &back); err != nil || !reflect.DeepEqual(back, f) {
		t.Errorf("with comments it reads %+v, %v", back, err)
	}
	if commented(plain.String(), nil) != plain.String() {
		t.Error("without comments the text differs")
	}
}
