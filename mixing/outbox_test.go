package mixing

import (
	"math"
	"math/bits"
	"testing"
	"time"
)

const slot = 20 * time.Second

var params = Params{ResendMean: time.Hour, Window: 100, MaxLoss: 0.2}

func id(n int) ID { return ID{byte(n), byte(n >> 8)} }

// send asks for the next packet, checks what it carries, and sends it.
func send(t *testing.T, o *Outbox, now time.Time, want Choice) Ticket {
	t.Helper()
	if got := o.Next(now); got != want {
		t.Fatalf("the packet carries %+v, want %+v", got, want)
	}
	return o.Sent(want, now.Add(time.Minute))
}

// never checks that no fragment is ready, now or after any wait.
func never(t *testing.T, o *Outbox, now time.Time) {
	t.Helper()
	if c := o.Next(now.Add(1000 * time.Hour)); c.Kind == Fragment {
		t.Fatalf("fragment %d is sent", c.Index)
	}
}

func TestEmptyOutboxSendsCover(t *testing.T) {
	o := NewOutbox(params, newRand(1))
	for i := range 10 {
		o.Answered(send(t, o, start.Add(time.Duration(i)*slot), Choice{}))
	}
	if lost, of := o.Loss(); lost != 0 || of != 10 {
		t.Errorf("lost %d of %d, want 0 of 10", lost, of)
	}
}

func TestFragmentStates(t *testing.T) {
	fragment := Choice{Kind: Fragment, Parcel: id(1)}
	late := start.Add(time.Hour)
	for _, test := range []struct {
		name string
		do   func(o *Outbox, t Ticket)
		sent bool // whether the fragment is sent again
	}{
		{"in flight", func(o *Outbox, t Ticket) {}, false},
		{"not yet due", func(o *Outbox, t Ticket) { o.Tick(start.Add(time.Minute - 1)) }, false},
		{"overdue", func(o *Outbox, t Ticket) { o.Tick(start.Add(time.Minute)) }, true},
		{"stored", func(o *Outbox, t Ticket) { o.Answered(t); o.Update(t, id(1), 0, false, false, start) }, false},
		{"stored, then due", func(o *Outbox, t Ticket) {
			o.Answered(t)
			o.Update(t, id(1), 0, false, false, start)
			o.Tick(late)
		}, false},
		{"not stored", func(o *Outbox, t Ticket) { o.Answered(t); o.Update(t, id(1), 1, false, false, start) }, true},
		{"answer without a state", func(o *Outbox, t Ticket) { o.Answered(t) }, false},
		{"lost, stored by a late answer", func(o *Outbox, t Ticket) {
			o.Tick(late)
			o.Answered(t)
			o.Update(t, id(1), 0, false, false, late)
		}, false},
		{"lost, ready again, stored by a late answer", func(o *Outbox, t Ticket) {
			o.Tick(late)
			o.Next(late.Add(1000 * time.Hour))
			o.Answered(t)
			o.Update(t, id(1), 0, false, false, late)
		}, false},
		{"lost, complete by a late answer", func(o *Outbox, t Ticket) {
			o.Tick(late)
			o.Answered(t)
			o.Update(t, id(1), 0, true, false, late)
		}, false},
		{"missing says an answer about another packet", func(o *Outbox, t Ticket) {
			o.Update(o.Sent(Choice{}, late), id(1), 1, false, false, start)
		}, false},
		{"another parcel's answer", func(o *Outbox, t Ticket) {
			o.Answered(t)
			o.Update(t, id(1), 0, false, false, start)
			o.Update(t, id(2), 1, false, false, start)
		}, false},
		{"removed", func(o *Outbox, t Ticket) { o.Remove(id(1)); o.Tick(late) }, false},
		{"removed while waiting", func(o *Outbox, t Ticket) { o.Tick(late); o.Remove(id(1)) }, false},
		{"final", func(o *Outbox, t Ticket) { o.Answered(t); o.Update(t, id(1), 1, false, true, start) }, false},
		{"complete, then said to be missing", func(o *Outbox, t Ticket) {
			o.Answered(t)
			o.Update(t, id(1), 0, true, false, start)
			o.Update(o.Sent(Choice{}, late), id(1), 1, false, false, start)
		}, false},
		{"answered twice", func(o *Outbox, t Ticket) {
			o.Answered(t)
			o.Update(t, id(1), 0, false, false, start)
			o.Answered(t)
			o.Tick(late)
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutbox(Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1}, newRand(2))
			o.Add(Parcel{ID: id(1), Fragments: 1})
			test.do(o, send(t, o, start, fragment))
			if got := o.Next(start.Add(1000*time.Hour)) == fragment; got != test.sent {
				t.Errorf("sent again: %v, want %v", got, test.sent)
			}
			checkLists(t, o)
		})
	}
}

