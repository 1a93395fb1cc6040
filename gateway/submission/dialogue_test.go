package submission

import (
	"fmt"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/mail/scrub"
	"golang.org/x/time/rate"
)

// TestDialogues plays what mail programs say, line by line. Each line is sent as it is; behind "=>" stands how the
// answer begins. What reaches the accepter is the same for all: nothing of the envelope, of From or of a delivery
// report's options is left.
func TestDialogues(t *testing.T) {
	data := []string{
		"DATA => 354", "From: Somebody <somebody@home.example>", "Sender: else@home.example", "Message-ID: <1@home.example>",
		"Subject: Lunch", "", "At noon.", ". => 250 2.0.0",
	}
	for name, dialogue := range map[string]struct {
		how   string
		lines []string
	}{
		"Thunderbird": {"tls", append([]string{
			"EHLO [127.0.0.1] => 250", "AUTH PLAIN " + encode("\x00writer\x00correct horse") + " => 235 2.0.0",
			"MAIL FROM:<somebody@home.example> BODY=8BITMIME SIZE=391 => 250 2.0.0",
			"RCPT TO:<alice@example.org> => 250 2.0.0",
		}, data...)},
		"Thunderbird, with a delivery report": {"starttls", append([]string{
			"EHLO [127.0.0.1] => 250", "AUTH PLAIN " + encode("\x00writer\x00correct horse") + " => 235",
			"MAIL FROM:<somebody@home.example> RET=FULL ENVID=<a1@home.example> BODY=8BITMIME SIZE=391 => 250",
			"RCPT TO:<alice@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;alice@example.org => 250",
		}, data...)},
		"Apple Mail": {"tls", append([]string{
			"EHLO smtpclient.apple => 250", "AUTH PLAIN => 334 ", encode("\x00writer\x00correct horse") + " => 235",
			"MAIL FROM:<somebody@home.example> SIZE=391 BODY=8BITMIME SMTPUTF8 => 250",
			"RCPT TO:<alice@example.org> => 250",
		}, data...)},
		"Outlook": {"starttls", append([]string{
			"EHLO DESKTOP_7 => 250", "AUTH LOGIN => 334 " + encode("Username:"),
			encode("writer") + " => 334 " + encode("Password:"), encode("correct horse") + " => 235",
			"MAIL FROM: <somebody@home.example> => 250", "RCPT TO: <alice@example.org> => 250",
		}, data...)},
		"mutt": {"starttls", append([]string{
			"EHLO desk => 250", "AUTH PLAIN " + encode("writer\x00writer\x00correct horse") + " => 235",
			"MAIL FROM:<somebody@home.example> BODY=8BITMIME RET=hdrs => 250",
			"RCPT TO:<alice@example.org> NOTIFY=failure,delay => 250",
		}, data...)},
		"msmtp": {"tls", append([]string{
			"EHLO localhost => 250", "AUTH PLAIN " + encode("\x00writer\x00correct horse") + " => 235",
			"MAIL FROM:<somebody@home.example> => 250", "RCPT TO:<alice@example.org> NOTIFY=NEVER => 250",
		}, data...)},
		"HELO and a unix socket": {"unix", append([]string{
			"HELO localhost => 250", "AUTH PLAIN " + encode("\x00writer\x00correct horse") + " => 235",
			"MAIL FROM:<> => 250", "RCPT TO:<alice@example.org> => 250",
		}, data...)},
	} {
		t.Run(name, func(t *testing.T) {
			ts := start(t)
			c := ts.dial(t, dialogue.how)
			for _, line := range dialogue.lines {
				line, want, answered := strings.Cut(line, " => ")
				c.send(line + "\r\n")
				if answered {
					c.expect(want)
				}
			}
			c.do("QUIT", "221")
			letters := ts.accepted()
			if len(letters) != 1 {
				t.Fatalf("%d letters", len(letters))
			}
			l := letters[0]
			if got := fmt.Sprintf("%+v %q %q %q %q %v", l.Persona, l.MessageID, l.References, l.Recipients, *l.Message, l.Disclosed); got !=
				`{Login:writer Name:The Writer} "<1@home.example>" [] ["alice@example.org"] {"Lunch" "At noon.\n" []} false` {
				t.Errorf("letter %s", got)
			}
		})
	}
}

// TestPipelining sends a whole transaction in one piece (RFC 2920).
func TestPipelining(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "tls")
	c.login()
	c.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<bad@localhost>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n")
	for _, want := range []string{"250", "250", "553 5.1.3", "250", "354"} {
		c.expect(want)
	}
	c.send(goodMail(1) + ".\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nBDAT 14 LAST\r\nSubject: x\r\n\r\nQUIT\r\n")
	for _, want := range []string{"250", "250", "250", "250 2.0.0", "221"} {
		c.expect(want)
	}
	if letters := ts.accepted(); len(letters) != 2 || len(letters[0].Recipients) != 2 {
		t.Errorf("%d letters", len(letters))
	}
}

