// Package mail is what Sourdine knows about mail: it reads what a mail program
// submits, rebuilds it in one canonical form that says nothing about that
// program, packs it into parcels sealed to an exit, and defines the requests
// and replies that carry a parcel through the network.
//
// A mail goes through the package in this order:
//
//	m, err := Read(data, limit)            // gateway: parse, refuse or scrub
//	s, err := SealParcel(p, key, n)        // gateway: pad to a bucket, seal to the exit's key of the day
//	b, err := s.Request(i, n).Marshal(n)   // gateway: the i-th packet's payload, n bytes
//	r, err := ParseRequest(b)              // exit
//	p, err := OpenParcel(sealed, private)  // exit: once all fragments are there
//	b := p.Render(from, i)                 // exit: the message for the i-th recipient
//	b, err := reply.Marshal(n)             // exit: what it knows of a parcel, and its keys
//
// The package never removes from a message: it takes the subject and the text
// and writes a new one. What is not a plain text mail it refuses with a
// *[Refusal], in words meant for the writer that quote nothing of the mail.
//
// It has no network, disk or clock, and keeps no state; randomness comes from
// crypto/rand only, in [SealParcel]. It may import the standard library,
// go-message (to parse) and golang.org/x/text, and nothing else of Sourdine.
//
// docs/formats.md describes every format here exactly enough to write another
// implementation; testdata/vectors.json has examples.
package mail
