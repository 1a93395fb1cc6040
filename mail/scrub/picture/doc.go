// Package picture makes a picture anew, so that nothing is left but what people
// see in it: decoded, turned upright, scaled, and encoded with parameters that
// are the same for every picture of every writer.
//
//	p, err := picture.Decode(data)           // JPEG, PNG, GIF or WebP, told by its content
//	data, mediaType, err := p.Encode(step)   // image/jpeg or image/png, smaller with each step
//	notices := p.Removed()                   // what the picture lost, in words
//
// The pictures of one mail share a budget of work and memory:
//
//	b := picture.NewBudget(room)             // bytes for all that is attached
//	s, err := b.Decode(data)
//	data, mediaType, size, err := s.At(step) // as Encode has it, if the mail can fit at the step
//
// # What is left
//
// Pixels, and nothing else. The output is what the standard library's encoders write of
// an array of pixels, so there is no place in it for Exif, XMP, IPTC, previews, comments,
// profiles or bytes after the end. Exif's orientation is obeyed before it is forgotten.
// Transparency is laid on white: under a transparent pixel can lie what its writer
// believes gone, and so the picture looks the same in every mail program.
//
// # Scaling
//
// The longest side of a picture is one of a ladder of odd lengths, from 1999 down, each
// an eighteenth shorter than the one before. A picture is scaled down to the first of
// them that is shorter than its own by at least a thirty-second, even if its own is on
// the ladder: scaling is what wipes out the grid of 8×8 pixels and the quantisation of a
// camera's JPEG. Only what this package has written itself stays as it is: a JPEG on the ladder
// whose bytes are those of [Picture.Encode] up to the scan, and that ends with it, or a PNG on the
// ladder that it would write again byte for byte. So cleaning twice keeps the size, changes a
// JPEG less than people see, and a PNG not at all.
//
// # JPEG or PNG
//
// What was lossy (JPEG, lossy WebP) becomes JPEG. What was lossless (PNG, GIF, lossless WebP)
// stays so as a PNG, if that has at most 16 KiB or twice the bytes of the JPEG, as that of a
// drawing or a screenshot does. A photograph becomes JPEG.
//
// # What is refused
//
// Animations, HEIC, AVIF, TIFF, BMP, SVG and whatever else is not named above; what is damaged;
// what has more than 120 million pixels, or 65,535 on a side, or would take more than
// 400 MiB to decode, which the headers tell before anything is decoded; and what a mail's budget
// has not enough left for. The error is a [mail.Refusal] that says what to do instead.
//
// # What is not done
//
// Colors are taken for sRGB; a profile that says otherwise is dropped, with a notice. What
// the pixels show stays: faces, places, watermarks, the proportions of the sides, and
// of a sensor's own noise what scaling and quantising leave. Who guesses a picture's former
// size can scale it back and name the table of a strong first compression, most often of
// small pictures (docs/scrubbing.md has figures). Ordinary estimators, which look at the
// grid they are given, find nothing.
//
// All arithmetic is on integers, so that every architecture writes the same bytes. Another
// version of Go may write others; a PNG cleaned with the older one is then scaled once more.
//
// The package is pure functions without state. It may import the standard library,
// golang.org/x/image and, of Sourdine, mail for its Refusal.
package picture
