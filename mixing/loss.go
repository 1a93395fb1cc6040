package mixing

import "slices"

// loss measures how many of the last packets were lost. A packet counts from the moment its fate is
// known: it was answered, or it was due and was not. An answer that comes later still corrects the
// figure as long as the packet is among the last window ones: a machine that slept gets what its
// entry kept for it, and was not attacked.
//
// Holding starts when the share of lost packets exceeds max and ends when it is down to half of max,
// so that a share that wavers about the threshold does not switch the mail on and off. It does not
// start before half a window is known, lest the first packets after a start decide.
type loss struct {
	window  int
	max     float64
	known   uint64       // packets whose fate is known, ever
	lost    []lostPacket // those lost of the last window, oldest first
	holding bool
}

type lostPacket struct {
	ticket Ticket
	place  uint64 // the packet's position among the known ones, from 1
}

func (l *loss) answered() {
	l.known++
	l.judge()
}

func (l *loss) missed(t Ticket) {
	l.known++
	l.lost = append(l.lost, lostPacket{t, l.known})
	l.judge()
}

func (l *loss) late(t Ticket) {
	i := slices.IndexFunc(l.lost, func(p lostPacket) bool { return p.ticket == t })
	if i >= 0 {
		l.lost = slices.Delete(l.lost, i, i+1)
		l.judge()
	}
}

func (l *loss) judge() {
	gone := 0
	for gone < len(l.lost) && l.lost[gone].place+uint64(l.window) <= l.known {
		gone++
	}
	l.lost = slices.Delete(l.lost, 0, gone)
	lost, of := l.figure()
	limit := l.max * float64(of)
	if float64(lost) <= limit/2 {
		l.holding = false
	} else if float64(lost) > limit && 2*of >= l.window {
		l.holding = true
	}
}

// figure returns the number of lost packets and that of all packets in the window.
func (l *loss) figure() (lost, of int) {
	return len(l.lost), int(min(l.known, uint64(l.window)))
}
