package link

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/katzenpost/nyquist"
)

// A record is a command on the line:
//
//	sealed: length of what follows 4, +16 | sealed: command, +16
//
// Both are sealed with the direction's key, without additional data, under
// successive nonces, and after both the key is replaced (Noise, Section 11.3): who
// learns a key later cannot open what was sent earlier.
const (
	macLength    = 16
	lengthLength = 4
	sealedHeader = lengthLength + macLength
)

// seal seals, where it lies, the command that begins at record[sealedHeader:] and
// ends 16 bytes before the record does.
func seal(c *nyquist.CipherState, record []byte) error {
	body := record[sealedHeader : len(record)-macLength]
	binary.BigEndian.PutUint32(record, uint32(len(body)+macLength))
	if _, err := c.EncryptWithAd(record[:0], nil, record[:lengthLength]); err != nil {
		return err
	}
	if _, err := c.EncryptWithAd(body[:0], nil, body); err != nil {
		return err
	}
	return c.Rekey()
}

// openHeader opens a record's header where it lies, and returns the length of what
// follows.
func openHeader(c *nyquist.CipherState, header []byte) (uint32, error) {
	length, err := c.DecryptWithAd(header[:0], nil, header)
	if err != nil {
		return 0, errRecord
	}
	return binary.BigEndian.Uint32(length), nil
}

// openBody opens a record's body where it lies, and returns the command.
func openBody(c *nyquist.CipherState, body []byte) ([]byte, error) {
	command, err := c.DecryptWithAd(body[:0], nil, body)
	if err != nil {
		return nil, errRecord
	}
	return command, c.Rekey()
}

var (
	errRecord = fmt.Errorf("opening a record: %w", ErrProtocol)
	errLength = fmt.Errorf("a record of a length that no command has: %w", ErrProtocol)
)

// reader reads records with few system calls and without a copy of a large packet.
//
// While nothing comes it waits for the 20 bytes of a header, so that an idle
// session holds no frame. A large body is then read into its frame, together with
// the next header: under load that is one call for each packet. Of small ones a
// buffer takes several at once, which is borrowed only as long as something is in
// it; there the copy costs less than the call.
type reader struct {
	conn    net.Conn
	timeout time.Duration // of a record; 0: the connection has a deadline
	armed   bool          // this record's deadline is set

	header [sealedHeader]byte
	ahead  []byte  // what was read of the records to come; it lies in header or in buffer
	buffer *buffer // nil: nothing is in it
}

type buffer [16 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// small is the length in bytes up to which bodies go through the buffer. It takes
// four of them at least.
const small = len(buffer{}) / 4

// next reads the next record's header.
func (r *reader) next() ([]byte, error) {
	r.armed = false
	have := copy(r.header[:], r.ahead)
	r.took(have)
	if have < len(r.header) {
		if _, err := r.read(r.header[have:], len(r.header)-have); err != nil {
			return nil, err
		}
	}
	return r.header[:], nil
}

// body reads a body of n bytes to the beginning of to, which has room for a header
// behind it.
func (r *reader) body(to []byte, n int) error {
	have := copy(to[:n], r.ahead)
	r.took(have)
	switch {
	case have == n:
	case n <= small:
		r.buffer = buffers.Get().(*buffer)
		got, err := r.read(r.buffer[:], n-have)
		if err != nil {
			return err
		}
		r.ahead = r.buffer[:got]
		r.took(copy(to[have:n], r.ahead))
	default:
		got, err := r.read(to[have:n+sealedHeader], n-have)
		if err != nil {
			return err
		}
		r.ahead = r.header[:copy(r.header[:], to[n:have+got])]
	}
	return nil
}

// took takes n bytes off what was read ahead, and gives the buffer back when it is
// empty.
func (r *reader) took(n int) {
	r.ahead = r.ahead[n:]
	if len(r.ahead) == 0 && r.buffer != nil {
		buffers.Put(r.buffer)
		r.buffer = nil
	}
}

// read reads at least so many bytes. All of a record has one deadline, so that a
// peer that sends drop by drop gains nothing.
func (r *reader) read(to []byte, least int) (int, error) {
	if !r.armed && r.timeout > 0 {
		if err := r.conn.SetReadDeadline(time.Now().Add(r.timeout)); err != nil {
			return 0, plain(err)
		}
		r.armed = true
	}
	n, err := io.ReadAtLeast(r.conn, to, least)
	if err != nil {
		return 0, plain(err)
	}
	return n, nil
}
