package submission

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub"
	"github.com/emersion/go-smtp"
	"golang.org/x/time/rate"
)

const (
	// A session may be silent, and one mail may take, this long (RFC 5321 section 4.5.3.2.7).
	readTimeout  = 5 * time.Minute
	writeTimeout = time.Minute

	// Connections at a time. Mail programs open a few; each costs at most a line of memory.
	maxConnections = 20

	// Mails that are in memory at a time, each of at most scrub.MaxSubmission bytes. Mail programs send one or two at once; who comes
	// when all places are taken waits.
	maxMails = 4

	// What one connection may do before it has to begin anew, so that a program gone wrong does not go on forever:
	// last, hand in mails, have mails refused, have recipients refused. More than any mail program does.
	maxSession           = time.Hour
	maxMailsInSession    = 200
	maxRefusedMails      = 20
	maxRefusedRecipients = 2 * mail.MaxRecipients

	// Mails a minute of one user, all personas together, and how many may come at once.
	mailsAMinute = 120
	mailsAtOnce  = 300

	// Bytes in a line before go-smtp hangs up. Far more than package scrub takes, so that a long line is refused by
	// an answer its writer can read.
	maxLine = 1 << 20
)

// Persona is one of the identities that the user writes under.
type Persona struct {
	Login string // what a mail program logs in with; the key file has its password under this name
	Name  string // what recipients see, as mail.ParseName returns it; may be empty
}

// Config says where the server listens and for whom. At least one of Listen, ListenTLS and Socket is set.
type Config struct {
	Listen    string      // "127.0.0.1:1025": IP address and port where TLS begins with STARTTLS
	ListenTLS string      // "127.0.0.1:1465": IP address and port where TLS begins at once (RFC 8314)
	Socket    string      // path of a unix socket, where no TLS is needed
	TLS       *tls.Config // with a certificate; needed by Listen and ListenTLS

	Hostname      string    // what the greeting says; default "localhost"
	Personas      []Persona // who may log in
	MaxBytes      int64     // limit of a submitted mail with its header; at most, and by default, scrub.MaxSubmission
	MaxRecipients int       // RCPT commands in one mail; at most, and by default, mail.MaxRecipients

	// Room says how many bytes the message of a letter, whose persona and recipients are
	// known, may take in a parcel.
	Room func(*Letter) int
}

// Letter is one submission, checked and scrubbed.
type Letter struct {
	Key        *keyring.Key   // the user's, unlocked; valid until the Accepter returns
	Persona    Persona        // who logged in; nothing of the mail's own From and Sender is left
	MessageID  string         // as submitted, may be empty; for recognising repetitions, never sent on
	References []string       // the message ids that the mail names as earlier ones, the one it answers last; never sent on
	Recipients []mail.Address // 1 to mail.MaxRecipients, each once, sorted
	Disclosed  bool           // the recipients are to see one another
	Message    *mail.Message
	Digest     [32]byte // SHA-256 of all of the above but the key: equal for a repeated submission
}

// Accepter takes responsibility for a letter. When it returns nil the letter survives a power cut. It returns
// *Temporary or *Permanent to choose the mail program's answer; other errors mean "try again later" and are
// logged, so they hold nothing personal.
type Accepter func(ctx context.Context, l *Letter) error

// Temporary asks the mail program to try again later. Zero Code and Enhanced stand for 451 4.3.0.
type Temporary struct {
	Code     int    // 400 to 499
	Enhanced [3]int // RFC 3463, 4.x.y
	Text     string // for the user; becomes one line of at most 450 bytes of ASCII
}

func (e *Temporary) Error() string { return e.Text }

// Permanent tells the mail program to give up. Zero Code and Enhanced stand for 554 5.6.0.
type Permanent struct {
	Code     int    // 500 to 599
	Enhanced [3]int // RFC 3463, 5.x.y
	Text     string // as in Temporary
}

func (e *Permanent) Error() string { return e.Text }

// Server is the submission server.
type Server struct {
	cfg    Config
	ring   *keyring.Ring
	accept Accepter
	log    *tally

	ctx         context.Context // of the sessions; set by Serve
	smtp        *smtp.Server
	connections connections
	mails       chan struct{} // has a place for each mail in memory
	cleaning    sync.Mutex    // see clean
	rate        *rate.Limiter // of mails
	attempts    backoff       // to log in over TCP
	local       backoff       // over the unix socket: who guesses at a port does not keep its user out
	starttls    net.Listener  // nil unless configured
	implicit    net.Listener
	socket      net.Listener
}

