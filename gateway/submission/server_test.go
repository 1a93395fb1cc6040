package submission

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
)

const (
	testUser     = "writer"
	testName     = "The Writer"
	testPassword = "correct horse"
	testLimit    = 1_000_000
)

// testServer is a running server and what it accepted.
type testServer struct {
	*Server
	roots *x509.CertPool
	log   lockedBuffer

	mu      sync.Mutex
	letters []*Letter
	refuse  error // what the Accepter returns
	hook    func(l *Letter)
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (ts *testServer) accept(_ context.Context, l *Letter) error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.hook != nil {
		ts.hook(l)
	}
	if ts.refuse != nil {
		return ts.refuse
	}
	ts.letters = append(ts.letters, l)
	return nil
}

func (ts *testServer) accepted() []*Letter {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return ts.letters
}

// testRing has a cost of microseconds.
// testRoom is what a parcel has for a message.
func testRoom(*Letter) int { return 1 << 20 }

func testRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.CreateWithCost(filepath.Join(t.TempDir(), "keys.json"), testUser, []byte(testPassword),
		keyring.Cost{Memory: 8, Passes: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, password := range map[string]string{"pen": "battery staple", "gone": "its persona is not configured"} {
		if err := ring.Give(name, []byte(testPassword), []byte(password)); err != nil {
			t.Fatal(err)
		}
	}
	return ring
}

// testPersonas are who may log in; the one without a password in the key file cannot.
var testPersonas = []Persona{{testUser, testName}, {"pen", ""}, {"new", "No password yet"}}

// socketPath is short, as unix sockets need.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "smtp")
}

// start runs a server on all three listeners until the test ends, then checks that its log is discreet.
func start(t *testing.T) *testServer {
	t.Helper()
	certificate, _, err := Certificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ts := &testServer{roots: x509.NewCertPool()}
	ts.roots.AddCert(certificate.Leaf)
	ts.Server, err = New(Config{
		Listen:    "127.0.0.1:0",
		ListenTLS: "127.0.0.1:0",
		Socket:    socketPath(t),
		TLS:       &tls.Config{Certificates: []tls.Certificate{certificate}},
		Personas:  testPersonas,
		MaxBytes:  testLimit,
		Room:      testRoom,
	}, testRing(t), ts.accept, slog.New(slog.NewTextHandler(&ts.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ts.attempts.first, ts.local.first = time.Millisecond, time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ts.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		for _, secret := range []string{"127.0.0.1", "example", "alice", "Lunch", "noon", testUser, testName, testPassword, "@"} {
			if strings.Contains(ts.log.String(), secret) {
				t.Errorf("the log holds %q:\n%s", secret, ts.log.String())
			}
		}
	})
	return ts
}

// client is a mail program's end of a connection.
type client struct {
	t    *testing.T
	conn net.Conn
	text *textproto.Conn
}

// dial connects: "plain" to the STARTTLS port, "starttls" with TLS begun there, "tls" or "unix".
func (ts *testServer) dial(t *testing.T, how string) *client {
	t.Helper()
	starttls, implicit := ts.Addrs()
	config := &tls.Config{RootCAs: ts.roots, ServerName: "localhost"}
	var conn net.Conn
	var err error
	switch how {
	case "plain", "starttls":
		conn, err = net.Dial("tcp", starttls.String())
	case "tls":
		conn, err = tls.Dial("tcp", implicit.String(), config)
	case "unix":
		conn, err = net.Dial("unix", ts.cfg.Socket)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := &client{t, conn, textproto.NewConn(conn)}
	c.expect("220 localhost ")
	if how == "starttls" {
		c.do("EHLO me", "250")
		c.do("STARTTLS", "220 2.0.0")
		c.conn = tls.Client(conn, config)
		c.text = textproto.NewConn(c.conn)
	}
	return c
}

// send writes raw bytes.
func (c *client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, raw); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

// expect reads one reply and checks the beginning of its last line; it returns the whole reply.
func (c *client) expect(want string) string {
	c.t.Helper()
	var reply []string
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			c.t.Fatalf("waiting for %q: %v", want, err)
		}
		reply = append(reply, line)
		if len(line) < 4 || line[3] == ' ' {
			if !strings.HasPrefix(line, want) {
				c.t.Errorf("answer %q, want %q", line, want)
			}
			if len(line)+2 > 512 {
				c.t.Errorf("a reply line of %d bytes", len(line)+2)
			}
			return strings.Join(reply, "\n")
		}
	}
}

