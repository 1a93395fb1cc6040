package scrub

import (
	"slices"
	"strings"

	"github.com/emersion/go-message/textproto"

	"codeberg.org/sourdine/sourdine/mail/scrub/hypertext"
	"codeberg.org/sourdine/sourdine/mail/scrub/pdf"
	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
	"codeberg.org/sourdine/sourdine/mail/scrub/prose"
)

// Names of parts in notes. Attachments are "attachment 1" and so on.
const (
	inHeader = "the header"
	inText   = "the text"
	inMail   = "the mail"
)

// What is removed or changed, besides what the packages within say.
const (
	signature       = "a digital signature"
	publicKey       = "an attached OpenPGP key"
	invitation      = "an invitation"
	forwardedHeader = "the header of a forwarded mail"
	subjectForm     = "the form of the subject"
	fileName        = "the name and the dates of the file"
)

// What is left, and to be known.
const encryptedUnseen = "what is encrypted was not looked at"

// reasons say why, for each that is removed, changed or left.
var reasons = map[string]string{
	signature:             "it names who made it, and would not fit the new mail",
	publicKey:             "it names its owner",
	invitation:            "it names people, a time zone and a program",
	forwardedHeader:       "it tells who wrote to whom, when and by which way",
	subjectForm:           "spaces, invisible letters and Re: in many languages tell programs and countries apart",
	fileName:              "names tell of people, cameras and folders; the recipient sees attachment-1 and so on",
	prose.Attribution:     "they tell when you read it, your time zone and your language; They wrote: stands there instead",
	prose.Signature:       "it names you",
	prose.Invisible:       "they can mark a text, and nobody sees them",
	prose.Legal:           "it names an employer and a country",
	prose.QuotedAddresses: "others may not want them known: take them out, if so",
	hypertext.WebPictures: "fetching them tells who reads the mail, and when",
	hypertext.Pixels:      "fetching them tells who reads the mail, and when",
	hypertext.Tracking:    "they name who was sent the link",
	hypertext.StruckOut:   "plain text has none, and the words stay: take them out if they should not be read",
	picture.Transparency:  "what lies under it can hold what you believe gone",
	picture.FullSize:      "it tells cameras and screens apart, and scaling hides how a camera compresses",
	pdf.Outlines:          "they can say what the pages do not show, and follow how a program numbers them",
	pdf.Links:             "where they lead is not seen, and can name who was sent them: write out those that matter",
	pdf.Forms:             "they can hold what is not shown, and programs",
	pdf.Files:             "nobody looked at them: attach those that matter to the mail itself",
	pdf.Scripts:           "they act on the machine of who reads them",
	pdf.Layers:            "they can hold what you believe gone",
	pdf.Structure:         "it can say what the pages do not show",
	encryptedUnseen:       "your mail program may have put its name, your clock and file names inside",
}

// reason is why something of a part is removed, changed or left.
func reason(part, what string) string {
	switch why, ok := reasons[what]; {
	case ok:
		return why
	case part == inHeader:
		return fieldReason(what)
	case part == inText:
		return whyText
	}
	return whyFile
}

// Why things do not leave that have no reason of their own.
const (
	whyText = "it can tell your program, your device, your country or who else wrote"
	whyFile = "it can tell who made the file, with what, when or where"
)

// Why fields of the header do not leave.
const (
	whyProgram  = "it tells your mail program, its settings or your language"
	whyWay      = "it tells the way that the mail took, and your network address"
	whyPerson   = "it names you or others; your persona's name takes its place"
	whyOthers   = "each recipient is told of no other, unless you allow it for this mail"
	whyTime     = "it tells your clock and your time zone; only the day leaves, in UTC"
	whyID       = "it tells where and when it was made; a random one takes its place"
	whyAnswered = "it ties mails together; only your own earlier mails of the same persona are named, anew"
	whyReceipt  = "it asks for a receipt, and says where to"
	whyUnknown  = "no field leaves that is not needed"
)

// fields are why well-known fields do not leave, by their names or the beginnings of these.
var fields = []struct{ name, why string }{
	{"from", whyPerson}, {"sender", whyPerson}, {"reply-to", whyPerson}, {"organization", whyPerson}, {"organisation", whyPerson}, {"face", whyPerson},
	{"x-face", whyPerson}, {"autocrypt", whyPerson}, {"openpgp", whyPerson}, {"jabber-id", whyPerson}, {"x-pgp-", whyPerson}, {"resent-", whyPerson},
	{"to", whyOthers}, {"cc", whyOthers}, {"bcc", whyOthers}, {"apparently-to", whyOthers},
	{"date", whyTime}, {"expires", whyTime},
	{"message-id", whyID}, {"content-id", whyID},
	{"in-reply-to", whyAnswered}, {"references", whyAnswered}, {"thread-", whyAnswered}, {"x-forwarded-message-id", whyAnswered}, {"x-mozilla-", whyProgram},
	{"received", whyWay}, {"x-received", whyWay}, {"x-originating-ip", whyWay}, {"x-sender-ip", whyWay}, {"return-path", whyWay}, {"delivered-to", whyWay},
	{"authentication-results", whyWay}, {"arc-", whyWay}, {"dkim-signature", whyWay},
	{"return-receipt-to", whyReceipt}, {"disposition-notification-to", whyReceipt}, {"x-confirm-reading-to", whyReceipt}, {"errors-to", whyReceipt},
	{"user-agent", whyProgram}, {"x-mailer", whyProgram}, {"x-mimeole", whyProgram}, {"content-language", whyProgram}, {"accept-language", whyProgram},
	{"x-ms-", whyProgram}, {"x-gm-", whyProgram}, {"x-priority", whyProgram}, {"importance", whyProgram}, {"priority", whyProgram},
}

func fieldReason(field string) string {
	field = strings.ToLower(field)
	for _, f := range fields {
		if field == f.name || strings.HasSuffix(f.name, "-") && strings.HasPrefix(field, f.name) {
			return f.why
		}
	}
	return whyUnknown
}

// needed are the fields that say how to read a mail. They are written anew, and there
// is nothing to tell about them.
var needed = []string{"subject", "mime-version", "content-type", "content-transfer-encoding", "content-disposition", strings.ToLower(Allow)}

// droppedFields names the fields of a header that do not leave, each once.
func droppedFields(header *textproto.Header) []string {
	var names []string
	for f := header.Fields(); f.Next(); {
		if name := f.Key(); !slices.Contains(needed, strings.ToLower(name)) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
