package submission

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub"
	"github.com/emersion/go-smtp"
)

// session is one mail program's connection. go-smtp calls it from the connection's goroutine, but Data of a BDAT
// transaction runs in another and Logout can come from any.
type session struct {
	server *Server
	conn   *smtp.Conn
	secure bool // over TLS or the unix socket
	local  bool // over the unix socket

	mu         sync.Mutex
	key        *keyring.Key // nil before a login
	persona    Persona      // whose password it was
	uses       int          // of the key, by Accepters that have not returned
	reading    bool         // Data reads, or never came to the end because the client gave up
	over       bool
	begun      bool // by MAIL
	recipients []mail.Address

	mails, refusedMails, refusedRecipients int // so far in this session
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	_, secure := c.TLSConnectionState()
	local := c.Conn().LocalAddr().Network() == "unix"
	return &session{server: s, secure: secure || local, local: local, conn: c}, nil
}

// Mail begins a mail. The sender's address goes no further: the exit writes its own.
func (s *session) Mail(_ string, opts *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.secure {
		return refuse(530, 5, 7, 0, "Set the mail program to use STARTTLS and a password (RFC 3207)")
	}
	if s.key == nil {
		return refuse(530, 5, 7, 0, "Set the mail program to log in with a password (RFC 4954)")
	}
	if s.reading {
		// go-smtp could take the late answer of the mail given up for this one's.
		return refuse(421, 4, 3, 0, "The last mail was broken off: connect again")
	}
	if s.begun {
		// go-smtp would keep the recipients so far (RFC 5321 section 4.1.4).
		return refuse(503, 5, 5, 1, "A mail has begun already: end it or send RSET")
	}
	switch {
	case s.mails == maxMailsInSession:
		return s.hangUp("A connection takes no more mails than this one has: connect again")
	case s.refusedMails == maxRefusedMails:
		return s.hangUp("Too many mails of this connection were refused: mend what the answers said, then connect again")
	case !s.server.rate.Allow():
		return refuse(450, 4, 7, 1, fmt.Sprintf("Too many mails: %d a minute can be handed in. Wait a minute, then send this one again", mailsAMinute))
	}
	s.begun = true
	s.mails++
	return nil
}

// hangUp ends the connection behind the answer that it returns.
func (s *session) hangUp(text string) error {
	c := s.conn.Conn()
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	if c, ok := c.(*connection); ok {
		c.end()
	}
	return refuse(421, 4, 7, 0, text)
}

// Rcpt adds a recipient. go-smtp counts them.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusedRecipients == maxRefusedRecipients {
		return s.hangUp("Too many addresses of this connection were refused: correct them, then connect again")
	}
	if strings.ContainsFunc(to, func(r rune) bool { return r > '~' }) {
		s.refusedRecipients++
		return refuse(553, 5, 6, 7, "An address with letters outside ASCII cannot be sent to: ask for another one, "+
			"or write its domain in the xn-- form (RFC 6531)")
	}
	address, err := mail.ParseAddress(to)
	if err != nil {
		s.refusedRecipients++
		return refuse(553, 5, 1, 3, err.Error())
	}
	if !slices.Contains(s.recipients, address) {
		s.recipients = append(s.recipients, address)
	}
	return nil
}

// Data reads the mail and hands it to the Accepter.
func (s *session) Data(r io.Reader) error {
	s.mu.Lock()
	s.reading = true
	recipients := slices.Sorted(slices.Values(s.recipients))
	s.mu.Unlock()

	s.server.mails <- struct{}{} // each place is free again at the end of its session, if not before
	defer func() { <-s.server.mails }()
	err := s.data(r, recipients)
	if answer, ok := errors.AsType[*smtp.SMTPError](err); ok && answer.Code/100 == 5 {
		s.mu.Lock()
		s.refusedMails++
		s.mu.Unlock()
	}
	return err
}

func (s *session) data(r io.Reader, recipients []mail.Address) error {
	raw, err := io.ReadAll(r)
	s.mu.Lock()
	s.reading = errors.Is(err, smtp.ErrDataReset)
	s.mu.Unlock()
	limit := s.server.cfg.MaxBytes
	switch {
	case errors.Is(err, smtp.ErrDataTooLarge), err == nil && int64(len(raw)) > limit:
		return tooLarge(limit)
	case errors.Is(err, smtp.ErrTooLongLine):
		return refuse(554, 5, 6, 0, fmt.Sprintf("A line of the mail is longer than %d bytes: break it into shorter ones", scrub.MaxLine))
	case err != nil || s.cutShort(r, len(raw)):
		return refuse(451, 4, 4, 2, "The connection broke off before the end of the mail: send it again")
	}
	key, persona, err := s.take()
	if err != nil {
		return err
	}
	defer s.giveBack()
	letter := &Letter{Key: key, Persona: persona, Recipients: recipients}
	if err := s.server.clean(raw, letter); err != nil {
		if refusal, ok := errors.AsType[*mail.Refusal](err); ok && refusal.TooLarge {
			return refuse(552, 5, 3, 4, refusal.Reason)
		} else if ok {
			return refuse(554, 5, 6, 0, refusal.Reason)
		}
		s.server.log.note("a mail could not be cleaned", "error", err)
		return refuse(554, 5, 6, 0, "The mail cannot be read: send it as plain text")
	}
	letter.Digest = digest(letter)
	return s.answer(s.server.accept(s.server.ctx, letter))
}

