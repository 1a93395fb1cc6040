package trial

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
)

// Write makes a plain text mail, from LF line ends.
func Write(subject, body string) []byte {
	return fmt.Appendf(nil, "From: me@home.example\r\nTo: you@far.example\r\nSubject: %s\r\nMessage-ID: <%s@home.example>\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		subject, strings.ReplaceAll(subject, " ", "-"), strings.ReplaceAll(body, "\n", "\r\n"))
}

// promised are the subjects of the mails that each network's gateway answered with
// 250.
var promised struct {
	sync.Mutex
	subjects map[*testnet.Network][]string
}

// Submit submits a mail that must be taken.
func Submit(t *testing.T, n *testnet.Network, to, subject, body string) {
	t.Helper()
	if err := n.Submit("me@home.example", []string{to}, Write(subject, body)); err != nil {
		t.Fatalf("%q: %v", subject, err)
	}
	promised.Lock()
	defer promised.Unlock()
	if promised.subjects == nil {
		promised.subjects = map[*testnet.Network][]string{}
	}
	promised.subjects[n] = append(promised.subjects[n], subject)
}

// AllOnce waits until every mail that was answered 250 has arrived, but for those
// with the subjects in failed, and checks that each did so once and nothing else.
func AllOnce(t *testing.T, ctx context.Context, n *testnet.Network, failed ...string) {
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
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var missing []string
	err := n.Wait(ctx, "every mail's arrival", func() (bool, error) {
		here := Arrivals(t, n)
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
	if here := Arrivals(t, n); !maps.Equal(here, want) {
		t.Errorf("arrived: %v, want %v", here, want)
	}
}

// Arrival waits until the receiving server has a mail with this subject, and
// returns its text.
func Arrival(t *testing.T, ctx context.Context, n *testnet.Network, subject string) (body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	err := n.Wait(ctx, "the arrival of "+subject, func() (bool, error) {
		list, err := n.Received()
		for _, r := range list {
			if s, b := ReadMail(t, r.Data); s == subject {
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

// State waits until the gateway tells this state of the mail with this subject. A
// gateway asks at few moments, drawn at random over a mail's life, so this waits
// longer than a life.
func State(t *testing.T, ctx context.Context, n *testnet.Network, subject, want string) gateway.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, Expiry*10*time.Second+Patience)
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

// Expiry is for how many epochs of 10 s a mail lives in a network whose
// gateway is asked what became of it: long enough to arrive on a busy machine,
// and short enough to wait for its gateway's last question.
const Expiry = 9

// LargeText is text of about this many bytes, in lines that mail programs write.
func LargeText(size int) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%06d Grüße, and the quick brown fox jumps over the lazy dog.\n", i)
	}
	return b.String()
}

// Arrivals counts the copies of each mail that arrived, by subject.
func Arrivals(t *testing.T, n *testnet.Network) map[string]int {
	t.Helper()
	list, err := n.Received()
	if err != nil {
		t.Fatal(err)
	}
	copies := map[string]int{}
	for _, r := range list {
		subject, _ := ReadMail(t, r.Data)
		copies[subject]++
	}
	return copies
}

// Status asks the gateway how it fares.
func Status(t *testing.T, n *testnet.Network) *gateway.Status {
	t.Helper()
	st, err := n.Status()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// ReadMail returns a mail's subject and its text with LF line ends.
func ReadMail(t *testing.T, data []byte) (subject, body string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("a mail that arrived does not parse: %v", err)
	}
	r := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("a mail that arrived does not decode: %v", err)
	}
	return m.Header.Get("Subject"), strings.ReplaceAll(string(b), "\r\n", "\n")
}
