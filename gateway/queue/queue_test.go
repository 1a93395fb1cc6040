package queue

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/mail"
)

func open(t *testing.T, dir string) *Queue {
	t.Helper()
	return openLimited(t, dir, Limits{})
}

func openLimited(t *testing.T, dir string, l Limits) *Queue {
	t.Helper()
	q, err := Open(dir, l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	return q
}

// sample returns the n-th of different mails, with its sealed parcel.
func sample(n int) (Mail, []byte) {
	m := Mail{
		ID: mail.ParcelID{0: byte(n), 1: byte(n >> 8), 15: 1}, Key: mail.KeyID{9, byte(n)}, Expires: 80_000 + uint64(n), Fragments: 1 + n%mail.MaxFragments,
		Queries: []time.Time{time.Unix(1_800_000_000+int64(n), 0).UTC(), time.Unix(1_800_100_000, 0).UTC()},
		State:   mail.StateUnknown, Waiting: 1 + n%5, Card: fmt.Appendf(nil, "card %d", n), Tag: [32]byte{0: byte(n), 1: byte(n >> 8), 31: 2}, Exit: [32]byte{3},
	}
	return m, bytes.Repeat([]byte{byte(n), 0xee}, 500*(1+n%7))
}

func put(t *testing.T, q *Queue, n int) (Mail, []byte) {
	t.Helper()
	m, sealed := sample(n)
	id, again, err := q.Put(m, sealed)
	if err != nil || again || id != m.ID {
		t.Fatalf("putting mail %d: %x, %v, %v", n, id, again, err)
	}
	return m, sealed
}

func all(t *testing.T, q *Queue) map[mail.ParcelID]Mail {
	t.Helper()
	list, err := q.All()
	if err != nil {
		t.Fatal(err)
	}
	mails := map[mail.ParcelID]Mail{}
	for _, m := range list {
		mails[m.ID] = m
	}
	return mails
}

// holds checks that the queue holds these mails with their parcels, and nothing else.
func holds(t *testing.T, q *Queue, numbers ...int) {
	t.Helper()
	mails := all(t, q)
	if len(mails) != len(numbers) {
		t.Fatalf("the queue has %d mails, want %d", len(mails), len(numbers))
	}
	for _, n := range numbers {
		m, sealed := sample(n)
		if !reflect.DeepEqual(mails[m.ID], m) {
			t.Fatalf("mail %d is %+v, want %+v", n, mails[m.ID], m)
		}
		if got, err := q.Get(m.ID); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("mail %d alone is %+v (%v), want %+v", n, got, err, m)
		}
		if got, err := q.Data(m.ID); err != nil || !bytes.Equal(got, sealed) {
			t.Fatalf("the parcel of mail %d: %d bytes, %v; want %d", n, len(got), err, len(sealed))
		}
	}
}

func TestRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gateway", "data") // Open makes them
	q := open(t, dir)
	for n := range 5 {
		put(t, q, n)
	}
	last, _ := sample(4)
	change := func(m *Mail) {
		m.Have, m.State, m.Queries = 1, mail.StateDone, m.Queries[1:]
		m.Results, m.Delivered, m.Failed, m.Expired, m.Waiting = []byte("results"), 1, 2, 3, 0
		m.Final, m.Unknown = true, true
	}
	if err := q.Update(last.ID, change); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q = open(t, dir)
	change(&last)
	if got := all(t, q)[last.ID]; !reflect.DeepEqual(got, last) {
		t.Errorf("after a restart the changed mail is %+v, want %+v", got, last)
	}
	if err := q.Forget(last.ID); err != nil {
		t.Fatal(err)
	}
	holds(t, q, 0, 1, 2, 3)
	if info, err := os.Stat(filepath.Join(dir, "queue.db")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v (%v), want only its owner's", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory's mode is %v (%v), want only its owner's", info.Mode(), err)
	}
}

