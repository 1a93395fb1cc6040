package mixing

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// longest is the quantile 1−1e-12 of the exponential distribution of mean 1, −ln(1e-12). No draw
// goes beyond it, so that the life of a packet has an end that timeouts can be built on; one packet
// in 10^12 notices.
const longest = 27.631021115928547

// Delay draws an exponential time of the given mean, in whole milliseconds: the unit of a Sphinx
// delay command, whose field of 32 bits also bounds it. It is at least 1 ms and at most the quantile
// 1−1e-12. The exponential is the distribution under which a packet that leaves a mix may be, with
// equal probability, any of those inside (Danezis, "The Traffic Analysis of Continuous-Time Mixes",
// 2004, section 4).
func Delay(rng *rand.Rand, mean time.Duration) time.Duration {
	x := min(rng.ExpFloat64(), longest)
	ms := math.Round(x * float64(mean) / float64(time.Millisecond))
	return time.Duration(min(max(ms, 1), math.MaxUint32)) * time.Millisecond
}

// earliest is the shortest wait before the first of [Moments], as a fraction of the whole: ten
// minutes of five days.
const earliest = 1.0 / 720

// Moments draws the n moments at which a parcel's state is asked for, in order. The first n−1 are
// log-uniform between from and until: the time since from is between 1/720 of the whole and the
// whole, dense at first, when most mails are delivered, and sparse later. The last is uniform in the
// grace after until, when every recipient's outcome is known. A parcel that is over at from gets
// only the last.
func Moments(rng *rand.Rand, from, until time.Time, grace time.Duration, n int) []time.Time {
	if n <= 0 {
		return nil
	}
	moments := make([]time.Time, 0, n)
	if whole := until.Sub(from); whole > 0 {
		for range n - 1 {
			part := math.Pow(earliest, rng.Float64())
			moments = append(moments, from.Add(time.Duration(part*float64(whole))))
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	return append(moments, until.Add(time.Duration(rng.Float64()*float64(max(grace, 0)))))
}
