package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/term"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// usualPort is the port of a node whose owner names none.
const usualPort = 4242

// complete finds out what `node init` was not told by flags: the name from the
// directory's, the rest from whoever sits at the terminal, at most three questions.
// Without a terminal what is missing is an error. layers is how many the network has.
func (f *memberFlags) complete(ctx context.Context, dir string, layers int, exitFlags bool) error {
	m := &f.member
	if m.Name == "" {
		path, err := filepath.Abs(dir)
		if err != nil {
			return err
		}
		m.Name = filepath.Base(path)
		if err := directory.CheckName(m.Name); err != nil {
			return fmt.Errorf("--name NAME: the directory's name does not do: %w", err)
		}
	}
	if m.Operator == "" {
		return errors.New(`--operator NAME: who runs the node, in a-z, 0-9 and hyphens. Give all your nodes the same, on whichever
machine: no mail enters and leaves the network by one operator's nodes. Only you know it`)
	}
	if m.Address == "" && f.router != "" {
		m.Address = fmt.Sprintf(":%d", usualPort)
	}
	missing := f.missing()
	if len(missing) == 0 {
		return nil
	}
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return fmt.Errorf("%s: not given, and there is no terminal to ask at; `sourdine node init --help` says what they mean", strings.Join(missing, ", "))
	}
	q := &questions{ctx: ctx, in: bufio.NewScanner(os.Stdin), out: os.Stderr, command: "sourdine node init", address: publicAddress(), sealable: systemdOpens()}
	return q.fill(f, layers, exitFlags)
}

// missing names the flags that would answer what is not known yet.
func (f *memberFlags) missing() (flags []string) {
	for _, flag := range []struct {
		name    string
		unknown bool
	}{
		{"--role", f.member.Role == ""},
		{"--layer", f.member.Role == directory.RoleMix && f.member.Layer == 0},
		{"--address", f.member.Address == ""},
		{"--keys", f.keys.text == ""},
	} {
		if flag.unknown {
			flags = append(flags, flag.name)
		}
	}
	return flags
}

// questions asks a person. Nothing is made before the last answer.
type questions struct {
	ctx      context.Context
	in       *bufio.Scanner
	out      io.Writer
	command  string // whose flags answer as well
	address  string // what this machine is reached at, as far as it knows; "" if it does not
	sealable error  // why systemd cannot open keys here; nil if it can
}

// fill asks for what f does not say.
func (q *questions) fill(f *memberFlags, layers int, exitFlags bool) error {
	m := &f.member
	if m.Role == "" || m.Role == directory.RoleMix && m.Layer == 0 {
		layer := m.Layer
		if layer == 0 {
			layer = 1 + rand.IntN(layers) // so that layers grow alike
		}
		err := q.ask(fmt.Sprintf("What is the node, and where? (mix 1 to mix %d, entry, exit)", layers),
			"A mix stands in one layer for good: the one you agreed on with the authorities, or the one drawn here by lot.",
			fmt.Sprintf("mix %d", layer), func(answer string) error { return place(m, answer, layers, exitFlags) })
		if err != nil {
			return err
		}
	}
	if m.Address == "" {
		err := q.ask("At which address do others reach it? (IP, IP:port or router)",
			"Behind a router: the router's address outside, which has to forward the port to this machine; or `router`, to ask it for both.",
			q.address, func(answer string) error { return q.reached(f, answer) })
		if err != nil {
			return err
		}
	}
	if f.keys.text != "" {
		return nil
	}
	preset := seal.Systemd
	if q.sealable != nil {
		preset = seal.Passphrase
	}
	return q.ask("What opens its keys? (systemd, passphrase, plain)",
		"systemd: this machine, alone after a power cut; passphrase: you, at each start; plain: whoever reads the disk can be this node.",
		string(preset), func(answer string) error {
			method, err := seal.ParseMethod(answer)
			if err != nil {
				return errors.New("that is none of systemd, passphrase and plain")
			}
			if method == seal.Systemd && q.sealable != nil {
				return q.sealable
			}
			f.keys.text = answer
			return nil
		})
}

// tries is how often a question is asked.
const tries = 3

// ask asks until take takes the answer. An empty line is the preset, where there is
// one.
func (q *questions) ask(question, means, preset string, take func(answer string) error) error {
	fmt.Fprintf(q.out, "%s\n  %s\n", question, means)
	prompt := "> "
	if preset != "" {
		prompt = "[" + preset + "] > "
	}
	for range tries {
		fmt.Fprint(q.out, "  ", prompt)
		answer, err := q.line()
		if err != nil {
			return err
		}
		if answer == "" {
			answer = preset
		}
		err = take(answer)
		if err == nil {
			return nil
		}
		fmt.Fprintf(q.out, "  Not so: %v.\n", err)
	}
	return fmt.Errorf("no answer of %d that does, and nothing was made: `%s --help` has flags for all of them", tries, q.command)
}

