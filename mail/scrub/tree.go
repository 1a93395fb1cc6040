package scrub

import (
	"bytes"
	"strings"

	"codeberg.org/sourdine/sourdine/mail/scrub/hypertext"
	"codeberg.org/sourdine/sourdine/mail/scrub/prose"
)

// content is what the parts of a mail come to.
type content struct {
	texts   []text
	files   []file
	sealed  []byte // the whole mail, encrypted with OpenPGP; nil: it is not
	written int    // of sealed, bytes
}

type text struct {
	text    string
	written int // bytes, decoded
}

// file is something attached.
type file struct {
	data []byte
	part *part
}

// walk takes what is to be shown or kept of a part and those within it.
func (s *scrubber) walk(p *part, depth int) (content, error) {
	if s.parts++; s.parts > maxParts {
		return content{}, tooManyParts()
	}
	if depth > maxDepth {
		return content{}, refuse("The mail has parts within parts more than %d deep. Forward the inner mails one by one.", maxDepth)
	}
	kind, sub, _ := strings.Cut(p.mediaType, "/")
	switch kind {
	case "multipart":
		return s.walkMultipart(p, sub, depth)
	case "message":
		return s.walkMessage(p, sub, depth)
	}
	switch p.mediaType {
	case "application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature":
		s.note(inMail, signature)
		return content{}, nil
	case "application/pgp-keys":
		s.note(inMail, publicKey)
		return content{}, nil
	case "text/calendar":
		if !p.attached && depth > 0 { // alone it would leave an empty mail
			s.note(inMail, invitation)
			return content{}, nil
		}
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return content{}, refuse("The mail is signed or encrypted by S/MIME, whose certificates name you. Turn S/MIME off in the mail program for this mail; OpenPGP with hidden key ids is possible.")
	case "application/ms-tnef", "application/vnd.ms-tnef":
		return content{}, refuse("%s", aWinmail)
	case "application/pgp-encrypted":
		return content{}, refuse("The mail has a part of an encrypted mail, and is none. Encrypt the whole mail, or nothing of it.")
	}
	if p.shown(depth) {
		if s.length > s.longest() {
			return content{}, refuseSize("The mail's text is too long: it has more than %d kB, and a mail can have %d. Shorten it, or send it in several mails.", kB(s.length), s.room/1000)
		}
		t, err := s.readText(p)
		if err != nil {
			return content{}, in("The text", err)
		}
		s.length += len(t.text)
		return content{texts: []text{t}}, nil
	}
	data, err := decodeTransfer(p)
	if err != nil {
		return content{}, in("An attached file", err)
	}
	return content{files: []file{{data, p}}}, nil
}

// walkMultipart reads a multipart (RFC 2046 section 5.1). One that is not known is read
// as mixed (section 5.1.7).
func (s *scrubber) walkMultipart(p *part, sub string, depth int) (content, error) {
	if sub == "report" {
		return content{}, refuse("The mail is a receipt or a report that a program made, and would tell when you read a mail. Turn such receipts off in the mail program.")
	}
	parts, err := p.children()
	if err != nil {
		return content{}, err
	}
	switch sub {
	case "alternative":
		parts = parts[s.richest(parts):]
		parts = parts[:1]
	case "signed": // RFC 1847 section 2.1: what is signed comes first
		s.note(inMail, signature)
		parts = parts[:1]
	case "encrypted":
		return s.walkEncrypted(p, parts, depth)
	}
	var all content
	for _, child := range parts {
		found, err := s.walk(child, depth+1)
		if err != nil {
			return content{}, err
		}
		all.texts = append(all.texts, found.texts...)
		all.files = append(all.files, found.files...)
		if found.sealed != nil {
			return content{}, refuse("The mail has an encrypted mail among other parts. Encrypt the whole mail, or nothing of it.")
		}
	}
	return all, nil
}

// richest picks of alternatives the last that has text, for the last is the nearest to
// what was written (RFC 2046 section 5.1.4); programs write the same thing in each.
func (s *scrubber) richest(parts []*part) int {
	for i := len(parts) - 1; i > 0; i-- {
		if s.hasText(parts[i], 0) {
			return i
		}
	}
	return 0
}

// hasText reports whether there is a text to show in a part. Where there are too many
// parts to look at, it leaves them for walk to refuse.
func (s *scrubber) hasText(p *part, depth int) bool {
	if s.looked++; s.looked > maxParts*maxDepth {
		return true
	}
	if strings.HasPrefix(p.mediaType, "multipart/") && depth < maxDepth {
		parts, err := p.children()
		if err != nil {
			return true // for walk to refuse
		}
		for _, child := range parts {
			if s.hasText(child, depth+1) {
				return true
			}
		}
		return false
	}
	// An empty HTML beside a text is a program's, and not what was written.
	return p.shown(depth+1) && len(bytes.TrimSpace(p.body)) > 0
}

// shown reports whether a part is a text that is shown. One among others that has a
// file's name is a file, though programs show it.
func (p *part) shown(depth int) bool {
	return !p.attached && (depth == 0 || !p.named) && (p.mediaType == "text/plain" || p.mediaType == "text/html")
}

// walkMessage reads a mail within the mail (RFC 2046 section 5.2), and makes text of it.
func (s *scrubber) walkMessage(p *part, sub string, depth int) (content, error) {
	if sub != "rfc822" && sub != "global" {
		return content{}, refuse("The mail has a part of the kind message/%s, which cannot be cleaned. Copy what you want to send into the text.", plain(sub))
	}
	data, err := decodeTransfer(p)
	if err != nil {
		return content{}, in("A forwarded mail", err)
	}
	inner, err := parse(data)
	if err != nil {
		return content{}, in("A forwarded mail", err)
	}
	found, err := s.walk(inner, depth+1)
	if err != nil {
		return content{}, err
	}
	if found.sealed != nil {
		return content{}, refuse("A forwarded mail is encrypted. Decrypt it, and forward what it says.")
	}
	s.note(inMail, forwardedHeader)
	const marker = prose.Forwarded + "\n"
	s.length += len(marker)
	found.texts = append([]text{{text: marker}}, found.texts...)
	return found, nil
}

// readText decodes a text that is shown.
func (s *scrubber) readText(p *part) (text, error) {
	b, err := decodeTransfer(p)
	if err != nil {
		return text{}, err
	}
	decoded, err := decodeCharset(p.params["charset"], b)
	if err != nil {
		return text{}, err
	}
	if p.mediaType == "text/html" {
		if s.html += len(decoded); s.html > hypertext.MaxHTML {
			return text{}, hypertext.TooLarge
		}
		read, removed, err := hypertext.Text(decoded)
		if err != nil {
			return text{}, err
		}
		s.note(inText, removed...)
		return text{read, len(b)}, nil
	}
	if strings.EqualFold(p.params["format"], "flowed") {
		decoded = prose.Unflow(decoded, strings.EqualFold(p.params["delsp"], "yes"))
	}
	return text{decoded, len(b)}, nil
}

// plain is a word of a mail, if it can stand in a refusal.
func plain(s string) string {
	if len(s) > 30 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.+") != "" {
		return "..."
	}
	return s
}
