package replay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

func create(t testing.TB, wake chan<- struct{}) (*Tags, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tags")
	tags, err := Create(path, wake)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tags.Close() })
	return tags, path
}

func reopen(t testing.TB, path string) *Tags {
	t.Helper()
	tags, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tags.Close() })
	return tags
}

func TestReplays(t *testing.T) {
	wake := make(chan struct{}, 1)
	tags, path := create(t, wake)
	for n := range uint64(3) {
		if ticket, fresh := tags.Add(tag(n)); !fresh || ticket != Ticket(n+1) {
			t.Errorf("tag %d: ticket %d, fresh %v", n, ticket, fresh)
		}
	}
	if ticket, fresh := tags.Add(tag(1)); fresh || ticket != 0 {
		t.Errorf("a replay before its first copy is durable: ticket %d, fresh %v", ticket, fresh)
	}
	for tags.Durable() < 3 {
		<-wake
	}
	if _, fresh := tags.Add(tag(1)); fresh {
		t.Error("a replay passes")
	}
	tags.Add(tag(3))
	if err := tags.Close(); err != nil {
		t.Fatal(err)
	}
	if tags.Memory() != 0 {
		t.Errorf("after Close the tags take %d bytes", tags.Memory())
	}
	if tags.Durable() != 4 || !errors.Is(tags.Err(), fs.ErrClosed) || tags.Close() != nil {
		t.Errorf("after Close: durable %d, error %v, closing again %v", tags.Durable(), tags.Err(), tags.Close())
	}
	if ticket, fresh := tags.Add(tag(9)); fresh || ticket != 0 {
		t.Errorf("a tag after Close: ticket %d, fresh %v", ticket, fresh)
	}

	tags = reopen(t, path)
	if tags.Len() != 4 || tags.Durable() != 4 || tags.Err() != nil {
		t.Errorf("after reopening: %d tags, %d durable, error %v", tags.Len(), tags.Durable(), tags.Err())
	}
	for n := range uint64(4) {
		if _, fresh := tags.Add(tag(n)); fresh {
			t.Errorf("a replay of tag %d passes after reopening", n)
		}
	}
	if ticket, fresh := tags.Add(tag(9)); !fresh || ticket != 5 {
		t.Errorf("the tag that came after Close: ticket %d, fresh %v", ticket, fresh)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	header := newHeader()
	other := bytes.Replace(header, []byte(magic), []byte("srdtags\x02"), 1)
	other = other[:24]
	other = binary.LittleEndian.AppendUint64(other, headerKey(other).sum(other, 0))
	huge := path("huge", header)
	if err := os.Truncate(huge, 1<<40); err != nil {
		t.Fatal(err)
	}
	zeros := path("zeros", header)
	if err := os.Truncate(zeros, maxFile); err != nil {
		t.Fatal(err)
	}
	used, inUse := create(t, nil)
	defer used.Close()
	for _, test := range []struct {
		name, path string
		want       error
		text       string
	}{
		{"missing", filepath.Join(dir, "missing"), fs.ErrNotExist, "missing"},
		{"empty", path("empty", nil), ErrDamaged, "empty: damaged at byte 0"},
		{"half a header", path("half", header[:31]), ErrDamaged, "half: damaged at byte 31"},
		{"another version", path("version", other), ErrDamaged, "version: damaged at byte 0"},
		{"too large", huge, ErrDamaged, "huge: damaged"},
		{"zeros as long as allowed", zeros, ErrDamaged, "zeros: damaged at byte 32"},
		{"in use", inUse, nil, "is in use"},
		{"a folder", dir, nil, "directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(test.path, nil)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("Open returns %v, want %v with %q", err, test.want, test.text)
			}
		})
	}
	if _, err := Create(inUse, nil); err == nil || !strings.Contains(err.Error(), "is in use") {
		t.Errorf("creating a store that is in use: %v", err)
	}
	if ticket, fresh := used.Add(tag(1)); ticket != 1 || !fresh {
		t.Error("the store in use suffered")
	}
}

