package directory

import (
	"fmt"
	"time"
)

// epochZero is the start of epoch 0 (Katzenpost core/epochtime).
var epochZero = time.Date(2017, 6, 1, 0, 0, 0, 0, time.UTC)

// EpochAt returns the number of the epoch of the given length that t lies in.
func EpochAt(t time.Time, period time.Duration) uint64 {
	if t.Before(epochZero) || period <= 0 {
		return 0
	}
	return uint64(t.Sub(epochZero) / period)
}

// EpochStart returns the instant at which an epoch of the given length begins.
func EpochStart(epoch uint64, period time.Duration) time.Time {
	return epochZero.Add(time.Duration(epoch) * period)
}

// Bounds of an epoch's length.
const (
	minEpoch = 2 * time.Second
	maxEpoch = 24 * time.Hour
)

func checkEpoch(period time.Duration) error {
	if period < minEpoch || period > maxEpoch || period%time.Second != 0 {
		return fmt.Errorf("epoch %v is not between %v and %v in whole seconds", period, minEpoch, maxEpoch)
	}
	return nil
}