func TestRepeatedSubmission(t *testing.T) {
	dir := t.TempDir()
	q := openLimited(t, dir, Limits{Mails: 1})
	first, _ := put(t, q, 1)
	repeat := func(when string) {
		t.Helper()
		m, sealed := sample(2)
		m.Tag = first.Tag
		id, again, err := q.Put(m, sealed)
		if err != nil || !again || id != first.ID {
			t.Errorf("%s: a repeated submission gives %x, %v, %v; want the first one's ID", when, id, again, err)
		}
		if n := len(all(t, q)); n != 1 {
			t.Errorf("%s: %d mails after a repeated submission", when, n)
		}
	}
	repeat("at the limit")
	q.free = func() (int64, error) { return 0, nil }
	repeat("on a full disk")
	q.Close()
	q = open(t, dir)
	repeat("after a restart")
	if err := q.Update(first.ID, func(m *Mail) { m.Final, m.State = true, mail.StateDone }); err != nil {
		t.Fatal(err)
	}
	repeat("when the mail is final")
	if err := q.Forget(first.ID); err != nil {
		t.Fatal(err)
	}
	put(t, q, 1)
	holds(t, q, 1)
}

func TestPutRefuses(t *testing.T) {
	q := open(t, t.TempDir())
	put(t, q, 1)
	for name, spoil := range map[string]func(m *Mail, sealed *[]byte){
		"an ID that is taken":    func(m *Mail, _ *[]byte) { first, _ := sample(1); m.ID = first.ID },
		"no fragments":           func(m *Mail, _ *[]byte) { m.Fragments = 0 },
		"too many fragments":     func(m *Mail, _ *[]byte) { m.Fragments = mail.MaxFragments + 1 },
		"fragments beyond":       func(m *Mail, _ *[]byte) { m.Have = 1 << m.Fragments },
		"no state":               func(m *Mail, _ *[]byte) { m.State = mail.StateNone },
		"an impossible state":    func(m *Mail, _ *[]byte) { m.State = mail.StateDone + 1 },
		"the exit's mail":        func(m *Mail, _ *[]byte) { m.State = mail.StateComplete },
		"a final mail":           func(m *Mail, _ *[]byte) { m.Final = true },
		"an unknown mail":        func(m *Mail, _ *[]byte) { m.Unknown = true },
		"no parcel":              func(_ *Mail, sealed *[]byte) { *sealed = nil },
		"too long a parcel":      func(_ *Mail, sealed *[]byte) { *sealed = make([]byte, maxParcel+1) },
		"too many moments":       func(m *Mail, _ *[]byte) { m.Queries = make([]time.Time, maxQueries+1) },
		"a moment before 1970":   func(m *Mail, _ *[]byte) { m.Queries = []time.Time{{}} },
		"a moment too far":       func(m *Mail, _ *[]byte) { m.Queries = []time.Time{time.Unix(maxTime, 0)} },
		"a huge card":            func(m *Mail, _ *[]byte) { m.Card = make([]byte, maxOpaque+1) },
		"huge results":           func(m *Mail, _ *[]byte) { m.Results = make([]byte, maxOpaque+1) },
		"a negative count":       func(m *Mail, _ *[]byte) { m.Failed = -1 },
		"more than all delivery": func(m *Mail, _ *[]byte) { m.Delivered = mail.MaxRecipients + 1 },
	} {
		m, sealed := sample(2)
		spoil(&m, &sealed)
		if _, _, err := q.Put(m, sealed); err == nil || errors.Is(err, ErrFull) || errors.Is(err, ErrLimit) || errors.Is(err, ErrFailed) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	holds(t, q, 1)
}

func TestUpdateDropsParcel(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(*Mail)
		dropped bool
	}{
		{"fragments arrive", func(m *Mail) { m.Have, m.State = 1, mail.StateIncomplete }, false},
		{"the exit forgot it", func(m *Mail) { m.State = mail.StateUnknown; m.Queries = nil }, false},
		{"refused, not final yet", func(m *Mail) { m.State = mail.StateRefused }, false},
		{"refused", func(m *Mail) { m.State, m.Final = mail.StateRefused, true }, true},
		{"complete", func(m *Mail) { m.State = mail.StateComplete }, true},
		{"done", func(m *Mail) { m.State = mail.StateDone }, true},
		{"final", func(m *Mail) { m.Final = true }, true},
		{"unknown", func(m *Mail) { m.Unknown = true }, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := open(t, t.TempDir())
			m, _ := put(t, q, 35)
			if err := q.Update(m.ID, test.change); err != nil {
				t.Fatal(err)
			}
			if _, err := q.Data(m.ID); errors.Is(err, ErrNotFound) != test.dropped || err != nil && !test.dropped {
				t.Errorf("the parcel: %v; want it dropped: %v", err, test.dropped)
			}
			test.change(&m)
			if got := all(t, q)[m.ID]; !reflect.DeepEqual(got, m) {
				t.Errorf("the mail is %+v, want %+v", got, m)
			}
			err := q.Update(m.ID, func(m *Mail) { m.State, m.Final, m.Unknown = mail.StateUnknown, false, false })
			if (err != nil) != test.dropped {
				t.Errorf("sending it again: %v", err)
			}
		})
	}
}

