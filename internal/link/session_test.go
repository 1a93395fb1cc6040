package link

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"

	"codeberg.org/sourdine/sourdine/sphinx"
)

func TestNames(t *testing.T) {
	frames := NewFrames(small2k(t))
	for _, length := range []int{0, 1, 32, maxName} {
		a, b := pipe(t)
		i, r := two(t)
		i.name, r.name = random(length), random(length)
		initiator, responder, err, err2 := shake(a, b, i.config(frames), r.config(frames))
		if err != nil || err2 != nil {
			t.Fatalf("names of %d bytes: %v, %v", length, err, err2)
		}
		initiator.Close()
		responder.Close()
	}
}

// A configuration that cannot work is refused, and the connection closed.
func TestConfigs(t *testing.T) {
	frames := NewFrames(small2k(t))
	good := newParty(t, 32).config(frames)
	_, other, err := kemschemes.ByName("MLKEM768").GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no frames":   func(c *Config) { c.Frames = nil },
		"no key":      func(c *Config) { c.Key = nil },
		"another key": func(c *Config) { c.Key = other },
		"no check":    func(c *Config) { c.Peer = nil },
		"a long name": func(c *Config) { c.Name = make([]byte, maxName+1) },
	} {
		cfg := good
		spoil(&cfg)
		a, b := pipe(t)
		if _, err := Initiate(t.Context(), a, cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := b.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: the connection lives: %v", name, err)
		}
	}
}

func TestWrongPeer(t *testing.T) {
	frames := NewFrames(small2k(t))
	for name, connect := range transports {
		for who, spoil := range map[string]func(i, r *party){
			"initiator": func(i, r *party) { i.expect = newParty(t, 32) },
			"responder": func(i, r *party) { r.expect = newParty(t, 32) },
		} {
			a, b := connect(t)
			i, r := two(t)
			spoil(i, r)
			_, _, err, err2 := shake(a, b, i.config(frames), r.config(frames))
			if err == nil || err2 == nil {
				t.Fatalf("%s: the wrong peer was taken by the %s", name, who)
			}
			if errors.Is(err, ErrPeer) != (who == "initiator") || errors.Is(err2, ErrPeer) != (who == "responder") {
				t.Errorf("%s, the %s refuses: %v and %v", name, who, err, err2)
			}
			discreet(t, err, a, i, r)
			discreet(t, err2, a, i, r)
		}
	}
}

