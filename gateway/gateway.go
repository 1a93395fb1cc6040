package gateway

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway/queue"
	"codeberg.org/sourdine/sourdine/gateway/sender"
	"codeberg.org/sourdine/sourdine/gateway/submission"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Labels under which things are sealed to the user or recognised.
const (
	cardLabel    = "sourdine mail card v1"
	resultsLabel = "sourdine mail results v1"
	tagLabel     = "sourdine submission v1"

	referenceTagLabel = "sourdine reference tag v1"
	referenceLabel    = "sourdine reference v1"
)

// Card is what the gateway keeps of a mail for its user, sealed.
type Card struct {
	To      []string `json:"to"`
	Subject string   `json:"subject"`
}

// questions is how often a mail's state is asked for.
const questions = 5

// lossWindow is the number of packets over which loss is measured.
const lossWindow = 100

// Gateway is a running gateway.
type Gateway struct {
	cfg     *Config
	network *directory.Network
	ring    *keyring.Ring
	queue   *queue.Queue
	sender  outlet
	size    int // of a request
	log     *slog.Logger

	exitChanged chan struct{} // wakes tend
	damaged     atomic.Int64  // mails that could not be read
}

// outlet is what the gateway needs of its [sender.Sender], whose methods these are.
type outlet interface {
	Add(context.Context, sender.Parcel) error
	Remove(context.Context, mail.ParcelID)
	Sealing() (sender.Sealing, error)
	Exit() (id sphinx.NodeID, ok bool)
	ExitExpiry() uint64
	Now() time.Time
	Status() sender.Status
}

// spareThreads is how many more goroutines run at once than there are processors.
// A login, of which a mail program needs one for each mail, computes for a tenth of
// a second. Go's scheduler would let a slot wait for it; the kernel, which shares a
// processor among threads, does not.
const spareThreads = 2

// Run runs the gateway until ctx ends.
func Run(ctx context.Context, c *Config, n *directory.Network, log *slog.Logger) (err error) {
	runtime.GOMAXPROCS(runtime.NumCPU() + spareThreads)
	g := &Gateway{cfg: c, network: n, size: n.Parameters.Payload, log: log, exitChanged: make(chan struct{}, 1)}
	if g.ring, err = c.Keyring(); err != nil {
		return err
	}
	for _, p := range c.Personas {
		if !g.ring.Has(p.Login) {
			return fmt.Errorf("the persona %s has no password: give it one with `sourdine gateway persona password`", p.Login)
		}
	}
	if g.queue, err = queue.Open(c.dir, queue.Limits{}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.queue.Close()) }()
	send, err := sender.New(sender.Config{
		Network: n, Floors: c.Floors, Guards: filepath.Join(c.dir, guardsName),
		Resend: c.Resend, Window: lossWindow, Store: g, Log: log,
	})
	if err != nil {
		return err
	}
	g.sender = send
	certificate, _, err := submission.Certificate(c.dir)
	if err != nil {
		return err
	}
	smtp, err := submission.New(submission.Config{
		Listen: c.Listen, ListenTLS: c.ListenTLS, Socket: c.Socket, Personas: c.logins(),
		TLS:  &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		Room: g.room,
	}, g.ring, g.accept, log)
	if err != nil {
		return err
	}
	control, err := g.listenControl()
	if err != nil {
		smtp.Close()
		return err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := map[string]func(context.Context) error{
		"sender": send.Run, "submission": smtp.Serve, "control": control, "queue": g.tend,
	}
	ended := make(chan error, len(parts))
	for name, run := range parts {
		go func() {
			err := run(ctx)
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			cancel(err) // the first one's error ends the others
			ended <- err
		}()
	}
	log.Info("gateway started", "network", n.Name, "slot", n.Parameters.Slot)
	var all error
	for range parts {
		all = errors.Join(all, <-ended)
	}
	return all
}

// room is what a parcel of this network has for a letter's message.
func (g *Gateway) room(l *submission.Letter) int {
	p := mail.Parcel{From: l.Persona.Name, Recipients: l.Recipients}
	return p.Room(g.size)
}

