// Package confine takes rights away from the process that it runs in, for good: what
// takes that process over has no others either. It is Linux's landlock(7), which needs
// no privilege and binds root, too.
package confine

import (
	"errors"
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	kernel "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// Rights are what a confined process may still do with files and sockets that it opens
// from then on. What is open stays so. It executes nothing, and of processes outside it
// reads and traces none.
type Rights struct {
	Write   []string // directories in which files are made, read, changed and removed
	Read    []string // files that are read, and directories whose files are; one may be missing
	Connect []uint16 // ports to which TCP connections go (of UDP nothing is taken)
}

// ErrMissing is why nothing is confined.
var ErrMissing = errors.New("this kernel confines no process: it has no landlock, or does not let this process use it")

// Levels from which on the kernel takes a right away (landlock(7), "Landlock
// availability"). From 1 on files are neither read, written, made, removed nor executed
// but by the rights, and other processes neither traced nor read.
const (
	Truncation = 3 // a file that may not be opened may not be emptied either
	TCP        = 4
	Signals    = 6 // none to processes outside; no abstract sockets of theirs
	Sockets    = 9 // no connections to sockets in the file system of processes outside
)

const (
	read  = kernel.AccessFSReadFile
	write = read | kernel.AccessFSReadDir | kernel.AccessFSWriteFile | kernel.AccessFSTruncate |
		kernel.AccessFSMakeReg | kernel.AccessFSRemoveFile

	// signalsMended is the erratum without which the threads of one process, each of
	// which is confined by itself below level 8, cannot signal each other; Go's do.
	signalsMended = 1 << 1
)

// Level says how much the running kernel can take away; 0 is nothing.
func Level() int {
	level, err := kernel.LandlockGetABIVersion()
	if err != nil {
		return 0
	}
	return level
}

// Process leaves the whole process nothing but its rights, as far as the kernel's level
// goes. The error is ErrMissing if that is nowhere; after any other the process should
// end, for it may be confined in part.
func Process(r Rights) error {
	level := Level()
	if level == 0 {
		return ErrMissing
	}
	c := landlock.V9
	if errata, err := kernel.LandlockGetErrata(); level < 8 && (err != nil || errata&signalsMended == 0) {
		c.Scoped &^= kernel.ScopeSignal
	}
	rules := []landlock.Rule{
		landlock.PathAccess(write, r.Write...),
		landlock.PathAccess(read, r.Read...).IgnoreIfMissing(),
	}
	for _, port := range r.Connect {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	if err := c.BestEffort().Restrict(rules...); err != nil {
		return fmt.Errorf("giving up rights: %w", err)
	}
	return nil
}
