package mixkeys

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"codeberg.org/sourdine/sourdine/internal/seal"
)

// A key file, before it is sealed, is
//
//	magic
//	epoch, 8 bytes, big-endian as all numbers
//	the scheme's name, as sphinx.Schemes has it, after its length in 1 byte
//	the public key, after its length in 4 bytes
//	the private key, after its length in 4 bytes
//	the SHA-256 hash of all before
//
// The hash tells a damaged file where nothing is sealed; the epoch, there, one that was put in another's
// place.
const magic = "sourdine mix key 1\n"

func encode(scheme string, epoch uint64, public, private []byte) []byte {
	// Grown once: a second piece of memory would be a copy that nobody wipes.
	b := make([]byte, 0, len(magic)+8+1+len(scheme)+4+len(public)+4+len(private)+sha256.Size)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, epoch)
	b = append(b, byte(len(scheme)))
	b = append(b, scheme...)
	for _, part := range [][]byte{public, private} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// decode is the inverse of encode, for bytes that anybody may have written. What it returns points into
// b.
func decode(b []byte) (scheme string, epoch uint64, public, private []byte, err error) {
	fail := func(what string) (string, uint64, []byte, []byte, error) {
		return "", 0, nil, nil, fmt.Errorf("%s: %w", what, seal.ErrDamaged)
	}
	if len(b) < sha256.Size {
		return fail("too short")
	}
	b, hash := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sum := sha256.Sum256(b); !bytes.Equal(sum[:], hash) {
		return fail("wrong checksum")
	}
	// From here on it is what some program wrote.
	rest, ok := bytes.CutPrefix(b, []byte(magic))
	if !ok || len(rest) < 8 {
		return fail("not a mix key of this version of the program")
	}
	epoch, rest = binary.BigEndian.Uint64(rest), rest[8:]
	var parts [3][]byte
	for i, size := range []int{1, 4, 4} {
		if len(rest) < size {
			return fail("too short")
		}
		length := uint64(0)
		for _, b := range rest[:size] {
			length = length<<8 | uint64(b)
		}
		rest = rest[size:]
		if uint64(len(rest)) < length {
			return fail("too short")
		}
		parts[i], rest = rest[:length], rest[length:]
	}
	if len(rest) > 0 {
		return fail("too long")
	}
	return string(parts[0]), epoch, parts[1], parts[2], nil
}

// parse reads the key of an epoch from its file's content, and keeps nothing of that.
func (k *Keys) parse(data []byte, epoch uint64) (*key, error) {
	scheme, of, public, private, err := decode(data)
	if err != nil {
		return nil, err
	}
	if of != epoch {
		return nil, fmt.Errorf("it is the key of epoch %d: %w", of, seal.ErrDamaged)
	}
	if scheme != k.geometry.Scheme {
		return nil, fmt.Errorf("the mix keys in %s are for packets by %q, and the network's are by %q: move that folder away if the network has changed", k.dir, scheme, k.geometry.Scheme)
	}
	if _, err := k.geometry.PublicKey(public); err != nil {
		return nil, fmt.Errorf("%w: %w", err, seal.ErrDamaged)
	}
	parsed, err := k.geometry.PrivateKey(private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, seal.ErrDamaged)
	}
	return &key{bytes.Clone(public), parsed}, nil
}
