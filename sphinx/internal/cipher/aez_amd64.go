//go:build amd64 && !purego

package cipher

import "math/bits"

// crypt works on the message in place and allocates nothing.
func crypt(key *[BlockKeySize]byte, nonce *[NonceSize]byte, message []byte, direction int) {
	var c tweaks
	c.init(key)
	delta := c.hash(nonce)
	c.core(&delta, message, direction)
	c = tweaks{}
}

// double multiplies by x in the field of 2^128 elements (Section 2 of the
// specification: the first byte is the highest).
func (b block) double() block {
	high, low := bits.ReverseBytes64(b[0]), bits.ReverseBytes64(b[1])
	carry := high >> 63
	high, low = high<<1|low>>63, low<<1^(0x87&-carry)
	return block{bits.ReverseBytes64(high), bits.ReverseBytes64(low)}
}

// tweaks are a key's tweaks. In the specification's words, AES4 and AES10 are
// E(j,i) with the offset j·J ⊕ i'·I ⊕ l·L before their rounds.
type tweaks struct {
	round  [3]block // I, J, L: the keys of the rounds
	i2     block    // 2I
	l      [8]block // 0L to 7L
	first  [8]block // J ⊕ kL for k = 1, …, 7, 0: offsets of E(1,·) less the part of I
	second [8]block // 2J ⊕ kL in the same order: of E(2,·)
	j3, j4 block    // 3J, 4J
}

func (c *tweaks) init(key *[BlockKeySize]byte) {
	i, j, l := load(key[:16]), load(key[16:32]), load(key[32:])
	c.round = [3]block{i, j, l}
	c.i2 = i.double()
	j2 := j.double()
	c.j3, c.j4 = j2.xor(j), j2.double()
	c.l[1] = l
	for k := 2; k < 8; k++ {
		c.l[k] = c.l[k/2].double()
		if k&1 == 1 {
			c.l[k] = c.l[k].xor(l)
		}
	}
	for k := range 8 {
		c.first[k] = j.xor(c.l[(k+1)%8])
		c.second[k] = j2.xor(c.l[(k+1)%8])
	}
}

// e0 is E(0,k) for k of 1 to 7: one block, four rounds.
func (c *tweaks) e0(k int, b block) block {
	b = b.xor(c.i2).xor(c.l[k])
	aes4(&b, &c.round)
	return b
}

// e00 is E(0,0).
func (c *tweaks) e00(b block) block {
	b = b.xor(c.round[0])
	aes4(&b, &c.round)
	return b
}

// e1 is E(-1,k): one block, ten rounds.
func (c *tweaks) e1(k int, b block) block {
	b = b.xor(c.l[k])
	aes10(&b, &c.round)
	return b
}

// hash is AEZ-hash of the length of the authenticator, 0, and the nonce.
func (c *tweaks) hash(nonce *[NonceSize]byte) block {
	length, n := c.j3.xor(c.i2).xor(c.l[1]), load(nonce[:]).xor(c.j4).xor(c.i2).xor(c.l[1])
	aes4(&length, &c.round)
	aes4(&n, &c.round)
	return length.xor(n)
}

// group is how many pairs of blocks share a multiple of I, and how many bytes
// they have.
const (
	pair  = 32
	group = 8 * pair
)

// core is AEZ-core (Figure 3 of the specification): two passes over all pairs of
// blocks but the last, which is tied to what both passes sum up.
func (c *tweaks) core(delta *block, m []byte, direction int) {
	fragment := len(m) % pair
	pairs, rest := m[:len(m)-fragment-pair], m[len(m)-fragment-pair:]
	uv, last := rest[:fragment], rest[fragment:] // an incomplete pair; the last one

	// First pass, and what the incomplete pair adds to it.
	x := c.firstPass(pairs)
	x = x.xor(c.sum(uv))

	// S ties the last pair to all others.
	a, b := load(last), load(last[16:])
	a = a.xor(x).xor(*delta).xor(c.e0(1+direction, b))
	b = b.xor(c.e1(1+direction, a))
	s := a.xor(b)

	// Second pass, and the incomplete pair.
	y := c.secondPass(pairs, s)
	c.mask(uv, s)
	y = y.xor(c.sum(uv))

	a = a.xor(c.e1(2-direction, b))
	b = b.xor(c.e0(2-direction, a)).xor(*delta).xor(y)
	b.store(last)
	a.store(last[16:])
}

// firstPass leaves the pairs half-way, and returns their sum X.
func (c *tweaks) firstPass(pairs []byte) (x block) {
	i := c.i2
	for ; len(pairs) >= group; pairs = pairs[group:] {
		firstGroup((*[group]byte)(pairs), c, &i, &x)
		i = i.double()
	}
	for k := 0; len(pairs) > 0; k, pairs = k+1, pairs[pair:] {
		w := load(pairs[16:]).xor(c.first[k]).xor(i)
		aes4(&w, &c.round)
		w = w.xor(load(pairs))
		z := load(pairs[16:]).xor(c.e00(w))
		w.store(pairs)
		z.store(pairs[16:])
		x = x.xor(z)
	}
	return x
}

// secondPass ends what firstPass began, and returns the sum Y.
func (c *tweaks) secondPass(pairs []byte, s block) (y block) {
	i := c.i2
	for ; len(pairs) >= group; pairs = pairs[group:] {
		secondGroup((*[group]byte)(pairs), c, &i, &s, &y)
		i = i.double()
	}
	for k := 0; len(pairs) > 0; k, pairs = k+1, pairs[pair:] {
		t := s.xor(c.second[k]).xor(i)
		aes4(&t, &c.round)
		w, z := load(pairs).xor(t), load(pairs[16:]).xor(t)
		y = y.xor(w)
		w = w.xor(c.e00(z))
		t = w.xor(c.first[k]).xor(i)
		aes4(&t, &c.round)
		z = z.xor(t)
		z.store(pairs)
		w.store(pairs[16:])
	}
	return y
}

// sum is what an incomplete pair, of 0 to 31 bytes, adds to X and to Y.
func (c *tweaks) sum(uv []byte) (sum block) {
	k := 4
	if len(uv) >= 16 {
		sum = c.e0(k, load(uv))
		uv, k = uv[16:], k+1
	} else if len(uv) == 0 {
		return sum
	}
	return sum.xor(c.e0(k, padded(uv)))
}

// padded fills up a block with a bit and zeros.
func padded(b []byte) block {
	var full [16]byte
	full[copy(full[:], b)] = 0x80
	return load(full[:])
}

// mask encrypts an incomplete pair as a stream.
func (c *tweaks) mask(uv []byte, s block) {
	for k := 4; len(uv) > 0; k++ {
		var stream [16]byte
		t := c.e1(k, s)
		t.store(stream[:])
		n := min(len(uv), 16)
		for j := range n {
			uv[j] ^= stream[j]
		}
		uv = uv[n:]
	}
}

// aes4 and aes10 are four and ten rounds of AES with the keys of AEZ, on one
// block that has its offset already.
//
//go:noescape
func aes4(b *block, round *[3]block)

//go:noescape
func aes10(b *block, round *[3]block)

// firstGroup and secondGroup do eight pairs that share the multiple i of I.
//
//go:noescape
func firstGroup(pairs *[group]byte, c *tweaks, i, x *block)

//go:noescape
func secondGroup(pairs *[group]byte, c *tweaks, i, s, y *block)
