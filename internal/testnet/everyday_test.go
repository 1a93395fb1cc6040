package testnet_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
)

// write makes a plain text mail.
func write(subject, body string) []byte {
	return fmt.Appendf(nil, "From: me@home.example\r\nTo: you@far.example\r\nSubject: %s\r\nMessage-ID: <%s@home.example>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		subject, strings.ReplaceAll(subject, " ", "-"), strings.ReplaceAll(body, "\n", "\r\n"))
}

// promised are the subjects of the mails that each network's gateway answered with
// 250.
var promised struct {
	sync.Mutex
	subjects map[*testnet.Network][]string
}

// submit submits a mail that must be taken.
func submit(t *testing.T, n *testnet.Network, to, subject, body string) {
	t.Helper()
	if err := n.Submit("me@home.example", []string{to}, write(subject, body)); err != nil {
		t.Fatalf("%q: %v", subject, err)
	}
	promised.Lock()
	defer promised.Unlock()
	if promised.subjects == nil {
		promised.subjects = map[*testnet.Network][]string{}
	}
	promised.subjects[n] = append(promised.subjects[n], subject)
}

// allOnce waits until every mail that was answered 250 has arrived, but for those
// with the subjects in failed, and checks that each did so once and nothing else.
func allOnce(t *testing.T, ctx context.Context, n *testnet.Network, failed ...string) {
	t.Helper()
	promised.Lock()
	want := map[string]int{}
	for _, subject := range promised.subjects[n] {
		want[subject] = 1
	}
	promised.Unlock()
	for _, subject := range failed {
		delete(want, subject)
	}
	if len(want) == 0 {
		t.Fatal("no mail was answered 250")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var missing []string
	err := n.Wait(ctx, "every mail's arrival", func() (bool, error) {
		here := arrivals(t, n)
		missing = nil
		for subject := range want {
			if here[subject] == 0 {
				missing = append(missing, subject)
			}
		}
		return len(missing) == 0, nil
	})
	if err != nil {
		t.Errorf("%v; missing: %q", err, missing)
	}
	if here := arrivals(t, n); !maps.Equal(here, want) {
		t.Errorf("arrived: %v, want %v", here, want)
	}
}

// arrival waits until the receiving server has a mail with this subject, and
// returns its text.
func arrival(t *testing.T, ctx context.Context, n *testnet.Network, subject string) (body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := n.Wait(ctx, "the arrival of "+subject, func() (bool, error) {
		list, err := n.Received()
		for _, r := range list {
			if s, b := readMail(t, r.Data); s == subject {
				body = b
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// state waits until the gateway tells this state of the mail with this subject. A
// gateway asks at few moments, drawn at random over a mail's life, so this waits
// longer than a life.
func state(t *testing.T, ctx context.Context, n *testnet.Network, subject, want string) gateway.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, everydayExpiry*10*time.Second+patience)
	defer cancel()
	var found gateway.Entry
	err := n.Wait(ctx, subject+" to be "+want, func() (bool, error) {
		list, err := n.Queue(ctx, true)
		for _, e := range list {
			if e.Subject == subject {
				found = e
				return e.State == want, nil
			}
		}
		return false, err
	})
	if err != nil {
		t.Fatalf("%v; the gateway says %+v", err, found)
	}
	return found
}

// everydayExpiry is for how many epochs of 10 s a mail lives in a network whose
// gateway is asked what became of it: long enough to arrive on a busy machine,
// and short enough to wait for its gateway's last question.
const everydayExpiry = 9

// One network, and what people do with it on all days.
func TestEveryday(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := start(t, testnet.Options{Expiry: everydayExpiry})

	t.Run("large mail", func(t *testing.T) {
		text := largeText(300_000)
		submit(t, n, "you@far.example", "large", text)
		if got := arrival(t, ctx, n, "large"); got != text {
			t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
		}
	})
	t.Run("bad input", func(t *testing.T) { badInput(t, ctx, n) })
	t.Run("full disk", func(t *testing.T) { fullDisk(t, ctx, n) })
	t.Run("second gateway", func(t *testing.T) { secondGateway(t, ctx, n) })
	t.Run("receiver down", func(t *testing.T) {
		if err := n.Process(testnet.Sink).Stop(); err != nil {
			t.Fatal(err)
		}
		submit(t, n, "you@far.example", "patience", "x\n")
		state(t, ctx, n, "patience", "at exit")
		if err := n.Process(testnet.Sink).Start(); err != nil {
			t.Fatal(err)
		}
		arrival(t, ctx, n, "patience")
	})
	t.Run("no such user", func(t *testing.T) {
		if err := n.SetSink(sink.Refuse); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := n.SetSink(sink.Accept); err != nil {
				t.Fatal(err)
			}
		}()
		submit(t, n, "nobody@far.example", "refused", "x\n")
		e := state(t, ctx, n, "refused", "failed")
		if len(e.Reasons) != 1 || !strings.Contains(e.Reasons[0], "550 5.1.1") {
			t.Errorf("the reason told is %q", e.Reasons)
		}
	})
	t.Run("repeated submission", func(t *testing.T) {
		submit(t, n, "you@far.example", "twice", "x\n")
		submit(t, n, "you@far.example", "twice", "x\n")
		list, err := n.Queue(ctx, true)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, e := range list {
			if e.Subject == "twice" {
				count++
			}
		}
		if count != 1 {
			t.Errorf("the same mail is in the queue %d times", count)
		}
		arrival(t, ctx, n, "twice")
	})
	t.Run("all once", func(t *testing.T) { allOnce(t, ctx, n, "refused") })
}

// largeText is text of about this many bytes, in lines that mail programs write.
func largeText(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%06d Grüße, and the quick brown fox jumps over the lazy dog.\n", i)
	}
	return b.String()
}

// A mail of 300 kB arrives although every tenth packet is lost on its way.
func TestLossyEntry(t *testing.T) {
	t.Parallel()
	lossy := &tap.Lossy{Drop: tap.Every(10)}
	n := start(t, testnet.Options{Taps: map[string]tap.Tap{testnet.Entry: lossy}})
	text := largeText(300_000)
	submit(t, n, "you@far.example", "lossy", text)
	if got := arrival(t, t.Context(), n, "lossy"); got != text {
		t.Errorf("%d bytes arrived, %d were written, and they differ", len(got), len(text))
	}
	if received, dropped := lossy.Counts(); dropped < received/20 {
		t.Errorf("only %d of %d packets were lost: the test shows nothing", dropped, received)
	}
}

// A mail that cannot be delivered expires: its writer is told, and nothing is
// delivered afterwards.
func TestExpiry(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := start(t, testnet.Options{Expiry: 2})
	if err := n.Process(testnet.Sink).Stop(); err != nil {
		t.Fatal(err)
	}
	submit(t, n, "you@far.example", "too late", "x\n")
	state(t, ctx, n, "too late", "expired")
	if err := n.Process(testnet.Sink).Start(); err != nil {
		t.Fatal(err)
	}
	// A mail that is written now arrives; the old one does not come with it.
	submit(t, n, "you@far.example", "in time", "x\n")
	arrival(t, ctx, n, "in time")
	list, err := n.Received()
	if err != nil || len(list) != 1 {
		t.Errorf("%d mails arrived, want 1: %v", len(list), err)
	}
}

// login opens a session and logs in.
func login(t *testing.T, n *testnet.Network, password string) (*smtp.Client, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", n.Submission().TLS, &tls.Config{InsecureSkipVerify: true}) // Submit checks it
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(conn, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if password == "" {
		return c, nil
	}
	return c, c.Auth(smtp.PlainAuth("", n.Submission().User, password, "127.0.0.1"))
}

// badInput hands the gateway what it must refuse, with a code and a clear text,
// and sees that it takes a good mail after each.
func badInput(t *testing.T, ctx context.Context, n *testnet.Network) {
	data := func(message string) func(*testing.T) error {
		return func(t *testing.T) error {
			c, err := login(t, n, n.Submission().Password)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.Mail("me@home.example"), c.Rcpt("you@far.example")); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Text.Cmd("DATA"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Text.ReadResponse(354); err != nil {
				t.Fatal(err)
			}
			// Unlike DotWriter, this leaves bare line ends as they are.
			fmt.Fprintf(c.Text.W, "%s\r\n.\r\n", message)
			c.Text.W.Flush()
			_, _, err = c.Text.ReadResponse(250)
			return err
		}
	}
	for _, c := range []struct {
		name string
		try  func(*testing.T) error
		code int
		text string
	}{
		{"wrong password", func(t *testing.T) error { _, err := login(t, n, "wrong"); return err }, 535, ""},
		{"no login", func(t *testing.T) error { c, _ := login(t, n, ""); return c.Mail("me@home.example") }, 530, ""},
		{"oversize", func(t *testing.T) error {
			return n.Submit("me@home.example", []string{"you@far.example"}, write("oversize", largeText(1_200_000)))
		}, 552, "bytes"},
		{"bare LF", data("Subject: x\r\n\r\na\nb"), 554, ""},
		{"bare CR", data("Subject: x\r\n\r\na\rb"), 554, ""},
		{"8-bit garbage", data("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\x80"), 554, ""},
		{"header without colon", data("Subject: x\r\nnonsense\r\n\r\nx"), 554, ""},
		{"HTML", data("Subject: x\r\nContent-Type: text/html\r\n\r\n<p>x</p>"), 554, "plain text"},
		{"10,000 recipients", func(t *testing.T) error {
			c, err := login(t, n, n.Submission().Password)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Mail("me@home.example"); err != nil {
				t.Fatal(err)
			}
			for i := range 10_000 {
				if err := c.Rcpt(fmt.Sprintf("you%d@far.example", i)); err != nil {
					return err
				}
			}
			return nil
		}, 452, "recipients"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.try(t)
			answer, ok := errors.AsType[*textproto.Error](err)
			if !ok || answer.Code != c.code || !strings.Contains(answer.Msg, c.text) || len(answer.Msg) < 15 {
				t.Errorf("answer %v, want %d with %q", err, c.code, c.text)
			}
			submit(t, n, "you@far.example", "after "+c.name, "still here\n")
		})
	}
	arrival(t, ctx, n, "after 10,000 recipients")
}

// fullDisk lets the gateway's files grow no further: what it cannot store it
// does not take, and what it has it keeps.
func fullDisk(t *testing.T, ctx context.Context, n *testnet.Network) {
	pid := n.Process(testnet.Gateway).Pid()
	info, err := os.Stat(n.Path(testnet.Gateway, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Rlimit
	full := unix.Rlimit{Cur: uint64(info.Size()), Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &full, &old); err != nil {
		t.Fatal(err)
	}
	err = n.Submit("me@home.example", []string{"you@far.example"}, write("no room", largeText(900_000)))
	if answer, ok := errors.AsType[*textproto.Error](err); !ok || answer.Code != 452 || !strings.Contains(answer.Msg, "full") {
		t.Errorf("answer %v, want 452 that says the disk is full", err)
	}
	if err := unix.Prlimit(pid, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
	submit(t, n, "you@far.example", "room again", "x\n")
	arrival(t, ctx, n, "room again")
}

// secondGateway starts another gateway in the same directory, and one on the
// same port.
func secondGateway(t *testing.T, ctx context.Context, n *testnet.Network) {
	if _, err := n.Run(ctx, "gateway", "-c", n.Path(testnet.Gateway, gateway.ConfigName)); err == nil || !strings.Contains(err.Error(), "another gateway is running") {
		t.Errorf("a second gateway in the same directory: %v", err)
	}
	dir := t.TempDir()
	err := filepath.WalkDir(n.Path(testnet.Gateway), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, ".db") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, d.Name()), b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Run(ctx, "gateway", "-c", filepath.Join(dir, gateway.ConfigName)); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second gateway on the same port: %v", err)
	}
}

// patience bounds what a test waits for: an epoch and a half at the start, and more
// on a busy machine.
const patience = 90 * time.Second
