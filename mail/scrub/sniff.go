package scrub

import (
	"bytes"
	"fmt"
	"strings"

	"codeberg.org/sourdine/sourdine/mail/scrub/picture"
)

// kind is what a file is by its content.
type kind struct {
	picture, pdf bool
	refusal      string // why it is neither nor a text, and what to do; empty: it may be a text
}

// What to do about files that cannot be cleaned.
const (
	anArchive = "It is an archive, whose files keep names, owners and dates. Unpack it, and attach the files themselves."
	aSound    = "It is a sound or a film, which keeps with what and when it was recorded and cannot be cleaned. Describe it in the text, or send a picture of it."
	aProgram  = "It is a program, and cannot be sent. Say in the text where it can be had."
	aCard     = "It is a contact card, which names people. Write what the recipient needs into the text."
	anInvite  = "It is an invitation or a calendar entry, which names you and your time zone. Write the date into the text."
	aKey      = "It is a key, a certificate or a signature, which names its owner. Leave it out; a key can be handed over once, another way."
	aWinmail  = "Outlook has packed the mail into a winmail.dat, which cannot be cleaned. Set Outlook to write plain text or HTML instead of Rich Text, and send it again."
	anOpenPGP = "It is an encrypted file. Encrypt the whole mail instead: what is encrypted in part tells for whom."
	aMail     = "It is a mail, saved as a file. Forward it as text instead."
	aPage     = "It is a web page or a drawing in text form, which keeps with what it was made. Export it as PDF, or save it as plain text."
)

// asPDF says what to do about a document.
func asPDF(what string) string {
	return fmt.Sprintf("It is %s, which keeps who wrote it, when, and what was changed. Export it as PDF (Save as, or Print), and attach that.", what)
}

// signatures are how files begin that are neither pictures nor texts.
var signatures = []struct {
	begins  string
	at      int
	refusal string
}{
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, asPDF("an old Office document")},
	{"{\\rtf", 0, asPDF("a Rich Text document")},
	{"%!PS", 0, asPDF("a PostScript document")},
	{"\x78\x9f\x3e\x22", 0, aWinmail},
	{"\x1f\x8b", 0, anArchive}, {"7z\xbc\xaf\x27\x1c", 0, anArchive}, {"Rar!\x1a\x07", 0, anArchive}, {"\xfd7zXZ\x00", 0, anArchive},
	{"BZh", 0, anArchive}, {"\x28\xb5\x2f\xfd", 0, anArchive}, {"ustar", 257, anArchive}, {"MSCF", 0, anArchive}, {"PK\x05\x06", 0, anArchive},
	{"ID3", 0, aSound}, {"\xff\xfb", 0, aSound}, {"\xff\xf3", 0, aSound}, {"fLaC", 0, aSound}, {"OggS", 0, aSound}, {"\x1aE\xdf\xa3", 0, aSound},
	{"RIFF", 0, aSound}, {"#!AMR", 0, aSound}, {"FLV\x01", 0, aSound}, {"MThd", 0, aSound},
	{"\x7fELF", 0, aProgram}, {"MZ", 0, aProgram}, {"\xcf\xfa\xed\xfe", 0, aProgram}, {"\xca\xfe\xba\xbe", 0, aProgram}, {"#!", 0, aProgram},
}

// pdfWithin is in how many bytes from its beginning a PDF says so (ISO 32000-1 annex
// H, implementation note 13).
const pdfWithin = 1024

func sniff(data []byte) kind {
	begins := func(magic string, at int) bool {
		return len(data) >= at+len(magic) && string(data[at:at+len(magic)]) == magic
	}
	if picture.Is(data) {
		return kind{picture: true}
	}
	if bytes.Contains(data[:min(len(data), pdfWithin)], []byte("%PDF-")) {
		return kind{pdf: true}
	}
	if begins("PK\x03\x04", 0) {
		return kind{refusal: zipped(data)}
	}
	if begins("ftyp", 4) {
		return kind{refusal: aSound}
	}
	for _, s := range signatures {
		if begins(s.begins, s.at) {
			return kind{refusal: s.refusal}
		}
	}
	return kind{}
}

// zipped tells documents that are ZIP archives within from others.
func zipped(data []byte) string {
	for _, d := range []struct{ within, name string }{
		{"word/", "a Word document"}, {"xl/", "an Excel table"}, {"ppt/", "a PowerPoint presentation"},
		{"mimetypeapplication/vnd.oasis.opendocument", "a LibreOffice document"}, {"mimetypeapplication/epub", "an e-book"},
		{"Index/Document.iwa", "a Pages, Numbers or Keynote document"},
	} {
		if bytes.Contains(data, []byte(d.within)) {
			return asPDF(d.name)
		}
	}
	return anArchive
}

// markup says why a text cannot be sent as one, for its form holds more than it shows.
func markup(text string) string {
	start := strings.ToLower(strings.TrimLeft(text[:min(len(text), 4096)], "\ufeff \t\r\n\f"))
	if first, rest, _ := strings.Cut(start, "\n"); strings.HasPrefix(first, "from ") && strings.Contains(first, "@") {
		if name, _, field := strings.Cut(rest, ":"); field && !strings.ContainsAny(name, " \t\n") {
			return aMail // a mailbox
		}
	}
	for _, m := range []struct{ begins, refusal string }{
		{"begin:vcard", aCard}, {"begin:vcalendar", anInvite},
		{"-----begin pgp message", anOpenPGP}, {"-----begin ", aKey}, {"---- begin ssh2", aKey}, {"ssh-rsa aaaa", aKey}, {"ssh-ed25519 aaaa", aKey}, {"ecdsa-sha2-", aKey},
		{"<!doctype", aPage}, {"<html", aPage}, {"<?xml", aPage}, {"<svg", aPage}, {"<head", aPage}, {"<!--", aPage},
		{"{\\rtf", asPDF("a Rich Text document")},
		{"received: ", aMail}, {"return-path: ", aMail}, {"mime-version: ", aMail}, {"from: ", aMail}, {"delivered-to: ", aMail}, {"message-id: ", aMail}, {"subject: ", aMail}, {"x-mozilla-status: ", aMail},
	} {
		if strings.HasPrefix(start, m.begins) {
			return m.refusal
		}
	}
	return ""
}
