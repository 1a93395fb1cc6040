package mixnode

import (
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// maxMessage bounds what the node and its handler say to each other at once, in bytes:
// the largest payload there is, a reply block of the largest, and what stands around
// them. Neither trusts the other with its memory: a handler reads what strangers sent.
const maxMessage = sphinx.MaxUserPayload + 128<<10

// plugin reads Katzenpost's plugin protocol (server/cborplugin): values in CBOR, one
// behind the other.
type plugin struct {
	decode *cbor.Decoder
	room   *io.LimitedReader
}

// pluginValues are read that have few parts, of a length that is said before them. A
// longer list would be gone through anew with each byte of it that comes.
var pluginValues = func() cbor.DecMode {
	mode, err := cbor.DecOptions{
		MaxNestedLevels: 4, MaxArrayElements: 16, MaxMapPairs: 16, // the library's least
		IndefLength: cbor.IndefLengthForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

func newPlugin(conn io.Reader) *plugin {
	room := &io.LimitedReader{R: conn}
	return &plugin{decode: pluginValues.NewDecoder(room), room: room}
}

// next reads a value into v. What was read ahead of it before was no whole value, and
// so at most maxMessage bytes.
func (p *plugin) next(v any) error {
	p.room.N = maxMessage
	err := p.decode.Decode(v)
	if errors.Is(err, io.ErrUnexpectedEOF) && p.room.N <= 0 {
		return fmt.Errorf("a message of more than %d bytes", maxMessage)
	}
	return err
}