// New checks the configuration and binds every listener, so that a port in use is known at once. The caller calls
// Serve once, or Close.
func New(cfg Config, ring *keyring.Ring, accept Accepter, log *slog.Logger) (*Server, error) {
	if cfg.Hostname == "" {
		cfg.Hostname = "localhost"
	}
	if cfg.MaxRecipients <= 0 || cfg.MaxRecipients > mail.MaxRecipients {
		cfg.MaxRecipients = mail.MaxRecipients
	}
	if cfg.MaxBytes <= 0 || cfg.MaxBytes > scrub.MaxSubmission {
		cfg.MaxBytes = scrub.MaxSubmission
	}
	switch {
	case ring == nil || accept == nil || cfg.Room == nil:
		return nil, errors.New("the submission server needs a key ring, an accepter and to know how much room there is")
	case len(cfg.Personas) == 0 || slices.ContainsFunc(cfg.Personas, func(p Persona) bool { return p.Login == "" }):
		return nil, errors.New("no login for mail programs: choose one")
	case cfg.Listen == "" && cfg.ListenTLS == "" && cfg.Socket == "":
		return nil, errors.New("nowhere to listen for mail programs: choose an address such as 127.0.0.1:1025")
	case (cfg.Listen != "" || cfg.ListenTLS != "") && cfg.TLS == nil:
		return nil, errors.New("no TLS certificate for mail programs: only the unix socket works without")
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.MinVersion = max(cfg.TLS.MinVersion, tls.VersionTLS12)
	}
	s := newServer(cfg, ring, accept, log)
	if err := s.listen(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// newServer makes a server that does not listen yet.
func newServer(cfg Config, ring *keyring.Ring, accept Accepter, log *slog.Logger) *Server {
	s := &Server{
		cfg: cfg, ring: ring, accept: accept, log: newTally(log),
		mails: make(chan struct{}, maxMails), rate: rate.NewLimiter(mailsAMinute/60., mailsAtOnce),
		attempts: backoff{first: firstDelay}, local: backoff{first: firstDelay},
	}
	s.smtp = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.smtp.Domain = cfg.Hostname
	s.smtp.TLSConfig = cfg.TLS
	s.smtp.MaxRecipients = cfg.MaxRecipients
	s.smtp.MaxMessageBytes = cfg.MaxBytes // EHLO says it, so that mail programs tell before they send
	s.smtp.MaxLineLength = maxLine
	s.smtp.ReadTimeout = readTimeout
	s.smtp.WriteTimeout = writeTimeout
	s.smtp.ErrorLog = s.log
	// The session decides: go-smtp does not know that a unix socket is as good as TLS.
	s.smtp.AllowInsecureAuth = true
	s.smtp.EnableSMTPUTF8 = true
	// RET, ENVID, NOTIFY and ORCPT are taken, for there are programs that always send them. They end here: what
	// becomes of a mail, `sourdine queue` says.
	s.smtp.EnableDSN = true
	// BINARYMIME (RFC 3030) is not offered: lines end with CR LF, and nothing else is taken.
	return s
}

// listen binds what the configuration names.
func (s *Server) listen() (err error) {
	if s.cfg.Listen != "" {
		if s.starttls, err = listenTCP(s.cfg.Listen); err != nil {
			return fmt.Errorf("listening for mail programs (STARTTLS): %w", err)
		}
		s.starttls = &limitedListener{s.starttls, &s.connections, true}
	}
	if s.cfg.ListenTLS != "" {
		if s.implicit, err = listenTCP(s.cfg.ListenTLS); err != nil {
			return fmt.Errorf("listening for mail programs (TLS): %w", err)
		}
		s.implicit = tls.NewListener(&limitedListener{s.implicit, &s.connections, false}, s.cfg.TLS)
	}
	if s.cfg.Socket != "" {
		if s.socket, err = listenUnix(s.cfg.Socket); err != nil {
			return fmt.Errorf("listening for mail programs (unix socket): %w", err)
		}
		s.socket = &limitedListener{s.socket, &s.connections, true}
	}
	return nil
}

func (s *Server) listeners() []net.Listener {
	var all []net.Listener
	for _, l := range []net.Listener{s.starttls, s.implicit, s.socket} {
		if l != nil {
			all = append(all, l)
		}
	}
	return all
}

// Addrs returns the bound addresses of Listen and ListenTLS, nil where there is none. They tell the port where
// the configuration asked for port 0.
func (s *Server) Addrs() (starttls, implicit net.Addr) {
	if s.starttls != nil {
		starttls = s.starttls.Addr()
	}
	if s.implicit != nil {
		implicit = s.implicit.Addr()
	}
	return
}

// Serve runs until ctx ends, then returns nil once every session is over: mails being read are dropped, a letter
// with the Accepter is answered. It returns an error if a listener fails.
func (s *Server) Serve(ctx context.Context) error {
	var end context.CancelFunc
	s.ctx, end = context.WithCancel(ctx)
	defer end()
	listeners := s.listeners()
	stopped := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { stopped <- s.smtp.Serve(l) }()
	}
	var err error
	left := len(listeners)
	select {
	case <-ctx.Done():
	case err = <-stopped:
		left--
	}
	// In this order, no connection can come in while the last ones are waited for.
	end()
	s.Close()
	for range left {
		<-stopped
	}
	s.connections.drain()
	s.smtp.Shutdown(context.Background())
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("listening for mail programs: %w", err)
	}
	return nil
}

// Close stops listening. It is for a server that never came to Serve.
func (s *Server) Close() {
	for _, l := range s.listeners() {
		l.Close()
	}
}
