package submission

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// tally logs events without what could name a person, each kind at most once a minute, with a count. It stands
// in for go-smtp's log, whose lines hold network addresses and what mail programs sent.
type tally struct {
	log *slog.Logger

	mu    sync.Mutex
	kinds map[string]*events
}

type events struct {
	count  int // since logged
	logged time.Time
}

func newTally(log *slog.Logger) *tally {
	return &tally{log: log, kinds: make(map[string]*events)}
}

// note counts an event, and logs its kind with args if that is due. Kinds are few and written in the program.
func (t *tally) note(kind string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.kinds[kind]
	if e == nil {
		e = new(events)
		t.kinds[kind] = e
	}
	e.count++
	if now := time.Now(); now.Sub(e.logged) >= time.Minute {
		t.log.Warn(kind, append([]any{"times", e.count}, args...)...)
		e.count, e.logged = 0, now
	}
}

// Printf is what go-smtp calls. Only the format tells the kind; of a panic the names of the functions are kept.
func (t *tally) Printf(format string, args ...any) {
	switch {
	case strings.HasPrefix(format, "panic") && len(args) > 0:
		t.note("a mail program's session failed by a fault in this program, please report it", "functions", functions(args))
	case strings.HasPrefix(format, "accept"):
		t.note("a connection could not be accepted, too many open files?")
	default:
		t.note("a mail program's connection ended in an error")
	}
}

// Println is the rest of go-smtp's logger; it is not known to be called.
func (t *tally) Println(...any) { t.note("a mail program's connection ended in an error") }

// functions picks the names out of the stack that ends the arguments; beside them stand words of memory.
func functions(args []any) string {
	stack, _ := args[len(args)-1].([]byte)
	var names []string
	for line := range bytes.Lines(stack) {
		if end := bytes.LastIndexByte(line, '('); end > 0 && line[0] != '\t' {
			names = append(names, string(line[:end]))
		}
	}
	return strings.Join(names, " ")
}