// Who connects learns that the other's packets have another size, which is what a
// network file of before does.
func TestOtherPackets(t *testing.T) {
	small, large := NewFrames(small2k(t)), NewFrames(large(t))
	for name, connect := range transports {
		for _, frames := range [][2]*Frames{{small, large}, {large, small}} {
			a, b := connect(t)
			i, r := two(t)
			// The responder's last message ends with its first command: it cannot fail.
			_, _, err, _ := shake(a, b, i.config(frames[0]), r.config(frames[1]))
			if !errors.Is(err, ErrOtherPackets) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// discreet fails if an error tells an address, a name or a key.
func discreet(t *testing.T, err error, conn net.Conn, parties ...*party) {
	t.Helper()
	if err == nil {
		t.Error("there is no error")
		return
	}
	text := err.Error()
	words := []string{conn.LocalAddr().String(), conn.RemoteAddr().String(), "127.0.0.1"}
	for _, p := range parties {
		words = append(words, string(p.name))
	}
	for _, word := range words {
		if word != "pipe" && strings.Contains(text, word) {
			t.Errorf("%q tells %q", text, word)
		}
	}
	if strings.ContainsAny(text, "[]{}%&") || len(text) > 120 {
		t.Errorf("%q tells too much", text)
	}
}

// The peer's key is only as good as its proof: whoever shows another's public key
// gets no further.
func TestBorrowedKey(t *testing.T) {
	frames := NewFrames(small2k(t))
	a, b := pipe(t)
	i, r := two(t)
	thief := newParty(t, 32)
	thief.name, thief.expect = r.name, nil
	shown := thief.config(frames)
	shown.Key = borrow(t, thief.key, r.key)
	_, _, err, err2 := shake(a, b, i.config(frames), shown)
	if err == nil || err2 == nil || errors.Is(err, ErrPeer) {
		t.Errorf("a responder with a borrowed key: %v, %v", err, err2)
	}

	// An initiator with one is found out when it must say something.
	a, b = pipe(t)
	thief.name = i.name
	shown = thief.config(frames)
	shown.Key = borrow(t, thief.key, i.key)
	_, responder, err, err2 := shake(a, b, shown, r.config(frames))
	if err == nil {
		t.Error("an initiator with a borrowed key reads what is for another")
	}
	if err2 == nil {
		if _, _, err := responder.Receive(); err == nil {
			t.Error("an initiator with a borrowed key says something")
		}
	}
}

// borrow is a private key that shows another's public key.
func borrow(t *testing.T, private, another kem.PrivateKey) kem.PrivateKey {
	t.Helper()
	shown, err := another.Public().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	kept, err := private.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	key, err := scheme.UnmarshalBinaryPrivateKey(append(bytes.Clone(shown), kept[len(shown):]...))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestVersion(t *testing.T) {
	frames := NewFrames(small2k(t))
	for _, v := range []byte{0, 2, 4, 'G'} {
		a, b := pipe(t)
		go func() {
			message := make([]byte, messageLengths[1])
			message[0] = v
			a.Write(message)
			a.Close()
		}()
		_, err := Respond(t.Context(), b, newParty(t, 32).config(frames))
		if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "version") {
			t.Errorf("version %d: %v", v, err)
		}
	}
}

// spoiled is a connection that changes or loses what is written from a byte on.
type spoiled struct {
	net.Conn
	at     int // the byte, of all that is written
	flip   bool
	silent bool // what follows is lost, and the writer does not notice; else the connection closes
	seen   int
}

func (s *spoiled) Write(p []byte) (int, error) {
	from := s.at - s.seen
	s.seen += len(p)
	if from < 0 && !s.flip {
		if s.silent {
			return len(p), nil
		}
		return 0, net.ErrClosed
	}
	if from < 0 || from >= len(p) {
		return s.Conn.Write(p)
	}
	if s.flip {
		q := bytes.Clone(p)
		q[from] ^= 0x40
		return s.Conn.Write(q)
	}
	if n, err := s.Conn.Write(p[:from]); err != nil || s.silent {
		return len(p), err
	} else {
		s.Conn.Close()
		return n, net.ErrClosed
	}
}

// moments are the messages of a handshake: who sends each, and which of its
// sender's bytes it begins and ends at.
var moments = []struct {
	stage     string // what the receiver was doing
	initiator bool
	from, to  int
}{
	{"message 1", true, 0, messageLengths[1]},
	{"message 2", false, 0, messageLengths[2]},
	{"message 3", true, messageLengths[1], messageLengths[1] + messageLengths[3]},
	{"message 4", false, messageLengths[2], messageLengths[2] + messageLengths[4]},
	{"word", false, messageLengths[2] + messageLengths[4], messageLengths[2] + messageLengths[4] + 2000},
}

// A handshake that breaks off within any message says at which.
func TestTruncatedHandshake(t *testing.T) {
	frames := NewFrames(small2k(t))
	for name, connect := range transports {
		for _, m := range moments {
			for _, at := range []int{m.from, m.from + 1, (m.from + m.to) / 2, m.to - 1} {
				a, b := connect(t)
				i, r := two(t)
				left, right := a, b
				if m.initiator {
					left = &spoiled{Conn: a, at: at}
				} else {
					right = &spoiled{Conn: b, at: at}
				}
				_, _, err, err2 := shake(left, right, i.config(frames), r.config(frames))
				if m.initiator {
					err, err2 = err2, err // the receiver's first
				}
				if err == nil || !strings.Contains(err.Error(), m.stage) {
					t.Errorf("%s: %s cut at %d: %v", name, m.stage, at, err)
				}
				discreet(t, err, a, i, r)
				discreet(t, err2, a, i, r)
			}
		}
	}
}

// A peer that falls silent within any message is given up at the deadline, and not
// later because of what it said before.
func TestSilence(t *testing.T) {
	frames := NewFrames(small2k(t))
	for _, m := range moments {
		synctest.Test(t, func(t *testing.T) {
			a, b := pipe(t)
			i, r := two(t)
			left, right := a, b
			if m.initiator {
				left = &spoiled{Conn: a, at: m.to - 1, silent: true}
			} else {
				right = &spoiled{Conn: b, at: m.to - 1, silent: true}
			}
			ours, theirs := i.config(frames), r.config(frames)
			ours.HandshakeTimeout, theirs.HandshakeTimeout = 7*time.Second, 20*time.Second
			if m.initiator { // it is the one that falls silent
				ours.HandshakeTimeout, theirs.HandshakeTimeout = theirs.HandshakeTimeout, ours.HandshakeTimeout
			}
			start := time.Now()
			initiator, responder, err, err2 := shake(left, right, ours, theirs)
			if took := time.Since(start); took != 7*time.Second {
				t.Errorf("%s: given up after %v", m.stage, took)
			}
			if m.initiator {
				err = err2
			}
			if !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), m.stage) {
				t.Errorf("%s: %v", m.stage, err)
			}
			for _, s := range []*Session{initiator, responder} {
				if s != nil {
					s.Close()
				}
			}
		})
	}
}

// A peer that sends drop by drop gains no time.
func TestDrops(t *testing.T) {
	frames := NewFrames(small2k(t))
	drip := func(to net.Conn, b []byte) {
		for i := range b {
			if _, err := to.Write(b[i : i+1]); err != nil {
				return
			}
			time.Sleep(700 * time.Millisecond)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		a, b := pipe(t)
		message := make([]byte, messageLengths[1])
		message[0] = version
		var dripping sync.WaitGroup
		dripping.Go(func() { drip(a, message) })
		start := time.Now()
		_, err := Respond(t.Context(), b, newParty(t, 32).config(frames))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != defaultHandshake {
			t.Errorf("%v after %v", err, took)
		}
		dripping.Wait()
	})
	synctest.Test(t, func(t *testing.T) {
		initiator, responder := sessions(t, frames, pipe)
		f := framed(t, frames, Command{Kind: KindNoOp})
		if err := seal(initiator.tx, f.record()); err != nil {
			t.Fatal(err)
		}
		var dripping sync.WaitGroup
		dripping.Go(func() { drip(initiator.conn, f.record()) })
		start := time.Now()
		_, _, err := responder.Receive()
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != defaultRead {
			t.Errorf("%v after %v", err, took)
		}
		discreet(t, err, responder.conn)
		dripping.Wait()
	})
}

// A peer that reads nothing holds nobody up for longer than the write's time.
func TestWriteDeadline(t *testing.T) {
	frames := NewFrames(small2k(t))
	synctest.Test(t, func(t *testing.T) {
		initiator, _ := sessions(t, frames, pipe)
		time.Sleep(time.Hour) // the handshake's deadline is gone
		start := time.Now()
		err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp}))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took != defaultWrite {
			t.Errorf("%v after %v", err, took)
		}
		if err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp})); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the session goes on: %v", err)
		}
	})
}