func TestAddWhatTheExitHas(t *testing.T) {
	o := NewOutbox(params, newRand(3))
	o.Add(Parcel{ID: id(1), Fragments: 5, Have: 0b10110})
	o.Add(Parcel{ID: id(1), Fragments: 64}) // again: ignored
	o.Add(Parcel{ID: id(2), Fragments: 3, Complete: true})
	var sent uint64
	for range 2 {
		c := o.Next(start)
		if c.Kind != Fragment || c.Parcel != id(1) {
			t.Fatalf("the packet carries %+v", c)
		}
		sent |= 1 << c.Index
		o.Sent(c, start.Add(time.Minute))
	}
	if sent != 0b01001 {
		t.Errorf("fragments sent: %05b, want 01001", sent)
	}
	send(t, o, start, Choice{})
}

func TestAddRefusesImpossibleParcels(t *testing.T) {
	for _, n := range []int{-1, 0, MaxFragments + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a parcel of %d fragments is accepted", n)
				}
			}()
			NewOutbox(params, newRand(4)).Add(Parcel{ID: id(1), Fragments: n})
		}()
	}
}

// Answers overtake each other: one made before another fragment came in does not make that one sent
// again, but one to a packet that left after we knew it stored does.
func TestForgottenIsToldFromOvertaken(t *testing.T) {
	o := NewOutbox(params, newRand(5))
	o.Add(Parcel{ID: id(1), Fragments: 2, Queries: []time.Time{start.Add(time.Hour)}})
	first := o.Next(start)
	t1 := o.Sent(first, start.Add(time.Minute))
	second := o.Next(start)
	t2 := o.Sent(second, start.Add(time.Minute))

	o.Answered(t2)
	o.Update(t2, id(1), 1<<first.Index, false, false, start) // the exit has the second
	o.Answered(t1)
	o.Update(t1, id(1), 1<<second.Index, false, false, start) // made earlier, overtaken
	never(t, o, start)

	now := start.Add(time.Hour)
	query := send(t, o, now, Choice{Kind: Query, Parcel: id(1)})
	o.Answered(query)
	o.Update(query, id(1), math.MaxUint64, false, false, now) // the exit forgot the parcel
	if c := o.Next(now); c.Kind != Cover {
		t.Errorf("a forgotten fragment is sent again without a wait: %+v", c)
	}
	o.Next(now.Add(1000 * time.Hour))
	if len(o.ready) != 2 {
		t.Errorf("%d fragments of a forgotten parcel are ready again, want 2", len(o.ready))
	}
	checkLists(t, o)
}

// A fragment that was counted lost, sent again, and then stored by the first packet's late answer is
// not sent a third time while the second packet is under way.
func TestForgottenWhileInFlight(t *testing.T) {
	o := NewOutbox(params, newRand(6))
	o.Add(Parcel{ID: id(1), Fragments: 2, Have: 0b10, Queries: []time.Time{start}})
	fragment := Choice{Kind: Fragment, Parcel: id(1)}
	t1 := send(t, o, start, fragment)
	o.Tick(start.Add(time.Minute))
	now := start.Add(100 * time.Hour)
	if o.Next(now) != fragment {
		t.Fatal("a lost fragment is not ready again")
	}
	t2 := o.Sent(fragment, now.Add(time.Hour))
	o.Answered(t1)
	o.Update(t1, id(1), 0b10, false, false, now)
	query := send(t, o, now, Choice{Kind: Query, Parcel: id(1)})
	o.Answered(query)
	o.Update(query, id(1), 0b11, false, false, now)
	if f := o.parcels[id(1)].fragments[0]; f.state != flying || f.last != t2 {
		t.Errorf("the fragment is in state %d with packet %d, want in flight with %d", f.state, f.last, t2)
	}
	o.Tick(now.Add(time.Hour))
	if f := o.parcels[id(1)].fragments[0]; f.state != waiting {
		t.Errorf("the fragment is in state %d when its packet is overdue, want waiting", f.state)
	}
}

// A fragment that waits a second time is ready when its second wait ends, not its first.
func TestSecondWaitCounts(t *testing.T) {
	early, late := 0, 0
	for seed := range uint64(40) {
		o := NewOutbox(Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1}, newRand(seed))
		o.Add(Parcel{ID: id(1), Fragments: 1})
		ticket := send(t, o, start, Choice{Kind: Fragment, Parcel: id(1)})
		o.Tick(start.Add(time.Minute))
		f := &o.parcels[id(1)].fragments[0]
		first := f.again
		o.Answered(ticket)
		o.Update(ticket, id(1), 0, false, false, start) // late: it is stored
		cover := o.Sent(Choice{}, start)
		o.Answered(cover)
		o.Update(cover, id(1), 1, false, false, start) // and then forgotten
		second := f.again
		if second.After(first) {
			late++
			if c := o.Next(second.Add(-1)); c.Kind != Cover {
				t.Fatal("the fragment is ready when its first wait ends")
			}
		} else {
			early++
		}
		send(t, o, second, Choice{Kind: Fragment, Parcel: id(1)})
		if c := o.Next(first.Add(1000 * time.Hour)); c.Kind != Cover {
			t.Fatal("the fragment in flight is ready when its first wait ends")
		}
	}
	if early == 0 || late == 0 {
		t.Errorf("the second wait ends first in %d of 40 cases: one of the two is not tried", early)
	}
}

