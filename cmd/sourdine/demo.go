package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	netmail "net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/sink"
)

// maxDemoMails bounds --mails: what a gateway's queue takes with room to spare.
const maxDemoMails = 500

func demoCommand() *cobra.Command {
	var mails int
	var asJSON, keep bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole network on this machine and send mail through it",
		Long: `Run a whole network on this machine and send mail through it: three
authorities, three mixes, an entry, an exit, a gateway and a receiving mail
server, each a process of its own, on loopback. Everything is removed in the end.

It shows how a mail travels, and protects nobody: its delays are seconds where
a real network's are minutes and hours, and nobody else sends.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if mails < 0 || mails > maxDemoMails || mails == 0 && !keep {
				return fmt.Errorf("--mails %d is not between 1 and %d", mails, maxDemoMails)
			}
			d := &demo{out: cmd.OutOrStdout(), start: time.Now(), mails: make([]demoMail, mails)}
			if asJSON {
				d.out = cmd.ErrOrStderr()
			}
			err := d.run(cmd.Context(), keep)
			if asJSON {
				err = errors.Join(err, json.NewEncoder(cmd.OutOrStdout()).Encode(d.result))
			}
			return err
		},
	}
	cmd.Flags().IntVar(&mails, "mails", 5, "`number` of mails to send")
	cmd.Flags().BoolVar(&asJSON, "json", false, "end with one line of JSON on standard output; all else goes to standard error")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the network up until Ctrl-C, and print the settings for a mail program")
	return cmd
}

// demo is one run.
type demo struct {
	out    io.Writer
	start  time.Time
	net    *testnet.Network
	mails  []demoMail
	epoch  uint64 // the last one that was told
	result demoResult
	usage  testnet.Usage
}

// demoMail is one mail on its way.
type demoMail struct {
	subject   string
	id        string    // in the gateway's queue
	state     string    // as the gateway knows it
	submitted time.Time // when the gateway answered 250
	atExit    time.Time // when the gateway learnt that the exit has it
	arrived   time.Time // when the receiving server had it
	told      time.Time // when the gateway learnt that it was delivered
	copies    int       // that arrived
}

// demoResult is what --json prints.
type demoResult struct {
	Submitted  int `json:"submitted"`
	Delivered  int `json:"delivered"`  // arrived, once or more
	Lost       int `json:"lost"`       // did not
	Duplicated int `json:"duplicated"` // arrived more than once

	PacketsSent uint64 `json:"packets_sent"`
	CoverSent   uint64 `json:"cover_packets_sent"` // of those
	PacketsLost uint64 `json:"packets_lost"`       // whose reply did not come in time, nor later

	FirstDelivery float64 `json:"seconds_to_first_delivery"` // from the first mail's 250 to its arrival
	LastDelivery  float64 `json:"seconds_to_last_delivery"`  // from the first 250 to the last mail's arrival
}

// demoExpiry is how many epochs a demo's mails live: long enough for a slow
// machine, short enough that the gateway soon asks how they fare, for it spreads
// its questions over the time a mail may live.
const demoExpiry = 30

// learning is how long after the last arrival the demo waits for the gateway to
// learn of all of them. Second copies would show in it too.
const learning = 20 * time.Second

const notProtected = "A demo protects nobody: its delays are a fraction of a second where a real network's are minutes and hours, and nobody else sends."

func (d *demo) run(ctx context.Context, keep bool) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d.say("a whole mix network on this machine: 11 processes on loopback")
	d.net, err = testnet.Start(ctx, testnet.Options{Binary: self, Expiry: demoExpiry, Progress: func(step string) { d.say("%s", step) }})
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() {
		d.say("stopping everything and removing %s", d.net.Path())
		if closing := d.net.Close(); closing != nil {
			err = errors.Join(err, fmt.Errorf("ending the demo: %w", closing))
		}
	}()
	d.epoch = d.net.Epoch()
	d.say("the gateway takes mail")
	err = d.send(ctx)
	if err == nil && len(d.mails) > 0 {
		err = d.follow(ctx)
	}
	if counting := d.count(); err == nil {
		err = counting
	}
	if err != nil {
		return interrupted(ctx, err)
	}
	d.table()
	if keep {
		if err := d.keep(ctx); err != nil {
			return err
		}
	}
	return d.verdict()
}

// interrupted says so when that is why something failed.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// say tells what happens, with the time since the start.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1f s  %s\n", time.Since(d.start).Seconds(), fmt.Sprintf(format, args...))
}

const demoSender, demoRecipient = "writer@home.example", "reader@far.example"

// demoBody is the text of the i-th mail; a line of it begins with a point, which
// SMTP treats apart.
func demoBody(i int) string {
	return fmt.Sprintf("This is mail %d.\r\n\r\n.It crossed a mix network.\r\n", i+1)
}

// send submits the mails one after the other.
func (d *demo) send(ctx context.Context) error {
	for i := range d.mails {
		m := &d.mails[i]
		m.subject = fmt.Sprintf("Demo mail %d of %d", i+1, len(d.mails))
		message := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\n\r\n%s", demoSender, demoRecipient, m.subject, demoBody(i))
		if err := d.net.Submit(demoSender, []string{demoRecipient}, []byte(message)); err != nil {
			return fmt.Errorf("submitting mail %d: %w", i+1, err)
		}
		m.submitted = time.Now()
		// Each submission adds one mail to the queue: that is this one.
		list, err := d.net.Queue(ctx, false)
		if err != nil {
			return err
		}
		for _, e := range list {
			if !slices.ContainsFunc(d.mails[:i], func(o demoMail) bool { return o.id == e.ID }) {
				m.id, m.state = e.ID, e.State
			}
		}
		d.say("mail %d: the gateway has it and answered 250", i+1)
		if err := d.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// follow tells what becomes of the mails until all have arrived and the gateway
// knows, or until they can arrive no more.
func (d *demo) follow(ctx context.Context) error {
	expired := d.net.Epoch() + demoExpiry + 1
	var settled time.Time
	return d.net.Wait(ctx, "the mails to arrive", func() (bool, error) {
		if err := d.look(ctx); err != nil {
			return false, err
		}
		here, known := 0, 0
		for _, m := range d.mails {
			if m.copies > 0 {
				here++
			}
			if !m.told.IsZero() {
				known++
			}
		}
		if here < len(d.mails) {
			return d.net.Epoch() > expired, nil
		}
		if settled.IsZero() {
			settled = time.Now()
			if known < here {
				d.say("all have arrived; the gateway asks the exit at random times how they fared")
			}
		}
		return known == len(d.mails) || time.Since(settled) > learning, nil
	})
}

// look compares what the gateway and the receiving server know with what was
// told, and tells the rest.
func (d *demo) look(ctx context.Context) error {
	if epoch := d.net.Epoch(); epoch != d.epoch {
		d.epoch = epoch
		d.say("epoch %d", epoch)
	}
	received, err := d.net.Received()
	if err != nil {
		return err
	}
	copies := map[string][]sink.Received{}
	for _, r := range received {
		if subject, _ := readMail(r.Data); subject != "" {
			copies[subject] = append(copies[subject], r)
		}
	}
	list, err := d.net.Queue(ctx, false)
	if err != nil {
		return err
	}
	for i := range d.mails {
		m := &d.mails[i]
		if m.id == "" {
			continue
		}
		if here := copies[m.subject]; len(here) > m.copies {
			if m.copies == 0 {
				m.arrived = here[0].At
				d.say("mail %d: arrived", i+1)
			} else {
				d.say("mail %d: arrived once more", i+1)
			}
			m.copies = len(here)
		}
		if j := slices.IndexFunc(list, func(e gateway.Entry) bool { return e.ID == m.id }); j >= 0 && list[j].State != m.state {
			d.learn(i, list[j].State)
		}
	}
	return nil
}

// learn takes the i-th mail's new state at the gateway.
func (d *demo) learn(i int, state string) {
	m := &d.mails[i]
	m.state = state
	switch state {
	case "at exit":
		m.atExit = time.Now()
		d.say("mail %d: the exit has it", i+1)
	case "delivered":
		m.told = time.Now()
		d.say("mail %d: the gateway knows that it was delivered", i+1)
	default:
		d.say("mail %d: %s, says the gateway", i+1, state)
	}
}

// readMail returns a received mail's subject and text.
func readMail(data []byte) (subject, body string) {
	m, err := netmail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return "", ""
	}
	b, err := io.ReadAll(m.Body)
	if err != nil {
		return "", ""
	}
	return m.Header.Get("Subject"), string(b)
}

// count works the result out. It counts the mails even where the gateway no
// longer answers.
func (d *demo) count() error {
	r := &d.result
	for _, m := range d.mails {
		if m.submitted.IsZero() {
			continue
		}
		r.Submitted++
		if m.copies == 0 {
			r.Lost++
			continue
		}
		r.Delivered++
		if m.copies > 1 {
			r.Duplicated++
		}
		took := seconds(m.arrived.Sub(d.mails[0].submitted))
		if r.FirstDelivery == 0 || took < r.FirstDelivery {
			r.FirstDelivery = took
		}
		r.LastDelivery = max(r.LastDelivery, took)
	}
	d.usage = d.net.Usage()
	st, err := d.net.Status()
	if err != nil {
		return err
	}
	r.PacketsSent, r.CoverSent, r.PacketsLost = st.PacketsSent, st.CoverSent, st.LostInAll
	return nil
}

// seconds returns d in seconds, to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }

// table prints what became of each mail, and what it took.
func (d *demo) table() {
	fmt.Fprintln(d.out)
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "mail\tat the exit after\tarrived after\tcopies\tthe gateway says")
	after := func(m demoMail, t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return fmt.Sprintf("%.1f s", t.Sub(m.submitted).Seconds())
	}
	for i, m := range d.mails {
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\n", i+1, after(m, m.atExit), after(m, m.arrived), m.copies, m.state)
	}
	w.Flush()
	r := d.result
	fmt.Fprintf(d.out, `
%d submitted, %d delivered, %d lost, %d duplicated
%d packets sent, one every 100 ms, mail or no mail; %d of them cover; %d lost
%d processes, %.0f MB of memory; %.0f s from start to here

%s

`, r.Submitted, r.Delivered, r.Lost, r.Duplicated, r.PacketsSent, r.CoverSent, r.PacketsLost,
		d.usage.Processes, float64(d.usage.Memory)/1e6, time.Since(d.start).Seconds(), notProtected)
}

// verdict is nil when every mail arrived once.
func (d *demo) verdict() error {
	if r := d.result; r.Lost > 0 || r.Duplicated > 0 {
		return fmt.Errorf("of %d mails %d were lost and %d came twice", r.Submitted, r.Lost, r.Duplicated)
	}
	return nil
}

// keep leaves the network up until ctx ends, and tells of the mails that come.
func (d *demo) keep(ctx context.Context) error {
	d.settings()
	told, err := d.net.Received()
	if err != nil {
		return err
	}
	seen := len(told)
	err = d.net.Wait(ctx, "Ctrl-C", func() (bool, error) {
		received, err := d.net.Received()
		if err != nil {
			return false, err
		}
		for ; seen < len(received); seen++ {
			r := received[seen]
			subject, _ := readMail(r.Data)
			d.say("arrived for %s: %q, %d bytes, in %s", strings.Join(r.To, ", "), subject, len(r.Data), filepath.Base(r.Path))
		}
		return false, nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// settings prints what to type into a mail program.
func (d *demo) settings() {
	s := d.net.Submission()
	_, tlsPort, _ := net.SplitHostPort(s.TLS)
	_, port, _ := net.SplitHostPort(s.StartTLS)
	fmt.Fprintf(d.out, `The network stays up until Ctrl-C. Settings for a mail program (outgoing mail):
  server       127.0.0.1
  port         %[1]s with SSL/TLS, or %[2]s with STARTTLS
  user name    %[3]s
  password     %[4]s
  certificate  %[5]s

Try one of these; what arrives is told here and lies in %[6]s:
  swaks --server 127.0.0.1 --port %[1]s --tls-on-connect --tls-ca-path %[5]s --tls-verify --auth PLAIN --auth-user %[3]s --auth-password %[4]s --from me@home.example --to you@far.example
  printf 'Subject: hello\n\nHello.\n' | msmtp --host=127.0.0.1 --port=%[1]s --tls=on --tls-starttls=off --tls-trust-file=%[5]s --auth=plain --user=%[3]s --passwordeval='echo %[4]s' --from=me@home.example you@far.example
  printf 'Subject: hello\n\nHello.\n' | curl --crlf --url smtps://127.0.0.1:%[1]s --cacert %[5]s --user %[3]s:%[4]s --mail-from me@home.example --mail-rcpt you@far.example --upload-file -
  printf 'Hello.\n' | mutt -n -F /dev/null -e 'set smtp_url=smtp://%[3]s@127.0.0.1:%[2]s' -e 'set smtp_pass=%[4]s' -e 'set ssl_starttls=yes ssl_force_tls=yes certificate_file=%[5]s' -e 'set from=me@home.example copy=no' -s hello you@far.example

How it fares, in another terminal:
  sourdine status -c %[7]s
  sourdine queue -c %[7]s

`, tlsPort, port, s.User, s.Password, s.Certificate, d.net.Path(testnet.Sink), d.net.Path(testnet.Gateway, gateway.ConfigName))
}
