package sender_test

import (
	"context"
	"crypto/hpke"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/katzenpost/katzenpost/core/pki"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/gateway/sender"
	"codeberg.org/sourdine/sourdine/internal/fakenet"
	"codeberg.org/sourdine/sourdine/internal/katzenpost"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mixing"
)

// Epochs have the engine's default length, so that no process need be restarted.
func parameters() directory.Parameters {
	return directory.Parameters{Epoch: 20 * time.Minute, Slot: 20 * time.Second, Delay: 20 * time.Second, Layers: 3, Scheme: "MLKEM768", Payload: 4000}
}

// world is a gateway's sender in a network in memory.
type world struct {
	t       *testing.T
	net     *fakenet.Network
	sender  *sender.Sender
	private hpke.PrivateKey
	cancel  context.CancelFunc
	done    chan error

	mu        sync.Mutex
	start     time.Time
	trace     []event // what the entry received
	parcels   map[mail.ParcelID]mail.Sealed
	arrived   map[mail.ParcelID]uint64 // at the exit, a bitmap
	answered  []mail.Reply             // what the store was told
	changes   int                      // of the exit
	config    sender.Config
	down      bool          // the entry cannot be reached
	broken    bool          // the store keeps nothing
	forgetful bool          // the exit keeps no fragment
	stall     time.Duration // of the store's disk
	requests  [3]int        // that reached the exit, by kind
	conns     []net.Conn
}

type event struct {
	at      time.Duration
	command string
	bytes   int
}

// later is when these tests take place: after the first epoch.
func later() { time.Sleep(time.Until(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC))) }

// newWorld makes a world; its schedule is the same for the same seed.
func newWorld(t *testing.T, seed uint64, change func(*fakenet.Network, *sender.Config)) *world {
	t.Helper()
	n, err := fakenet.New(parameters())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, net: n, start: time.Now(), parcels: map[mail.ParcelID]mail.Sealed{}, arrived: map[mail.ParcelID]uint64{}, done: make(chan error, 1)}
	if w.private, err = hpke.MLKEM768X25519().GenerateKey(); err != nil {
		t.Fatal(err)
	}
	n.Exit = w.exit
	n.Seen = func(command string, bytes int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.trace = append(w.trace, event{time.Since(w.start), command, bytes})
	}
	cfg := sender.Config{
		Network: n.Network, Floors: directory.DefaultFloors(), Guards: filepath.Join(t.TempDir(), "guards.json"),
		Resend: 20 * time.Minute, Window: 100, Store: w, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Dial: w.dial, Schedule: rand.New(rand.NewPCG(seed, 0)),
	}
	if change != nil {
		change(n, &cfg)
	}
	w.config = cfg
	w.run()
	return w
}

// run starts the sender, or another one in place of one that has ended.
func (w *world) run() {
	w.t.Helper()
	var err error
	if w.sender, err = sender.New(w.config); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	w.cancel = cancel
	go func() { w.done <- w.sender.Run(ctx) }()
}

// stop ends the sender and everything in the network.
func (w *world) stop() {
	w.end()
	time.Sleep(time.Hour) // replies under way
}

// end ends the sender and its connections.
func (w *world) end() {
	w.cancel()
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
	w.cut()
}

func (w *world) dial(ctx context.Context, address string) (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		return nil, errors.New("no route to host")
	}
	conn, err := w.net.Dial(ctx, address)
	w.conns = append(w.conns, conn)
	return conn, err
}

// cut closes every connection.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		c.Close()
	}
	w.conns = nil
}

func (w *world) setDown(down bool) {
	w.mu.Lock()
	w.down = down
	w.mu.Unlock()
	if down {
		w.cut()
	}
}

