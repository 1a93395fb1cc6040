package queue

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"
)

// putReference stores the n-th mail with a reference under a tag.
func putReference(t *testing.T, q *Queue, n int, tag [32]byte, sealed string) {
	t.Helper()
	m, parcel := sample(n)
	m.Reference = Reference{tag, []byte(sealed)}
	if _, again, err := q.Put(m, parcel); err != nil || again {
		t.Fatalf("putting mail %d: %v, %v", n, again, err)
	}
}

func wantReference(t *testing.T, q *Queue, tag [32]byte, want string) {
	t.Helper()
	got, err := q.Reference(tag)
	if want == "" && !errors.Is(err, ErrNotFound) || want != "" && (err != nil || string(got) != want) {
		t.Errorf("under %x: %q (%v), want %q", tag[:2], got, err, want)
	}
}

// counted returns how many references and turns the file has.
func counted(t *testing.T, q *Queue) (references, turns int) {
	t.Helper()
	if err := q.db.View(func(tx *bolt.Tx) error {
		for name, n := range map[string]*int{string(referencesBucket): &references, string(turnsBucket): &turns} {
			if err := tx.Bucket([]byte(name)).ForEach(func(_, _ []byte) error { *n++; return nil }); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return references, turns
}

// A reference is stored with its mail and outlives it; the newer one under a tag counts.
func TestReferences(t *testing.T) {
	dir := t.TempDir()
	q := open(t, dir)
	a, b := [32]byte{1}, [32]byte{2}
	wantReference(t, q, a, "") // there is no table yet
	if err := q.ForgetReferences(func([]byte) bool { return true }); err != nil {
		t.Error(err)
	}
	put(t, q, 1)
	putReference(t, q, 2, a, "one")
	putReference(t, q, 3, b, "two")
	putReference(t, q, 4, a, "three")
	// A repeated submission changes nothing.
	m, parcel := sample(3)
	m.Reference = Reference{b, []byte("again")}
	if _, again, err := q.Put(m, parcel); err != nil || !again {
		t.Fatal(again, err)
	}
	if err := q.Forget(m.ID); err != nil {
		t.Fatal(err)
	}
	q.Close()
	q = open(t, dir)
	holds(t, q, 1, 2, 4)
	wantReference(t, q, a, "three")
	wantReference(t, q, b, "two")
	if r, n := counted(t, q); r != 2 || n != 2 {
		t.Errorf("%d references and %d turns", r, n)
	}
	// The oldest is asked for first, and what is kept ends the asking.
	var asked []string
	if err := q.ForgetReferences(func(sealed []byte) bool { asked = append(asked, string(sealed)); return string(sealed) == "two" }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(asked) != "[two three]" {
		t.Errorf("asked for %q", asked)
	}
	wantReference(t, q, a, "three")
	wantReference(t, q, b, "")
	if err := q.ForgetReferences(func([]byte) bool { return true }); err != nil {
		t.Fatal(err)
	}
	if r, n := counted(t, q); r != 0 || n != 0 {
		t.Errorf("%d references and %d turns left", r, n)
	}
}

// Of too many references the oldest go.
func TestReferencesAreBounded(t *testing.T) {
	q := open(t, t.TempDir())
	tag := func(n int) [32]byte { return [32]byte{byte(n >> 16), byte(n >> 8), byte(n)} }
	if err := q.change(func(tx *bolt.Tx) error {
		for n := range maxReferences + 5 {
			if err := remember(tx, &Reference{tag(n), []byte("x")}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	putReference(t, q, 1, tag(maxReferences+5), "last")
	if r, n := counted(t, q); r != maxReferences || n != maxReferences {
		t.Errorf("%d references and %d turns, want %d", r, n, maxReferences)
	}
	wantReference(t, q, tag(5), "")
	wantReference(t, q, tag(6), "x")
	wantReference(t, q, tag(maxReferences+5), "last")
}

// A damaged table costs references, and no mail.
func TestReferencesDamaged(t *testing.T) {
	for name, damage := range map[string]func(references, turns *bolt.Bucket) error{
		"short":        func(r, _ *bolt.Bucket) error { return r.Put(bytes.Repeat([]byte{1}, 32), []byte("x")) },
		"no turn":      func(_, n *bolt.Bucket) error { return n.Delete([]byte{7: 1}) },
		"no reference": func(r, _ *bolt.Bucket) error { tag := [32]byte{1}; return r.Delete(tag[:]) },
		"odd turn":     func(_, n *bolt.Bucket) error { return n.Put([]byte{0}, []byte("x")) },
		"other tag":    func(_, n *bolt.Bucket) error { return n.Put([]byte{7: 1}, []byte("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			q := open(t, dir)
			putReference(t, q, 1, [32]byte{1}, "one")
			putReference(t, q, 2, [32]byte{2}, "two")
			if err := q.change(func(tx *bolt.Tx) error {
				return damage(tx.Bucket(referencesBucket), tx.Bucket(turnsBucket))
			}); err != nil {
				t.Fatal(err)
			}
			q.Close()
			q = open(t, dir)
			holds(t, q, 1, 2)
			if _, err := q.Reference([32]byte(bytes.Repeat([]byte{1}, 32))); !errors.Is(err, ErrNotFound) {
				t.Errorf("a short reference: %v", err)
			}
			putReference(t, q, 3, [32]byte{1}, "three")
			wantReference(t, q, [32]byte{1}, "three")
			if err := q.ForgetReferences(func(sealed []byte) bool { return string(sealed) != "three" }); err != nil {
				t.Error(err)
			}
			holds(t, q, 1, 2, 3)
			wantReference(t, q, [32]byte{1}, "three")
		})
	}
}
