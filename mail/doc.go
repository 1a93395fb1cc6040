// Package mail is what Sourdine knows about mail that is fit to leave: the one
// canonical form of a message, which says nothing about who wrote it with what,
// the parcels sealed to an exit that it travels in, and the requests and replies
// that carry a parcel through the network.
//
// A mail goes through the package in this order:
//
//	r, err := scrub.Scrub(written, options)// gateway: package scrub makes a Message, or refuses
//	s, err := SealParcel(p, key, n)        // gateway: pad to a bucket, seal to the exit's key of the day
//	b, err := s.Request(i, n).Marshal(n)   // gateway: the i-th packet's payload, n bytes
//	r, err := ParseRequest(b)              // exit
//	p, err := OpenParcel(sealed, private)  // exit: once all fragments are there
//	b := p.Render(from, i)                 // exit: the message for the i-th recipient
//	b, err := reply.Marshal(n)             // exit: what it knows of a parcel, and its keys
//
// It has no network, disk or clock, and keeps no state; randomness comes from
// crypto/rand only, in [SealParcel]. It may import the standard library and
// golang.org/x/text, and nothing else of Sourdine.
//
// docs/formats.md describes every format here exactly enough to write another
// implementation; testdata/vectors.json has examples.
package mail