// accept takes responsibility for a submitted mail: when it returns nil, the
// mail is sealed and on disk.
func (g *Gateway) accept(ctx context.Context, l *submission.Letter) error {
	by, err := g.sender.Sealing()
	if errors.Is(err, sender.ErrNoKey) {
		return &submission.Temporary{Code: 451, Enhanced: [3]int{4, 4, 1}, Text: err.Error()}
	}
	if err != nil {
		return err
	}
	life := min(g.cfg.Expiry, by.Info.Expiry)
	parcel := &mail.Parcel{
		Expires:    g.network.Epoch(by.Now) + life,
		Date:       uint32(by.Now.Unix() / 86400),
		From:       l.Persona.Name,
		References: g.references(l, by.Exit, by.Now),
		Recipients: l.Recipients,
		Disclosed:  l.Disclosed,
		Message:    *l.Message,
	}
	rand.Read(parcel.MessageID[:])
	sealed, err := mail.SealParcel(parcel, by.Key, g.size)
	if refusal, ok := errors.AsType[*mail.Refusal](err); ok {
		return &submission.Permanent{Code: 552, Enhanced: [3]int{5, 3, 4}, Text: refusal.Reason}
	}
	if err != nil {
		return err
	}
	card, err := g.card(l)
	if err != nil {
		return err
	}
	m := queue.Mail{
		ID: sealed.ID, Exit: by.Exit, Key: sealed.Key, Expires: sealed.Expires, Fragments: sealed.Fragments(g.size),
		Queries: g.moments(by.Now, parcel.Expires, life, sealed.Fragments(g.size), by.Info.Hold),
		State:   mail.StateUnknown, Waiting: len(l.Recipients),
		Card: card,
	}
	if m.Reference, err = g.reference(l, parcel, by.Exit); err != nil {
		return err
	}
	again, err := g.store(&m, sealed.Data, l)
	if refusal, ok := errors.AsType[*submission.Permanent](err); ok {
		return refusal
	}
	switch {
	case errors.Is(err, queue.ErrFull):
		return &submission.Temporary{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "the disk of this machine is full: free some space and send again"}
	case errors.Is(err, queue.ErrLimit):
		return &submission.Temporary{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: "too many mails wait already: send again when some have gone"}
	case errors.Is(err, queue.ErrFailed):
		return &submission.Temporary{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: queue.ErrFailed.Error()}
	case err != nil:
		g.log.Error("storing a mail failed", "error", err)
		return &submission.Temporary{Code: 451, Enhanced: [3]int{4, 3, 0}, Text: "the mail could not be stored: the gateway's log says why"}
	case again:
		return nil
	}
	g.forgetReferences(l.Key, by.Now)
	// The mail is stored: it is sent at the latest after the next start.
	_ = g.sender.Add(ctx, toSend(&m))
	return nil
}

// store puts a mail into the queue, unless it is there already: again says that. A
// mail program that hands in a mail a second time, because the connection broke off
// or its user pressed the button twice, gets the first one's answer. It must not get
// a 250 for what did not arrive and will not be sent.
func (g *Gateway) store(m *queue.Mail, sealed []byte, l *submission.Letter) (again bool, err error) {
	for n := uint32(0); ; {
		m.Tag = l.Key.Tag(tagLabel, l.Digest[:], binary.BigEndian.AppendUint32(nil, n))
		id, again, err := g.queue.Put(*m, sealed)
		if err != nil || !again {
			return false, err
		}
		first, err := g.queue.Get(id)
		switch {
		case errors.Is(err, queue.ErrNotFound):
			// Forgotten just now: its tag is free.
		case err != nil:
			return false, err
		case !first.Final:
			return true, nil
		case l.MessageID == "":
			// Nothing says that it is not a new mail of the same words: the report of a
			// nightly job. It gets the next tag.
			n++
		case first.Failed+first.Expired+first.Waiting == 0:
			return true, nil
		default:
			return false, &submission.Permanent{Text: "this mail was handed in before and " + missed(&first) + ": `sourdine queue` says why; write it anew to send it again"}
		}
	}
}

// missed says how a mail that ended without all its recipients fared.
func missed(m *queue.Mail) string {
	switch {
	case m.Unknown:
		return "may not have arrived"
	case m.Delivered > 0:
		return "did not reach all its recipients"
	}
	return "did not arrive"
}

// moments draws when a mail's state is asked for: from when it can be delivered
// at the earliest until its expiry, life epochs away, and once soon after, when
// nothing more is taken of it whatever the clocks, and the exit still tells.
func (g *Gateway) moments(now time.Time, expires, life uint64, fragments int, hold time.Duration) []time.Time {
	p := g.network.Parameters
	transit := time.Duration(fragments)*p.Slot + time.Duration(2*p.Layers)*p.Delay
	end := directory.EpochStart(expires+1, p.Epoch)
	over := sender.Tolerance(g.network)
	grace := time.Duration(mail.Memory(life))*p.Epoch/2 - over
	moments := mixing.Moments(sender.NewRand(), now.Add(transit+hold/2), end, grace, questions)
	last := len(moments) - 1
	moments[last] = moments[last].Add(over)
	return moments
}

