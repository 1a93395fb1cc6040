package scrub

import (
	"encoding/base64"
	"fmt"
	"mime/quotedprintable"
	"slices"
	"strings"

	"golang.org/x/text/encoding/htmlindex"
)

// letter is a mail of the corpus, its lines ending with LF.
type letter struct{ name, mail string }

// corpusGroups are the archives of the corpus and what makes them.
var corpusGroups = []struct {
	name, about string
	letters     func() []letter
}{
	{"fields", "Fields of the header, each with marks: none leaves.", fieldLetters},
	{"ids", "Message ids, references and dates as many programs write them.", idLetters},
	{"subjects", "Subjects: prefixes of many languages, encoded-words in many charsets, folding.", subjectLetters},
	{"charsets", "Every charset of the WHATWG's list, several under other names, and charsets times transfer encodings.", charsetLetters},
	{"texts", "Plain text: wrapping, invisible characters, normalisation, spaces.", textLetters},
	{"quotes", "Lines above quotations, headers of quoted mails, signatures, devices, footers.", quoteLetters},
	{"programs", "MIME trees as mail programs write them.", programLetters},
	{"torture", "MIME that is broken, odd or made to be read in two ways.", tortureLetters},
	{"html", "HTML with what tells of readers and writers.", htmlLetters},
	{"sealed", "Signed, encrypted, packed, invited.", sealedLetters},
	{"files", "Attached files of every kind, with marks in all they keep.", fileLetters},
	{"bombs", "What is small and becomes large.", bombLetters},
}

const everyMark = "S3CRET Zwiebelfisch of secret.example, 1999-12-31, 48.8584"

// table makes letters of names and mails in turn.
func table(pairs ...string) []letter {
	var all []letter
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, letter{pairs[i], pairs[i+1]})
	}
	return all
}

// inBase64 and inQuoted encode for a transfer (RFC 2045 section 6).
func inBase64(data string) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString([]byte(data))), 76) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func inQuoted(data string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	w.Binary = strings.ContainsAny(data, "\x00\r")
	w.Write([]byte(data))
	w.Close()
	return strings.ReplaceAll(b.String(), "\r\n", "\n")
}

