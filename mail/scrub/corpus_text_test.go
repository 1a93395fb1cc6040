package scrub

import (
	"fmt"
	"strings"
)

// Tables of the corpus: what is written in texts.

// plainly is a mail with a text in UTF-8.
func plainly(text string) string {
	return "Subject: Lunch\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n" + text
}

func flowedly(parameters, text string) string {
	return "Subject: Lunch\nContent-Type: text/plain; charset=utf-8; format=flowed" + parameters + "\n\n" + text
}

const (
	wrapped72 = "This is a paragraph that a program has wrapped at seventy-two columns,\nas most of them do, so that its lines tell which one it was that did it,\nand how wide the window of its writer was on that day in the last month.\n"
	wrapped76 = "This is a paragraph that a program has wrapped at seventy-six columns instead,\nso that one can tell it from the others that do it at seventy-two, and whoever\nreads the lines knows it.\n"
)

func textLetters() []letter {
	return table(
		"flowed", flowedly("", "A paragraph that \nflows over \nthree lines.\n\nAnd another.\n"),
		"flowed-quoted", flowedly("", "> A quotation that \n> flows.\n>> Deeper \n>> still.\nMine.\n"),
		"flowed-delsp", flowedly("; delsp=yes", "\u663c\u3054 \n\u306f\u3093\n"),
		"flowed-stuffed", flowedly("", " From here\n > no quotation\n  two spaces\n"),
		"flowed-signature", flowedly("", "Words.\n-- \nS3CRET Zwiebelfisch\nsecret.example\n"),
		"flowed-upper", "Subject: Lunch\nContent-Type: TEXT/PLAIN; FORMAT=Flowed; DelSp=No\n\nA line that \nflows.\n",
		"fixed", "Subject: Lunch\nContent-Type: text/plain; format=fixed\n\nA line that \ndoes not flow.\n",
		"wrapped-72", plainly(wrapped72), "wrapped-76", plainly(wrapped76),
		"unwrapped", plainly(strings.ReplaceAll(wrapped72[:len(wrapped72)-1], "\n", " ")+"\n"),
		"poem", plainly("The fog comes\non little cat feet.\n\nIt sits looking\nover harbor and city\n"),
		"list", plainly("Bring:\n- bread\n- cheese\n* wine\n1. one\n2. two\n"),
		"bom", plainly("\ufeffAt noon.\n"), "bom-inside", plainly("At\ufeff noon.\n"),
		"nfd", plainly("Cafe\u0301 u\u0308ber n\u0303\n"), "nfd-hangul", plainly("\u1112\u1161\u11ab\n"), "compatibility", plainly("\ufb01ne \u2126 \u212b\n"),
		"smart-quotes", plainly("“Lunch” ‘at’ „noon“ — or later… it’s «fine»\n"),
		"spaces", plainly("no\u00a0break, thin\u2009space, em\u2003space, figure\u20071, narrow\u202f2, ogham\u1680x, ideographic\u3000x\n"),
		"zero-width", plainly("A\u200bt\u200c n\u200doon\u2060.\u180e\n"), "zero-width-watermark", plainly("At "+strings.Repeat("\u200b\u200c\u200d\u2060", 20)+"noon.\n"),
		"bidi", plainly("\u202aAt\u202c \u202enoon\u202c\u2066 now\u2069\u200e\u200f\u061c.\n"), "hebrew", plainly("\u200fשלום\u200e עולם\n"), "persian-joiner", plainly("می\u200cخواهم\n"),
		"tags", plainly("At noon\U000e0053\U000e0033\U000e0043\U000e0052\U000e0045\U000e0054.\n"), "selectors", plainly("A\ufe00t\ufe0f n\U000e0101oon\n"), "emoji", plainly("\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f 1\ufe0f\u20e3 \U0001f44d\U0001f3fd\n"),
		"soft-hyphen", plainly("Donau\u00addampf\u00adschiff\n"), "fillers", plainly("A\u115ft\u1160 \u3164noon\uffa0\u2800.\n"), "annotation", plainly("At\ufff9 noon\ufffaS\ufffb.\n"),
		"marks", plainly("Z"+strings.Repeat("\u0301", 40)+"algo\n"), "homoglyphs", plainly("Аt nооn.\n"), "private-use", plainly("At \ue000noon\uf8ff.\n"),
		"controls", plainly("A\x07t\x1b[31m noon\x08\x7f.\x0b\x0c\n"), "c1", plainly("At\u0085noon\u009b.\n"), "separators", plainly("one\u2028two\u2029three\n"),
		"tabs", plainly("a\tb\t\n\tc\n"), "trailing", plainly("At noon.   \t\n  \n\n\n\n"), "leading", plainly("\n\n\nAt noon.\n"), "gaps", plainly("one\n\n\n\n\ntwo\n"), "indented", plainly("    one\n  two\n"),
		"no-final-newline", plainly("At noon."), "only-spaces", plainly("  \n\t\n"), "only-invisible", plainly("\u200b\u200b\n"),
		"dots", plainly(".\n..\n.x\n"), "from-line", plainly("From here on\n>From there\n"), "boundary-like", plainly("=_x\n--=_x--\n"), "long-line", plainly(strings.Repeat("word ", 400)+"\n"), "longest-line", plainly(strings.Repeat("x", MaxLine)+"\n"), "too-long-line", plainly(strings.Repeat("x", MaxLine+1)+"\n"),
		"qp-76", "Subject: Lunch\nContent-Transfer-Encoding: quoted-printable\n\n"+inQuoted(strings.Repeat("Café ", 40)+"\n"),
		"qp-73", "Subject: Lunch\nContent-Transfer-Encoding: quoted-printable\n\n"+strings.Repeat(strings.Repeat("x", 72)+"=\n", 5)+"\n",
		"qp-lower", "Subject: Lunch\nContent-Transfer-Encoding: QUOTED-PRINTABLE\n\nCaf=c3=a9=20\n=41t =\nnoon\n",
		"qp-broken", "Subject: Lunch\nContent-Transfer-Encoding: quoted-printable\n\n100=% sure =ZZ\n", "qp-controls", "Subject: Lunch\nContent-Transfer-Encoding: quoted-printable\n\nA=07t=00 noon=1B\n",
		"bare-cr", plainly("one\rtwo\n"), "cr-cr-lf", plainly("one\r\ntwo\n"), "nul", plainly("At\x00 noon.\n"),
		"links", plainly("See https://example.org/?utm_source=S3CRET&utm_medium=mail&id=7 and https://example.org/?fbclid=S3CRET#top\n"),
		"safelinks", plainly("https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.org%2Fa&data=05%7C01%7CS3CRET%40secret.example&sdata=x&reserved=0\n"),
		"more-links", plainly("https://youtu.be/abc?si=S3CRET https://www.google.com/url?q=https://example.org/&sa=S3CRET https://example.org/?mc_eid=S3CRET\n"),
	)
}