// exit answers as a post office that has delivered what is complete.
func (w *world) exit(request []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := mail.ParseRequest(request)
	if err != nil {
		w.t.Error(err)
		return nil
	}
	w.requests[r.Kind]++
	day := mail.NewDayKey(uint32(time.Now().Unix()/86400), w.private.PublicKey().Bytes())
	reply := &mail.Reply{Keys: []mail.SignedKey{mail.SignKey(day, w.net.Signer)}}
	if r.Kind != mail.Cover {
		reply.Parcel, reply.State = r.Parcel, mail.StateUnknown
		if r.Kind == mail.Fragment && !w.forgetful {
			w.arrived[r.Parcel] |= 1 << r.Index
		}
		if all := uint64(1)<<w.parcels[r.Parcel].Fragments(len(request)) - 1; w.arrived[r.Parcel] == all {
			reply.State, reply.Results = mail.StateDone, []mail.Result{{Outcome: mail.Delivered}}
		} else if have := w.arrived[r.Parcel]; have != 0 {
			reply.State, reply.Missing = mail.StateIncomplete, all&^have
		}
	}
	b, err := reply.Marshal(len(request))
	if err != nil {
		w.t.Error(err)
	}
	return b
}

// Request, Answered and ExitChanged implement sender.Store.
func (w *world) Request(id mail.ParcelID, index int) (*mail.Request, error) {
	time.Sleep(w.stall)
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.parcels[id]
	if !ok {
		return nil, errors.New("no such parcel")
	}
	return s.Request(index, w.net.Parameters.Payload), nil
}

func (w *world) Answered(r *mail.Reply, _ time.Time) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken {
		return false, errors.New("input/output error")
	}
	w.answered = append(w.answered, *r)
	return r.State == mail.StateDone, nil
}

func (w *world) ExitChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes++
}

// changed returns how often the store was told of another exit.
func (w *world) changed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changes
}

// write submits a mail of this many bytes.
func (w *world) write(size int) mail.ParcelID {
	w.t.Helper()
	by, err := w.sender.Sealing()
	if err != nil {
		w.t.Fatal(err)
	}
	p := &mail.Parcel{
		Expires: w.net.Epoch(by.Now) + by.Info.Expiry, Date: 1, Recipients: []mail.Address{"bob@example.org"},
		Message: mail.Message{Subject: "s", Body: strings.Repeat("x", size) + "\n"},
	}
	sealed, err := mail.SealParcel(p, by.Key, w.net.Parameters.Payload)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	w.parcels[sealed.ID] = sealed
	w.mu.Unlock()
	err = w.sender.Add(w.t.Context(), sender.Parcel{
		Parcel: mixing.Parcel{
			ID: mixing.ID(sealed.ID), Fragments: sealed.Fragments(w.net.Parameters.Payload),
			Queries: []time.Time{time.Now().Add(2 * time.Hour), time.Now().Add(150 * time.Minute)},
		},
		Exit: by.Exit, Expires: sealed.Expires,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed.ID
}

// events returns what the entry received, packets and acknowledgements of
// whatever kind alike, as an observer of the wire sees it.
func (w *world) events() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.trace)
}

func (w *world) delivered() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := map[mail.ParcelID]bool{}
	for _, r := range w.answered {
		if r.State == mail.StateDone && !seen[r.Parcel] {
			seen[r.Parcel] = true
			n++
		}
	}
	return n
}

// What leaves, and when, is the same with no mail and with fifty.
func TestTrafficDoesNotDependOnMail(t *testing.T) {
	run := func(mails int) (trace []event, delivered int) {
		synctest.Test(t, func(t *testing.T) {
			later()
			w := newWorld(t, 7, nil)
			time.Sleep(30 * time.Minute)
			for i := range mails {
				w.write(100 * (i%3*i + 1))
				time.Sleep(90 * time.Second)
			}
			time.Sleep(4*time.Hour - time.Duration(mails)*90*time.Second)
			trace, delivered = w.events(), w.delivered()
			w.stop()
		})
		return trace, delivered
	}
	silent, none := run(0)
	busy, all := run(50)
	if none != 0 || all != 50 {
		t.Fatalf("%d and %d mails delivered, want 0 and 50", none, all)
	}
	if len(silent) != len(busy) {
		t.Fatalf("%d commands without mail, %d with", len(silent), len(busy))
	}
	packets := 0
	for i := range silent {
		a, b := silent[i], busy[i]
		// An acknowledgement and the empty command in its place differ inside only.
		if a.at != b.at || a.bytes != b.bytes || (a.command == "*commands.SendPacket") != (b.command == "*commands.SendPacket") {
			t.Fatalf("command %d: %v without mail, %v with", i, a, b)
		}
		if a.bytes != silent[0].bytes {
			t.Fatalf("command %d has %d bytes, the first %d", i, a.bytes, silent[0].bytes)
		}
		if a.command == "*commands.SendPacket" {
			packets++
		}
	}
	if want := int(4*time.Hour/(20*time.Second)) - 10; packets < want {
		t.Errorf("%d packets in 4 hours, want at least %d", packets, want)
	}
}