// told is for how many epochs beyond a mail's expiry the exit surely still knows
// it: at least as long as for the life that a mail is given now.
func (g *Gateway) told() uint64 { return mail.Memory(min(g.cfg.Expiry, g.sender.ExitExpiry())) }

func (g *Gateway) card(l *submission.Letter) ([]byte, error) {
	card := Card{Subject: l.Message.Subject}
	for _, r := range l.Recipients {
		card.To = append(card.To, string(r))
	}
	b, err := json.Marshal(card)
	if err != nil {
		return nil, err
	}
	return g.ring.Seal(cardLabel, b)
}

// toSend is a stored mail as the sender takes it.
func toSend(m *queue.Mail) sender.Parcel {
	return sender.Parcel{
		Parcel: mixing.Parcel{
			ID: mixing.ID(m.ID), Fragments: m.Fragments, Have: m.Have,
			Complete: responsible(m.State), Queries: m.Queries,
		},
		Exit: m.Exit, Expires: m.Expires,
	}
}

// responsible reports whether the exit has taken the mail over.
func responsible(s mail.State) bool { return s == mail.StateComplete || s == mail.StateDone }

// Request implements sender.Store. A mail whose fragments cannot be read any more, or
// fit the network's packets no more, is ended: it is sealed to the exit, so that nobody
// here can cut it anew. What was read and sent before may be all that the exit needs,
// so its fate is unknown.
func (g *Gateway) Request(id mail.ParcelID, index int) (*mail.Request, error) {
	r, err := g.request(id, index)
	if err == nil || errors.Is(err, queue.ErrNotFound) {
		return r, err
	}
	g.log.Error("the copy of a mail on this machine is damaged, or in pieces for packets of another size; the mail was ended", "so far", g.damaged.Add(1))
	results := g.sealResults([]mail.Result{{Reason: "its copy on this machine is damaged, or was made for packets of the size that the network had before: it arrived only if all of it was sent before"}})
	if err := g.queue.Update(id, func(m *queue.Mail) {
		if !m.Final {
			m.Final, m.Unknown, m.Results = true, true, results
		}
	}); err != nil {
		g.log.Error("ending a mail failed", "error", err)
	}
	return nil, err
}

func (g *Gateway) request(id mail.ParcelID, index int) (*mail.Request, error) {
	m, err := g.queue.Get(id)
	if err != nil {
		return nil, err
	}
	data, err := g.queue.Data(id)
	if err != nil {
		return nil, err
	}
	if len(data) != m.Fragments*mail.FragmentCapacity(g.size) || index >= m.Fragments {
		return nil, errors.New("a mail is not in as many pieces as its record says")
	}
	return mail.Sealed{ID: m.ID, Key: m.Key, Expires: m.Expires, Data: data}.Request(index, g.size), nil
}

// Answered implements sender.Store.
func (g *Gateway) Answered(r *mail.Reply, asked time.Time) (ended bool, err error) {
	err = g.queue.Update(r.Parcel, func(m *queue.Mail) {
		defer func() { ended = m.Final }()
		if m.Final || (responsible(m.State) && !responsible(r.State)) {
			return // an answer that others overtook
		}
		if !responsible(m.State) && !responsible(r.State) && r.State != mail.StateRefused && g.tooLate(m, asked) {
			// The exit still knows what it had when it was asked, and takes nothing any
			// more: this mail never got there whole.
			m.Expired, m.Waiting, m.Final = m.Expired+m.Waiting, 0, true
			return
		}
		m.State = r.State
		switch r.State {
		case mail.StateUnknown:
			m.Have = 0
		case mail.StateIncomplete:
			m.Have = ^r.Missing & (1<<m.Fragments - 1)
		case mail.StateRefused:
			m.Failed, m.Waiting, m.Final = m.Failed+m.Waiting, 0, true
			m.Results = g.sealResults([]mail.Result{{Outcome: mail.Failed, Reason: r.Reason}})
		case mail.StateComplete, mail.StateDone:
			m.Have = 1<<m.Fragments - 1
			m.Final = r.State == mail.StateDone
			if len(r.Results) > 0 {
				m.Waiting, m.Delivered, m.Failed, m.Expired = tally(r.Results)
				m.Results = g.sealResults(r.Results)
			}
		}
		m.Queries = after(m.Queries, g.sender.Now())
	})
	if errors.Is(err, queue.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		g.log.Error("storing a mail's state failed", "error", err)
	}
	return ended, err
}

