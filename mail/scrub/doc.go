// Package scrub takes the mail of any mail program and makes a new one that says
// nothing of its writer but what they wrote.
//
//	result, err := scrub.Scrub(written, scrub.Options{Room: room})
//	result.Message  // what may leave: subject, text, attachments
//	result.Removed  // what was removed or changed, and why, for the writer
//
// The new mail is built from a closed list of what may be in one: a subject, one
// text, and attachments of a few kinds, each made anew from what it shows (packages
// picture and pdf). Nothing is copied from the old one that this package does not
// understand, so nothing has to be found to be removed. What it does not understand
// it refuses with a *[mail.Refusal]: in plain words, the part and what to do.
//
// A mail's parts come to one of two shapes: text alone, or text and attachments. Of
// alternatives the last that has text is taken, which is the HTML if there is one
// (package hypertext); texts follow one another; a forwarded mail becomes text;
// signatures, invitations and keys are left out. Then the text gets one form, whoever's
// program wrote it (package prose). docs/scrubbing.md has the whole policy.
//
// 1 GiB of memory and 30 seconds of a core suffice for any mail of [MaxSubmission] bytes: what takes
// long draws from one budget, by what it costs at most ([picture.Budget], [pdf.Budget]), and TestWorst
// searches for mails that take more.
//
// It has no network, disk or clock, and draws no random numbers: the same mail
// comes out the same on every machine. It may import mail, its own sub-packages,
// go-message (to parse), golang.org/x/text and the standard library.
package scrub