func (c *client) do(line, want string) string {
	c.t.Helper()
	c.send(line + "\r\n")
	return c.expect(want)
}

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func plain(user, password string) string { return "AUTH PLAIN " + encode("\x00"+user+"\x00"+password) }

func (c *client) login() {
	c.t.Helper()
	c.do("EHLO me", "250")
	c.do(plain(testUser, testPassword), "235 2.0.0")
}

func (c *client) envelope() {
	c.t.Helper()
	c.do("MAIL FROM:<writer@example.org>", "250 2.")
	c.do("RCPT TO:<alice@example.org>", "250 2.")
}

// goodMail is a mail that says its number.
func goodMail(n int) string {
	return fmt.Sprintf("Message-ID: <%d@example.org>\r\nSubject: Lunch\r\n\r\nAt noon, %d.\r\n", n, n)
}

func TestSubmit(t *testing.T) {
	ts := start(t)
	n := 0
	for _, how := range []string{"starttls", "tls", "unix"} {
		for name, login := range map[string]func(c *client){
			"plain": func(c *client) { c.do(plain(testUser, testPassword), "235") },
			"plain acting for oneself": func(c *client) {
				c.do("AUTH PLAIN "+encode(testUser+"\x00"+testUser+"\x00"+testPassword), "235")
			},
			"plain in two steps": func(c *client) {
				c.do("AUTH PLAIN", "334 ")
				c.do(encode("\x00"+testUser+"\x00"+testPassword), "235")
			},
			"login": func(c *client) {
				c.do("AUTH LOGIN", "334 "+encode("Username:"))
				c.do(encode(testUser), "334 "+encode("Password:"))
				c.do(encode(testPassword), "235")
			},
			"login with the user name": func(c *client) {
				c.do("auth login "+encode(testUser), "334 "+encode("Password:"))
				c.do(encode(testPassword), "235")
			},
		} {
			for _, bdat := range []int{0, 1, 3} { // chunks
				t.Run(fmt.Sprintf("%s/%s/%d", how, name, bdat), func(t *testing.T) {
					n++
					c := ts.dial(t, how)
					if caps := c.do("EHLO me", "250"); !strings.Contains(caps, "AUTH PLAIN LOGIN") {
						t.Errorf("EHLO offers %q", caps)
					}
					login(c)
					c.envelope()
					text := goodMail(n)
					for i := range bdat {
						size, last := len(text), " LAST"
						if i < bdat-1 {
							size, last = 7, ""
						}
						c.send(fmt.Sprintf("BDAT %d%s\r\n%s", size, last, text[:size]))
						text = text[size:]
						c.expect("250 2.0.0")
					}
					if bdat == 0 {
						c.do("DATA", "354")
						c.do(text+".", "250 2.0.0")
					}
					c.do("QUIT", "221")
					letters := ts.accepted()
					if len(letters) != n {
						t.Fatalf("%d letters, want %d", len(letters), n)
					}
					l := letters[n-1]
					want := mail.Message{Subject: "Lunch", Body: fmt.Sprintf("At noon, %d.\n", n)}
					if !reflect.DeepEqual(*l.Message, want) || l.Persona != testPersonas[0] || fmt.Sprint(l.Recipients) != "[alice@example.org]" ||
						l.MessageID != fmt.Sprintf("<%d@example.org>", n) {
						t.Errorf("letter %+v %+v", l, l.Message)
					}
				})
			}
		}
	}
}

