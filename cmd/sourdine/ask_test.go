package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/directory"
)

// asked answers the questions of `node init` for a node of a network of three layers.
func asked(f *memberFlags, answers string, sealable error) (said string, err error) {
	var out strings.Builder
	q := &questions{
		ctx: context.Background(), in: bufio.NewScanner(strings.NewReader(answers)), out: &out,
		address: "127.7.7.7:4242", sealable: sealable,
	}
	err = q.fill(f, 3, false)
	return out.String(), err
}

func TestQuestions(t *testing.T) {
	flags := func(role directory.Role, layer int, address, bind, keys string) memberFlags {
		return memberFlags{
			member: directory.Member{Role: role, Layer: layer, Address: address},
			bind:   bind, keys: methodFlag{keys},
		}
	}
	const (
		mix   = directory.RoleMix
		entry = directory.RoleEntry
	)
	for name, test := range map[string]struct {
		flags   memberFlags
		answers string
		want    memberFlags
		says    string
	}{
		"three answers":          {flags("", 0, "", "", ""), "mix 2\n127.7.7.7:24242\nsystemd\n", flags(mix, 2, "127.7.7.7:24242", "", "systemd"), "alone after a power cut"},
		"presets":                {flags("", 2, "", "", ""), "\n\n\n", flags(mix, 2, "127.7.7.7:4242", "", "systemd"), "[mix 2] >"},
		"plain in words":         {flags("", 0, "", "", ""), "entry\n\nplain\n", flags(entry, 0, "127.7.7.7:4242", "", "plain"), "whoever reads the disk"},
		"the layer alone":        {flags(mix, 0, "127.0.0.1:1", "", "plain"), "mix 3\n", flags(mix, 3, "127.0.0.1:1", "", "plain"), "mix 1 to mix 3"},
		"the address alone":      {flags(entry, 0, "", "", "plain"), "127.7.7.7\n", flags(entry, 0, "127.7.7.7:4242", "", "plain"), "this machine alone"},
		"a router's address":     {flags(entry, 0, "", "", "plain"), "198.51.100.1:4243\n", flags(entry, 0, "198.51.100.1:4243", "0.0.0.0:4243", "plain"), "must forward port 4243"},
		"a router's, of IPv6":    {flags(entry, 0, "", "", "plain"), "2001:db8::1\n", flags(entry, 0, "[2001:db8::1]:4242", "[::]:4242", "plain"), "must forward port 4242"},
		"with a bind of its own": {flags(entry, 0, "", "127.7.7.7:24244", "plain"), "198.51.100.1:1\n", flags(entry, 0, "198.51.100.1:1", "127.7.7.7:24244", "plain"), "address"},
		"asks the router":        {flags(mix, 1, "", "", "plain"), "router\n", memberFlags{member: directory.Member{Role: mix, Layer: 1, Address: ":4242"}, router: "auto", keys: methodFlag{"plain"}}, "to ask it for both"},
		"but not of an entry":    {flags(entry, 0, "", "", "plain"), "router\n127.7.7.7\n", flags(entry, 0, "127.7.7.7:4242", "", "plain"), "stands in the signed network file"},
		"two bad places":         {flags("", 0, "127.0.0.1:1", "", "plain"), "mix 4\nbridge\nmix 1\n", flags(mix, 1, "127.0.0.1:1", "", "plain"), "layer 1 to 3"},
		"not another role":       {flags(mix, 0, "127.0.0.1:1", "", "plain"), "entry\nmix 1\n", flags(mix, 1, "127.0.0.1:1", "", "plain"), "none of mix 1 to mix 3"},
		"an exit without flags":  {flags("", 0, "127.0.0.1:1", "", "plain"), "exit\nentry\n", flags(entry, 0, "127.0.0.1:1", "", "plain"), "--from and --relay"},
		"bad addresses":          {flags(entry, 0, "", "", "plain"), "mix.example:1\n0.0.0.0:1\n127.7.7.7:24245\n", flags(entry, 0, "127.7.7.7:24245", "", "plain"), "no address that others can connect to"},
		"a bad method":           {flags(entry, 0, "127.0.0.1:1", "", ""), "tpm\nplain\n", flags(entry, 0, "127.0.0.1:1", "", "plain"), "none of systemd, passphrase and plain"},
	} {
		f := test.flags
		said, err := asked(&f, test.answers, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if f != test.want {
			t.Errorf("%s: %+v, want %+v", name, f, test.want)
		}
		if !strings.Contains(said, test.says) {
			t.Errorf("%s: nothing of %q in %q", name, test.says, said)
		}
	}
}

// A port that another program has is not taken, and who names no layer gets one.
func TestQuestionsOfThisMachine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var f memberFlags
	said, err := asked(&f, "\n"+taken.Addr().String()+"\n127.7.7.7:24246\n\n", errors.New("only root can"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said, "is in use") || f.member.Address != "127.7.7.7:24246" {
		t.Errorf("it has the address %s, and said %q", f.member.Address, said)
	}
	if f.member.Layer < 1 || f.member.Layer > 3 || f.keys.text != "passphrase" {
		t.Errorf("layer %d, keys %q", f.member.Layer, f.keys.text)
	}
}

// Who does not answer, or only wrongly, is not asked for ever.
func TestQuestionsEnd(t *testing.T) {
	for name, test := range map[string]struct{ answers, want string }{
		"nothing":            {"", "no answer, and nothing was made"},
		"one answer":         {"mix 1\n", "no answer, and nothing was made"},
		"three bad ones":     {"mix\nmix x\nmix 9\nmix 1\n", "no answer of 3 that does"},
		"systemd, not there": {"mix 1\n\nsystemd\nsystemd\nsystemd\nplain\n", "no answer of 3 that does"},
		"an endless line":    {strings.Repeat("x", 1<<20), "reading the answer"},
	} {
		var f memberFlags
		if _, err := asked(&f, test.answers, errors.New("only root can")); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	silent, end := io.Pipe()
	defer end.Close()
	q := &questions{ctx: ctx, in: bufio.NewScanner(silent), out: io.Discard}
	if err := q.fill(new(memberFlags), 3, false); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("interrupted: %v", err)
	}
}

func TestFirstPublic(t *testing.T) {
	for name, test := range map[string]struct {
		addresses []string
		want      string
	}{
		"none":            {nil, ""},
		"loopback":        {[]string{"127.0.0.1/8", "::1/128"}, ""},
		"behind a router": {[]string{"127.0.0.1/8", "192.168.1.5/24"}, ""},
		"shared":          {[]string{"100.64.3.4/10"}, ""},
		"public":          {[]string{"127.0.0.1/8", "10.0.0.1/8", "198.51.100.7/24"}, "198.51.100.7:4242"},
		"both":            {[]string{"2001:db8::7/64", "198.51.100.7/24"}, "198.51.100.7:4242"},
		"IPv6 and router": {[]string{"192.168.1.5/24", "2001:db8::7/64"}, ""},
		"IPv6 alone":      {[]string{"127.0.0.1/8", "fe80::1/64", "fd00::1/8", "2001:db8::7/64"}, "[2001:db8::7]:4242"},
	} {
		var all []net.Addr
		for _, a := range test.addresses {
			ip, prefix, err := net.ParseCIDR(a)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, &net.IPNet{IP: ip, Mask: prefix.Mask})
		}
		if got := firstPublic(all); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
