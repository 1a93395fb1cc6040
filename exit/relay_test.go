package exit

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"codeberg.org/sourdine/sourdine/mail"
)

// lobby is a session that wants a login.
type lobby struct {
	visit
	mechanisms []string
	in         bool
}

func (l *lobby) AuthMechanisms() []string { return l.mechanisms }

func (l *lobby) Auth(mechanism string) (sasl.Server, error) {
	check := func(user, password string) error {
		if user != "exit" || password != "correct horse" {
			return smtp.ErrAuthFailed
		}
		l.in = true
		return nil
	}
	if mechanism == sasl.Login {
		return &loginServer{check: check}, nil
	}
	return sasl.NewPlainServer(func(_, user, password string) error { return check(user, password) }), nil
}

func (l *lobby) Mail(from string, o *smtp.MailOptions) error {
	if len(l.mechanisms) > 0 && !l.in {
		return withText(530, "log in first")
	}
	return l.visit.Mail(from, o)
}

// loginServer is the server's side of LOGIN (draft-murchison-sasl-login).
type loginServer struct {
	check func(user, password string) error
	got   []string
}

func (s *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		s.got = append(s.got, string(response))
	}
	switch len(s.got) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, s.check(s.got[0], s.got[1])
}

// certificate makes a self-signed one for localhost.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a relay"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// TestRelay talks to a server on a real socket.
func TestRelay(t *testing.T) {
	cert, pool := certificate(t)
	tests := []struct {
		name       string
		tls        string   // the exit's choice
		serves     string   // the server's: none, starttls or tls
		mechanisms []string // that the server wants a login by
		password   string
		host       string // "": localhost
		untrusted  bool
		err        string // part of it; "": delivered
	}{
		{name: "none", tls: "none", serves: "none"},
		{name: "starttls", tls: "starttls", serves: "starttls"},
		{name: "tls", tls: "tls", serves: "tls"},
		{name: "login", tls: "tls", serves: "tls", mechanisms: []string{"LOGIN", "PLAIN"}, password: "correct horse\n"},
		{name: "login by LOGIN", tls: "starttls", serves: "starttls", mechanisms: []string{"LOGIN"}, password: "correct horse\r\nnotes\n"},
		{name: "wrong password", tls: "tls", serves: "tls", mechanisms: []string{"PLAIN"}, password: "battery", err: "logging in: the server answered with code 535"},
		{name: "no starttls there", tls: "starttls", serves: "none", err: "starting TLS"},
		{name: "no tls there", tls: "tls", serves: "starttls", err: "greeting"},
		{name: "wrong name, starttls", tls: "starttls", serves: "starttls", host: "127.0.0.1", err: "greeting: tls: failed to verify certificate"},
		{name: "wrong name, tls", tls: "tls", serves: "tls", host: "127.0.0.1", err: "greeting: tls: failed to verify certificate"},
		{name: "nobody vouches", tls: "tls", serves: "tls", untrusted: true, err: "greeting: tls: failed to verify certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := &server{}
			s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
				return &lobby{visit: visit{server: s, conn: c}, mechanisms: test.mechanisms}, nil
			}))
			s.ErrorLog = silent{}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			switch test.serves {
			case "starttls":
				s.TLSConfig = config
			case "tls":
				l = tls.NewListener(l, config)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(l) }()
			defer func() {
				s.Server.Close()
				l.Close() // of which the server may not know yet
				<-ended
			}()
			_, port, _ := net.SplitHostPort(l.Addr().String())
			host := test.host
			setDefault(&host, "localhost")
			cfg := Relay{Address: net.JoinHostPort(host, port), TLS: test.tls, Hello: "exit.example"}
			if test.password != "" {
				cfg.Username, cfg.PasswordFile = "exit", filepath.Join(t.TempDir(), "password")
				if err := os.WriteFile(cfg.PasswordFile, []byte(test.password), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			r, err := newRelay(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !test.untrusted {
				r.tls.RootCAs = pool
			}
			session, err := r.open(t.Context())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error %v, want one about %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer session.end()
			v, err := session.send("anonymous@exit.example", ana, []byte("Subject: a\r\n\r\n.\r\n..\r\nb\r\n"), func() error { return nil })
			if err != nil || v != (verdict{outcome: mail.Delivered}) {
				t.Fatalf("verdict %+v, error %v", v, err)
			}
			got := s.received()
			if len(got) != 1 || got[0].from != "anonymous@exit.example" || got[0].to != string(ana) || got[0].text != "Subject: a\r\n\r\n.\r\n..\r\nb\r\n" {
				t.Errorf("the server has %v", got)
			}
		})
	}
}

