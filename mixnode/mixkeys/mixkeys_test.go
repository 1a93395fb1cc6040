package mixkeys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/sphinx"
)

func geometry(t testing.TB, scheme string) *sphinx.Geometry {
	t.Helper()
	g, err := sphinx.NewGeometry(scheme, 3, 100)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// node is a directory of a node's keys, and how they are sealed.
type node struct {
	t        *testing.T
	dir      string
	geometry *sphinx.Geometry
	sealer   *seal.Sealer
}

// newNode seals by a credential, which takes no time, unless the method is plain.
func newNode(t *testing.T, method seal.Method) *node {
	t.Helper()
	dir := t.TempDir()
	if method == seal.Systemd {
		t.Setenv("CREDENTIALS_DIRECTORY", dir)
		write(t, filepath.Join(dir, "sourdine-seal"), strings.Repeat("c", 32))
	}
	s, err := seal.Create(method, dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Wipe)
	return &node{t, filepath.Join(dir, "mix"), geometry(t, sphinx.DefaultScheme), s}
}

// start opens the keys, until the end of the test at the latest.
func (n *node) start() *Keys {
	n.t.Helper()
	k, err := Open(n.dir, n.geometry, n.sealer, nil)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { k.Close() })
	return k
}

func (n *node) path(name string) string { return filepath.Join(n.dir, name) }

// run starts, ensures and stops.
func (n *node) run(now uint64) {
	n.t.Helper()
	k := n.start()
	ensure(n.t, k, now)
	k.Close()
}

