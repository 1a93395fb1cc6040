package gateway

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/keyring"
)

// personaText is a configuration as a person keeps it.
const personaText = `network = "network.toml" # ours
listen = "127.0.0.1:1025"
resend = "1h"
expiry = 120

[[persona]] # the first
login = "me"
name = "Ann Bell"

[floors]
min_slot = "5s"
max_slot = "2m"
min_delay = "10s"
min_layers = 3
min_mixes = 1
`

// personas makes a gateway's directory with one persona.
func personas(t *testing.T) (path string, load func() *Config) {
	t.Helper()
	path = filepath.Join(t.TempDir(), ConfigName)
	if err := os.WriteFile(path, []byte(personaText), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.CreateWithCost(filepath.Join(filepath.Dir(path), keysName), "me", []byte("one"), keyring.Cost{Memory: 8, Passes: 1, Threads: 1}); err != nil {
		t.Fatal(err)
	}
	return path, func() *Config {
		t.Helper()
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

// Personas come and go, and the rest of the file stays as it was.
func TestPersonas(t *testing.T) {
	path, load := personas(t)
	if err := AddPersona(load(), path, Persona{"pen", "The Pen"}, []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	if err := AddPersona(load(), path, Persona{"quill", `"Q"`}, []byte("two"), []byte("three")); err != nil {
		t.Fatal(err)
	}
	if got := load().Personas; len(got) != 3 || got[1] != (Persona{"pen", "The Pen"}) || got[2] != (Persona{"quill", `"Q"`}) {
		t.Errorf("personas %q", got)
	}
	ring, err := load().Keyring()
	if err != nil {
		t.Fatal(err)
	}
	for login, password := range map[string]string{"me": "one", "pen": "two", "quill": "three"} {
		if _, err := ring.UnlockAs(login, []byte(password)); err != nil {
			t.Errorf("%s: %v", login, err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(text), personaText) {
		t.Errorf("the file is now\n%s", text)
	}
	for _, login := range []string{"pen", "quill"} {
		if err := RemovePersona(load(), path, login); err != nil {
			t.Fatal(err)
		}
	}
	if text, err = os.ReadFile(path); err != nil || strings.TrimSpace(string(text)) != strings.TrimSpace(personaText) {
		t.Errorf("the file is now (%v)\n%s", err, text)
	}
	if ring, err = load().Keyring(); err != nil || ring.Has("pen") || !ring.Has("me") {
		t.Errorf("the passwords stayed (%v)", err)
	}
	if err := RemovePersona(load(), path, "me"); err == nil || !strings.Contains(err.Error(), "last") {
		t.Errorf("removing the last persona: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestPersonasRefuse(t *testing.T) {
	path, load := personas(t)
	for name, c := range map[string]struct {
		p       Persona
		current string
		want    string
	}{
		"a wrong password": {Persona{"pen", ""}, "two", keyring.ErrPassword.Error()},
		"the same login":   {Persona{"me", ""}, "one", "two personas have the login me"},
		"the same name":    {Persona{"pen", "Ann Bell"}, "one", "the same name"},
		"no login":         {Persona{"", ""}, "one", "login must be set"},
		"a name like mail": {Persona{"pen", "a@b.example"}, "one", "an @"},
	} {
		if err := AddPersona(load(), path, c.p, []byte(c.current), []byte("new")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != personaText {
		t.Errorf("the file is now (%v)\n%s", err, text)
	}
	if err := SetPassword(load(), "me", []byte("two"), []byte("new")); !errors.Is(err, keyring.ErrPassword) {
		t.Errorf("a new password by a wrong one: %v", err)
	}
	if err := RemovePersona(load(), path, "pen"); err == nil {
		t.Error("removed who is not there")
	}
}

// A change that was interrupted between its two files is finished by doing it again.
func TestPersonasInterrupted(t *testing.T) {
	path, load := personas(t)
	if err := SetPassword(load(), "pen", []byte("one"), []byte("left behind")); err != nil { // the password, not the section
		t.Fatal(err)
	}
	if err := AddPersona(load(), path, Persona{"pen", ""}, []byte("one"), []byte("two")); err != nil {
		t.Fatal(err)
	}
	ring, err := load().Keyring()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.UnlockAs("pen", []byte("two")); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte(personaText), 0o600); err != nil { // the section went, the password did not
		t.Fatal(err)
	}
	if err := RemovePersona(load(), path, "pen"); err != nil {
		t.Error(err)
	}
	if ring, err = load().Keyring(); err != nil || ring.Has("pen") {
		t.Errorf("the password stayed (%v)", err)
	}
}

// A file whose sections are not plain to see is left to its owner.
func TestPersonasInline(t *testing.T) {
	path, load := personas(t)
	text := strings.Replace(personaText, "[[persona]] # the first\nlogin = \"me\"\nname = \"Ann Bell\"\n", "", 1)
	text = `persona = [{login = "me", name = "Ann Bell"}, {login = "pen", name = ""}]` + "\n" + text
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := RemovePersona(load(), path, "pen"); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("removing: %v", err)
	}
	if err := AddPersona(load(), path, Persona{"quill", ""}, []byte("one"), []byte("two")); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Errorf("adding: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != text {
		t.Errorf("the file changed (%v):\n%s", err, after)
	}
}
