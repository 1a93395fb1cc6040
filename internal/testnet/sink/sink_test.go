package sink

import (
	"context"
	"errors"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// start serves a new directory and returns it and the server's address.
func start(t *testing.T) (dir, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, l, dir) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir, l.Addr().String()
}

const body = "Subject: x\r\n\r\n.a line that begins with a point\r\nend\r\n"

func TestAcceptedMailIsOnDiskBeforeTheAnswer(t *testing.T) {
	dir, address := start(t)
	for range 2 {
		if err := smtp.SendMail(address, nil, "from@a.example", []string{"x@b.example", "y@b.example"}, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 2 {
		t.Fatalf("%d mails, want 2", len(list))
	}
	for _, r := range list {
		if r.From != "from@a.example" || !reflect.DeepEqual(r.To, []string{"x@b.example", "y@b.example"}) || !r.Answered {
			t.Errorf("envelope %+v", r)
		}
		if string(r.Data) != body {
			t.Errorf("bytes %q, want %q", r.Data, body)
		}
	}
	if list[1].At.Before(list[0].At) {
		t.Error("the later mail is listed first")
	}
}

func TestModes(t *testing.T) {
	for _, test := range []struct {
		mode     Mode
		code     int // 0: no answer
		kept     int
		answered bool
	}{
		{Accept, 250, 1, true},
		{Refuse, 550, 0, false},
		{Defer, 450, 0, false},
		{HangUp, 0, 0, false},
		{HangUpKept, 0, 1, false},
		{Slow, 250, 1, true},
	} {
		t.Run(string(test.mode), func(t *testing.T) {
			dir, address := start(t)
			if err := SetMode(dir, test.mode); err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			err := smtp.SendMail(address, nil, "from@a.example", []string{"x@b.example"}, []byte(body))
			if took := time.Since(begin); test.mode == Slow && took < slowness {
				t.Errorf("the answer took %v", took)
			}
			answer, isAnswer := errors.AsType[*textproto.Error](err)
			switch {
			case test.code == 250 && err != nil:
				t.Error(err)
			case test.code == 0 && (err == nil || isAnswer):
				t.Errorf("got %v, want a lost connection", err)
			case test.code >= 400 && (!isAnswer || answer.Code != test.code):
				t.Errorf("got %v, want %d", err, test.code)
			}
			list, err := List(dir)
			if err != nil || len(list) != test.kept {
				t.Fatalf("%d mails, %v, want %d", len(list), err, test.kept)
			}
			if test.kept == 1 && list[0].Answered != test.answered {
				t.Errorf("answered: %v", list[0].Answered)
			}
		})
	}
}

func TestModeChangesBetweenTransactions(t *testing.T) {
	dir, address := start(t)
	c, err := smtp.Dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, mode := range []Mode{Accept, Refuse, Accept} {
		if err := SetMode(dir, mode); err != nil {
			t.Fatal(err)
		}
		if err := c.Mail("from@a.example"); err != nil {
			t.Fatal(err)
		}
		err := c.Rcpt("x@b.example")
		if (err != nil) != (mode == Refuse) {
			t.Errorf("%s: %v", mode, err)
		}
		if err := c.Reset(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMailThatCannotBeStoredIsNotAccepted(t *testing.T) {
	dir, address := start(t)
	// A directory in the place of the mode's file makes every look at it fail.
	if err := os.Mkdir(filepath.Join(dir, modeName), 0o700); err != nil {
		t.Fatal(err)
	}
	err := smtp.SendMail(address, nil, "from@a.example", []string{"x@b.example"}, []byte(body))
	if err == nil || !strings.Contains(err.Error(), "could not be stored") {
		t.Errorf("got %v", err)
	}
}

func TestHalfWrittenMailDoesNotCount(t *testing.T) {
	dir, _ := start(t)
	if err := os.WriteFile(filepath.Join(dir, "20260101-000000.000-1.eml"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := List(dir); err != nil || len(list) != 0 {
		t.Errorf("%d mails, %v", len(list), err)
	}
}