// A caller that sends the same fragment twice, against the rules, loses nothing by it: the fragment
// stays in flight until the second packet's fate is known.
func TestSameFragmentSentTwice(t *testing.T) {
	fragment := Choice{Kind: Fragment, Parcel: id(1)}
	for _, lost := range []bool{true, false} {
		o := NewOutbox(Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1}, newRand(6))
		o.Add(Parcel{ID: id(1), Fragments: 1})
		first := send(t, o, start, fragment)
		o.Sent(fragment, start.Add(time.Hour))
		if lost {
			o.Tick(start.Add(time.Minute))
		} else {
			o.Answered(first)
		}
		if f := o.parcels[id(1)].fragments[0]; f.state != flying {
			t.Errorf("first packet lost %v: the fragment is in state %d, want in flight", lost, f.state)
		}
		o.Tick(start.Add(time.Hour))
		if f := o.parcels[id(1)].fragments[0]; f.state != waiting {
			t.Errorf("second packet lost: the fragment is in state %d, want waiting", f.state)
		}
	}
}

// A packet made ready before its slot leaves even if an answer has made it needless since.
func TestNeedlessPacket(t *testing.T) {
	o := NewOutbox(params, newRand(7))
	o.Add(Parcel{ID: id(1), Fragments: 2, Have: 0b10, Queries: []time.Time{start.Add(time.Hour)}})
	c := o.Next(start)
	cover := o.Sent(Choice{}, start.Add(time.Minute))
	o.Update(cover, id(1), 0, false, false, start)
	o.Sent(c, start.Add(time.Minute))
	o.Remove(id(1))
	o.Sent(c, start.Add(time.Minute))
	o.Tick(start.Add(time.Minute))
	never(t, o, start)
	if lost, of := o.Loss(); lost != 3 || of != 3 {
		t.Errorf("lost %d of %d, want 3 of 3", lost, of)
	}
	checkLists(t, o)
}

func TestNextOnlyLooks(t *testing.T) {
	o := NewOutbox(params, newRand(8))
	o.Add(Parcel{ID: id(1), Fragments: 1, Queries: []time.Time{start}})
	for range 10 {
		if c := o.Next(start); c.Kind != Fragment {
			t.Fatalf("a missed slot cost the fragment: %+v", c)
		}
	}
	o.Sent(Choice{Kind: Fragment, Parcel: id(1)}, start.Add(time.Minute))
	for range 10 {
		if c := o.Next(start); c.Kind != Query {
			t.Fatalf("a missed slot cost the question: %+v", c)
		}
	}
}

func TestResendWaits(t *testing.T) {
	const n = 2000
	var samples []float64
	for seed := range uint64(n) {
		o := NewOutbox(Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1}, newRand(seed))
		o.Add(Parcel{ID: id(1), Fragments: 1})
		send(t, o, start, Choice{Kind: Fragment, Parcel: id(1)})
		o.Tick(start.Add(time.Minute))
		again := o.parcels[id(1)].fragments[0].again
		if o.Next(again.Add(-1)).Kind != Cover || o.Next(again).Kind != Fragment {
			t.Fatal("a lost fragment is not ready when its wait ends")
		}
		samples = append(samples, again.Sub(start.Add(time.Minute)).Hours())
	}
	if d := kolmogorovSmirnov(samples, func(x float64) float64 { return 1 - math.Exp(-x) }); d > 1.95 {
		t.Errorf("waits before sending again are not exponential: Kolmogorov-Smirnov statistic %.2f", d)
	}
}