func ensure(t *testing.T, k *Keys, now uint64) {
	t.Helper()
	if err := k.Ensure(now); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// checkEpochs checks that there are keys for these epochs, in memory and on the disk, and for no others.
func checkEpochs(t *testing.T, k *Keys, want ...uint64) {
	t.Helper()
	var onDisk []uint64
	files, err := Files(k.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		epoch, _ := parseName(filepath.Base(f.Path))
		onDisk = append(onDisk, epoch)
	}
	slices.Sort(onDisk)
	var inMemory []uint64
	for epoch := range k.keys {
		inMemory = append(inMemory, epoch)
	}
	slices.Sort(inMemory)
	if !slices.Equal(onDisk, want) || !slices.Equal(inMemory, want) {
		t.Errorf("keys of epochs %d on the disk and %d in memory, want %d", onDisk, inMemory, want)
	}
	for _, epoch := range want {
		checkPair(t, k, epoch)
	}
}

// checkPair checks that a packet for the public key opens with the private one, and with no other.
func checkPair(t *testing.T, k *Keys, epoch uint64) {
	t.Helper()
	public, err := k.geometry.PublicKey(k.Public(epoch))
	if err != nil {
		t.Fatalf("epoch %d: %v", epoch, err)
	}
	s := sphinx.New(k.geometry)
	packet, err := s.Wrap([]sphinx.Hop{{Key: public, Recipient: new(sphinx.RecipientID), Delay: 1}}, make([]byte, k.geometry.PayloadLength))
	if err != nil {
		t.Fatal(err)
	}
	var u sphinx.Unwrapped
	if other := k.Private(epoch + 1); other != nil {
		if err := s.Unwrap(other, bytes.Clone(packet), &u); err == nil {
			t.Errorf("epoch %d: the next epoch's key opens it", epoch)
		}
	}
	if err := s.Unwrap(k.Private(epoch), packet, &u); err != nil {
		t.Errorf("epoch %d: the keys do not belong together: %v", epoch, err)
	}
}

func publics(k *Keys, epochs ...uint64) (all []string) {
	for _, epoch := range epochs {
		all = append(all, string(k.Public(epoch)))
	}
	return all
}

func TestKeys(t *testing.T) {
	for _, scheme := range sphinx.Schemes() {
		t.Run(scheme, func(t *testing.T) {
			n := newNode(t, seal.Systemd)
			n.geometry = geometry(t, scheme)
			k := n.start()
			checkEpochs(t, k)
			ensure(t, k, 10)
			checkEpochs(t, k, 10, 11, 12, 13)
			before := publics(k, 10, 11, 12, 13)
			if len(slices.Compact(slices.Sorted(slices.Values(before)))) != 4 {
				t.Error("two epochs have the same key")
			}
			ensure(t, k, 10)
			ensure(t, k, 11)
			checkEpochs(t, k, 10, 11, 12, 13, 14)
			ensure(t, k, 12)
			checkEpochs(t, k, 11, 12, 13, 14, 15)
			if !slices.Equal(publics(k, 11, 12, 13), before[1:]) {
				t.Error("a key changed")
			}
			if k.Public(10) != nil || k.Private(10) != nil || k.Public(16) != nil || k.Private(16) != nil {
				t.Error("there are keys outside the epochs")
			}

			before = publics(k, 11, 12, 13, 14, 15)
			k.Close()
			k = n.start()
			checkEpochs(t, k, 11, 12, 13, 14, 15)
			ensure(t, k, 12)
			if !slices.Equal(publics(k, 11, 12, 13, 14, 15), before) {
				t.Error("a key changed with the restart")
			}
		})
	}
}

func TestFilesAreForTheOwner(t *testing.T) {
	n := newNode(t, seal.Plain)
	n.run(10)
	err := filepath.WalkDir(n.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if perm := info.Mode().Perm(); perm != 0o600 && !(d.IsDir() && perm == 0o700) {
			t.Errorf("%s: mode %o", d.Name(), perm)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// No sixteen bytes of a private key lie in the directory of a node whose keys are sealed.
func TestNoSecretInPlain(t *testing.T) {
	for _, method := range []seal.Method{seal.Systemd, seal.Plain} {
		n := newNode(t, method)
		n.run(10)
		found := 0
		files, err := Files(n.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			data, err := n.sealer.ReadFile(f.Path, f.Name)
			if err != nil {
				t.Fatal(err)
			}
			_, _, public, private, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			secret := private[len(public):] // X-Wing's private key begins with the public one
			err = filepath.WalkDir(filepath.Dir(n.dir), func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				for i := 0; i+16 <= len(secret); i++ {
					if bytes.Contains(read(t, path), secret[i:i+16]) {
						found++
						break
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if want := map[seal.Method]int{seal.Systemd: 0, seal.Plain: 4}[method]; found != want {
			t.Errorf("%s: %d files have a secret in plain, want %d", method, found, want)
		}
	}
}

// An old key is overwritten, and then its tags go.
func TestOldKeysAreErased(t *testing.T) {
	n := newNode(t, seal.Plain)
	k := n.start()
	ensure(t, k, 10)
	for epoch := uint64(10); epoch <= 13; epoch++ {
		write(t, k.TagsPath(epoch), "tags")
		write(t, k.TagsPath(epoch)+".journal", "tags")
	}
	write(t, n.path("mix-10.key.damaged"), "secret")
	write(t, n.path("mix-9.tags"), "whose key is gone")
	write(t, n.path("mix-010.key"), "not ours")
	write(t, n.path("mix-x.key"), "not ours")
	held, err := os.Open(n.path("mix-10.key"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	ensure(t, k, 12)
	data := make([]byte, 4096)
	if size, err := held.Read(data); size < 1000 || err != nil || !bytes.Equal(data[:size], make([]byte, size)) {
		t.Errorf("the disk still has %d bytes of the key, %v", size, err)
	}
	for _, name := range []string{"mix-10.key", "mix-10.key.damaged", "mix-10.tags", "mix-10.tags.journal", "mix-9.tags"} {
		if exists(n.path(name)) {
			t.Errorf("%s is left", name)
		}
	}
	for _, name := range []string{"mix-11.key", "mix-11.tags", "mix-11.tags.journal", "mix-13.tags", "mix-010.key", "mix-x.key"} {
		if !exists(n.path(name)) {
			t.Errorf("%s is gone", name)
		}
	}
	if want := n.path("mix-11.tags"); k.TagsPath(11) != want {
		t.Errorf("tags in %s, want %s", k.TagsPath(11), want)
	}
}

// A key that cannot be erased keeps its tags, and keeps nothing else from being done.
func TestKeyThatCannotBeErased(t *testing.T) {
	n := newNode(t, seal.Plain)
	k := n.start()
	ensure(t, k, 10)
	stuck := n.path("mix-10.key.damaged")
	if err := os.MkdirAll(filepath.Join(stuck, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, k.TagsPath(10), "tags")
	write(t, k.TagsPath(11), "tags")
	if err := k.Ensure(13); err == nil || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), stuck) {
		t.Errorf("error %v", err)
	}
	checkEpochs(t, k, 12, 13, 14, 15, 16)
	if !exists(k.TagsPath(10)) || exists(k.TagsPath(11)) {
		t.Error("the wrong tags were removed")
	}
	if err := os.RemoveAll(stuck); err != nil {
		t.Fatal(err)
	}
	ensure(t, k, 13)
	if exists(k.TagsPath(10)) {
		t.Error("the tags are left")
	}
}

func TestClockJumps(t *testing.T) {
	n := newNode(t, seal.Plain)
	k := n.start()
	ensure(t, k, 50)
	k.Close()

	k = n.start() // off for fifty epochs
	ensure(t, k, 100)
	checkEpochs(t, k, 100, 101, 102, 103)
	ensure(t, k, 99) // a clock that wavers
	checkEpochs(t, k, 99, 100, 101, 102, 103)
	ahead := publics(k, 100, 101, 102, 103)

	// Fifty epochs back: those of 50 to 53 were published, perhaps, and are lost. They are not made again.
	for restart := range 2 {
		if err := k.Ensure(50); !errors.Is(err, ErrLost) {
			t.Fatal(err)
		} else if text := err.Error(); strings.Count(text, "mix key lost") != 4 || !strings.Contains(text, "mix-53.key is missing") {
			t.Errorf("error %v", err)
		}
		checkEpochs(t, k, 99, 100, 101, 102, 103)
		if restart == 0 {
			k.Close()
			k = n.start()
		}
	}
	if err := k.Ensure(53); !errors.Is(err, ErrLost) {
		t.Errorf("error %v", err)
	}
	checkEpochs(t, k, 54, 55, 56, 99, 100, 101, 102, 103)
	ensure(t, k, 55)
	checkEpochs(t, k, 54, 55, 56, 57, 58, 99, 100, 101, 102, 103)

	// When time comes to the keys that were made ahead, they are still good.
	ensure(t, k, 98)
	checkEpochs(t, k, 98, 99, 100, 101, 102, 103)
	if !slices.Equal(publics(k, 100, 101, 102, 103), ahead) {
		t.Error("a key changed")
	}
	if want := (ranges{{50, 58}, {98, 103}}); !slices.Equal(k.made, want) {
		t.Errorf("made are %d, want %d", k.made, want)
	}
}

func TestFirstAndLastEpoch(t *testing.T) {
	k := newNode(t, seal.Plain).start()
	ensure(t, k, 0)
	checkEpochs(t, k, 0, 1, 2, 3)
	ensure(t, k, 1)
	checkEpochs(t, k, 0, 1, 2, 3, 4)
	for _, now := range []uint64{math.MaxUint64, math.MaxUint64 - 2, maxEpoch, maxEpoch - 2} {
		if err := k.Ensure(now); err == nil {
			t.Errorf("epoch %d has keys", now)
		}
	}
	checkEpochs(t, k, 0, 1, 2, 3, 4)
	ensure(t, k, maxEpoch-3)
	checkEpochs(t, k, maxEpoch-3, maxEpoch-2, maxEpoch-1, maxEpoch)
}

// A damaged key is set aside, costs its epoch alone, and is not replaced.
func TestDamagedKey(t *testing.T) {
	for _, method := range []seal.Method{seal.Systemd, seal.Plain} {
		for name, damage := range map[string]func(t *testing.T, n *node, path string){
			"flipped at the start":    func(t *testing.T, n *node, path string) { flip(t, path, 3) },
			"flipped in the middle":   func(t *testing.T, n *node, path string) { flip(t, path, 700) },
			"flipped at the end":      func(t *testing.T, n *node, path string) { flip(t, path, -1) },
			"empty":                   func(t *testing.T, n *node, path string) { write(t, path, "") },
			"zeros":                   func(t *testing.T, n *node, path string) { write(t, path, strings.Repeat("\x00", 2500)) },
			"cut":                     func(t *testing.T, n *node, path string) { write(t, path, string(read(t, path)[:1000])) },
			"another epoch's":         func(t *testing.T, n *node, path string) { write(t, path, string(read(t, n.path("mix-13.key")))) },
			"another epoch's content": func(t *testing.T, n *node, path string) { reseal(t, n, path, n.path("mix-13.key")) },
			"no key":                  func(t *testing.T, n *node, path string) { sealAs(t, n, 12, encode(sphinx.DefaultScheme, 12, nil, nil)) },
		} {
			t.Run(string(method)+", "+name, func(t *testing.T) {
				n := newNode(t, method)
				k := n.start()
				ensure(t, k, 11)
				write(t, k.TagsPath(12), "tags")
				before := publics(k, 11, 13, 14)
				k.Close()
				path := n.path("mix-12.key")
				original := read(t, path)
				damage(t, n, path)
				damaged := read(t, path)

				for restart := range 2 {
					k = n.start()
					err := k.Ensure(11)
					if !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "only epoch 12") ||
						!strings.Contains(err.Error(), "renamed to mix-12.key.damaged") {
						t.Fatalf("start %d: %v", restart, err)
					}
					checkEpochs(t, k, 11, 13, 14)
					if !slices.Equal(publics(k, 11, 13, 14), before) {
						t.Error("another key changed")
					}
					if !bytes.Equal(read(t, path+".damaged"), damaged) || !exists(k.TagsPath(12)) {
						t.Error("what is left was not kept")
					}
					k.Close()
				}

				// A copy brings the key back,
				write(t, path, string(original))
				k = n.start()
				ensure(t, k, 11)
				checkEpochs(t, k, 11, 12, 13, 14)
				k.Close()

				// and without one all is well when the epoch is over.
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				k = n.start()
				if err := k.Ensure(13); !errors.Is(err, ErrLost) {
					t.Errorf("in the epoch after: %v", err)
				}
				ensure(t, k, 14)
				checkEpochs(t, k, 13, 14, 15, 16, 17)
				if exists(path+".damaged") || exists(k.TagsPath(12)) {
					t.Error("the damaged key is left")
				}
			})
		}
	}
}

func flip(t *testing.T, path string, at int) {
	data := read(t, path)
	data[(at+len(data))%len(data)] ^= 0x10
	write(t, path, string(data))
}

// sealAs writes a key file with any content.
func sealAs(t *testing.T, n *node, epoch uint64, content []byte) {
	if err := n.sealer.WriteFile(keyPath(n.dir, epoch), sealName(epoch), content); err != nil {
		t.Fatal(err)
	}
}

// reseal puts the content of one key file into another.
func reseal(t *testing.T, n *node, to, from string) {
	source, _ := parseName(filepath.Base(from))
	target, _ := parseName(filepath.Base(to))
	data, err := n.sealer.ReadFile(from, sealName(source))
	if err != nil {
		t.Fatal(err)
	}
	sealAs(t, n, target, data)
}

// A key file that somebody removed is as lost as a damaged one.
func TestMissingKey(t *testing.T) {
	n := newNode(t, seal.Systemd)
	n.run(11)
	for _, epoch := range []uint64{11, 12, 13, 14} {
		if err := os.Remove(keyPath(n.dir, epoch)); err != nil {
			t.Fatal(err)
		}
	}
	k := n.start()
	for _, now := range []uint64{11, 12, 13, 14} {
		if err := k.Ensure(now); !errors.Is(err, ErrLost) {
			t.Errorf("epoch %d: %v", now, err)
		}
		for epoch := now; epoch <= now+3; epoch++ {
			if (k.Public(epoch) != nil) != (epoch > 14) {
				t.Errorf("in epoch %d, that of epoch %d is %x", now, epoch, k.Public(epoch))
			}
		}
	}
	if err := k.Ensure(15); !errors.Is(err, ErrLost) || strings.Count(err.Error(), "mix key lost") != 1 {
		t.Errorf("in the epoch after: %v", err)
	}
	ensure(t, k, 16)
	checkEpochs(t, k, 15, 16, 17, 18, 19)
}

// What is wrong is not the file, so nothing is set aside.
func TestOpenRefuses(t *testing.T) {
	t.Run("plain keys where keys are sealed", func(t *testing.T) {
		plain, sealed := newNode(t, seal.Plain), newNode(t, seal.Systemd)
		plain.run(10)
		sealed.dir = plain.dir
		refuses(t, sealed, seal.ErrPlain, "not sealed")
	})
	t.Run("sealed keys where keys are plain", func(t *testing.T) {
		plain, sealed := newNode(t, seal.Plain), newNode(t, seal.Systemd)
		sealed.run(10)
		plain.dir = sealed.dir
		refuses(t, plain, seal.ErrSealed, "seal.toml")
	})
	t.Run("another scheme", func(t *testing.T) {
		n := newNode(t, seal.Systemd)
		n.run(10)
		n.geometry = geometry(t, "x25519")
		refuses(t, n, nil, `by "Xwing"`)
	})
	t.Run("wiped", func(t *testing.T) {
		n := newNode(t, seal.Systemd)
		n.run(10)
		n.sealer.Wipe()
		refuses(t, n, seal.ErrWiped, "locked")
	})
	t.Run("no folder", func(t *testing.T) {
		n := newNode(t, seal.Systemd)
		write(t, n.dir, "a file")
		if _, err := Open(n.dir, n.geometry, n.sealer, nil); err == nil {
			t.Error("opens a file")
		}
	})
}

func refuses(t *testing.T, n *node, want error, text string) {
	t.Helper()
	_, err := Open(n.dir, n.geometry, n.sealer, nil)
	if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v", err)
	}
	files, err := Files(n.dir)
	if err != nil || len(files) != 4 {
		t.Errorf("%d key files are left, %v", len(files), err)
	}
}

// A crash between any two steps leaves what the next start can go on from.
func TestCrash(t *testing.T) {
	n := newNode(t, seal.Plain)
	n.run(10)
	before := read(t, n.path(madeName))

	// While a key was written,
	write(t, n.path(".mix-14.key.12345"), "half a key")
	write(t, n.path(".epochs.toml.12345"), "half a note")
	write(t, n.path(".mine"), "not ours")
	k := n.start()
	if exists(n.path(".mix-14.key.12345")) || exists(n.path(".epochs.toml.12345")) || !exists(n.path(".mine")) {
		t.Error("the wrong temporary files are left")
	}
	ensure(t, k, 11)
	checkEpochs(t, k, 10, 11, 12, 13, 14)
	fourteen := publics(k, 14)
	k.Close()

	// between key and note,
	write(t, n.path(madeName), string(before))
	k = n.start()
	ensure(t, k, 11)
	if !slices.Equal(publics(k, 14), fourteen) {
		t.Error("a key that was not noted was replaced")
	}
	k.Close()
	if made, err := parseMade(read(t, n.path(madeName))); err != nil || !slices.Equal(made, ranges{{10, 14}}) {
		t.Errorf("made are %d, %v", made, err)
	}

	// between a key's removal and its tags',
	write(t, n.path("mix-10.tags"), "tags")
	if err := os.Remove(n.path("mix-10.key")); err != nil {
		t.Fatal(err)
	}
	k = n.start()
	ensure(t, k, 12)
	checkEpochs(t, k, 11, 12, 13, 14, 15)
	if exists(n.path("mix-10.tags")) {
		t.Error("tags are left")
	}
	k.Close()

	// after an old key was overwritten, before it was removed.
	write(t, n.path("mix-11.key"), strings.Repeat("\x00", 2500))
	k = n.start()
	ensure(t, k, 13)
	checkEpochs(t, k, 12, 13, 14, 15, 16)
	if exists(n.path("mix-11.key.damaged")) {
		t.Error("an old key is left")
	}
}

// No key can be had before it is noted, and none after its file could not be written.
func TestDiskFails(t *testing.T) {
	n := newNode(t, seal.Plain)
	k := n.start()
	ensure(t, k, 10)
	note := read(t, n.path(madeName))
	if err := os.Remove(n.path(madeName)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(n.path(madeName+"/full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Ensure(12); err == nil || errors.Is(err, ErrLost) {
		t.Errorf("the note cannot be written: %v", err)
	}
	if k.Public(14) != nil || k.Private(14) != nil || k.Public(13) == nil || k.Public(10) != nil {
		t.Error("a key can be had that is not noted, or the rest was not done")
	}
	if err := os.RemoveAll(n.path(madeName)); err != nil {
		t.Fatal(err)
	}
	write(t, n.path(madeName), string(note))
	ensure(t, k, 12)
	checkEpochs(t, k, 11, 12, 13, 14, 15)

	if err := os.MkdirAll(n.path("mix-17.key/full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := k.Ensure(15); err == nil || errors.Is(err, ErrLost) {
		t.Errorf("a key cannot be written: %v", err)
	}
	if k.Public(16) == nil || k.Public(17) != nil || k.Public(18) != nil {
		t.Error("the wrong keys can be had")
	}
	if err := os.RemoveAll(n.path("mix-17.key")); err != nil {
		t.Fatal(err)
	}
	ensure(t, k, 15)
	checkEpochs(t, k, 14, 15, 16, 17, 18)

	n.sealer.Wipe()
	if err := k.Ensure(16); !errors.Is(err, seal.ErrWiped) {
		t.Errorf("the sealer is wiped: %v", err)
	}
	if k.Public(18) == nil || k.Public(19) != nil {
		t.Error("the wrong keys can be had")
	}
}

// What is prepared is there before the key, and a key that cannot be prepared is not made.
func TestPrepare(t *testing.T) {
	n := newNode(t, seal.Plain)
	var k *Keys
	var prepared []uint64
	fails := errors.New("no")
	k, err := Open(n.dir, n.geometry, n.sealer, func(epoch uint64) error {
		if epoch == 12 && fails != nil {
			return fails
		}
		if exists(keyPath(n.dir, epoch)) || k.Public(epoch) != nil {
			t.Errorf("the key of epoch %d is there already", epoch)
		}
		prepared = append(prepared, epoch)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if err := k.Ensure(10); !errors.Is(err, fails) || errors.Is(err, ErrLost) {
		t.Errorf("error %v", err)
	}
	checkEpochs(t, k, 10, 11)
	fails = nil
	ensure(t, k, 10)
	ensure(t, k, 11)
	if want := []uint64{10, 11, 12, 13, 14}; !slices.Equal(prepared, want) {
		t.Errorf("prepared are %d, want %d", prepared, want)
	}
}

func TestDamagedNote(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "zeros": "\x00\x00", "cut": "version = 1\nmade = [[10,", "out of order": "version = 1\nmade = [[20, 21], [10, 13]]\n",
		"a later version": "version = 2\n",
	} {
		n := newNode(t, seal.Plain)
		n.run(10)
		write(t, n.path(madeName), text)
		k := n.start()
		if err := k.Ensure(10); err == nil || errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "epochs.toml.damaged") {
			t.Errorf("%s: %v", name, err)
		}
		ensure(t, k, 10)
		checkEpochs(t, k, 10, 11, 12, 13)
		if got := string(read(t, n.path("epochs.toml.damaged"))); got != text {
			t.Errorf("%s: set aside is %q", name, got)
		}
		if want := (ranges{{10, 13}}); !slices.Equal(k.made, want) {
			t.Errorf("%s: made are %d", name, k.made)
		}
	}
}

// TestMain lets the test's own program be another node's process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("MIXKEYS_TEST_DIR"); dir != "" {
		s, err := seal.Open(seal.Plain, filepath.Dir(dir), nil)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		g, err := sphinx.NewGeometry(sphinx.DefaultScheme, 3, 100)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if _, err = Open(dir, g, s, nil); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("open")
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestTwoProcesses(t *testing.T) {
	n := newNode(t, seal.Plain)
	other := func() string {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "MIXKEYS_TEST_DIR="+n.dir)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	k := n.start()
	ensure(t, k, 10)
	if out := other(); !strings.Contains(out, ErrRunning.Error()) {
		t.Errorf("the other process says %q", out)
	}
	if _, err := Open(n.dir, n.geometry, n.sealer, nil); !errors.Is(err, ErrRunning) {
		t.Errorf("in the same process: %v", err)
	}
	checkEpochs(t, k, 10, 11, 12, 13)
	k.Close()
	if out := other(); out != "open\n" {
		t.Errorf("the other process says %q", out)
	}
}

func TestClose(t *testing.T) {
	k := newNode(t, seal.Plain).start()
	ensure(t, k, 10)
	for range 2 {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	}
	if k.Public(10) != nil || k.Private(10) != nil {
		t.Error("there are keys after closing")
	}
	if err := k.Ensure(11); err == nil {
		t.Error("keys are made after closing")
	}
}

// Keys are sealed and put into plain again with everything else that a member has.
func TestReseal(t *testing.T) {
	n := newNode(t, seal.Plain)
	k := n.start()
	ensure(t, k, 10)
	before := publics(k, 10, 11, 12, 13)
	k.Close()
	creds := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	write(t, filepath.Join(creds, "sourdine-seal"), strings.Repeat("c", 32))
	for _, method := range []seal.Method{seal.Systemd, seal.Plain} {
		files, err := Files(n.dir)
		if err != nil {
			t.Fatal(err)
		}
		if n.sealer, err = n.sealer.Reseal(method, nil, files); err != nil {
			t.Fatal(err)
		}
		k := n.start()
		ensure(t, k, 10)
		if !slices.Equal(publics(k, 10, 11, 12, 13), before) {
			t.Errorf("%s: a key changed", method)
		}
		checkEpochs(t, k, 10, 11, 12, 13)
		k.Close()
	}
	n.sealer.Wipe()
	if files, err := Files(n.path("no")); len(files) != 0 || err != nil {
		t.Errorf("%v, %v", files, err)
	}
	if _, err := Files(n.path(lockName)); err == nil {
		t.Error("a file has files")
	}
}

// Packets are opened while keys come and go.
func TestConcurrentUse(t *testing.T) {
	n := newNode(t, seal.Plain)
	n.geometry = geometry(t, "x25519")
	k := n.start()
	ensure(t, k, 10)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				for epoch := uint64(9); epoch < 25; epoch++ {
					if public, private := k.Public(epoch), k.Private(epoch); len(public) != 0 && len(public) != 32 || private == nil && public == nil {
						continue
					}
				}
			}
		})
	}
	for _, now := range []uint64{10, 11, 12, 13, 14, 15} {
		ensure(t, k, now)
	}
	checkEpochs(t, k, 14, 15, 16, 17, 18)
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	close(stop)
	readers.Wait()
}
