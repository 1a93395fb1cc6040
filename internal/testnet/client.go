package testnet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
)

// Submission is what a mail program must know to submit to the gateway.
type Submission struct {
	StartTLS    string // address for SMTP with STARTTLS
	TLS         string // address for SMTP over TLS
	Certificate string // path of the gateway's certificate
	User        string
	Password    string
}

// Submission returns the settings for a mail program.
func (n *Network) Submission() Submission { return n.user }

// submissionTimeout bounds one submission.
const submissionTimeout = time.Minute

// Submit submits a message (RFC 5322; line ends become CRLF) as a mail program
// does: SMTP over TLS, the gateway's certificate checked, AUTH PLAIN. It returns
// nil when the gateway has answered 250; its refusal is a *textproto.Error.
func (n *Network) Submit(from string, to []string, message []byte) error {
	pem, err := os.ReadFile(n.user.Certificate)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return errors.New("the gateway's certificate file holds none")
	}
	host, _, err := net.SplitHostPort(n.user.TLS)
	if err != nil {
		return err
	}
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: submissionTimeout}, "tcp", n.user.TLS, &tls.Config{RootCAs: roots, ServerName: host})
	if err != nil {
		return fmt.Errorf("connecting to the gateway: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(submissionTimeout)); err != nil {
		return err
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", n.user.User, n.user.Password, host)); err != nil {
		return err
	}
	if err := c.Mail(from); err != nil {
		return err
	}
	for _, address := range to {
		if err := c.Rcpt(address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(message); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // the mail is accepted, whatever becomes of the connection
	return nil
}

// Status asks the running gateway how it fares.
func (n *Network) Status() (*gateway.Status, error) { return gateway.Connect(n.gateway).Status() }

// Queue asks the running gateway for its mails. With details it runs `sourdine
// queue` with the user's password, and recipients, subjects and reasons are
// filled in.
func (n *Network) Queue(ctx context.Context, details bool) ([]gateway.Entry, error) {
	if !details {
		return gateway.Connect(n.gateway).Queue()
	}
	out, err := n.Run(ctx, "queue", "-c", n.configPath(Gateway), "--json", "--password-file", n.Path("password"))
	if err != nil {
		return nil, err
	}
	var list []gateway.Entry
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return nil, fmt.Errorf("reading what `sourdine queue` says: %w", err)
	}
	return list, nil
}

// Received returns what the receiving mail server has on disk, in the order in
// which it came.
func (n *Network) Received() ([]sink.Received, error) { return sink.List(n.Path(Sink)) }

// SetSink changes how the receiving mail server behaves. To take it down, stop
// its process.
func (n *Network) SetSink(m sink.Mode) error { return sink.SetMode(n.Path(Sink), m) }
