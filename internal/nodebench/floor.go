package nodebench

import (
	"crypto/rand"
	"os"
	"runtime"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// threadTime is how much processor time work takes, in microseconds for each of so
// many times.
func threadTime(times int, work func() error) (float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := clock(unix.CLOCK_THREAD_CPUTIME_ID)
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := clock(unix.CLOCK_THREAD_CPUTIME_ID)
	return float64(after-before) / float64(time.Microsecond) / float64(times), err
}

// unwrapTime is that of unwrapping each of the packets, which are of no use then.
func unwrapTime(g *sphinx.Geometry, key sphinx.PrivateKey, packets [][]byte) (float64, error) {
	s := sphinx.New(g)
	var u sphinx.Unwrapped
	return threadTime(len(packets), func() error {
		for _, p := range packets {
			if err := s.Unwrap(key, p, &u); err != nil {
				return err
			}
		}
		return nil
	})
}

// linkTime is that of the ciphers of a packet's way in and out.
func linkTime(packet, times int) (float64, error) {
	c := newCiphers(packet)
	return threadTime(times, func() error {
		for range times {
			if err := c.bothLinks(); err != nil {
				return err
			}
		}
		return nil
	})
}

// ciphers do what a packet's links do, on memory of their own, by x/crypto's
// ChaCha20-Poly1305 (internal/link, record.go).
type ciphers struct {
	key, zeros   []byte
	nonce, rekey []byte
	header, body []byte
	next         []byte
}

func newCiphers(packet int) *ciphers {
	c := &ciphers{
		key: make([]byte, chacha20poly1305.KeySize), zeros: make([]byte, chacha20poly1305.KeySize),
		nonce: make([]byte, chacha20poly1305.NonceSize), rekey: make([]byte, chacha20poly1305.NonceSize),
		header: make([]byte, lengthLength, linkHeader), body: make([]byte, commandHeader+packet, commandHeader+packet+afterPacket),
		next: make([]byte, 0, chacha20poly1305.KeySize+afterPacket),
	}
	rand.Read(c.key)
	for i := 4; i < len(c.rekey); i++ {
		c.rekey[i] = 0xff
	}
	return c
}

// bothLinks seals and opens a record where it lies, header and body, and makes each
// direction's next key.
func (c *ciphers) bothLinks() error {
	out, err := chacha20poly1305.New(c.key)
	if err != nil {
		return err
	}
	header, body := out.Seal(c.header[:0], c.nonce, c.header, nil), out.Seal(c.body[:0], c.nonce, c.body, nil)
	out.Seal(c.next, c.rekey, c.zeros, nil)
	in, err := chacha20poly1305.New(c.key) // another's key, which costs the same
	if err != nil {
		return err
	}
	if _, err := in.Open(header[:0], c.nonce, header, nil); err != nil {
		return err
	}
	if _, err := in.Open(body[:0], c.nonce, body, nil); err != nil {
		return err
	}
	in.Seal(c.next, c.rekey, c.zeros, nil)
	return nil
}

// syncTime is that of one commit of so many replay tags, written and synced in dir.
// What the kernel's own threads do then is nobody's.
func syncTime(dir string, tags, times int) (float64, error) {
	f, err := os.CreateTemp(dir, "tags")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	frame := make([]byte, 12+6*tags) // mixnode/replay
	return threadTime(times, func() error {
		for i := range times {
			if _, err := f.WriteAt(frame, int64(i*len(frame))); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
		}
		return nil
	})
}