// TestManyMailsInOneSession submits twice after one login; the second is the first again.
func TestManyMailsInOneSession(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "unix")
	c.login()
	for range 2 {
		c.do(`MAIL FROM:<"a> SIZE=9<"@example.org> BODY=8BITMIME SIZE=100 AUTH=<>`, "250 2.")
		c.do("RCPT TO:<bob@EXAMPLE.org>", "250 2.")
		c.do("RCPT TO:<alice@example.org>", "250 2.")
		c.do("RCPT TO:<bob@example.org>", "250 2.")
		c.do("DATA", "354")
		c.do(goodMail(1)+"..\r\n.", "250 2.0.0")
	}
	c.do("MAIL FROM:<>", "250 2.")
	c.do("RCPT TO:<alice@example.org>", "250 2.")
	c.do("RSET", "250 2.")
	c.do("MAIL FROM:<>", "250 2.")
	c.do("RCPT TO:<bob@example.org>", "250 2.")
	c.do("DATA", "354")
	c.do(goodMail(1)+".", "250 2.0.0")
	letters := ts.accepted()
	if len(letters) != 3 {
		t.Fatalf("%d letters", len(letters))
	}
	for i, want := range []string{"[alice@example.org bob@example.org]", "[alice@example.org bob@example.org]", "[bob@example.org]"} {
		if got := fmt.Sprint(letters[i].Recipients); got != want {
			t.Errorf("letter %d goes to %s, want %s", i, got, want)
		}
	}
	if letters[0].Message.Body != "At noon, 1.\n.\n" {
		t.Errorf("body %q", letters[0].Message.Body)
	}
	if letters[0].Digest != letters[1].Digest || letters[0].Digest == letters[2].Digest {
		t.Error("the digest does not tell the same submission from another")
	}
}

