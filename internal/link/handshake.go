package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	"github.com/katzenpost/nyquist"
	"github.com/katzenpost/nyquist/cipher"
	"github.com/katzenpost/nyquist/hash"
	"github.com/katzenpost/nyquist/pattern"

	"codeberg.org/sourdine/sourdine/directory"
)

// version is the byte that comes first, and Noise's prologue.
const version = 3

// The four messages of pqXX (Angel, Dowling, Hülsing, Schwabe, Weber, "Post
// Quantum Noise", CCS 2022), each with a payload of its own, in bytes:
//
//	1 →  version 1, e 1216
//	2 ←  ekem 1120, s 1216+16, payload 260+16
//	3 →  skem 1120+16, s 1216+16, payload 260+16
//	4 ←  skem 1120+16, nothing +16
//
// The payload of the second and the third is who a side is: the length of its
// name 1, the name padded with zeros 255, its clock in seconds 4. An initiator's
// clock is zero.
const (
	maxName        = 255
	identityLength = 1 + maxName + 4
	lastMessage    = 4
)

var (
	scheme   = kemschemes.ByName(directory.LinkScheme)
	protocol = &nyquist.Protocol{Pattern: pattern.PqXX, KEM: scheme, Cipher: cipher.ChaChaPoly, Hash: hash.BLAKE2b}

	messageLengths = [lastMessage + 1]int{
		1: 1 + scheme.PublicKeySize(),
		2: scheme.CiphertextSize() + scheme.PublicKeySize() + macLength + identityLength + macLength,
		3: scheme.CiphertextSize() + macLength + scheme.PublicKeySize() + macLength + identityLength + macLength,
		4: scheme.CiphertextSize() + macLength + macLength,
	}
)

// Errors that a caller may decide on. Every error of a session that is none of
// them is the connection's: it closed, or fell silent.
var (
	// ErrPeer says that the peer is somebody else.
	ErrPeer = errors.New("the peer is not who it should be")
	// ErrProtocol says that the peer does not keep to the protocol, or that
	// somebody changed what it sent.
	ErrProtocol = errors.New("this is not the link protocol")
	// ErrOtherPackets, an ErrProtocol, says that the responder's packets have another
	// size.
	ErrOtherPackets = fmt.Errorf("its packets have another size: if the network has changed, get the network file again: %w", ErrProtocol)
)

// handshake is one side of the four messages.
type handshake struct {
	conn  net.Conn
	noise *nyquist.HandshakeState
	cfg   *Config
	skew  time.Duration // of this machine's clock, ahead of the responder's
}

func newHandshake(conn net.Conn, cfg *Config, initiator bool) (*handshake, error) {
	noise, err := nyquist.NewHandshake(&nyquist.HandshakeConfig{
		Protocol:       protocol,
		Prologue:       []byte{version},
		KEM:            &nyquist.KEMConfig{LocalStatic: cfg.Key},
		MaxMessageSize: -1, // none of Noise's own: messages have their lengths, records their bounds
		IsInitiator:    initiator,
	})
	if err != nil {
		return nil, errors.New("the Noise library does not take the configuration")
	}
	return &handshake{conn: conn, noise: noise, cfg: cfg}, nil
}

func (h *handshake) initiate() error {
	first, err := h.compose(1, nil)
	if err != nil {
		return err
	}
	if err := h.transmit(1, first); err != nil {
		return err
	}
	payload, err := h.receive(2)
	if err != nil {
		return err
	}
	now := time.Now()
	clock, err := h.check(2, payload)
	if err != nil {
		return err
	}
	h.skew = now.Sub(time.Unix(int64(clock), 0))
	third, err := h.compose(3, identity(h.cfg.Name, 0))
	if err != nil {
		return err
	}
	if err := h.transmit(3, third); err != nil {
		return err
	}
	_, err = h.receive(4)
	return err
}

