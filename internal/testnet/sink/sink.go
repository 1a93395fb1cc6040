// Package sink is the receiving mail server of a local test network: it takes
// any mail over SMTP, puts it on disk before it says so, and misbehaves on
// request. It is for loopback only: no TLS, no authentication, no limits worth
// the name.
//
// It may import go-smtp and internal/config.
package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-smtp"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// Mode is how the server behaves.
type Mode string

// The modes. A mode counts from the next RCPT or end of message on.
const (
	Accept     Mode = "accept"       // 250
	Refuse     Mode = "refuse"       // 550 5.1.1 to each recipient
	Defer      Mode = "defer"        // 450 4.2.0 to each recipient
	HangUp     Mode = "hang up"      // takes the whole message, forgets it and closes without an answer
	HangUpKept Mode = "hang up kept" // the same, but the message is kept
	Slow       Mode = "slow"         // as Accept, but each message waits slowness for its answer
)

// slowness is how long Slow keeps a message that it has on disk before it says so.
const slowness = time.Second

// Names in a sink's directory.
const (
	modeName     = "mode"
	recordSuffix = ".json" // what is known of a mail; written last
	mailSuffix   = ".eml"  // its bytes
)

// Received is a mail that a sink has on disk.
type Received struct {
	At       time.Time `json:"at"`       // when its last byte was there
	From     string    `json:"from"`     // envelope sender
	To       []string  `json:"to"`       // envelope recipients
	Answered bool      `json:"answered"` // false: kept by HangUpKept; one of Slow's may have lost its answer all the same
	Path     string    `json:"-"`        // of the file with its bytes
	Data     []byte    `json:"-"`        // its bytes, CRLF, as they came
}

// maxMessage bounds a message, in bytes: more than the network can carry.
const maxMessage = 16 << 20

// idleTimeout ends a connection on which nothing comes.
const idleTimeout = 5 * time.Minute

// Serve takes mail from l, which it closes, and stores it in dir, which must
// exist, until ctx ends.
func Serve(ctx context.Context, l net.Listener, dir string) error {
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{conn: c, dir: dir}, nil
	}))
	server.Domain = "sink.example"
	server.MaxMessageBytes = maxMessage
	server.ReadTimeout, server.WriteTimeout = idleTimeout, idleTimeout
	server.ErrorLog = log.New(io.Discard, "", 0)
	defer context.AfterFunc(ctx, func() {
		server.Close()
		l.Close() // of which the server may not know yet
	})()
	if err := server.Serve(l); err != nil && ctx.Err() == nil {
		return fmt.Errorf("receiving mail: %w", err)
	}
	return nil
}

// SetMode changes how the sink that serves dir behaves.
func SetMode(dir string, m Mode) error {
	return config.WriteFile(filepath.Join(dir, modeName), []byte(m), 0o600)
}

// modeOf reads what SetMode wrote; without a file it is Accept.
func modeOf(dir string) (Mode, error) {
	b, err := os.ReadFile(filepath.Join(dir, modeName))
	if errors.Is(err, fs.ErrNotExist) {
		return Accept, nil
	}
	return Mode(b), err
}

// List returns the mails in dir, in the order in which they came.
func List(dir string) ([]Received, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("reading the received mails: %w", err)
	}
	var list []Received
	for _, e := range entries {
		name, isRecord := strings.CutSuffix(e.Name(), recordSuffix)
		if !isRecord || strings.HasPrefix(name, ".") {
			continue
		}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the received mails: %w", err)
		}
		r := Received{Path: filepath.Join(dir, name+mailSuffix)}
		if err := json.Unmarshal(b, &r); err != nil {
			return nil, fmt.Errorf("reading the received mails: %s: %w", e.Name(), err)
		}
		if r.Data, err = os.ReadFile(r.Path); err != nil {
			return nil, fmt.Errorf("reading the received mails: %w", err)
		}
		list = append(list, r)
	}
	slices.SortStableFunc(list, func(a, b Received) int { return a.At.Compare(b.At) })
	return list, nil
}

// session is one SMTP connection.
type session struct {
	conn *smtp.Conn
	dir  string
	from string
	to   []string
}

func (s *session) Reset()        { s.from, s.to = "", nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	s.from = from
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch mode, err := modeOf(s.dir); {
	case err != nil:
		return errStore
	case mode == Refuse:
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	case mode == Defer:
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 2, 0}, Message: "try again later"}
	}
	s.to = append(s.to, to)
	return nil
}

// errStore is the answer when the sink cannot do its own work.
var errStore = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "the mail could not be stored"}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	mode, err := modeOf(s.dir)
	if err != nil {
		return errStore
	}
	received := Received{At: time.Now(), From: s.from, To: s.to, Answered: mode != HangUpKept}
	if mode != HangUp {
		if err := store(s.dir, &received, data); err != nil {
			return errStore
		}
	}
	switch mode {
	case HangUp, HangUpKept:
		s.conn.Conn().Close()
	case Slow:
		time.Sleep(slowness)
	}
	return nil
}

// store puts a mail on disk: its bytes first, then the record that makes it count.
func store(dir string, r *Received, data []byte) error {
	f, err := os.CreateTemp(dir, r.At.UTC().Format("20060102-150405.000-*")+mailSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	record, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return config.WriteFile(strings.TrimSuffix(f.Name(), mailSuffix)+recordSuffix, record, 0o600)
}
