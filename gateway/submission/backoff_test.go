package submission

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"codeberg.org/sourdine/sourdine/internal/keyring"
)

func wrong() error { return keyring.ErrPassword }
func right() error { return nil }

func TestBackoffGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{first: firstDelay}
		took := func(attempt func() error, want error) time.Duration {
			t.Helper()
			start := time.Now()
			if err := b.try(t.Context(), attempt); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
			return time.Since(start)
		}
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			if got := took(wrong, keyring.ErrPassword); got != want*time.Second {
				t.Errorf("wrong password %d took %v, want %v", i+1, got, want*time.Second)
			}
		}
		for range 100 {
			if got := took(wrong, keyring.ErrPassword); got != time.Minute {
				t.Fatalf("a wrong password took %v in the end", got)
			}
		}
		damaged := errors.New("damaged")
		if got := took(func() error { return damaged }, damaged); got != 0 {
			t.Errorf("an attempt that tells nothing took %v", got)
		}
		if got := took(wrong, keyring.ErrPassword); got != time.Minute {
			t.Errorf("an attempt that tells nothing reset the delay to %v", got)
		}
		if got := took(right, nil); got != 0 {
			t.Errorf("the right password took %v", got)
		}
		if got := took(wrong, keyring.ErrPassword); got != time.Second {
			t.Errorf("the first wrong password after a right one took %v", got)
		}
	})
}

// TestBackoffPlaces has many guessers at once: few of them run, and the rate of guesses stays low.
func TestBackoffPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{first: firstDelay}
		var mu sync.Mutex
		tried := 0
		attempt := func() error {
			mu.Lock()
			defer mu.Unlock()
			tried++
			return keyring.ErrPassword
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var guessers sync.WaitGroup
		for range 100 {
			guessers.Go(func() {
				for ctx.Err() == nil {
					if errors.Is(b.try(ctx, attempt), errBusy) {
						time.Sleep(time.Second)
					}
				}
			})
		}
		guessers.Wait()
		if most := maxAttempts * (60 + 10); tried > most || tried < maxAttempts*50 {
			t.Errorf("%d guesses in an hour, want about %d", tried, most)
		}
		if b.attempts != 0 {
			t.Errorf("%d places still taken", b.attempts)
		}
	})
}

// TestBackoffLetsTheRightPasswordIn while a wrong one waits for its answer.
func TestBackoffLetsTheRightPasswordIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{first: firstDelay, failures: 10}
		go b.try(t.Context(), wrong)
		synctest.Wait()
		start := time.Now()
		if err := b.try(t.Context(), right); err != nil || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestBackoffEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := backoff{first: firstDelay, failures: 10}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := b.try(ctx, wrong); !errors.Is(err, keyring.ErrPassword) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

// TestBackoffAfterPanic gives the place back.
func TestBackoffAfterPanic(t *testing.T) {
	b := backoff{first: firstDelay}
	func() {
		defer func() { recover() }()
		b.try(t.Context(), func() error { panic("fault") })
	}()
	if b.attempts != 0 {
		t.Errorf("%d places taken", b.attempts)
	}
}
