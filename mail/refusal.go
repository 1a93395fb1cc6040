package mail

import "fmt"

// Refusal is the error for a mail that cannot be sent. Reason is one or more
// sentences of ASCII for the person who wrote it: what is wrong and what to
// do. It never quotes the mail. TooLarge is set if a smaller one could be sent.
type Refusal struct {
	Reason   string
	TooLarge bool
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}
