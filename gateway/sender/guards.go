package sender

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/config"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// How long an entry or an exit may fail before another is chosen. Changing is a
// risk of its own: who makes a user change often enough becomes their entry.
const (
	entryPatience = 3 * 24 * time.Hour
	exitPatience  = 7 * 24 * time.Hour
)

// guards are the entry and the exit that a gateway keeps for months, and the
// newest epoch whose consensus it has seen.
type guards struct {
	Entry        string   `json:"entry"` // identity hash in hexadecimal
	Exit         string   `json:"exit,omitempty"`
	EntryFailing failures `json:"entry_failing"`
	ExitFailing  failures `json:"exit_failing"`
	Epoch        uint64   `json:"epoch"`

	file    guardsFile
	version uint64 // counts what was handed to the file
	network *directory.Network
	entry   *directory.Member
	exit    sphinx.NodeID // zero: none yet
}

// guardsFile is written by the sender's loop and by its helper, so that a slow
// disk keeps no slot waiting.
type guardsFile struct {
	path    string
	mu      sync.Mutex
	written uint64 // the version that the file has
}

// write replaces the file's content, unless a newer version is there already.
func (f *guardsFile) write(version uint64, content []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if version < f.written {
		return nil
	}
	f.written = version
	return config.WriteFile(f.path, content, 0o600)
}

// failures counts the epochs in which something was tried and never worked, since
// it last did. Time in which nothing was tried, the gateway off, does not count.
type failures struct {
	Epochs uint64 `json:"epochs"`
	Last   uint64 `json:"last"` // the epoch that was counted last
}

func (f *failures) failed(epoch uint64) {
	if epoch != f.Last {
		f.Epochs++
		f.Last = epoch
	}
}

func (f *failures) worked(epoch uint64) { *f = failures{Last: epoch} }

// loadGuards reads the file at path, or chooses an entry where there is none.
func loadGuards(path string, n *directory.Network) (*guards, error) {
	g := &guards{file: guardsFile{path: path}, network: n}
	b, err := config.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		g.pickEntry(NewRand())
		return g, g.save()
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
	}
	for _, m := range n.Entries {
		if id := m.ID(); hex.EncodeToString(id[:]) == g.Entry {
			g.entry = m
		}
	}
	if g.entry == nil { // the network file no longer lists it
		g.pickEntry(NewRand())
		return g, g.save()
	}
	return g, nil
}

// save writes the guards, and returns when they are on the disk.
func (g *guards) save() error { return g.later()() }

// later returns what writes the guards as they are now, to be called by any
// goroutine.
func (g *guards) later() func() error {
	b, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return func() error { return err }
	}
	g.version++
	version := g.version
	return func() error { return g.file.write(version, append(b, '\n')) }
}

func (g *guards) pickEntry(rng *rand.Rand) {
	candidates := make([]*directory.Member, 0, len(g.network.Entries))
	for _, m := range g.network.Entries {
		if m != g.entry {
			candidates = append(candidates, m)
		}
	}
	if len(candidates) == 0 {
		return
	}
	g.entry = candidates[rng.IntN(len(candidates))]
	id := g.entry.ID()
	g.Entry, g.EntryFailing = hex.EncodeToString(id[:]), failures{}
}

// saw notes that a consensus of this epoch was seen, and returns what writes it
// down.
func (g *guards) saw(epoch uint64) (write func() error) {
	g.Epoch = max(g.Epoch, epoch)
	return g.later()
}

// entryFailed notes a failed attempt, and chooses another entry after patience
// epochs of attempts without a success.
func (g *guards) entryFailed(epoch, patience uint64, rng *rand.Rand, log *slog.Logger) {
	g.EntryFailing.failed(epoch)
	if g.EntryFailing.Epochs <= patience || len(g.network.Entries) < 2 {
		return
	}
	g.pickEntry(rng)
	log.Warn("the entry failed for long; another was chosen", "entry", g.entry.Name)
	if err := g.save(); err != nil {
		log.Error("writing the file of guards failed", "error", err)
	}
}

// errExitChanged says that another exit was chosen in place of one.
var errExitChanged = errors.New("the exit was changed")

// chooseExit chooses an exit where there is none, or where the one there is left
// packets without an answer, or was not in the consensus, for more than patience
// epochs: never one that the entry's operator runs.
func (g *guards) chooseExit(v *directory.View, rng *rand.Rand, patience uint64) error {
	had := g.exit != sphinx.NodeID{}
	if had && g.ExitFailing.Epochs <= patience {
		return nil
	}
	var candidates []directory.Exit
	for _, e := range v.Exits {
		if e.Operator != g.entry.Operator && e.ID != g.exit {
			candidates = append(candidates, e)
		}
	}
	if len(candidates) == 0 {
		if had {
			return nil // there is no other
		}
		return errors.New("no exit in the consensus is run by others than this gateway's entry: an entry and an exit of one operator could work together")
	}
	g.exit = candidates[rng.IntN(len(candidates))].ID
	g.Exit, g.ExitFailing = hex.EncodeToString(g.exit[:]), failures{}
	if err := g.save(); err != nil {
		return err
	}
	if had {
		return errExitChanged
	}
	return nil
}