func quoteLetters() []letter {
	var all []letter
	for i, line := range []string{
		"On Fri, 31 Dec 1999 at 23:59, S3CRET Zwiebelfisch <s3cret@secret.example> wrote:", "On 31/12/1999 23:59, S3CRET wrote:", "On 12/31/1999 11:59 PM, S3CRET wrote:", "On 1999-12-31 23:59, S3CRET Zwiebelfisch wrote:", "On Fri, Dec 31, 1999 at 11:59 PM S3CRET\n<s3cret@secret.example> wrote:",
		"Am 31.12.1999 um 23:59 schrieb S3CRET Zwiebelfisch:", "Am Fr., 31. Dez. 1999 um 23:59 Uhr schrieb S3CRET <s3cret@secret.example>:", "S3CRET Zwiebelfisch schrieb am 31.12.1999 um 23:59:", "Zitat von S3CRET <s3cret@secret.example>:",
		"Le 31/12/1999 à 23:59, S3CRET a écrit :", "Le ven. 31 déc. 1999 à 23:59, S3CRET <s3cret@secret.example> a écrit :", "El 31/12/1999 a las 23:59, S3CRET escribió:", "El vie, 31 dic 1999 a las 23:59, S3CRET (<s3cret@secret.example>) escribió:",
		"Il 31/12/1999 23:59, S3CRET ha scritto:", "Il giorno ven 31 dic 1999 alle ore 23:59 S3CRET <s3cret@secret.example> ha scritto:", "Em 31/12/1999 23:59, S3CRET escreveu:", "Em sex., 31 de dez. de 1999 às 23:59, S3CRET <s3cret@secret.example> escreveu:",
		"Op 31-12-1999 om 23:59 schreef S3CRET:", "Op vr 31 dec 1999 om 23:59 schreef S3CRET <s3cret@secret.example>:", "Den 31.12.1999 23:59, skrev S3CRET:", "Den fre 31 dec. 1999 kl 23:59 skrev S3CRET <s3cret@secret.example>:", "S3CRET kirjoitti 31.12.1999 klo 23.59:", "W dniu 31.12.1999 o 23:59, S3CRET pisze:", "pt., 31 gru 1999 o 23:59 S3CRET <s3cret@secret.example> napisał(a):",
		"Dne 31.12.1999 v 23:59 S3CRET napsal(a):", "31.12.1999 23:59, S3CRET пишет:", "пт, 31 дек. 1999 г. в 23:59, S3CRET <s3cret@secret.example>:", "31.12.99 23:59, S3CRET пише:", "S3CRET <s3cret@secret.example>, 31 Ara 1999 Cum, 23:59 tarihinde şunu yazdı:", "Στις 31/12/1999 23:59, S3CRET έγραψε:", "在 1999/12/31 23:59, S3CRET 写道:", "1999年12月31日(金) 23:59 S3CRET <s3cret@secret.example>:", "1999년 12월 31일 (금) 오후 11:59, S3CRET <s3cret@secret.example>님이 작성:", "בתאריך יום ו׳, 31 בדצמ׳ 1999 ב-23:59 מאת S3CRET <s3cret@secret.example>:",
		"S3CRET Zwiebelfisch <s3cret@secret.example> writes:", "Quoting S3CRET Zwiebelfisch <s3cret@secret.example>:", "* S3CRET Zwiebelfisch <s3cret@secret.example> [1999-12-31 23:59]:", "S3CRET Zwiebelfisch wrote on 31/12/1999 23:59:", "Fri, Dec 31 1999, S3CRET wrote:",
	} {
		all = append(all, letter{fmt.Sprintf("above-%d", i+1), plainly("Yes.\n\n" + line + "\n> Lunch?\n")})
	}
	for i, header := range []string{
		"-----Original Message-----\nFrom: S3CRET <s3cret@secret.example>\nSent: Friday, December 31, 1999 11:59 PM\nTo: Zwiebelfisch\nSubject: S3CRET\n", "-----Ursprüngliche Nachricht-----\nVon: S3CRET\nGesendet: Freitag, 31. Dezember 1999 23:59\nAn: Zwiebelfisch\nBetreff: S3CRET\n",
		"________________________________\nDe : S3CRET <s3cret@secret.example>\nEnvoyé : vendredi 31 décembre 1999 23:59\nÀ : Zwiebelfisch\nObjet : S3CRET\n", "________________________________________\nFrom: S3CRET\nSent: Friday, December 31, 1999 11:59:59 PM\nTo: Zwiebelfisch\nCc: S3CRET\nSubject: S3CRET\n",
		"-------- Forwarded Message --------\nSubject: \tS3CRET\nDate: \tFri, 31 Dec 1999 23:59:59 +0100\nFrom: \tS3CRET <s3cret@secret.example>\nTo: \tZwiebelfisch <z@secret.example>\n", "---------- Forwarded message ---------\nFrom: S3CRET <s3cret@secret.example>\nDate: Fri, Dec 31, 1999 at 11:59 PM\nSubject: S3CRET\nTo: Zwiebelfisch <z@secret.example>\n",
		"Begin forwarded message:\n\nFrom: S3CRET <s3cret@secret.example>\nSubject: S3CRET\nDate: December 31, 1999 at 11:59:59 PM GMT+1\nTo: Zwiebelfisch <z@secret.example>\n", "Anfang der weitergeleiteten Nachricht:\n\nVon: S3CRET <s3cret@secret.example>\nBetreff: S3CRET\nDatum: 31. Dezember 1999 um 23:59:59 MEZ\nAn: Zwiebelfisch <z@secret.example>\n",
		"----- Forwarded message from S3CRET <s3cret@secret.example> -----\n\nDate: Fri, 31 Dec 1999 23:59:59 +0100\nFrom: S3CRET <s3cret@secret.example>\nTo: z@secret.example\nSubject: S3CRET\nUser-Agent: Zwiebelfisch\n",
	} {
		all = append(all, letter{fmt.Sprintf("header-%d", i+1), plainly("See below.\n\n" + header + "\nLunch?\n")})
	}
	for i, below := range []string{
		"-- \nS3CRET Zwiebelfisch\nhttps://secret.example/\n", "--\nS3CRET\nsecret.example\n", "Sent from my iPhone\n", "Von meinem iPhone gesendet\n", "Envoyé de mon iPhone\n", "Enviado desde mi iPhone\n", "Inviato da iPhone\n", "Verzonden vanaf mijn iPad\n", "Skickat från min iPhone\n", "Wysłane z iPhone'a\n", "Отправлено с iPhone\n", "iPhoneから送信\n", "发自我的iPhone\n", "나의 iPhone에서 보냄\n",
		"Sent from my Samsung Galaxy smartphone.\n", "Get Outlook for Android<https://aka.ms/S3CRET>\n", "Sent from Yahoo Mail on Android\n", "Gesendet mit der GMX Mail App\n", "Diese Nachricht wurde von meinem Android-Mobiltelefon mit K-9 Mail gesendet.\n", "Sent with Proton Mail secure email.\n",
		"CONFIDENTIALITY NOTICE: This e-mail of S3CRET Ltd is confidential and intended solely for the addressee. If you are not the intended recipient, please delete it.\n", "Diese E-Mail der Zwiebelfisch AG enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind, informieren Sie bitte den Absender und vernichten Sie diese Mail.\n", "Ce message de S3CRET est confidentiel et destiné exclusivement à ses destinataires. Si vous avez reçu ce courriel par erreur, merci de le détruire.\n", "Please consider the environment before printing this email.\n", "Avast: This email has been checked for viruses by Avast antivirus software. www.avast.com\n",
		"_______________________________________________\nS3CRET mailing list\nlist@secret.example\nhttps://secret.example/mailman/listinfo/S3CRET\n", "-- \nYou received this message because you are subscribed to the Google Groups \"S3CRET\" group.\nTo unsubscribe, mail s3cret@secret.example.\n",
		"Sent from my iPhone\n\n-- \nS3CRET\n", "-- \nS3CRET\n\n> Sent from my iPhone\n",
	} {
		all = append(all, letter{fmt.Sprintf("below-%d", i+1), plainly("At noon.\n\n" + below)})
	}
	return append(all, table(
		"nested", plainly("Yes.\n\nOn 31/12/1999 23:59, S3CRET wrote:\n> No.\n>\n> On 31/12/1999 22:59, Zwiebelfisch wrote:\n>> Lunch?\n>> -- \n>> S3CRET\n"),
		"below-quote", plainly("> Lunch?\n\nYes.\n"), "odd-marks", plainly(">Lunch?\n> > Deeper\n>>> Deepest\n|bar\n"),
		"quoted-address", plainly("Yes.\n\n> Write to anna@example.org.\n"), "own-address", plainly("Write to anna@example.org.\n"),
		"no-attribution", plainly("On Friday my brother wrote:\nhe comes at noon, and brings his dog.\n"), "two-hyphens", plainly("a\n--\n"+strings.Repeat("This is a long line below two hyphens, and so no signature at all, but text of the mail.\n", 3)),
	)...)
}

