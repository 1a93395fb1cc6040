// Package mixnode is a node of the network: mix, entry or exit. A mix takes
// packets from its neighbours, removes its layer, keeps each for the time its
// sender chose, and passes it on. An entry also serves gateways, and an exit
// gives what arrives to a [Handler] and sends what it answers.
//
// A packet goes through it so, in one and the same memory from its arrival on:
//
//	incoming.go   connections that others opened: who may, and what they send
//	unwrap.go     which key, seen before or not, where to
//	mixer.go      the delay, and the replay tag on disk, before it may leave
//	outgoing.go   a connection to each neighbour
//
// and where it ends here, to entry.go or exit.go, whose handler plugin.go speaks with.
// keys.go has the mix keys with
// their replay tags, view.go who is next to this node, publish.go the node's life
// with the authorities, router.go the address at which a home's router lets others in;
// loops.go sends packets to the node itself, and says where they are lost. replay and
// mixkeys are rooms of their own.
//
// What its operator has of it:
//
//	config.go   what the configuration says, and budget.go what it may use
//	check.go    what a node needs, and clock.go whether its clock is right, which
//	            clock_wall.go reads, or clock_testclock.go in tests of whole networks
//	status.go   how it fares, and metrics.go the same for Prometheus
//	life.go     a changed configuration, the supervisor, the end
//	leave.go    how it leaves the network
//
// What always holds: a packet leaves only after its replay tag is on disk, be it to a
// neighbour, to a gateway or as an exit's answer; a packet that is damaged, replayed,
// late or forged is dropped and counted, and nothing else happens; what waits in the
// node stays within its budget, and what is shed then is drawn at random; no log line
// and no error names a peer's address.
//
// The node speaks Katzenpost's protocols: its links and packets, its descriptors
// and consensus, its clients. So nodes of ours and stock ones can stand in one
// network, in any role.
//
// It knows packets and nothing of mail. What an exit's handler does with a payload
// happens in a process of its own: the node starts it, and each of the two ends
// when the other does, so that whoever supervises the node starts both again.
package mixnode
