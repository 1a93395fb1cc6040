// Package directory is the view of the network: which authorities sign the
// consensus, what a consensus says, and which way a packet takes.
//
//   - A [Network] is the signed file that every member and user holds: the
//     authorities' keys, the entries, the parameters.
//   - A [View] is one epoch's consensus, checked against the authorities' keys.
//   - A [Route] is a path there and back with every hop's delay.
//
// Documents are Katzenpost's (core/pki, core/cert). The package does no network
// and no disk I/O: it is given bytes and answers with what they mean, or why
// they are refused. It may import sphinx and mixing.
package directory
