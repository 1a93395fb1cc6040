package mail

import "encoding/binary"

// version is the first byte of every request and reply.
const version = 1

// scanner reads big-endian fields from b. Reading past the end, or any other
// fault that a parser reports with check, makes it bad for good; the fields
// are then zero, so that a parser can go on to its end and look once.
type scanner struct {
	b   []byte
	bad bool
}

// next returns the next n bytes, which share memory with b, or nil.
func (s *scanner) next(n int) []byte {
	if s.bad || n > len(s.b) {
		s.bad = true
		return nil
	}
	out := s.b[:n:n]
	s.b = s.b[n:]
	return out
}

func (s *scanner) uint8() uint8 {
	if b := s.next(1); b != nil {
		return b[0]
	}
	return 0
}

func (s *scanner) uint16() uint16 {
	if b := s.next(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (s *scanner) uint32() uint32 {
	if b := s.next(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (s *scanner) uint64() uint64 {
	if b := s.next(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (s *scanner) check(ok bool) {
	if !ok {
		s.bad = true
	}
}

// padding checks that only zeros are left.
func (s *scanner) padding() {
	for _, c := range s.b {
		s.check(c == 0)
	}
	s.b = nil
}
