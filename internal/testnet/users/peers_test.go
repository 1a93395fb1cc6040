//go:build peers

package users_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

const peerText = "Grüße an alle.\n\nA second line, with a dot:\n.\nand the end.\n"

// peer runs a mail program that submits peerText with its name as the subject.
type peer struct {
	name string
	run  func(t *testing.T, ctx context.Context, n *testnet.Network, dir string) *exec.Cmd
}

var peers = []peer{
	{"swaks", func(t *testing.T, ctx context.Context, n *testnet.Network, _ string) *exec.Cmd {
		s := n.Submission()
		return exec.CommandContext(ctx, "swaks", "--server", s.StartTLS, "--tls", "--tls-verify", "--tls-ca-path", s.Certificate,
			"--auth", "LOGIN", "--auth-user", s.User, "--auth-password", s.Password,
			"--from", "me@home.example", "--to", "you@far.example", "--header", "Subject: swaks",
			"--add-header", "Content-Type: text/plain; charset=utf-8", "--body", peerText)
	}},
	{"msmtp", func(t *testing.T, ctx context.Context, n *testnet.Network, dir string) *exec.Cmd {
		s := n.Submission()
		host, port := split(t, s.TLS)
		conf := file(t, dir, "msmtprc", fmt.Sprintf("account default\nhost %s\nport %s\ntls on\ntls_starttls off\ntls_trust_file %s\nauth plain\nuser %s\npassword %s\nfrom me@home.example\n",
			host, port, s.Certificate, s.User, s.Password))
		cmd := exec.CommandContext(ctx, "msmtp", "-C", conf, "you@far.example")
		cmd.Stdin = strings.NewReader("To: you@far.example\nSubject: msmtp\nContent-Type: text/plain; charset=utf-8\n\n" + peerText)
		return cmd
	}},
	{"mutt", func(t *testing.T, ctx context.Context, n *testnet.Network, dir string) *exec.Cmd {
		s := n.Submission()
		conf := file(t, dir, "muttrc", fmt.Sprintf("set smtp_url=\"smtps://%s@%s\"\nset smtp_pass=\"%s\"\nset smtp_authenticators=\"plain\"\nset ssl_usesystemcerts=no\nset certificate_file=\"%s\"\nset ssl_verify_host=no\nset from=\"me@home.example\"\nset copy=no\nset charset=utf-8\n",
			s.User, s.TLS, s.Password, s.Certificate))
		cmd := exec.CommandContext(ctx, "mutt", "-n", "-F", conf, "-s", "mutt", "you@far.example")
		cmd.Stdin = strings.NewReader(peerText)
		cmd.Env = append(os.Environ(), "HOME="+dir, "LANG=C.UTF-8")
		return cmd
	}},
	{"curl", func(t *testing.T, ctx context.Context, n *testnet.Network, dir string) *exec.Cmd {
		s := n.Submission()
		mail := file(t, dir, "curl.eml", "To: you@far.example\nSubject: curl\nContent-Type: text/plain; charset=utf-8\n\n"+peerText)
		return exec.CommandContext(ctx, "curl", "--silent", "--show-error", "--crlf", "--url", "smtps://"+s.TLS, "--cacert", s.Certificate,
			"--user", s.User+":"+s.Password, "--mail-from", "me@home.example", "--mail-rcpt", "you@far.example", "--upload-file", mail)
	}},
	{"smtplib", func(t *testing.T, ctx context.Context, n *testnet.Network, dir string) *exec.Cmd {
		s := n.Submission()
		host, port := split(t, s.StartTLS)
		script := file(t, dir, "send.py", `
import smtplib, ssl, sys
from email.message import EmailMessage
host, port, ca, user, password, text = sys.argv[1:]
m = EmailMessage()
m["From"], m["To"], m["Subject"] = "me@home.example", "you@far.example", "smtplib"
m.set_content(text)
with smtplib.SMTP(host, int(port)) as s:
    s.starttls(context=ssl.create_default_context(cafile=ca))
    s.login(user, password)
    s.send_message(m)
`)
		return exec.CommandContext(ctx, "python3", script, host, port, s.Certificate, s.User, s.Password, peerText)
	}},
}

func split(t *testing.T, address string) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

func file(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Mail programs that people use submit to the gateway; what each wrote arrives
// once, as typed, and nothing but the subject and the random Message-ID tells
// which of them it was.
func TestPeers(t *testing.T) {
	n := trial.Start(t, testnet.Options{})
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), trial.Patience)
			defer cancel()
			if out, err := p.run(t, ctx, n, t.TempDir()).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := trial.Arrival(t, ctx, n, p.name); got != peerText {
				t.Errorf("%q arrived, %q was written", got, peerText)
			}
		})
	}
	list, err := n.Received()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(peers) {
		t.Errorf("%d mails arrived, %d programs sent one each", len(list), len(peers))
	}
	var first []byte
	for _, r := range list {
		subject, _ := trial.ReadMail(t, r.Data)
		var lines [][]byte
		for line := range bytes.Lines(r.Data) {
			if !bytes.HasPrefix(line, []byte("Message-ID: ")) {
				lines = append(lines, bytes.Replace(line, []byte("Subject: "+subject), []byte("Subject: s"), 1))
			}
		}
		same := bytes.Join(lines, nil)
		if first == nil {
			first = same
		}
		if !bytes.Equal(same, first) {
			t.Errorf("%s's mail differs:\n%s\nfrom the first:\n%s", subject, same, first)
		}
	}
}
