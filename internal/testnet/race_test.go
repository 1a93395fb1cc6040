package testnet

import (
	"strings"
	"testing"
)

const between = "==================\n"

// Reports as the race detector writes them, shortened.
const (
	engineRace = between + `WARNING: DATA RACE
Read at 0x00c00009cf48 by goroutine 127:
  github.com/katzenpost/katzenpost/server/internal/incoming.(*listener).CloseOldConns()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/server/internal/incoming/listener.go:277 +0x311

Previous write at 0x00c00009cf48 by main goroutine:
  github.com/katzenpost/katzenpost/server.New()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/server/server.go:463 +0x346e
  codeberg.org/sourdine/sourdine/mixnode.Run()
      /src/mixnode/node.go:41 +0x929
  main.nodeCommand.func1()
      /src/cmd/sourdine/node.go:38 +0x433

Goroutine 127 (running) created at:
  codeberg.org/sourdine/sourdine/mixnode.(*Handler).listen()
      /src/mixnode/handler.go:38 +0x433
` + between
	inlinedRace = between + `WARNING: DATA RACE
Write at 0x00c00004aca0 by main goroutine:
  github.com/katzenpost/katzenpost/server.(*Server).halt()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/server/server.go:150 +0x2ab
  codeberg.org/sourdine/sourdine/mixnode.Run.(*Server).Shutdown.func2()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/server/server.go:127 +0x33
` + between
	ownRace = between + `WARNING: DATA RACE
Write at 0x00c00009ab80 by goroutine 41:
  github.com/katzenpost/katzenpost/core/wire.(*Session).Close()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/core/wire/session.go:698 +0x11b
  codeberg.org/sourdine/sourdine/internal/link.(*Conn).Close()
      /src/internal/link/link.go:117 +0x3d

Previous write at 0x00c00009ab80 by goroutine 19:
  github.com/katzenpost/katzenpost/core/wire.(*Session).Close()
      /go/pkg/mod/github.com/katzenpost/katzenpost@v0.0.99/core/wire/session.go:698 +0x11b
` + between
)

func TestOwnRaces(t *testing.T) {
	for name, test := range map[string]struct {
		log  string
		want int
	}{
		"none":    {"time=… level=INFO msg=started\n", 0},
		"engine":  {engineRace, 0},
		"inlined": {inlinedRace, 0},
		"ours":    {ownRace, 1},
		"both":    {"a line\n" + engineRace + "another\n" + ownRace + engineRace, 1},
	} {
		if got := ownRaces(test.log); len(got) != test.want {
			t.Errorf("%s: %d reports, want %d: %s", name, len(got), test.want, strings.Join(got, "\n"))
		}
	}
}
