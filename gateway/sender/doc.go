// Package sender is the part of a gateway that the network sees. From the start
// of the process to its end it sends one packet in every slot: a fragment of a
// mail, a question about one, or cover, all alike, each with a reply block. What
// it does, and when, does not depend on what its user writes:
//
//   - Slots come from mixing.Clock. A slot that cannot be used is gone.
//   - Connections, their retries and the consensus have a schedule of their own,
//     drawn from a random source that nothing of a mail ever touches.
//   - The packet of a slot is wrapped when the slot before it has gone, whatever it
//     carries. A fragment is in it if it was read from the disk by then; no packet
//     waits for one.
//
// One goroutine, the loop of [Sender.Run], owns all state and waits for no disk.
// Others dial, read, write and check signatures for it and hand it what they have;
// two belong to the [Store]: one reads fragments, and one does all the rest,
// writing the file of guards too.
//
// The package may import directory, link, mail, mixing and sphinx. It knows no
// user, no SMTP and no secret of the user's.
package sender