func TestQueries(t *testing.T) {
	at := func(hours ...float64) (m []time.Time) {
		for _, h := range hours {
			m = append(m, start.Add(time.Duration(h*float64(time.Hour))))
		}
		return m
	}
	for _, test := range []struct {
		name    string
		moments []time.Time
		asked   []float64 // hours at which the machine runs one slot
		want    []bool
	}{
		{"each moment once", at(1, 2, 3), []float64{0, 1, 1.1, 2, 2.1, 3, 3.1, 100}, []bool{false, true, false, true, false, true, false, false}},
		{"overdue ones collapse", at(1, 2, 3), []float64{0, 2.5, 2.6, 3, 3.1}, []bool{false, true, false, true, false}},
		{"all overdue", at(1, 2, 3), []float64{50, 51}, []bool{true, false}},
		{"unsorted", at(3, 1), []float64{1, 1.1, 3}, []bool{true, false, true}},
		{"twice the same", at(1, 1), []float64{1, 1.1}, []bool{true, false}},
		{"none", nil, []float64{1}, []bool{false}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutbox(Params{ResendMean: 1000 * time.Hour, Window: 100, MaxLoss: 1}, newRand(9))
			o.Add(Parcel{ID: id(1), Fragments: 2, Complete: true, Queries: test.moments})
			for i, hour := range test.asked {
				now := at(hour)[0]
				want := Choice{}
				if test.want[i] {
					want = Choice{Kind: Query, Parcel: id(1)}
				}
				send(t, o, now, want)
				o.Tick(now.Add(time.Minute)) // no answer: the moment is used up all the same
			}
		})
	}
}

// The last question is asked again, a while after its answer was due, until the parcel is removed;
// the ones before are not, because others follow.
func TestLastQuestionIsRepeated(t *testing.T) {
	question := Choice{Kind: Query, Parcel: id(1)}
	for _, test := range []struct {
		name string
		end  func(o *Outbox, t Ticket, now time.Time)
	}{
		{"final", func(o *Outbox, t Ticket, now time.Time) { o.Answered(t); o.Update(t, id(1), 0, true, true, now) }},
		{"final, late", func(o *Outbox, t Ticket, now time.Time) {
			o.Tick(now)
			o.Answered(t)
			o.Update(t, id(1), 0, true, true, now)
		}},
		{"removed", func(o *Outbox, t Ticket, now time.Time) { o.Remove(id(1)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutbox(Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1}, newRand(15))
			now := start.Add(9 * time.Hour)
			o.Add(Parcel{ID: id(1), Fragments: 2, Complete: true, Queries: []time.Time{start, now}})
			send(t, o, start, question)
			send(t, o, now.Add(-1), Choice{}) // lost, and not repeated: another follows
			var last Ticket
			for i := range 4 {
				if i > 0 {
					now = o.parcels[id(1)].queries[0]
				}
				last = send(t, o, now, question)
				now = now.Add(time.Minute)
				switch i {
				case 0:
					o.Tick(now)
				case 1: // answered, but the exit does not know the end yet
					o.Answered(last)
					o.Update(last, id(1), 0, true, false, now)
				case 2: // an answer that cannot be read
					o.Answered(last)
				}
				send(t, o, now, Choice{}) // the wait counts from when the answer is due
			}
			test.end(o, last, now)
			send(t, o, now.Add(1000*time.Hour), Choice{})
		})
	}
}

func TestQueriesOfSeveralParcels(t *testing.T) {
	o := NewOutbox(params, newRand(10))
	for i, minute := range []int{3, 1, 2} {
		o.Add(Parcel{ID: id(i), Fragments: 1, Complete: true, Queries: []time.Time{start.Add(time.Duration(minute) * time.Minute)}})
	}
	o.Add(Parcel{ID: id(3), Fragments: 1, Complete: true, Queries: []time.Time{start}})
	o.Remove(id(3))
	o.Add(Parcel{ID: id(4), Fragments: 1})
	now := start.Add(time.Hour)
	send(t, o, now, Choice{Kind: Fragment, Parcel: id(4)})
	for _, i := range []int{1, 2, 0} { // due longest first
		send(t, o, now, Choice{Kind: Query, Parcel: id(i)})
	}
	send(t, o, now, Choice{})
}

// A monotonic reading of the time a mail was made must not decide about a moment days later.
func TestQueriesFollowTheWallClock(t *testing.T) {
	o := NewOutbox(params, newRand(11))
	now := time.Now()
	o.Add(Parcel{ID: id(1), Fragments: 1, Complete: true, Queries: []time.Time{now.Add(time.Hour)}})
	if q := o.parcels[id(1)].queries[0]; q != q.Round(0) {
		t.Error("the moment keeps a monotonic reading")
	}
}

