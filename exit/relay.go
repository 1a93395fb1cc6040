package exit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
)

// Timeouts of a delivery. RFC 5321 section 4.5.3.2 asks for five minutes at
// each command, and ten for the answer to the message.
const (
	dialTimeout    = 30 * time.Second
	commandTimeout = 5 * time.Minute
	answerTimeout  = 10 * time.Minute
	quitTimeout    = 10 * time.Second
	stopTimeout    = 10 * time.Second // how long a transaction may go on after Run was told to end
)

type relay struct {
	Relay
	password string
	tls      *tls.Config
	dial     func(ctx context.Context, network, address string) (net.Conn, error) // replaced in tests that have no network
}

// Check refuses what cannot name a relay. It does not read the password.
func (r Relay) Check() error {
	setDefault(&r.TLS, "starttls")
	host, port, err := net.SplitHostPort(r.Address)
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("the relay's address %q must be host:port", r.Address)
	}
	if r.TLS != "none" && r.TLS != "starttls" && r.TLS != "tls" {
		return fmt.Errorf("the relay's tls is %q: choose none, starttls or tls", r.TLS)
	}
	if strings.ContainsFunc(r.Hello, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("the relay's hello must be a host name")
	}
	if ip := net.ParseIP(host); r.Username != "" && r.TLS == "none" && host != "localhost" && !ip.IsLoopback() {
		return errors.New("the relay's password would cross the network in clear: set tls to starttls or tls")
	}
	return nil
}

func newRelay(r Relay) (*relay, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	setDefault(&r.TLS, "starttls")
	setDefault(&r.Hello, "localhost")
	host, _, _ := net.SplitHostPort(r.Address) // Check has done it
	x := &relay{
		Relay: r,
		tls:   &tls.Config{ServerName: host},
		dial:  (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}
	if r.Username == "" {
		return x, nil
	}
	text, err := config.Read(r.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("reading the relay's password: %w", err)
	}
	x.password, _, _ = strings.Cut(string(text), "\n")
	x.password = strings.TrimSuffix(x.password, "\r")
	return x, nil
}

// verdict is what an attempt came to. Waiting means that another is to follow.
type verdict struct {
	outcome mail.Outcome
	reason  string
	doubt   bool // the message's end may have arrived, and no answer did
}

// session is a connection on which the relay has let us in.
type session struct {
	client *smtp.Client
	conn   net.Conn
	ended  chan struct{} // closed by end
	stop   func() bool   // forgets to close the connection when the context ends
	usable bool          // commands can be sent
}

// open connects to the relay. The session outlives ctx by stopTimeout at most.
func (r *relay) open(ctx context.Context) (*session, error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := r.dial(dialing, "tcp", r.Address)
	if err != nil {
		return nil, discreet("connecting", err)
	}
	s := &session{conn: conn, ended: make(chan struct{})}
	s.stop = context.AfterFunc(ctx, func() {
		select {
		case <-time.After(stopTimeout):
			conn.Close()
		case <-s.ended:
		}
	})
	if err := s.login(r); err != nil {
		s.end()
		return nil, err
	}
	s.usable = true
	return s, nil
}

func (s *session) login(r *relay) (err error) {
	switch r.TLS {
	case "tls":
		s.client = smtp.NewClient(tls.Client(s.conn, r.tls))
	case "starttls":
		if s.client, err = smtp.NewClientStartTLS(s.conn, r.tls); err != nil {
			return discreet("starting TLS", err)
		}
	default:
		s.client = smtp.NewClient(s.conn)
	}
	s.client.CommandTimeout, s.client.SubmissionTimeout = commandTimeout, answerTimeout
	if err := s.client.Hello(r.Hello); err != nil {
		return discreet("greeting", err)
	}
	if r.Username == "" {
		return nil
	}
	login := sasl.NewPlainClient("", r.Username, r.password)
	if !s.client.SupportsAuth(sasl.Plain) {
		login = sasl.NewLoginClient(r.Username, r.password)
	}
	if err := s.client.Auth(login); err != nil {
		return discreet("logging in", err)
	}
	return nil
}

// discreet says at which stage a session failed, in words of ours, the
// network's or the certificate check's, but never the server's, and without the
// address of either side.
func discreet(stage string, err error) error {
	if answer, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return fmt.Errorf("%s: the server answered with code %d", stage, answer.Code)
	}
	if cause, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Errorf("%s: looking up the server's name: %s", stage, cause.Err)
	}
	if cause, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", stage, cause.Err)
	}
	if cause, ok := errors.AsType[net.Error](err); ok {
		return fmt.Errorf("%s: %w", stage, cause)
	}
	if cause, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("%s: %w", stage, cause)
	}
	return fmt.Errorf("%s: the server broke off, or does not offer what this needs", stage)
}

// send hands one message to the relay for one recipient. When all of it but its
// end is sent, it calls begin: if that fails, send returns its error, the end is
// never sent, and a server must not deliver what it has (RFC 5321 section 4.1.1.4).
func (s *session) send(from, to mail.Address, message []byte, begin func() error) (verdict, error) {
	if err := s.client.Mail(string(from), nil); err != nil {
		return judge(err), nil
	}
	if err := s.client.Rcpt(string(to), nil); err != nil {
		return judge(err), nil
	}
	data, err := s.client.Data()
	if err != nil {
		return judge(err), nil
	}
	// Any further command would first end the message.
	s.usable = false
	s.conn.SetDeadline(time.Now().Add(answerTimeout))
	if _, err := data.Write(message); err != nil {
		return judge(err), nil
	}
	if err := begin(); err != nil {
		return verdict{}, err
	}
	_, err = data.CloseWithResponse()
	_, answered := errors.AsType[*smtp.SMTPError](err)
	s.usable = err == nil || answered
	if accepted(err) {
		return verdict{outcome: mail.Delivered}, nil
	}
	v := judge(err)
	v.doubt = !s.usable
	return v, nil
}

// accepted reports whether the answer to a message's end says that the server
// has it. go-smtp wants 250, but any 2xx says so (RFC 5321 section 4.2.1).
func accepted(err error) bool {
	answer, ok := errors.AsType[*smtp.SMTPError](err)
	return err == nil || ok && answer.Code/100 == 2
}

// judge turns what ended a transaction before the message was accepted into a
// verdict. A server's 5xx is final (RFC 5321 section 4.2.1), except for those
// about our login (RFC 4954 section 6), which the operator can mend. All else
// is tried again, even a 2xx: to MAIL, RCPT or DATA it is an answer that nobody
// asked for, and no message has been handed over.
func judge(err error) verdict {
	answer, ok := errors.AsType[*smtp.SMTPError](err)
	if !ok {
		return verdict{reason: "the exit lost the connection to its mail server"}
	}
	v := verdict{reason: fmt.Sprint(answer.Code, " ", answer.Message)}
	if e := answer.EnhancedCode; e != (smtp.EnhancedCode{}) {
		v.reason = fmt.Sprintf("%d %d.%d.%d %s", answer.Code, e[0], e[1], e[2], answer.Message)
	}
	v.reason = mail.CleanReason(v.reason)
	if answer.Code/100 == 5 && (answer.Code < 530 || answer.Code > 538) {
		v.outcome = mail.Failed
	}
	return v
}

// end closes the session, politely where that is possible.
func (s *session) end() {
	defer s.conn.Close()
	defer close(s.ended)
	defer s.stop()
	if s.usable {
		s.client.CommandTimeout = quitTimeout
		s.client.Quit() // the mail's fate is decided, whatever this brings
	}
}
