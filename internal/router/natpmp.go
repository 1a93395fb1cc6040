package router

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// pmp speaks NAT-PMP (RFC 6886).
type pmp struct{ router netip.AddrPort }

// Operations (3.2, 3.3). An answer's has the highest bit set.
const (
	pmpPublic byte = 0
	pmpMapTCP byte = 2
	pmpAnswer byte = 128
)

// Results of an operation (3.5).
const (
	pmpDone        = 0
	pmpVersion     = 1 // the router speaks something else: PCP, perhaps
	pmpNoLine      = 3
	pmpUnsupported = 5
)

// pmpTries is how often a question is sent, first for a quarter of a second and then
// twice as long each time (3.1, which would go on for two minutes).
const pmpTries = 4

func (p *pmp) public(ctx context.Context) (netip.Addr, error) {
	answer, err := p.ask(ctx, []byte{0, pmpPublic}, 12)
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.AddrFrom4([4]byte(answer[8:12])), nil
}

func (p *pmp) open(ctx context.Context, inner, outer uint16) (uint16, time.Duration, error) {
	answer, err := p.mapping(ctx, inner, outer, lease)
	if err != nil {
		return 0, 0, err
	}
	port, seconds := binary.BigEndian.Uint16(answer[10:]), binary.BigEndian.Uint32(answer[12:])
	if binary.BigEndian.Uint16(answer[8:]) != inner || port == 0 || seconds == 0 {
		return 0, 0, ErrOdd
	}
	return port, time.Duration(seconds) * time.Second, nil
}

// close takes the mapping back by its inner port alone (3.4).
func (p *pmp) close(ctx context.Context, inner, _ uint16) error {
	_, err := p.mapping(ctx, inner, 0, 0)
	return err
}

func (p *pmp) mapping(ctx context.Context, inner, outer uint16, lasts time.Duration) ([]byte, error) {
	b := []byte{0, pmpMapTCP, 0, 0}
	b = binary.BigEndian.AppendUint16(b, inner)
	b = binary.BigEndian.AppendUint16(b, outer)
	return p.ask(ctx, binary.BigEndian.AppendUint32(b, uint32(lasts/time.Second)), 16)
}

// ask sends a question until there is an answer of that many bytes. The kernel lets
// nothing through that does not come from the router.
func (p *pmp) ask(ctx context.Context, question []byte, size int) ([]byte, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", p.router.String())
	if err != nil {
		return nil, ErrSilent
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	wait := 250 * time.Millisecond
	for range pmpTries {
		if err := conn.SetDeadline(time.Now().Add(wait)); err != nil {
			return nil, ErrSilent
		}
		wait *= 2
		if _, err := conn.Write(question); err != nil {
			return nil, ErrSilent
		}
		for {
			var b [64]byte
			n, err := conn.Read(b[:])
			if errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
				return nil, ErrSilent
			}
			if err != nil {
				break
			}
			answer, err := parsePMP(b[:n], question[1], size)
			if !errors.Is(err, errOther) {
				return answer, err
			}
		}
	}
	return nil, ErrSilent
}

// errOther is what came instead of the answer to a question. That is waited for.
var errOther = errors.New("no answer to this question")

// parsePMP checks an answer's head, and returns so many bytes of it.
func parsePMP(b []byte, operation byte, size int) ([]byte, error) {
	if len(b) < 4 || b[1] != operation|pmpAnswer {
		return nil, errOther
	}
	switch result := binary.BigEndian.Uint16(b[2:]); {
	case result == pmpVersion, result == pmpUnsupported, b[0] != 0:
		return nil, ErrSilent
	case result == pmpNoLine:
		return nil, ErrOffline
	case result != pmpDone:
		return nil, ErrRefused
	case len(b) < size:
		return nil, ErrOdd
	}
	return b[:size], nil
}
