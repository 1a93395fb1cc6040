package sender

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// Two keys of one day are one too many, and no further ones hide it.
func TestTwoKeysOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)))
		s, _, now := behind(t, 0)
		s.set(func(p *published) { p.exitID, p.exitKnown = sphinx.NodeID{1}, true })
		today := mailDay(now)
		key := func(day uint32, n byte) mail.DayKey { return mail.NewDayKey(day, []byte{n}) }
		if _, err := s.Sealing(); err != ErrNoKey {
			t.Fatalf("without a key: %v", err)
		}
		s.setKey(key(today-1, 1))
		s.setKey(key(today, 2))
		s.setKey(key(today+1, 3))
		s.setKey(key(today, 2))
		if by, err := s.Sealing(); err != nil || by.Key.ID != key(today, 2).ID || by.Exit != (sphinx.NodeID{1}) {
			t.Fatalf("sealed by %+v: %v", by, err)
		}
		if st := s.Status(); !st.CanAccept {
			t.Error("takes no mail")
		}
		s.setKey(key(today, 4))
		for n := byte(5); n < 50; n++ {
			s.setKey(key(today+1, n))
		}
		s.setKey(key(today, 50))
		if _, err := s.Sealing(); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "two keys") {
			t.Errorf("with two keys: %v", err)
		}
		if st := s.Status(); st.CanAccept || !strings.Contains(strings.Join(st.Warnings, " "), "two keys") {
			t.Errorf("status %+v", st)
		}
	})
}