// A file made so that all its tags look for the same place is refused before it costs much.
func TestOpenRefusesCrowdedTags(t *testing.T) {
	const frames, stop = 100, headerSize + 10*maxFrame
	open := func(fp func(n uint64) uint64) (*Tags, error) {
		d := newDisk()
		k := headerKey(d.content)
		for n := uint64(0); n < frames*maxTags; {
			var tags []byte
			for range maxTags {
				tags = appendFingerprint(tags, fp(n))
				n++
			}
			d.content = k.appendFrame(d.content, tags, int64(len(d.content)))
		}
		return d.start(nil)
	}
	tags, err := open(func(n uint64) uint64 { return n * 0x9e3779b97f4a7c15 >> 16 })
	if err != nil {
		t.Fatalf("spread tags: %v", err)
	}
	tags.Close()
	for name, fp := range map[string]func(n uint64) uint64{
		"one segment": func(n uint64) uint64 { return n | 1<<32 },
		"few homes":   func(n uint64) uint64 { return n&15<<32 | n>>4 },
	} {
		at := 0
		_, err := open(fp)
		if err != nil {
			fmt.Sscanf(err.Error(), "tags: damaged at byte %d", &at)
		}
		if !errors.Is(err, ErrDamaged) || at < headerSize || at > stop {
			t.Errorf("%s: %v, want %v before byte %d", name, err, ErrDamaged, stop)
		}
	}
}

func TestCreateReplaces(t *testing.T) {
	tags, path := create(t, nil)
	tags.Add(tag(1))
	tags.Close()
	tags, err := Create(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tags.Close()
	if _, fresh := tags.Add(tag(1)); !fresh || tags.Len() != 1 {
		t.Error("a new key's store knows an old key's tags")
	}
}

func TestRemove(t *testing.T) {
	for name, before := range map[string]func(*Tags){
		"open":   func(*Tags) {},
		"closed": func(tags *Tags) { tags.Close() },
		"failed": func(tags *Tags) { tags.fail(errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			tags, path := create(t, nil)
			tags.Add(tag(1))
			before(tags)
			if err := tags.Remove(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			if tags.Err() == nil {
				t.Error("a removed store has no error")
			}
			if err := tags.Remove(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("removing again returns %v, want %v", err, fs.ErrNotExist)
			}
		})
	}
}

// image is a file of three frames, of 3, 1 and 12 tags. After a clean stop an empty fourth follows.
func image(clean bool) (content []byte, frames []int) {
	content = newHeader()
	k := headerKey(content)
	n := uint64(0)
	for _, count := range []int{3, 1, 12, 0} {
		if count == 0 && !clean {
			break
		}
		var tags []byte
		for range count {
			tags = appendFingerprint(tags, k.fingerprint(tag(n)))
			n++
		}
		frames = append(frames, len(content))
		content = k.appendFrame(content, tags, int64(len(content)))
	}
	return content, frames
}

const unfinishedTags, allTags = 4, 16 // of image: without its third frame, and with it

// openImage checks that content opens with so many tags, that what is left holds no unfinished frame, and
// that the store goes on from there.
func openImage(content []byte, want int) error {
	d := &disk{content: bytes.Clone(content), synced: content}
	tags, err := d.start(nil)
	if err != nil {
		return err
	}
	if tags.Len() != want || tags.Durable() != Ticket(want) {
		tags.Close()
		return fmt.Errorf("%d tags, %d durable, want %d", tags.Len(), tags.Durable(), want)
	}
	if d.unsynced != nil {
		tags.Close()
		return errors.New("the cut is not on disk")
	}
	tags.Add(tag(1 << 40))
	if err := tags.Close(); err != nil {
		return err
	}
	if int64(len(d.content)) != tags.offset {
		return fmt.Errorf("%d bytes lie behind the last frame", int64(len(d.content))-tags.offset)
	}
	if tags, err = d.start(nil); err != nil {
		return fmt.Errorf("opening again: %w", err)
	}
	defer tags.Close()
	if tags.Len() != want+1 {
		return fmt.Errorf("%d tags after opening again, want %d", tags.Len(), want+1)
	}
	return nil
}

// Whatever a crash leaves of the last frame is cut off.
func TestTornTails(t *testing.T) {
	content, frames := image(false)
	head, last := content[:frames[2]:frames[2]], content[frames[2]:]
	zeros, rubbish := make([]byte, len(last)), bytes.Repeat([]byte{0xaa}, len(last))
	for at := range last {
		for name, tail := range map[string][][]byte{
			"only the beginning":        {last[:at]},
			"zeros for the end":         {last[:at], zeros[at:]},
			"zeros for the beginning":   {zeros[:at+1], last[at+1:]},
			"rubbish for the end":       {last[:at], rubbish[at:]},
			"rubbish for the beginning": {rubbish[:at+1], last[at+1:]},
			"only zeros":                {zeros[:at]},
			"only rubbish":              {rubbish[:at]},
		} {
			if err := openImage(append(head, bytes.Join(tail, nil)...), unfinishedTags); err != nil {
				t.Errorf("byte %d: %s: %v", at, name, err)
			}
		}
	}
	if err := openImage(content, allTags); err != nil {
		t.Errorf("whole: %v", err)
	}
}

// Any changed bit is noticed, except that one in the last frame looks as if the frame was torn.
func TestFlippedBits(t *testing.T) {
	for _, clean := range []bool{false, true} {
		content, frames := image(clean)
		last, left := frames[len(frames)-1], unfinishedTags
		if clean {
			left = allTags
		}
		for i := range content {
			for _, bits := range []byte{0x01, 0x10, 0xff} {
				changed := bytes.Clone(content)
				changed[i] ^= bits
				err := openImage(changed, left)
				if i >= last {
					if err != nil {
						t.Errorf("clean %v: bits %#x of byte %d: %v", clean, bits, i, err)
					}
					continue
				}
				offset := 0
				for _, start := range frames {
					if i >= start {
						offset = start
					}
				}
				if !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), "tags: ") ||
					!strings.HasSuffix(err.Error(), fmt.Sprintf(" at byte %d", offset)) {
					t.Errorf("clean %v: bits %#x of byte %d: %v, want %v at byte %d", clean, bits, i, err, ErrDamaged, offset)
				}
			}
		}
	}
}

