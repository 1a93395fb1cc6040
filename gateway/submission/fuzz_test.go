package submission

import (
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub"
)

// pipeListener hands out net.Pipe connections that count as a unix socket's.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return unixConn{c}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.close.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

type unixConn struct{ net.Conn }

func (unixConn) LocalAddr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// FuzzSession sends what a logged-in mail program might. Nothing panics, and what is accepted is fit to be sent.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: x\r\n\r\nText.\r\n.\r\nQUIT\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@EXAMPLE.org>\r\nBDAT 10\r\nSubject: yBDAT 9 LAST\r\n\r\n\r\nText.",
		"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 100 LAST\r\nSubject: cut short\r\n\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nBDAT 2\r\nx:RSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n\r\nx\r\n.\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: =?utf-8?Q?=0D=0ABcc:x?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=0D=0A.=0D=0D\r\n.\r\n",
		"MAIL FROM:<>\r\nRCPT TO:<\"a\r\n b\"@example.org>\r\nRCPT TO:<a\rb@example.org>\r\nRCPT TO:<\xff@example.org>\r\n",
		"MAIL FROM:<a@example.org> RET=HDRS ENVID=x+2By BODY=8BITMIME SMTPUTF8 SIZE=99\r\nRCPT TO:<b@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b@example.org\r\nDATA\r\nReferences: <a@b> <c\r\n d@e>\r\nIn-Reply-To: <a@b\r\n\r\nText.\r\n.\r\n",
		"STARTTLS\r\nEHLO x\r\nRSET\r\nNOOP\r\nVRFY x\r\nHELP\r\n",
	} {
		f.Add([]byte(seed))
	}
	ring := testRing(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		var log lockedBuffer
		s := newServer(Config{Personas: testPersonas, MaxBytes: 10_000, Room: testRoom, MaxRecipients: mail.MaxRecipients}, ring, nil,
			slog.New(slog.NewTextHandler(&log, nil)))
		s.ctx = t.Context()
		s.accept = func(_ context.Context, l *Letter) error {
			if strings.ContainsAny(l.Message.Subject+l.Message.Body, "\r\x00") || strings.Contains(l.Message.Subject, "\n") {
				t.Errorf("accepted %q", l.Message)
			}
			if len(l.Recipients) == 0 || len(l.Recipients) > mail.MaxRecipients {
				t.Errorf("accepted with %d recipients", len(l.Recipients))
			}
			if len(l.References) > scrub.MaxNamed || l.Persona != testPersonas[0] {
				t.Errorf("accepted from %+v, naming %d mails", l.Persona, len(l.References))
			}
			for _, r := range l.Recipients {
				if again, err := mail.ParseAddress(string(r)); err != nil || again != r {
					t.Errorf("accepted for %q", r)
				}
			}
			return nil
		}
		server := s.smtp
		l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
		go server.Serve(l)

		client, end := net.Pipe()
		l.conns <- end
		answers := make(chan struct{})
		go func() {
			defer close(answers)
			io.Copy(io.Discard, client)
		}()
		client.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(client, "EHLO me\r\n"+plain(testUser, testPassword)+"\r\n")
		client.Write(data)
		client.Close()
		<-answers
		l.Close()
		server.Shutdown(context.Background())
		// go-smtp itself panics and recovers when a connection ends behind "BDAT 0".
		if strings.Contains(log.String(), "gateway/submission") {
			t.Errorf("a session panicked: %s", log.String())
		}
	})
}