// One packet and one acknowledgement in each slot, one more half-way, whatever
// happens to the connection; and never a burst.
func TestSlotsAfterTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 3, nil)
		time.Sleep(30 * time.Minute)
		w.write(20_000)
		w.setDown(true) // no network
		time.Sleep(2 * time.Hour)
		st := w.sender.Status()
		if st.Protected || len(st.Reasons) == 0 || !strings.Contains(st.Reasons[0], "not connected") {
			t.Errorf("without a network the status is %+v", st)
		}
		w.setDown(false)
		time.Sleep(30 * time.Minute)
		w.cut() // a new network: the connection breaks, the next attempt succeeds
		time.Sleep(3 * time.Hour)
		if n := w.delivered(); n != 1 {
			t.Errorf("%d mails delivered, want 1", n)
		}
		if st := w.sender.Status(); !st.Protected {
			t.Errorf("not protected again: %v", st.Reasons)
		}
		var last time.Duration
		phase := time.Duration(-1)
		for _, e := range w.events() {
			if e.command != "*commands.SendPacket" {
				continue
			}
			if last != 0 && e.at-last < 20*time.Second {
				t.Fatalf("two packets within %v", e.at-last)
			}
			if phase < 0 {
				phase = e.at % (20 * time.Second)
			} else if e.at%(20*time.Second) != phase {
				t.Fatalf("a packet left out of phase, at %v", e.at)
			}
			last = e.at
		}
		w.stop()
	})
}

// A tenth of the packets is lost: mail arrives all the same, cut in pieces.
func TestLostPackets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 5, func(n *fakenet.Network, c *sender.Config) {
			n.Drop = func(i int) bool { return i%10 == 0 }
			c.Resend = 10 * time.Minute // 6 hours are time for many a try
		})
		time.Sleep(30 * time.Minute)
		w.write(50_000)
		time.Sleep(6 * time.Hour)
		if n := w.delivered(); n != 1 {
			t.Errorf("%d mails delivered, want 1", n)
		}
		if st := w.sender.Status(); st.Lost < 5 || st.Lost > 15 || st.Holding {
			t.Errorf("lost %d of %d, holding %v; want about a tenth and no holding", st.Lost, st.RecentOf, st.Holding)
		}
		// The last ones may still come.
		if st := w.sender.Status(); st.LostInAll > st.PacketsSent/10 || st.LostInAll+10 < st.PacketsSent/10 {
			t.Errorf("lost %d of %d in all, want a tenth", st.LostInAll, st.PacketsSent)
		}
		w.stop()
	})
}

// An entry that drops a third learns nothing from what stalls: mail is held
// back, cover goes on, and the user is told.
func TestHoldsBackWhenTooMuchIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 6, func(n *fakenet.Network, _ *sender.Config) {
			n.Drop = func(i int) bool { return i%3 == 0 }
		})
		time.Sleep(2 * time.Hour)
		before := w.sender.Status()
		w.write(10)
		time.Sleep(2 * time.Hour)
		after := w.sender.Status()
		if !after.Holding || after.Protected || !strings.Contains(strings.Join(after.Reasons, " "), "held back") {
			t.Errorf("status %+v", after)
		}
		if sent := after.PacketsSent - before.PacketsSent; sent != after.CoverSent-before.CoverSent || sent < 350 {
			t.Errorf("%d packets sent, %d of them cover; want only cover, one a slot", sent, after.CoverSent-before.CoverSent)
		}
		w.stop()
	})
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakenet.Network, *sender.Config)
		want   string
	}{
		{"below the floors", func(_ *fakenet.Network, c *sender.Config) { c.Floors.MinDelay = time.Minute }, "floors"},
		{"no consensus", func(n *fakenet.Network, _ *sender.Config) { n.Missing = func(uint64) bool { return true } }, "no consensus"},
		{"the exit is the entry's operator's", func(n *fakenet.Network, _ *sender.Config) { n.Info.Operator = "e" }, "one operator"},
		{"forged consensus", func(n *fakenet.Network, _ *sender.Config) {
			n.Change = func(d *pki.Document) { d.SphinxGeometryHash = make([]byte, 32) }
		}, "geometry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				later()
				w := newWorld(t, 1, c.change)
				time.Sleep(2 * time.Hour)
				st := w.sender.Status()
				if st.PacketsSent != 0 || st.Protected || !strings.Contains(strings.Join(st.Reasons, " "), c.want) {
					t.Errorf("%d packets sent, reasons %q; want none, and one with %q", st.PacketsSent, st.Reasons, c.want)
				}
				if _, err := w.sender.Sealing(); !errors.Is(err, sender.ErrNoKey) {
					t.Errorf("a mail could be sealed: %v", err)
				}
				w.stop()
			})
		})
	}
}