// tooLate reports whether the answer to a packet that left at asked, and which is
// there now, tells what an exit has of a mail that it takes nothing more of, and has
// not forgotten yet. When the answer arrives says nothing: a packet that left in time
// may be answered before the mail's last fragment is there.
func (g *Gateway) tooLate(m *queue.Mail, asked time.Time) bool {
	remembers := g.network.Epoch(g.sender.Now().Add(sender.Tolerance(g.network))) <= m.Expires+g.told()
	return sender.Over(g.network, asked, m.Expires) && remembers
}

func tally(results []mail.Result) (waiting, delivered, failed, expired int) {
	var n [4]int
	for _, r := range results {
		n[r.Outcome&3]++
	}
	return n[mail.Waiting], n[mail.Delivered], n[mail.Failed], n[mail.Expired]
}

// after drops the moments that are past, but keeps the last: a mail is asked for
// until its fate is known.
func after(moments []time.Time, now time.Time) []time.Time {
	for len(moments) > 1 && moments[0].Before(now) {
		moments = moments[1:]
	}
	return moments
}

func (g *Gateway) sealResults(results []mail.Result) []byte {
	b, err := json.Marshal(results)
	if err == nil {
		b, err = g.ring.Seal(resultsLabel, b)
	}
	if err != nil {
		g.log.Error("sealing a mail's results failed", "error", err)
		return nil
	}
	return b
}

// ExitChanged implements sender.Store.
func (g *Gateway) ExitChanged() {
	select {
	case g.exitChanged <- struct{}{}:
	default: // tend has yet to look at the change before
	}
}

// giveUp ends every open mail that which picks, its fate unknown, and returns
// their ids.
func (g *Gateway) giveUp(which func(*queue.Mail) bool) (ended []mail.ParcelID) {
	mails, err := g.queue.All()
	if err != nil {
		g.log.Error("reading the queue failed", "error", err)
		return nil
	}
	for i := range mails {
		if mails[i].Final || !which(&mails[i]) {
			continue
		}
		err := g.queue.Update(mails[i].ID, func(m *queue.Mail) { m.Final, m.Unknown = true, true })
		if err != nil {
			g.log.Error("ending a mail failed", "error", err)
			continue
		}
		ended = append(ended, mails[i].ID)
	}
	return ended
}

// remembered is how many epochs an ended mail stays in the queue beyond its
// expiry, for its user to see, in terms of the time a mail may live.
const remembered = 6

// tend hands the stored mails to the sender. When the exit has changed, and once an
// epoch, it ends those whose fate will not be known, and forgets those that ended
// long ago.
func (g *Gateway) tend(ctx context.Context) error {
	tick := time.NewTicker(g.network.Parameters.Epoch)
	defer tick.Stop()
	for handOver, ticked := true, false; ; {
		g.endLost(ctx, ticked)
		if exit, ok := g.sender.Exit(); handOver && ok {
			mails, err := g.queue.All()
			if err != nil {
				return err
			}
			for i := range mails {
				if !mails[i].Final && mails[i].Exit == exit && g.sender.Add(ctx, toSend(&mails[i])) != nil {
					return nil
				}
			}
			handOver = false
		}
		ticked = false
		select {
		case <-ctx.Done():
			return nil
		case <-g.exitChanged:
		case <-tick.C:
			ticked = true
			g.forgetOld()
		}
	}
}

// endLost ends the open mails whose fate will not be known: those of an exit that is
// no longer this gateway's, since no other may have what it may have delivered; and,
// if old, those that the exit no longer remembers. It looks at the whole queue each
// time, so it does not matter when the gateway was killed, or which change it was
// not told.
func (g *Gateway) endLost(ctx context.Context, old bool) {
	epoch := g.network.Epoch(g.sender.Now())
	exit, known := g.sender.Exit()
	for _, id := range g.giveUp(func(m *queue.Mail) bool {
		return known && m.Exit != exit || old && epoch > m.Expires+mail.Memory(g.cfg.Expiry)
	}) {
		g.sender.Remove(ctx, id)
	}
}

func (g *Gateway) forgetOld() {
	epoch := g.network.Epoch(g.sender.Now())
	if keep := remembered * g.cfg.Expiry; epoch > keep {
		if _, err := g.queue.ForgetBefore(epoch - keep); err != nil {
			g.log.Error("forgetting old mails failed", "error", err)
		}
	}
}

// bitsOf counts the fragments that the exit has.
func bitsOf(have uint64) int { return bits.OnesCount64(have) }
