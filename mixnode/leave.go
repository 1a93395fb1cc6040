package mixnode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// leaveFile is where, in a node's state directory, it is written that the node shall
// leave the network. It holds over restarts.
const leaveFile = "leaving"

// Leave makes the node of a configuration leave the network, running or not: it
// publishes no descriptor any more, carries packets for as long as a consensus that
// somebody may still use lists it, and ends then by itself. So no packet is lost.
func Leave(c *Config) error {
	err := config.WriteFile(filepath.Join(c.State, leaveFile), []byte("This node leaves the network. Without this file it stays.\n"), 0o600)
	if err != nil {
		return fmt.Errorf("noting that the node leaves: %w", err)
	}
	return nil
}

// Stay takes Leave back.
func Stay(c *Config) error {
	err := os.Remove(filepath.Join(c.State, leaveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("this node is not leaving")
	}
	return err
}

func (n *node) leaves() bool {
	_, err := os.Stat(filepath.Join(n.cfg.State, leaveFile))
	return err == nil
}

// errLeft is how a node ends that nobody needs any more.
var errLeft = errors.New("the node has left the network")

// hasLeft says whether at an epoch neither its consensus nor the one before, by
// which packets may be under way, lists the node.
func (n *node) hasLeft(epoch uint64) bool {
	for e := epoch - 1; e <= epoch; e++ {
		d := n.docs[e]
		if d == nil {
			return false // who has none goes on with an older one
		}
		if _, _, listed := d.Neighbours(n.id); listed {
			return false
		}
	}
	return true
}
