package sender

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// How long an entry or an exit may leave everything without a reply before another
// is chosen. Changing is a risk of its own: who makes a user change often enough
// becomes their entry. A packet without a reply counts against both, since nobody
// can tell which of them dropped it, and any reply clears both. The entry goes first:
// were it the exit, an entry that drops everything would make its gateway try one
// exit after the other, until one that works with it.
const (
	entryPatience = 3 * 24 * time.Hour
	exitPatience  = 7 * 24 * time.Hour
)

// guards are the entry and the exit that a gateway keeps for months, and the
// newest epoch whose consensus it has seen. The exported fields are the file's.
type guards struct {
	Entry        string   `json:"entry"`          // identity hash in hexadecimal
	Exit         string   `json:"exit,omitempty"` // of chosen
	ExitOperator string   `json:"exit_operator,omitempty"`
	EntryFailing failures `json:"entry_failing"`
	ExitFailing  failures `json:"exit_failing"`
	Epoch        uint64   `json:"epoch"`

	// Keys are the exit's of today and tomorrow. With them a mail can be sealed after a
	// start as soon as a consensus tells whose signature they need.
	Keys []mail.SignedKey `json:"exit_keys,omitempty"`

	path    string
	network *directory.Network
	entry   *directory.Member
	exit    sphinx.NodeID // in use; zero: none yet
	chosen  sphinx.NodeID // not in use before it is on the disk: see Sender.saveGuards
}

// failures counts the epochs in which something was tried and never worked, since
// it last did. Time in which nothing was tried, the gateway off, does not count.
type failures struct {
	Epochs uint64 `json:"epochs"`
	Last   uint64 `json:"last"` // the epoch that was counted last
}

// failed reports whether this epoch was not counted yet.
func (f *failures) failed(epoch uint64) bool {
	if epoch == f.Last {
		return false
	}
	f.Epochs++
	f.Last = epoch
	return true
}

func (f *failures) worked(epoch uint64) { *f = failures{Last: epoch} }

// loadGuards reads the file at path, or chooses an entry where there is none.
func loadGuards(path string, n *directory.Network) (*guards, error) {
	g := &guards{path: path, network: n}
	b, err := config.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		g.pickEntry(NewRand())
		return g, g.later()()
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, g); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it to let the gateway choose an entry and an exit anew", path, err)
	}
	if g.Exit != "" {
		id, err := hex.DecodeString(g.Exit)
		if err != nil || len(id) != len(g.exit) {
			return nil, fmt.Errorf("%s is damaged: its exit is no identity; remove it to let the gateway choose anew", path)
		}
		copy(g.exit[:], id)
		g.chosen = g.exit
	}
	for _, m := range n.Entries {
		if id := m.ID(); hex.EncodeToString(id[:]) == g.Entry {
			g.entry = m
		}
	}
	if g.entry == nil { // the network file no longer lists it
		g.pickEntry(NewRand())
		return g, g.later()()
	}
	return g, nil
}

// later returns what writes the guards as they are now, to be called by any
// goroutine, one at a time and in order.
func (g *guards) later() (write func() error) {
	b, err := json.MarshalIndent(g, "", "  ")
	return func() error {
		if err != nil {
			return err
		}
		return config.WriteFile(g.path, append(b, '\n'), 0o600)
	}
}

// pickEntry chooses another entry than the one there is, never of the exit's
// operator, and reports whether it found one. Where there is none yet, one of the
// exit's operator is better than nothing to start from: no packet goes by it before
// the exit, too, has another operator.
func (g *guards) pickEntry(rng *rand.Rand) bool {
	var candidates []*directory.Member
	for _, m := range g.network.Entries {
		if m != g.entry && m.Operator != g.ExitOperator {
			candidates = append(candidates, m)
		}
	}
	if len(candidates) == 0 {
		if g.entry != nil {
			return false
		}
		candidates = g.network.Entries
	}
	g.entry = candidates[rng.IntN(len(candidates))]
	id := g.entry.ID()
	g.Entry, g.EntryFailing = hex.EncodeToString(id[:]), failures{}
	return true
}

// changeEntry chooses another entry if the one there is left everything without a
// reply for more than patience epochs, and reports whether it did.
func (g *guards) changeEntry(patience uint64, rng *rand.Rand) bool {
	return g.EntryFailing.Epochs > patience && g.pickEntry(rng)
}

// errSameOperator says why no exit can be used.
var errSameOperator = errors.New("no exit in the consensus is run by others than this gateway's entry: an entry and an exit of one operator could work together")

// chooseExit chooses an exit where there is none, or where the one there is left
// packets without an answer, or could not be used, for more than patience epochs:
// never one that the entry's operator runs. What it chooses is g.chosen, which
// becomes g.exit when it is on the disk: a mail must not be sealed to an exit of
// which a killed process would know nothing at its next start.
func (g *guards) chooseExit(v *directory.View, rng *rand.Rand, patience uint64) error {
	none := sphinx.NodeID{}
	if g.chosen != none && (g.chosen != g.exit || g.ExitFailing.Epochs <= patience) {
		return nil
	}
	var candidates []directory.Exit
	for _, e := range v.Exits {
		if e.Operator != g.entry.Operator && e.ID != g.exit {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		if g.exit != none {
			return nil // there is no other
		}
		return errSameOperator
	}
	e := candidates[rng.IntN(len(candidates))]
	g.chosen = e.ID
	g.Exit, g.ExitOperator, g.ExitFailing = hex.EncodeToString(e.ID[:]), e.Operator, failures{}
	g.Keys = nil
	return nil
}

// keep adds a verified key to those that are kept, without those of past days, and
// reports whether it is a new one.
func (g *guards) keep(k mail.SignedKey, today uint32) bool {
	if k.Day < today || slices.ContainsFunc(g.Keys, func(have mail.SignedKey) bool { return have.ID == k.ID }) {
		return false
	}
	g.Keys = slices.DeleteFunc(g.Keys, func(have mail.SignedKey) bool { return have.Day < today })
	if len(g.Keys) >= keptKeys {
		return false
	}
	g.Keys = append(g.Keys, k)
	return true
}
