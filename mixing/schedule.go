package mixing

import "time"

// schedule is a binary heap of things by time, earliest first. Things that no longer hold are not
// searched for and taken out; who takes them from the top sees that they are stale.
type schedule[T any] []entry[T]

type entry[T any] struct {
	at   time.Time
	what T
}

func (s *schedule[T]) push(at time.Time, what T) {
	h := append(*s, entry[T]{at, what})
	i := len(h) - 1
	for i > 0 && h[i].at.Before(h[(i-1)/2].at) {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
		i = (i - 1) / 2
	}
	*s = h
}

// due reports whether the earliest entry's time has come.
func (s schedule[T]) due(now time.Time) bool {
	return len(s) > 0 && !s[0].at.After(now)
}

// pop takes the earliest entry out.
func (s *schedule[T]) pop() entry[T] {
	h := *s
	top, last := h[0], len(h)-1
	h[0] = h[last]
	h[last] = entry[T]{}
	h = h[:last]
	for i := 0; ; {
		child := 2*i + 1
		if child+1 < last && h[child+1].at.Before(h[child].at) {
			child++
		}
		if child >= last || !h[child].at.Before(h[i].at) {
			break
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
	*s = h
	return top
}