func TestLoss(t *testing.T) {
	for _, test := range []struct {
		name     string
		window   int
		max      float64
		fates    string // a: answered, l: lost, A: late answer to the oldest lost packet not yet answered
		lost, of int
		holding  bool
	}{
		{"nothing known", 10, 0.2, "", 0, 0, false},
		{"too little known", 10, 0.2, "llll", 4, 4, false},
		{"half a window known", 10, 0.2, "lllll", 5, 5, true},
		{"at the limit", 10, 0.2, "aaaaaaaall", 2, 10, false},
		{"above the limit", 10, 0.2, "aaaaaaalll", 3, 10, true},
		{"old losses leave the window", 10, 0.2, "lllaaaaaaaaaa", 0, 10, false},
		{"the oldest leaves first", 10, 0.2, "laaaaaaaaall", 2, 10, false},
		{"still holding above half the limit", 10, 0.2, "aaaaaaalllaaaaaaaa", 2, 10, true},
		{"ends at half the limit", 10, 0.2, "aaaaaaalllaaaaaaaaa", 1, 10, false},
		{"late answers make up", 10, 0.2, "aaaaaaalllA", 2, 10, true},
		{"late answers end it", 10, 0.2, "aaaaaaalllAA", 1, 10, false},
		{"late answers to what left the window", 10, 0.2, "lllaaaaaaaaalA", 1, 10, false},
		{"no loss is borne", 10, 0, "aaaaaaaaal", 1, 10, true},
		{"no loss, no hold", 10, 0, "aaaaaaaaaa", 0, 10, false},
		{"all loss is borne", 10, 1, "llllllllll", 10, 10, false},
		{"no window", 0, 0.2, "llllllll", 0, 0, false},
		{"window of one", 1, 0.5, "l", 1, 1, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := NewOutbox(Params{ResendMean: time.Hour, Window: test.window, MaxLoss: test.max}, newRand(12))
			now := start
			var lost []Ticket
			for _, fate := range test.fates {
				now = now.Add(slot)
				switch fate {
				case 'a':
					o.Answered(o.Sent(o.Next(now), now.Add(slot)))
				case 'l':
					lost = append(lost, o.Sent(o.Next(now), now))
					o.Tick(now)
				case 'A':
					o.Answered(lost[0])
					o.Answered(lost[0]) // a second time changes nothing
					lost = lost[1:]
				}
			}
			if lost, of := o.Loss(); lost != test.lost || of != test.of || o.Holding() != test.holding {
				t.Errorf("lost %d of %d, holding %v; want %d of %d, %v", lost, of, o.Holding(), test.lost, test.of, test.holding)
			}
		})
	}
}

func TestSetMaxLoss(t *testing.T) {
	o := NewOutbox(params, newRand(12))
	for i := range 100 {
		ticket := o.Sent(o.Next(start), start)
		if i%10 != 0 {
			o.Answered(ticket)
		}
	}
	o.Tick(start) // 10 % are lost
	for _, test := range []struct {
		max  float64
		want bool
	}{{0.2, false}, {0.05, true}, {0.15, true}, {0.2, false}} {
		if o.SetMaxLoss(test.max); o.Holding() != test.want {
			t.Errorf("with 10 %% lost and a threshold of %v: holding %v", test.max, o.Holding())
		}
	}
}

func TestUnknownTicketsCountNothing(t *testing.T) {
	o := NewOutbox(params, newRand(13))
	ticket := o.Sent(Choice{}, start)
	for _, unknown := range []Ticket{0, ticket + 1, math.MaxUint64} {
		o.Answered(unknown)
	}
	if lost, of := o.Loss(); lost != 0 || of != 0 {
		t.Errorf("lost %d of %d, want nothing known", lost, of)
	}
	o.Answered(ticket)
	o.Answered(ticket)
	o.Tick(start)
	if lost, of := o.Loss(); lost != 0 || of != 1 {
		t.Errorf("lost %d of %d, want 0 of 1", lost, of)
	}
}

// While too much is lost, neither fragments nor questions leave, and none is lost by waiting.
func TestHoldingSendsOnlyCover(t *testing.T) {
	o := NewOutbox(params, newRand(14))
	o.Add(Parcel{ID: id(1), Fragments: 1})
	o.Add(Parcel{ID: id(2), Fragments: 1, Complete: true, Queries: []time.Time{start}})
	now := start
	for !o.Holding() {
		o.Sent(Choice{}, now)
		o.Tick(now)
	}
	for slots := 0; o.Holding(); slots++ {
		if slots > params.Window {
			t.Fatal("a window without loss does not end the holding")
		}
		o.Answered(send(t, o, now, Choice{}))
		now = now.Add(slot)
	}
	o.Answered(send(t, o, now, Choice{Kind: Fragment, Parcel: id(1)}))
	o.Answered(send(t, o, now, Choice{Kind: Query, Parcel: id(2)}))
}

