package submission

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"codeberg.org/sourdine/sourdine/internal/keyring"
	"github.com/emersion/go-sasl"
)

// AuthMechanisms names what EHLO offers: nothing where others could listen.
func (s *session) AuthMechanisms() []string {
	if !s.secure {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

// Auth begins a login.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch {
	case !s.secure:
		return nil, refuse(538, 5, 7, 11, "Set the mail program to use STARTTLS before the password (RFC 4954)")
	case mechanism == sasl.Plain:
		return &plainServer{authenticate: s.authenticate}, nil
	case mechanism == sasl.Login:
		return &loginServer{authenticate: s.authenticate}, nil
	}
	return nil, refuse(504, 5, 5, 4, "Set the mail program to log in with a normal password (PLAIN or LOGIN)")
}

// authenticate unlocks the user's key with the password of the persona that logs in. A login that no persona has costs
// the same work as one that has another password, and the answer does not tell which was wrong. It wipes the
// password.
func (s *session) authenticate(login, password []byte) error {
	defer clear(password)
	persona, known := s.server.persona(login)
	var key *keyring.Key
	attempts := &s.server.attempts
	if s.local {
		attempts = &s.server.local
	}
	err := attempts.try(s.server.ctx, func() error {
		var err error
		if key, err = s.server.ring.UnlockAs(string(login), password); err != nil {
			return err
		}
		if !known {
			key.Wipe()
			return keyring.ErrPassword
		}
		return nil
	})
	switch {
	case err == nil:
		s.login(key, persona)
		return nil
	case errors.Is(err, keyring.ErrPassword):
		s.server.log.note("a mail program gave a wrong user name or password")
		return refuse(535, 5, 7, 8, "Wrong user name or password")
	case errors.Is(err, errBusy):
		return refuse(454, 4, 7, 0, "Too many logins at once, or too many wrong passwords: wait a minute, then try again")
	}
	s.server.log.note("the user's key could not be unlocked", "error", err)
	return refuse(454, 4, 7, 0, "The user's key could not be unlocked: see the gateway's log")
}

// persona returns the persona with this login, in a time that does not tell whether there is one.
func (s *Server) persona(login []byte) (found Persona, known bool) {
	given := sha256.Sum256(login)
	for _, p := range s.cfg.Personas {
		want := sha256.Sum256([]byte(p.Login))
		if subtle.ConstantTimeCompare(given[:], want[:]) == 1 {
			found, known = p, true
		}
	}
	return found, known
}

var errMalformed = refuse(501, 5, 5, 2, "The login is malformed: try another mail program")

// plainServer is the server's side of SASL PLAIN (RFC 4616).
type plainServer struct {
	authenticate func(user, password []byte) error
}

// Next takes the one message: who to act as, user name and password, with NULs between.
func (p *plainServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		return []byte{}, false, nil
	}
	defer clear(response)
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return nil, false, errMalformed
	}
	return nil, true, p.authenticate(parts[1], parts[2])
}

// loginServer is the server's side of SASL LOGIN (draft-murchison-sasl-login-00), which some mail programs know
// instead of PLAIN.
type loginServer struct {
	authenticate func(user, password []byte) error
	user         []byte
	asked        int // challenges sent
}

// Next asks for the user name, unless it came with the command, then for the password.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil {
		l.asked = 1
		return []byte("Username:"), false, nil
	}
	if l.asked < 2 {
		l.user, l.asked = response, 2
		return []byte("Password:"), false, nil
	}
	return nil, true, l.authenticate(l.user, response)
}
