// Package pdf rebuilds a PDF page by page into a new document that has nothing
// but what its pages show.
//
//	left := pdf.NewBudget(pictures)     // for all documents of one mail; pictures is of package picture
//	d, err := pdf.Open(data, left)
//	data, size, err := d.Encode(step)   // its pictures at a step of the package picture
//	notices := d.Removed()
//
// # How
//
// The old document is walked from its first page to its last. What a page needs is built anew from
// lists of what is allowed (ISO 32000-1), in the order in which it is met,
// under names that are numbers, and written in one form: one version, object streams,
// no identifiers. What is on no list is never copied, so what nobody knows of cannot stay.
//
//   - Content streams are read operator by operator and written again: no comments, no
//     marked content, one form of every number. Inline pictures become resources.
//   - Fonts are rebuilt inside: TrueType without names, vendors, licences, dates
//     and signatures; CFF (of OpenType nothing else is kept) and Type 1 without names, notices and unique ids. Fonts are called F1, F2
//     and so on; glyphs with uncommon names are numbered. A simple font that is not
//     embedded becomes the nearest of the standard 14.
//   - Pictures go through the package picture, as if they were attached alone. Those of
//     one bit a pixel, of few colours, or very small, are drawings whose pixels stay.
//   - Colour profiles give way to the device's colours; spot colours are numbered.
//   - The appearance of filled fields and of marks on the page becomes part of the page.
//     Links, comments behind icons, and the pictures of digital signatures do not.
//   - Layers that are off are left out, the others are no longer layers.
//
// Bookmarks, page labels, the description for screen readers, programs, forms, attached
// files, and all that the catalog, pages and objects say about themselves are left out.
//
// # What is refused
//
// What needs a password to be opened (one that only forbids changes is left out, with a notice); damaged beyond what every reader repairs;
// JPEG 2000, JBIG2, faxes with two-dimensional lines of Group 3, pictures in spot colours or
// Lab; multiple master and damaged fonts; composite and symbolic fonts that are not embedded;
// marks and filled fields without an appearance; layers whose state differs between screen and print;
// and whatever goes beyond the bounds on pages, objects, decoded bytes, pixels and
// work, from which time and memory follow. They are on all documents of one mail together, and
// the work is that of the other pictures, too. Each is a [mail.Refusal] that says what to do.
//
// # What stays
//
// What a reader can make visible: content beyond the page's edge or under other content,
// text in white or without ink, as searchable scans have it. Words for
// screen readers go, and so the text that is copied out can differ where they replaced the
// page's own. Numbers keep up to six digits after the point, so the habits of a typesetting program
// in placing letters can still be told. The size of the pages stays.
//
// # Why not a library
//
// The libraries for PDF in Go load all objects of a file at once, and copy the data of each;
// their bounds are for one stream, not for the file. With many entries that lead to one large stream, a
// small file then needs any amount of memory. The reader here parses an object when a page needs
// it, and holds slices of the file; a document that was opened keeps nothing of it. The tests ask
// pdfcpu whether what is written is valid.
//
// The package is pure functions. It may import the standard library, golang.org/x/image and, of
// Sourdine, mail for its Refusal and mail/scrub/picture.
package pdf
