package users_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
	"codeberg.org/sourdine/sourdine/internal/testnet/tap"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// One network, and what people do with it on all days.
func TestEveryday(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := trial.Start(t, testnet.Options{Expiry: trial.Expiry})

	t.Run("large mail", func(t *testing.T) {
		text := trial.LargeText(300_000)
		trial.Submit(t, n, "you@far.example", "large", text)
		if got := trial.Arrival(t, ctx, n, "large"); got != text {
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
		trial.Submit(t, n, "you@far.example", "patience", "x\n")
		trial.State(t, ctx, n, "patience", "at exit")
		if err := n.Process(testnet.Sink).Start(); err != nil {
			t.Fatal(err)
		}
		trial.Arrival(t, ctx, n, "patience")
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
		trial.Submit(t, n, "nobody@far.example", "refused", "x\n")
		e := trial.State(t, ctx, n, "refused", "failed")
		if len(e.Reasons) != 1 || !strings.Contains(e.Reasons[0], "550 5.1.1") {
			t.Errorf("the reason told is %q", e.Reasons)
		}
	})
	t.Run("repeated submission", func(t *testing.T) {
		trial.Submit(t, n, "you@far.example", "twice", "x\n")
		trial.Submit(t, n, "you@far.example", "twice", "x\n")
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
		trial.Arrival(t, ctx, n, "twice")
	})
	t.Run("all once", func(t *testing.T) { trial.AllOnce(t, ctx, n, "refused") })
}

// A mail of 300 kB arrives although every tenth packet is lost on its way.
func TestLossyEntry(t *testing.T) {
	t.Parallel()
	lossy := &tap.Lossy{Drop: tap.Every(10)}
	n := trial.Start(t, testnet.Options{Taps: map[string]tap.Tap{testnet.Entry: lossy}})
	text := trial.LargeText(300_000)
	trial.Submit(t, n, "you@far.example", "lossy", text)
	if got := trial.Arrival(t, t.Context(), n, "lossy"); got != text {
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
	n := trial.Start(t, testnet.Options{Expiry: 2})
	if err := n.Process(testnet.Sink).Stop(); err != nil {
		t.Fatal(err)
	}
	trial.Submit(t, n, "you@far.example", "too late", "x\n")
	trial.State(t, ctx, n, "too late", "expired")
	if err := n.Process(testnet.Sink).Start(); err != nil {
		t.Fatal(err)
	}
	// A mail that is written now arrives; the old one does not come with it.
	trial.Submit(t, n, "you@far.example", "in time", "x\n")
	trial.Arrival(t, ctx, n, "in time")
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
			return n.Submit("me@home.example", []string{"you@far.example"}, trial.Write("oversize", trial.LargeText(1_200_000)))
		}, 552, "kB"},
		{"bare LF", data("Subject: x\r\n\r\na\nb"), 554, ""},
		{"bare CR", data("Subject: x\r\n\r\na\rb"), 554, ""},
		{"8-bit garbage", data("Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\xff\xfe\x80"), 554, ""},
		{"header without colon", data("Subject: x\r\nnonsense\r\n\r\nx"), 554, ""},
		{"office document", data("Subject: x\r\nContent-Type: application/msword\r\n\r\n{\\rtf1 x}"), 554, "Export it as PDF"},
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
			trial.Submit(t, n, "you@far.example", "after "+c.name, "still here\n")
		})
	}
	trial.Arrival(t, ctx, n, "after 10,000 recipients")
}

// fullDisk lets the gateway's files grow no further: what it cannot store it
// does not take, and what it has it keeps.
func fullDisk(t *testing.T, ctx context.Context, n *testnet.Network) {
	pid := n.Process(testnet.Gateway).Pid()
	info, err := os.Stat(n.Path(testnet.Gateway, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	before := trial.LimitFiles(t, pid, uint64(info.Size()))
	err = n.Submit("me@home.example", []string{"you@far.example"}, trial.Write("no room", trial.LargeText(900_000)))
	if answer, ok := errors.AsType[*textproto.Error](err); !ok || answer.Code != 452 || !strings.Contains(answer.Msg, "full") {
		t.Errorf("answer %v, want 452 that says the disk is full", err)
	}
	trial.LimitFiles(t, pid, before)
	trial.Submit(t, n, "you@far.example", "room again", "x\n")
	trial.Arrival(t, ctx, n, "room again")
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
