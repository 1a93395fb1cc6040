package submission

import (
	"context"
	"errors"
	"sync"
	"time"

	"codeberg.org/sourdine/sourdine/internal/keyring"
)

const (
	firstDelay  = time.Second
	maxDelay    = time.Minute
	maxAttempts = 8 // running or waiting at a time
)

// errBusy says that too many attempts run or wait.
var errBusy = errors.New("too many attempts to log in")

// backoff slows down whoever guesses passwords. A right password is answered at once; the answer to the n-th wrong
// one in a row waits 1 s, 2 s, 4 s … 60 s, and keeps one of a few places as long, even if its sender has hung up.
// So guesses come at most maxAttempts a minute in the end, and the user's own slip does not hold up what follows.
type backoff struct {
	first time.Duration // the first delay

	mu       sync.Mutex
	failures int // in a row
	attempts int
}

// try runs attempt and returns its error, keyring.ErrPassword only after the delay or when ctx ends. It returns
// errBusy without running attempt when there is no place.
func (b *backoff) try(ctx context.Context, attempt func() error) error {
	if !b.enter() {
		return errBusy
	}
	defer b.leave()
	err := attempt()
	if delay := b.result(err); delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return err
}

func (b *backoff) enter() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.attempts == maxAttempts {
		return false
	}
	b.attempts++
	return true
}

func (b *backoff) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts--
}

// result counts an attempt and returns how long its answer waits. An error that says nothing about the password
// neither counts nor waits.
func (b *backoff) result(err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.failures = 0
	}
	if !errors.Is(err, keyring.ErrPassword) {
		return 0
	}
	delay := min(b.first<<min(b.failures, 16), maxDelay)
	b.failures++
	return delay
}
