// Package hypertext turns the HTML of a mail into text that people read with
// pleasure: what the writer's own mail program would have put beside it as
// plain text, and the same text whichever program wrote the HTML.
//
//	text, removed, err := hypertext.Text(html)
//
// A paragraph is one line, not wrapped; a list has "- " or "1. " before its
// items; a quotation has "> " before its lines; a table of data is a table; a
// link is "words <https://example.org>". Bold, italic, colours and fonts go. What a reader
// of the HTML would not see does not appear in the text: hidden elements,
// comments, scripts, style sheets, what only Outlook is told.
//
// It loads nothing, runs nothing and knows no style sheets: an element is
// hidden or quoted by its own attributes. HTML of more than [MaxHTML] bytes, or
// with more or deeper elements than any mail has, is refused with a [mail.Refusal].
// Time and memory are bounded by the size of the HTML alone: the tree is not the
// one of the HTML standard, whose repair of misnested formatting can make
// hundreds of megabytes of a few kilobytes, but a plain one that
// keeps what text needs.
//
// It imports the tokenizer of golang.org/x/net/html, and of Sourdine
// mail for its refusals and mail/scrub/link.
package hypertext

import "codeberg.org/sourdine/sourdine/mail"

// Bounds. Mail programs write some hundred kilobytes of HTML for the longest
// threads; pictures written into the HTML itself can take megabytes.
const (
	MaxHTML  = 16 << 20 // bytes of HTML
	maxNodes = 400_000  // elements and pieces of text
	maxDepth = 1000     // elements within one another
	maxLinks = 10       // links within one another, each of which looks at all words within
	maxText  = 4 << 20  // bytes of text
)

// What [Text] can report as removed, in this order.
const (
	Hidden      = "hidden text"
	Comments    = "comments in the HTML"
	Scripts     = "scripts"
	Forms       = "form fields"
	Frames      = "embedded pages and objects"
	Drawings    = "drawings in the HTML"
	Pixels      = "pictures that report when a mail is read"
	WebPictures = "pictures on the web"
	DataPicture = "pictures written into the HTML"
	Tracking    = "tracking marks in links"
	OddLinks    = "links that do not lead to the web"
	StruckOut   = "the lines through struck-out words"
)

var notices = []string{Hidden, Comments, Scripts, Forms, Frames, Drawings, Pixels, WebPictures,
	DataPicture, Tracking, OddLinks, StruckOut}

// TooLarge is the refusal of more than MaxHTML bytes.
var TooLarge = &mail.Refusal{Reason: "The formatted text (HTML) is too large. Attach pictures as files instead of placing them in the text, or send the mail as plain text."}

// Text returns the text that the HTML of a mail, in UTF-8, shows. Lines end with
// a line feed. removed names what the HTML held beside it, each once. The error
// is a *[mail.Refusal].
func Text(html string) (text string, removed []string, err error) {
	if len(html) > MaxHTML {
		return "", nil, TooLarge
	}
	found := map[string]bool{}
	root, err := parse(html, found)
	if err != nil {
		return "", nil, err
	}
	text, err = render(root, found)
	if err != nil {
		return "", nil, err
	}
	for _, notice := range notices {
		if found[notice] {
			removed = append(removed, notice)
		}
	}
	return text, removed, nil
}
