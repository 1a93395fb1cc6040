package scrub

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"regexp"
	"strings"

	"codeberg.org/sourdine/sourdine/mail"
)

// The lines that begin and end what is armoured (RFC 9580 sections 6.2 and 7).
const (
	messageBegin   = "-----BEGIN PGP MESSAGE-----"
	messageEnd     = "-----END PGP MESSAGE-----"
	signedBegin    = "-----BEGIN PGP SIGNED MESSAGE-----"
	signatureBegin = "-----BEGIN PGP SIGNATURE-----"
	signatureEnd   = "-----END PGP SIGNATURE-----"
	keyBegin       = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
)

// privateKey is how the private keys of OpenPGP, SSH and TLS begin (RFC 9580 section 6.2,
// RFC 7468 section 10). Some have their owner's address, or the name of a machine, in what follows.
var privateKey = regexp.MustCompile(`-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY( BLOCK)?-----`)

// Tags of packets (RFC 9580 section 5, and 20 as GnuPG writes it).
const (
	tagKeyEncrypted      = 1  // the message's key, for a recipient's key
	tagPasswordEncrypted = 3  // the message's key, for a password
	tagEncrypted         = 18 // the message
	tagEncryptedOCB      = 20
)

// maxKeys is for how many recipients and passwords a message may be encrypted.
const maxKeys = 200

// openPGPText reports whether a text is one encrypted message and nothing else, and
// returns it in its one form.
func openPGPText(text string) (armoured string, ok bool, err error) {
	text = strings.TrimSpace(text)
	if privateKey.MatchString(text) {
		return "", false, refuse("The text holds a private key. Whoever has it can read what is meant for its owner and act in their name: take it out, and never send it.")
	}
	if strings.Contains(text, keyBegin) {
		return "", false, refuse("The text holds a public key, which names its owner. Take it out; the recipient needs it only once, and can get it another way.")
	}
	if !strings.Contains(text, messageBegin) {
		return "", false, nil
	}
	if !strings.HasPrefix(text, messageBegin) || strings.Index(text, messageEnd) != len(text)-len(messageEnd) {
		return "", false, refuse("The mail is encrypted in part, with a text around. Encrypt the whole text, or nothing of it.")
	}
	packets, err := openPGP([]byte(text))
	if err != nil {
		return "", false, err
	}
	return mail.Armor(packets), true, nil
}

// dearmor reads an armoured message: nil if it is damaged, and the first of its
// headers if it has any.
func dearmor(text string) (packets []byte, header string) {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\r\n", "\n")
	inner, begins := strings.CutPrefix(text, messageBegin)
	inner, ends := strings.CutSuffix(inner, messageEnd)
	first, rest, _ := strings.Cut(strings.TrimLeft(inner, " \t"), "\n")
	if !begins || !ends || first != "" {
		return nil, ""
	}
	line, _, _ := strings.Cut(rest, "\n")
	if name, _, isHeader := strings.Cut(line, ":"); isHeader {
		return nil, name
	}
	if at := strings.LastIndex(rest, "\n="); at >= 0 && len(strings.TrimSpace(rest[at+1:])) == 5 { // the checksum
		rest = rest[:at]
	}
	packets, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(rest), ""))
	if err != nil {
		return nil, ""
	}
	return packets, ""
}

// walkEncrypted reads a mail encrypted with OpenPGP (RFC 3156 section 4).
func (s *scrubber) walkEncrypted(p *part, parts []*part, depth int) (content, error) {
	if !strings.EqualFold(p.params["protocol"], "application/pgp-encrypted") || len(parts) != 2 {
		return content{}, refuse("The mail is encrypted in a way that cannot be looked at. OpenPGP with hidden key ids is possible; turn other encryption off.")
	}
	if depth > 0 {
		return content{}, refuse("The mail has an encrypted mail among other parts. Encrypt the whole mail, or nothing of it.")
	}
	data, err := decodeTransfer(parts[1])
	if err != nil {
		return content{}, in("The encrypted text", err)
	}
	packets, err := openPGP(data)
	if err != nil {
		return content{}, err
	}
	s.warn(inText, encryptedUnseen)
	return content{sealed: packets, written: len(data)}, nil
}

