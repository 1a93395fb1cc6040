package bench

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub"
)

// DefaultScrubRounds take about half a minute.
const DefaultScrubRounds = 5

// ScrubOptions are what to measure of the scrubber.
type ScrubOptions struct {
	Rounds   int             // 1 to MaxRounds
	Progress func(round int) // if not nil, it is called as each round begins

	// Memory scrubs a mail in a process of its own, and returns how many bytes that had
	// resident at most.
	Memory func(ctx context.Context, written []byte) (int, error)
}

// ScrubReport is what was found.
type ScrubReport struct {
	Machine Machine       `json:"machine"`
	Rounds  int           `json:"rounds"`
	Results []ScrubResult `json:"results"`
}

// ScrubResult is that of a mail of one kind.
type ScrubResult struct {
	Kind    string `json:"kind"`
	Written int    `json:"written"` // bytes of the mail as a mail program submits it
	Leaves  int    `json:"leaves"`  // bytes of subject, text and attachments
	Time    Spread `json:"time_ms"`
	Rate    Spread `json:"mb_per_s"` // of what was written, in 10^6 bytes a second
	Memory  int    `json:"memory"`   // bytes, of a whole process that scrubs it

	// Recode is, for a photograph, the time to that of decoding it and encoding its pixels
	// with the same library.
	Recode *Spread `json:"to_recoding,omitempty"`
}

// written is a mail that is scrubbed.
type written struct {
	kind   string
	mail   []byte
	recode func() error // or nil

	leaves         int
	scrub, recoded contender
}

// times is what is spread, so often.
func (s Spread) times(factor float64) Spread {
	return Spread{s.P25 * factor, s.Median * factor, s.P75 * factor}
}

// room is that of a parcel in a network of the default parameters.
var room = (&mail.Parcel{Recipients: []mail.Address{"recipient@example.org"}}).Room(directory.DefaultParameters().Payload)

// Scrub measures how fast mails of each kind are scrubbed.
func Scrub(ctx context.Context, o ScrubOptions) (*ScrubReport, error) {
	if o.Rounds < 1 || o.Rounds > MaxRounds {
		return nil, fmt.Errorf("%d rounds are not between 1 and %d", o.Rounds, MaxRounds)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	mails, err := someMails()
	if err != nil {
		return nil, err
	}
	for round := range o.Rounds {
		if o.Progress != nil {
			o.Progress(round + 1)
		}
		for i := range mails {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if err := mails[i].measure(); err != nil {
				return nil, fmt.Errorf("%s: %w", mails[i].kind, err)
			}
		}
	}
	r := &ScrubReport{Machine: ThisMachine(), Rounds: o.Rounds}
	for i := range mails {
		m := &mails[i]
		e := ScrubResult{Kind: m.kind, Written: len(m.mail), Leaves: m.leaves, Time: m.scrub.time().times(1e-3), Rate: m.scrub.rate(len(m.mail)).times(1e-6)}
		if m.recode != nil {
			e.Recode = new(ratio(&m.scrub, &m.recoded))
		}
		if e.Memory, err = o.Memory(ctx, m.mail); err != nil {
			return nil, err
		}
		r.Results = append(r.Results, e)
	}
	return r, nil
}

// measure scrubs a mail once.
func (m *written) measure() error {
	if err := m.scrub.once(func() (err error) {
		m.leaves, err = ScrubOne(m.mail)
		return err
	}); err != nil || m.recode == nil {
		return err
	}
	return m.recoded.once(m.recode)
}

// ScrubOne scrubs a mail for a network of the default parameters, and returns how many
// bytes of it would leave.
func ScrubOne(mail []byte) (leaves int, err error) {
	result, err := scrub.Scrub(mail, scrub.Options{Room: room})
	if err != nil {
		return 0, err
	}
	return result.Message.Size(), nil
}

// once times work that is done once in each round.
func (c *contender) once(work func() error) error {
	runtime.GC()
	start := time.Now()
	err := work()
	c.took = append(c.took, float64(time.Since(start))/float64(time.Microsecond))
	return err
}
