package replay

import "unsafe"

// segments is the number of tables that a set consists of: the 16 bits of a fingerprint that choose
// one need not be stored, which leaves 32.
const segments = 1 << 16

// few is how many fingerprints lie in a map before there are segments, which take two megabytes
// even if they are empty: a node keeps the tags of three epochs, and hardly uses them on many days.
const few = segments / 8

// fewBytes is what such a fingerprint takes at most, in bytes.
const fewBytes = 38

// table is a set of fingerprints. Each segment is a table with open addressing and linear probing
// that is at most four fifths full: there a fresh tag meets 13 slots on average, on one or two cache
// lines (Knuth, The Art of Computer Programming, volume 3, section 6.4, theorem K). When a segment
// is full it alone grows, by a quarter, so the memory in use is near what is needed at all times.
// The garbage collector sees one pointer a segment and none inside.
type table struct {
	few      map[uint64]struct{} // until there are segments
	segments []segment
	first    int    // the slots of a segment when its first fingerprint comes
	slots    int    // of all segments
	work     uint64 // slots looked at since the beginning
}

type segment struct {
	slots []uint32 // 0 is empty
	used  int
}

// newTable makes an empty set that has room for so many fingerprints, when they come, at 70 % full:
// then few segments have to grow.
func newTable(expected int64) *table {
	return &table{few: map[uint64]struct{}{}, first: int(expected / segments * 10 / 7)}
}

// add puts a fingerprint in and reports whether it was not there yet.
func (t *table) add(fp uint64) bool {
	if t.few != nil {
		t.work++
		before := len(t.few)
		t.few[fp] = struct{}{}
		fresh := len(t.few) > before
		if len(t.few) == few {
			t.spread()
		}
		return fresh
	}
	return t.insert(fp)
}

// spread moves the few fingerprints into segments.
func (t *table) spread() {
	t.segments = make([]segment, segments)
	for fp := range t.few {
		t.insert(fp)
	}
	t.few = nil
}

// insert is add when there are segments.
func (t *table) insert(fp uint64) bool {
	s := &t.segments[fp>>32]
	if 5*(s.used+1) > 4*len(s.slots) {
		t.grow(s)
	}
	rest := max(uint32(fp), 1) // so 0 and 1 are the same, which adds one in 2^32 to the errors
	if !t.put(s.slots, rest) {
		return false
	}
	s.used++
	return true
}

// put looks for rest from its home on, where the slots keep the order of their values, and fills the
// first empty slot if it is not there.
func (t *table) put(slots []uint32, rest uint32) bool {
	for i := int(uint64(rest) * uint64(len(slots)) >> 32); ; {
		t.work++
		switch slots[i] {
		case rest:
			return false
		case 0:
			slots[i] = rest
			return true
		}
		if i++; i == len(slots) {
			i = 0
		}
	}
}

// memory is how many bytes the set takes.
func (t *table) memory() int {
	return len(t.few)*fewBytes + len(t.segments)*int(unsafe.Sizeof(segment{})) + t.slots*int(unsafe.Sizeof(uint32(0)))
}

func (t *table) grow(s *segment) {
	old := s.slots
	n := max(len(old)+len(old)/4+1, t.first, 4)
	s.slots = append([]uint32(nil), make([]uint32, n)...)
	s.slots = s.slots[:cap(s.slots)] // all that the allocator's size class gives
	clear(s.slots[n:])
	t.slots += len(s.slots) - len(old)
	for _, rest := range old {
		if rest != 0 {
			t.put(s.slots, rest)
		}
	}
}
