package mixnode

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"

	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mixnode/mixkeys"
	"codeberg.org/sourdine/sourdine/mixnode/replay"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// epochKey is the mix key of one epoch, and which packets it has seen.
type epochKey struct {
	epoch   uint64
	private sphinx.PrivateKey
	tags    *replay.Tags
}

// keys are the node's mix keys, each with its replay tags. A key whose tags are
// lost is given up: nobody knows what it has seen.
type keys struct {
	store *mixkeys.Keys
	wake  chan<- struct{}
	sized chan struct{} // of capacity 1: after a roll the tags may take other memory

	open    map[uint64]*epochKey // roll's alone
	givenUp map[uint64]bool      // roll's alone

	current atomic.Pointer[[]*epochKey] // what packets are made for at present
	using   sync.RWMutex                // held for reading by who opens a packet with one of them
}

// keysDir is where, in a node's state directory, its mix keys lie.
const keysDir = "mixkeys"

// KeyFiles returns a node's secret files in its state directory, for
// [seal.Sealer.Reseal] and Finish.
func KeyFiles(state string) ([]seal.File, error) {
	files, err := mixkeys.Files(filepath.Join(state, keysDir))
	return append(katzenpost.KeyFiles(state), files...), err
}

// openKeys opens the mix keys below a node's state directory. wake is told when
// replay tags have come to disk.
func openKeys(state string, g *sphinx.Geometry, sealer *seal.Sealer, wake chan<- struct{}) (*keys, error) {
	k := &keys{wake: wake, sized: make(chan struct{}, 1), open: map[uint64]*epochKey{}, givenUp: map[uint64]bool{}}
	k.current.Store(&[]*epochKey{})
	var err error
	k.store, err = mixkeys.Open(filepath.Join(state, keysDir), g, sealer, k.prepare)
	return k, err
}

// prepare makes the file of tags before a key is stored. So a key without one has
// lost it.
func (k *keys) prepare(epoch uint64) error {
	tags, err := replay.Create(k.store.TagsPath(epoch), k.wake)
	if err != nil {
		return err
	}
	return tags.Close()
}

// candidates are the keys that a packet may be made for, the likeliest first. A
// node accepts packets for the epochs next to the current one at any time.
func (k *keys) candidates() []*epochKey { return *k.current.Load() }

// public is an epoch's key for a descriptor; nil if it was lost.
func (k *keys) public(epoch uint64) []byte {
	if k.givenUp[epoch] {
		return nil
	}
	return k.store.Public(epoch)
}

// roll makes the keys for an epoch and those after it, opens the tags of those that
// packets may be made for, and erases the keys that are over. Its error is about
// single keys: with the others the node goes on.
func (k *keys) roll(epoch uint64) error {
	around := []uint64{epoch, epoch - 1, epoch + 1}
	k.show(around)
	k.unused()
	defer wake(k.sized)
	var problems []error
	for e, old := range k.open {
		if e+1 < epoch {
			delete(k.open, e)
			problems = append(problems, old.tags.Close())
		}
	}
	problems = append(problems, k.store.Ensure(epoch))
	for _, e := range around {
		problems = append(problems, k.openTags(e))
		k.show(around) // after a start it is of use as soon as it has read this epoch's tags
	}
	return errors.Join(problems...)
}

// memory is how many bytes the replay tags of all candidates take.
func (k *keys) memory() int {
	sum := 0
	for _, key := range k.candidates() {
		sum += key.tags.Memory()
	}
	return sum
}

// show makes the open keys of these epochs the candidates.
func (k *keys) show(epochs []uint64) {
	var list []*epochKey
	for _, e := range epochs {
		if key := k.open[e]; key != nil {
			list = append(list, key)
		}
	}
	k.current.Store(&list)
}

// unused waits until nobody uses a key that is no candidate any more: it will be
// wiped.
func (k *keys) unused() {
	k.using.Lock()
	defer k.using.Unlock()
}

func (k *keys) openTags(epoch uint64) error {
	private := k.store.Private(epoch)
	if private == nil || k.open[epoch] != nil || k.givenUp[epoch] {
		return nil
	}
	tags, err := replay.Open(k.store.TagsPath(epoch), k.wake)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, replay.ErrDamaged) {
			k.givenUp[epoch] = true
			return fmt.Errorf("%w; the mix key of epoch %d is given up, for nobody knows which packets it has seen: packets to this node in that epoch are lost and sent again by their senders; nothing needs to be done", err, epoch)
		}
		return err
	}
	k.open[epoch] = &epochKey{epoch, private, tags}
	return nil
}

// broken is the error of tags that cannot be written any more. Nothing may be
// promised of them, so the node has to start anew, and says what for.
func (k *keys) broken() error {
	for _, key := range k.candidates() {
		if err := key.tags.Err(); err != nil && !errors.Is(err, fs.ErrClosed) {
			return fmt.Errorf("%w: no packet may leave whose tag is not on disk, so the node ends; make room on the disk, or look what ails it, and start the node again", err)
		}
	}
	return nil
}

// close stores what the keys have seen, and forgets them.
func (k *keys) close() error {
	var all []error
	k.current.Store(&[]*epochKey{})
	k.unused()
	for _, key := range k.open {
		all = append(all, key.tags.Close())
	}
	return errors.Join(append(all, k.store.Close())...)
}
