package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"codeberg.org/sourdine/sourdine/internal/confine"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// Files that looking up the relay's name reads, again whenever they change.
const (
	resolvConf = "/etc/resolv.conf"
	hosts      = "/etc/hosts"
	switchConf = "/etc/nsswitch.conf"
)

// domainPort is where name servers answer (RFC 1035, section 4.2), over TCP what is long.
const domainPort = 53

// confineMail takes from this process, before it reads a mail, all rights that a post
// office does not need: whoever comes in by a hole in that reading finds neither the
// node's keys nor the credential that opens them, nor a way to the node's memory. It is
// called when the configuration is read, the keys' lock held and the node connected. A
// kernel that confines nothing is said in the log.
func confineMail(f *nodeFile, log *slog.Logger) error {
	rights, err := mailRights(f)
	if err != nil {
		return err
	}
	// What Go reads once, and would read later: roots of certificates, the time zone.
	_, _ = x509.SystemCertPool()
	_ = time.Now().Local().String()
	net.DefaultResolver = newResolver(resolvConf, log)
	switch err := confine.Process(rights); {
	case errors.Is(err, confine.ErrMissing):
		log.Warn("the post office runs with all rights of the node's user, whose keys it can read", "error", err)
	case err != nil:
		return fmt.Errorf("confining the post office: %w", err)
	default:
		log.Info("the post office is confined to its mail", "landlock", confine.Level())
	}
	return nil
}

// mailRights is what a post office needs: its directory, what its relay's name and
// password are read from, and the way there.
func mailRights(f *nodeFile) (confine.Rights, error) {
	_, port, err := net.SplitHostPort(f.Exit.Relay)
	if err != nil {
		return confine.Rights{}, fmt.Errorf("the relay's address: %w", err)
	}
	number, err := net.LookupPort("tcp", port)
	if err != nil {
		return confine.Rights{}, fmt.Errorf("the relay's port: %w", err)
	}
	r := confine.Rights{
		Write: []string{filepath.Join(f.State, mailDir)}, Read: []string{resolvConf, hosts, switchConf},
		Connect: []uint16{uint16(number), domainPort},
	}
	if f.Exit.PasswordFile != "" {
		r.Read = append(r.Read, f.Exit.PasswordFile)
	}
	// A resolver's own directory is where it puts a new file in the old one's place.
	if path, err := filepath.EvalSymlinks(resolvConf); err == nil && strings.HasPrefix(filepath.Dir(path), "/run/") {
		r.Read = append(r.Read, filepath.Dir(path))
	}
	return r, nil
}

// newResolver returns a resolver for a process that may not read a resolv.conf that was
// put in the place of the one that it started with, as DHCP clients do: Go would ask
// this machine itself then. It goes on with the servers that the old file named.
func newResolver(path string, log *slog.Logger) *net.Resolver {
	known := nameServers(path)
	var next atomic.Uint64
	var said atomic.Bool
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		f, err := os.Open(path)
		if err == nil {
			f.Close()
		}
		if errors.Is(err, fs.ErrPermission) && len(known) > 0 {
			if !said.Swap(true) {
				log.Warn(path + " was replaced, and the post office may not read the new one: it asks the name servers of the old one until the node is restarted")
			}
			address = known[next.Add(1)%uint64(len(known))]
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// nameServers returns the servers that a resolv.conf names (resolv.conf(5)).
func nameServers(path string) (list []string) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == "nameserver" {
			list = append(list, net.JoinHostPort(words[1], fmt.Sprint(domainPort)))
		}
	}
	return list
}

// checkConfinement says how far this kernel can confine a post office.
func checkConfinement() mixnode.Finding {
	f := mixnode.Finding{About: "post office", Grade: mixnode.Good, Says: "it can reach its mail only, and nothing of the node's"}
	switch level := confine.Level(); {
	case level == 0:
		f.Grade, f.Says = mixnode.Weak, "this kernel cannot confine it: a hole in the reading of mail opens the node's keys"
		f.Do = "use a kernel of 5.13 or newer with landlock (its command line may need lsm=landlock,… with the others), in no container that forbids it"
	case level < confine.Truncation:
		f.Grade, f.Says = mixnode.Weak, "it can read and write its mail only, but empty files of the node's"
		f.Do = "use a kernel of 6.2 or newer"
	}
	return f
}
