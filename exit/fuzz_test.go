package exit

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mail"
)

// buckets are the store's, in the order in which dumped numbers them.
var buckets = [][]byte{parcels, fragments, recipients, due, ends, queue, days, totals}

// dumped is a store as bytes: of each record its bucket's number 1, the lengths of its
// key 1 and of its value 2, the key and the value.
func dumped(t testing.TB, s *store) (b []byte) {
	t.Helper()
	err := s.view(func(tx *bolt.Tx) error {
		for i, name := range buckets {
			err := tx.Bucket(name).ForEach(func(key, value []byte) error {
				b = append(b, byte(i), byte(len(key)))
				b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
				b = append(append(b, key...), value...)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// fill makes a store hold what the bytes say, and nothing else.
func (s *store) fill(t testing.TB, b []byte) {
	t.Helper()
	err := s.write(func(w *writer) {
		for _, name := range buckets {
			if w.err = errors.Join(w.tx.DeleteBucket(name), func() error { _, err := w.tx.CreateBucket(name); return err }()); w.err != nil {
				return
			}
		}
		for b := b; len(b) >= 4; {
			bucket, n, m := w.tx.Bucket(buckets[int(b[0])%len(buckets)]), int(b[1]), int(binary.BigEndian.Uint16(b[2:]))
			b = b[4:]
			key := b[:min(n, len(b))]
			b = b[len(key):]
			value := b[:min(m, len(b))]
			b = b[len(value):]
			_ = bucket.Put(key, value) // an empty key is none
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// unsynced opens an office whose store the disk need not hold, at an epoch. Nobody
// answers it.
func unsynced(t testing.TB, at uint64) *Office {
	t.Helper()
	dir := t.TempDir()
	s, err := seal.Open(seal.Plain, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	if _, err := InitKeys(dir, s); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: dir, From: "anonymous@exit.example", Relay: Relay{Address: "relay.example:25", TLS: "none"}}
	o, err := Open(cfg, s, func() uint64 { return at }, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close() })
	o.db.NoSync = true
	o.relay.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody") }
	return o
}

// stored puts parcels of all kinds into a store: two that are incomplete, one that is
// complete and of which a delivery has begun, and one that is done.
func stored(t testing.TB, o *Office) {
	t.Helper()
	part := func(id, index, count byte, expires uint64) *mail.Request {
		return &mail.Request{Parcel: mail.ParcelID{id}, Key: mail.KeyID{1}, Expires: expires, Index: index, Count: count, Data: []byte("sealed")}
	}
	err := o.write(func(w *writer) {
		for _, r := range []*mail.Request{part(1, 0, 3, 1050), part(1, 2, 3, 1050), part(2, 1, 2, 900)} {
			p, known := getParcel(w.tx, r.Parcel)
			if !known {
				p = newParcel(r)
			}
			w.addFragment(&p, r, 1<<20)
		}
		for _, r := range []*mail.Request{part(3, 0, 1, 1050), part(4, 0, 1, 999)} {
			p := newParcel(r)
			w.complete(&p, r, 2, 1<<20)
			w.putRecipient(r.Parcel, 0, recipient{Next: 1, Begun: r.Parcel[0] == 3}, nil)
			w.putRecipient(r.Parcel, 1, recipient{Next: 1 << 40, Attempts: 3, Doubt: true}, o.keys.sealReason(r.Key, r.Parcel, 1, "451 later"))
			if r.Parcel[0] == 4 {
				for i := range 2 {
					w.putRecipient(r.Parcel, i, recipient{Outcome: mail.Delivered}, nil)
				}
				w.finish(r.Parcel, &p)
			}
		}
		w.save(days, []byte{0, 0, 0, 1}, uint64(1200), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// FuzzStore lets the disk give an office any records. It refuses what it did not write,
// or goes on with it, and what it writes then is not refused.
func FuzzStore(f *testing.F) {
	o := unsynced(f, 1000)
	stored(f, o)
	if err := o.check(); err != nil {
		f.Fatal(err)
	}
	good := dumped(f, o.store)
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[:len(good)/2])
	f.Add(append(bytes.Clone(good), 3, 25, 0, 0))                                            // an index to nothing
	f.Add(append(bytes.Clone(good), 5, 8, 0, 16, 0, 0, 0, 0, 0, 0, 0, 1, 9))                 // a queue of another
	f.Add(append(bytes.Clone(good), 3, 1, 0, 0, 1))                                          // a short one
	f.Add(append(bytes.Clone(good), 0, 16, 0, 0, 1))                                         // a parcel of nothing
	f.Add(append(bytes.Clone(good), append([]byte{7, 5, 0, 8}, "spaceXXXXXXXX"...)...))      // a total of anything
	f.Add(append(bytes.Clone(good), append([]byte{7, 4, 0, 8}, "kept\xffXXXXXXX"...)...))    // below zero
	f.Add(bytes.ReplaceAll(good, []byte("sealed"), []byte("changed")))                       // a fragment's end is the next's begin
	f.Add(bytes.ReplaceAll(good, binary.BigEndian.AppendUint64(nil, 1050), make([]byte, 8))) // all expired long ago
	f.Fuzz(func(t *testing.T, b []byte) {
		o.fill(t, b)
		if err := o.check(); err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if err := o.recover(); err != nil {
			t.Fatal(err)
		}
		var known []mail.ParcelID
		err := o.view(func(tx *bolt.Tx) error {
			return tx.Bucket(parcels).ForEach(func(key, _ []byte) error {
				known = append(known, mail.ParcelID(key))
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range known {
			if err := o.view(func(tx *bolt.Tx) error { return o.describe(tx, &mail.Reply{Parcel: id}) }); err != nil {
				t.Fatal(err)
			}
			var p parcel
			_ = o.view(func(tx *bolt.Tx) error { p, _ = getParcel(tx, id); return nil })
			r := &mail.Request{Kind: mail.Fragment, Parcel: id, Key: p.Key, Expires: p.Expires, Count: p.Count, Data: make([]byte, p.Size)}
			for i := range p.Count {
				r.Index = i
				if _, err := o.accept(r); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 8 {
			j, ok, err := o.nextDue(nil)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			o.attempt(t.Context(), j)
		}
		if err := o.sweep(); err != nil {
			t.Fatal(err)
		}
		if err := o.rotate(); err != nil {
			t.Fatal(err)
		}
		if err := o.check(); err != nil {
			t.Fatalf("what the office wrote is refused: %v", err)
		}
	})
}

// An office does not start with a damaged store, says which file it is and what is lost,
// and starts again without it.
func TestDamagedStore(t *testing.T) {
	atDesk(t, nil, func(d *desk) {
		d.post(d.seal(d.parcel(10_000, ana)))
		path := d.db.Path()
		if err := d.write(func(w *writer) { w.put(due, []byte("short"), nil) }); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		_, err := Open(d.cfg, plain(t, d.cfg.Dir), epoch, slog.New(slog.NewTextHandler(d.log, nil)))
		if !errors.Is(err, errDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `"due"`) || !strings.Contains(err.Error(), "lost") {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+".away"); err != nil {
			t.Fatal(err)
		}
		d.open()
		d.post(d.seal(d.parcel(10_000, bob)))
	})
}

// FuzzKeyFiles lets the disk give an office any file in its directory, and any signing
// key. What is refused says which file it is.
func FuzzKeyFiles(f *testing.F) {
	f.Add("day-7.key", make([]byte, 32))
	f.Add("day-7.key", make([]byte, 31))
	f.Add("day-7.key", []byte{})
	f.Add("day-4294967295.key", bytes.Repeat([]byte{0xff}, 32))
	f.Add("day-4294967296.key", make([]byte, 32))
	f.Add("day-07.key", make([]byte, 32))
	f.Add(".day-7.key.123", make([]byte, 32))
	f.Add("signing.key", []byte(strings.Repeat("ab", 32)+"\n"))
	f.Add("signing.key", []byte(strings.Repeat("AB", 32)+"\n \n"))
	f.Add("signing.key", []byte("zz"))
	o := unsynced(f, 1000)
	f.Fuzz(func(t *testing.T, name string, secret []byte) {
		if name != filepath.Base(name) || name == "." || len(name) > 100 || strings.Contains(name, "\x00") || name == "seal.toml" {
			return // no file of a directory, or none of the office's
		}
		dir := t.TempDir()
		s, err := seal.Open(seal.Plain, dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Wipe()
		as := signingName
		day, isDay := keyDay(name)
		if isDay {
			as = dayName(day)
		}
		path := filepath.Join(dir, name)
		if err := s.WriteFile(path, as, secret); err != nil {
			t.Fatal(err)
		}
		if files, err := KeyFiles(dir); err != nil || (len(files) == 2) != isDay || isDay && files[1].Path != path {
			t.Fatalf("the secret files are %v, %v", files, err)
		}
		signer, err := LoadKey(dir, s)
		switch {
		case err != nil && !strings.Contains(err.Error(), signingFile):
			t.Fatalf("nobody is told which file it is: %v", err)
		case err == nil && !strings.EqualFold(hex.EncodeToString(signer.Seed()), strings.TrimSpace(string(secret))):
			t.Fatalf("%q is read as another key", secret)
		}
		k, err := openKeyring(dir, s, o.db, o.keys.signer)
		if err != nil {
			if !isDay || !strings.Contains(err.Error(), name) {
				t.Fatalf("%q: %v", name, err)
			}
			return
		}
		if got := k.snapshot(); isDay != (len(got) == 1) || isDay && got[day] == nil {
			t.Fatalf("%q gives %d keys", name, len(got))
		}
		if isDay {
			key := k.day[day]
			if b, err := key.private.Bytes(); err != nil || !bytes.Equal(b, secret) || !key.Verify(o.SigningKey()) || k.find(key.ID) != key {
				t.Fatalf("%q holds another key: %v", name, err)
			}
		}
	})
}
