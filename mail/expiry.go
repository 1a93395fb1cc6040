package mail

// Memory is for how many epochs an exit remembers a parcel beyond its expiry, so
// that its gateway's last question, repeated if it is lost, finds an answer. expiry is how many epochs
// the exit lets a parcel live.
func Memory(expiry uint64) uint64 { return max(2, expiry/4) }