// After a clean stop damage to the last tags is noticed.
func TestCloseEndsTheFile(t *testing.T) {
	d := newDisk()
	tags, err := d.start(nil)
	if err != nil {
		t.Fatal(err)
	}
	tags.Add(tag(1))
	if err := tags.Close(); err != nil {
		t.Fatal(err)
	}
	d.content[headerSize+frameSize]++
	if _, err := d.start(nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("opening returns %v, want %v", err, ErrDamaged)
	}
}

func TestDamage(t *testing.T) {
	content, frames := image(true)
	first, second := content[frames[0]:frames[1]], content[frames[1]:frames[2]]
	head := content[:frames[0]:frames[0]]
	tail := content[frames[2]:]
	for name, content := range map[string][]byte{
		"a frame is missing":          bytes.Join([][]byte{head, first, tail}, nil),
		"a frame is there twice":      bytes.Join([][]byte{head, first, first, second, tail}, nil),
		"a byte too much inside":      bytes.Join([][]byte{head, first, second[:5], second[4:], tail}, nil),
		"zeros before a whole frame":  bytes.Join([][]byte{head, make([]byte, len(first)), second}, nil),
		"more zeros than a frame has": append(bytes.Clone(content), make([]byte, maxFrame+1)...),
		"a frame with too many tags":  headerKey(head).appendFrame(head, make([]byte, tagSize*(maxTags+1)), int64(len(head))),
	} {
		if err := openImage(content, 0); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want %v", name, err, ErrDamaged)
		}
	}
	if err := openImage(append(bytes.Clone(content), make([]byte, maxFrame)...), allTags); err != nil {
		t.Errorf("as many zeros as a frame has: %v", err)
	}
}

