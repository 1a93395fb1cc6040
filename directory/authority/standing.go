package authority

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/control"
)

// Listing is who is admitted, and with whom the running authority votes.
type Listing struct {
	Running bool       `json:"running"` // without, nobody is in force
	Members []Standing `json:"members"`
}

// Standing is how a member stands at this authority.
type Standing struct {
	counted
	Operator string    `json:"operator,omitempty"`
	Since    time.Time `json:"since,omitzero"` // when it was admitted
	Until    time.Time `json:"until,omitzero"` // when its time is over
	InForce  bool      `json:"in_force"`       // the authority votes with it now
	Joins    *Change   `json:"joins,omitempty"`
	Leaves   *Change   `json:"leaves,omitempty"`
}

// Change is the first epoch for whose consensus an authority votes with a change.
type Change struct {
	Epoch  uint64    `json:"epoch"`
	Begins time.Time `json:"begins"`
}

// counted is what the engine is told of a member. One that changes nothing of it, as
// a new address, needs no new start.
type counted struct {
	Name  string         `json:"name"`
	Role  directory.Role `json:"role"`
	Layer int            `json:"layer,omitempty"`
	Key   string         `json:"key"` // its name on the wire, in hexadecimal
}

func (a *Admitted) counted() counted {
	id := a.ID()
	return counted{a.Name, a.Role, a.Layer, hex.EncodeToString(id[:])}
}

// Names at which a running authority can be asked.
const (
	controlSocket   = "control.sock"
	questionMembers = "members"
)

func (c *Config) socket() string { return filepath.Join(c.State, controlSocket) }

// inForce asks the running authority with whom it votes.
func (c *Config) inForce() (list []counted, running bool, err error) {
	err = control.Ask(c.socket(), questionMembers, &list)
	if errors.Is(err, control.ErrNotRunning) {
		return nil, false, nil
	}
	return list, err == nil, err
}

// List tells how each member stands. It needs the network file.
func (c *Config) List(n *directory.Network) (*Listing, error) {
	t, err := c.turns(n)
	if err != nil {
		return nil, err
	}
	list, err := c.Admitted()
	if err != nil {
		return nil, err
	}
	now, running, err := c.inForce()
	if err != nil {
		return nil, err
	}
	return &Listing{Running: running, Members: standings(list, now, running, t.change(time.Now()), n.Parameters.Epoch)}, nil
}

// change is what a change that is made now is first voted in.
func (t turns) change(now time.Time) Change {
	return changeAt(firstVote(t.next(now), t.period), t.period)
}

func changeAt(epoch uint64, period time.Duration) Change {
	return Change{epoch, directory.EpochStart(epoch, period)}
}

// standings compares who is admitted with whom a running authority votes with; next
// is the first vote that can differ.
func standings(list []*Admitted, inForce []counted, running bool, next Change, period time.Duration) []Standing {
	members := []Standing{}
	will := counting(list, next.Begins)
	for _, a := range list {
		s := Standing{counted: a.counted(), Operator: a.Operator, Since: a.Since, Until: a.Until}
		s.InForce = slices.Contains(inForce, s.counted)
		stays := slices.Contains(will, a)
		if running && !s.InForce && stays {
			s.Joins = &next
		}
		if running && s.InForce && !stays {
			s.Leaves = &next
		}
		if running && stays && !a.Until.IsZero() {
			end := changeAt(firstFrom(a.Until, period), period)
			if !slices.Contains(counting(list, end.Begins), a) {
				s.Leaves = &end
			}
		}
		members = append(members, s)
	}
	for _, c := range inForce {
		if !slices.ContainsFunc(members, func(s Standing) bool { return s.counted == c }) {
			members = append(members, Standing{counted: c, InForce: true, Leaves: &next})
		}
	}
	return members
}

// firstFrom returns the first epoch that does not begin before a moment.
func firstFrom(t time.Time, period time.Duration) uint64 {
	epoch := directory.EpochAt(t, period)
	if directory.EpochStart(epoch, period).Before(t) {
		epoch++
	}
	return epoch
}

// Effect is when a running authority takes up a change that is made now.
type Effect struct {
	Turn   time.Time // when it starts its engine anew
	Vote   time.Time // when the vote begins that is the first with it
	Change           // what that vote is for
}

// Effect returns nil if the authority is not running, or there is no network yet: it
// then counts with the change from its start.
func (c *Config) Effect() (*Effect, error) {
	_, running, err := c.inForce()
	if err != nil || !running {
		return nil, err
	}
	n, err := c.ReadNetwork()
	if err != nil || n == nil {
		return nil, err
	}
	t, err := c.turns(n)
	if err != nil {
		return nil, err
	}
	turn := t.next(time.Now())
	first := firstVote(turn, t.period)
	return &Effect{turn, directory.EpochStart(first-1, t.period), changeAt(first, t.period)}, nil
}
