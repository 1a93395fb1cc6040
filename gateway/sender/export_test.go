package sender

import (
	"context"
	"time"
)

// Keep keeps the sender from its work for so long.
func (s *Sender) Keep(d time.Duration) {
	s.events <- func(context.Context, time.Time) { time.Sleep(d) }
}