// Whatever the parcels, each of their ready fragments is next with the same probability, and the
// order in which a parcel's fragments leave is uniform.
func TestFragmentOrderIsUniform(t *testing.T) {
	const trials = 20_000
	sizes := []int{1, 3, 4}
	rng := newRand(15)
	first := make([]float64, 8) // how often each of the 8 fragments is first
	var place [4][8]float64     // how often fragment i of the parcel of 4 is at each of the 8 places
	for range trials {
		o := NewOutbox(params, rng)
		base := map[ID]int{}
		n := 0
		for i, size := range sizes {
			base[id(i)] = n
			o.Add(Parcel{ID: id(i), Fragments: size})
			n += size
		}
		for k := range n {
			c := o.Next(start)
			o.Sent(c, start.Add(time.Hour))
			if k == 0 {
				first[base[c.Parcel]+c.Index]++
			}
			if c.Parcel == id(2) {
				place[c.Index][k]++
			}
		}
	}
	chi := func(counts []float64) (x float64) {
		const expected = trials / 8.0
		for _, n := range counts {
			x += (n - expected) * (n - expected) / expected
		}
		return x
	}
	const limit = 24.3 // of chi-square with 7 degrees of freedom: exceeded once in a thousand
	if x := chi(first); x > limit {
		t.Errorf("the first fragment is not uniform: chi-square %.1f, counts %v", x, first)
	}
	for i := range place {
		if x := chi(place[i][:]); x > limit {
			t.Errorf("the place of fragment %d is not uniform: chi-square %.1f, counts %v", i, x, place[i])
		}
	}
}

// checkLists checks that the lists agree with the fragments' states.
func checkLists(t *testing.T, o *Outbox) {
	t.Helper()
	total := 0
	for _, p := range o.parcels {
		for i := range p.fragments {
			f := &p.fragments[i]
			if f.state == ready {
				total++
				if f.place >= len(o.ready) || o.ready[f.place] != (piece{p, i}) {
					t.Fatalf("fragment %d is not at its place among the ready ones", i)
				}
			}
			if f.state == flying && !o.flights.open(f.last) {
				t.Fatalf("fragment %d is in flight without a packet", i)
			}
		}
	}
	if total != len(o.ready) {
		t.Fatalf("%d fragments are ready, %d are listed", total, len(o.ready))
	}
}

// network is a model of mixes and an exit: packets and answers take random times, may be lost, and
// overtake each other; the exit may forget what is incomplete.
type network struct {
	t       *testing.T
	o       *Outbox
	draw    interface{ Float64() float64 }
	loss    float64 // of each packet and each answer
	forgets float64 // probability, at each packet, that the exit forgets all incomplete parcels
	mean    time.Duration
	timeout time.Duration

	now      time.Time
	parcels  map[ID]*exitParcel
	arriving schedule[packet]
	answers  schedule[answer]
	under    map[Choice]int    // fragments under way, as the gateway can know
	expiry   schedule[*packet] // when they no longer are
	sent     map[Choice]int    // how often each fragment or question left
	slots    int
}

type exitParcel struct {
	count    int
	have     uint64
	complete bool
}

type packet struct {
	choice Choice
	ticket Ticket
	over   *bool
}

type answer struct {
	packet
	missing         uint64
	complete, final bool
}

func newNetwork(t *testing.T, seed uint64, p Params) *network {
	rng := newRand(seed)
	return &network{t: t, o: NewOutbox(p, rng), draw: rng, mean: 3 * time.Minute, timeout: 45 * time.Minute,
		now: start, parcels: map[ID]*exitParcel{}, under: map[Choice]int{}, sent: map[Choice]int{}}
}

func (n *network) add(p Parcel) {
	n.parcels[p.ID] = &exitParcel{count: p.Fragments, have: p.Have}
	n.o.Add(p)
}

func (n *network) delay() time.Duration {
	return time.Duration(-math.Log(1-n.draw.Float64()) * float64(n.mean))
}

// step runs one slot.
func (n *network) step() {
	n.slots++
	n.now = n.now.Add(slot)
	for n.arriving.due(n.now) {
		e := n.arriving.pop()
		n.exit(e.what, e.at)
	}
	for n.answers.due(n.now) {
		a := n.answers.pop().what
		n.land(&a.packet)
		n.o.Answered(a.ticket)
		if a.choice.Kind != Cover {
			n.o.Update(a.ticket, a.choice.Parcel, a.missing, a.complete, a.final, n.now)
		}
	}
	for n.expiry.due(n.now) {
		n.land(n.expiry.pop().what)
	}
	n.o.Tick(n.now)
	c := n.o.Next(n.now)
	p := packet{c, n.o.Sent(c, n.now.Add(n.timeout)), new(bool)}
	n.sent[c]++
	n.under[c]++
	if c.Kind == Fragment && n.under[c] > 1 {
		n.t.Fatalf("slot %d: two packets with fragment %d are under way", n.slots, c.Index)
	}
	n.expiry.push(n.now.Add(n.timeout), &p)
	if n.draw.Float64() >= n.loss {
		n.arriving.push(n.now.Add(n.delay()), p)
	}
	checkLists(n.t, n.o)
}