// clean makes a letter of what was submitted, one at a time: a mail can take much memory.
func (s *Server) clean(raw []byte, l *Letter) error {
	s.cleaning.Lock()
	defer s.cleaning.Unlock()
	if err := scrub.CheckWire(raw); err != nil {
		return err
	}
	result, err := scrub.Scrub(raw, scrub.Options{Room: s.cfg.Room(l)})
	if err != nil {
		return err
	}
	l.Message, l.MessageID, l.References, l.Disclosed = &result.Message, result.MessageID, result.References, result.Disclose
	return nil
}

// cutShort reports whether a BDAT transaction's last chunk is shorter than announced: go-smtp takes the end of the
// connection for the end of the chunk. How much was announced only an unexported field of its Conn tells; it
// is written before the end of r and not again before Data returns.
func (s *session) cutShort(r io.Reader, length int) bool {
	if _, bdat := r.(*io.PipeReader); !bdat {
		return false
	}
	announced := reflect.ValueOf(s.conn).Elem().FieldByName("bytesReceived")
	return !announced.IsValid() || announced.Int() != int64(length)
}

// answer turns an Accepter's error into the mail program's answer.
func (s *session) answer(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Temporary](err); ok {
		if e.Code/100 == 4 && e.Enhanced[0] == 4 {
			return refuse(e.Code, 4, e.Enhanced[1], e.Enhanced[2], e.Text)
		}
		return refuse(451, 4, 3, 0, e.Text)
	}
	if e, ok := errors.AsType[*Permanent](err); ok {
		if e.Code/100 == 5 && e.Enhanced[0] == 5 {
			return refuse(e.Code, 5, e.Enhanced[1], e.Enhanced[2], e.Text)
		}
		return refuse(554, 5, 6, 0, e.Text)
	}
	s.server.log.note("a mail could not be accepted", "error", err)
	return refuse(451, 4, 3, 0, "The mail could not be stored and was not accepted: see the gateway's log, then try again")
}

// Reset ends the transaction, not the login.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun, s.recipients = false, nil
}

// Logout ends the session. The key is wiped now, or by the Accepter's return.
func (s *session) Logout() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over, s.recipients = true, nil
	s.wipe()
	return nil
}

// login keeps the key for the session's length. A session that is over wipes it at once.
func (s *session) login(key *keyring.Key, persona Persona) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key, s.persona = key, persona
	s.wipe()
}

// take borrows the key for an Accepter.
func (s *session) take() (*keyring.Key, Persona, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over || s.key == nil {
		return nil, Persona{}, refuse(421, 4, 3, 0, "The session is over: send the mail again")
	}
	s.uses++
	return s.key, s.persona, nil
}

func (s *session) giveBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses--
	s.wipe()
}

// wipe wipes the key of a session that is over, unless an Accepter has it. The caller holds s.mu.
func (s *session) wipe() {
	if s.over && s.uses == 0 && s.key != nil {
		s.key.Wipe()
		s.key = nil
	}
}

// digest identifies a submission by its content; every part goes in with its length before it.
func digest(l *Letter) [32]byte {
	h := sha256.New()
	add := func(part string) {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		io.WriteString(h, part)
	}
	count := func(n int) { add(strconv.Itoa(n)) }
	add("sourdine submission v2")
	add(l.Persona.Login)
	add(l.Persona.Name)
	add(l.MessageID)
	count(len(l.References))
	for _, id := range l.References {
		add(id)
	}
	add(strconv.FormatBool(l.Disclosed))
	count(len(l.Recipients))
	for _, r := range l.Recipients {
		add(string(r))
	}
	add(l.Message.Subject)
	add(l.Message.Body)
	for _, a := range l.Message.Attachments {
		count(int(a.Type))
		add(string(a.Data))
	}
	return [32]byte(h.Sum(nil))
}

func tooLarge(limit int64) error {
	return refuse(552, 5, 3, 4, fmt.Sprintf("The mail is too large: at most %d bytes can be handed in. Attach less, or smaller pictures", limit))
}

// refuse makes an answer of go-smtp's kind. The text becomes one line of printable ASCII that fits a reply line of
// 512 bytes (RFC 5321 section 4.5.3.1.5).
func refuse(code, class, subject, detail int, text string) error {
	line := []byte(strings.Join(strings.Fields(text), " "))
	line = line[:min(len(line), 450)]
	for i, c := range line {
		if c < ' ' || c > '~' {
			line[i] = '?'
		}
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{class, subject, detail}, Message: string(line)}
}
