package directory_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/fakenet"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
)

func parameters() directory.Parameters {
	return directory.Parameters{Epoch: 20 * time.Minute, Slot: 20 * time.Second, Delay: time.Minute, Layers: 3, Scheme: "Xwing", Payload: 4000}
}

func newFake(t *testing.T) *fakenet.Network {
	t.Helper()
	n, err := fakenet.New(parameters())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// members makes an authority and an entry with keys of their own.
func members(t *testing.T) (a, e *directory.Member, keys *katzenpost.Keys) {
	t.Helper()
	keys, err := katzenpost.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	p := parameters()
	a = &directory.Member{Role: directory.RoleAuthority, Name: "a1", Operator: "ann", Address: "192.0.2.1:1", Parameters: &p}
	a.SetKeys(keys.IdentityPublic, keys.LinkPublic)
	others, err := katzenpost.NewKeys()
	if err != nil {
		t.Fatal(err)
	}
	e = &directory.Member{Role: directory.RoleEntry, Name: "e1", Operator: "eve", Address: "[2001:db8::1]:2"}
	e.SetKeys(others.IdentityPublic, others.LinkPublic)
	return a, e, keys
}

func TestNetworkFile(t *testing.T) {
	a, e, keys := members(t)
	n, err := directory.NewNetwork("test", []*directory.Member{e, a})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Trusted(); err == nil {
		t.Error("an unsigned network is trusted")
	}
	if err := n.AddSignature(keys.Identity); err != nil {
		t.Fatal(err)
	}
	again, err := directory.ParseNetwork(n.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Trusted(); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(again.Bytes(), n.Bytes()) || again.Fingerprint() != n.Fingerprint() {
		t.Error("reading and writing changes the file")
	}
	same, err := directory.NewNetwork("test", []*directory.Member{a, e})
	if err != nil || same.Fingerprint() != n.Fingerprint() {
		t.Error("the order of members changes the file")
	}

	for name, damage := range map[string]func(string) string{
		"another address":   func(s string) string { return strings.Replace(s, "192.0.2.1:1", "192.0.2.1:7", 1) },
		"another slot":      func(s string) string { return strings.Replace(s, `slot = "20s"`, `slot = "21s"`, 1) },
		"a signature's bit": func(s string) string { i := strings.LastIndex(s, "SIGNATURE") - 30; return s[:i] + "AAAA" + s[i+4:] },
		"no signature":      func(s string) string { return s[:strings.Index(s, "-----BEGIN SOURDINE")] },
	} {
		text := string(n.Bytes())
		bad := damage(text)
		if bad == text {
			t.Fatalf("%s: the damage changes nothing", name)
		}
		if n, err := directory.ParseNetwork([]byte(bad)); err == nil && n.Trusted() == nil {
			t.Errorf("%s: trusted", name)
		}
	}
	for name, bad := range map[string]string{
		"unknown key":   "speed = 1\n" + string(n.Bytes()),
		"host name":     strings.Replace(string(n.Bytes()), "192.0.2.1:1", "auth.example:1", 1),
		"no authority":  strings.Replace(string(n.Bytes()), "[[authority]]", "[[entry]]", 1),
		"empty":         "",
		"foreign block": string(n.Bytes()) + "-----BEGIN X-----\n-----END X-----\n",
	} {
		if _, err := directory.ParseNetwork([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMemberFile(t *testing.T) {
	a, _, keys := members(t)
	file, err := a.Sign(keys.Identity)
	if err != nil {
		t.Fatal(err)
	}
	m, err := directory.ParseMember(file)
	if err != nil {
		t.Fatal(err)
	}
	if m.ID() != a.ID() || *m.Parameters != *a.Parameters {
		t.Error("the file reads otherwise than it was written")
	}
	for name, bad := range map[string]string{
		"another operator": strings.Replace(string(file), `"ann"`, `"bob"`, 1),
		"another role":     strings.Replace(string(file), `"authority"`, `"entry"`, 1),
		"bad name":         strings.Replace(string(file), `name = "a1"`, `name = "A 1"`, 1),
	} {
		if _, err := directory.ParseMember([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A port alone is enough where others learn the address from a descriptor.
func TestMemberAddress(t *testing.T) {
	for _, test := range []struct {
		role    directory.Role
		address string
		good    bool
	}{
		{directory.RoleMix, "192.0.2.1:4242", true}, {directory.RoleMix, ":4242", true}, {directory.RoleExit, ":4242", true},
		{directory.RoleEntry, ":4242", false}, {directory.RoleMix, ":0", false}, {directory.RoleMix, ":", false},
		{directory.RoleMix, "", false}, {directory.RoleMix, "mix.example:4242", false},
	} {
		m := directory.Member{Role: test.role, Name: "m", Operator: "o", Address: test.address}
		if test.role == directory.RoleMix {
			m.Layer = 1
		}
		if err := m.Check(); (err == nil) != test.good {
			t.Errorf("%s at %q: %v", test.role, test.address, err)
		}
	}
}

func TestParametersCheck(t *testing.T) {
	p := directory.DefaultParameters()
	if err := p.Check(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	for name, change := range map[string]func(*directory.Parameters){
		"epoch":      func(p *directory.Parameters) { p.Epoch = time.Second },
		"slot":       func(p *directory.Parameters) { p.Slot = p.Epoch },
		"delay":      func(p *directory.Parameters) { p.Delay = p.Epoch / 10 },
		"delay 39ms": func(p *directory.Parameters) { p.Delay = directory.MinDelay - time.Millisecond },
		"layers":     func(p *directory.Parameters) { p.Layers = 4 },
		"payload":    func(p *directory.Parameters) { p.Payload = 100 },
		"scheme":     func(p *directory.Parameters) { p.Scheme = "CTIDH512-X25519" },
	} {
		p := directory.DefaultParameters()
		change(&p)
		if err := p.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	f.Add([]byte("name = \"x\"\n-----BEGIN SOURDINE SIGNATURE-----\nKey: 00\n\nAAAA\n-----END SOURDINE SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, err := directory.ParseNetwork(b); err == nil {
			_ = n.Trusted()
		}
		_, _ = directory.ParseMember(b)
	})
}