func TestContextEndsHandshake(t *testing.T) {
	frames := NewFrames(small2k(t))
	synctest.Test(t, func(t *testing.T) {
		for _, establish := range []func(context.Context, net.Conn, Config) (*Session, error){Initiate, Respond} {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(3*time.Second, cancel)
			a, b := pipe(t)
			go io.Copy(io.Discard, b)
			start := time.Now()
			if _, err := establish(ctx, a, newParty(t, 1).config(frames)); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("ended after %v", took)
			}
			ctx, cancel = context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			a, b = pipe(t)
			go io.Copy(io.Discard, b)
			if _, err := establish(ctx, a, newParty(t, 1).config(frames)); err == nil {
				t.Error("it goes on without end")
			}
			b.Close()
		}
	})
	// A context that ends later does nothing to the session.
	ctx, cancel := context.WithCancel(t.Context())
	a, b := pipe(t)
	i, r := two(t)
	made := make(chan *Session)
	go func() {
		s, _ := Respond(ctx, b, r.config(frames))
		made <- s
	}()
	s, err := Initiate(ctx, a, i.config(frames))
	responder := <-made
	if err != nil || responder == nil {
		t.Fatal(err)
	}
	defer s.Close()
	cancel()
	go responder.Send(framed(t, frames, Command{Kind: KindNoOp}))
	if _, _, err := s.Receive(); err != nil {
		t.Error(err)
	}
}

