package queue

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/mail"
)

// The format on users' disks changes only with its version.
func TestRecordFormat(t *testing.T) {
	m := Mail{
		ID: mail.ParcelID{1, 2, 3}, Key: mail.KeyID{4, 5, 6}, Expires: 81_234, Fragments: 3, Have: 0b101,
		Queries: []time.Time{time.Unix(1_800_000_000, 0).UTC()}, State: mail.StateIncomplete,
		Results: []byte("sealed results"), Delivered: 1, Failed: 2, Expired: 3, Waiting: 4,
		Final: true, Unknown: true, Card: []byte("sealed card"), Tag: [32]byte{7, 8, 9}, Exit: [32]byte{10, 11},
	}
	const want = "0122a1186d" + // version, checksum
		"90" + "480405060000000000" + "1a00013d52" + "03" + "05" + "811a6b49d200" + "02" + // key to state
		"4e7365616c656420726573756c7473" + "01020304" + "f5f5" + "4b7365616c65642063617264" +
		"58200708090000000000000000000000000000000000000000000000000000000000" +
		"58200a0b000000000000000000000000000000000000000000000000000000000000"
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("the record is\n%s, want\n%s", got, want)
	}
	back, err := decode(m.ID, b)
	if err != nil || !reflect.DeepEqual(back, m) {
		t.Errorf("it reads as %+v (%v)", back, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	m, _ := sample(1)
	good, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	content := good[frameSize:]
	edit := func(change func(b []byte) []byte) []byte { return frame(m.ID, change(bytes.Clone(content))) }
	for _, test := range []struct {
		name string
		b    []byte
		want error
	}{
		{"nothing", nil, ErrDamaged},
		{"only a version", good[:1], ErrDamaged},
		{"version 0", append([]byte{0}, good[1:]...), ErrDamaged},
		{"a newer version", append([]byte{2}, good[1:]...), errVersion},
		{"cut", good[:len(good)-1], ErrDamaged},
		{"cut, checksum right", edit(func(b []byte) []byte { return b[:len(b)-1] }), ErrDamaged},
		{"something after", edit(func(b []byte) []byte { return append(b, 0) }), ErrDamaged},
		{"a field less", edit(func(b []byte) []byte { b[0]--; return b[:len(b)-34] }), ErrDamaged},
		{"a field more", edit(func(b []byte) []byte { b[0]++; return append(b, 0) }), ErrDamaged},
		{"a short key", edit(func(b []byte) []byte { b[1]--; return append(b[:2], b[3:]...) }), ErrDamaged},
		{"no key", edit(func(b []byte) []byte { return append([]byte{b[0], 0xf6}, b[10:]...) }), ErrDamaged},
		{"a number longer than needed", edit(func(b []byte) []byte {
			return append([]byte{b[0]}, append(bytes.Clone(b[1:10]), append([]byte{0x1b, 0, 0, 0, 0, 0, 1, 0x38, 0x81}, b[15:]...)...)...)
		}), ErrDamaged},
		{"an array without end", edit(func(b []byte) []byte { b[0] = 0x9f; return append(b, 0xff) }), ErrDamaged},
		{"a map", edit(func(b []byte) []byte { return []byte{0xa0} }), ErrDamaged},
		{"a tag", edit(func(b []byte) []byte { return append([]byte{0xd8, 0x64}, b...) }), ErrDamaged},
		{"too much", edit(func(b []byte) []byte { return make([]byte, maxRecord+1) }), ErrDamaged},
		{"another mail's", frame(mail.ParcelID{}, content), ErrDamaged},
	} {
		if _, err := decode(m.ID, test.b); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
	if _, err := decode(m.ID, edit(func(b []byte) []byte { return b })); err != nil {
		t.Errorf("unchanged: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	id := mail.ParcelID{1}
	for n := range 3 {
		m, _ := sample(n)
		m.ID = id
		b, err := m.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[frameSize:])
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		decode(id, content) // with whatever for a frame
		b := frame(id, content)
		m, err := decode(id, b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if again, err := m.encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is stored again as %x (%v)", b, again, err)
		}
	})
}