func TestBadInput(t *testing.T) {
	ts := start(t)
	data := func(raw, want string) func(c *client) {
		return func(c *client) {
			c.login()
			c.envelope()
			c.do("DATA", "354")
			c.do(raw+"\r\n.", want)
			// What follows is understood as commands again.
			c.do("NOOP", "250")
		}
	}
	rcpt := func(arg, want string) func(c *client) {
		return func(c *client) {
			c.login()
			c.do("MAIL FROM:<>", "250")
			c.do("RCPT TO:"+arg, want)
			c.do("DATA", "502 5.5.1")
		}
	}
	mailFrom := func(arg, want string) func(c *client) {
		return func(c *client) {
			c.login()
			c.do("MAIL FROM:"+arg, want)
			c.do("RCPT TO:<alice@example.org>", "502 5.5.1")
		}
	}
	wrongLogin := func(lines ...string) func(c *client) {
		return func(c *client) {
			c.do("EHLO me", "250")
			for _, line := range lines[:len(lines)-1] {
				c.do(line, "334")
			}
			c.do(lines[len(lines)-1], "535 5.7.8")
			c.do("MAIL FROM:<>", "530 5.7.0")
		}
	}
	long := strings.Repeat("0123456789abcdef\r\n", testLimit/16)
	for name, test := range map[string]struct {
		how    string
		script func(c *client)
	}{
		"no greeting":     {"tls", func(c *client) { c.do("MAIL FROM:<>", "502 5.5.1") }},
		"no login":        {"tls", func(c *client) { c.do("EHLO me", "250"); c.do("MAIL FROM:<>", "530 5.7.0") }},
		"no login, unix":  {"unix", func(c *client) { c.do("HELO me", "250"); c.do("MAIL FROM:<>", "530 5.7.0") }},
		"wrong password":  {"tls", wrongLogin(plain(testUser, "wrong"))},
		"empty password":  {"tls", wrongLogin(plain(testUser, ""))},
		"wrong user":      {"tls", wrongLogin(plain("root", testPassword))},
		"no user":         {"tls", wrongLogin(plain("", testPassword))},
		"another's login": {"tls", wrongLogin(plain("pen", testPassword))},
		"another's word":  {"tls", wrongLogin(plain(testUser, "battery staple"))},
		"no section":      {"tls", wrongLogin(plain("gone", "its persona is not configured"))},
		"no slot":         {"tls", wrongLogin(plain("new", testPassword))},
		"longer user":     {"tls", wrongLogin(plain(testUser+"s", testPassword))},
		"LOGIN, password": {"unix", wrongLogin("AUTH LOGIN", encode(testUser), encode("wrong"))},
		"LOGIN, user":     {"unix", wrongLogin("AUTH LOGIN "+encode("root"), encode(testPassword))},
		"LOGIN, nothing":  {"unix", wrongLogin("AUTH LOGIN", "", "")},
		"login without TLS": {"plain", func(c *client) {
			if caps := c.do("EHLO me", "250"); strings.Contains(caps, "AUTH") || !strings.Contains(caps, "STARTTLS") {
				c.t.Errorf("EHLO offers %q", caps)
			}
			c.do(plain(testUser, testPassword), "538 5.7.11")
			c.do("AUTH LOGIN", "538 5.7.11")
			c.do("MAIL FROM:<>", "530 5.7.0")
		}},
		"login abandoned": {"tls", func(c *client) {
			c.do("EHLO me", "250")
			c.do("AUTH LOGIN", "334")
			c.do("*", "501")
			c.do("MAIL FROM:<>", "530 5.7.0")
		}},
		"PLAIN without NUL": {"tls", func(c *client) { c.do("EHLO me", "250"); c.do("AUTH PLAIN "+encode("x"), "501 5.5.2") }},
		"PLAIN for another": {"tls", func(c *client) {
			c.do("EHLO me", "250")
			c.do("AUTH PLAIN "+encode("x\x00"+testUser+"\x00"+testPassword), "501 5.5.2")
		}},
		"login not in base64":     {"tls", func(c *client) { c.do("EHLO me", "250"); c.do("AUTH PLAIN %%%", "454 4.7.0") }},
		"unknown mechanism":       {"tls", func(c *client) { c.do("EHLO me", "250"); c.do("AUTH CRAM-MD5", "504 5.5.4") }},
		"login twice":             {"tls", func(c *client) { c.login(); c.do(plain(testUser, testPassword), "503 5.5.1") }},
		"too large, announced":    {"tls", mailFrom("<> SIZE=1000001", "552 5.3.4 Max message size exceeded")},
		"size of 30 digits":       {"tls", mailFrom("<> SIZE=999999999999999999999999999999", "501 5.5.4")},
		"too large, at the end":   {"tls", data("Subject: x\r\n\r\n"+long, "552 5.3.4 The mail is too large: at most 1000000 bytes")},
		"line of 300 kB":          {"tls", data("Subject: x\r\n\r\n"+strings.Repeat("x", 300_000), "554 5.6.0 The mail has a line")},
		"header of 300 kB":        {"tls", data("Subject: "+strings.Repeat("x", 300_000)+"\r\n\r\nx", "554 5.6.0 ")},
		"too large, in one line":  {"tls", data("Subject: x\r\n\r\n"+strings.Repeat("x", testLimit+1), "552 5.3.4 ")},
		"bare LF":                 {"tls", data("Subject: x\n\nx\ny", "554 5.6.0 The mail has a line that ends with LF alone.")},
		"bare LF around a dot":    {"tls", data("Subject: x\r\n\r\nx\n.\r\nMAIL FROM:<>\n.\ny", "554 5.6.0 The mail has a line that ends with LF alone.")},
		"bare CR":                 {"tls", data("Subject: x\r\n\r\nx\ry", "554 5.6.0 The mail has a CR")},
		"NUL":                     {"tls", data("Subject: x\r\n\r\nx\x00y", "554 5.6.0 ")},
		"8-bit garbage":           {"tls", data("Subject: x\r\n\r\n\xff\xfe\x80", "554 5.6.0 ")},
		"8-bit header":            {"tls", data("Subject: \xff\xfe\x80\r\n\r\nx", "554 5.6.0 ")},
		"header without a colon":  {"tls", data("Subject: x\r\nno colon here\r\n\r\nx", "554 5.6.0 ")},
		"S/MIME":                  {"tls", data("Content-Type: application/pkcs7-mime\r\n\r\nAAAA", "554 5.6.0 The mail is signed or encrypted by S/MIME")},
		"multipart without parts": {"tls", data("Content-Type: multipart/mixed; boundary=x\r\n\r\n--x--", "554 5.6.0 ")},
		"two subjects":            {"tls", data("Subject: x\r\nSubject: y\r\n\r\nx", "554 5.6.0 ")},
		"recipient in UTF-8":      {"tls", rcpt("<al\u00efce@example.org>", "553 5.6.7 ")},
		"domain in UTF-8":         {"tls", rcpt("<alice@ex\u00e4mple.org>", "553 5.6.7 ")},
		"recipient without a dot": {"tls", rcpt("<alice@localhost>", "553 5.1.3 ")},
		"recipient in quotes":     {"tls", rcpt(`<"a b"@example.org>`, "553 5.1.3 ")},
		"recipient in brackets":   {"tls", rcpt("<alice@[127.0.0.1]>", "553 5.1.3 ")},
		"recipient with NUL":      {"tls", rcpt("<ali\x00ce@example.org>", "553 5.1.3 ")},
		"recipient with CR":       {"tls", rcpt("<alice@example.org\rRCPT>", "553 5.1.3 ")},
		"recipient of 300 bytes":  {"tls", rcpt("<"+strings.Repeat("a", 300)+"@example.org>", "553 5.1.3 ")},
		"no recipient":            {"tls", rcpt("<>", "501 5.5.2")},
		"parameter in recipient":  {"tls", rcpt("<alice> SIZE=1<@example.org>", "501 5.5.2")},
		"unknown RCPT parameter":  {"tls", rcpt("<alice@example.org> BY=120;R", "504 5.5.4")},
		"malformed NOTIFY":        {"tls", rcpt("<alice@example.org> NOTIFY=NEVER,DELAY", "501 5.5.4")},
		"BINARYMIME":              {"tls", mailFrom("<a@example.org> BODY=BINARYMIME", "504 5.5.4")},
		"unknown MAIL parameter":  {"tls", mailFrom("<a@example.org> X=1", "500 5.5.4")},
		"a mail in a mail": {"tls", func(c *client) {
			c.login()
			c.envelope()
			c.do("MAIL FROM:<>", "503 5.5.1")
			c.do("RSET", "250")
			c.do("DATA", "502 5.5.1")
			c.do("MAIL FROM:<>", "250")
		}},
		"10,000 recipients": {"tls", func(c *client) {
			c.login()
			c.do("MAIL FROM:<>", "250")
			for i := range 10_000 {
				want := "250"
				if i >= 100 {
					want = "452 4.5.3"
				}
				c.do(fmt.Sprintf("RCPT TO:<r%d@example.org>", i), want)
			}
		}},
		"BDAT too large": {"tls", func(c *client) {
			c.login()
			c.envelope()
			c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(long), long))
			c.expect("552 5.3.4 Max message size exceeded")
			c.do("NOOP", "250")
		}},
		"BDAT with bare LF": {"tls", func(c *client) {
			c.login()
			c.envelope()
			c.send("BDAT 4 LAST\r\nx:\n\n")
			c.expect("554 5.6.0 ")
		}},
		"BDAT cut short":       {"unix", func(c *client) { c.login(); c.envelope(); c.send("BDAT 100 LAST\r\nSubject: x\r\n\r\nx") }},
		"BDAT cut short, TLS":  {"tls", func(c *client) { c.login(); c.envelope(); c.send("BDAT 100 LAST\r\nSubject: x\r\n\r\nx") }},
		"BDAT without an end":  {"tls", func(c *client) { c.login(); c.envelope(); c.send("BDAT 5\r\nSubje"); c.expect("250") }},
		"BDAT without a login": {"tls", func(c *client) { c.do("EHLO me", "250"); c.send("BDAT 5 LAST\r\nSubje"); c.expect("502") }},
		"BDAT given up": {"tls", func(c *client) {
			c.login()
			c.envelope()
			c.send("BDAT 14\r\nSubject: x\r\n\r\n")
			c.expect("250")
			c.do("RSET", "250")
			c.do("MAIL FROM:<>", "421 4.3.0")
		}},
		"DATA cut short":    {"tls", func(c *client) { c.login(); c.envelope(); c.do("DATA", "354"); c.send(goodMail(0)) }},
		"DATA ends with LF": {"tls", func(c *client) { c.login(); c.envelope(); c.do("DATA", "354"); c.send(goodMail(0) + "\n.\n") }},
		"garbage":           {"plain", func(c *client) { c.send("\x16\x03\x01\x02\x00\x01\x00\r\n"); c.expect("501 5.5.2") }},
		"endless command": {"plain", func(c *client) {
			c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			for {
				if _, err := io.WriteString(c.conn, long); err != nil {
					return // the server has hung up
				}
			}
		}},
		"endless line of mail": {"unix", func(c *client) {
			c.login()
			c.envelope()
			c.do("DATA", "354")
			c.conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
			for {
				if _, err := io.WriteString(c.conn, strings.Repeat("x", testLimit)); err != nil {
					return
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(ts.accepted())
			c := ts.dial(t, test.how)
			test.script(c)
			c.conn.Close()
			good := ts.dial(t, "tls")
			good.login()
			good.envelope()
			good.do("DATA", "354")
			good.do(goodMail(7)+".", "250 2.0.0")
			good.do("QUIT", "221")
			ts.waitIdle(t)
			if n := len(ts.accepted()) - before; n != 1 {
				t.Errorf("%d letters accepted, want the good one", n)
			}
		})
	}
}