// TestBeginFails checks that a message whose delivery must not be finished is
// cut off before its end.
func TestBeginFails(t *testing.T) {
	near, far := net.Pipe()
	heard := make(chan string, 1)
	go func() {
		defer far.Close()
		io.WriteString(far, "220 here\r\n")
		var all strings.Builder
		b := make([]byte, 1<<16)
		for {
			n, err := far.Read(b)
			all.Write(b[:n])
			if err != nil {
				heard <- all.String()
				return
			}
			switch line := string(b[:n]); {
			case strings.HasPrefix(line, "DATA"):
				io.WriteString(far, "354 go on\r\n")
			case strings.HasSuffix(line, "\r\n") && !strings.Contains(all.String(), "DATA"):
				io.WriteString(far, "250 fine\r\n")
			}
		}
	}()
	s := sessionOver(t, near)
	stop := errors.New("stop")
	message := strings.Repeat("0123456789\r\n", 1000)
	if _, err := s.send("a@b.example", ana, []byte(message), func() error { return stop }); !errors.Is(err, stop) {
		t.Fatalf("error %v", err)
	}
	s.end()
	if all := <-heard; strings.Contains(all, "\r\n.\r\n") || strings.Contains(all, "QUIT") || !strings.Contains(all, "0123456789") {
		t.Errorf("the server heard the message's end, or nothing of it: %d bytes", len(all))
	}
}

// TestDiscreet: an error for the log names no address and no word of a server.
func TestDiscreet(t *testing.T) {
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED)
	for want, err := range map[string]error{
		"connecting: connect: connection refused": &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 9), Port: 25}, Err: refused},
		"connecting: looking up the server's name: no such host": &net.OpError{Op: "dial", Net: "tcp",
			Err: &net.DNSError{Err: "no such host", Name: "relay.example", Server: "192.0.2.53:53"}},
		"connecting: the server answered with code 554":                       withText(554, "go away, 192.0.2.1"),
		"connecting: the server broke off, or does not offer what this needs": errors.New("unexpected word: 192.0.2.1"),
	} {
		if got := discreet("connecting", err).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAnswerAtEachStage has a server that answers one command in another way
// than it should: only what it says after the message's end can mean that it has
// the message.
func TestAnswerAtEachStage(t *testing.T) {
	for _, test := range []struct {
		stage, answer string
		want          verdict
	}{
		{"MAIL", "251 whoever that is", verdict{reason: "251 whoever that is"}},
		{"MAIL", "451 4.7.1 later", verdict{reason: "451 4.7.1 later"}},
		{"MAIL", "550 5.7.1 no", verdict{outcome: mail.Failed, reason: "550 5.7.1 no"}},
		{"RCPT", "221 goodbye", verdict{reason: "221 goodbye"}},
		{"RCPT", "354 go on", verdict{reason: "354 go on"}},
		{"RCPT", "550 5.1.1 no", verdict{outcome: mail.Failed, reason: "550 5.1.1 no"}},
		{"DATA", "250 2.0.0 thanks", verdict{reason: "250 2.0.0 thanks"}},
		{"DATA", "451 later", verdict{reason: "451 later"}},
		{"DATA", "554 no", verdict{outcome: mail.Failed, reason: "554 no"}},
		{"end", "250 2.0.0 queued", verdict{outcome: mail.Delivered}},
		{"end", "251 forwarded", verdict{outcome: mail.Delivered}},
		{"end", "354 go on", verdict{reason: "354 go on"}},
		{"end", "451 later", verdict{reason: "451 later"}},
		{"end", "535 5.7.8 who are you", verdict{reason: "535 5.7.8 who are you"}},
		{"end", "554 5.7.1 spam", verdict{outcome: mail.Failed, reason: "554 5.7.1 spam"}},
	} {
		t.Run(test.stage+" "+test.answer[:3], func(t *testing.T) {
			near, far := net.Pipe()
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer far.Close()
				lines := bufio.NewReader(far)
				for stage, answer := "greeting", "220 here"; ; {
					if stage == test.stage {
						answer = test.answer
					}
					io.WriteString(far, answer+"\r\n")
					line, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					stage, answer = line[:4], "250 fine"
					switch {
					case strings.HasPrefix(line, "DATA"):
						answer = "354 go on"
					case strings.HasPrefix(line, "Subject"):
						for line != ".\r\n" && err == nil {
							line, err = lines.ReadString('\n')
						}
						stage = "end"
					}
				}
			}()
			s := sessionOver(t, near)
			begun := false
			v, err := s.send("a@b.example", ana, []byte("Subject: a\r\n\r\nb\r\n"), func() error { begun = true; return nil })
			if err != nil || v != test.want || begun != (test.stage == "end") {
				t.Errorf("verdict %+v, error %v, begun %v; want %+v", v, err, begun, test.want)
			}
			s.end()
			<-ended
		})
	}
}

