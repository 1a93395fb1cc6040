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

// linkTime is that of the ciphers of a packet's way in and out: of each record the
// header, the body, and the next key (internal/link, record.go), by x/crypto's
// ChaCha20-Poly1305, where they lie.
func linkTime(packet, times int) (float64, error) {
	var (
		key    = make([]byte, chacha20poly1305.KeySize)
		header = make([]byte, 4, linkHeader)
		body   = make([]byte, 6+packet, 6+packet+afterPacket)
		zeros  = make([]byte, chacha20poly1305.KeySize)
		next   = make([]byte, 0, chacha20poly1305.KeySize+afterPacket)
		nonce  = make([]byte, chacha20poly1305.NonceSize)
		rekey  = make([]byte, chacha20poly1305.NonceSize)
	)
	rand.Read(key)
	for i := 4; i < len(rekey); i++ {
		rekey[i] = 0xff
	}
	return threadTime(times, func() error {
		for range times {
			aead, err := chacha20poly1305.New(key)
			if err != nil {
				return err
			}
			h, b := aead.Seal(header[:0], nonce, header, nil), aead.Seal(body[:0], nonce, body, nil)
			aead.Seal(next, rekey, zeros, nil)
			// The other direction has another key, which costs the same.
			if aead, err = chacha20poly1305.New(key); err != nil {
				return err
			}
			if _, err := aead.Open(h[:0], nonce, h, nil); err != nil {
				return err
			}
			if _, err := aead.Open(b[:0], nonce, b, nil); err != nil {
				return err
			}
			aead.Seal(next, rekey, zeros, nil)
		}
		return nil
	})
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
