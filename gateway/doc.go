// Package gateway is the user's side: a mail program submits over SMTP, the
// mail is rebuilt, sealed to the exit and stored, and from then on it is the
// gateway's to deliver or to report.
//
//   - submission takes the mail from the mail program,
//   - queue keeps it, sealed, until the exit is responsible for it, and its
//     state for as long as its user may ask,
//   - sender sends, in every slot, whatever there is to send.
//
// This package joins the three, and answers `sourdine status` and `sourdine
// queue` over a socket. What it keeps for its user (recipients, subjects,
// reasons of failure) is sealed to the user's key, which opens with the password
// that the mail program logs in with; to send it needs no secret.
//
// It may import everything below it, and is imported by cmd alone.
package gateway
