package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/BurntSushi/toml"

	files "codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
)

// Persona is one of the identities that the user writes under, as the configuration
// has it: a section [[persona]]. Its password is in the key file, under its login.
// All personas are one person's: each password opens the one store.
type Persona struct {
	Login string `toml:"login"` // what a mail program logs in with
	Name  string `toml:"name"`  // what recipients see before the exit's address; may be empty
}

// MaxPersonas is how many passwords a key file takes.
const MaxPersonas = 8

// Check refuses a login that a mail program or a shell would mangle, and a name that
// would leave in another form than it is written in.
func (p *Persona) Check() error {
	if p.Login == "" || len(p.Login) > 64 || strings.ContainsFunc(p.Login, func(r rune) bool {
		return !unicode.IsPrint(r) || unicode.IsSpace(r)
	}) {
		return errors.New("a persona's login must be set, to at most 64 bytes without spaces")
	}
	name, err := mail.ParseName(p.Name)
	if err != nil {
		return fmt.Errorf("the name of the persona %s: %w", p.Login, err)
	}
	if name != p.Name {
		return fmt.Errorf("the name of the persona %s has spaces or characters in it that do not leave as they are: write it with single spaces and letters that can be seen", p.Login)
	}
	return nil
}

func checkPersonas(personas []Persona) error {
	if len(personas) == 0 {
		return errors.New("there is no [[persona]]: each is such a section, with the login that a mail program uses, and the name that recipients see")
	}
	if len(personas) > MaxPersonas {
		return fmt.Errorf("there are %d personas, and at most %d can be", len(personas), MaxPersonas)
	}
	for i := range personas {
		if err := personas[i].Check(); err != nil {
			return err
		}
		for _, other := range personas[:i] {
			if other.Login == personas[i].Login {
				return fmt.Errorf("two personas have the login %s", other.Login)
			}
			if other.Name == personas[i].Name && other.Name != "" {
				return fmt.Errorf("the personas %s and %s have the same name, so that recipients would take them for one", other.Login, personas[i].Login)
			}
		}
	}
	return nil
}

// HasPersona reports whether a persona has this login.
func (c *Config) HasPersona(login string) bool {
	return slices.ContainsFunc(c.Personas, func(p Persona) bool { return p.Login == login })
}

// AddPersona gives the user one more persona, with a password of its own. path is the
// configuration that c was read from, current the password of a persona there is. A
// gateway that runs knows the persona after its next start.
func AddPersona(c *Config, path string, p Persona, current, password []byte) error {
	changed := *c
	changed.Personas = append(slices.Clone(c.Personas), p)
	if err := checkPersonas(changed.Personas); err != nil {
		return err
	}
	text, err := files.Read(path)
	if err != nil {
		return err
	}
	var section bytes.Buffer
	if err := toml.NewEncoder(&section).Encode(struct {
		Personas []Persona `toml:"persona"`
	}{[]Persona{p}}); err != nil {
		return err
	}
	text = append(append(bytes.TrimRight(text, "\n"), "\n\n"...), section.Bytes()...)
	if !holds(text, changed.Personas) {
		return fmt.Errorf("%s: the section of the new persona does not fit in: write it by hand, at its end", path)
	}
	// The password comes first: a password without a persona lets nobody in, and is
	// replaced when this is done again.
	ring, err := c.Keyring()
	if err != nil {
		return err
	}
	if err := ring.Give(p.Login, current, password); err != nil {
		return err
	}
	if err := ring.Save(c.keys()); err != nil {
		return err
	}
	return writeConfig(path, text)
}

// SetPassword gives a persona a new password in place of its own. current is the
// password of any persona.
func SetPassword(c *Config, login string, current, password []byte) error {
	ring, err := c.Keyring()
	if err != nil {
		return err
	}
	if err := ring.Give(login, current, password); err != nil {
		return err
	}
	return ring.Save(c.keys())
}

// RemovePersona takes a persona and its password away. What it wrote goes on.
func RemovePersona(c *Config, path, login string) error {
	ring, err := c.Keyring()
	if err != nil {
		return err
	}
	if !c.HasPersona(login) && !ring.Has(login) {
		return fmt.Errorf("there is no persona with the login %s", login)
	}
	// A gateway lets in only who has both, a section and a password: the section goes first.
	if c.HasPersona(login) {
		left := slices.DeleteFunc(slices.Clone(c.Personas), func(p Persona) bool { return p.Login == login })
		if len(left) == 0 {
			return errors.New("this is the last persona: without one nobody could log in")
		}
		text, err := files.Read(path)
		if err != nil {
			return err
		}
		text, ok := withoutPersona(text, left)
		if !ok {
			return fmt.Errorf("%s: the section of this persona is not plain to see: remove it by hand, then run this again", path)
		}
		if err := writeConfig(path, text); err != nil {
			return err
		}
	}
	if !ring.Has(login) {
		return nil
	}
	if err := ring.Take(login); err != nil {
		return err
	}
	return ring.Save(c.keys())
}

// sectionHead begins a table, or of one of several.
var sectionHead = regexp.MustCompile(`(?m)^[ \t]*\[`)

// withoutPersona returns a configuration's text without one section [[persona]], so that
// these personas are left, all else as it was.
func withoutPersona(text []byte, left []Persona) (changed []byte, ok bool) {
	heads := sectionHead.FindAllIndex(text, -1)
	for i, head := range heads {
		end := len(text)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		changed = append(bytes.Clone(text[:head[0]]), text[end:]...)
		if bytes.HasPrefix(bytes.TrimSpace(text[head[0]:]), []byte("[[persona]]")) && holds(changed, left) {
			return changed, true
		}
	}
	return nil, false
}

// holds reports whether a configuration's text is right, and has these personas.
func holds(text []byte, personas []Persona) bool {
	var c Config
	return files.Decode(string(text), &c) == nil && reflect.DeepEqual(c.Personas, personas)
}

// writeConfig writes a changed configuration over the file, whose mode it keeps.
func writeConfig(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return files.WriteFile(path, text, info.Mode().Perm())
}
