package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"slices"
)

// sealing is how strings or streams are encrypted.
type sealing int

const (
	sealedNot sealing = iota
	sealedRC4
	sealedAES // with a key for each object
	sealedAES256
)

// crypt undoes the standard security handler (ISO 32000-1 section 7.6.3, ISO 32000-2
// section 7.6.4) for documents that open without a password: those whose owner's password
// only forbids changes.
type crypt struct {
	key              []byte
	strings, streams sealing
}

// padding is what stands for an empty password (ISO 32000-1 algorithm 2).
const padding = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"

// unlock finds the key with the empty password, or refuses the document.
func (f *file) unlock() {
	d := f.dict(f.trailer["Encrypt"])
	version, revision := f.integer(d["V"], 0), f.integer(d["R"], 0)
	owner, _ := f.resolve(d["O"]).(text)
	user, _ := f.resolve(d["U"]).(text)
	if f.name(d["Filter"]) != "Standard" {
		refuse(protected)
	}
	c := &crypt{strings: sealedRC4, streams: sealedRC4}
	if version == 4 || version == 5 {
		method := func(filter any) sealing {
			n := f.name(filter)
			switch f.name(f.dict(f.dict(d["CF"])[n])["CFM"]) {
			case "V2":
				return sealedRC4
			case "AESV2":
				return sealedAES
			case "AESV3":
				return sealedAES256
			}
			if n != "Identity" && n != "" {
				refuse(protected)
			}
			return sealedNot
		}
		c.strings, c.streams = method(d["StrF"]), method(d["StmF"])
	}
	switch {
	case version >= 1 && version <= 4 && revision >= 2 && revision <= 4 && len(owner) >= 32 && len(user) >= 32:
		size := 5
		if revision >= 3 {
			if size = f.integer(d["Length"], 40) / 8; version == 4 {
				size = 16
			}
		}
		if size < 5 || size > 16 {
			refuse(protected)
		}
		var id text
		if ids := f.array(f.trailer["ID"]); len(ids) > 0 {
			id, _ = f.resolve(ids[0]).(text)
		}
		plain, ok := f.resolve(d["EncryptMetadata"]).(bool)
		c.key = fileKey(owner[:32], id, uint32(f.integer(d["P"], 0)), revision, size, revision == 4 && ok && !plain)
		if !bytes.HasPrefix([]byte(user), userCheck(c.key, id, revision)) {
			refuse(protected)
		}
	case version == 5 && (revision == 5 || revision == 6) && len(user) >= 48:
		u := []byte(user)
		sealed, _ := f.resolve(d["UE"]).(text)
		hash := func(salt []byte) []byte {
			if revision == 5 {
				h := sha256.Sum256(salt)
				return h[:]
			}
			return hardenedHash(salt)
		}
		if len(sealed) != 32 || !bytes.Equal(hash(u[32:40]), u[:32]) {
			refuse(protected)
		}
		block, err := aes.NewCipher(hash(u[40:48]))
		if err != nil {
			refuse(protected)
		}
		c.key = make([]byte, 32)
		cipher.NewCBCDecrypter(block, make([]byte, 16)).CryptBlocks(c.key, []byte(sealed))
	default:
		refuse(protected)
	}
	f.crypt, f.objects, f.streams = c, map[int]any{}, map[int]*objectStream{}
}

// fileKey is ISO 32000-1 algorithm 2 for the empty password.
func fileKey(owner, id text, permissions uint32, revision, size int, plainMetadata bool) []byte {
	h := md5.New()
	h.Write([]byte(padding))
	h.Write([]byte(owner))
	h.Write(binary.LittleEndian.AppendUint32(nil, permissions))
	h.Write([]byte(id))
	if plainMetadata {
		h.Write([]byte{0xff, 0xff, 0xff, 0xff})
	}
	key := h.Sum(nil)
	if revision >= 3 {
		for range 50 {
			sum := md5.Sum(key[:size])
			key = sum[:]
		}
	}
	return key[:size]
}

// userCheck is how U begins (ISO 32000-1 algorithms 4 and 5).
func userCheck(key []byte, id text, revision int) []byte {
	if revision == 2 {
		return rc4ed(key, []byte(padding))
	}
	sum := md5.Sum([]byte(padding + string(id)))
	out := sum[:]
	for i := range 20 {
		turned := slices.Clone(key)
		for j := range turned {
			turned[j] ^= byte(i)
		}
		out = rc4ed(turned, out)
	}
	return out
}

func rc4ed(key, data []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		refuse(protected)
	}
	out := make([]byte, len(data))
	c.XORKeyStream(out, data)
	return out
}

// hardenedHash is ISO 32000-2 algorithm 2.B for the empty password.
func hardenedHash(salt []byte) []byte {
	first := sha256.Sum256(salt)
	k := first[:]
	for round := 0; ; round++ {
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			refuse(protected)
		}
		e := bytes.Repeat(k, 64)
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(e, e)
		rest := 0
		for _, c := range e[:16] {
			rest += int(c)
		}
		switch rest % 3 {
		case 0:
			h := sha256.Sum256(e)
			k = h[:]
		case 1:
			h := sha512.Sum384(e)
			k = h[:]
		default:
			h := sha512.Sum512(e)
			k = h[:]
		}
		if round >= 63 && int(e[len(e)-1]) <= round-31 {
			return k[:32]
		}
	}
}

// objectKey is ISO 32000-1 algorithm 1.
func (c *crypt) objectKey(num, gen int, how sealing) []byte {
	if how == sealedAES256 {
		return c.key
	}
	b := append(slices.Clone(c.key), byte(num), byte(num>>8), byte(num>>16), byte(gen), byte(gen>>8))
	if how == sealedAES {
		b = append(b, "sAlT"...)
	}
	sum := md5.Sum(b)
	return sum[:min(len(c.key)+5, 16)]
}

func (c *crypt) open(data []byte, num, gen int, how sealing) []byte {
	switch how {
	case sealedRC4:
		return rc4ed(c.objectKey(num, gen, how), data)
	case sealedAES, sealedAES256:
		block, err := aes.NewCipher(c.objectKey(num, gen, how))
		if err != nil || len(data) < 32 {
			return nil
		}
		out := slices.Clone(data[16 : len(data)-len(data)%16])
		cipher.NewCBCDecrypter(block, data[:16]).CryptBlocks(out, out)
		if n := int(out[len(out)-1]); n >= 1 && n <= 16 {
			out = out[:len(out)-n]
		}
		return out
	}
	return data
}

// openStrings decrypts the strings of an object.
func (f *file) openStrings(o any, num, gen int) any {
	switch o := o.(type) {
	case text:
		f.left.spend(costSealed + 4*costByte*len(o))
		return text(f.crypt.open([]byte(o), num, gen, f.crypt.strings))
	case array:
		for i := range o {
			o[i] = f.openStrings(o[i], num, gen)
		}
	case dict:
		for k, v := range o {
			o[k] = f.openStrings(v, num, gen)
		}
	}
	return o
}