// One epoch without a consensus costs nothing; four in a row end in silence,
// which ends with the next consensus.
func TestEpochsWithoutConsensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		var missing func(uint64) bool
		var mu sync.Mutex
		w := newWorld(t, 9, func(n *fakenet.Network, _ *sender.Config) {
			n.Missing = func(e uint64) bool { mu.Lock(); defer mu.Unlock(); return missing != nil && missing(e) }
		})
		set := func(f func(uint64) bool) { mu.Lock(); missing = f; mu.Unlock() }
		time.Sleep(30 * time.Minute)
		now := w.net.Epoch(time.Now())
		set(func(e uint64) bool { return e == now+2 })
		time.Sleep(2 * 20 * time.Minute)
		during := w.sender.Status()
		time.Sleep(20 * time.Minute)
		if st := w.sender.Status(); !st.Protected {
			t.Errorf("one epoch without a consensus: %v", st.Reasons)
		}
		if len(during.Warnings) != 1 || !strings.Contains(during.Warnings[0], "no consensus of this epoch") {
			t.Errorf("while there was none the user was told %q", during.Warnings)
		}
		set(func(e uint64) bool { return true })
		time.Sleep(5 * 20 * time.Minute)
		if st := w.sender.Status(); st.Protected {
			t.Error("protected, four epochs after the last consensus")
		}
		set(nil)
		time.Sleep(40 * time.Minute)
		if st := w.sender.Status(); !st.Protected {
			t.Errorf("a consensus is there again: %v", st.Reasons)
		}
		w.stop()
	})
}

// An older consensus than one seen before is refused, across restarts.
func TestOlderConsensus(t *testing.T) {
	guards := filepath.Join(t.TempDir(), "guards.json")
	keep := func(_ *fakenet.Network, c *sender.Config) { c.Guards = guards }
	synctest.Test(t, func(t *testing.T) {
		later()
		time.Sleep(24 * time.Hour)
		w := newWorld(t, 1, keep)
		time.Sleep(time.Hour)
		w.stop()
	})
	synctest.Test(t, func(t *testing.T) {
		later() // a day before
		w := newWorld(t, 1, keep)
		time.Sleep(time.Hour)
		if st := w.sender.Status(); st.PacketsSent != 0 || !strings.Contains(strings.Join(st.Reasons, " "), "older than one seen before") {
			t.Errorf("%d packets sent, reasons %q", st.PacketsSent, st.Reasons)
		}
		w.stop()
	})
}

// guardsFile is a file of guards that names an exit which is in no consensus, and
// for how many epochs it has failed.
func guardsFile(t *testing.T, epochs int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "guards.json")
	text := fmt.Sprintf(`{"entry":"","exit":"%064x","exit_operator":"gone","exit_failing":{"epochs":%d,"last":1}}`, 99, epochs)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A parcel that is sealed to another exit is never sent: its store is told that the
