// Package mixnode is a node of the network: mix, entry or exit. A mix takes
// packets from its neighbours, removes its layer, keeps each for the time its
// sender chose, and passes it on. An entry also serves gateways, and an exit
// gives what arrives to a [Handler] and sends what it answers.
//
// The node knows packets and nothing of mail. What an exit's handler does with
// a payload happens in a process of its own: the node starts it, and each of the
// two ends when the other does, so that whoever supervises the node starts both
// again. The packet switching is Katzenpost's (server), embedded; it is not
// allowed to log, because its lines name peers' addresses.
package mixnode