// line reads one line.
func (q *questions) line() (string, error) {
	read := make(chan bool, 1)
	go func() { read <- q.in.Scan() }()
	select {
	case more := <-read:
		if more {
			return strings.TrimSpace(q.in.Text()), nil
		}
		fmt.Fprintln(q.out)
		if err := q.in.Err(); err != nil {
			return "", fmt.Errorf("reading the answer: %w", err)
		}
		return "", errors.New("no answer, and nothing was made")
	case <-q.ctx.Done(): // Ctrl-C: the read goes on until the process ends
		fmt.Fprintln(q.out)
		return "", errors.New("interrupted, and nothing was made")
	}
}

// place reads a role and, of a mix, its layer.
func place(m *directory.Member, answer string, layers int, exitFlags bool) error {
	word, rest, _ := strings.Cut(answer, " ")
	role := directory.Role(word)
	switch {
	case role == directory.RoleMix:
		layer, err := strconv.Atoi(strings.TrimSpace(rest))
		if err != nil || layer < 1 || layer > layers {
			return fmt.Errorf("a mix stands in layer 1 to %d of this network, as in: mix 1", layers)
		}
		m.Layer = layer
	case rest != "" || role != directory.RoleEntry && role != directory.RoleExit || m.Role != "" && m.Role != role:
		return fmt.Errorf("that is none of mix 1 to mix %d, entry and exit", layers)
	case role == directory.RoleExit && !exitFlags:
		return errors.New("an exit needs to know what mail comes from and goes to: begin again with --from and --relay (docs/exit.md), or be another")
	}
	m.Role = role
	return nil
}

// askRouter is the answer of who lets the node ask its router where it is.
const askRouter = "router"

// reached reads the address. One that is not this machine's is a router's, and the
// node listens on all that are.
func (q *questions) reached(f *memberFlags, answer string) error {
	if answer == "" {
		return errors.New("this machine has no address that all the world can reach: write the router's outside")
	}
	if answer == askRouter {
		c := mixnode.Config{Role: f.member.Role, Router: mixnode.RouterAuto, Address: fmt.Sprintf(":%d", usualPort)}
		if err := c.CheckAddress(); err != nil {
			return err
		}
		listens := cmp.Or(f.bind, netip.AddrPortFrom(netip.IPv4Unspecified(), usualPort).String())
		if port := mixnode.CheckPort(listens); port.Grade == mixnode.Bad {
			return fmt.Errorf("%s: %s", port.Says, port.Do)
		}
		f.member.Address, f.router = c.Address, c.Router
		return nil
	}
	if ip, err := netip.ParseAddr(answer); err == nil {
		answer = netip.AddrPortFrom(ip, usualPort).String()
	}
	if err := directory.CheckAddress(answer); err != nil {
		return err
	}
	address, bind := netip.MustParseAddrPort(answer), f.bind
	if bind == "" && !isHere(address.Addr()) {
		everywhere := netip.IPv4Unspecified()
		if address.Addr().Is6() {
			everywhere = netip.IPv6Unspecified()
		}
		bind = netip.AddrPortFrom(everywhere, address.Port()).String()
	}
	listens := cmp.Or(bind, answer)
	for _, finding := range []mixnode.Finding{mixnode.CheckAddress(answer), mixnode.CheckPort(listens)} {
		switch finding.Grade {
		case mixnode.Bad:
			return fmt.Errorf("%s: %s", finding.Says, finding.Do)
		case mixnode.Weak:
			fmt.Fprintf(q.out, "  Note that %s: %s.\n", finding.Says, finding.Do)
		}
	}
	if bind != f.bind {
		fmt.Fprintf(q.out, "  That is not this machine's: the node listens on %s, and the router must forward port %d to it.\n", bind, address.Port())
	}
	f.member.Address, f.bind = answer, bind
	return nil
}

// isHere says whether an address is this machine's.
func isHere(ip netip.Addr) bool {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(ip, 0)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// publicAddress returns an address of this machine that all the world can reach, by
// its kind, with the usual port; "" if it has none. One of IPv6 counts only where
// none of IPv4 is: not every node can reach it, and behind a router it often changes.
func publicAddress() string {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	return firstPublic(all)
}

func firstPublic(all []net.Addr) string {
	var v6 string
	v4 := false
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		address := netip.AddrPortFrom(prefix.Addr(), usualPort).String()
		v4 = v4 || prefix.Addr().Is4()
		public := mixnode.CheckAddress(address).Grade == mixnode.Good
		switch {
		case public && prefix.Addr().Is4():
			return address
		case public && v6 == "":
			v6 = address
		}
	}
	if v4 {
		return ""
	}
	return v6
}

// systemdOpens says why systemd cannot open a node's keys here; nil if it can: this
// process has a credential already, or may make one.
func systemdOpens() error {
	if os.Getenv("CREDENTIALS_DIRECTORY") != "" {
		return nil
	}
	if _, err := exec.LookPath("systemd-creds"); err != nil {
		return errors.New("this machine has no systemd-creds: choose another")
	}
	if _, err := os.Stat("/run/systemd/system"); err != nil { // sd_booted(3)
		return errors.New("systemd does not run this machine: choose another")
	}
	if os.Geteuid() != 0 {
		return errors.New("only root can make the credential: choose another, or begin again as root")
	}
	return nil
}