func fieldLetters() []letter {
	var all []letter
	// What is not said of a value is that it has all marks.
	for _, field := range []string{
		// the way
		"Received: from S3CRET (zwiebelfisch.secret.example [192.0.2.99])\n\tby relay.example.org with ESMTPSA id abc; Fri, 31 Dec 1999 23:59:59 +0100",
		"X-Received: by 192.0.2.99 with SMTP id S3CRET; Fri, 31 Dec 1999 23:59:59 -0800", "X-Originating-IP: [192.0.2.99]", "X-Sender-IP: 192.0.2.99", "X-Client-IP: 192.0.2.99",
		"Return-Path: <s3cret@secret.example>", "Delivered-To: s3cret@secret.example", "X-Original-To: s3cret@secret.example", "Envelope-To: s3cret@secret.example",
		"Authentication-Results: secret.example; dkim=pass header.d=secret.example", "Received-SPF: pass (secret.example: 192.0.2.99)",
		"ARC-Seal: i=1; a=rsa-sha256; t=946684799; cv=none; d=secret.example; s=S3CRET; b=AAAA", "ARC-Message-Signature: i=1; d=secret.example; b=AAAA",
		"ARC-Authentication-Results: i=1; secret.example", "DKIM-Signature: v=1; a=rsa-sha256; d=secret.example; s=S3CRET; t=946684799; b=AAAA", "DomainKey-Signature: a=rsa-sha1; d=secret.example",
		// the person
		"From: \"S3CRET Zwiebelfisch\" <s3cret@secret.example> (at home)", "From: =?iso-8859-1?Q?S3CRET_M=FCller?= <s3cret@secret.example>", "From: S3CRET: a@secret.example, b@secret.example;",
		"From: root@zwiebelfisch.secret.example", "Sender:", "Reply-To: S3CRET <reply@secret.example>", "Resent-From:", "Resent-To:", "Resent-Date: Fri, 31 Dec 1999 23:59:59 +0100", "Resent-Message-ID: <S3CRET@secret.example>", "Resent-Sender:", "Resent-Cc:", "Resent-Bcc:",
		"Errors-To:", "Organization:", "Organisation:", "Face: UzNDUkVU", "X-Face: S3CRET!#$%&", "Autocrypt: addr=s3cret@secret.example; prefer-encrypt=mutual; keydata=UzNDUkVU",
		"Autocrypt-Gossip: addr=s3cret@secret.example; keydata=UzNDUkVU", "OpenPGP: id=S3CRET; url=https://secret.example/key", "Jabber-ID: s3cret@secret.example", "X-PGP-Key:", "X-PGP-Fingerprint:", "X-PGP-Universal:",
		"X-URL: https://secret.example/", "X-Phone:", "X-Location: 48.8584, 2.2945", "Geo-Location: 48.8584;2.2945", "Approved:", "X-Sender:", "X-Authenticated-Sender:", "X-Authenticated-User:",
		// others
		"To: S3CRET <s3cret@secret.example>, Zwiebelfisch: a@secret.example, b@secret.example;", "Cc:", "Bcc:", "Apparently-To:", "X-Envelope-To:",
		"List-Id: S3CRET <list.secret.example>", "List-Unsubscribe: <mailto:s3cret@secret.example>", "List-Post:", "List-Help:", "List-Archive:", "List-Owner:", "Mail-Followup-To:", "Mail-Reply-To:", "X-BeenThere:", "X-Mailman-Version:",
		// receipts
		"Return-Receipt-To: s3cret@secret.example", "Disposition-Notification-To: s3cret@secret.example", "Disposition-Notification-Options:", "X-Confirm-Reading-To:", "Read-Receipt-To:", "Generate-Delivery-Report:",
		// the program
		"User-Agent:", "X-Mailer:", "X-Newsreader:", "X-MimeOLE: Produced By S3CRET V6.00.2900.3138", "X-Priority: 1 (S3CRET)", "Importance: S3CRET", "Priority: S3CRET", "X-MSMail-Priority: S3CRET", "Content-Language: S3CRET", "Accept-Language: S3CRET, de-CH", "X-Accept-Language: S3CRET",
		"X-Identity-Key: id1 S3CRET", "X-Account-Key: account S3CRET", "X-Enigmail-Version: S3CRET", "X-Mozilla-Draft-Info: internal/draft; vcard=0; S3CRET", "X-Mozilla-Status: 0001 S3CRET", "X-Mozilla-Keys: S3CRET", "X-Mozilla-News-Host: secret.example",
		"X-Gmail-Original-Message-ID: <S3CRET@secret.example>", "X-Gm-Message-State: S3CRET", "X-GM-THRID: 1999123148.8584", "X-Google-DKIM-Signature: S3CRET", "X-Google-Smtp-Source: S3CRET", "X-MS-Exchange-Organization-AuthAs: S3CRET", "X-MS-Exchange-CrossTenant-Id: S3CRET", "X-MS-Has-Attach: S3CRET", "X-MS-TNEF-Correlator: <S3CRET@secret.example>",
		"X-Apple-Mail-Remote-Attachments: S3CRET", "X-Uniform-Type-Identifier: com.apple.mail-note S3CRET", "X-Universally-Unique-Identifier: S3CRET", "X-Yahoo-Newman-Id: S3CRET", "X-Sieve: S3CRET", "X-KMail-Identity: S3CRET", "X-Evolution-Source: S3CRET",
		"X-Forwarded-Message-Id: <S3CRET@secret.example>", "Thread-Index: AQHS3CRET==", "Thread-Topic: S3CRET", "Content-ID: <S3CRET@secret.example>", "Content-Description: S3CRET", "Content-Location: https://secret.example/", "Content-Base: https://secret.example/", "Content-MD5: UzNDUkVU", "Content-Duration: 31",
		"MIME-Version: 1.0 (S3CRET Mail 9.1)", "Keywords:", "Comments:", "Sensitivity: S3CRET", "Expires: Fri, 31 Dec 1999 23:59:59 +0100", "Expiry-Date: Fri, 31 Dec 1999 23:59:59 +0100", "Deferred-Delivery: Fri, 31 Dec 1999 23:59:59 +0100", "Precedence: S3CRET", "Auto-Submitted: S3CRET", "X-Spam-Status: S3CRET", "X-Spam-Score: 48.8584", "X-Virus-Scanned: S3CRET", "X-Antivirus-Status: S3CRET",
		"Encrypted: S3CRET", "Lines: 48.8584", "Status: S3CRET", "X-UIDL: S3CRET", "Newsgroups: secret.example", "Path: secret.example!S3CRET", "NNTP-Posting-Host: zwiebelfisch.secret.example", "X-Unknown-S3cret:", "X-No-Archive: S3CRET", "HP-Outer: From: s3cret@secret.example",
	} {
		name, value, _ := strings.Cut(field, ":")
		if value == "" {
			value = " " + everyMark
		}
		file := strings.ToLower(name)
		for n := 2; slices.ContainsFunc(all, func(l letter) bool { return l.name == file }); n++ {
			file = fmt.Sprintf("%s-%d", strings.ToLower(name), n)
		}
		all = append(all, letter{file, "Subject: Lunch\n" + name + ":" + value + "\n\nAt noon.\n"})
	}
	return append(all, table(
		"order", "X-Mailer: S3CRET\nmime-version: 1.0\nCONTENT-TYPE: TEXT/PLAIN; CHARSET=\"UTF-8\"\nsUbJeCt: Lunch\nfrom: s3cret@secret.example\n\nAt noon.\n",
		"twice", "To: s3cret@secret.example\nTo: b@secret.example\nCc: c@secret.example\nCc: d@secret.example\nSubject: Lunch\n\nAt noon.\n",
		"folded", "Subject: Lunch\nX-Folded: S3CRET\n Zwiebelfisch\n\tsecret.example\n \n more\n\nAt noon.\n",
		"allow-recipients", "Subject: Lunch\nTo: s3cret@secret.example\nSourdine-Allow: recipients\n\nAt noon.\n",
		"allow-signature", "Subject: Lunch\nSourdine-Allow: signature\n\nAt noon.\n-- \nAnna\n",
		"allow-both", "Subject: Lunch\nsourdine-allow: SIGNATURE,\n recipients\n\nAt noon.\n-- \nAnna\n",
		"allow-unknown", "Subject: Lunch\nSourdine-Allow: S3CRET\n\nAt noon.\n",
		"allow-empty", "Subject: Lunch\nSourdine-Allow:\n\nAt noon.\n",
		"allow-twice", "Subject: Lunch\nSourdine-Allow: recipients\nSourdine-Allow: signature\n\nAt noon.\n-- \nAnna\n",
		"utf-8", "Subject: Lunch\nFrom: S3CRET Müller <müller@secret.example>\n\nAt noon.\n",
	)...)
}