// exit has changed. A change is on the disk before anything is sealed to the new one.
func TestExitChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		var path string
		w := newWorld(t, 2, func(_ *fakenet.Network, c *sender.Config) {
			path = guardsFile(t, 504) // one more is a week of epochs of 20 minutes
			c.Guards = path
		})
		old, ok := w.sender.Exit()
		if !ok || old[31] != 99 {
			t.Fatalf("the exit is %x", old)
		}
		open := mixing.Parcel{ID: mixing.ID{1}, Fragments: 1}
		if err := w.sender.Add(t.Context(), sender.Parcel{Parcel: open, Exit: old, Expires: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		// The new choice cannot be written: the old one stays, and nothing is sent.
		dir := filepath.Dir(path)
		if err := os.Rename(dir, dir+"~"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if now, _ := w.sender.Exit(); now != old || w.changed() != 0 {
			t.Error("the exit changed before that was on the disk")
		}
		if st := w.sender.Status(); st.PacketsSent != 0 || !strings.Contains(strings.Join(st.Warnings, " "), "cannot be written") {
			t.Errorf("%d packets sent; warnings %q", st.PacketsSent, st.Warnings)
		}
		if err := os.Rename(dir+"~", dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		now, _ := w.sender.Exit()
		if b, err := os.ReadFile(path); err != nil || now == old || !strings.Contains(string(b), fmt.Sprintf("%x", now)) {
			t.Errorf("the exit is %x; the file %q (%v)", now, b, err)
		}
		if n := w.changed(); n != 1 {
			t.Errorf("the store was told of %d changes, want 1", n)
		}
		// One that was sealed before the change comes after it.
		open.ID = mixing.ID{2}
		if err := w.sender.Add(t.Context(), sender.Parcel{Parcel: open, Exit: old, Expires: 1 << 40}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := w.changed(); n != 2 {
			t.Errorf("the store was told %d times, want 2", n)
		}
		if st := w.sender.Status(); st.PacketsSent == 0 || st.PacketsSent != st.CoverSent {
			t.Errorf("%d packets sent, %d of them cover; want only cover", st.PacketsSent, st.CoverSent)
		}
		w.write(10)
		time.Sleep(time.Hour)
		if n := w.delivered(); n != 1 {
			t.Errorf("%d mails delivered, want that of the new exit", n)
		}
		w.stop()
	})
}

// An exit that comes under its entry's operator is not used any more.
func TestExitBecomesTheEntrysOperators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 2, func(n *fakenet.Network, _ *sender.Config) {
			from := n.Epoch(time.Now()) + 2
			n.Change = func(d *pki.Document) {
				if d.Epoch >= from {
					d.ServiceNodes[0].KaetzchenAdvertizedData[directory.Capability]["operator"] = "e"
				}
			}
		})
		time.Sleep(30 * time.Minute)
		if st := w.sender.Status(); !st.Protected {
			t.Fatalf("%v", st.Reasons)
		}
		time.Sleep(30 * time.Minute)
		before := w.sender.Status()
		time.Sleep(time.Hour)
		st := w.sender.Status()
		if st.PacketsSent != before.PacketsSent || !strings.Contains(strings.Join(st.Reasons, " "), "run by one operator") {
			t.Errorf("%d packets sent; reasons %q", st.PacketsSent-before.PacketsSent, st.Reasons)
		}
		w.stop()
	})
}

// An entry that takes every packet and returns none is changed before the exit is.
func TestEntryThatDropsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		const epochs = 3 * 24 * 3 // three days; all but the last three are over
		w := newWorld(t, 2, func(n *fakenet.Network, c *sender.Config) {
			n.Drop = func(int) bool { return true }
			id := n.Entries[0].ID()
			keys, err := katzenpost.NewKeys()
			if err != nil {
				t.Fatal(err)
			}
			other := &directory.Member{Role: directory.RoleEntry, Name: "other", Operator: "o", Address: "127.0.0.1:3"}
			other.SetKeys(keys.IdentityPublic, keys.LinkPublic)
			n.Entries = append(n.Entries, other)
			c.Guards = filepath.Join(t.TempDir(), "guards.json")
			text := fmt.Sprintf(`{"entry":"%x","entry_failing":{"epochs":%d,"last":1},"exit_failing":{"epochs":%[2]d,"last":1}}`, id, epochs-3)
			if err := os.WriteFile(c.Guards, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		})
		time.Sleep(50 * time.Minute)
		if st := w.sender.Status(); st.Entry != "entry" {
			t.Fatalf("changed to %s before three days had passed", st.Entry)
		}
		exit, _ := w.sender.Exit()
		time.Sleep(time.Hour)
		if st := w.sender.Status(); st.Entry != "other" {
			t.Errorf("the entry is %s after three days without a reply", st.Entry)
		}
		if now, _ := w.sender.Exit(); now != exit {
			t.Error("the exit changed first")
		}
		w.stop()
	})
}

