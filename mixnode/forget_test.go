//go:build !race

// The race detector's code keeps copies of what it watches, so memory is searched
// without it.

package mixnode

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/sphinx"
	"codeberg.org/sourdine/sourdine/sphinx/forget"
)

// mask hides what is searched for from the search.
const mask = 0x5a

func masked(b []byte) []byte {
	m := bytes.Clone(b)
	for i := range m {
		m[i] ^= mask
	}
	return m
}

// words are the secrets of a mix key: pieces of its seed and of what it was expanded to.
func words(t *testing.T, n *node, sealer *seal.Sealer, epoch uint64) map[string][]byte {
	t.Helper()
	list := map[string][]byte{}
	file, err := sealer.ReadFile(strings.TrimSuffix(n.keys.store.TagsPath(epoch), ".tags")+".key", fmt.Sprintf("mix key of epoch %d", epoch))
	if err != nil {
		t.Fatal(err)
	}
	// The private key ends with the seed, and behind it is the hash.
	seed := file[len(file)-32-32 : len(file)-32]
	list["seed"] = masked(seed)
	clear(file)
	collect(reflect.ValueOf(n.keys.store.Private(epoch)), "key", list)
	return list
}

// collect adds what lies in arrays of numbers below a value, in pieces.
func collect(v reflect.Value, name string, list map[string][]byte) {
	switch v.Kind() {
	case reflect.Interface, reflect.Pointer:
		if !v.IsNil() && !strings.Contains(v.Type().String(), "keyOf") {
			collect(v.Elem(), name, list)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i).Name
			switch field {
			case "u", "ρ", "h", "t", "a", "encryptionKey", "keyOf": // public
			default:
				collect(v.Field(i), name+"."+field, list)
			}
		}
	case reflect.Array:
		if v.Type().Elem().Kind() == reflect.Array {
			for i := range v.Len() {
				collect(v.Index(i), fmt.Sprint(name, i), list)
			}
			return
		}
		b := unsafe.Slice((*byte)(unsafe.Pointer(v.UnsafeAddr())), v.Type().Size())
		const piece = 32
		for i := 0; i+piece <= len(b) && i < 256; i += 64 {
			list[fmt.Sprintf("%s[%d:]", name, i)] = masked(b[i : i+piece])
		}
	}
}

// found searches this process's memory, but for the searcher's own, and returns which
// words are there.
func found(t *testing.T, words map[string][]byte) (names []string) {
	t.Helper()
	const size = 1 << 20
	// Shared, so that the kernel does not join it to a mapping beside it.
	own, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(own)
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	is := map[string]bool{}
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var rights string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil {
			t.Fatal(err)
		}
		if rights[:2] != "rw" || from == uint64(uintptr(unsafe.Pointer(&own[0]))) {
			continue
		}
		for at := from; at < to; at += size - 64 { // a word may lie across two pieces
			n, _ := memory.ReadAt(own[:min(size, to-at)], int64(at)) // some of it may be out of reach
			for i := range own[:n] {
				own[i] ^= mask
			}
			for name, word := range words {
				if bytes.Contains(own[:n], word) {
					is[name] = true
				}
			}
		}
	}
	for name := range is {
		names = append(names, name)
	}
	return names
}

// When a mix key's time is over, nothing of it is left in the node's memory: not its
// seed, and not what it was expanded to. What the runtime leaves where it moved a
// stack from, or saved a thread's registers, in the microseconds in which a key is
// made or read, is beyond a build without runtime/secret. There it may happen to one key
// of some, and not to a second.
func TestKeysAreForgotten(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	const keys = 5
	passphrase := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(passphrase, []byte("correct horse battery staple\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mayStay := 1
	if forget.Complete {
		mayStay = 0
	}
	for _, method := range []seal.Method{seal.Plain, seal.Passphrase} {
		sealer, err := seal.Create(method, t.TempDir(), seal.FromFile(passphrase))
		if err != nil {
			t.Fatal(err)
		}
		defer sealer.Wipe()
		for _, scheme := range sphinx.Schemes() {
			t.Run(fmt.Sprintf("%s/%s", method, scheme), func(t *testing.T) {
				stay := 0
				for i := range keys {
					if left := forgotten(t, scheme, sealer); len(left) > 0 {
						t.Logf("of key %d this is still in memory: %v", i+1, left)
						stay++
					}
				}
				if stay > mayStay {
					t.Errorf("of %d in %d keys something is still in memory", stay, keys)
				}
			})
		}
	}
}

// forgotten lets a node make a mix key, start anew with it and use it until its time is
// over, and returns what is found of it then.
func forgotten(t *testing.T, scheme string, sealer *seal.Sealer) []string {
	t.Helper()
	n := standalone(t, directory.RoleMix)
	n.keys.close()
	g, err := sphinx.NewGeometry(scheme, 5, 2000)
	if err != nil {
		t.Fatal(err)
	}
	n.sphinx, n.frames = sphinx.New(g), link.NewFrames(g)
	n.cfg.State = t.TempDir()
	now := time.Now()
	n.now = func() time.Time { return now }
	n.openSealedKeys(t, sealer)
	n.keys.close()
	n.openSealedKeys(t, sealer)
	defer n.keys.close()
	epoch := n.epoch()
	var secrets map[string][]byte
	forget.Stack(func() { secrets = words(t, n, sealer, epoch) })
	for range 50 {
		n.give(t, n.wrap(t, epoch, sphinx.Hop{Delay: 1}, sphinx.Hop{ID: there, Recipient: new(sphinx.RecipientID)}), false)
	}
	if n.counts.damaged.Load() > 0 {
		t.Fatal("packets were not for this key")
	}
	if here := found(t, secrets); len(here) < len(secrets)-1 { // the seed may have been wiped already
		t.Fatalf("the search finds %v of %d secrets while the key is in use", here, len(secrets))
	}
	now = now.Add(2 * n.period)
	if err := n.keys.roll(n.epoch()); err != nil {
		t.Fatal(err)
	}
	if n.keys.store.Private(epoch) != nil {
		t.Fatal("the key is still there")
	}
	return found(t, secrets)
}