// TestOffers reads what EHLO offers, with TLS and before it.
func TestOffers(t *testing.T) {
	ts := start(t)
	all := []string{"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "SMTPUTF8", "DSN", "SIZE 1000000", "LIMITS RCPTMAX=100"}
	for how, more := range map[string]string{"plain": "STARTTLS", "starttls": "AUTH PLAIN LOGIN", "tls": "AUTH PLAIN LOGIN"} {
		lines := strings.Split(ts.dial(t, how).do("EHLO me", "250"), "\n")[1:]
		if len(lines) != len(all)+1 {
			t.Errorf("%s: offers %q", how, lines)
		}
		offers := strings.Join(lines, "\n") + "\n"
		for _, want := range append(all, more) {
			if !strings.Contains(offers, "250-"+want+"\n") && !strings.Contains(offers, "250 "+want+"\n") {
				t.Errorf("%s: %s is not offered: %q", how, want, lines)
			}
		}
	}
	if s := newServer(Config{MaxBytes: scrub.MaxSubmission}, nil, nil, nil); s.smtp.MaxMessageBytes != 35_000_000 {
		t.Errorf("a mail may have %d bytes", s.smtp.MaxMessageBytes)
	}
}

// TestReferences submits answers: what they name is handed on, and only that.
func TestReferences(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "tls")
	c.login()
	c.envelope()
	c.do("DATA", "354")
	c.do("References: <a@b> <c@d>\r\nIn-Reply-To: <c@d>\r\nThread-Index: x\r\n"+goodMail(1)+".", "250")
	if got := fmt.Sprint(ts.accepted()[0].References); got != "[<a@b> <c@d>]" {
		t.Errorf("references %s", got)
	}
}

// TestLimitsOfASession drives one connection to each of its limits: it is told why it ends, and the next one goes on.
func TestLimitsOfASession(t *testing.T) {
	refused := func(c *client) {
		c.envelope()
		c.do("DATA", "354")
		c.do("no header\r\n.", "554 5.6.0")
	}
	for name, test := range map[string]struct {
		times int
		each  func(c *client)
		end   string
		last  string
	}{
		"mails":              {maxMailsInSession, func(c *client) { c.do("MAIL FROM:<>", "250"); c.do("RSET", "250") }, "MAIL FROM:<>", "421 4.7.0 A connection takes no more mails"},
		"refused mails":      {maxRefusedMails, refused, "MAIL FROM:<>", "421 4.7.0 Too many mails of this connection were refused"},
		"refused recipients": {maxRefusedRecipients + 1, nil, "RCPT TO:<bad@localhost>", "421 4.7.0 Too many addresses"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := start(t)
			c := ts.dial(t, "tls")
			c.login()
			for i := range test.times {
				switch {
				case test.each != nil:
					test.each(c)
				case i == 0:
					c.do("MAIL FROM:<>", "250")
				default:
					c.do("RCPT TO:<bad@localhost>", "553 5.1.3")
				}
			}
			c.do(test.end, test.last)
			c.expect("421 4.4.2")
			if _, err := c.text.ReadLine(); err == nil {
				t.Error("the connection is still open")
			}
			ts.waitIdle(t)
			c = ts.dial(t, "tls")
			c.login()
			c.envelope()
		})
	}
}

// TestRate hands in mails faster than one user may, over two connections of two personas.
func TestRate(t *testing.T) {
	ts := start(t)
	ts.rate = rate.NewLimiter(1e-9, 3)
	first, second := ts.dial(t, "tls"), ts.dial(t, "unix")
	first.login()
	second.do("EHLO me", "250")
	second.do(plain("pen", "battery staple"), "235")
	for _, c := range []*client{first, second, first} {
		c.envelope()
		c.do("RSET", "250")
	}
	for _, c := range []*client{first, second} {
		c.do("MAIL FROM:<>", "450 4.7.1 Too many mails: 120 a minute can be handed in. Wait a minute")
	}
}

// TestLimitOfTime ends a connection that has lasted long enough.
func TestLimitOfTime(t *testing.T) {
	ts := start(t)
	c := ts.dial(t, "tls")
	c.login()
	ts.connections.mu.Lock()
	var all []*connection
	for open := range ts.connections.open {
		all = append(all, open)
	}
	ts.connections.mu.Unlock()
	if len(all) != 1 || all[0].limit == nil {
		t.Fatalf("%d connections", len(all))
	}
	all[0].limit.Reset(0)
	c.expect("421 4.4.2")
	ts.waitIdle(t)
}

// TestPlacesForMails has more mail programs in the middle of a mail than there are places: the last one waits for its
// turn, and all are accepted.
func TestPlacesForMails(t *testing.T) {
	ts := start(t)
	var all []*client
	for i := range maxMails + 1 {
		c := ts.dial(t, "unix")
		c.login()
		c.envelope()
		c.do("DATA", "354")
		c.send(goodMail(i))
		all = append(all, c)
	}
	until(t, func() bool { return len(ts.Server.mails) == maxMails })
	for _, c := range all {
		c.send(".\r\n")
	}
	for _, c := range all {
		c.expect("250 2.0.0")
	}
	if n := len(ts.accepted()); n != maxMails+1 {
		t.Errorf("%d letters", n)
	}
}

// TestPersonasLogIn logs in as each persona: the letter says which.
func TestPersonasLogIn(t *testing.T) {
	ts := start(t)
	for i, password := range []string{testPassword, "battery staple"} {
		c := ts.dial(t, "tls")
		c.do("EHLO me", "250")
		c.do(plain(testPersonas[i].Login, password), "235")
		c.envelope()
		c.do("DATA", "354")
		c.do(goodMail(1)+".", "250")
	}
	letters := ts.accepted()
	if len(letters) != 2 || letters[0].Persona != testPersonas[0] || letters[1].Persona != testPersonas[1] || letters[0].Digest == letters[1].Digest {
		t.Errorf("letters %+v", letters)
	}
}