func idLetters() []letter {
	var all []letter
	for i, id := range []string{
		"<19991231235959.4711@zwiebelfisch.secret.example>", "<199912312359.S3CRET@secret.example>", "<S3CRETaGVsbG8gd29y@secret.example>", "<38.6D43FF.5050604@secret.example>", "<6f1b2c3d-S3CRET-4e5f-8a9b-0c1d2e3f4a5b@secret.example>",
		"<CAS3CRET=Zwiebelfisch+1999@mail.gmail.com>", "<S3CRET-19991231@EXCHANGE.secret.example>", "<E1abcS3CRET-0001-AB@secret.example>", "<99123123595900.S3CRET@zwiebelfisch>", "<alpine.DEB.2.26.9912312359590.S3CRET@secret.example>",
		"<20.S3CRET.19991231@secret.example>", "<87a1b2.fsf@zwiebelfisch.secret.example>", "<A1B2C3D4-S3CRET@icloud.com>", "<\"S3CRET quoted\"@secret.example>", "<S3CRET@[192.0.2.99]>", "S3CRET-without-brackets@secret.example", "<>", "<S3CRET@secret.example> (a comment)", "<946684799.S3CRET.JavaMail.root@secret.example>", "<trinity-S3CRET-946684799@3c-app-gmx>",
	} {
		all = append(all, letter{fmt.Sprintf("id-%d", i+1), "Subject: Lunch\nMessage-ID: " + id + "\n\nAt noon.\n"})
	}
	for i, date := range []string{
		"Fri, 31 Dec 1999 23:59:59 +0100", "Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 -0800 (PST)", "31 Dec 99 23:59 EST", "Friday, 31-Dec-99 23:59:59 CET", "1999-12-31T23:59:59+01:00", "Fri Dec 31 23:59:59 1999", "Fr, 31 Dez 1999 23:59:59 +0100", "31 Dec 1999 23:59:59 +1245", "(S3CRET) Fri, 31 Dec 1999 23:59:59 +0000", "S3CRET", "", "Fri, 31 Dec 1999\n 23:59:59\n +0100", "Fri, 32 Dec 1999 25:61:61 +9999",
	} {
		all = append(all, letter{fmt.Sprintf("date-%d", i+1), "Subject: Lunch\nDate: " + date + "\n\nAt noon.\n"})
	}
	return append(all, table(
		"two-dates", "Subject: Lunch\nDate: Fri, 31 Dec 1999 23:59:59 +0100\nDate: Fri, 31 Dec 1999 23:59:59 -0100\n\nAt noon.\n",
		"thread", "Subject: Re: Lunch\nReferences: <a.S3CRET@secret.example>\n\t<b.S3CRET@secret.example>\nIn-Reply-To: <b.S3CRET@secret.example>\n\nAt noon.\n",
		"old-style", "Subject: Re: Lunch\nIn-Reply-To: Message of 31 Dec 1999 from S3CRET <a.S3CRET@secret.example>\n\nAt noon.\n",
		"broken-reference", "Subject: Re: Lunch\nReferences: <a.S3CRET@secret.example\n\nAt noon.\n",
		"many-references", "Subject: Re: Lunch\nReferences:"+strings.Repeat("\n <S3CRET@secret.example>", 80)+"\n\nAt noon.\n",
		"folded-id", "Subject: Lunch\nMessage-ID:\n <S3CRET\n @secret.example>\n\nAt noon.\n",
	)...)
}

