package gateway

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"

	"codeberg.org/sourdine/sourdine/gateway/queue"
	"codeberg.org/sourdine/sourdine/gateway/sender"
	"codeberg.org/sourdine/sourdine/internal/control"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
)

// Status is what `sourdine status` shows.
type Status struct {
	sender.Status
	Mails MailCounts `json:"mails"`
}

// MailCounts counts the mails of the queue by state.
type MailCounts struct {
	Waiting   int `json:"waiting"`  // on this machine, in whole or in part
	Accepted  int `json:"accepted"` // at the exit
	Delivered int `json:"delivered"`
	Failed    int `json:"failed"` // for at least one recipient
	Expired   int `json:"expired"`
	Unknown   int `json:"unknown"`
}

// Entry is one mail as `sourdine queue` shows it. To, Subject, Reasons and Recipients
// need the password.
type Entry struct {
	ID         string      `json:"id"` // eight digits, to tell mails apart
	State      string      `json:"state"`
	Fragments  int         `json:"fragments"`
	Stored     int         `json:"stored"` // of those, at the exit
	Waiting    int         `json:"waiting"`
	Delivered  int         `json:"delivered"`
	Failed     int         `json:"failed"`
	Expired    int         `json:"expired"`
	To         []string    `json:"to,omitempty"`
	Subject    string      `json:"subject,omitempty"`
	Reasons    []string    `json:"reasons,omitempty"` // as the exit told them
	Recipients []Recipient `json:"recipients,omitempty"`

	Card    []byte `json:"card,omitempty"`    // sealed to the user
	Results []byte `json:"results,omitempty"` // sealed to the user
}

// Recipient is how one recipient's copy fares.
type Recipient struct {
	Address string `json:"address"`
	Outcome string `json:"outcome"` // a state, or "waiting"
	Reason  string `json:"reason,omitempty"`
}

// Unseal fills in what only the user may see, and drops the sealed forms.
func (e *Entry) Unseal(key *keyring.Key) error {
	card, sealed := e.Card, e.Results
	e.Card, e.Results = nil, nil
	if key == nil {
		return nil
	}
	b, err := key.Open(cardLabel, card)
	if err != nil {
		return fmt.Errorf("opening what is kept of mail %s: %w", e.ID, err)
	}
	var c Card
	if err := json.Unmarshal(b, &c); err != nil {
		return err
	}
	e.To, e.Subject = c.To, c.Subject
	var results []mail.Result
	if sealed != nil {
		if b, err = key.Open(resultsLabel, sealed); err != nil {
			return fmt.Errorf("opening the results of mail %s: %w", e.ID, err)
		}
		if err := json.Unmarshal(b, &results); err != nil {
			return err
		}
	}
	for _, r := range results {
		e.Reasons = append(e.Reasons, r.Reason)
	}
	// Results stand in the order of the recipients. One alone is about the whole mail:
	// what the exit refuses, it refuses to all.
	for i, address := range c.To {
		r := Recipient{Address: address, Outcome: e.outcome(mail.Waiting)}
		switch {
		case len(results) == len(c.To):
			r.Outcome, r.Reason = e.outcome(results[i].Outcome), results[i].Reason
		case len(results) == 1:
			r.Outcome, r.Reason = e.outcome(results[0].Outcome), results[0].Reason
		}
		e.Recipients = append(e.Recipients, r)
	}
	return nil
}

// outcome puts a recipient's outcome into words. What the exit has not told is what
// the mail's own end says.
func (e *Entry) outcome(o mail.Outcome) string {
	switch {
	case o == mail.Delivered:
		return stateDelivered
	case o == mail.Failed:
		return stateFailed
	case o == mail.Expired:
		return stateExpired
	case e.State == stateUnknown, e.State == stateExpired, e.State == stateFailed:
		return e.State
	}
	return "waiting"
}

// The states of a mail, in words.
const (
	stateQueued    = "queued"    // nothing of it is known to be at the exit
	stateSending   = "sending"   // some of it is
	stateAtExit    = "at exit"   // the exit is responsible
	stateDelivered = "delivered" // to every recipient's server
	stateFailed    = "failed"    // for at least one recipient
	stateExpired   = "expired"   // for at least one recipient, and none failed
	stateUnknown   = "unknown"   // its exit vanished before it told
)

func stateOf(m *queue.Mail) string {
	switch {
	case m.Unknown:
		return stateUnknown
	case m.Final && m.Failed > 0:
		return stateFailed
	case m.Final && m.Expired > 0:
		return stateExpired
	case m.Final:
		return stateDelivered
	case responsible(m.State):
		return stateAtExit
	case m.Have != 0:
		return stateSending
	}
	return stateQueued
}

func (g *Gateway) entries() ([]Entry, error) {
	mails, err := g.queue.All()
	if err != nil {
		return nil, err
	}
	list := make([]Entry, len(mails))
	for i := range mails {
		m := &mails[i]
		list[i] = Entry{
			ID: hex.EncodeToString(m.ID[:4]), State: stateOf(m), Fragments: m.Fragments, Stored: bitsOf(m.Have),
			Waiting: m.Waiting, Delivered: m.Delivered, Failed: m.Failed, Expired: m.Expired,
			Card: m.Card, Results: m.Results,
		}
	}
	return list, nil
}

// status tells what the sender does even where the queue cannot be read: packets
// leave in every slot all the same.
func (g *Gateway) status() (*Status, error) {
	st := &Status{Status: g.sender.Status()}
	if err := g.queue.Err(); err != nil {
		st.CanAccept = false
		st.Warnings = append(st.Warnings, err.Error())
	}
	entries, err := g.entries()
	if err != nil {
		st.Warnings = append(st.Warnings, err.Error())
	}
	for _, e := range entries {
		switch e.State {
		case stateDelivered:
			st.Mails.Delivered++
		case stateFailed:
			st.Mails.Failed++
		case stateExpired:
			st.Mails.Expired++
		case stateUnknown:
			st.Mails.Unknown++
		case stateAtExit:
			st.Mails.Accepted++
		default:
			st.Mails.Waiting++
		}
	}
	return st, nil
}

// listenControl binds the control socket and returns what serves it. The queue's
// lock says that no other gateway is running here.
func (g *Gateway) listenControl() (func(context.Context) error, error) {
	return control.Listen(filepath.Join(g.cfg.dir, controlName), control.Answers{
		"status": func() (any, error) { return g.status() },
		"queue":  func() (any, error) { return g.entries() },
	})
}

// Client asks a running gateway.
type Client struct{ socket string }

// Connect returns a client of the gateway of a configuration.
func Connect(c *Config) *Client { return &Client{filepath.Join(c.dir, controlName)} }

// ErrNotRunning says that no gateway answers.
var ErrNotRunning = errors.New("the gateway is not running: start it with `sourdine gateway`, or `systemctl --user start sourdine-gateway`")

// Status asks for the gateway's status.
func (c *Client) Status() (*Status, error) {
	st := new(Status)
	return st, c.get("status", st)
}

// Queue asks for the mails.
func (c *Client) Queue() ([]Entry, error) {
	var list []Entry
	err := c.get("queue", &list)
	return list, err
}

func (c *Client) get(name string, v any) error {
	err := control.Ask(c.socket, name, v)
	if errors.Is(err, control.ErrNotRunning) {
		return ErrNotRunning
	}
	if err != nil {
		return fmt.Errorf("asking the gateway: %w", err)
	}
	return nil
}
