package seal

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lockName is the file by which processes that use a directory's keys keep out one that changes how
// they are sealed.
const lockName = "seal.lock"

type lockFile struct{ f *os.File }

// openLock takes the lock that all who read and write files share.
func openLock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := &lockFile{f}
	if err := l.shared(); err != nil {
		f.Close()
		return nil, err
	}
	return l, nil
}

func (l *lockFile) shared() error { return l.flock(unix.LOCK_SH) }

// exclusive makes the shared lock exclusive. If that fails, the lock is shared again: the system gives
// the one up before it tries for the other (flock(2)).
func (l *lockFile) exclusive() error {
	err := l.flock(unix.LOCK_EX)
	if err != nil {
		err = errors.Join(err, l.shared())
	}
	return err
}

// flock waits for nobody.
func (l *lockFile) flock(how int) error {
	for {
		err := unix.Flock(int(l.f.Fd()), how|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrBusy
		default:
			return err
		}
	}
}

func (l *lockFile) close() {
	if l != nil {
		l.f.Close()
	}
}

// overwritePath overwrites a file as far as that can be, but nothing that a link points at.
func overwritePath(path string) {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		overwrite(f)
	}
}

// overwrite writes zeros over what an open file holds, as far as that can be.
func overwrite(f *os.File) {
	info, err := f.Stat()
	if err != nil {
		return
	}
	zeros := make([]byte, min(info.Size(), 1<<16))
	for at := int64(0); at < info.Size(); at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), info.Size()-at)], at); err != nil {
			return
		}
	}
	_ = f.Sync()
}