// often makes the wait before anything is sent again so short, by chance too, that what
// these tests wait for happens in their time.
func often(_ *fakenet.Network, c *sender.Config) { c.Resend = 5 * time.Minute }

// A mail's time passes: no fragment is sent any more, and its last question is asked.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 4, often)
		time.Sleep(30 * time.Minute)
		by, err := w.sender.Sealing()
		if err != nil {
			t.Fatal(err)
		}
		// The exit never hears of it whole: one fragment can be read of two.
		expires := w.net.Epoch(by.Now) + 3
		end := directory.EpochStart(expires+1, w.net.Parameters.Epoch)
		s := mail.Sealed{ID: mail.ParcelID{1}, Expires: expires, Data: make([]byte, 2*mail.FragmentCapacity(w.net.Parameters.Payload))}
		w.mu.Lock()
		w.parcels[s.ID], w.forgetful = s, true
		w.mu.Unlock()
		p := mixing.Parcel{ID: mixing.ID(s.ID), Fragments: 2, Queries: []time.Time{end.Add(time.Hour)}}
		if err := w.sender.Add(t.Context(), sender.Parcel{Parcel: p, Exit: by.Exit, Expires: expires}); err != nil {
			t.Fatal(err)
		}
		count := func() (fragments, queries int) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.requests[mail.Fragment], w.requests[mail.Query]
		}
		time.Sleep(time.Until(end.Add(20 * time.Minute)))
		sent, _ := count()
		if sent < 3 {
			t.Fatalf("%d fragments sent before the expiry; want some again", sent)
		}
		time.Sleep(5 * time.Hour)
		if after, queries := count(); after != sent || queries == 0 {
			t.Errorf("after the expiry %d fragments and %d questions were sent; want none, and some", after-sent, queries)
		}
		w.stop()
	})
}

// A fate that the store cannot keep is asked for until it can.
func TestStoreThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 4, often)
		time.Sleep(30 * time.Minute)
		set := func(broken bool) { w.mu.Lock(); w.broken = broken; w.mu.Unlock() }
		set(true)
		w.write(10)
		time.Sleep(3 * time.Hour)
		set(false)
		if n := w.delivered(); n != 0 {
			t.Fatal("a broken store kept something")
		}
		time.Sleep(3 * time.Hour)
		if n := w.delivered(); n != 1 {
			t.Error("what became of a mail was forgotten before the store had it")
		}
		w.stop()
	})
}

// After a start a mail can be sealed as soon as there is a consensus, by the key that
// was learnt before.
func TestKeysAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 1, nil)
		time.Sleep(30 * time.Minute)
		before, err := w.sender.Sealing()
		if err != nil {
			t.Fatal(err)
		}
		w.end()
		synctest.Wait()
		w.net.Drop = func(int) bool { return true }
		w.run()
		time.Sleep(time.Minute)
		if after, err := w.sender.Sealing(); err != nil || after.Key.ID != before.Key.ID {
			t.Errorf("sealed by %x, before by %x (%v)", after.Key.ID, before.Key.ID, err)
		}
		w.end()
		time.Sleep(24 * time.Hour) // to the next day
		w.run()
		time.Sleep(time.Minute)
		if _, err := w.sender.Sealing(); !errors.Is(err, sender.ErrNoKey) {
			t.Errorf("on the next day: %v", err)
		}
		w.stop()
	})
}

// A start in the last moments of an epoch, when the next one's consensus has been
// seen already, is not silent until then.
func TestRestartAtTheEndOfAnEpoch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 1, nil)
		period := w.net.Parameters.Epoch
		time.Sleep(2*period - period*3/100) // at 0.97 of an epoch
		w.end()
		w.run()
		time.Sleep(period / 40)
		if st := w.sender.Status(); st.Epoch != w.net.Epoch(time.Now()) {
			t.Errorf("the consensus in use is of epoch %d, the epoch is %d; reasons %q", st.Epoch, w.net.Epoch(time.Now()), st.Reasons)
		}
		w.stop()
	})
}