// Several workers add the same tags; each must be new exactly once, and durable in the end.
func TestConcurrentAdds(t *testing.T) {
	const workers, each = 4, 10_000 // two with one fingerprint: once in five million runs
	wake := make(chan struct{}, 1)
	tags, path := create(t, wake)
	var (
		running sync.WaitGroup
		mu      sync.Mutex
		tickets = map[Ticket]uint64{}
	)
	for range workers {
		running.Go(func() {
			for n := range uint64(each) {
				if ticket, fresh := tags.Add(tag(n)); fresh {
					mu.Lock()
					tickets[ticket] = n
					mu.Unlock()
				}
			}
		})
	}
	last := Ticket(0)
	for last < each {
		<-wake
		if durable := tags.Durable(); durable < last || tags.Err() != nil {
			t.Fatalf("Durable goes from %d to %d, error %v", last, durable, tags.Err())
		} else {
			last = durable
		}
	}
	running.Wait()
	if len(tickets) != each || tags.Len() != each || last != each {
		t.Errorf("%d tags are new, %d tickets, %d durable, want %d", tags.Len(), len(tickets), last, each)
	}
	if err := tags.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path).Len(); got != each {
		t.Errorf("%d tags after reopening, want %d", got, each)
	}
}

// Close commits and Remove does not, at once, whatever the commit is at.
func TestStopDuringCommit(t *testing.T) {
	for _, test := range []struct {
		name string
		tags int // that one commit takes
		wait time.Duration
		stop func(*Tags)
		want int
	}{
		{"close while gathering", 1, gather / 2, func(t *Tags) { t.Close() }, 2},
		{"close while writing", 1, gather + time.Second/2, func(t *Tags) { t.Close() }, 2},
		{"remove while gathering", 1, gather / 2, func(t *Tags) { t.Remove() }, 0},
		{"remove while writing", 1, gather + time.Second/2, func(t *Tags) { t.Remove() }, 1},
		{"remove while writing the first of three frames", 3 * maxTags, gather + time.Second/2, func(t *Tags) { t.Remove() }, maxTags},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				tags, err := d.start(nil)
				if err != nil {
					t.Fatal(err)
				}
				d.slow = time.Second
				began := time.Now()
				for n := range test.tags {
					tags.Add(tag(uint64(n)))
				}
				time.Sleep(test.wait)
				tags.Add(tag(1 << 40))
				test.stop(tags)
				if took := time.Since(began); took > gather+6*time.Second {
					t.Errorf("it took %v", took)
				}
				again, err := d.start(nil)
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				if again.Len() != test.want {
					t.Errorf("%d tags, want %d", again.Len(), test.want)
				}
			})
		})
	}
}

// A file can only grow to the size that Open takes.
func TestFullFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		tags, err := d.start(nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tags.Close()
		tags.offset = maxFile - frameSize
		tags.Add(tag(1))
		time.Sleep(time.Minute)
		if tags.Durable() != 0 || tags.Err() == nil || !strings.Contains(tags.Err().Error(), "tags is full") {
			t.Errorf("%d durable, error %v", tags.Durable(), tags.Err())
		}
	})
}

func TestAllocations(t *testing.T) {
	tags, _ := create(t, nil)
	tags.table = newTable(2_000_000)
	tags.table.spread()
	for i := range segments {
		tags.table.grow(&tags.table.segments[i])
	}
	tags.pending = make([]byte, 0, 1<<20)
	tags.taken = make([]byte, 0, 1<<20)
	n := uint64(0)
	if got := testing.AllocsPerRun(100_000, func() { tags.Add(tag(n)); n++ }); got != 0 {
		t.Errorf("Add allocates %v times", got)
	}
}

// heap returns the bytes in use.
func heap() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

func TestEmptyStoreIsSmall(t *testing.T) {
	before := heap()
	tags, _ := create(t, nil)
	if used := heap() - before; used > 100_000 {
		t.Errorf("an empty store takes %.0f kB of memory", used/1e3)
	}
	runtime.KeepAlive(tags)
}