// respond leaves the fourth message to the caller, for one write with what comes
// behind it.
func (h *handshake) respond() (fourth []byte, err error) {
	if _, err := h.receive(1); err != nil {
		return nil, err
	}
	second, err := h.compose(2, identity(h.cfg.Name, uint32(time.Now().Unix())))
	if err != nil {
		return nil, err
	}
	if err := h.transmit(2, second); err != nil {
		return nil, err
	}
	payload, err := h.receive(3)
	if err != nil {
		return nil, err
	}
	if _, err := h.check(3, payload); err != nil {
		return nil, err
	}
	return h.compose(4, nil)
}

// keys are the ciphers of the two directions, once all messages are through.
func (h *handshake) keys() (fromInitiator, fromResponder *nyquist.CipherState) {
	states := h.noise.GetStatus().CipherStates
	return states[0], states[1]
}

// compose makes the n-th message.
func (h *handshake) compose(n int, payload []byte) ([]byte, error) {
	// Noise keeps parts of the messages it reads, so each has memory of its own.
	message := make([]byte, 0, messageLengths[n])
	if n == 1 {
		message = append(message, version)
	}
	message, err := h.noise.WriteMessage(message, payload)
	if !done(n, err) {
		// The peer's key can be one that nothing can be encapsulated to.
		return nil, fmt.Errorf("making message %d: %w", n, ErrProtocol)
	}
	return message, nil
}

func (h *handshake) transmit(n int, message []byte) error {
	if _, err := h.conn.Write(message); err != nil {
		return fmt.Errorf("sending message %d: %w", n, plain(err))
	}
	return nil
}

// receive reads the n-th message and returns its payload.
func (h *handshake) receive(n int) ([]byte, error) {
	message := make([]byte, messageLengths[n])
	if _, err := io.ReadFull(h.conn, message); err != nil {
		return nil, fmt.Errorf("receiving message %d: %w", n, plain(err))
	}
	if n == 1 {
		if message[0] != version {
			return nil, fmt.Errorf("receiving message 1: another version: %w", ErrProtocol)
		}
		message = message[1:]
	}
	payload, err := h.noise.ReadMessage(nil, message)
	if !done(n, err) {
		return nil, fmt.Errorf("opening message %d: %w", n, ErrProtocol)
	}
	return payload, nil
}

// done says whether Noise took the n-th message as it must: the last one, and no
// other, ends the handshake.
func done(n int, err error) bool {
	if n == lastMessage {
		return err == nyquist.ErrDone
	}
	return err == nil
}

// identity is the payload that says who a side is.
func identity(name []byte, clock uint32) []byte {
	b := make([]byte, identityLength)
	b[0] = byte(len(name))
	copy(b[1:], name)
	binary.BigEndian.PutUint32(b[1+maxName:], clock)
	return b
}

// check reads who the peer says it is, in the n-th message, and asks the caller
// whether that is right.
func (h *handshake) check(n int, payload []byte) (clock uint32, err error) {
	if len(payload) != identityLength || !zero(payload[1+int(payload[0]):1+maxName]) {
		return 0, fmt.Errorf("reading the name in message %d: %w", n, ErrProtocol)
	}
	name := payload[1 : 1+int(payload[0])]
	if !h.cfg.Peer(name, h.key()) {
		return 0, fmt.Errorf("reading the name and the key in message %d: %w", n, ErrPeer)
	}
	return binary.BigEndian.Uint32(payload[1+maxName:]), nil
}

// key is the peer's link key.
func (h *handshake) key() kem.PublicKey { return h.noise.GetStatus().KEM.RemoteStatic }

// plain is an error of a connection without what it says about addresses.
func plain(err error) error {
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, os.ErrDeadlineExceeded, net.ErrClosed, io.ErrClosedPipe} {
		if errors.Is(err, known) {
			return known
		}
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number
	}
	return errConnection
}

var errConnection = errors.New("the connection failed")