func (n *network) land(p *packet) {
	if !*p.over {
		*p.over = true
		n.under[p.choice]--
	}
}

func (n *network) exit(p packet, at time.Time) {
	if n.draw.Float64() < n.forgets {
		for _, x := range n.parcels {
			if !x.complete {
				x.have = 0
			}
		}
	}
	a := answer{packet: p}
	if x := n.parcels[p.choice.Parcel]; x != nil && p.choice.Kind != Cover {
		if p.choice.Kind == Fragment {
			x.have |= 1 << p.choice.Index
		}
		x.complete = x.complete || bits.OnesCount64(x.have) == x.count
		a.missing, a.complete = ^x.have, x.complete
	}
	if n.draw.Float64() >= n.loss {
		n.answers.push(at.Add(n.delay()), a)
	}
}

// done reports whether no fragment is left to send.
func (n *network) done() bool {
	for _, p := range n.o.parcels {
		if p.fragments != nil {
			return false
		}
	}
	return true
}

func (n *network) runUntilDone(slots int) {
	for !n.done() {
		if n.slots > slots {
			n.t.Fatalf("mail is left after %d slots", n.slots)
		}
		n.step()
	}
}

// With nothing lost every fragment leaves exactly once, however answers overtake each other.
func TestNothingIsSentTwiceWithoutLoss(t *testing.T) {
	for seed := range uint64(50) {
		n := newNetwork(t, seed, params)
		n.timeout = 10 * time.Hour
		for i, size := range []int{1, 36, 8, 64} {
			n.add(Parcel{ID: id(i), Fragments: size})
		}
		n.runUntilDone(2000)
		for c, times := range n.sent {
			if c.Kind == Fragment && times != 1 {
				t.Fatalf("seed %d: fragment %d left %d times", seed, c.Index, times)
			}
		}
		if lost, _ := n.o.Loss(); lost != 0 {
			t.Fatalf("seed %d: lost %d", seed, lost)
		}
	}
}

// Mail gets through loss, late answers and a forgetful exit, with at most one packet under way for a
// fragment (network.step checks) and never a slot without a packet.
func TestMailGetsThrough(t *testing.T) {
	for _, test := range []struct {
		name          string
		loss, forgets float64
		timeout       time.Duration
	}{
		{"loss", 0.1, 0, 45 * time.Minute},
		{"heavy loss", 0.5, 0, 45 * time.Minute},
		{"late answers", 0, 0, 5 * time.Minute},
		{"forgetful exit", 0, 0.0005, 45 * time.Minute},
		{"everything", 0.1, 0.0005, 5 * time.Minute},
	} {
		t.Run(test.name, func(t *testing.T) {
			for seed := range uint64(20) {
				n := newNetwork(t, 100+seed, Params{ResendMean: time.Hour, Window: 100, MaxLoss: 1})
				n.loss, n.forgets, n.timeout = test.loss, test.forgets, test.timeout
				for i, size := range []int{1, 12, 24} {
					var ask []time.Time
					for h := range 5 * 24 { // an exit that forgot is noticed by asking
						ask = append(ask, start.Add(time.Duration(h)*time.Hour))
					}
					n.add(Parcel{ID: id(i), Fragments: size, Queries: ask})
				}
				n.runUntilDone(20_000)
			}
		})
	}
}

// A gateway's packets leave at the same instants, and as many of them, with mail and without: the
// Clock alone decides. Here, with the holding at work, no slot stays empty.
func TestEverySlotHasAPacket(t *testing.T) {
	for seed := range uint64(10) {
		n := newNetwork(t, 200+seed, params)
		n.loss = 0.15 // of each way: 28 % in all, above the threshold
		n.add(Parcel{ID: id(1), Fragments: 36, Queries: []time.Time{start.Add(time.Hour)}})
		for range 1000 {
			n.step()
		}
		total := 0
		for _, times := range n.sent {
			total += times
		}
		if total != 1000 || n.sent[Choice{}] == 0 {
			t.Fatalf("seed %d: %d packets in 1000 slots, %d of cover", seed, total, n.sent[Choice{}])
		}
	}
}

// The same seed makes the same choices.
func TestDeterminism(t *testing.T) {
	run := func() (choices []Choice) {
		n := newNetwork(t, 300, params)
		n.loss = 0.05
		for i := range 5 {
			n.add(Parcel{ID: id(i), Fragments: 10, Queries: []time.Time{start.Add(time.Hour), start.Add(2 * time.Hour)}})
		}
		for range 2000 {
			choices = append(choices, n.o.Next(n.now))
			n.step()
		}
		return choices
	}
	a, b := run(), run()
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("slot %d: %+v and %+v", i, a[i], b[i])
		}
	}
}

