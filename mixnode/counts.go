package mixnode

import "sync/atomic"

// counts is what the node has done since its start.
type counts struct {
	received  atomic.Uint64 // packets, from nodes and gateways
	forwarded atomic.Uint64 // handed to a neighbour's connection
	replies   atomic.Uint64 // at an entry: handed to a gateway's connection
	requests  atomic.Uint64 // at an exit: given to the handler
	answers   atomic.Uint64 // at an exit: sent back

	damaged    atomic.Uint64 // made for none of the node's keys, or changed
	replayed   atomic.Uint64 // seen before
	misrouted  atomic.Uint64 // whose commands this node's role does not obey
	unroutable atomic.Uint64 // for a node that is not next to this one any more
	limited    atomic.Uint64 // from a gateway that sends more than the consensus lets it
	throttled  atomic.Uint64 // from a node that sends more than its share, and so had to wait
	shed       atomic.Uint64 // dropped at random, for the memory was full
	slow       atomic.Uint64 // dropped at random, for the line's budget was used up
	stale      atomic.Uint64 // waited too long: for their neighbour, their gateway or the handler's answer
	unsynced   atomic.Uint64 // whose tags could not be written to disk
	broken     atomic.Uint64 // lost with a connection that broke as they were written
	overdue    atomic.Uint64 // answers of the handler that came too late to hide how long they took
}
