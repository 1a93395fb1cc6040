package scrub

import (
	"fmt"
	"strings"
)

// Tables of the corpus: how mails are put together.

// tree is a multipart with a boundary of its own; parts are headers and bodies in turn.
func tree(sub, boundary string, parts ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=\"%s\"\n\n", sub, boundary)
	for i := 0; i < len(parts); i += 2 {
		fmt.Fprintf(&b, "--%s\n%s\n\n%s\n", boundary, parts[i], parts[i+1])
	}
	fmt.Fprintf(&b, "--%s--\n", boundary)
	return b.String()
}

// within makes a part of a tree: its header and its body.
func within(tree string) (header, body string) {
	header, body, _ = strings.Cut(tree, "\n\n")
	return header, body
}

func programLetters() []letter {
	png := inBase64(string(pngFile(40, 30)))
	text, html := "Content-Type: text/plain; charset=UTF-8", "Content-Type: text/html; charset=UTF-8"
	picture := func(fields string) string {
		return "Content-Type: image/png; name=\"S3CRET.png\"\nContent-Transfer-Encoding: base64\n" + fields
	}
	with := func(top, tree string) string { return "Subject: Lunch\nMIME-Version: 1.0\n" + top + tree }
	altHead, altBody := within(tree("alternative", "S3CRETalt", text, "At noon.", html, "<p>At <b>noon</b>.</p>"))
	relHead, relBody := within(tree("related; type=\"text/html\"", "S3CRETrel", html, "<p>At noon. <img src=\"cid:S3CRET@secret.example\" alt=\"\"></p>", picture("Content-ID: <S3CRET@secret.example>\nContent-Disposition: inline; filename=\"S3CRET.png\""), png))
	return table(
		"thunderbird", with("User-Agent: Mozilla Thunderbird S3CRET\nContent-Language: en-US\n", "Content-Type: text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: 7bit\n\nAt noon.\n"),
		"thunderbird-attached", with("X-Mozilla-Draft-Info: S3CRET\n", "Content-Type: multipart/mixed; boundary=\"------------S3CRETAbCdEfGhIjKlMnOp\"\n\nThis is a multi-part message in MIME format.\n--------------S3CRETAbCdEfGhIjKlMnOp\nContent-Type: text/plain; charset=UTF-8; format=flowed\nContent-Transfer-Encoding: 7bit\n\nAt noon.\n\n--------------S3CRETAbCdEfGhIjKlMnOp\n"+picture("Content-Disposition: attachment; filename=\"S3CRET.png\"")+"\n\n"+png+"\n--------------S3CRETAbCdEfGhIjKlMnOp--\n"),
		"thunderbird-html", with("", tree("alternative", "------------S3CRET", text, "At *noon*.", relHead, relBody)),
		"apple-mail", with("X-Mailer: Apple Mail (2.S3CRET)\n", tree("alternative", "Apple-Mail=_S3CRET-1234", text, "At noon.", "Content-Type: multipart/mixed; boundary=\"Apple-Mail=_S3CRET-5678\"", "--Apple-Mail=_S3CRET-5678\n"+html+"\n\n<body>At noon.</body>\n--Apple-Mail=_S3CRET-5678\n"+picture("Content-Disposition: inline; filename=S3CRET.png;\n\tx-mac-type=504E4766; x-unix-mode=0644")+"\n\n"+png+"--Apple-Mail=_S3CRET-5678\n"+html+"\n\n<body>Or later.</body>\n--Apple-Mail=_S3CRET-5678--")),
		"apple-mail-plain", with("X-Mailer: Apple Mail\n", tree("mixed", "Apple-Mail=_S3CRET", text, "At noon.", picture("Content-Disposition: inline; filename=S3CRET.png"), png, text, "Or later.")),
		"ios", with("X-Mailer: iPhone Mail (S3CRET)\n", tree("alternative", "Apple-Mail-S3CRET", text, "At noon.\n\nSent from my iPhone", html, "<div>At noon.<br><br><div>Sent from my iPhone</div></div>")),
		"ios-picture", with("X-Mailer: iPhone Mail (S3CRET)\n", tree("mixed", "Apple-Mail-S3CRET", text, "At noon.\n", picture("Content-Disposition: inline; filename=IMG_S3CRET.PNG"), png, text, "\n\nSent from my iPhone")),
		"outlook", with("X-Mailer: Microsoft Outlook S3CRET\nThread-Index: AdS3CRET\n", tree("alternative", "----=_NextPart_000_S3CRET_01D9", text, "At noon.", html, "<html xmlns:o=\"x\"><head><meta name=Generator content=\"Microsoft Word S3CRET\"><style><!-- p.MsoNormal{font-family:S3CRET} --></style></head><body><div class=WordSection1><p class=MsoNormal>At noon.<o:p></o:p></p></div></body></html>")),
		"outlook-attached", with("", tree("mixed", "_004_S3CRETsecretexample_", "Content-Type: multipart/alternative; boundary=\"_000_S3CRET_\"", "--_000_S3CRET_\n"+text+"\n\nAt noon.\n\n--_000_S3CRET_\n"+html+"\n\n<p>At noon.</p>\n--_000_S3CRET_--\n", picture("Content-Description: S3CRET.png\nContent-Disposition: attachment; filename=\"S3CRET.png\"; size=123;\n\tcreation-date=\"Fri, 31 Dec 1999 23:59:59 GMT\";\n\tmodification-date=\"Fri, 31 Dec 1999 23:59:59 GMT\""), png)),
		"outlook-related", with("", tree("related; type=\"multipart/alternative\"", "_005_S3CRET_", altHead, altBody, picture("Content-ID: <image001.png@01D9.S3CRET>\nContent-Disposition: inline; filename=image001.png"), png)),
		"gmail", with("", tree("alternative", "000000000000S3CRET", text, "At noon.\n", html, "<div dir=\"ltr\">At noon.</div>\n")),
		"gmail-attached", with("", tree("mixed", "000000000000S3CRET01", altHead, altBody, picture("Content-Disposition: attachment; filename=\"S3CRET.png\"\nContent-ID: <f_S3CRET>\nX-Attachment-Id: f_S3CRET"), png)),
		"gmail-inline", with("", tree("related", "000000000000S3CRET02", altHead, altBody, picture("Content-Disposition: inline; filename=\"image.png\"\nContent-ID: <ii_S3CRET>\nX-Attachment-Id: ii_S3CRET"), png)),
		"k-9", with("User-Agent: K-9 Mail for Android S3CRET\n", tree("alternative", "----S3CRETBOUNDARY", text, "At noon.\n-- \nDiese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.", html, "<!DOCTYPE html><html><body>At noon.<br>-- <br>Diese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.</body></html>")),
		"mutt", with("User-Agent: Mutt/S3CRET\n", tree("mixed", "S3CRETqDbXVdCdHGo", "Content-Type: text/plain; charset=iso-8859-1\nContent-Disposition: inline\nContent-Transfer-Encoding: 8bit", "At noon, caf\xe9.\n", picture("Content-Disposition: attachment; filename=S3CRET.png"), png)),
		"claws", with("X-Mailer: Claws Mail S3CRET (GTK 3.24; x86_64-pc-linux-gnu)\n", tree("mixed", "MP_/S3CRET+zwiebel", "Content-Type: text/plain; charset=US-ASCII\nContent-Transfer-Encoding: 7bit\nContent-Disposition: inline", "At noon.\n", picture("Content-Disposition: attachment; filename=S3CRET.png"), png)),
		"evolution", with("User-Agent: Evolution S3CRET\n", tree("mixed", "=-S3CRETaBcDeF", altHead, altBody, picture("Content-Disposition: attachment; filename=\"S3CRET.png\""), png)),
		"kmail", with("User-Agent: KMail/S3CRET\n", tree("mixed", "nextPartS3CRET.12345", text, "At noon.\n", picture("Content-Disposition: attachment; filename=\"S3CRET.png\""), png)),
		"alpine", with("", "Content-Type: MULTIPART/MIXED; BOUNDARY=\"8323329-S3CRET-946684799=:1234\"\n\n  This message is in MIME format.  S3CRET\n\n--8323329-S3CRET-946684799=:1234\nContent-Type: TEXT/PLAIN; charset=US-ASCII; format=flowed\n\nAt noon.\n--8323329-S3CRET-946684799=:1234\nContent-Type: IMAGE/PNG; name=S3CRET.png\nContent-Transfer-Encoding: BASE64\nContent-ID: <alpine.S3CRET@secret.example>\nContent-Disposition: attachment; filename=S3CRET.png\n\n"+png+"\n--8323329-S3CRET-946684799=:1234--\n"),
		"smtplib", with("", tree("mixed", "===============1999123123595948858==", "Content-Type: text/plain; charset=\"us-ascii\"\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit", "At noon.\n", "Content-Type: image/png\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"S3CRET.png\"", png)),
		"roundcube", with("User-Agent: Roundcube Webmail/S3CRET\n", tree("alternative", "=_S3CRET0123456789", "Content-Type: text/plain; charset=US-ASCII;\n format=flowed", "At noon. ", html, "<html><body style='font-size: 10pt'><p>At noon.</p></body></html>")),
		"s-nail", with("User-Agent: s-nail S3CRET\n", "Content-Type: text/plain; charset=us-ascii\nContent-Disposition: inline\n\nAt noon.\n"),
		"emacs", with("User-Agent: Gnus/S3CRET\n", tree("mixed", "=-=-=", "Content-Type: text/plain", "At noon.\n", picture("Content-Disposition: attachment; filename=S3CRET.png\nContent-Description: S3CRET"), png)),
		"outlook-express", with("X-MimeOLE: Produced By S3CRET\n", tree("alternative", "----=_NextPart_000_0001_01BF53E2.S3CRET", "Content-Type: text/plain;\n\tcharset=\"iso-8859-1\"\nContent-Transfer-Encoding: quoted-printable", "At noon, caf=E9.", "Content-Type: text/html;\n\tcharset=\"iso-8859-1\"\nContent-Transfer-Encoding: quoted-printable", "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.0//EN\"><HTML><BODY><FONT face=3DS3CRET>At noon, caf=E9.</FONT></BODY></HTML>")),
		"exchange-rich", with("", tree("mixed", "b", text, "At noon.", "Content-Type: application/ms-tnef; name=\"winmail.dat\"\nContent-Transfer-Encoding: base64", "eJ8+IlMzQ1JFVA==")),
		"amp", with("", tree("alternative", "b", text, "At noon.", "Content-Type: text/x-amp-html", "<html amp4email>S3CRET</html>", html, "<p>At noon.</p>")),
		"calendar-alternative", with("", tree("alternative", "b", text, "At noon.", html, "<p>At noon.</p>", "Content-Type: text/calendar; method=REQUEST; charset=utf-8", "BEGIN:VCALENDAR\nORGANIZER:mailto:s3cret@secret.example\nDTSTART;TZID=S3CRET:19991231T235959\nEND:VCALENDAR")),
		"forward", with("", tree("mixed", "b", text, "See:\n", "Content-Type: message/rfc822; name=\"S3CRET.eml\"\nContent-Disposition: attachment; filename=\"S3CRET.eml\"", "Received: from S3CRET [192.0.2.99]\nFrom: S3CRET <s3cret@secret.example>\nTo: z@secret.example\nDate: Fri, 31 Dec 1999 23:59:59 +0100\nMessage-ID: <S3CRET@secret.example>\nSubject: Dinner\nContent-Type: text/plain\n\nAt eight.\n-- \nS3CRET\n")),
		"forward-forward", with("", tree("mixed", "b", "Content-Type: message/rfc822", "Subject: =?utf-8?Q?Din=C3=A9r?=\nFrom: s3cret@secret.example\n"+tree("mixed", "c", text, "Outer.", "Content-Type: message/rfc822", "Subject: AW: Inner\nFrom: z@secret.example\n\nInner.\n"))),
		"forward-attached", with("", tree("mixed", "b", text, "See:\n", "Content-Type: message/rfc822", "Subject: Dinner\nFrom: s3cret@secret.example\n"+tree("mixed", "c", text, "At eight.", picture("Content-Disposition: attachment; filename=S3CRET.png"), png))),
		"forward-base64", with("", tree("mixed", "b", text, "See:\n", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64", inBase64("Subject: Dinner\nFrom: s3cret@secret.example\n\nAt eight.\n"))),
		"digest", with("", tree("digest", "b", "", "From: s3cret@secret.example\nSubject: One\n\nFirst.\n", "", "From: z@secret.example\nSubject: Two\n\nSecond.\n")),
		"two-texts", with("", tree("mixed", "b", text, "One.", html, "<p>Two.")),
		"named-text", with("", tree("mixed", "b", text, "See:", "Content-Type: text/plain; name=\"S3CRET.txt\"\nContent-Disposition: inline; filename=S3CRET.txt", "A file.")),
	)
}

func tortureLetters() []letter {
	text := "Content-Type: text/plain"
	deep := func(n int) string {
		inner := "Subject: x\n\nAt noon.\n"
		for range n {
			inner = "Subject: x\nContent-Type: message/rfc822\n\n" + inner
		}
		return inner
	}
	deepTree := func(n int) string {
		header, body := text, "At noon."
		for i := range n {
			header, body = within(tree("mixed", fmt.Sprint("b", i, "e"), header, body))
		}
		return "Subject: Lunch\n" + header + "\n\n" + body + "\n"
	}
	typed := func(contentType, body string) string {
		return "Subject: Lunch\nContent-Type: " + contentType + "\n\n" + body
	}
	return table(
		"nothing", "", "empty-header", "\nAt noon.\n", "only-header", "Subject: Lunch\n", "no-header", "At noon, as always.\n", "mbox", "From S3CRET@secret.example Fri Dec 31 23:59:59 1999\nSubject: Lunch\n\nAt noon.\n",
		"space-before-colon", "Subject : S3CRET\n\nAt noon.\n", "continued-first", " S3CRET\nSubject: Lunch\n\nAt noon.\n", "empty-name", ": S3CRET\n\nAt noon.\n", "eight-bit-name", "S3CR\xe9T: x\n\nAt noon.\n", "eight-bit-field", "Subject: Lunch\nX-Name: S3CRET \xe9\n\nAt noon.\n", "bare-cr-field", "Subject: Lunch\rBcc: s3cret@secret.example\n\nAt noon.\n", "nul-field", "Subject: Lunch\nX: \x00S3CRET\n\nAt noon.\n", "blank-with-space", "Subject: Lunch\n \nAt noon: S3CRET\n\nText.\n",
		"no-boundary", typed("multipart/mixed", "--b\n\nAt noon.\n--b--\n"), "empty-boundary", typed("multipart/mixed; boundary=\"\"", "--\n\nAt noon.\n----\n"), "long-boundary", typed("multipart/mixed; boundary="+strings.Repeat("b", 71), "--b\n"), "70-boundary", typed("multipart/mixed; boundary="+strings.Repeat("b", 70), "--"+strings.Repeat("b", 70)+"\n\nAt noon.\n--"+strings.Repeat("b", 70)+"--\n"),
		"two-boundaries", typed("multipart/mixed; boundary=a; boundary=b", "--a\n\nS3CRET\n--a--\n--b\n\nS3CRET\n--b--\n"), "boundary-prefix", typed("multipart/mixed; boundary=b", "--b\n"+"Content-Type: multipart/mixed; boundary=bb\n\n--bb\n\nOne.\n--bb--\n--b\n\nTwo.\n--b--\n"), "same-boundary", typed("multipart/mixed; boundary=b", "--b\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nAt noon.\n--b--\n--b--\n"), "boundary-spaces", typed("multipart/mixed; boundary=\"b \"", "--b \n\nAt noon.\n--b --\n"), "boundary-trailing", typed("multipart/mixed; boundary=b", "--b \t\n\nAt noon.\n--b-- \t\n"), "boundary-in-text", typed("multipart/mixed; boundary=b", "--b\n\nAt --b noon.\n --b\n--bx\n--b--\n"), "boundary-rfc2231", typed("multipart/mixed; boundary*0=b; boundary*1=c", "--bc\n\nAt noon.\n--bc--\n"), "boundary-quoted-pair", typed("multipart/mixed; boundary=\"b\\\"c\"", "--b\"c\n\nAt noon.\n--b\"c--\n"), "boundary-case", typed("multipart/mixed; boundary=B", "--b\n\nS3CRET\n--b--\n"),
		"preamble", typed("multipart/mixed; boundary=b", "S3CRET preamble\n--b\n\nAt noon.\n--b--\nS3CRET epilogue\n--b\n\nS3CRET\n--b--\n"), "no-end", typed("multipart/mixed; boundary=b", "--b\n\nAt noon.\n"), "no-begin", typed("multipart/mixed; boundary=b", "At noon.\n--b--\n"), "no-parts", typed("multipart/mixed; boundary=b", "S3CRET\n"), "empty-parts", typed("multipart/mixed; boundary=b", "--b\n--b\n\n--b\n\n\n--b\n\nAt noon.\n--b--\n"), "header-only-part", typed("multipart/mixed; boundary=b", "--b\nContent-Type: text/plain\n--b--\n"), "no-blank-in-part", typed("multipart/mixed; boundary=b", "--b\nS3CRET without header\n--b--\n"), "outer-ends-inner", typed("multipart/mixed; boundary=b", "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nAt noon.\n--b--\n"), "encoded-multipart", "Subject: Lunch\nContent-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: base64\n\n"+inBase64("--b\n\nAt noon.\n--b--\n"),
		"two-types", "Subject: Lunch\nContent-Type: text/plain\nContent-Type: text/html\n\n<p>S3CRET\n", "two-encodings", "Subject: Lunch\nContent-Transfer-Encoding: 7bit\nContent-Transfer-Encoding: base64\n\nUzNDUkVU\n", "two-dispositions", typed("multipart/mixed; boundary=b", "--b\nContent-Disposition: inline\nContent-Disposition: attachment\n\nS3CRET\n--b--\n"), "two-from", "From: s3cret@secret.example\nFrom: z@secret.example\nSubject: Lunch\n\nAt noon.\n",
		"no-type", typed("", "At noon.\n"), "bad-type", typed(";;;", "At noon.\n"), "one-word-type", typed("text", "At noon.\n"), "old-type", typed("text/plain (S3CRET)", "At noon.\n"), "type-comment", typed("text/plain; charset=utf-8 (S3CRET)", "At noon.\n"), "type-no-separator", typed("text/plain charset=utf-8", "At noon.\n"), "type-semicolon", typed("text/plain; charset=utf-8;", "At noon.\n"), "unknown-text", typed("text/x-s3cret", "At noon.\n"), "enriched", typed("text/enriched", "<bold>At noon.</bold>\n"), "markdown", typed("text/markdown", "*At noon.*\n"), "x-unknown", typed("x-s3cret/x-thing", "At noon.\n"), "unknown-multipart", typed("multipart/x-s3cret; boundary=b", "--b\n\nAt noon.\n--b--\n"), "parallel", typed("multipart/parallel; boundary=b", "--b\n\nOne.\n--b\n\nTwo.\n--b--\n"), "form-data", typed("multipart/form-data; boundary=b", "--b\nContent-Disposition: form-data; name=S3CRET\n\nAt noon.\n--b--\n"), "two-charsets", typed("text/plain; charset=utf-8; charset=iso-8859-1", "Caf\xe9\n"), "parameter-encoding", typed("text/plain; charset*=us-ascii'en'utf-8", "Café\n"),
		"unknown-encoding", "Subject: Lunch\nContent-Transfer-Encoding: x-s3cret\n\nAt noon.\n", "uuencode", "Subject: Lunch\nContent-Transfer-Encoding: uuencode\n\nbegin 644 S3CRET\n#0V%T\n`\nend\n", "encoding-comment", "Subject: Lunch\nContent-Transfer-Encoding: 7bit (S3CRET)\n\nAt noon.\n", "7bit-with-8bit", "Subject: Lunch\nContent-Transfer-Encoding: 7bit\nContent-Type: text/plain; charset=utf-8\n\nCafé\n", "base64-truncated", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\nQXQgbm9vbi\n", "base64-rubbish", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\nQXQg!!!bm9vbi4K\n", "base64-after-padding", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\nQXQ=\nIG5vb24uCg==\n", "base64-no-padding", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\nQXQgbm9vbi4\n", "base64-footer", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\nQXQgbm9vbi4K\n\n-- \nS3CRET list\n", "base64-one-line", "Subject: Lunch\nContent-Transfer-Encoding: base64\n\n"+"QXQgbm9vbi4g"+strings.Repeat("QXQgbm9vbi4g", 200)+"\n",
		"depth-10", deep(9), "depth-11", deep(11), "trees-9", deepTree(9), "trees-11", deepTree(11), "parts-99", typed("multipart/mixed; boundary=b", strings.Repeat("--b\n\nx\n", 99)+"--b--\n"), "parts-101", typed("multipart/mixed; boundary=b", strings.Repeat("--b\n\nx\n", 101)+"--b--\n"), "files-31", typed("multipart/mixed; boundary=b", strings.Repeat("--b\nContent-Disposition: attachment\n\nx\n", 31)+"--b--\n"), "fields-1001", strings.Repeat("X: S3CRET\n", 1001)+"\nAt noon.\n", "fields-999", strings.Repeat("X: S3CRET\n", 999)+"Subject: Lunch\n\nAt noon.\n", "header-65k", "Subject: Lunch\nX: "+strings.Repeat("S3CRET S3CRET\n ", 4700)+"x\n\nAt noon.\n", "header-60k", "Subject: Lunch\nX: "+strings.Repeat("S3CRET S3CRET\n ", 4000)+"x\n\nAt noon.\n", "part-header-65k", typed("multipart/mixed; boundary=b", "--b\nX: "+strings.Repeat("S3CRET S3CRET\n ", 4700)+"x\n\nAt noon.\n--b--\n"), "digest-typed", typed("multipart/digest; boundary=b", "--b\nContent-Type: text/plain\n\nAt noon.\n--b--\n"), "alternative-empty-html", "Subject: Lunch\n"+tree("alternative", "b", text, "At noon.", "Content-Type: text/html", ""), "alternative-reversed", "Subject: Lunch\n"+tree("alternative", "b", "Content-Type: text/html", "<p>At noon.", text, "At noon."), "alternative-one", "Subject: Lunch\n"+tree("alternative", "b", text, "At noon."), "alternative-differing", "Subject: Lunch\n"+tree("alternative", "b", text, "S3CRET in the plain text.", "Content-Type: text/html", "<p>At noon."), "alternative-mixed", "Subject: Lunch\n"+tree("alternative", "b", text, "At noon.", "Content-Type: image/png", "AAAA"), "rfc822-no-header", typed("message/rfc822", "S3CRET\n"), "rfc822-empty", typed("message/rfc822", ""), "partial", typed("message/partial; id=S3CRET; number=1; total=2", "x\n"), "external-body", typed("message/external-body; access-type=URL; URL=\"https://secret.example/\"", "Content-Type: text/plain\n\nS3CRET\n"), "message-http", typed("message/http", "GET / HTTP/1.1\nHost: secret.example\n"), "message-global", typed("message/global", "Subject: Dinner\n\nAt eight.\n"), "delivery-status", typed("message/delivery-status", "Reporting-MTA: dns; secret.example\n"),
	)
}

func sealedLetters() []letter {
	text := "Content-Type: text/plain"
	in := func(t string) string { return "Subject: Lunch\n" + t }
	armoured := func(packets, headers string) string {
		return "-----BEGIN PGP MESSAGE-----\n" + headers + "\n" + inBase64(packets) + "-----END PGP MESSAGE-----\n"
	}
	const key = "\x03\x00\x00\x00\x00\x00\x00\x00\x00\x12xyz"
	const namedKey = "\x03S3CRETkk\x12xyz"
	packet := func(tag byte, body string) string { return string([]byte{0xc0 | tag, byte(len(body))}) + body }
	hidden := packet(1, key) + packet(18, "\x02encrypted data here")
	named := packet(1, namedKey) + packet(18, "\x02encrypted data here")
	password := packet(3, "\x06\x1a\x09\x02\x04xxxx") + packet(18, "\x02encrypted data here")
	mime := func(body string) string {
		return in(tree("encrypted; protocol=\"application/pgp-encrypted\"", "b", "Content-Type: application/pgp-encrypted\nContent-Description: S3CRET", "Version: 1\n", "Content-Type: application/octet-stream; name=\"S3CRET.asc\"\nContent-Disposition: inline; filename=\"S3CRET.asc\"", body))
	}
	attached := func(contentType, body string) string {
		return in(tree("mixed", "b", text, "See.", "Content-Type: "+contentType+"\nContent-Disposition: attachment; filename=S3CRET", body))
	}
	return table(
		"pgp-signed", in(tree("signed; micalg=pgp-sha512; protocol=\"application/pgp-signature\"", "b", text, "At noon.", "Content-Type: application/pgp-signature; name=S3CRET.asc", "-----BEGIN PGP SIGNATURE-----\nComment: S3CRET\n\nAAAA\n-----END PGP SIGNATURE-----\n")),
		"pgp-signed-html", in(tree("signed; protocol=\"application/pgp-signature\"", "b", "Content-Type: multipart/alternative; boundary=c", "--c\n\nAt noon.\n--c\nContent-Type: text/html\n\n<p>At noon.</p>\n--c--", "Content-Type: application/pgp-signature", "S3CRET")),
		"smime-signed", in(tree("signed; micalg=sha-256; protocol=\"application/pkcs7-signature\"", "b", text, "At noon.", "Content-Type: application/pkcs7-signature; name=smime.p7s\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=smime.p7s\nContent-Description: S3CRET", "UzNDUkVU")),
		"smime-x-signed", in(tree("signed", "b", text, "At noon.", "Content-Type: application/x-pkcs7-signature\nContent-Transfer-Encoding: base64", "UzNDUkVU")),
		"smime-opaque", in("Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\nContent-Transfer-Encoding: base64\n\nUzNDUkVU\n"), "smime-encrypted", in("Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data\n\nUzNDUkVU\n"),
		"signature-alone", in(tree("mixed", "b", text, "At noon.", "Content-Type: application/pgp-signature", "S3CRET")), "signed-empty", in("Content-Type: multipart/signed; boundary=b\n\n--b--\n"),
		"clear-signed", in("\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nAt noon.\n- -- dash\n-----BEGIN PGP SIGNATURE-----\nVersion: S3CRET\nComment: Zwiebelfisch\n\nUzNDUkVU\n-----END PGP SIGNATURE-----\n"), "clear-signed-open", in("\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\nAt noon.\n"),
		"pgp-mime", mime(armoured(hidden, "")), "pgp-mime-named", mime(armoured(named, "")), "pgp-mime-version", mime(armoured(hidden, "Version: S3CRET 2.2\n")), "pgp-mime-comment", mime(armoured(hidden, "Comment: S3CRET\n")), "pgp-mime-password", mime(armoured(password, "")), "pgp-mime-signed-outside", mime(armoured(packet(2, "S3CRET")+hidden, "")), "pgp-mime-trailing", mime(armoured(hidden+packet(13, "S3CRET"), "")), "pgp-mime-marker", mime(armoured(packet(10, "PGP")+hidden, "")), "pgp-mime-padding", mime(armoured(packet(21, "S3CRET")+hidden, "")), "pgp-mime-literal", mime(armoured(packet(11, "tS3CRET"), "")), "pgp-mime-damaged", mime(armoured("S3CRET", "")), "pgp-mime-text", mime("S3CRET\n"), "pgp-mime-empty", mime(""),
		"pgp-inline", in("\n"+armoured(hidden, "")), "pgp-inline-named", in("\n"+armoured(named, "")), "pgp-inline-version", in("\n"+armoured(hidden, "Version: S3CRET\n")), "pgp-inline-text", in("\nHello\n"+armoured(hidden, "")), "pgp-inline-twice", in("\n"+armoured(hidden, "")+armoured(hidden, "")), "pgp-inline-open", in("\n-----BEGIN PGP MESSAGE-----\n\nUzNDUkVU\n"),
		"pgp-mixed", in(tree("mixed", "b", text, "Hello", "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=c", "--c\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n--c\nContent-Type: application/octet-stream\n\n"+armoured(hidden, "")+"--c--")), "pgp-part-alone", in("Content-Type: application/pgp-encrypted\n\nVersion: 1\n"), "encrypted-unknown", in(tree("encrypted; protocol=\"application/x-s3cret\"", "b", text, "x", text, "y")),
		"public-key", in("\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nUzNDUkVU\n-----END PGP PUBLIC KEY BLOCK-----\n"), "private-key", in("\n-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nUzNDUkVU\n"), "key-part", in(tree("mixed", "b", text, "At noon.", "Content-Type: application/pgp-keys; name=OpenPGP_0xS3CRET.asc\nContent-Disposition: attachment; filename=OpenPGP_0xS3CRET.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nUzNDUkVU\n")),
		"key-file", attached("application/octet-stream", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nUzNDUkVU\n"), "encrypted-file", attached("application/octet-stream", armoured(hidden, "")), "encrypted-binary", attached("application/octet-stream\nContent-Transfer-Encoding: base64", inBase64(hidden)), "ssh-key", attached("application/octet-stream", "-----BEGIN OPENSSH PRIVATE KEY-----\nUzNDUkVU\n-----END OPENSSH PRIVATE KEY-----\n"), "certificate", attached("application/x-x509-ca-cert", "-----BEGIN CERTIFICATE-----\nUzNDUkVU\n-----END CERTIFICATE-----\n"),
		"protected-headers", in(tree("signed; protocol=\"application/pgp-signature\"", "b", "Content-Type: text/plain; protected-headers=\"v1\"; hp=\"clear\"\nFrom: s3cret@secret.example\nSubject: S3CRET", "At noon.", "Content-Type: application/pgp-signature", "S3CRET")),
		"winmail", attached("application/ms-tnef", "S3CRET"), "winmail-octets", attached("application/octet-stream; name=winmail.dat\nContent-Transfer-Encoding: base64", inBase64("\x78\x9f\x3e\x22\x01\x00S3CRET")), "invitation", in(tree("mixed", "b", text, "Come.", "Content-Type: text/calendar; method=REQUEST", "BEGIN:VCALENDAR\nATTENDEE:mailto:s3cret@secret.example\nEND:VCALENDAR")), "invitation-alone", in("Content-Type: text/calendar; method=REPLY\n\nBEGIN:VCALENDAR\nATTENDEE:mailto:s3cret@secret.example\nEND:VCALENDAR\n"), "invitation-file", attached("text/calendar", "BEGIN:VCALENDAR\nATTENDEE:mailto:s3cret@secret.example\nEND:VCALENDAR"), "ics-octets", attached("application/ics", "BEGIN:VCALENDAR\nUID:S3CRET\nEND:VCALENDAR"), "vcard", attached("text/vcard", "BEGIN:VCARD\nFN:S3CRET\nEND:VCARD"), "vcard-inline", in(tree("mixed", "b", text, "See.", "Content-Type: text/x-vcard; name=S3CRET.vcf", "BEGIN:VCARD\nFN:S3CRET\nEND:VCARD")), "directory", attached("text/directory", "begin:vcard\nfn:S3CRET\nend:vcard"),
		"receipt", in(tree("report; report-type=disposition-notification", "b", text, "Read.", "Content-Type: message/disposition-notification", "Reporting-UA: secret.example; S3CRET\nFinal-Recipient: rfc822; s3cret@secret.example")), "bounce", in(tree("report; report-type=delivery-status", "b", text, "Not delivered.", "Content-Type: message/delivery-status", "Reporting-MTA: dns; secret.example")), "abuse-report", in(tree("report; report-type=feedback-report", "b", text, "x", "Content-Type: message/feedback-report", "User-Agent: S3CRET")),
	)
}