func TestUpdateKeepsIDAndTag(t *testing.T) {
	q := open(t, t.TempDir())
	m, _ := put(t, q, 1)
	if err := q.Update(m.ID, func(m *Mail) { *m, _ = sample(2); m.Fragments = 3 }); err != nil {
		t.Fatal(err)
	}
	got := all(t, q)[m.ID]
	if got.ID != m.ID || got.Tag != m.Tag || got.Fragments != 3 {
		t.Errorf("the mail is %+v", got)
	}
}

func TestUpdateWithoutChangeWritesNothing(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	m, _ := put(t, q, 1)
	before := image(t, dir)
	if err := q.Update(m.ID, func(m *Mail) { m.State = mail.StateUnknown }); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(image(t, dir), before) {
		t.Error("the file changed")
	}
	if err := q.Update(m.ID, func(m *Mail) { m.State = mail.StateIncomplete }); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(image(t, dir), before) {
		t.Error("a change did not reach the file")
	}
}

func TestUpdateRefuses(t *testing.T) {
	q := open(t, t.TempDir())
	m, _ := put(t, q, 1)
	if err := q.Update(mail.ParcelID{7}, func(*Mail) { t.Error("called") }); !errors.Is(err, ErrNotFound) {
		t.Errorf("a mail that is not there: %v", err)
	}
	if err := q.Update(m.ID, func(m *Mail) { m.Fragments = -1 }); err == nil {
		t.Error("an impossible mail is stored")
	}
	if _, err := q.Data(mail.ParcelID{7}); !errors.Is(err, ErrNotFound) {
		t.Errorf("the parcel of a mail that is not there: %v", err)
	}
	if _, err := q.Get(mail.ParcelID{7}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a mail that is not there: %v", err)
	}
	holds(t, q, 1)
}

func TestForget(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	for n := range 6 { // expiring at 80000 to 80005
		put(t, q, n)
	}
	for n, end := range map[int]func(*Mail){
		0: func(m *Mail) { m.Final = true },
		1: func(m *Mail) { m.Unknown = true },
		2: func(m *Mail) { m.State = mail.StateComplete }, // its writer does not know yet
		5: func(m *Mail) { m.Final = true },               // not expired
	} {
		m, _ := sample(n)
		if err := q.Update(m.ID, end); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		epoch uint64
		want  int
	}{{80_000, 0}, {80_001, 1}, {80_005, 1}, {80_005, 0}} {
		if n, err := q.ForgetBefore(test.epoch); err != nil || n != test.want {
			t.Errorf("forgetting before %d: %d mails, %v; want %d", test.epoch, n, err, test.want)
		}
	}
	for _, n := range []int{2, 5, 2} { // the last one again: no error
		m, _ := sample(n)
		if err := q.Forget(m.ID); err != nil {
			t.Error(err)
		}
	}
	holds(t, q, 3, 4)
	q.Close()
	holds(t, open(t, dir), 3, 4)
}

func TestLimits(t *testing.T) {
	_, parcel := sample(0) // each of 1000 bytes, framed a little more
	for _, test := range []struct {
		name   string
		limits Limits
		want   int
	}{
		{"mails", Limits{Mails: 3}, 3},
		{"bytes", Limits{Bytes: int64(len(parcel))*4 - 1}, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := openLimited(t, t.TempDir(), test.limits)
			n := 0
			var err error
			for ; err == nil && n < 10; n++ {
				m, _ := sample(n)
				_, _, err = q.Put(m, parcel)
			}
			if n-1 != test.want || !errors.Is(err, ErrLimit) {
				t.Fatalf("%d mails fit, then: %v; want %d", n-1, err, test.want)
			}
			first, _ := sample(0)
			if err := q.Update(first.ID, func(m *Mail) { m.State = mail.StateComplete }); err != nil {
				t.Fatal(err)
			}
			m, _ := sample(11)
			if _, _, err := q.Put(m, parcel); err != nil {
				t.Errorf("what the exit took over still counts: %v", err)
			}
		})
	}
}

