package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/katzenpost/hpqc/kem"
	"github.com/katzenpost/nyquist"
)

// Config is what a session is made of.
type Config struct {
	Frames *Frames        // of the network's geometry
	Key    kem.PrivateKey // this side's link key, of the scheme directory.LinkScheme
	Name   []byte         // what this side calls itself, at most 255 bytes: a member its identity's hash

	// Peer says whether the other side is who it should be; name is Peer's to keep.
	// That the other side has the private key is known to an initiator when the
	// handshake is done, and to a responder with the first command that it receives.
	Peer func(name []byte, key kem.PublicKey) bool

	// How long things may take. Where one is zero, its default holds.
	HandshakeTimeout time.Duration // all of the handshake
	ReadTimeout      time.Duration // until the next command has come
	WriteTimeout     time.Duration // one Send
}

// Defaults of the timeouts. An idle stock node writes every 10 s.
const (
	defaultHandshake = 30 * time.Second
	defaultRead      = 2 * time.Minute
	defaultWrite     = 30 * time.Second
)

func (cfg *Config) check() error {
	switch {
	case cfg.Frames == nil || cfg.Key == nil || cfg.Peer == nil:
		return errors.New("frames, a key and a check of the peer are needed")
	case cfg.Key.Scheme().Name() != scheme.Name():
		return fmt.Errorf("the key is not of %s", scheme.Name())
	case len(cfg.Name) > maxName:
		return fmt.Errorf("a name of %d bytes, at most %d fit", len(cfg.Name), maxName)
	}
	return nil
}

// Session is an established line. Its methods are safe for concurrent use; commands
// leave in the order in which Send is called, and come in the order in which they
// were sent.
//
// Whatever fails ends it: there is no going on after half a record.
type Session struct {
	conn      net.Conn
	frames    *Frames
	initiator bool
	skew      time.Duration
	timeout   time.Duration // of a Send

	sending sync.Mutex           // for what stands below it
	tx      *nyquist.CipherState // nil: ended
	list    [][]byte             // the records of a Send
	vector  net.Buffers          // the same, as net consumes it
	gathers bool                 // the connection writes several records in one call
	joined  []byte               // where it does not: the records, one behind the other

	receiving sync.Mutex           // for what stands below it
	rx        *nyquist.CipherState // nil: ended
	in        reader

	asked atomic.Int64 // how many GetConsensus are open
}

// Initiate makes a session over a connection that this side opened. The session owns
// conn: if the handshake fails, or ctx ends before it is done, conn is closed.
func Initiate(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	return establish(ctx, conn, &cfg, true)
}

// Respond makes a session over a connection that the other side opened, as Initiate
// does.
func Respond(ctx context.Context, conn net.Conn, cfg Config) (*Session, error) {
	return establish(ctx, conn, &cfg, false)
}

func establish(ctx context.Context, conn net.Conn, cfg *Config, initiator bool) (*Session, error) {
	s := &Session{conn: conn, frames: cfg.Frames, initiator: initiator, in: reader{conn: conn}}
	switch conn.(type) {
	case *net.TCPConn, *net.UnixConn:
		s.gathers = true
	}
	err := s.begin(ctx, cfg)
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("link handshake: %w", err)
	}
	s.timeout, s.in.timeout = or(cfg.WriteTimeout, defaultWrite), or(cfg.ReadTimeout, defaultRead)
	return s, nil
}

func or(d, byDefault time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return byDefault
}

// begin is the handshake, within one deadline. It is not lifted afterwards: every
// read and every write sets its own.
func (s *Session) begin(ctx context.Context, cfg *Config) error {
	if err := cfg.check(); err != nil {
		return err
	}
	deadline := time.Now().Add(or(cfg.HandshakeTimeout, defaultHandshake))
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := s.conn.SetDeadline(deadline); err != nil {
		return fmt.Errorf("setting the deadline: %w", plain(err))
	}
	stop := context.AfterFunc(ctx, func() { s.conn.Close() })
	err := s.shake(cfg)
	if !stop() {
		return ctx.Err()
	}
	return err
}

// shake exchanges the four messages, and the empty command by which a responder
// says that it takes the initiator for who it is.
func (s *Session) shake(cfg *Config) error {
	h, err := newHandshake(s.conn, cfg, s.initiator)
	if err != nil {
		return err
	}
	defer h.noise.Reset()
	if s.initiator {
		if err := h.initiate(); err != nil {
			return err
		}
		s.skew = h.skew
		s.tx, s.rx = h.keys()
		f, c, err := s.receive()
		if errors.Is(err, ErrProtocol) { // after the keys are proven: it is padded to the responder's packets
			return ErrOtherPackets
		}
		if err != nil {
			return fmt.Errorf("receiving the responder's word: %w", err)
		}
		f.Release()
		if c.Kind != KindNoOp {
			return fmt.Errorf("receiving the responder's word: %w", ErrProtocol)
		}
		return nil
	}
	fourth, err := h.respond()
	if err != nil {
		return err
	}
	s.rx, s.tx = h.keys()
	f, err := s.frames.Make(Command{Kind: KindNoOp})
	if err != nil {
		return err
	}
	defer f.Release()
	if err := seal(s.tx, f.record()); err != nil {
		return err
	}
	return h.transmit(lastMessage, append(fourth, f.record()...))
}