// openPGP checks that an encrypted message, armoured or not, tells nothing of its
// recipients, and returns its packets, each with one length in the new format.
func openPGP(data []byte) ([]byte, error) {
	malformed := refuse("The encrypted text is damaged. Encrypt it again.")
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("-----BEGIN")) {
		packets, header := dearmor(string(data))
		if header != "" {
			return nil, refuse("The encrypted text has a line \"%s:\" that tells with which program it was made. Turn it off: with GnuPG by no-emit-version and no-comments in gpg.conf.", plain(strings.ToLower(header)))
		}
		data = packets
	}
	var made []byte
	for keys := 0; ; keys++ {
		tag, body, rest, ok := nextPacket(data)
		if !ok || keys > maxKeys {
			return nil, malformed
		}
		last := false
		switch tag {
		case tagKeyEncrypted:
			if !hidesRecipient(body) {
				return nil, refuse("The encrypted text names its recipients' keys. Hide them, with GnuPG by throw-keyids in gpg.conf, or encrypt with a password.")
			}
		case tagPasswordEncrypted:
		case tagEncrypted, tagEncryptedOCB:
			last = true
		default:
			return nil, refuse("The encrypted text is signed or marked outside of what is encrypted, which would name you. Encrypt it with the signature inside, or without one.")
		}
		made = append(made, 0xc0|tag, 0xff)
		made = append(binary.BigEndian.AppendUint32(made, uint32(len(body))), body...)
		if last && len(rest) > 0 {
			return nil, malformed
		} else if last {
			return made, nil
		}
		data = rest
	}
}

// nextPacket reads the packet that data begins with (RFC 9580 section 4.2), its body
// joined where it came in pieces.
func nextPacket(data []byte) (tag byte, body, rest []byte, ok bool) {
	if len(data) < 2 || data[0]&0x80 == 0 {
		return 0, nil, nil, false
	}
	number := func(from, n int) (int, bool) {
		if len(data) < from+n {
			return 0, false
		}
		return int(binary.BigEndian.Uint32(append(make([]byte, 4-n), data[from:from+n]...))), true
	}
	if data[0]&0x40 == 0 { // the old format
		tag = data[0] >> 2 & 0xf
		if data[0]&3 == 3 {
			return tag, data[1:], nil, true // to the end
		}
		n := 1 << (data[0] & 3)
		length, ok := number(1, n)
		if !ok || len(data)-1-n < length {
			return 0, nil, nil, false
		}
		return tag, data[1+n:][:length], data[1+n+length:], true
	}
	tag = data[0] & 0x3f
	for data = data[1:]; len(data) > 0; {
		var length, n int
		ok, partial := true, false
		switch first := int(data[0]); {
		case first < 192:
			length, n = first, 1
		case first < 224:
			length, ok = number(0, 2)
			length, n = length-192<<8+192, 2
		case first < 255:
			length, n, partial = 1<<(first&0x1f), 1, true
		default:
			length, ok = number(1, 4)
			n = 5
		}
		if !ok || len(data)-n < length {
			return 0, nil, nil, false
		}
		if !partial && body == nil {
			return tag, data[n:][:length], data[n+length:], true
		}
		body = append(body, data[n:][:length]...)
		if data = data[n+length:]; !partial {
			return tag, body, data, true
		}
	}
	return 0, nil, nil, false
}

// hidesRecipient reports whether a packet with a message's key does not say for whom it
// is (RFC 9580 sections 5.1.1, 5.1.2 and 5.1.8).
func hidesRecipient(contents []byte) bool {
	switch {
	case len(contents) > 9 && contents[0] == 3:
		return bytes.Equal(contents[1:9], make([]byte, 8))
	case len(contents) > 2 && contents[0] == 6:
		return contents[1] == 0
	}
	return false
}

// clearSigned returns a text without the signatures of what was signed in it (RFC 9580
// section 7), and whether there were any.
func clearSigned(text string) (string, bool) {
	var b strings.Builder
	found := false
	for {
		before, signed, begins := strings.Cut(text, signedBegin)
		_, signed, headed := strings.Cut(signed, "\n\n")
		inner, after, signedBelow := strings.Cut(signed, signatureBegin)
		_, after, ends := strings.Cut(after, signatureEnd)
		if !begins || !headed || !signedBelow || !ends {
			b.WriteString(text)
			return b.String(), found
		}
		b.WriteString(before)
		for line := range strings.Lines(inner) {
			b.WriteString(strings.TrimPrefix(line, "- "))
		}
		text, found = after, true
	}
}
