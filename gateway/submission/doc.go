// Package submission is the door that the user's mail program knocks at: an SMTP submission server (RFC 6409) for
// one user, on loopback or a unix socket.
//
//	certificate, fingerprint, err := submission.Certificate(dir)
//	server, err := submission.New(submission.Config{Listen: "127.0.0.1:1025", ...}, ring, accept, log)
//	err = server.Serve(ctx) // until ctx ends and the last session is over
//
// A mail program logs in with AUTH PLAIN or LOGIN as one of the user's personas, over TLS or the unix socket; its
// password unlocks the user's key for as long as the session lasts. What it submits is reduced at once to a
// mail.Message and checked recipients. Envelope sender, ESMTP parameters (DSN's options among them) and the mail's own
// header end here, but for the ids of the mails that it answers. The Accepter gets the rest as a Letter and makes it
// durable; 250 is said only after that. A connection, and the user's minute, take a bounded number of mails.
//
// It refuses, with a text that says what to do: remote addresses to listen on, mail without a login, logins
// without TLS, addresses outside mail.Address's subset, and whatever package scrub refuses. Wrong passwords cost the
// guesser a growing delay. Its log never holds an address, a name, a text, or a client's network address.
//
// It stores nothing but its certificate and knows nothing of parcels or packets. It imports the standard library,
// x/time/rate, go-smtp, go-sasl, mail, mail/scrub, internal/keyring and internal/config.
package submission
