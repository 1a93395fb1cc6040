package sphinx

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestNewGeometry(t *testing.T) {
	g, err := NewGeometry(DefaultScheme, DefaultHops, DefaultUserPayload)
	if err != nil {
		t.Fatal(err)
	}
	if g.PacketLength != 44_458 || g.HeaderLength != 7_164 {
		t.Errorf("default packet %d, header %d; want 44458 and 7164", g.PacketLength, g.HeaderLength)
	}
	for _, bad := range []struct {
		scheme        string
		hops, payload int
		want          string
	}{
		{"CTIDH1024-X25519", 5, 1000, "not in this build"},
		{"Sphincs+", 5, 1000, "not in this build"},
		{"rot13", 5, 1000, "unknown"},
		{DefaultScheme, 0, 1000, "hops"},
		{DefaultScheme, 21, 1000, "hops"},
		{DefaultScheme, 5, -1, "payload"},
		{DefaultScheme, 5, MaxUserPayload + 1, "payload"},
	} {
		if _, err := NewGeometry(bad.scheme, bad.hops, bad.payload); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("NewGeometry(%q, %d, %d) = %v, want an error with %q", bad.scheme, bad.hops, bad.payload, err, bad.want)
		}
	}
}

func TestSplitPlaintextRefusesUnknownFlags(t *testing.T) {
	g := geometry(t, "x25519", 5, 100)
	for _, b := range [][]byte{nil, make([]byte, g.PayloadLength-1), append([]byte{2}, make([]byte, g.PayloadLength-1)...), append([]byte{0, 1}, make([]byte, g.PayloadLength-2)...)} {
		if _, _, err := g.SplitPlaintext(b); err == nil {
			t.Errorf("%d bytes starting % x were accepted", len(b), b[:min(2, len(b))])
		}
	}
}

// text is a geometry as Katzenpost writes it, with some fields other than they
// are; one that is nil is left out.
func text(t *testing.T, g *Geometry, other map[string]any) []byte {
	t.Helper()
	list := map[string]any{}
	for _, f := range g.fields() {
		list[f.name] = f.value
	}
	for name, value := range other {
		if list[name] = value; value == nil {
			delete(list, name)
		}
	}
	b, err := toml.Marshal(map[string]any{"SphinxGeometry": list})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever is wrong with a field, the error names it, and no other.
func TestParseGeometryNamesTheField(t *testing.T) {
	for _, scheme := range Schemes() {
		g := geometry(t, scheme, 5, 2000)
		if parsed, err := ParseGeometry(text(t, g, nil)); err != nil || *parsed != *g {
			t.Fatalf("%s: read as %+v, want %+v: %v", scheme, parsed, g, err)
		}
		refused := func(other map[string]any, want ...string) {
			t.Helper()
			b := text(t, g, other)
			_, err := ParseGeometry(b)
			if err == nil {
				t.Errorf("%s: %v is accepted", scheme, other)
				return
			}
			var named []string
			for _, f := range append(g.fields(), field{name: "Extra"}, field{name: "nrhops"}) {
				for _, word := range strings.FieldsFunc(err.Error(), func(r rune) bool { return strings.ContainsRune(" :,", r) }) {
					if word == f.name {
						named = append(named, f.name)
					}
				}
			}
			if fmt.Sprint(named) != fmt.Sprint(want) {
				t.Errorf("%s: %v: the error names %v, want %v: %v", scheme, other, named, want, err)
			}
		}
		for _, f := range g.fields() {
			refused(map[string]any{f.name: nil}, f.name)
			refused(map[string]any{f.name: 1.5}, f.name)
			switch value := f.value.(type) {
			case int64:
				for _, wrong := range []int64{value + 1, value - 1, -1, 1 << 62} {
					refused(map[string]any{f.name: wrong}, f.name)
				}
				refused(map[string]any{f.name: fmt.Sprint(value)}, f.name)
				if value != 0 {
					refused(map[string]any{f.name: 0}, f.name)
				}
			case string:
				refused(map[string]any{f.name: 1}, f.name)
				if value != "" {
					refused(map[string]any{f.name: "rot13"}, f.name)
					refused(map[string]any{f.name: ""}, "NIKEName", "KEMName")
				} else {
					refused(map[string]any{f.name: "rot13"}, "NIKEName", "KEMName")
				}
			}
		}
		refused(map[string]any{"Extra": 1}, "Extra")
		refused(map[string]any{"nrhops": g.Hops}, "nrhops")
	}
	// Another KEM's name, with the lengths of the first.
	_, err := ParseGeometry(text(t, geometry(t, "Xwing", 5, 2000), map[string]any{"KEMName": "MLKEM768"}))
	if err == nil || !strings.Contains(err.Error(), "KEMName is MLKEM768") {
		t.Errorf("a geometry with another's lengths: %v", err)
	}
	for _, bad := range []string{
		"", "SphinxGeometry = 1", "Extra = 1", "[Sphinx]", "[",
		string(text(t, geometry(t, "Xwing", 5, 2000), nil)) + "[More]\n",
		strings.Repeat("#", maxGeometry+1),
	} {
		if _, err := ParseGeometry([]byte(bad)); err == nil {
			t.Errorf("%.40q was read", bad)
		}
	}
	// A consensus may spell the name as it likes, and the hash tells.
	g := geometry(t, "Xwing", 5, 2000)
	other, err := ParseGeometry(text(t, g, map[string]any{"KEMName": "xWing"}))
	if err != nil || other.Scheme != "Xwing" || bytes.Equal(other.Hash(), g.Hash()) {
		t.Errorf("a name in other letters: %v", err)
	}
}
