package mixnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/katzenpost/hpqc/kem"
	kemschemes "github.com/katzenpost/hpqc/kem/schemes"
	signschemes "github.com/katzenpost/hpqc/sign/schemes"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/link"
)

// listener is an authority as far as the handshake goes, which may have another key
// than the network file says.
func listener(t *testing.T, name string, impostor bool) *directory.Member {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := directory.DefaultParameters()
	m := &directory.Member{Role: directory.RoleAuthority, Name: name, Operator: name, Address: l.Addr().String(), Parameters: &p}
	identity, _, err := signschemes.ByName(directory.SignatureScheme).GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := kemschemes.ByName(directory.LinkScheme).GenerateKeyPair()
	if err != nil {
		t.Fatal(err)
	}
	m.SetKeys(identity, public)
	if impostor {
		if _, private, err = kemschemes.ByName(directory.LinkScheme).GenerateKeyPair(); err != nil {
			t.Fatal(err)
		}
	}
	id, frames := m.ID(), link.NewAuthorityFrames()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s, err := link.Respond(context.Background(), conn, link.Config{
				Frames: frames, Key: private, Name: id[:], Peer: func([]byte, kem.PublicKey) bool { return true },
			})
			if err == nil {
				s.Close()
			}
		}
	}()
	return m
}

// A node whose clock is off by the word of most authorities that answer does not
// start, and says why; one that reaches nobody does.
func TestClockIsChecked(t *testing.T) {
	for _, test := range []struct {
		name      string
		off       time.Duration // of this machine
		impostors int           // of three
		away      int
		answers   int
		want      string // in the error
	}{
		{"right", 0, 0, 0, 3, ""},
		{"a minute", time.Minute, 0, 0, 3, ""},
		{"ahead", 5 * time.Minute, 0, 0, 3, "ahead of"},
		{"behind", -5 * time.Minute, 0, 0, 3, "behind"},
		{"one answers", 5 * time.Minute, 1, 1, 1, "ahead of"},
		{"nobody is who they should be", 5 * time.Minute, 3, 0, 0, ""},
		{"nobody is there", 5 * time.Minute, 0, 3, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := standalone(t, directory.RoleMix)
			n.date = func() time.Time { return time.Now().Add(test.off) }
			for i := range 3 {
				m := listener(t, fmt.Sprintf("auth%d", i), i < test.impostors)
				if i >= 3-test.away {
					m.Address = "127.0.0.1:1"
				}
				n.network.Authorities = append(n.network.Authorities, m)
			}
			reached, err := askAuthorities(t.Context(), n.network, n.date)
			if err != nil {
				t.Fatal(err)
			}
			answers := 0
			for _, r := range reached {
				if r.Err == nil {
					answers++
				}
			}
			if answers != test.answers {
				t.Errorf("%d answer, want %d: %v", answers, test.answers, reached)
			}
			// Clocks are told in whole seconds, and what a slow machine takes for the
			// handshake is added.
			if got, ok := ahead(reached); ok && (got-test.off).Abs() > 30*time.Second {
				t.Errorf("the clock is %v ahead, want %v", got, test.off)
			}
			err = n.checkClock(t.Context())
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

// One authority that is wrong, or lies, counts for nothing.
func TestAhead(t *testing.T) {
	gone := errors.New("gone")
	for _, test := range []struct {
		list []Reach
		want time.Duration
		ok   bool
	}{
		{nil, 0, false},
		{[]Reach{{Err: gone}}, 0, false},
		{[]Reach{{Ahead: 3}}, 3, true},
		{[]Reach{{Ahead: time.Hour}, {Ahead: 1}, {Ahead: 2}}, 2, true},
		{[]Reach{{Ahead: -time.Hour}, {Ahead: 1}, {Err: gone}, {Ahead: 2}}, 1, true},
	} {
		if got, ok := ahead(test.list); got != test.want || ok != test.ok {
			t.Errorf("%v: %v, %v", test.list, got, ok)
		}
	}
}