// A bit that is changed in any message ends the handshake for both.
func TestFlippedHandshake(t *testing.T) {
	frames := NewFrames(small2k(t))
	for _, m := range moments {
		for _, at := range []int{m.from, m.from + 1, m.from + 500, m.from + 1135, m.from + 1136, (m.from + m.to) / 2, m.to - 1} {
			if at >= m.to {
				continue
			}
			a, b := pipe(t)
			i, r := two(t)
			left, right := a, b
			if m.initiator {
				left = &spoiled{Conn: a, at: at, flip: true}
			} else {
				right = &spoiled{Conn: b, at: at, flip: true}
			}
			initiator, responder, err, err2 := shake(left, right, i.config(frames), r.config(frames))
			if err == nil {
				t.Errorf("%s changed at %d: the initiator is content", m.stage, at)
				initiator.Close()
			}
			if err2 == nil { // it has done its part: it notices with the next command
				if _, _, err := responder.Receive(); err == nil {
					t.Errorf("%s changed at %d: the responder goes on", m.stage, at)
				}
			}
		}
	}
}

// A bit that is changed anywhere in a record ends the session.
func TestFlippedRecord(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	record := sealedHeader + frames.up + macLength
	for _, at := range []int{0, 3, 4, sealedHeader - 1, sealedHeader, sealedHeader + 1, sealedHeader + commandHeader, record / 2, record - macLength - 1, record - macLength, record - 1} {
		initiator, responder := sessions(t, frames, pipe)
		m := remember(initiator, responder)
		for range 3 {
			if err := initiator.Send(framed(t, frames, Command{Kind: KindSendPacket, Data: random(g.PacketLength)})); err != nil {
				t.Fatal(err)
			}
		}
		m.held.Bytes()[record+at] ^= 1
		if f, _, err := responder.Receive(); err != nil {
			t.Errorf("the record before: %v", err)
		} else {
			f.Release()
		}
		if _, _, err := responder.Receive(); !errors.Is(err, ErrProtocol) {
			t.Errorf("changed at %d: %v", at, err)
		}
		if _, _, err := responder.Receive(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("changed at %d: the session goes on: %v", at, err)
		}
		if err := responder.Send(framed(t, frames, Command{Kind: KindNoOp})); err == nil {
			t.Errorf("changed at %d: the session still sends", at)
		}
	}
}