// A simulator runs many outboxes that carry nothing: a slot of cover allocates nothing, and what an
// Outbox keeps is bounded by the packets under way.
func TestCoverAllocatesNothing(t *testing.T) {
	o := NewOutbox(params, newRand(400))
	now := start
	const underway = 40
	slotOf := func() {
		now = now.Add(slot)
		o.Tick(now)
		next := o.Sent(o.Next(now), now.Add(2*underway*slot))
		if next > underway {
			o.Answered(next - underway)
		}
	}
	for range 1000 {
		slotOf()
	}
	if allocations := testing.AllocsPerRun(1000, slotOf); allocations != 0 {
		t.Errorf("%v allocations a slot", allocations)
	}
	if n := len(o.flights.all); n > 4*underway {
		t.Errorf("%d flights are remembered with %d under way", n, underway)
	}
}

// FuzzOutbox feeds any sequence of events.
func FuzzOutbox(f *testing.F) {
	f.Add([]byte{0, 3, 1, 1, 2, 3, 4, 1, 5, 200, 6, 7})
	f.Fuzz(func(t *testing.T, events []byte) {
		o := NewOutbox(params, newRand(500))
		now := start
		var last Ticket
		for i, e := range events {
			arg := 0
			if i+1 < len(events) {
				arg = int(events[i+1])
			}
			switch e % 8 {
			case 0:
				o.Add(Parcel{ID: id(arg % 4), Fragments: 1 + arg%MaxFragments, Have: uint64(arg), Complete: arg > 240, Queries: []time.Time{now.Add(time.Duration(arg) * time.Minute)}})
			case 1:
				last = o.Sent(o.Next(now), now.Add(time.Duration(arg)*slot))
			case 2:
				last = o.Sent(Choice{Kind(arg % 5), id(arg % 5), arg - 100}, now.Add(slot))
			case 3:
				o.Answered(last - Ticket(arg%8))
			case 4:
				o.Update(last-Ticket(arg%8), id(arg%5), uint64(arg), arg%16 == 0, arg%64 == 1, now)
			case 5:
				now = now.Add(time.Duration(arg-10) * time.Minute)
			case 6:
				o.Tick(now)
			case 7:
				o.Remove(id(arg % 5))
			}
			if c := o.Next(now); c.Kind != Cover && (o.Holding() || o.parcels[c.Parcel] == nil) {
				t.Fatalf("the packet carries %+v", c)
			}
			if lost, of := o.Loss(); lost < 0 || lost > of || of > params.Window {
				t.Fatalf("lost %d of %d", lost, of)
			}
			checkLists(t, o)
		}
	})
}

// Ahead chooses any ready fragment but the one that is about to leave, and nothing
// that Next would not.
func TestAhead(t *testing.T) {
	o := NewOutbox(Params{ResendMean: time.Hour, Window: 10, MaxLoss: 0.2}, newRand(5))
	if c, ok := o.Ahead(start, Choice{}); ok {
		t.Fatalf("an empty outbox chooses %+v", c)
	}
	o.Add(Parcel{ID: id(1), Fragments: 1})
	only := Choice{Fragment, id(1), 0}
	if c, ok := o.Ahead(start, Choice{}); !ok || c != only || !o.Ready(c) {
		t.Fatalf("of one fragment it chooses %+v, %v", c, ok)
	}
	if c, ok := o.Ahead(start, only); ok {
		t.Fatalf("it chooses the one that leaves, %+v", c)
	}
	o.Add(Parcel{ID: id(2), Fragments: 3})
	counts := map[Choice]int{}
	for range 3000 {
		c, ok := o.Ahead(start, only)
		if !ok || !o.Ready(c) {
			t.Fatalf("it chooses %+v, %v", c, ok)
		}
		counts[c]++
	}
	for i := range 3 {
		if n := counts[Choice{Fragment, id(2), i}]; n < 900 || n > 1100 { // 1000 ± 4 standard errors
			t.Errorf("fragment %d of 3 is chosen %d times of 3000", i, n)
		}
	}
	o.Sent(only, start.Add(time.Minute))
	if o.Ready(only) || o.Ready(Choice{}) || o.Ready(Choice{Query, id(2), 0}) || o.Ready(Choice{Fragment, id(2), 3}) || o.Ready(Choice{Fragment, id(3), 0}) {
		t.Error("what is under way, or no fragment, is ready")
	}
	// While too much is lost nothing is chosen, but what is ready stays so.
	for range 10 {
		o.Sent(Choice{}, start)
	}
	o.Tick(start.Add(time.Second))
	if c, ok := o.Ahead(start, Choice{}); ok || !o.Holding() || !o.Ready(Choice{Fragment, id(2), 0}) {
		t.Errorf("while holding it chooses %+v, %v", c, ok)
	}
}