func TestReserve(t *testing.T) {
	q := open(t, t.TempDir())
	m, sealed := sample(1)
	free := int64(reserve + len(sealed) - 1)
	q.free = func() (int64, error) { return free, nil }
	if _, _, err := q.Put(m, sealed); !errors.Is(err, ErrFull) {
		t.Errorf("the reserve is touched: %v", err)
	}
	free++
	put(t, q, 1)
	broken := errors.New("broken")
	q.free = func() (int64, error) { return 0, broken }
	if _, _, err := q.Put(sample(2)); !errors.Is(err, broken) {
		t.Errorf("the free space cannot be known: %v", err)
	}
	holds(t, q, 1)
}

func TestFull(t *testing.T) {
	for _, e := range []error{
		unix.ENOSPC, unix.EDQUOT, unix.EFBIG, &fs.PathError{Op: "write", Err: unix.ENOSPC},
		fmt.Errorf("file resize error: %s", &fs.PathError{Op: "truncate", Err: unix.EFBIG}),
	} {
		if !full(e) {
			t.Errorf("%v does not count as full", e)
		}
	}
	for _, e := range []error{unix.EIO, unix.EROFS, errors.New("file sync error: input/output error")} {
		if full(e) {
			t.Errorf("%v counts as full", e)
		}
	}
}

func TestAnotherGateway(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	if _, err := Open(dir, Limits{}); !errors.Is(err, ErrRunning) {
		t.Errorf("a second one: %v", err)
	}
	q.Close()
	open(t, dir)
}

func TestUnusableDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{file, filepath.Join(file, "below"), "/dev/null/gateway"} {
		if _, err := Open(dir, Limits{}); !errors.Is(err, unix.ENOTDIR) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "queue.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Limits{}); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a directory in place of the file: %v", err)
	}
	if err := advise(&fs.PathError{Op: "open", Err: unix.EROFS}, "DIR"); !errors.Is(err, unix.EROFS) || !bytes.Contains([]byte(err.Error()), []byte("make DIR writable")) {
		t.Errorf("a read-only file system: %v", err)
	}
}

func TestClosed(t *testing.T) {
	q := open(t, t.TempDir())
	m, sealed := put(t, q, 1)
	q.Close()
	_, errAll := q.All()
	_, errData := q.Data(m.ID)
	_, _, errPut := q.Put(m, sealed)
	for _, err := range []error{errAll, errData, errPut, q.Forget(m.ID), q.Update(m.ID, func(*Mail) {})} {
		if err == nil || errors.Is(err, ErrFailed) {
			t.Errorf("a closed queue: %v", err)
		}
	}
}