// A record that comes twice, late or not at all ends the session.
func TestReplayedRecord(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	for name, order := range map[string][]int{"twice": {0, 0}, "swapped": {1, 0}, "lost": {1}} {
		initiator, responder := sessions(t, frames, pipe)
		m := remember(initiator, responder)
		var records [][]byte
		for range 2 {
			initiator.Send(framed(t, frames, Command{Kind: KindNoOp}))
			records = append(records, bytes.Clone(m.held.Bytes()))
			m.held.Reset()
		}
		for _, n := range order {
			m.held.Write(records[n])
		}
		var err error
		for range order {
			if _, _, err = responder.Receive(); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// count makes frames count how many they lend out, and returns the counter.
func count(frames *Frames) *int {
	n := new(int)
	frames.free.New = func() any { *n++; return frames.newFrame(frames.room) }
	return n
}

// A length that no command has is refused before memory is taken for it.
func TestLengths(t *testing.T) {
	g := small2k(t)
	quiet := NewFrames(g)
	for _, initiator := range []bool{true, false} {
		largest := uint32(quiet.largest(initiator) + macLength)
		for _, length := range []uint32{0, 1, macLength, macLength + commandHeader - 1, largest + 1, 1 << 20, 500_000_000, 1 << 31, ^uint32(0)} {
			from, to := sessions(t, quiet, pipe)
			if !initiator {
				from, to = to, from
			}
			m := remember(from, to)
			to.frames = NewFrames(g)
			lent := count(to.frames)
			header := make([]byte, sealedHeader)
			binary.BigEndian.PutUint32(header, length)
			if _, err := from.tx.EncryptWithAd(header[:0], nil, header[:lengthLength]); err != nil {
				t.Fatal(err)
			}
			m.held.Write(header)
			m.held.Write(make([]byte, 4096))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := to.Receive()
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("a length of %d: %v", length, err)
			}
			if *lent != 0 {
				t.Errorf("a length of %d took a frame", length)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 64<<10 {
				t.Errorf("a length of %d took %d bytes", length, took)
			}
		}
	}
}

// A Consensus, the one command without a bound in Katzenpost, is taken only by who
// asked for it, once, and up to a bound.
func TestConsensusOnlyWhenAsked(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	document := random(maxDocument)
	reply := func(n int) Command { return Command{Kind: KindConsensus, Data: document[:n]} }

	for _, n := range []int{10, 10_000, maxDocument} {
		initiator, responder := sessions(t, frames, pipe)
		remember(responder, initiator)
		responder.Send(framed(t, frames, reply(n)))
		if _, _, err := initiator.Receive(); !errors.Is(err, ErrProtocol) {
			t.Errorf("one of %d bytes that nobody asked for: %v", n, err)
		}
	}

	initiator, responder := sessions(t, frames, pipe)
	ask, answer := remember(initiator, responder), remember(responder, initiator)
	for _, n := range []int{maxDocument, 0, 10} {
		if err := initiator.Send(framed(t, frames, Command{Kind: KindGetConsensus, Epoch: 5})); err != nil {
			t.Fatal(err)
		}
		f, c, err := responder.Receive()
		if err != nil || c.Epoch != 5 {
			t.Fatal(c, err)
		}
		f.Release()
		responder.Send(framed(t, frames, reply(n)))
		f, c, err = initiator.Receive()
		if err != nil || !bytes.Equal(c.Data, document[:n]) {
			t.Fatalf("one of %d bytes that was asked for: %v", n, err)
		}
		f.Release()
	}
	if ask.held.Len() != 0 || answer.held.Len() != 0 {
		t.Error("bytes are left over")
	}
	responder.Send(framed(t, frames, reply(10)))
	if _, _, err := initiator.Receive(); !errors.Is(err, ErrProtocol) {
		t.Errorf("a second answer to one question: %v", err)
	}
	if _, err := frames.Make(Command{Kind: KindConsensus, Data: make([]byte, maxDocument+1)}); err == nil {
		t.Error("one that is too large can be made")
	}
}

// What a peer that holds the keys can say wrong in a command ends the session.
func TestWrongCommands(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	packet := make([]byte, frames.up)
	put(packet, &Command{Kind: KindSendPacket, Data: random(g.PacketLength)})
	empty := make([]byte, frames.up)
	message := make([]byte, frames.down)
	put(message, &Command{Kind: KindMessage, Data: random(frames.payload)})
	change := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	for name, c := range map[string]struct {
		command   []byte
		initiator bool // sends it
	}{
		"an unknown kind":                {change(empty, 0, 99), true},
		"a client's kind of old":         {change(empty, 0, 16), true},
		"a reserved byte":                {change(packet, 1, 1), true},
		"a length that is too short":     {change(packet, 5, packet[5]-1), true},
		"a length that is too long":      {change(packet, 5, packet[5]+1), true},
		"a length beyond all":            {change(packet, 2, 0xff), true},
		"padding at its beginning":       {change(empty, commandHeader, 1), true},
		"padding in its middle":          {change(empty, len(empty)/2, 1), true},
		"padding at its end":             {change(empty, len(empty)-1, 1), true},
		"too little padding":             {empty[:len(empty)-1], true},
		"no padding":                     {empty[:commandHeader], true},
		"a responder's kind":             {message[:len(message)-messageHeader], true},
		"an initiator's kind":            {packet, false},
		"an initiator's kind, as padded": {append(bytes.Clone(packet), make([]byte, messageHeader)...), false},
		"too much padding":               {append(bytes.Clone(empty), 0), false},
		"a Message's padding":            {change(message, len(message)-1, 1), false},
	} {
		from, to := sessions(t, frames, pipe)
		if !c.initiator {
			from, to = to, from
		}
		m := remember(from, to)
		record := make([]byte, sealedHeader+len(c.command)+macLength)
		copy(record[sealedHeader:], c.command)
		if err := seal(from.tx, record); err != nil {
			t.Fatal(err)
		}
		m.held.Write(record)
		if _, _, err := to.Receive(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody can send what is the other side's to send, or an empty frame; that costs
// the frame, and not the session.
func TestSendRefuses(t *testing.T) {
	g := small2k(t)
	frames := NewFrames(g)
	initiator, responder := sessions(t, frames, pipe)
	remember(initiator, responder)
	bad := framed(t, frames, Command{Kind: KindMessage, Data: random(frames.payload)})
	good := framed(t, frames, Command{Kind: KindNoOp})
	if err := initiator.Send(good, bad); err == nil {
		t.Error("an initiator sends a Message")
	}
	if err := initiator.Send(frames.get(1)); err == nil {
		t.Error("nothing was sent")
	}
	if err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp})); err != nil {
		t.Error(err)
	}
	if f, c, err := responder.Receive(); err != nil || c.Kind != KindNoOp {
		t.Error(c, err)
	} else {
		f.Release()
	}
	for name, c := range map[string]Command{
		"an unknown kind":   {Kind: 99},
		"a short packet":    {Kind: KindSendPacket, Data: make([]byte, 10)},
		"Data of a NoOp":    {Kind: KindNoOp, Data: make([]byte, 1)},
		"a piece too large": {Kind: KindConsensus2, Data: make([]byte, frames.MaxChunk()+1)},
		"a long payload":    {Kind: KindSendRetrievePacketReply, Data: make([]byte, frames.payload+1)},
	} {
		if _, err := frames.Make(c); err == nil {
			t.Errorf("%s can be made", name)
		}
	}
}

// Commands cross in both directions at once, in all sizes of writes, in order.
func TestBothDirections(t *testing.T) {
	for name, connect := range transports {
		for _, g := range []*sphinx.Geometry{small2k(t), large(t)} {
			t.Run(name+"/"+g.Scheme, func(t *testing.T) {
				t.Parallel()
				frames := NewFrames(g)
				initiator, responder := sessions(t, frames, connect)
				const n = 200
				var running sync.WaitGroup
				for _, d := range []struct {
					from, to *Session
					data     int
					kind     Kind
				}{{initiator, responder, g.PacketLength, KindSendPacket}, {responder, initiator, frames.payload, KindMessage}} {
					running.Go(func() {
						data := make([]byte, d.data)
						var batch []*Frame
						for i := range n {
							binary.BigEndian.PutUint32(data[d.data/2:], uint32(i))
							batch = append(batch, framed(t, frames, Command{Kind: d.kind, Data: data}))
							if i%7 == 2 { // a short command among the others
								batch = append(batch, framed(t, frames, Command{Kind: KindNoOp}))
							}
							if len(batch) > i%5 {
								if err := d.from.Send(batch...); err != nil {
									t.Error(err)
									return
								}
								batch = batch[:0]
							}
						}
						if err := d.from.Send(batch...); err != nil {
							t.Error(err)
						}
					})
					running.Go(func() {
						for i := 0; i < n; {
							f, c, err := d.to.Receive()
							if err != nil {
								t.Error(err)
								return
							}
							if c.Kind == d.kind {
								if got := binary.BigEndian.Uint32(c.Data[d.data/2:]); got != uint32(i) {
									t.Errorf("command %d came instead of %d", got, i)
								}
								i++
							}
							f.Release()
						}
					})
				}
				running.Wait()
			})
		}
	}
}

// The connection sees one write, however many commands there are in it.
func TestOneWrite(t *testing.T) {
	frames := NewFrames(small2k(t))
	initiator, responder := sessions(t, frames, pipe)
	w := &counting{memory: remember(initiator, responder)}
	initiator.conn = w
	for n := range 4 {
		w.writes = 0
		var list []*Frame
		for range n + 1 {
			list = append(list, framed(t, frames, Command{Kind: KindNoOp}))
		}
		if err := initiator.Send(list...); err != nil || w.writes != 1 {
			t.Errorf("%d commands: %d writes, %v", n+1, w.writes, err)
		}
	}
	if err := initiator.Send(); err != nil {
		t.Error(err)
	}
}

type counting struct {
	*memory
	writes int
}

func (c *counting) Write(p []byte) (int, error) { c.writes++; return c.memory.Write(p) }

// Close ends what is under way, from any goroutine and any number of times, and
// forgets the keys.
func TestClose(t *testing.T) {
	frames := NewFrames(large(t))
	for _, connect := range transports {
		initiator, responder := sessions(t, frames, connect)
		var running sync.WaitGroup
		running.Go(func() {
			if _, _, err := initiator.Receive(); err == nil {
				t.Error("a command came")
			} else {
				discreet(t, err, initiator.conn)
			}
		})
		running.Go(func() {
			for { // nobody reads
				if err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp})); err != nil {
					discreet(t, err, initiator.conn)
					return
				}
			}
		})
		time.Sleep(10 * time.Millisecond)
		running.Go(initiator.Close)
		running.Go(initiator.Close)
		running.Wait()
		if initiator.tx != nil || initiator.rx != nil {
			t.Error("keys are kept")
		}
		if err := initiator.Send(framed(t, frames, Command{Kind: KindNoOp})); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if _, _, err := initiator.Receive(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		for {
			f, _, err := responder.Receive()
			if err != nil {
				discreet(t, err, responder.conn)
				break
			}
			f.Release()
		}
	}
}

// Garbage of any length in place of a record, or of a handshake, is refused.
func TestGarbage(t *testing.T) {
	frames := NewFrames(small2k(t))
	for _, n := range []int{0, 1, 19, 20, 21, 1000, 5000, 100_000} {
		initiator, responder := sessions(t, frames, pipe)
		remember(initiator, responder).held.Write(random(n))
		if _, _, err := responder.Receive(); err == nil {
			t.Errorf("%d bytes of garbage were a command", n)
		}
		for _, establish := range []func(context.Context, net.Conn, Config) (*Session, error){Initiate, Respond} {
			a, b := pipe(t)
			go func() {
				go io.Copy(io.Discard, b)
				b.Write(random(n))
				b.Close()
			}()
			if _, err := establish(t.Context(), a, newParty(t, 32).config(frames)); err == nil {
				t.Errorf("%d bytes of garbage were a handshake", n)
			}
			b.Close()
		}
	}
}

// An initiator learns how far its clock is ahead of the responder's.
func TestClockSkew(t *testing.T) {
	frames := NewFrames(small2k(t))
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)))
		const late = 5 * time.Second
		a, b := pipe(t)
		i, r := two(t)
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			if s, err := Respond(t.Context(), &delayed{b, late}, r.config(frames)); err == nil {
				defer s.Close()
			}
		}()
		s, err := Initiate(t.Context(), a, i.config(frames))
		if err != nil {
			t.Fatal(err)
		}
		if s.ClockSkew() != late {
			t.Errorf("ahead by %v, want %v", s.ClockSkew(), late)
		}
		s.Close()
		<-slow
	})
}

// delayed is a connection that is slow to write.
type delayed struct {
	net.Conn
	by time.Duration
}

func (d *delayed) Write(p []byte) (int, error) {
	time.Sleep(d.by)
	return d.Conn.Write(p)
}
