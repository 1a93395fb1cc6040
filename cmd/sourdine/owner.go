package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// owner is the user of the machine as whom a node runs, and whose its files are.
type owner struct {
	name     string
	uid, gid int
}

// ownerFlag is --user of the commands that make a node's directory.
type ownerFlag struct{ name string }

func (f *ownerFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.name, "user", "", "`name` of the machine's user as whom the node runs; only root can name another. By sudo it is who called it")
}

// owner returns who shall own the node: without root's rights whoever runs this, and with
// them who is named, or who called sudo (sudo(8), SUDO_UID).
func (f *ownerFlag) owner() (owner, error) {
	self, err := user.Current()
	if err != nil {
		return owner{}, fmt.Errorf("finding the user as whom the node runs: %w", err)
	}
	if os.Geteuid() != 0 {
		if f.name != "" && f.name != self.Username {
			return owner{}, fmt.Errorf("--user %s: only root can give a node to another user", f.name)
		}
		return owner{self.Username, os.Geteuid(), os.Getegid()}, nil
	}
	if f.name != "" {
		u, err := user.Lookup(f.name)
		if err != nil {
			return owner{}, fmt.Errorf("--user: %w: make it first, as with useradd --system %s", err, f.name)
		}
		self = u
	} else if name := os.Getenv("SUDO_USER"); name != "" && os.Getenv("SUDO_UID") != "" {
		self = &user.User{Username: name, Uid: os.Getenv("SUDO_UID"), Gid: os.Getenv("SUDO_GID")}
	}
	o := owner{name: self.Username}
	if o.uid, err = strconv.Atoi(self.Uid); err == nil {
		o.gid, err = strconv.Atoi(self.Gid)
	}
	if err != nil || o.uid < 0 || o.gid < 0 {
		return owner{}, fmt.Errorf("the user %s has the numbers %q and %q: name another with --user", self.Username, self.Uid, self.Gid)
	}
	return o, nil
}

// warning is what has to be said of an owner; "" is nothing.
func (o owner) warning() string {
	if o.uid != 0 {
		return ""
	}
	return `WARNING: this node runs as root, so a hole in it opens the whole machine. Nothing of it needs root.
Begin again with --user NAME, of a user who owns nothing else: useradd --system NAME makes one.
`
}

// take gives the owner what root has made of these files and directories, with all that
// is in them. Nothing that a link points at is touched, and nothing that lies elsewhere
// too: who owns a directory already could have put it there.
func (o owner) take(paths ...string) error {
	if os.Geteuid() != 0 || o.uid == 0 {
		return nil
	}
	for _, path := range paths {
		if err := o.takeTree(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("giving %s to %s: %w", path, o.name, err)
		}
	}
	return nil
}

func (o owner) takeTree(path string) error {
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer root.Close()
	var all []string
	err = fs.WalkDir(root.FS(), filepath.Base(path), func(name string, d fs.DirEntry, err error) error {
		if err == nil && (d.IsDir() || d.Type().IsRegular()) {
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range slices.Backward(all) { // a directory after what is in it
		if err := o.takeOne(root, name); err != nil {
			return err
		}
	}
	return nil
}

func (o owner) takeOne(root *os.Root, name string) error {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	st := info.Sys().(*syscall.Stat_t)
	if st.Uid != 0 || !info.IsDir() && (!info.Mode().IsRegular() || st.Nlink != 1) {
		return nil
	}
	return f.Chown(o.uid, o.gid)
}

// newIn returns, before a node is made in dir, what of it will be new: the directory with
// those above it that are missing; or what a node has in a directory that is there, and may
// hold other things.
func newIn(dir string) []string {
	if _, err := os.Lstat(dir); err == nil {
		var list []string
		for _, name := range []string{stateName, nodeFileName, networkFileName, credentialFile} {
			if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
				list = append(list, filepath.Join(dir, name))
			}
		}
		return list
	}
	top, err := filepath.Abs(dir)
	if err != nil {
		return []string{dir}
	}
	for {
		above := filepath.Dir(top)
		if _, err := os.Lstat(above); err == nil || above == top {
			return []string{top}
		}
		top = above
	}
}

// ownerOf returns whose a node's directory of state is. Root's commands leave what they
// write to that user.
func ownerOf(state string) (owner, error) {
	info, err := os.Stat(state)
	if err != nil {
		return owner{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	o := owner{fmt.Sprintf("user %d", st.Uid), int(st.Uid), int(st.Gid)}
	if u, err := user.LookupId(strconv.Itoa(o.uid)); err == nil {
		o.name = u.Username
	}
	return o, nil
}

// checkRunner refuses to run a node as root whose files are another user's: what root
// makes in its state that user cannot read at the next start.
func checkRunner(state string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if o, err := ownerOf(state); err == nil && o.uid != 0 {
		return fmt.Errorf("this node is %s's: run it as that user, by its unit or with sudo -u %s", o.name, o.name)
	}
	return nil
}
