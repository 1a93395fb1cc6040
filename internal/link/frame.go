package link

import (
	"errors"
	"slices"
	"sync"
	"unsafe"

	"codeberg.org/sourdine/sourdine/sphinx"
)

// Frame is the memory that one command travels in:
//
//	sealed header 20 | command header 6 | packet, and what is padded to it … | MAC 16 | 20
//
// A session opens a record in the frame that it was received into. A packet can
// then be unwrapped where it lies, and sealed where it lies for the next hop. The
// last 20 bytes are for the next record's header, which is read together with the
// body.
//
// A frame belongs to whoever was given it, one at a time, until they release it or
// send it.
type Frame struct {
	from   *Frames
	buf    []byte
	length int  // of the command at buf[sealedHeader:]; 0: there is none
	lent   bool // it is somebody's, and not in the pool
}

// aroundCommand is what a frame has besides room for a command, in bytes.
const aroundCommand = sealedHeader + macLength + sealedHeader

// Frames lends out the frames of a geometry, for all of a network's sessions. It
// is safe for concurrent use.
//
// Behind it is a sync.Pool. How many frames are out is decided by those who keep
// packets, above all by the delays of a mix, and it is there that a node holds to
// its budget; a list with a bound of its own would only repeat that. What a burst
// leaves behind goes back to the system, and sessions share no lock.
type Frames struct {
	sizes
	room int // for a command, in every frame that is kept
	free sync.Pool
}

// NewFrames returns the frames of a geometry.
func NewFrames(g *sphinx.Geometry) *Frames { return newFrames(newSizes(g)) }

// NewAuthorityFrames returns the frames of a session with an authority. They carry no
// packet, and an authority pads no command (Katzenpost core/wire/commands,
// NewPKICommands): they are for who asks only whether it answers, and its clock.
func NewAuthorityFrames() *Frames { return newFrames(sizes{up: commandHeader, down: commandHeader}) }

func newFrames(z sizes) *Frames {
	p := &Frames{sizes: z}
	p.room = max(p.largest(true), p.largest(false))
	p.free.New = func() any { return p.newFrame(p.room) }
	return p
}

func (p *Frames) newFrame(room int) *Frame {
	return &Frame{from: p, buf: make([]byte, room+aroundCommand)}
}

// Memory is how many bytes a frame takes of the machine, as the allocator rounds it.
func (p *Frames) Memory() int {
	return cap(slices.Grow([]byte(nil), p.room+aroundCommand)) + int(unsafe.Sizeof(Frame{}))
}

// Packet is how many bytes a packet takes on the line.
func (p *Frames) Packet() int { return sealedHeader + commandHeader + p.packet + macLength }

// MaxChunk is the longest Data of a Consensus2, in bytes. A stock node cuts a
// consensus into pieces of that length.
func (p *Frames) MaxChunk() int { return p.down }

// EvenChunk is the longest Data, in bytes, with which a Consensus2 is as long as
// every other command of a responder's. With more, up to 15 bytes, it stands out.
func (p *Frames) EvenChunk() int { return p.down - commandHeader - chunkLength }

// Make returns a frame with a command in it, whose Data it copies.
func (p *Frames) Make(c Command) (*Frame, error) {
	length, err := p.length(&c)
	if err != nil {
		return nil, err
	}
	f := p.get(length)
	f.put(&c, length)
	return f, nil
}

// get returns a frame with room for a command. There is none in those that are
// kept for most Consensuses, whose frames are made and left to the collector.
func (p *Frames) get(length int) *Frame {
	var f *Frame
	if length <= p.room {
		f = p.free.Get().(*Frame)
	} else {
		f = p.newFrame(length)
	}
	f.lent = true
	return f
}

// Packet is the packet of the SendPacket or SendRetrievePacket in the frame.
func (f *Frame) Packet() []byte { return f.command()[commandHeader:][:f.from.packet] }

// Size is how many bytes the frame's command takes on the line.
func (f *Frame) Size() int { return len(f.record()) }

// Set writes another command into the frame: what a hop makes of the one that it
// received. Data may lie in the frame, and is moved then. A Consensus, which may
// find no room, is for Make.
func (f *Frame) Set(c Command) error {
	if !f.lent {
		panic("link: a frame was used after it was released or sent")
	}
	length, err := f.from.length(&c)
	if err != nil {
		return err
	}
	if length > len(f.buf)-aroundCommand {
		return errors.New("writing a command: the frame is too small for it")
	}
	f.put(&c, length)
	return nil
}

func (f *Frame) put(c *Command, length int) {
	f.length = length
	put(f.command(), c)
}

// Release gives the frame back, wiped: a packet is no secret, what an exit unwraps
// from it can be. Nothing of the frame, and no Data in it, may be used afterwards.
func (f *Frame) Release() {
	if !f.lent {
		panic("link: a frame was released or sent twice")
	}
	f.lent, f.length = false, 0
	clear(f.buf)
	if len(f.buf) == f.from.room+aroundCommand {
		f.from.free.Put(f)
	}
}

// command is where the frame's command lies.
func (f *Frame) command() []byte { return f.buf[sealedHeader:][:f.length] }

func (f *Frame) kind() Kind { return Kind(f.command()[0]) }

// record is the frame's command with room for what seals it.
func (f *Frame) record() []byte { return f.buf[:sealedHeader+f.length+macLength] }
