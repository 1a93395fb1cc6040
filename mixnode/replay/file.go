package replay

import (
	"bufio"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/dchest/siphash"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/internal/config"
)

// ErrDamaged means that a file of tags is not what was written. Its key must be given up.
var ErrDamaged = errors.New("damaged")

// The file, in little endian:
//
//	header  magic, 8 bytes; key, 16 random bytes; sum of these 24, 8 bytes
//	frame   n, 2 bytes; n inverted, 2 bytes; n fingerprints of 6 bytes; sum of these, 8 bytes
//	frame   …
//
// A sum is SipHash-2-4 under the file's key and the offset at which the summed bytes begin, so that
// a frame is whole only in the place that it was written to. The length is there twice so that a
// part of it that did not reach the disk is not taken for a length.
const (
	magic      = "srdtags\x01" // the last byte is the version
	headerSize = 32
	tagSize    = 6
	frameSize  = 12   // of a frame without tags
	maxTags    = 8192 // in a frame: bounds the search in torn to 200 MB of sums
	maxFrame   = frameSize + maxTags*tagSize

	// maxFile bounds the memory and the time that opening a file can take. It has room for 80
	// million tags, eight hours of packets on a line of 1 Gbit/s.
	maxFile = 512 << 20

	// maxWork bounds the slots looked at for each tag in a file. Random tags take about two; only
	// a file made on purpose takes many.
	maxWork = 64
)

// file is what a store needs of the system. Tests have others.
type file interface {
	io.ReaderAt
	io.WriterAt
	Truncate(size int64) error
	Sync() error // returns when all that was written, and the file's size, are on disk
	Close() error
}

// diskFile syncs without the times of the file, which nobody reads.
type diskFile struct{ *os.File }

func (f diskFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// openFile opens the file for this process alone, until it is closed, and returns its size. With
// os.O_CREATE it makes an empty store of it first.
func openFile(path string, create int) (_ file, size int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|create, 0o600)
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, 0, fmt.Errorf("%s is in use: stop the other process first", path)
	} else if err != nil {
		return nil, 0, fmt.Errorf("locking %s: %w", path, err)
	}
	if create != 0 {
		if err := f.Truncate(0); err != nil {
			return nil, 0, err
		}
		if _, err := f.WriteAt(newHeader(), 0); err != nil {
			return nil, 0, err
		}
		if err := f.Sync(); err != nil {
			return nil, 0, err
		}
		if err := config.SyncDir(filepath.Dir(path)); err != nil {
			return nil, 0, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	return diskFile{f}, info.Size(), nil
}

type key struct{ k0, k1 uint64 }

func newHeader() []byte {
	b := make([]byte, headerSize-8, headerSize)
	rand.Read(b[copy(b, magic):])
	return binary.LittleEndian.AppendUint64(b, headerKey(b).sum(b, 0))
}

func headerKey(b []byte) key {
	return key{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
}

func (k key) fingerprint(tag *[32]byte) uint64 {
	return siphash.Hash(k.k0, k.k1, tag[:]) >> 16
}

// sum is never asked for 32 bytes, so it tells nothing of fingerprints.
func (k key) sum(b []byte, offset int64) uint64 {
	return siphash.Hash(k.k0, k.k1^uint64(offset), b)
}

func appendFingerprint(b []byte, fp uint64) []byte {
	return append(b, byte(fp), byte(fp>>8), byte(fp>>16), byte(fp>>24), byte(fp>>32), byte(fp>>40))
}

func fingerprintAt(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
}

func (k key) appendFrame(b, tags []byte, offset int64) []byte {
	start, n := len(b), uint16(len(tags)/tagSize)
	b = binary.LittleEndian.AppendUint16(b, n)
	b = binary.LittleEndian.AppendUint16(b, ^n)
	b = append(b, tags...)
	return binary.LittleEndian.AppendUint64(b, k.sum(b[start:], offset))
}

// frameLength returns how long the frame is that begins b, and whether it says so.
func frameLength(b []byte) (int, bool) {
	if len(b) < frameSize {
		return 0, false
	}
	n := binary.LittleEndian.Uint16(b)
	return frameSize + tagSize*int(n), n == ^binary.LittleEndian.Uint16(b[2:]) && n <= maxTags
}

// whole reports whether b, from the given offset of the file, begins with a whole frame, and how
// long it is.
func (k key) whole(b []byte, offset int64) (int, bool) {
	n, ok := frameLength(b)
	if !ok || n > len(b) {
		return 0, false
	}
	return n, binary.LittleEndian.Uint64(b[n-8:]) == k.sum(b[:n-8], offset)
}

// torn reports whether b, the end of the file from a bad frame on, can be what a crash left of a
// single frame: there is no more than one frame can have, or this one says it had, and no whole
// frame begins inside. Else the bad frame was synced once, because another was begun behind it.
func (k key) torn(b []byte, offset int64) bool {
	if n, ok := frameLength(b); ok && n < len(b) || len(b) > maxFrame {
		return false
	}
	for n := frameSize; n < len(b); n += tagSize {
		if _, ok := k.whole(b[n:], offset+int64(n)); ok {
			return false
		}
	}
	return true
}

// load reads the file, cuts off an unfinished last frame, and leaves everything on disk.
func (t *Tags) load(size int64) error {
	damaged := func(offset int64) error { return fmt.Errorf("%s: %w at byte %d", t.path, ErrDamaged, offset) }
	if size < headerSize || size > maxFile {
		return damaged(min(size, maxFile))
	}
	r := bufio.NewReaderSize(io.NewSectionReader(t.file, 0, size), 128<<10)
	b, err := r.Peek(headerSize)
	if err != nil {
		return fmt.Errorf("reading %s: %w", t.path, err)
	}
	t.key = headerKey(b)
	if string(b[:len(magic)]) != magic || binary.LittleEndian.Uint64(b[24:]) != t.key.sum(b[:24], 0) {
		return damaged(0)
	}
	r.Discard(headerSize)

	t.table = newTable(size / tagSize)
	for t.offset = headerSize; t.offset < size; {
		b, err := r.Peek(int(min(size-t.offset, maxFrame+1)))
		if err != nil {
			return fmt.Errorf("reading %s: %w", t.path, err)
		}
		n, ok := t.key.whole(b, t.offset)
		if !ok {
			if !t.key.torn(b, t.offset) {
				return damaged(t.offset)
			}
			if err := t.file.Truncate(t.offset); err != nil {
				return fmt.Errorf("cutting an unfinished frame off: %w", err)
			}
			break
		}
		for tags := b[4 : n-8]; len(tags) > 0; tags = tags[tagSize:] {
			if t.table.add(fingerprintAt(tags)) {
				t.last++
			}
		}
		if t.table.work > maxWork*(uint64(t.last)+1<<16) {
			return damaged(t.offset)
		}
		r.Discard(n)
		t.offset += int64(n)
	}
	// A killed process may have left a frame that only the kernel has. It must be on disk before
	// the next is written, and so must the cut.
	if err := t.file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", t.path, err)
	}
	t.durable.Store(uint64(t.last))
	return nil
}
