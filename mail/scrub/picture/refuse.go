package picture

import (
	"errors"
	"image/jpeg"
	"image/png"

	"codeberg.org/sourdine/sourdine/mail"
)

// Every refusal of the package.
var (
	refuseUnknown   = &mail.Refusal{Reason: "It is not a picture that can be made safe to send. Export it as JPEG or PNG and attach that."}
	refuseHEIC      = &mail.Refusal{Reason: "Pictures in the form HEIC or AVIF cannot be made safe to send. Export it as JPEG and attach that."}
	refuseTIFF      = &mail.Refusal{Reason: "Pictures in the form TIFF, which raw photographs have too, cannot be made safe to send. Export it as JPEG or PNG and attach that."}
	refuseBMP       = &mail.Refusal{Reason: "Pictures in the form BMP cannot be made safe to send. Export it as PNG and attach that."}
	refuseSVG       = &mail.Refusal{Reason: "Drawings in the form SVG cannot be made safe to send. Export it as PNG and attach that."}
	refuseAnimation = &mail.Refusal{Reason: "It moves, and only a still picture can be made safe to send. Export one picture of it as PNG and attach that."}
	refuseSize      = &mail.Refusal{Reason: "It has more than 120 million pixels, or a side of more than 65,535: too many to be made safe to send. Reduce it to a width and height of at most 4000 pixels and attach that."}
	refuseMemory    = &mail.Refusal{Reason: "It is so large, in the form it has, that it cannot be made safe to send. Reduce it to a width and height of at most 4000 pixels, save it as JPEG and attach that."}
	refuseUnusual   = &mail.Refusal{Reason: "It is stored in an unusual way that cannot be read here. Open it with a picture program, export it as an ordinary JPEG or PNG in RGB and attach that."}
	refuseDamaged   = &mail.Refusal{Reason: "It is damaged or not complete. Open it with a picture program, export it as JPEG or PNG and attach that."}
)

// TooMuch is the refusal of what a mail's budget has not enough left for.
var TooMuch = &mail.Refusal{TooLarge: true, Reason: "The mail has more pictures, or larger ones, than can be made safe to send at once. Send them in several mails, or make them smaller."}

// refusalFor turns an error of a decoder, which may quote the picture, into words.
func refusalFor(err error) *mail.Refusal {
	var jpegError jpeg.UnsupportedError
	var pngError png.UnsupportedError
	if errors.As(err, &jpegError) || errors.As(err, &pngError) {
		return refuseUnusual
	}
	return refuseDamaged
}

// notices is a set of what a picture lost.
type notices uint8

const (
	noticeCamera       notices = 1 << iota // Exif, XMP, IPTC, maker's notes, dates
	noticeText                             // comments, PNG's text, segments that only programs know
	noticeBehind                           // what follows the picture in its file, previews
	noticeColors                           // a profile that is not sRGB, or inks
	noticeTransparency                     // laid on white
	noticeSize                             // scaled
)

// Phrases of [Picture.Removed] for what is removed for other reasons than that it tells who made a
// picture, with what, when or where.
const (
	Transparency = "the transparency of a picture, which now lies on white"
	FullSize     = "the full size of a picture"
)

// phrases says a set in words, in the order of the constants.
func (n notices) phrases() []string {
	var list []string
	for i, phrase := range [...]string{
		"the camera, time and place of a picture",
		"the comments and hidden data of a picture",
		"what was stored beside a picture, such as previews or a short film",
		"the color profile of a picture, so colors may look a little different",
		Transparency,
		FullSize,
	} {
		if n&(1<<i) != 0 {
			list = append(list, phrase)
		}
	}
	return list
}