func subjectLetters() []letter {
	var all []letter
	for i, s := range []string{
		"Re: Lunch", "RE: Lunch", "AW: Lunch", "Aw: AW: AW: Lunch", "Antw: Lunch", "SV: Lunch", "VS: Lunch", "Réf: Lunch", "Réf. : Lunch", "Ref: Lunch", "Odp: Lunch", "YNT: Lunch", "ATB: Lunch", "回复: Lunch", "回复：Lunch", "答复: Lunch", "回覆: Lunch",
		"Fwd: Lunch", "FW: Lunch", "WG: Lunch", "TR: Lunch", "VB: Lunch", "VL: Lunch", "RV: Lunch", "ENC: Lunch", "Doorst: Lunch", "PD: Lunch", "转发: Lunch", "轉寄: Lunch", "I: Lunch", "R: Lunch", "RIF: Lunch", "ΑΠ: Lunch", "ΠΡΘ: Lunch", "İlt: Lunch", "Továbbítás: Lunch", "Vá: Lunch", "BLS: Lunch", "TRS: Lunch", "SIN: Lunch", "הועבר: Lunch", "השב: Lunch", "رد: Lunch", "Res: Lunch", "Re : Lunch", "Tr : Lunch", "Ang: Lunch", "Bls: Lunch",
		"Re[3]: Lunch", "Re(2): Lunch", "Re^2: Lunch", "RE: AW: WG: Re: Lunch", "[Fwd: Lunch]", "[Fwd: Re: Lunch]", "Lunch (fwd)", "Re:Lunch", "re: LUNCH", "Re:", "Fwd:", "Lunch - was: Dinner", "Reality: Lunch", "  Lunch  at \t noon ", "Lu\u200bnch", "\u202eLunch", "Lunch\u00ad", "Cafe\u0301", "“Lunch”", "Lunch\u00a0today", "", "\U0001f35d Lunch", "RE：Lunch", "[fwd: [Fwd: Lunch] ]", "Re: [Fwd: Lunch", "[Fwd:]", "[Fwd: ]", "Antw.: [FWD: TR: Lunch]", "Enc. of today", "Resumé: Lunch",
	} {
		all = append(all, letter{fmt.Sprintf("plain-%d", i+1), "Subject: " + s + "\nX-Mailer: S3CRET\n\nAt noon.\n"})
	}
	for _, c := range []struct{ charset, text string }{
		{"utf-8", "Café déjà"}, {"iso-8859-1", "Café déjà"}, {"ISO-8859-15", "Café 5 €"}, {"windows-1252", "“Café”"}, {"iso-8859-2", "Zażółć"}, {"koi8-r", "Обед"}, {"windows-1251", "Обед"},
		{"iso-2022-jp", "昼ごはん"}, {"shift_jis", "昼ごはん"}, {"euc-jp", "昼ごはん"}, {"gb18030", "午饭"}, {"gbk", "午饭"}, {"big5", "午飯"}, {"euc-kr", "점심"}, {"windows-1255", "צהריים"}, {"windows-1256", "غداء"}, {"windows-874", "อาหาร"}, {"iso-8859-7", "Γεύμα"}, {"iso-8859-9", "Öğle"}, {"utf-16be", "Café"},
	} {
		e, err := htmlindex.Get(c.charset)
		if err != nil {
			panic(err)
		}
		encoded, err := e.NewEncoder().String(c.text)
		if c.charset == "utf-16be" {
			encoded, err = "\x00C\x00a\x00f\x00\xe9", nil // x/text encodes it as UTF-8, as browsers do
		}
		if err != nil {
			panic(err)
		}
		q := ""
		for _, b := range []byte(encoded) {
			q += fmt.Sprintf("=%02x", b)
		}
		all = append(all, letter{"b-" + strings.ToLower(c.charset), "Subject: =?" + c.charset + "?B?" + base64.StdEncoding.EncodeToString([]byte(encoded)) + "?=\nX-Mailer: S3CRET\n\nAt noon.\n"},
			letter{"q-" + strings.ToLower(c.charset), "Subject: =?" + c.charset + "?q?" + q + "?=\nX-Mailer: S3CRET\n\nAt noon.\n"})
	}
	return append(all, table(
		"folded", "Subject: Lunch at noon,\n\tor later,\n   or never\n\nAt noon.\n",
		"folded-words", "Subject: =?utf-8?Q?Caf=C3=A9?=\n =?utf-8?Q?_d=C3=A9j=C3=A0?= and\n =?iso-8859-1?Q?th=E9?=\n\nAt noon.\n",
		"divided-character", "Subject: =?utf-8?B?Q2Fmww==?= =?utf-8?B?qQ==?=\n\nAt noon.\n",
		"language", "Subject: =?utf-8*de-ch?Q?Caf=C3=A9?=\n\nAt noon.\n",
		"header-injection", "Subject: =?utf-8?Q?Lunch=0D=0ABcc:_a@example.org?=\n\nAt noon.\n",
		"nul", "Subject: =?utf-8?Q?Lun=00ch?=\n\nAt noon.\n",
		"encoded-prefix", "Subject: =?utf-8?Q?R=C3=A9f:_Lunch?=\n\nAt noon.\n",
		"encoded-twice", "Subject: =?utf-8?Q?=3D=3Futf-8=3FQ=3FLunch=3F=3D?=\n\nAt noon.\n",
		"unknown-charset", "Subject: =?x-s3cret?Q?Lunch?=\n\nAt noon.\n",
		"unknown-encoding", "Subject: =?utf-8?X?Lunch?=\n\nAt noon.\n",
		"broken-base64", "Subject: =?utf-8?B?!!!?=\n\nAt noon.\n",
		"eight-bit", "Subject: Caf\xe9\n\nAt noon.\n",
		"raw-utf-8", "Subject: Café\n\nAt noon.\n",
		"500-bytes", "Subject: "+strings.Repeat("x", 500)+"\n\nAt noon.\n",
		"501-bytes", "Subject: "+strings.Repeat("x", 501)+"\n\nAt noon.\n",
		"two", "Subject: Lunch\nSubject: S3CRET\n\nAt noon.\n",
		"none", "X-Mailer: S3CRET\n\nAt noon.\n",
	)...)
}

