package mixing

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// kolmogorovSmirnov returns √n times the greatest distance between the samples' distribution and
// cdf. For samples of cdf it exceeds 1.95 in one run of a thousand; the seeds here are fixed.
func kolmogorovSmirnov(samples []float64, cdf func(float64) float64) float64 {
	slices.Sort(samples)
	n, d := float64(len(samples)), 0.0
	for i, x := range samples {
		d = max(d, cdf(x)-float64(i)/n, float64(i+1)/n-cdf(x))
	}
	return d * math.Sqrt(n)
}

func TestDelayIsExponential(t *testing.T) {
	const n, mean = 200_000, 60 * time.Second
	rng := newRand(2)
	samples, sum := make([]float64, n), 0.0
	for i := range samples {
		d := Delay(rng, mean)
		if d < time.Millisecond || d%time.Millisecond != 0 {
			t.Fatalf("delay of %v", d)
		}
		samples[i] = d.Seconds()
		sum += samples[i]
	}
	if got := sum / n; math.Abs(got-60) > 4*60/math.Sqrt(n) {
		t.Errorf("mean is %.3f s, want 60 s", got)
	}
	if d := kolmogorovSmirnov(samples, func(x float64) float64 { return 1 - math.Exp(-x/60) }); d > 1.95 {
		t.Errorf("Kolmogorov-Smirnov statistic %.2f", d)
	}
}

func TestDelayBounds(t *testing.T) {
	rng := newRand(3)
	for _, test := range []struct {
		mean, least, most time.Duration
	}{
		{0, time.Millisecond, time.Millisecond},
		{-time.Hour, time.Millisecond, time.Millisecond},
		{time.Microsecond, time.Millisecond, time.Millisecond},
		{time.Hour, time.Millisecond, 27632 * time.Hour / 1000},
		{math.MaxInt64, time.Millisecond, math.MaxUint32 * time.Millisecond},
	} {
		for range 1000 {
			if d := Delay(rng, test.mean); d < test.least || d > test.most {
				t.Errorf("mean %v: delay %v, want %v to %v", test.mean, d, test.least, test.most)
			}
		}
	}
	if d := Delay(rng, math.MaxInt64); d != math.MaxUint32*time.Millisecond {
		t.Errorf("a delay longer than a Sphinx command can say is %v", d)
	}
}

// Samples beyond the quantile 1−1e-12 are cut to it. Nobody waits for one to come, so the source is
// made to send the sampler into its tail with the smallest uniform numbers.
func TestDelayClamp(t *testing.T) {
	for _, uniform := range []uint64{0, 1} { // −ln of 0 and of 2^-53
		if x := rand.New(&tail{uniform: uniform}).ExpFloat64(); x <= longest {
			t.Fatalf("the source's sample %.3f is not beyond the quantile", x)
		}
		got := Delay(rand.New(&tail{uniform: uniform}), time.Hour)
		if want := 99_471_676 * time.Millisecond; got != want { // 3.6e6·ln(1e12) ms
			t.Errorf("delay %v, want %v", got, want)
		}
	}
}

type tail struct {
	uniform uint64
	inTail  bool
}

func (s *tail) Uint64() uint64 {
	if !s.inTail {
		s.inTail = true
		return math.MaxUint32 // layer 0, right of its rectangle
	}
	return s.uniform
}

func TestMoments(t *testing.T) {
	const n = 5
	const whole, grace = 5 * 24 * time.Hour, 6 * time.Hour
	rng := newRand(4)
	until := start.Add(whole)
	var early, last []float64
	for range 5000 {
		m := Moments(rng, start, until, grace, n)
		if len(m) != n || !slices.IsSortedFunc(m, time.Time.Compare) {
			t.Fatalf("moments %v", m)
		}
		for _, at := range m[:n-1] {
			early = append(early, math.Log(at.Sub(start).Minutes()))
		}
		last = append(last, m[n-1].Sub(until).Hours())
	}
	low, high := math.Log(10), math.Log(whole.Minutes())
	if d := kolmogorovSmirnov(early, func(x float64) float64 { return min(max((x-low)/(high-low), 0), 1) }); d > 1.95 {
		t.Errorf("early moments are not log-uniform: Kolmogorov-Smirnov statistic %.2f", d)
	}
	if d := kolmogorovSmirnov(last, func(x float64) float64 { return min(max(x/6, 0), 1) }); d > 1.95 {
		t.Errorf("last moments are not uniform in the grace: Kolmogorov-Smirnov statistic %.2f", d)
	}
}

func TestMomentsEdges(t *testing.T) {
	rng := newRand(5)
	hour := start.Add(time.Hour)
	for _, test := range []struct {
		name        string
		from, until time.Time
		grace       time.Duration
		n, want     int
	}{
		{"none", start, hour, time.Hour, 0, 0},
		{"fewer than none", start, hour, time.Hour, -1, 0},
		{"only the last", start, hour, time.Hour, 1, 1},
		{"over already", hour, start, time.Hour, 5, 1},
		{"no time", start, start, time.Hour, 5, 1},
		{"no grace", start, hour, 0, 5, 5},
		{"negative grace", start, hour, -time.Hour, 5, 5},
	} {
		m := Moments(rng, test.from, test.until, test.grace, test.n)
		if len(m) != test.want {
			t.Errorf("%s: %d moments, want %d", test.name, len(m), test.want)
		}
		if len(m) > 0 {
			if after := m[len(m)-1].Sub(test.until); after < 0 || after > max(test.grace, 0) {
				t.Errorf("%s: the last moment is %v after the end", test.name, after)
			}
		}
	}
}