func image(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// imageDir returns a directory whose queue is this file.
func imageDir(t *testing.T, b []byte) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "queue.db"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What a call has returned for is in the file, whatever happens to the process.
func TestCrashBetweenOperations(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	var want []int
	for n := range 12 {
		put(t, q, n)
		want = append(want, n)
		if n%4 == 3 {
			m, _ := sample(n - 2)
			if err := q.Forget(m.ID); err != nil {
				t.Fatal(err)
			}
			want = append(want[:len(want)-3], n-1, n)
		}
		holds(t, open(t, imageDir(t, image(t, dir))), want...)
	}
}

// Power is lost while a mail is stored: of the pages that were being written some are on the disk,
// whole or torn. The file opens and holds all mails before, and the last one wholly or not at all.
func TestPowerLoss(t *testing.T) {
	const page = 512 // a sector: bbolt's pages tear too
	rng := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	q := open(t, dir)
	for n := range 10 {
		before := image(t, dir)
		put(t, q, n)
		after := image(t, dir)
		var was []int
		for k := range n {
			was = append(was, k)
		}
		metaPages := 2 * os.Getpagesize()
		for trial := range 12 {
			torn := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
			synced := trial%3 == 2 // the data is on the disk and the meta page was being written
			for at := 0; at < len(after); at += page {
				if at < metaPages && synced && rng.IntN(2) == 0 || at >= metaPages && (synced || rng.IntN(2) == 0) {
					copy(torn[at:], after[at:min(at+page, len(after))])
				}
			}
			q := open(t, imageDir(t, torn))
			if synced && len(all(t, q)) == n+1 {
				holds(t, q, append(was, n)...)
			} else {
				holds(t, q, was...)
			}
		}
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	for n := range 20 {
		put(t, q, n)
	}
	m, _ := sample(3)
	q.Close()
	good := image(t, dir)
	within := func(change func(tx *bolt.Tx) error) []byte {
		dir := imageDir(t, good)
		q := open(t, dir)
		if err := q.db.Update(change); err != nil {
			t.Fatal(err)
		}
		q.Close()
		return image(t, dir)
	}
	flip := func(bucket []byte, byteIndex int) []byte {
		return within(func(tx *bolt.Tx) error {
			v := bytes.Clone(tx.Bucket(bucket).Get(m.ID[:]))
			v[byteIndex] ^= 4
			return tx.Bucket(bucket).Put(m.ID[:], v)
		})
	}
	for _, test := range []struct {
		name string
		file []byte
		want error
	}{
		{"another file", []byte("Subject: not a queue\n"), ErrDamaged},
		{"a long other file", bytes.Repeat([]byte("not a queue\n"), 10_000), ErrDamaged},
		{"zeros", make([]byte, len(good)), ErrDamaged},
		{"cut at the end", good[:len(good)/2], ErrDamaged},
		{"cut after the first pages", good[:2*os.Getpagesize()], ErrDamaged},
		{"cut within the first page", good[:100], ErrDamaged},
		{"both meta pages", append(make([]byte, 2*os.Getpagesize()), good[2*os.Getpagesize():]...), ErrDamaged},
		{"a record's bit", flip(mailsBucket, 20), ErrDamaged},
		{"a record's checksum", flip(mailsBucket, 1), ErrDamaged},
		{"a newer record", within(func(tx *bolt.Tx) error {
			return tx.Bucket(mailsBucket).Put(m.ID[:], []byte{2, 0, 0, 0, 0, 0})
		}), errVersion},
		{"an empty record", within(func(tx *bolt.Tx) error { return tx.Bucket(mailsBucket).Put(m.ID[:], nil) }), ErrDamaged},
		{"a short id", within(func(tx *bolt.Tx) error { return tx.Bucket(mailsBucket).Put([]byte("x"), nil) }), ErrDamaged},
		{"a record without a parcel", within(func(tx *bolt.Tx) error { return tx.Bucket(sealedBucket).Delete(m.ID[:]) }), ErrDamaged},
		{"a parcel without a record", within(func(tx *bolt.Tx) error { return tx.Bucket(sealedBucket).Put([]byte("x"), nil) }), ErrDamaged},
		{"a record without a tag", within(func(tx *bolt.Tx) error { return tx.Bucket(tagsBucket).Delete(m.Tag[:]) }), ErrDamaged},
		{"a tag without a record", within(func(tx *bolt.Tx) error { return tx.Bucket(tagsBucket).Put([]byte("x"), []byte("y")) }), ErrDamaged},
		{"a part missing", within(func(tx *bolt.Tx) error { return tx.DeleteBucket(tagsBucket) }), ErrDamaged},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := imageDir(t, test.file)
			q, err := Open(dir, Limits{})
			if err == nil {
				q.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if !bytes.Equal(image(t, dir), test.file) {
				t.Error("the damaged file was changed")
			}
		})
	}
	t.Run("a page both free and in use", func(t *testing.T) {
		if _, err := Open(imageDir(t, freeLeaf(t, good)), Limits{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("error %v", err)
		}
	})
	damagedParcel := open(t, imageDir(t, flip(sealedBucket, 50)))
	if _, err := damagedParcel.Data(m.ID); !errors.Is(err, ErrDamaged) {
		t.Errorf("a parcel's bit: %v", err)
	}
}

// freeLeaf returns the file with its list of free pages changed: one is replaced by a page of mails.
// bbolt's list is a page with the numbers of the free ones in order, as uint64 of the machine's byte
// order, after a header of 16 bytes.
func freeLeaf(t *testing.T, file []byte) []byte {
	t.Helper()
	q := open(t, imageDir(t, file))
	defer q.Close()
	list, leaf, size := 0, 0, q.db.Info().PageSize
	if err := q.db.View(func(tx *bolt.Tx) error {
		for id := range int(tx.Size()) / size {
			switch page, _ := tx.Page(id); page.Type {
			case "freelist":
				list = id
			case "leaf":
				leaf = id
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(file)
	ids := bad[list*size+16:]
	count := int(binary.NativeEndian.Uint16(bad[list*size+10:]))
	if list == 0 || leaf == 0 || count == 0 {
		t.Fatalf("the file has no list of free pages, %d, or no leaf, %d, or %d free pages", list, leaf, count)
	}
	at := 0 // the place that keeps the list in order
	for at < count-1 && binary.NativeEndian.Uint64(ids[8*(at+1):]) < uint64(leaf) {
		at++
	}
	binary.NativeEndian.PutUint64(ids[8*at:], uint64(leaf))
	return bad
}

// Whatever a disk does to the file, Open says so or all is right; it never brings the process down.
func TestRandomDamage(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	for n := range 40 {
		put(t, q, n)
	}
	var before map[mail.ParcelID]Mail
	for n := 0; n < 40; n += 3 {
		before = all(t, q)
		m, _ := sample(n)
		if err := q.Forget(m.ID); err != nil {
			t.Fatal(err)
		}
	}
	want := all(t, q)
	used := 0
	if err := q.db.View(func(tx *bolt.Tx) error { used = int(tx.Size()); return nil }); err != nil {
		t.Fatal(err)
	}
	q.Close()
	good := image(t, dir)
	found := 0
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 3))
		bad := bytes.Clone(good)
		at := rng.IntN(used)
		if seed%2 == 0 { // the headers of pages steer bbolt
			at = at/os.Getpagesize()*os.Getpagesize() + rng.IntN(64)
		}
		for i := range 1 + rng.IntN(16) {
			bad[at+i] = byte(rng.Uint32())
		}
		q, err := Open(imageDir(t, bad), Limits{})
		if err != nil {
			found++
			continue
		}
		// Without its newest meta page a file is what it was one change ago.
		got, meta := all(t, q), at < 2*os.Getpagesize()
		if !reflect.DeepEqual(got, want) && !(meta && reflect.DeepEqual(got, before)) {
			t.Fatalf("seed %d: the damage is not found, and the mails are others", seed)
		}
		for id := range want {
			if _, err := q.Data(id); err != nil && !errors.Is(err, ErrDamaged) {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		q.Close()
	}
	if found < 20 {
		t.Errorf("damage is found in %d of 400 files only", found)
	}
}

func TestConcurrentUse(t *testing.T) {
	q := open(t, t.TempDir())
	shared, sealed := sample(1000)
	shared.Fragments = mail.MaxFragments
	var firsts sync.Map
	var work sync.WaitGroup
	for w := range 4 {
		work.Go(func() {
			for i := range 8 {
				m, sealed := sample(100*w + i)
				if _, _, err := q.Put(m, sealed); err != nil {
					t.Error(err)
				}
				if err := q.Update(m.ID, func(m *Mail) { m.State = mail.StateIncomplete }); err != nil {
					t.Error(err)
				}
				if _, err := q.Data(m.ID); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					if err := q.Forget(m.ID); err != nil {
						t.Error(err)
					}
				}
				if _, err := q.All(); err != nil {
					t.Error(err)
				}
			}
		})
		work.Go(func() { // the same mail from several connections
			m := shared
			m.ID[5] = byte(w)
			id, again, err := q.Put(m, sealed)
			if err != nil {
				t.Error(err)
			}
			if !again {
				firsts.Store(m.ID, true)
			}
			for bit := range 8 {
				if err := q.Update(id, func(m *Mail) { m.Have |= 1 << (8*w + bit) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Wait()
	count := 0
	for id := range firsts.Range {
		count++
		if got := all(t, q)[id.(mail.ParcelID)].Have; got != 1<<32-1 {
			t.Errorf("changes are lost: %x", got)
		}
	}
	if count != 1 {
		t.Errorf("the same mail is kept %d times", count)
	}
	if n := len(all(t, q)); n != 4*4+1 {
		t.Errorf("%d mails, want 17", n)
	}
}