// Who takes every place for a login over TCP does not keep the user of the socket out.
func TestPlacesForLogins(t *testing.T) {
	ts := start(t)
	for range maxAttempts {
		if !ts.attempts.enter() {
			t.Fatal("no place")
		}
		defer ts.attempts.leave()
	}
	c := ts.dial(t, "tls")
	c.do("EHLO me", "250")
	c.do(plain(testUser, testPassword), "454 ")
	ts.dial(t, "unix").login()
}

// waitIdle waits until the server has seen the end of every connection and of the mails they left open.
func (ts *testServer) waitIdle(t *testing.T) {
	t.Helper()
	until(t, func() bool {
		ts.connections.mu.Lock()
		defer ts.connections.mu.Unlock()
		return len(ts.connections.open) == 0
	})
}

// until waits for what another goroutine, behind a real connection, is about to do.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come about within a minute")
		}
	}
}

func TestAccepterRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"temporary":           {&Temporary{Text: "No exit is known yet: try again in a minute"}, "451 4.3.0 No exit is known yet"},
		"temporary with code": {&Temporary{452, [3]int{4, 3, 1}, "The disk is full"}, "452 4.3.1 The disk is full"},
		"temporary, wrapped":  {fmt.Errorf("storing: %w", &Temporary{Text: "Later"}), "451 4.3.0 Later"},
		"permanent":           {&Permanent{Text: "Too many mails wait"}, "554 5.6.0 Too many mails wait"},
		"permanent with code": {&Permanent{550, [3]int{5, 7, 1}, "This exit does not deliver"}, "550 5.7.1 This exit does not"},
		"wrong class":         {&Permanent{250, [3]int{2, 0, 0}, "Nonsense"}, "554 5.6.0 Nonsense"},
		"many lines":          {&Permanent{Text: "one\r\n250 2.0.0 two\n\tthree\x00" + strings.Repeat("\u00e9", 600)}, "554 5.6.0 one 250 2.0.0 two three???"},
		"another error":       {os.ErrClosed, "451 4.3.0 The mail could not be stored"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := start(t)
			ts.refuse = test.err
			c := ts.dial(t, "tls")
			c.login()
			c.envelope()
			c.do("DATA", "354")
			c.do(goodMail(1)+".", test.want)
			ts.mu.Lock()
			ts.refuse = nil
			ts.mu.Unlock()
			c.envelope()
			c.do("DATA", "354")
			c.do(goodMail(1)+".", "250")
			if logged := strings.Contains(ts.log.String(), "could not be accepted"); logged != (test.err == os.ErrClosed) {
				t.Errorf("log: %s", ts.log.String())
			}
		})
	}
}

