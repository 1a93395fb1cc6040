// Package mixkeys keeps a node's mix keys, one for each epoch, on the disk.
//
// A node publishes the keys of an epoch and of the two after it before that epoch begins, and opens packets
// with the keys of the previous, the current and the next epoch. So there are keys from the previous epoch to
// three ahead:
//
//	keys, err := mixkeys.Open(dir, geometry, sealer, nil)
//	err = keys.Ensure(now)            // at the start, and at least once in every epoch
//	public := keys.Public(now + 1)    // for the descriptor
//	private := keys.Private(now)      // for packets
//	err = keys.Close()
//
// The rules it keeps:
//
//   - A key is on the disk, sealed, before its public half can be had, so that a node that restarts comes
//     back with every key that it has published.
//   - A key is gone from memory and disk once its epoch and the next are over, so that nobody who takes the
//     machine later opens packets recorded before. The file of replay tags beside it goes after it: a key
//     without its tags would let packets be replayed.
//   - An epoch gets one key, ever. Authorities refuse a second descriptor for an epoch, those that have not
//     seen the first would vote for another one, and gateways go on with a consensus for two epochs after
//     its own: a new key for an epoch that was published is used by some and not by others. What was made
//     is noted in epochs.toml, which survives the keys.
//
// So when a key is lost, because its file is damaged or somebody removed it, this happens. Packets made with
// its public half do not open and are dropped; their senders send again. Public returns nil for its epoch. A
// descriptor for an earlier epoch leaves it out; the descriptor of that epoch itself cannot be made without
// it, so the node is not in that epoch's consensus and gets no packets there. All other epochs are as ever.
// If everything is lost but the note, the node is back after four epochs.
//
// Ensure believes the epoch it is told. If it is told one that is ahead of the truth, the keys in between
// are erased and, once the clock is right again, lost; one behind the truth costs nothing. So the epoch
// should come from a consensus, or be checked against one.
//
// The package imports the packet format and sealed storage, and knows nothing of networks and clocks.
package mixkeys