func cpuTime() time.Duration {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The figures of the package comment, at ten million tags.
func TestTenMillion(t *testing.T) {
	const total = 10_000_000
	const life = 3 * time.Hour // the epochs before, of and after its own
	if most := headerSize + total*tagSize + int(life/gather)*frameSize; most > 64e6 {
		t.Errorf("%d tags can take %d bytes, want at most 64 MB", total, most)
	}
	content := newHeader()
	k := headerKey(content)
	perCommit := int(total * gather / time.Hour)
	rng := rand.New(rand.NewPCG(6, 6))
	for n := 0; n < total; {
		var tags []byte
		for range min(perCommit, total-n) {
			tags = appendFingerprint(tags, rng.Uint64()>>16)
			n++
		}
		content = k.appendFrame(content, tags, int64(len(content)))
	}
	path := filepath.Join(t.TempDir(), "tags")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	size := len(content)
	content = nil

	before := heap()
	began, cpuBefore := time.Now(), cpuTime()
	tags := reopen(t, path)
	took, cpu := time.Since(began), cpuTime()-cpuBefore
	work := tags.table.work
	bytes := heap() - before
	t.Logf("%d tags: %d bytes on disk, %.2f a tag; %.1f MB in memory, %.2f bytes a tag; opened in %v (processor %v) with %.1f slots a tag",
		tags.Len(), size, float64(size)/total, bytes/1e6, bytes/total, took.Round(time.Millisecond), cpu.Round(time.Millisecond), float64(work)/total)
	if bytes > 65e6 {
		t.Errorf("%.1f MB in memory, want at most 65", bytes/1e6)
	}
	if says := float64(tags.Memory()); says < 0.97*bytes || says > 1.03*bytes {
		t.Errorf("the tags say that they take %.1f MB, and take %.1f", says/1e6, bytes/1e6)
	}
	if work > 20*total {
		t.Errorf("opening looked at %d slots, want at most 20 a tag", work)
	}
	if lost := total - tags.Len(); lost > 5 { // 0.18 expected; more than 5: 1e-8
		t.Errorf("%d of %d fresh tags look seen", lost, total)
	}
}

// FuzzOpen opens any bytes. With seal it makes the sums right first, for as long as the lengths are.
func FuzzOpen(f *testing.F) {
	content, _ := image(true)
	f.Add(content, false)
	f.Fuzz(func(t *testing.T, content []byte, seal bool) {
		if seal && len(content) >= headerSize {
			content = sealed(bytes.Clone(content))
		}
		d := &disk{content: content}
		tags, err := d.start(nil)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("the error is %v, want %v", err, ErrDamaged)
			}
			if d.writes != 0 || len(d.content) != len(content) {
				t.Fatal("a damaged file was changed")
			}
			return
		}
		left := len(d.content)
		if !bytes.HasPrefix(content, d.content) || len(content)-left > maxFrame {
			t.Fatalf("%d of %d bytes are left", left, len(content))
		}
		if most := (left - headerSize) / tagSize; tags.Len() > most {
			t.Fatalf("%d tags in %d bytes", tags.Len(), left)
		}
		before := tags.Len()
		if _, fresh := tags.Add(tag(1)); fresh {
			before++
		}
		if err := tags.Close(); err != nil {
			t.Fatal(err)
		}
		if tags, err = d.start(nil); err != nil {
			t.Fatalf("opening again: %v", err)
		}
		defer tags.Close()
		if tags.Len() != before {
			t.Fatalf("%d tags after opening again, want %d", tags.Len(), before)
		}
	})
}

func sealed(b []byte) []byte {
	copy(b, magic)
	k := headerKey(b)
	put := func(at int, sum uint64) { binary.LittleEndian.PutUint64(b[at:], sum) }
	put(24, k.sum(b[:24], 0))
	for at := headerSize; ; {
		n, ok := frameLength(b[at:])
		if !ok || at+n > len(b) {
			return b
		}
		put(at+n-8, k.sum(b[at:at+n-8], int64(at)))
		at += n
	}
}

// bench does f b.N times and reports the processor's time beside the clock's, which others' work on
// the machine spoils.
func bench(b *testing.B, f func()) {
	b.ReportAllocs()
	before := cpuTime()
	for range b.N {
		f()
	}
	b.ReportMetric(float64(cpuTime()-before)/float64(b.N), "cpu-ns/op")
}

func BenchmarkAdd(b *testing.B) {
	for _, before := range []int{0, 1_000_000, 10_000_000} {
		tags, _ := create(b, nil)
		rng := rand.New(rand.NewPCG(7, 7))
		for range before {
			tags.table.add(rng.Uint64() >> 16)
		}
		n := uint64(0)
		b.Run(fmt.Sprintf("to %d", before), func(b *testing.B) {
			bench(b, func() { tags.Add(tag(n)); n++ })
		})
		tags.Close()
	}
}
