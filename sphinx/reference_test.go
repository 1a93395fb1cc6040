package sphinx_test

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"testing"

	"gitlab.com/yawning/aez.git"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/curve25519"

	"codeberg.org/sourdine/sourdine/internal/peer"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// What docs/sphinx.md says, once more, for reading: with public primitives and
// nothing of package sphinx but its sizes, the sender's random bytes an argument.
// The vectors are checked with it, and the fuzzer's packets are made by it. The
// names of variables are the page's.

// randomLength is how many random bytes a sender needs for each hop, and for the
// path as a whole.
func randomLength(scheme string) (hop, path int) {
	return map[string]int{"x25519-kem": 32, "MLKEM768": 32, "Xwing": 64}[scheme], map[string]int{"x25519": 32}[scheme]
}

// elements makes each hop's element and secret (Key exchanges). random is the
// path's for a NIKE, and otherwise each hop's.
func elements(t testing.TB, scheme string, public [][]byte, random [][]byte) (e, s [][]byte) {
	t.Helper()
	x25519 := func(scalar, u []byte) []byte {
		result, err := curve25519.X25519(scalar, u)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	encapsulate := func(public, random []byte) (secret, ciphertext []byte) {
		key, err := mlkem.NewEncapsulationKey768(public)
		if err != nil {
			t.Fatal(err)
		}
		if secret, ciphertext, err = mlkemtest.Encapsulate768(key, random); err != nil {
			t.Fatal(err)
		}
		return secret, ciphertext
	}
	var factors [][]byte
	for i, y := range public {
		var element, secret []byte
		switch scheme {
		case "x25519":
			element, secret = x25519(random[0], curve25519.Basepoint), x25519(random[0], y)
			for _, b := range factors {
				element, secret = x25519(b, element), x25519(b, secret)
			}
			c, err := chacha20.NewUnauthenticatedCipher(derive(t, secret)[128:], make([]byte, chacha20.NonceSize))
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 32)
			c.XORKeyStream(b, b)
			factors = append(factors, b)
		case "x25519-kem":
			element = x25519(random[i], curve25519.Basepoint)
			h, err := blake2b.NewXOF(32, x25519(random[i], y))
			if err != nil {
				t.Fatal(err)
			}
			h.Write(y)
			h.Write(element)
			secret = make([]byte, 32)
			if _, err := h.Read(secret); err != nil {
				t.Fatal(err)
			}
		case "MLKEM768":
			secret, element = encapsulate(y, random[i])
		case "Xwing":
			m, c := encapsulate(y[:1184], random[i][:32])
			public := x25519(random[i][32:], curve25519.Basepoint)
			element = append(c, public...)
			sum := sha3.Sum256(bytes.Join([][]byte{m, x25519(random[i][32:], y[1184:]), public, y[1184:], []byte(`\.//^\`)}, nil))
			secret = sum[:]
		default:
			t.Fatalf("scheme %s has no reference", scheme)
		}
		e, s = append(e, element), append(s, secret)
	}
	return e, s
}

// derive is K of Keys of a hop, with what a NIKE has at its end.
func derive(t testing.TB, s []byte) []byte {
	t.Helper()
	k, err := hkdf.Expand(sha256.New, s, "katzenpost-kdf-v0-hkdf-sha256", 160)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The ciphers and the MAC of K.
func stream(t testing.TB, k []byte, n int) []byte {
	t.Helper()
	block, err := aes.NewCipher(k[32:64])
	if err != nil {
		t.Fatal(err)
	}
	s := make([]byte, n)
	cipher.NewCTR(block, k[64:80]).XORKeyStream(s, s)
	return s
}

func mac(k []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, k[:32])
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

func encrypt(key, nonce, message []byte) []byte {
	return aez.Encrypt(key, nonce, nil, 0, message, nil)
}

// commands are a hop's, as a sender writes them.
func commands(h, next *peer.Hop, nextMAC []byte) []byte {
	var b []byte
	if h.Reply == nil {
		b = binary.BigEndian.AppendUint32(append(b, 0x80), h.Delay)
	}
	if h.Recipient != nil {
		b = append(append(b, 0x02), h.Recipient[:]...)
	}
	if h.Reply != nil {
		b = append(append(b, 0x03), h.Reply[:]...)
	}
	if next != nil {
		b = append(append(append(b, 0x01), next.ID[:]...), nextMAC...)
	}
	return append(b, make([]byte, 82-len(b))...)
}

// header is steps 1 to 4 of Wrapping.
func header(t testing.TB, g *sphinx.Geometry, path []peer.Hop, random [][]byte, padding []byte) (header []byte, s, keys [][]byte) {
	t.Helper()
	var public [][]byte
	for _, h := range path {
		public = append(public, h.Public)
	}
	e, s := elements(t, g.Scheme, public, random)
	H, L := g.HopInfoLength, g.RoutingInfoLength
	filler := [][]byte{nil}
	var streams [][]byte
	for i := range path {
		keys = append(keys, derive(t, s[i]))
		streams = append(streams, stream(t, keys[i], L+H))
		phi := append(bytes.Clone(filler[i]), make([]byte, H)...)
		subtle.XORBytes(phi, phi, streams[i][L+H-len(phi):])
		filler = append(filler, phi)
	}
	R, nextMAC := padding, []byte(nil)
	for i := len(path) - 1; i >= 0; i-- {
		share := make([]byte, H)
		if i == len(path)-1 {
			copy(share, commands(&path[i], nil, nil))
		} else {
			copy(share, commands(&path[i], &path[i+1], nextMAC))
			copy(share[82:], e[i+1]) // nothing in a NIKE's
		}
		R = append(share, R...)
		subtle.XORBytes(R, R, streams[i])
		nextMAC = mac(keys[i], []byte{0, 0}, e[i], R, filler[i])
	}
	return bytes.Join([][]byte{{0, 0}, e[0], R, nextMAC}, nil), s, keys
}

// wrap is Wrapping.
func wrap(t testing.TB, g *sphinx.Geometry, path []peer.Hop, random [][]byte, padding, payload []byte) (packet []byte, s, keys [][]byte) {
	t.Helper()
	head, s, keys := header(t, g, path, random, padding)
	body := append(make([]byte, 32), payload...)
	for i := len(path) - 1; i >= 0; i-- {
		body = encrypt(keys[i][80:128], keys[i][64:80], body)
	}
	return append(head, body...), s, keys
}

// forge makes a packet that passes the MAC of a hop and tells it any bytes: what
// only a sender who breaks the rules makes.
func forge(t testing.TB, g *sphinx.Geometry, public, share, payload []byte) []byte {
	t.Helper()
	e, s := elements(t, g.Scheme, [][]byte{public}, [][]byte{bytes.Repeat([]byte{42}, cmp.Or(randomLength(g.Scheme)))})
	k := derive(t, s[0])
	routing := stream(t, k, g.RoutingInfoLength)
	subtle.XORBytes(routing, routing[:g.HopInfoLength], share)
	head := bytes.Join([][]byte{{0, 0}, e[0], routing}, nil)
	body := make([]byte, g.PacketLength-g.HeaderLength)
	copy(body, payload)
	return bytes.Join([][]byte{head, mac(k, head), encrypt(k[80:128], k[64:80], body)}, nil)
}

// The reference makes packets that both implementations open.
func TestReference(t *testing.T) {
	for _, scheme := range sphinx.Schemes() {
		for hops := 1; hops <= 3; hops++ {
			t.Run(fmt.Sprintf("%s/%d hops", scheme, hops), func(t *testing.T) {
				g, err := sphinx.NewGeometry(scheme, 3, 50)
				if err != nil {
					t.Fatal(err)
				}
				b := newBoth(t, g, hops, false)
				perHop, perPath := randomLength(scheme)
				random := make([][]byte, hops)
				for i := range random {
					random[i] = bytes.Repeat([]byte{byte(i)}, cmp.Or(perHop, perPath))
				}
				payload := bytes.Repeat([]byte("payload "), g.PayloadLength)[:g.PayloadLength]
				packet, _, _ := wrap(t, g, b.hops, random, make([]byte, (3-hops)*g.HopInfoLength), payload)
				if !bytes.Equal(b.carry(t, packet), payload) {
					t.Error("another payload arrives")
				}
			})
		}
	}
}