func htmlLetters() []letter {
	var all []letter
	for _, p := range [][2]string{
		{"pixel", `<p>At noon.</p><img src="https://secret.example/open?id=S3CRET" width=1 height=1>`}, {"picture", `<p>At noon.</p><img src="https://secret.example/S3CRET.jpg" alt="">`}, {"picture-alt", `<p>At noon. <img src="https://secret.example/S3CRET.jpg" alt="a dog"></p>`},
		{"background", `<body background="https://secret.example/b.png" bgcolor=red><table background="https://secret.example/S3CRET"><tr><td>At noon.</table>`}, {"srcset", `<p>At noon.<img srcset="https://secret.example/a 1x, https://secret.example/S3CRET 2x">`},
		{"style", `<style>@import url(https://secret.example/S3CRET.css); p{background:url(https://secret.example/)}</style><p style="background-image:url('https://secret.example/S3CRET')">At noon.`}, {"link-element", `<link rel=stylesheet href="https://secret.example/S3CRET"><base href="https://secret.example/"><p>At noon.`},
		{"generator", `<html lang="S3CRET"><head><meta name=generator content="S3CRET 1.0"><meta name=author content=Zwiebelfisch><title>S3CRET</title></head><body>At noon.`}, {"refresh", `<meta http-equiv=refresh content="0;url=https://secret.example/">At noon.`},
		{"script", `<script>alert("S3CRET")</script><p onclick="S3CRET()">At noon.<noscript><img src=https://secret.example/></noscript>`}, {"frame", `<p>At noon.<iframe src="https://secret.example/S3CRET">S3CRET</iframe><object data="https://secret.example/"></object><embed src="https://secret.example/">`},
		{"object-instead", `<p>At noon.<object data="https://secret.example/S3CRET">Or later.</object>`}, {"form", `<form action="https://secret.example/"><p>At noon.<input name=a value=S3CRET><textarea>S3CRET</textarea><select><option>S3CRET</select><button>S3CRET</button></form>`}, {"svg", `<p>At noon.<svg><title>S3CRET</title><desc>S3CRET</desc><image href="https://secret.example/S3CRET"/></svg>`}, {"math", `<p>At noon.<math><annotation>S3CRET</annotation></math>`},
		{"comment", `<!-- S3CRET Zwiebelfisch --><p>At noon.<!--[if mso]><p>S3CRET</p><![endif]-->`}, {"hidden", `<p>At noon.<span style="display:none">S3CRET</span><span style="font-size:0">S3CRET</span><div hidden>S3CRET</div><div style="visibility:hidden">S3CRET</div>`}, {"preheader", `<div style="display:none;max-height:0;overflow:hidden;mso-hide:all">S3CRET</div><p>At noon.`},
		{"white-on-white", `<p>At noon. <span style="color:#fff;background:#fff">White.</span>`}, {"opacity", `<p>At noon. <span style="opacity:0">S3CRET</span>`}, {"off-screen", `<p>At noon.<div style="position:absolute;left:-9999px">S3CRET</div>`},
		{"link", `<p>See <a href="https://example.org/menu">the menu</a>.`}, {"tracked-link", `<p>See <a href="https://example.org/menu?utm_source=S3CRET&amp;id=7">the menu</a>.`}, {"wrapped-link", `<p>See <a href="https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.org%2F&amp;data=S3CRET">the menu</a>.`}, {"link-attributes", `<p><a href="https://example.org/" title="S3CRET" ping="https://secret.example/" data-saferedirecturl="https://secret.example/">menu</a>`},
		{"odd-links", `<p><a href="javascript:S3CRET">one</a> <a href="file:///home/S3CRET/x">two</a> <a href="cid:S3CRET@secret.example">three</a> <a href="mid:S3CRET@secret.example">four</a> <a href="data:text/html,S3CRET">five</a>`}, {"anchor", `<p><a name="S3CRET" href="#S3CRET">up</a>`}, {"map", `<p>At noon.<map name=S3CRET><area href="https://secret.example/" alt=S3CRET></map>`},
		{"data-picture", `<p>At noon.<img src="data:image/png;base64,UzNDUkVU">`}, {"cid", `<p>At noon.<img src="cid:S3CRET@secret.example" alt="">`}, {"classes", `<div class="gmail_default S3CRET" id="S3CRET" data-x="S3CRET"><font face="S3CRET" size=2>At noon.</font></div>`}, {"office", `<html xmlns:o="urn:schemas-microsoft-com:office:office"><body><p class=MsoNormal>At noon.<o:p>&nbsp;</o:p></p></body></html><xml><o:Author>S3CRET</o:Author></xml>`},
		{"gmail-quote", `<div dir="ltr">Yes.</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">On Fri, Dec 31, 1999 at 11:59 PM S3CRET &lt;<a href="mailto:s3cret@secret.example">s3cret@secret.example</a>&gt; wrote:<br></div><blockquote class="gmail_quote" style="margin:0">Lunch?</blockquote></div>`},
		{"thunderbird-quote", `<p>Yes.</p><div class="moz-cite-prefix">Am 31.12.1999 um 23:59 schrieb S3CRET:<br></div><blockquote type="cite" cite="mid:S3CRET@secret.example">Lunch?</blockquote>`}, {"signature", `<p>At noon.</p><div class="moz-signature">-- <br>S3CRET<br>secret.example</div>`}, {"apple", `<html><head></head><body style="word-wrap: break-word;">At noon.<div><br></div><div>Sent from my iPhone</div></body></html>`},
		{"list", `<ul><li>bread<li>cheese<ul><li>goat</ul></ul><ol start=3><li>three<li>four</ol>`}, {"table", `<table border=1><tr><th>What<th>Sum<tr><td>Bread<td>3</table>`}, {"layout-table", `<table><tr><td><table><tr><td>At noon.</table></table>`}, {"pre", "<pre>a\n  b\n</pre>"}, {"entities", `caf&eacute; &lt;b&gt; &amp;amp; &#x1F35D; &nbsp;x &zwnj;y&#8203;z &shy;w`}, {"invisible", "At\u200b n\u202eoon"}, {"nested-quotes", strings.Repeat("<blockquote>", 30) + "deep" + strings.Repeat("</blockquote>", 30)}, {"unclosed", `<p>At <b>noon<i>.`}, {"misnested", `<b><p>At <i></b>noon</i>.</p>`}, {"empty", ``}, {"only-picture", `<img src="https://secret.example/S3CRET.png">`},
		{"title-only", `<title>S3CRET</title>`}, {"cdata", `<![CDATA[S3CRET]]><?xml S3CRET?><!DOCTYPE S3CRET><p>At noon.`}, {"details", `<details><summary>Lunch</summary>At noon.</details>`}, {"media", `<p>At noon.<video src="https://secret.example/" poster="https://secret.example/S3CRET">S3CRET</video><audio src="https://secret.example/">S3CRET</audio>`}, {"template", `<template>S3CRET</template><p>At noon.`}, {"amp-script", `<script type="application/ld+json">{"name":"S3CRET"}</script><p>At noon.`},
	} {
		all = append(all, letter{p[0], "Subject: Lunch\nContent-Type: text/html; charset=utf-8\n\n" + p[1] + "\n"})
	}
	all = append(all, table(
		"latin1", "Subject: Lunch\nContent-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n<p>Caf\xe9</p>\n",
		"meta-charset", "Subject: Lunch\nContent-Type: text/html\n\n<meta charset=iso-8859-1><p>Café</p>\n",
		"deep", "Subject: Lunch\nContent-Type: text/html\n\n"+strings.Repeat("<div>", 1200)+"deep\n",
	)...)
	return all
}
