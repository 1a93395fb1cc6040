package mixkeys

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/BurntSushi/toml"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// madeName is the file that says which epochs got their key. It is not secret.
const (
	madeName    = "epochs.toml"
	madeVersion = 1
	madeComment = "# The epochs, from and to, for which this node has made a mix key. No epoch gets a second one.\n"
)

// maxRanges bounds the note. There is one range unless the clock jumps; of more, the earliest are
// forgotten.
const maxRanges = 64

// ranges is a set of epochs: the first and the last of each range, in order, with a gap between any two.
type ranges [][2]uint64

func (r ranges) has(epoch uint64) bool {
	i, _ := slices.BinarySearchFunc(r, epoch, func(x [2]uint64, e uint64) int { return cmp.Compare(x[1], e) })
	return i < len(r) && r[i][0] <= epoch
}

// add reports whether the epoch was not in yet.
func (r *ranges) add(epoch uint64) bool {
	if r.has(epoch) {
		return false
	}
	all := append(*r, [2]uint64{epoch, epoch})
	slices.SortFunc(all, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	joined := all[:1]
	for _, x := range all[1:] {
		if last := &joined[len(joined)-1]; x[0] == last[1]+1 {
			last[1] = x[1]
		} else {
			joined = append(joined, x)
		}
	}
	if len(joined) > maxRanges {
		earliest := 0
		if joined[0][0] <= epoch && epoch <= joined[0][1] {
			earliest = 1 // of those that are not in use now
		}
		joined = slices.Delete(joined, earliest, earliest+1)
	}
	*r = joined
	return true
}

type madeFile struct {
	Version int    `toml:"version"`
	Made    ranges `toml:"made"`
}

func (k *Keys) madePath() string { return filepath.Join(k.dir, madeName) }

// readMade reads the note. One that is damaged is set aside, for the node to go on: the key files that
// are there say most of it again.
func (k *Keys) readMade() error {
	data, err := config.Read(k.madePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if k.made, err = parseMade(data); err == nil {
		return nil
	}
	k.untold = fmt.Errorf("%s is damaged (%w) and was renamed to %s: if a mix key was lost before, its epoch may get a second one, which fails for senders with an old consensus; nothing needs to be done", k.madePath(), err, madeName+damagedSuffix)
	if err := os.Rename(k.madePath(), k.madePath()+damagedSuffix); err != nil {
		return err
	}
	return config.SyncDirIfPossible(k.dir)
}

func parseMade(data []byte) (ranges, error) {
	if len(data) > 16<<10 { // 64 ranges take 3,000
		return nil, errors.New("too large")
	}
	var f madeFile
	if err := config.Decode(string(data), &f); err != nil {
		return nil, err
	}
	if f.Version != madeVersion || len(f.Made) > maxRanges {
		return nil, fmt.Errorf("version %d with %d ranges", f.Version, len(f.Made))
	}
	for i, x := range f.Made {
		if x[0] > x[1] || x[1] > maxEpoch || i > 0 && x[0] <= f.Made[i-1][1]+1 {
			return nil, errors.New("ranges out of order")
		}
	}
	return f.Made, nil
}

func (k *Keys) writeMade(made ranges) error {
	text, err := toml.Marshal(madeFile{madeVersion, made})
	if err != nil {
		return err
	}
	return config.WriteFile(k.madePath(), append([]byte(madeComment), text...), 0o600)
}
