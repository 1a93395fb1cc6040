package pdf

import "bytes"

// Bounds of what is read, above what ISO 32000-1 annex C names.
const (
	maxDepth  = 64      // arrays and dictionaries within each other
	maxName   = 255     // bytes
	maxString = 1 << 20 // bytes
	maxArray  = 1 << 20 // elements of an array or entries of a dictionary
	maxShown  = 1 << 16 // elements of an array in a content stream
)

// lexer reads objects from the bytes of a file or of a content stream.
type lexer struct {
	data  []byte
	pos   int
	refs  bool // "12 0 R" is a reference; it is not in a content stream
	depth int
	left  *Budget // what may still be read; nil for what is paid for
}

const (
	regular = iota
	space
	delimiter
)

// class is the class of each byte (ISO 32000-1 section 7.2.2).
var class = func() (t [256]byte) {
	for _, c := range []byte("\x00\t\n\f\r ") {
		t[c] = space
	}
	for _, c := range []byte("()<>[]{}/%") {
		t[c] = delimiter
	}
	return
}()

func (l *lexer) skip() {
	for l.pos < len(l.data) {
		switch c := l.data[l.pos]; {
		case class[c] == space:
			l.pos++
		case c == '%':
			for l.pos < len(l.data) && l.data[l.pos] != '\r' && l.data[l.pos] != '\n' {
				l.pos++
			}
		default:
			return
		}
	}
}

// end is what object returns when there is nothing more, closing is what it
// returns for a ] or a >> that closes nothing it began.
type (
	end     struct{}
	closing byte
)

// object reads the next object or keyword.
func (l *lexer) object() any {
	if l.left == nil {
		return l.next()
	}
	start := l.pos
	o := l.next()
	take(&l.left.parsed, 1)
	l.left.spend(costObject + costByte*(l.pos-start))
	return o
}

func (l *lexer) next() any {
	l.skip()
	if l.pos >= len(l.data) {
		return end{}
	}
	switch c := l.data[l.pos]; c {
	case '/':
		l.pos++
		return l.name()
	case '(':
		l.pos++
		return l.literal()
	case '[':
		l.pos++
		return l.array()
	case '<':
		l.pos++
		if l.pos < len(l.data) && l.data[l.pos] == '<' {
			l.pos++
			return l.dict()
		}
		return l.hex()
	case ']', '{', '}', ')':
		l.pos++
		return closing(c)
	case '>':
		l.pos++
		if l.pos < len(l.data) && l.data[l.pos] == '>' {
			l.pos++
		}
		return closing('>')
	}
	word := l.word()
	if c := word[0]; c >= '0' && c <= '9' || c == '-' || c == '+' || c == '.' {
		return l.number(word)
	}
	switch string(word) {
	case "null":
		return nil
	case "true":
		return true
	case "false":
		return false
	}
	if len(word) > maxName {
		word = word[:maxName]
	}
	return keyword(word)
}

func (l *lexer) word() []byte {
	start := l.pos
	for l.pos < len(l.data) && class[l.data[l.pos]] == regular {
		l.pos++
	}
	return l.data[start:l.pos]
}

// number reads a number, and a reference where there may be one. What begins as a
// number and is none ends where the number does: "0.5w" is 0.5 and w.
func (l *lexer) number(word []byte) any {
	n := 0
	for n < len(word) && (word[n] >= '0' && word[n] <= '9' || word[n] == '-' || word[n] == '+' || word[n] == '.') {
		n++
	}
	l.pos -= len(word) - n
	value := number(string(word[:n]))
	if num, ok := value.(int); ok && l.refs && num >= 0 {
		ahead := *l
		ahead.skip()
		if gen := ahead.word(); len(gen) > 0 && len(gen) <= 5 && !bytes.ContainsFunc(gen, func(r rune) bool { return r < '0' || r > '9' }) {
			ahead.skip()
			if string(ahead.word()) == "R" {
				l.pos = ahead.pos
				return ref(num)
			}
		}
	}
	return value
}

func (l *lexer) name() any {
	word := l.word()
	if bytes.IndexByte(word, '#') >= 0 {
		plain := make([]byte, 0, len(word))
		for i := 0; i < len(word); i++ {
			if word[i] == '#' && i+2 < len(word) && hexValue(word[i+1]) >= 0 && hexValue(word[i+2]) >= 0 {
				plain = append(plain, byte(hexValue(word[i+1])<<4|hexValue(word[i+2])))
				i += 2
				continue
			}
			plain = append(plain, word[i])
		}
		word = plain
	}
	if len(word) > maxName {
		refuse(damaged)
	}
	return name(word)
}

func hexValue(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// literal reads a string in parentheses (ISO 32000-1 section 7.3.4.2).
func (l *lexer) literal() any {
	var s []byte
	for depth := 1; l.pos < len(l.data); {
		if len(s) > maxString {
			refuse(damaged)
		}
		c := l.data[l.pos]
		l.pos++
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return text(s)
			}
		case '\r':
			if l.pos < len(l.data) && l.data[l.pos] == '\n' {
				l.pos++
			}
			c = '\n'
		case '\\':
			if l.pos >= len(l.data) {
				return text(s)
			}
			c = l.data[l.pos]
			l.pos++
			switch c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case '\r':
				if l.pos < len(l.data) && l.data[l.pos] == '\n' {
					l.pos++
				}
				continue
			case '\n':
				continue
			case '0', '1', '2', '3', '4', '5', '6', '7':
				v := int(c - '0')
				for n := 0; n < 2 && l.pos < len(l.data) && l.data[l.pos] >= '0' && l.data[l.pos] <= '7'; n++ {
					v = v<<3 | int(l.data[l.pos]-'0')
					l.pos++
				}
				c = byte(v)
			}
		}
		s = append(s, c)
	}
	return text(s)
}

func (l *lexer) hex() any {
	var s []byte
	high := -1
	for l.pos < len(l.data) {
		c := l.data[l.pos]
		l.pos++
		if c == '>' {
			break
		}
		v := hexValue(c)
		switch {
		case v < 0:
		case high < 0:
			high = v
		default:
			s, high = append(s, byte(high<<4|v)), -1
		}
		if len(s) > maxString {
			refuse(damaged)
		}
	}
	if high >= 0 {
		s = append(s, byte(high<<4))
	}
	return text(s)
}

func (l *lexer) array() any {
	l.enter()
	defer l.leave()
	a := array{}
	for {
		switch o := l.object().(type) {
		case end:
			return a
		case closing:
			if o == ']' {
				return a
			}
		case keyword: // no object: left out, as readers do
		default:
			if a = append(a, o); len(a) > maxArray || len(a) > maxShown && !l.refs {
				refuse(tooMuch)
			}
		}
	}
}

func (l *lexer) dict() any {
	l.enter()
	defer l.leave()
	d := dict{}
	for {
		switch key := l.object().(type) {
		case end:
			return d
		case closing:
			if key == '>' {
				return d
			}
		case name:
			switch value := l.object().(type) {
			case end:
				return d
			case closing:
				if value == '>' {
					return d
				}
			case keyword, nil:
			default:
				if d[key] = value; len(d) > maxArray {
					refuse(tooMuch)
				}
			}
		}
	}
}

func (l *lexer) enter() {
	if l.depth++; l.depth > maxDepth {
		refuse(tooMuch)
	}
}

func (l *lexer) leave() { l.depth-- }