// ClockSkew is how far this machine's clock is ahead of the responder's, as an
// initiator sees it in the handshake, to the second.
func (s *Session) ClockSkew() time.Duration { return s.skew }

// Send seals the commands of frames where they lie, and writes them as one: in one
// system call, if the line takes them. It takes the frames over, and releases them
// whatever happens.
func (s *Session) Send(frames ...*Frame) error {
	err := s.send(frames)
	for _, f := range frames {
		f.Release()
	}
	if err != nil {
		return fmt.Errorf("link, sending: %w", err)
	}
	return nil
}

func (s *Session) send(frames []*Frame) error {
	if len(frames) == 0 {
		return nil
	}
	asks := int64(0)
	for _, f := range frames {
		if f.length == 0 || !f.kind().sentBy(s.initiator) {
			return errors.New("a frame holds no command of this side's")
		}
		if f.kind() == KindGetConsensus {
			asks++
		}
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if s.tx == nil {
		return net.ErrClosed
	}
	s.asked.Add(asks) // before the answer can come
	for _, f := range frames {
		if err := seal(s.tx, f.record()); err != nil {
			s.endSending()
			return err
		}
		s.list = append(s.list, f.record())
	}
	err := s.write()
	clear(s.list) // the frames go on to others
	s.list = s.list[:0]
	if err != nil {
		s.endSending()
		return plain(err)
	}
	return nil
}

// write writes the list of records.
func (s *Session) write() (err error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	switch {
	case len(s.list) == 1:
		_, err = s.conn.Write(s.list[0])
	case s.gathers:
		// The system gathers the frames: 44 kB are not copied for the sake of a
		// call, and 2 kB need not be.
		s.vector = s.list
		_, err = s.vector.WriteTo(s.conn)
	default:
		s.joined = s.joined[:0]
		for _, record := range s.list {
			s.joined = append(s.joined, record...)
		}
		_, err = s.conn.Write(s.joined)
	}
	return err
}

// Receive returns the next command and the frame that it lies in, which is the
// caller's from then on.
func (s *Session) Receive() (*Frame, Command, error) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	if s.rx == nil {
		return nil, Command{}, fmt.Errorf("link, receiving: %w", net.ErrClosed)
	}
	f, c, err := s.receive()
	if err != nil {
		s.endReceiving()
		return nil, Command{}, fmt.Errorf("link, receiving: %w", err)
	}
	return f, c, nil
}

func (s *Session) receive() (*Frame, Command, error) {
	header, err := s.in.next()
	if err != nil {
		return nil, Command{}, err
	}
	sealed, err := openHeader(s.rx, header)
	if err != nil {
		return nil, Command{}, err
	}
	if sealed < commandHeader+macLength || sealed > uint32(s.bound()+macLength) {
		return nil, Command{}, errLength
	}
	n := int(sealed)
	f := s.frames.get(n - macLength)
	f.length = n - macLength
	c, err := s.receiveBody(f, n)
	if err != nil {
		f.Release()
		return nil, Command{}, err
	}
	return f, c, nil
}

func (s *Session) receiveBody(f *Frame, n int) (Command, error) {
	body := f.buf[sealedHeader:]
	if err := s.in.body(body, n); err != nil {
		return Command{}, err
	}
	b, err := openBody(s.rx, body[:n])
	if err != nil {
		return Command{}, err
	}
	c, err := s.frames.parse(b, !s.initiator)
	if err != nil {
		return Command{}, err
	}
	if c.Kind == KindConsensus && s.asked.Add(-1) < 0 {
		return Command{}, errCommand
	}
	return c, nil
}

// bound is the length of the largest command that may come now.
func (s *Session) bound() int {
	if s.asked.Load() > 0 {
		return commandHeader + statusLength + maxDocument
	}
	return s.frames.largest(!s.initiator)
}

// Close ends the session: the connection is closed, a Send and a Receive under way
// return, and the keys are forgotten. It may be called any number of times.
func (s *Session) Close() {
	s.conn.Close()
	s.sending.Lock()
	s.endSending()
	s.sending.Unlock()
	s.receiving.Lock()
	s.endReceiving()
	s.receiving.Unlock()
}

// endSending ends the session from the side of who sends. A CipherState without a
// key would pass everything on as it is, so it is not only reset.
func (s *Session) endSending() {
	s.conn.Close()
	if s.tx != nil {
		s.tx.Reset()
		s.tx = nil
	}
}

func (s *Session) endReceiving() {
	s.conn.Close()
	if s.rx != nil {
		s.rx.Reset()
		s.rx = nil
	}
}