// TestStartTLSInjection pipelines commands behind STARTTLS: they are forgotten, not run inside TLS (RFC 3207
// section 6).
func TestStartTLSInjection(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "plain")
	c.do("EHLO me", "250")
	c.send("STARTTLS\r\nEHLO injected\r\n" + plain(testUser, testPassword) + "\r\nMAIL FROM:<>\r\n")
	c.expect("220 2.0.0")
	c.conn = tls.Client(c.conn, &tls.Config{RootCAs: ts.roots, ServerName: "localhost"})
	c.text = textproto.NewConn(c.conn)
	if err := c.conn.(*tls.Conn).Handshake(); err != nil {
		// The injected bytes can also reach the handshake; then there is no session at all.
		return
	}
	c.do("MAIL FROM:<>", "502 5.5.1")
	c.do("EHLO me", "250")
	c.do("MAIL FROM:<>", "530 5.7.0")
}

// TestStartTLSForgets takes nothing over from before TLS, and a login not out of it.
func TestStartTLSForgets(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "unix")
	c.login()
	c.envelope()
	c.do("STARTTLS", "220")
	c.conn = tls.Client(c.conn, &tls.Config{RootCAs: ts.roots, ServerName: "localhost"})
	c.text = textproto.NewConn(c.conn)
	c.do("DATA", "502 5.5.1")
	c.do("EHLO me", "250")
	c.do("MAIL FROM:<>", "530 5.7.0")
}

