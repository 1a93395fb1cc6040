package keyring

import (
	"bytes"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"

	"codeberg.org/sourdine/sourdine/internal/config"
)

const (
	fileVersion   = 1
	maxFile       = 64 << 10 // bytes; eight slots take about 6,000
	maxSlots      = 8
	maxSlotName   = 64 // bytes
	seedLength    = 32 // of an X-Wing private key (draft-connolly-cfrg-xwing-kem section 5.2)
	damagedAdvice = "the key file is damaged: restore it from a copy"
)

// file is the JSON form of a Ring; bytes are in base64.
type file struct {
	Version int    `json:"version"`
	Public  []byte `json:"public"` // 1,216 bytes of X-Wing public key
	Slots   []slot `json:"slots"`
}

// Create makes a new key pair and writes its key file at path, readable by its owner only, with one slot that
// the password opens under this name. It fails if the path exists: Create never writes over a key file.
func Create(path, name string, password []byte) (*Ring, error) {
	return CreateWithCost(path, name, password, DefaultCost)
}

// CreateWithCost is Create with another cost of guessing the password than DefaultCost.
func CreateWithCost(path, name string, password []byte, cost Cost) (*Ring, error) {
	ring, err := generate(name, password, cost)
	if err != nil {
		return nil, fmt.Errorf("creating the key file: %w", err)
	}
	if err := writeNew(path, ring.marshal()); err != nil {
		return nil, fmt.Errorf("creating the key file: %w", err)
	}
	return ring, nil
}

// Open reads the key file at path.
func Open(path string) (*Ring, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the key file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	ring, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	return ring, nil
}

// Save writes the ring over the key file at path, which it was read from: all of it or nothing, and on the disk when
// Save returns.
func (r *Ring) Save(path string) error {
	r.unlocking.Lock()
	defer r.unlocking.Unlock()
	if err := config.WriteFile(path, r.marshal(), 0o600); err != nil {
		return fmt.Errorf("writing the key file: %w", err)
	}
	return nil
}

func (r *Ring) marshal() []byte {
	data, err := json.MarshalIndent(file{Version: fileVersion, Public: r.public.Bytes(), Slots: r.slots}, "", "\t")
	if err != nil {
		panic(err) // a struct of strings, bytes and numbers always marshals
	}
	return append(data, '\n')
}

// parse reads a key file that anybody may have written. What it returns costs bounded time and memory to unlock.
func parse(data []byte) (*Ring, error) {
	if len(data) > maxFile {
		return nil, errors.New("too large; " + damagedAdvice)
	}
	// The version decides what the rest may look like, so it is read first.
	var version struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &version); err != nil {
		return nil, fmt.Errorf("not JSON (%w); %s", err, damagedAdvice)
	}
	if version.Version != fileVersion {
		return nil, fmt.Errorf("version %d, and this program reads version %d only: use the program that wrote it",
			version.Version, fileVersion)
	}
	var f file
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, fmt.Errorf("%w; %s", err, damagedAdvice)
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(f.Public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w; %s", err, damagedAdvice)
	}
	if len(f.Slots) < 1 || len(f.Slots) > maxSlots {
		return nil, fmt.Errorf("%d slots, want 1 to %d; %s", len(f.Slots), maxSlots, damagedAdvice)
	}
	for i, s := range f.Slots {
		switch {
		case len(s.Name) > maxSlotName:
			return nil, fmt.Errorf("slot %d: name too long; %s", i, damagedAdvice)
		case len(s.Salt) != saltLength:
			return nil, fmt.Errorf("slot %d: salt of %d bytes; %s", i, len(s.Salt), damagedAdvice)
		case !s.Cost.valid():
			return nil, fmt.Errorf("slot %d: cost out of bounds; %s", i, damagedAdvice)
		case len(s.Sealed) != seedLength+chacha20poly1305.Overhead:
			return nil, fmt.Errorf("slot %d: sealed key of %d bytes; %s", i, len(s.Sealed), damagedAdvice)
		}
	}
	return &Ring{public: public, slots: f.Slots}, nil
}

// writeNew writes a file that its owner alone can read, whole or not at all, and on the disk when it returns. A
// hard link gives it its name, because a link, unlike a rename, never replaces what is there.
func writeNew(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".keys-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return errors.New("a key file is there already, and it is never written over: move it away first")
	} else if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