// samples are texts of many scripts, for charsets that have them.
var samples = []string{"Grüße aus dem Café", "Zażółć gęślą jaźń", "Příliš žluťoučký kůň", "Ğüneş ışığı", "Ķiršu šņabis", "Privit: Обед в полдень", "Це Їжак і ґава", "Γεύμα το μεσημέρι", "צהריים טובים", "غداء اليوم", "อาหารกลางวัน", "昼ごはん", "午饭", "점심 식사", "bữa ăn", "5 € “quoted”", "plain"}

// charsetNames are the encodings of the WHATWG's list, by the names that package htmlindex has.
var charsetNames = []string{"utf-8", "ibm866", "iso-8859-2", "iso-8859-3", "iso-8859-4", "iso-8859-5", "iso-8859-6", "iso-8859-7", "iso-8859-8", "iso-8859-8-i", "iso-8859-10", "iso-8859-13", "iso-8859-14", "iso-8859-15", "iso-8859-16",
	"koi8-r", "koi8-u", "macintosh", "windows-874", "windows-1250", "windows-1251", "windows-1252", "windows-1253", "windows-1254", "windows-1255", "windows-1256", "windows-1257", "windows-1258", "x-mac-cyrillic",
	"gbk", "gb18030", "big5", "euc-jp", "iso-2022-jp", "shift_jis", "euc-kr", "utf-16be", "utf-16le"}