// TestKeyLivesAsLongAsTheSession looks at the key that an Accepter got, during and after the session.
func TestKeyLivesAsLongAsTheSession(t *testing.T) {
	ts := start(t)
	sealed, err := ts.ring.Seal("x", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	ts.hook = func(l *Letter) {
		if text, err := l.Key.Open("x", sealed); err != nil || string(text) != "text" {
			t.Errorf("in the call: %q, %v", text, err)
		}
	}
	for name, end := range map[string]func(c *client){
		"QUIT":    func(c *client) { c.do("QUIT", "221") },
		"hang up": func(c *client) { c.conn.Close() },
		"STARTTLS": func(c *client) {
			c.do("STARTTLS", "220")
			tls.Client(c.conn, &tls.Config{RootCAs: ts.roots, ServerName: "localhost"}).Handshake()
			c.conn.Close()
		},
	} {
		c := ts.dial(t, "unix")
		c.login()
		c.envelope()
		c.do("DATA", "354")
		c.do(goodMail(1)+".", "250")
		end(c)
		ts.waitIdle(t)
		letters := ts.accepted()
		if _, err := letters[len(letters)-1].Key.Open("x", sealed); err == nil {
			t.Errorf("%s: the key is not wiped", name)
		}
	}
}

// TestPanic has the Accepter fail in the worst way, in both kinds of transaction.
func TestPanic(t *testing.T) {
	ts := start(t)
	ts.hook = func(*Letter) { panic("alice@example.org") }
	c := ts.dial(t, "tls")
	c.login()
	c.envelope()
	c.do("DATA", "354")
	c.do(goodMail(1)+".", "421 4.0.0")
	c = ts.dial(t, "tls")
	c.login()
	c.envelope()
	c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(goodMail(1)), goodMail(1)))
	c.expect("421 4.0.0")
	ts.mu.Lock()
	ts.hook = nil
	ts.mu.Unlock()
	c = ts.dial(t, "tls")
	c.login()
	c.envelope()
	c.do("DATA", "354")
	c.do(goodMail(1)+".", "250")
	if log := ts.log.String(); !strings.Contains(log, "please report it") || !strings.Contains(log, "(*session") {
		t.Errorf("the log does not tell where: %s", log)
	}
}

func TestTooManyConnections(t *testing.T) {
	ts := start(t)
	var all []*client
	for range maxConnections {
		all = append(all, ts.dial(t, "unix"))
	}
	starttls, _ := ts.Addrs()
	conn, err := net.Dial("tcp", starttls.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "421 4.3.2 ") {
		t.Errorf("answer %q", answer)
	}
	for _, c := range all {
		c.do("QUIT", "221")
	}
	ts.waitIdle(t)
	ts.dial(t, "tls").login()
}

// TestServeEnds stops a server with an idle session, one in the middle of a mail and one waiting after a wrong
// password, and one whose letter the Accepter still holds: that one is answered.
func TestServeEnds(t *testing.T) {
	ring, started, release := testRing(t), make(chan struct{}), make(chan struct{})
	accept := func(ctx context.Context, l *Letter) error {
		close(started)
		<-ctx.Done()
		<-release
		return nil
	}
	s, err := New(Config{Socket: socketPath(t), Personas: testPersonas, MaxBytes: testLimit, Room: testRoom},
		ring, accept, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.local.first = time.Hour
	ts := &testServer{Server: s}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()

	idle, reading, waiting, held := ts.dial(t, "unix"), ts.dial(t, "unix"), ts.dial(t, "unix"), ts.dial(t, "unix")
	reading.login()
	reading.envelope()
	reading.do("DATA", "354")
	reading.send(goodMail(1))
	held.login()
	held.envelope()
	held.do("DATA", "354")
	held.send(goodMail(2) + ".\r\n")
	<-started
	waiting.do("EHLO me", "250")
	waiting.send(plain(testUser, "wrong") + "\r\n")
	until(t, func() bool {
		s.local.mu.Lock()
		defer s.local.mu.Unlock()
		return s.local.failures == 1
	})
	cancel()
	idle.expect("421 ")
	reading.expect("451 4.4.2")
	waiting.expect("535 5.7.8")
	select {
	case <-done:
		t.Error("Serve returned while an Accepter ran")
	default:
	}
	close(release)
	held.expect("250 ")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("unix", s.cfg.Socket); err == nil {
		t.Error("still listening")
	}
}
