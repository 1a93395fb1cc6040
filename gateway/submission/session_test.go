package submission

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/mail"
	"github.com/emersion/go-smtp"
)

func TestDigest(t *testing.T) {
	letter := func(change func(l *Letter)) [32]byte {
		l := &Letter{
			MessageID:  "<a@b>",
			Persona:    Persona{Login: "me", Name: "Ann"},
			References: []string{"<c@d>", "<e@f>"},
			Recipients: []mail.Address{"a@example.org", "b@example.org"},
			Message: &mail.Message{Subject: "Lunch", Body: "At noon.\n", Attachments: []mail.Attachment{
				{Type: mail.Text, Data: []byte("x\n")}, {Type: mail.CSV, Data: []byte("y\n")},
			}},
		}
		change(l)
		return digest(l)
	}
	same := letter(func(*Letter) {})
	if letter(func(*Letter) {}) != same {
		t.Error("the same letter has two digests")
	}
	for name, change := range map[string]func(l *Letter){
		"Message-ID":            func(l *Letter) { l.MessageID = "<b@b>" },
		"recipient":             func(l *Letter) { l.Recipients[1] = "c@example.org" },
		"one recipient":         func(l *Letter) { l.Recipients = l.Recipients[:1] },
		"joined recipients":     func(l *Letter) { l.Recipients = []mail.Address{"a@example.orgb@example.org"} },
		"subject":               func(l *Letter) { l.Message.Subject = "Dinner" },
		"body":                  func(l *Letter) { l.Message.Body = "At one.\n" },
		"subject in the body":   func(l *Letter) { l.Message.Subject, l.Message.Body = "Lunc", "hAt noon.\n" },
		"login":                 func(l *Letter) { l.Persona.Login = "you" },
		"name":                  func(l *Letter) { l.Persona.Name = "" },
		"login in the name":     func(l *Letter) { l.Persona = Persona{"meA", "nn"} },
		"reference":             func(l *Letter) { l.References[0] = "<x@y>" },
		"no references":         func(l *Letter) { l.References = nil },
		"order of references":   func(l *Letter) { slices.Reverse(l.References) },
		"disclosure":            func(l *Letter) { l.Disclosed = true },
		"attachment":            func(l *Letter) { l.Message.Attachments[1].Data[0] = 'z' },
		"type":                  func(l *Letter) { l.Message.Attachments[1].Type = mail.Text },
		"one attachment":        func(l *Letter) { l.Message.Attachments = l.Message.Attachments[:1] },
		"order of attachments":  func(l *Letter) { slices.Reverse(l.Message.Attachments) },
		"Message-ID in subject": func(l *Letter) { l.MessageID, l.Message.Subject = "<a@b", ">Lunch" },
	} {
		if letter(change) == same {
			t.Errorf("another %s: same digest", name)
		}
	}
}

// TestTally logs a kind once a minute, whatever happens meanwhile.
func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		log := newTally(slog.New(slog.NewTextHandler(&b, nil)))
		for range 3 {
			for range 1000 {
				log.Printf("error handling %v: %s", "192.0.2.1:5", "alice@example.org")
			}
			time.Sleep(time.Minute)
		}
		log.Println("192.0.2.1")
		if n := strings.Count(b.String(), "\n"); n != 4 {
			t.Errorf("%d lines: %s", n, b.String())
		}
		if !strings.Contains(b.String(), "times=1000") || strings.Contains(b.String(), "192.0.2.1") || strings.Contains(b.String(), "alice") {
			t.Errorf("log: %s", b.String())
		}
	})
}

// TestStackWithoutArguments keeps the names of functions and no word of memory.
func TestStackWithoutArguments(t *testing.T) {
	stack := "goroutine 9 [running]:\nmain.digest({0x61, 0x6c696365})\n\t/src/session.go:1 +0x1d\n" +
		"github.com/emersion/go-smtp.(*Conn).handle(0xc0001)\n\t/src/conn.go:2\n"
	if got, want := functions([]any{"x", []byte(stack)}), "main.digest github.com/emersion/go-smtp.(*Conn).handle"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := functions([]any{"no stack"}); got != "" {
		t.Errorf("%q without a stack", got)
	}
}

// TestAnswerLines gives every answer as one line of printable ASCII.
func TestAnswerLines(t *testing.T) {
	for text, want := range map[string]string{
		"one":                     "one",
		" one\r\n two\tthree\n":   "one two three",
		"\x00\x7f\u00e9":          "????",
		strings.Repeat("x", 1000): strings.Repeat("x", 450),
	} {
		err := refuse(554, 5, 6, 0, text).(*smtp.SMTPError)
		if err.Message != want {
			t.Errorf("%.20q became %.40q", text, err.Message)
		}
	}
}