// encoded returns the samples that a charset has, in it.
func encoded(charset string) string {
	e, err := htmlindex.Get(charset)
	if err != nil {
		panic(err)
	}
	var all string
	for _, s := range samples {
		if text, err := e.NewEncoder().String(s + "\n"); err == nil {
			all += text
		}
	}
	return all
}

func charsetLetters() []letter {
	var all []letter
	write := func(name, charset, transfer, body string) {
		switch transfer {
		case "base64":
			body = inBase64(body)
		case "quoted-printable":
			body = inQuoted(body)
		}
		all = append(all, letter{name, "Subject: Lunch\nX-Mailer: S3CRET\nContent-Type: text/plain; charset=" + charset + "\nContent-Transfer-Encoding: " + transfer + "\n\n" + body})
	}
	transfers := []string{"8bit", "quoted-printable", "base64"}
	for i, c := range charsetNames {
		body, transfer := encoded(c), transfers[i%3]
		if strings.HasPrefix(c, "utf-16") {
			body, transfer = "", "base64"
			for _, r := range "Café\n" {
				pair := []byte{byte(r >> 8), byte(r)}
				if c == "utf-16le" {
					slices.Reverse(pair)
				}
				body += string(pair)
			}
		}
		write(c, c, transfer, body)
	}
	for _, c := range []string{"utf-8", "iso-8859-15", "windows-1252", "koi8-r", "iso-2022-jp", "gb18030"} {
		for _, transfer := range append(transfers, "binary") {
			write("times-"+c+"-"+transfer, c, transfer, encoded(c))
		}
	}
	for _, c := range []struct{ alias, charset string }{
		{"ISO-8859-1", "windows-1252"}, {"latin1", "windows-1252"}, {"\"ISO_8859-1:1987\"", "windows-1252"}, {"cp1252", "windows-1252"}, {"l2", "iso-8859-2"}, {"ISO_8859-5", "iso-8859-5"}, {"ISO-8859-9", "windows-1254"}, {"TIS-620", "windows-874"},
		{"ks_c_5601-1987", "euc-kr"}, {"x-sjis", "shift_jis"}, {"Windows-31J", "shift_jis"}, {"csISO2022JP", "iso-2022-jp"}, {"gb2312", "gbk"}, {"big5-hkscs", "big5"}, {"x-gbk", "gbk"}, {"UTF8", "utf-8"}, {"unicode-1-1-utf-8", "utf-8"}, {"koi", "koi8-r"}, {"cp1251", "windows-1251"}, {"x-mac-roman", "macintosh"}, {"mac", "macintosh"},
	} {
		write("alias-"+strings.Trim(strings.ToLower(c.alias), "\""), c.alias, "base64", encoded(c.charset))
	}
	for _, c := range []string{"replacement", "iso-2022-kr", "hz-gb-2312", "iso-2022-cn", "utf-7", "utf-32", "x-s3cret", "x-user-defined", "us-ascii", "ANSI_X3.4-1968", "unknown-8bit", "iso-8859-99"} {
		write("odd-"+strings.ToLower(c), c, "base64", "Caf\xe9\n")
	}
	write("utf-16-mark", "utf-16", "base64", "\xff\xfeC\x00a\x00f\x00\xe9\x00\n\x00")
	write("utf-16-big-mark", "utf-16", "base64", "\xfe\xff\x00C\x00a\x00f\x00\xe9\x00\n")
	write("wrong-utf-8", "utf-8", "8bit", "Caf\xe9\n")
	write("overlong-utf-8", "utf-8", "base64", "\xc0\xaf\n")
	write("surrogate-utf-8", "utf-8", "base64", "\xed\xa0\x80\n")
	write("escape-iso-2022-jp", "iso-2022-jp", "base64", "\x1b$BS3\n")
	all = append(all, table("missing-8bit", "Subject: Lunch\n\nCaf\xe9\n", "missing-utf-8", "Subject: Lunch\n\nCafé\n")...)
	return all
}