// TestStalledMessage has a server that stops reading amid the message.
func TestStalledMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		go func() {
			b := make([]byte, 4096)
			for _, answer := range []string{"220 here", "250 fine", "250 fine", "250 fine", "354 go on"} {
				io.WriteString(far, answer+"\r\n")
				far.Read(b)
			}
		}()
		s := sessionOver(t, near)
		begin := time.Now()
		v, err := s.send("a@b.example", ana, make([]byte, 100_000), func() error { return errors.New("too early") })
		if err != nil || v.outcome != mail.Waiting || v.doubt || time.Since(begin) != answerTimeout {
			t.Errorf("verdict %+v, error %v after %v", v, err, time.Since(begin))
		}
		s.end()
	})
}

// TestRealTime takes a parcel through the office to a server on a real socket,
// with the real clock.
func TestRealTime(t *testing.T) {
	s := &server{}
	s.Server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &visit{server: s, conn: c}, nil
	}))
	got := make(chan struct{})
	s.onData = func(*smtp.Conn, string, string) error { close(got); return nil }
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	defer func() {
		s.Server.Close()
		l.Close() // of which the server may not know yet
		<-ended
	}()
	cfg := Config{Dir: t.TempDir(), From: "anonymous@exit.example", Hold: 1, Relay: Relay{Address: l.Addr().String(), TLS: "none"}}
	if _, err := InitKeys(cfg.Dir, plain(t, cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	o, err := Open(cfg, plain(t, cfg.Dir), epoch, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	d := &desk{Office: o, t: t, cfg: cfg, server: s}
	stop := d.run()
	p := d.parcel(20_000, ana)
	sealed := d.seal(p)
	d.post(sealed)
	<-got
	stop() // waits for the transaction
	d.wantLetters("anonymous@exit.example", p)
	d.wantState(d.ask(sealed), mail.StateDone, mail.Result{Outcome: mail.Delivered})
}

// sessionOver is a session with the mail server at the other end of a connection.
func sessionOver(t *testing.T, near net.Conn) *session {
	t.Helper()
	r, err := newRelay(Relay{Address: "relay.example:25", TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	r.dial = func(context.Context, string, string) (net.Conn, error) { return near, nil }
	s, err := r.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
