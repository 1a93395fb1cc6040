// Package link is the line between two parties of the network: Katzenpost's link
// protocol (core/wire, version 3), as stock nodes and gateways speak it, in an
// implementation of our own. A gateway speaks it with its entry, and entries,
// mixes and exits with each other.
//
//   - A [Session] is an established line. [Initiate] opens it where one dialled,
//     [Respond] where one accepted. The handshake is Noise's pqXX with X-Wing,
//     ChaChaPoly and BLAKE2b, by the engine's own Noise library; the records
//     after it are ours.
//   - A [Command] is what a record carries: a packet, a reply, a question for a
//     consensus. Almost all of them are padded to one size.
//   - A [Frame] is the memory that a command travels in. A packet is received,
//     unwrapped, delayed and sent on in one and the same frame.
//   - A [Conn] is a gateway's side, in a gateway's words.
//
// To read it in the order of a connection: handshake.go, record.go, commands.go,
// frame.go, and session.go, which puts them together.
//
// A peer is trusted with nothing, an authenticated one no more than others. What
// it says about lengths is checked against the geometry before memory is taken for
// it, every wait has a deadline, and a peer that leaves the protocol in one bit is
// given up. An error says at which step that was, and holds no address, no name
// and no key, so that it can be logged.
//
// The package knows no consensus: who a peer should be is for the caller to say.
// It may import directory, sphinx and the engine's cryptography, and not the
// engine; its tests have Katzenpost's own implementation as their referee.
package link
