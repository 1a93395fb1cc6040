package mixing

// Ticket names a packet that was sent. Tickets count up from 1 in the order of sending; 0 is no
// packet.
type Ticket uint64

// flights remembers the packets under way by their tickets. It forgets from the front, so it is as
// long as the packets sent since the oldest that is still under way.
type flights struct {
	all   []flight
	first Ticket // the ticket of all[0]
	head  int    // all[:head] are closed
}

type flight struct {
	piece      // what it carries; the zero piece for cover and questions
	open  bool // neither answered nor overdue
}

// next is the ticket that the next packet will get.
func (f *flights) next() Ticket { return f.first + Ticket(len(f.all)) }

func (f *flights) add(x piece) Ticket {
	t := f.next()
	f.all = append(f.all, flight{x, true})
	return t
}

func (f *flights) open(t Ticket) bool {
	return t >= f.first && t < f.next() && f.all[t-f.first].open
}

// close ends a packet's flight and returns what it carried, or false if it was not under way.
func (f *flights) close(t Ticket) (piece, bool) {
	if !f.open(t) {
		return piece{}, false
	}
	x := f.all[t-f.first].piece
	f.all[t-f.first] = flight{}
	for f.head < len(f.all) && !f.all[f.head].open {
		f.head++
	}
	// Moving the rest down only when it is no more than what went keeps the cost per packet constant.
	if 2*f.head >= len(f.all) {
		f.first += Ticket(f.head)
		rest := copy(f.all, f.all[f.head:])
		clear(f.all[rest:])
		f.all, f.head = f.all[:rest], 0
	}
	return x, true
}