// A disk that stalls for an hour costs no slot, with mail or without.
func TestStoreThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 8, nil)
		w.stall = time.Hour // nothing is read yet
		time.Sleep(30 * time.Minute)
		w.write(10)
		w.write(10)
		before := w.sender.Status()
		time.Sleep(50 * time.Minute)
		during := w.sender.Status()
		if sent := during.PacketsSent - before.PacketsSent; sent != 150 || during.SlotsMissed != before.SlotsMissed {
			t.Errorf("%d packets sent and %d slots missed in 150 slots", sent, during.SlotsMissed-before.SlotsMissed)
		}
		if during.CoverSent-before.CoverSent != 150 {
			t.Error("a fragment was sent before it was read")
		}
		time.Sleep(2 * time.Hour)
		after := w.sender.Status()
		if n := w.delivered(); n != 2 || after.SlotsMissed != before.SlotsMissed {
			t.Errorf("%d mails delivered, %d slots missed; want both, and none", n, after.SlotsMissed-before.SlotsMissed)
		}
		w.stop()
	})
}

// Slots that go by while the sender is kept from its work are all counted.
func TestSkippedSlotsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 1, nil)
		time.Sleep(30 * time.Minute)
		slot := w.net.Parameters.Slot
		before := w.sender.Status()
		w.sender.Keep(5 * slot)
		time.Sleep(20 * slot)
		after := w.sender.Status()
		sent, missed := after.PacketsSent-before.PacketsSent, after.SlotsMissed-before.SlotsMissed
		if missed < 4 || sent+missed < 19 || sent+missed > 21 {
			t.Errorf("%d packets sent and %d slots missed in 20 slots, of which 4 went by at least", sent, missed)
		}
		w.stop()
	})
}

// A fragment that cannot be read ends its mail's sending, and no other's.
func TestUnreadableFragment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		later()
		w := newWorld(t, 8, nil)
		time.Sleep(30 * time.Minute)
		by, err := w.sender.Sealing()
		if err != nil {
			t.Fatal(err)
		}
		p := mixing.Parcel{ID: mixing.ID{1}, Fragments: 36, Queries: []time.Time{time.Now().Add(time.Hour)}}
		if err := w.sender.Add(t.Context(), sender.Parcel{Parcel: p, Exit: by.Exit, Expires: w.net.Epoch(by.Now) + 100}); err != nil {
			t.Fatal(err)
		}
		w.write(10)
		time.Sleep(30 * time.Minute)
		if n := w.delivered(); n != 1 {
			t.Errorf("%d mails delivered, want the one that can be read", n)
		}
		time.Sleep(90 * time.Minute)
		if w.mu.Lock(); w.requests[mail.Fragment] != 1 || w.requests[mail.Query] != 0 {
			t.Errorf("%d fragments and %d questions were sent, want the other mail's fragment alone", w.requests[mail.Fragment], w.requests[mail.Query])
		}
		w.mu.Unlock()
		w.stop()
	})
}

// A mix whose key cannot be used is passed by. Where there is no other, nothing is
// sent: no slot carries less than another.
func TestUnusableMixKey(t *testing.T) {
	for name, alone := range map[string]bool{"beside another": false, "alone in its layer": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				later()
				w := newWorld(t, 8, func(n *fakenet.Network, _ *sender.Config) {
					n.Change = func(d *pki.Document) {
						bad := *d.Topology[1][0]
						bad.Name, bad.IdentityKey = "bad", append([]byte{}, bad.IdentityKey...)
						bad.IdentityKey[0] ^= 1
						bad.MixKeys = map[uint64][]byte{d.Epoch: {1}, d.Epoch + 1: {1}, d.Epoch + 2: {1}}
						if alone {
							d.Topology[1] = nil
						}
						d.Topology[1] = append(d.Topology[1], &bad)
					}
				})
				time.Sleep(90 * time.Minute)
				st := w.sender.Status()
				packets, others := 0, 0
				for _, e := range w.events() {
					switch e.command {
					case "*commands.SendPacket":
						packets++
					case "*commands.GetConsensus2":
					default:
						others++
					}
				}
				greetings := 1 // for a clock, at the connection's beginning
				if alone && (packets != 0 || others != greetings || st.Protected) {
					t.Errorf("%d packets and %d other commands were sent, protected %v", packets, others, st.Protected)
				}
				if !alone && (packets < 265 || others < 2*packets-2) {
					t.Errorf("%d packets and %d other commands in 270 slots", packets, others)
				}
				w.stop()
			})
		})
	}
}
