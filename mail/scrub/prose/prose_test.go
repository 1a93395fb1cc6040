package prose

import (
	"slices"
	"strings"
	"testing"
)

// quoted appends a quotation, so that what stands above introduces it.
const quoted = "\n> Hello\n"

func TestAttribution(t *testing.T) {
	for _, text := range []string{
		"On Tue, 3 Mar 2026 at 10:12, Anna Lopez <anna@example.org> wrote:",
		"On Tue, 3 Mar 2026 at 10:12, Anna Maria Lopez-Garcia <anna.maria@example.org>\nwrote:",
		"On Mar 3, 2026, at 10:12 AM, Anna <anna@example.org> wrote:",
		"On 3 Mar 2026, at 10:12, Anna <anna@example.org> wrote:",
		"On 03/03/2026 10:12, Anna Lopez wrote:",
		"On 3/3/26 10:12 AM, Anna Lopez wrote:",
		"On Tue, Mar 03, 2026 at 10:12:00AM +0100, Anna Lopez wrote:",
		"On Tue, 3 Mar 2026 10:12:00 +0100\nAnna Lopez <anna@example.org> wrote:",
		"On Tuesday, 3 March 2026 10:12:33 CET Anna Lopez wrote:",
		"On Tuesday, March 3rd, 2026 at 10:12 AM, Anna <anna@example.org> wrote:",
		"On Tuesday, March 3, 2026 at 10:12:00 AM GMT+1, Anna Lopez <anna@example.org> wrote:",
		"  On Tuesday, March 3, 2026 at 10:12:00 AM GMT+1, Anna Lopez\n<anna@example.org> wrote:",
		"Anna Lopez wrote:",
		"Anna van der Berg wrote:",
		"Quoting Anna Lopez <anna@example.org>:",
		"* Anna Lopez <anna@example.org> [2026-03-03 10:12]:",
		"Am 03.03.26 um 10:12 schrieb Anna Lopez:",
		"Am 03.03.2026 um 10:12 schrieb anna@example.org:",
		"Am Di., 3. März 2026 um 10:12 Uhr schrieb Anna Lopez <\nanna@example.org>:",
		"Am Dienstag, dem 03.03.2026 um 10:12 +0100 schrieb Anna Lopez:",
		"Am Dienstag, 3. März 2026, 10:12:33 MEZ hat Anna Lopez <anna@example.org> Folgendes geschrieben:",
		"Anna Lopez <anna@example.org> schrieb am Di., 3. März 2026, 10:12:",
		"Zitat von Anna Lopez <anna@example.org>:",
		"Le 03/03/2026 à 10:12, Anna Lopez a écrit :",
		"Le mar. 3 mars 2026 à 10:12, Anna Lopez <anna@example.org> a écrit :",
		"Le 3 mars 2026 à 10:12, Anna Lopez\n<anna@example.org> a écrit\u00a0:",
		"El mar, 3 mar 2026 a las 10:12, Anna Lopez (<anna@example.org>) escribió:",
		"El 3/3/26 a las 10:12, Anna Lopez escribió:",
		"Il giorno mar 3 mar 2026 alle ore 10:12 Anna Lopez <anna@example.org> ha\nscritto:",
		"Il 03/03/26 10:12, Anna Lopez ha scritto:",
		"Em ter., 3 de mar. de 2026 às 10:12, Anna Lopez <anna@example.org>\nescreveu:",
		"Em 03/03/2026 10:12, Anna Lopez escreveu:",
		"Op di 3 mrt 2026 om 10:12 schreef Anna Lopez <anna@example.org>:",
		"Op 03-03-2026 om 10:12 schreef Anna Lopez:",
		"Den tis 3 mars 2026 kl 10:12 skrev Anna Lopez <anna@example.org>:",
		"Den 2026-03-03 kl. 10:12, skrev Anna Lopez:",
		"Den tirs. 3. mar. 2026 kl. 10.12 skrev Anna Lopez <anna@example.org>:",
		"tir. 3. mars 2026 kl. 10:12 skrev Anna Lopez <anna@example.org>:",
		"ti 3. maalisk. 2026 klo 10.12 Anna Lopez (anna@example.org) kirjoitti:",
		"Anna Lopez kirjoitti 3.3.2026 klo 10.12:",
		"wt., 3 mar 2026 o 10:12 Anna Lopez <anna@example.org> napisał(a):",
		"wt., 3 mar 2026 o 10:12 Anna Lopez <anna@example.org>\nnapisał(a):",
		"W dniu 3.03.2026 o 10:12, Anna Lopez pisze:",
		"út 3. 3. 2026 v 10:12 odesílatel Anna Lopez <anna@example.org> napsal:",
		"Dne 03. 03. 26 v 10:12 Anna Lopez napsal(a):",
		"ut 3. 3. 2026 o 10:12 Anna Lopez <anna@example.org> napísal(a):",
		"Anna Lopez <anna@example.org> ezt írta (időpont: 2026. márc. 3., K, 10:12):",
		"2026. 03. 03. 10:12 keltezéssel, Anna Lopez írta:",
		"În mar., 3 mar. 2026 la 10:12, Anna Lopez <anna@example.org> a scris:",
		"вт, 3 мар. 2026 г. в 10:12, Anna Lopez <anna@example.org>:",
		"03.03.2026 10:12, Anna Lopez пишет:",
		"вт, 3 бер. 2026 р. о 10:12 Anna Lopez <anna@example.org> пише:",
		"На вт, 3.03.2026 г. в 10:12 Anna Lopez <anna@example.org> написа:",
		"Anna Lopez <anna@example.org>, 3 Mar 2026 Sal, 10:12 tarihinde şunu yazdı:",
		"Anna Lopez <anna@example.org>, 3 Mar 2026 Sal,\n10:12 tarihinde şunu yazdı:",
		"Στις Τρί 3 Μαρ 2026 στις 10:12 π.μ., ο/η Anna Lopez <anna@example.org> έγραψε:",
		"uto, 3. ožu 2026. u 10:12 Anna Lopez <anna@example.org> napisao je:",
		"V V tor., 3. mar. 2026 ob 10:12 je oseba Anna Lopez <anna@example.org> napisala:",
		"2026-03-03, an, 10:12 Anna Lopez <anna@example.org> rašė:",
		"otrd., 2026. g. 3. marts, plkst. 10:12 — lietotājs Anna Lopez (<anna@example.org>) rakstīja:",
		"Kuupäev T, 3. märts 2026 kell 10:12 kirjutas Anna Lopez <anna@example.org>:",
		"Missatge de Anna Lopez <anna@example.org> del dia dt., 3 de març 2026 a les 10:12:",
		"2026年3月3日(火) 10:12 Anna Lopez <anna@example.org>:",
		"2026/03/03 10:12、Anna Lopez <anna@example.org>のメール:",
		"Anna Lopez <anna@example.org> 于2026年3月3日周二 10:12写道：",
		"在 2026/3/3 10:12, Anna Lopez 写道:",
		"Anna Lopez <anna@example.org> 於 2026年3月3日 週二 上午10:12寫道：",
		"2026년 3월 3일 (화) 오전 10:12, Anna Lopez <anna@example.org>님이 작성:",
		"\u202bבתאריך יום ג׳, 3 במרץ 2026 ב-10:12 מאת \u202aAnna\u202c\u200f <\u202aanna@example.org\u202c\u200f>:\u202c",
		"في الثلاثاء، 3 مارس 2026 في 10:12 ص كتب Anna Lopez <anna@example.org>:",
		"در تاریخ سه\u200cشنبه ۳ مارس ۲۰۲۶، ۱۰:۱۲ Anna Lopez <anna@example.org> نوشت:",
		"मंगल, 3 मार्च 2026 को 10:12 बजे को Anna Lopez <anna@example.org> ने लिखा:",
		"Vào Th 3, 3 thg 3, 2026 vào lúc 10:12 Anna Lopez <anna@example.org> đã viết:",
		"Pada tanggal Sel, 3 Mar 2026 pukul 10.12 Anna Lopez <anna@example.org> menulis:",
	} {
		clean, removed, _ := Clean("I agree.\n\n"+text+quoted, Keep{})
		if want := "I agree.\n\nThey wrote:\n> Hello\n"; clean != want {
			t.Errorf("%q becomes %q", text, clean)
		} else if !slices.Contains(removed, Attribution) {
			t.Errorf("%q is removed as %q", text, removed)
		}
		// With a greeting above and no blank line, and with one below.
		if !strings.Contains(text, "\n") {
			if clean, _, _ := Clean("I agree.\n"+text+"\n"+quoted, Keep{}); clean != "I agree.\n\nThey wrote:\n> Hello\n" {
				t.Errorf("without a blank line, %q becomes %q", text, clean)
			}
		}
		// As the first line of the quotation, in one that quotes.
		inner := "> " + strings.ReplaceAll(text, "\n", "\n> ") + "\n>\n> Hello\n"
		if clean, _, _ := Clean("I agree.\n\n"+inner, Keep{}); clean != "I agree.\n\nThey wrote:\n> Hello\n" {
			t.Errorf("within the quotation, %q becomes %q", text, clean)
		}
	}
}

// TestNoAttribution has lines that end in a colon and introduce nothing that a
// program quoted.
func TestNoAttribution(t *testing.T) {
	for _, text := range []string{
		"Here is what I found:\n",
		"He wrote:\n> This is my letter.\n",
		"As I once wrote in a letter:\n> This is my letter.\n",
		"Am 3.3.2026 schrieb die Zeitung:\n",
		"On Tuesday we meet at 10:12:\n",
		"Call me on 2026-03-03 at 10:12:\n",
		"These are the dates:\n- 3.3.2026\n- 4.3.2026\n",
		"Write to anna@example.org:\n",
		"Fragen an anna@example.org bis 3.3.2026:\n",
		"From: the beginning\nTo: the end\n",
		"Date: 3 March\nPlace: Paris\nSubject: tea\n",
		"To: be or not\n",
	} {
		if clean, removed, _ := Clean(text, Keep{}); clean != text || len(removed) > 0 {
			t.Errorf("%q becomes %q, removed %q", text, clean, removed)
		}
	}
}

func TestHeader(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"From: Anna <anna@example.org>\nSent: Tuesday, March 3, 2026 10:12 AM\nTo: Bob <bob@example.net>\nSubject: RE: Tea\n\nHello\n", theyWrote},
		{"-----Original Message-----\nFrom: Anna [mailto:anna@example.org]\nSent: Tuesday, March 3, 2026 10:12 AM\nTo: Bob\nCc: Carl\nSubject: RE: Tea\n\nHello\n", theyWrote},
		{"________________________________\nVon: Anna <anna@example.org>\nGesendet: Dienstag, 3. März 2026 10:12\nAn: Bob <bob@example.net>;\nCarl <carl@example.net>; Dora <dora@example.net>\nBetreff: AW: Tee\n\nHello\n", theyWrote},
		{"-----Ursprüngliche Nachricht-----\nVon: Anna\nGesendet: Dienstag, 3. März 2026 10:12\nAn: Bob\nBetreff: Tee\n\nHello\n", theyWrote},
		{"*Von:* Anna <anna@example.org>\n*Gesendet:* Dienstag, 3. März 2026 10:12\n*An:* Bob\n*Betreff:* Tee\n\nHello\n", theyWrote},
		{"De : Anna <anna@example.org>\nEnvoyé : mardi 3 mars 2026 10:12\nÀ : Bob\nObjet : Thé\n\nHello\n", theyWrote},
		{"-----Message d'origine-----\nDe : Anna\nEnvoyé : mardi 3 mars 2026 10:12\nÀ : Bob\nObjet : Thé\n\nHello\n", theyWrote},
		{"De: Anna\nEnviado el: martes, 3 de marzo de 2026 10:12\nPara: Bob\nAsunto: Té\n\nHello\n", theyWrote},
		{"De: Anna\nEnviada em: terça-feira, 3 de março de 2026 10:12\nPara: Bob\nAssunto: Chá\n\nHello\n", theyWrote},
		{"Da: Anna\nInviato: martedì 3 marzo 2026 10:12\nA: Bob\nOggetto: Tè\n\nHello\n", theyWrote},
		{"Van: Anna\nVerzonden: dinsdag 3 maart 2026 10:12\nAan: Bob\nOnderwerp: Thee\n\nHello\n", theyWrote},
		{"Från: Anna\nSkickat: den 3 mars 2026 10:12\nTill: Bob\nÄmne: Te\n\nHello\n", theyWrote},
		{"Fra: Anna\nSendt: 3. marts 2026 10:12\nTil: Bob\nEmne: Te\n\nHello\n", theyWrote},
		{"Lähettäjä: Anna\nLähetetty: tiistai 3. maaliskuuta 2026 10.12\nVastaanottaja: Bob\nAihe: Tee\n\nHello\n", theyWrote},
		{"From: Anna\nSent: wtorek\nTo: Bob\n\nHello\n", theyWrote},
		{"Od: Anna\nWysłano: wtorek, 3 marca 2026 10:12\nDo: Bob\nTemat: Herbata\n\nHello\n", theyWrote},
		{"Od: Anna\nOdesláno: úterý 3. března 2026 10:12\nKomu: Bob\nPředmět: Čaj\n\nHello\n", theyWrote},
		{"Od: Anna\nOdoslané: utorok 3. marca 2026 10:12\nKomu: Bob\nPredmet: Čaj\n\nHello\n", theyWrote},
		{"Feladó: Anna\nElküldve: 2026. március 3., kedd 10:12\nCímzett: Bob\nTárgy: Tea\n\nHello\n", theyWrote},
		{"De la: Anna\nTrimis: marți, 3 martie 2026 10:12\nCătre: Bob\nSubiect: Ceai\n\nHello\n", theyWrote},
		{"От: Anna\nОтправлено: 3 марта 2026 г. 10:12\nКому: Bob\nТема: Чай\n\nHello\n", theyWrote},
		{"Від: Anna\nНадіслано: 3 березня 2026 р. 10:12\nКому: Bob\nТема: Чай\n\nHello\n", theyWrote},
		{"Gönderen: Anna\nGönderildi: 3 Mart 2026 Salı 10:12\nKime: Bob\nKonu: Çay\n\nHello\n", theyWrote},
		{"Από: Anna\nΗμερομηνία: Τρίτη, 3 Μαρτίου 2026\nΠρος: Bob\nΘέμα: Τσάι\n\nHello\n", theyWrote},
		{"差出人: Anna\n送信日時: 2026年3月3日 10:12\n宛先: Bob\n件名: お茶\n\nHello\n", theyWrote},
		{"发件人： Anna\n发送时间： 2026年3月3日 10:12\n收件人： Bob\n主题： 茶\n\nHello\n", theyWrote},
		{"보낸 사람: Anna\n보낸 날짜: 2026년 3월 3일\n받는 사람: Bob\n제목: 차\n\nHello\n", theyWrote},
		{"---------- Forwarded message ---------\nFrom: Anna <anna@example.org>\nDate: Tue, 3 Mar 2026 at 10:12\nSubject: Tea\nTo: <bob@example.net>\n\n\nHello\n", Forwarded},
		{"---------- Forwarded message ---------\nVon: Anna <anna@example.org>\nDate: Di., 3. März 2026 um 10:12 Uhr\nSubject: Tee\nTo: <bob@example.net>\n\n\nHello\n", Forwarded},
		{"-------- Forwarded Message --------\nSubject: \tTea\nDate: \tTue, 3 Mar 2026 10:12:00 +0100\nFrom: \tAnna <anna@example.org>\nTo: \tBob <bob@example.net>\n\n\n\nHello\n", Forwarded},
		{"-------- Weitergeleitete Nachricht --------\nBetreff: \tTee\nDatum: \tTue, 3 Mar 2026 10:12:00 +0100\nVon: \tAnna <anna@example.org>\nAn: \tBob <bob@example.net>\n\nHello\n", Forwarded},
		{"-------- Message transféré --------\nSujet : \tThé\nDate : \tTue, 3 Mar 2026 10:12:00 +0100\nDe : \tAnna <anna@example.org>\nPour : \tBob <bob@example.net>\n\nHello\n", Forwarded},
		{"----- Forwarded message from Anna <anna@example.org> -----\n\nDate: Tue, 3 Mar 2026 10:12:00 +0100\nFrom: Anna <anna@example.org>\nTo: Bob <bob@example.net>\nSubject: Tea\n\nHello\n\n----- End forwarded message -----\n", Forwarded},
		{"Forwarded message from Anna Lopez on Tue Mar 3, 2026 at 10:12 AM:\nHello\n", Forwarded},
		{"------- Forwarded Messages\n\nFrom: Anna <anna@example.org>\nDate: Tue, 3 Mar 2026 10:12:00 +0100\nSubject: Tea\nMIME-Version: 1.0\nContent-Type: text/plain;\n\tcharset=utf-8\nContent-Transfer-Encoding: 8bit\n\nHello\n\n------- End of Forwarded Messages\n", Forwarded},
		{"------- Message 2\n\nFrom: Anna <anna@example.org>\nDate: Tue, 3 Mar 2026 10:12:00 +0100\nSubject: Tea\nMessage-ID: <a@example.org>\nStatus: R\n\nHello\n", Forwarded},
		{"-------- Original Message --------\nFrom: Anna <anna@example.org>\nSubject: Tea\nDate: Tue, 3 Mar 2026 10:12:00 +0100\nMessage-ID: <a@example.org>\nMIME-Version: 1.0\nContent-Type: text/plain\n\nHello\n", theyWrote},
		{"----------  Forwarded Message  ----------\n\nSubject: Tea\nDate: Tuesday, 3 March 2026, 10:12:33 CET\nFrom: Anna <anna@example.org>\nTo: Bob <bob@example.net>\n\nHello\n", Forwarded},
	} {
		clean, removed, _ := Clean("I agree.\n\n"+c.in, Keep{})
		if want := "I agree.\n\n" + c.want + "\n\nHello\n"; clean != want {
			t.Errorf("%q becomes %q", c.in, clean)
		} else if !slices.Contains(removed, Header) {
			t.Errorf("%q is removed as %q", c.in, removed)
		}
	}
	apple := "I agree.\n\nBegin forwarded message:\n\n> From: Anna <anna@example.org>\n> Subject: Tea\n> Date: 3 March 2026 at 10:12:00 CET\n> To: Bob <bob@example.net>\n>\n> Hello\n"
	if clean, _, _ := Clean(apple, Keep{}); clean != "I agree.\n\nForwarded message:\n> Hello\n" {
		t.Errorf("Apple's becomes %q", clean)
	}
}

// TestNoHeader: what people write of forwarded mails is no program's line.
func TestNoHeader(t *testing.T) {
	for _, text := range []string{
		"Forwarded message from Anna, as I promised:\nHello\n",
		"Message 2 is the one I mean:\nHello\n",
		"Status: done\nHello\n",
		"Forwarded messages\nHello\n",
	} {
		if clean, _, _ := Clean(text, Keep{}); clean != text {
			t.Errorf("%q becomes %q", text, clean)
		}
	}
}

func TestSign(t *testing.T) {
	for _, c := range []struct{ in, notice string }{
		{"\n-- \nAnna Lopez\nExample Ltd, Paris\n+33 1 23 45 67 89\n", Signature},
		{"\n--\nAnna Lopez\nhttps://example.org\n", Signature},
		{"-- \n\nAnna\n\n" + strings.Repeat("a long line of a signature\n", 20), Signature},
		{"\nSent from my iPhone\n", Device},
		{"Sent from my iPhone\n", Device},
		{"\nVon meinem iPhone gesendet\n", Device},
		{"\nEnvoyé de mon iPhone\n", Device},
		{"\nEnviado desde mi iPhone\n", Device},
		{"\nEnviado do meu iPhone\n", Device},
		{"\nInviato da iPhone\n", Device},
		{"\nVerstuurd vanaf mijn iPhone\n", Device},
		{"\nSkickat från min iPhone\n", Device},
		{"\nSendt fra min iPhone\n", Device},
		{"\nLähetetty iPhonesta\n", Device},
		{"\nWysłane z iPhone'a\n", Device},
		{"\nOdesláno z iPhonu\n", Device},
		{"\nOdoslané z iPhonu\n", Device},
		{"\nTrimis de pe iPhone-ul meu\n", Device},
		{"\nОтправлено с iPhone\n", Device},
		{"\nНадіслано з iPhone\n", Device},
		{"\niPhone'umdan gönderildi\n", Device},
		{"\nΣτάλθηκε από το iPhone μου\n", Device},
		{"\niPhoneから送信\n", Device},
		{"\n发自我的 iPhone\n", Device},
		{"\n나의 iPhone에서 보냄\n", Device},
		{"\nGet Outlook for Android <https://aka.ms/AAb9ysg>\n", Device},
		{"\nHolen Sie sich Outlook für iOS<https://aka.ms/o0ukef>\n", Device},
		{"\nTélécharger Outlook pour Android<https://aka.ms/AAb9ysg>\n", Device},
		{"\nSent from Yahoo Mail on Android\n", Device},
		{"\nGesendet mit der GMX Mail App\n", Device},
		{"\nSent from Proton Mail for iOS\n", Device},
		{"\nSent with Proton Mail secure email.\n", Device},
		{"\nSent from Mail for Windows\n", Device},
		{"\nDiese Nachricht wurde von meinem Android-Gerät mit K-9 Mail gesendet.\n", Device},
		{"\nVon meinem Samsung Galaxy Smartphone gesendet.\n", Device},
		{"\nThis e-mail and any attachments are confidential and may be privileged. If you are not the intended recipient, delete it.\n", Legal},
		{"\nCONFIDENTIALITY NOTICE:\n\nThis message is for the addressee only and holds confidential matter. Whoever has it in error must delete the e-mail.\n", Legal},
		{"\nDiese E-Mail enthält vertrauliche Informationen. Wenn Sie nicht der richtige Adressat sind, vernichten Sie diese Mail.\n", Legal},
		{"\nCe message est confidentiel et réservé à ses destinataires. Si vous le recevez par erreur, merci de le détruire.\n", Legal},
		{"\nEste mensaje es confidencial y se dirige a su destinatario. Si lo ha recibido por error, le rogamos que lo borre.\n", Legal},
		{"\nQuesto messaggio contiene informazioni riservate ai soli destinatari. Chi lo riceve per errore è pregato di distruggerlo.\n", Legal},
		{"\nDit bericht is vertrouwelijk en alleen bestemd voor de geadresseerde. Is het ten onrechte ontvangen, wis het dan.\n", Legal},
		{"\nPlease consider the environment before printing this e-mail.\n", Legal},
		{"\nBitte denken Sie an die Umwelt, bevor Sie diese Mail ausdrucken.\n", Legal},
		{"\n_______________________________________________\ntea mailing list -- tea@lists.example.org\nTo unsubscribe send an email to tea-leave@lists.example.org\n", List},
		{"\n_______________________________________________\nTea mailing list\nTea@example.org\nhttps://example.org/mailman/listinfo/tea\n", List},
		{"\nVirus-free.www.avast.com <https://www.avast.com/sig-email>\n", Advert},
		{"\n---\nDiese E-Mail wurde von Avast-Antivirussoftware auf Viren geprüft.\nwww.avast.com\n", Advert},
	} {
		for _, prefix := range []string{"", "> "} {
			in := "Hello\n\n" + c.in
			if prefix != "" {
				in = prefix + strings.ReplaceAll(strings.TrimSuffix(in, "\n"), "\n", "\n"+prefix) + "\n\nI agree.\n"
			}
			clean, removed, _ := Clean(in, Keep{})
			want := "Hello\n"
			if prefix != "" {
				want = "> Hello\n\nI agree.\n"
			}
			if clean != want {
				t.Errorf("%q becomes %q", in, clean)
			} else if !slices.Equal(removed, []string{c.notice}) {
				t.Errorf("%q is removed as %q, want %q", in, removed, c.notice)
			}
		}
	}
}

// TestNoSign has endings that stay.
func TestNoSign(t *testing.T) {
	for _, text := range []string{
		"Hello\n\nAnna\n",
		"The box was sent from my office on Monday.\n",
		"Sent from my heart, with love.\n",
		"The message is confidential.\n",
		"We talked about the environment and about printing.\n",
		"a\n--\n" + strings.Repeat("b\n", 9),
		"---\nA new chapter\n",
		"_____\nA new chapter\n",
		"The scanner found a virus.\n",
	} {
		if clean, removed, _ := Clean(text, Keep{}); clean != text || len(removed) > 0 {
			t.Errorf("%q becomes %q, removed %q", text, clean, removed)
		}
	}
}

func TestKeepSignature(t *testing.T) {
	in := "Hello\n\n-- \nAnna\n\nSent from my iPhone\n\nOn 3 Mar 2026, at 10:12, Bob wrote:\n> Tea?\n> -- \n> Bob\n"
	want := "Hello\n\n--\nAnna\n\nThey wrote:\n> Tea?\n"
	clean, removed, _ := Clean(in, Keep{Signature: true})
	if clean != want || !slices.Equal(removed, []string{Attribution, Signature, Device}) {
		t.Errorf("becomes %q, removed %q", clean, removed)
	}
	if again, removed, _ := Clean(clean, Keep{Signature: true}); again != clean || len(removed) > 0 {
		t.Errorf("again becomes %q, removed %q", again, removed)
	}
}

// lineOf returns a line of n characters in words of the given length.
func lineOf(n, word int) string {
	b := []byte(strings.Repeat("x", n))
	for i := word; i < n-1; i += word + 1 {
		b[i] = ' '
	}
	return string(b)
}

func TestJoin(t *testing.T) {
	long := "https://example.org/" + strings.Repeat("a", 100)
	for _, c := range []struct{ name, in, want string }{
		{"three lines", lineOf(72, 5) + "\n" + lineOf(70, 5) + "\nthe end.\n", lineOf(72, 5) + " " + lineOf(70, 5) + " the end.\n"},
		{"two paragraphs", lineOf(72, 5) + "\na\n\n" + lineOf(66, 5) + "\nb\n", lineOf(72, 5) + " a\n\n" + lineOf(66, 5) + " b\n"},
		{"65 characters", lineOf(65, 5) + "\nthe end.\n", ""},
		{"80 characters", lineOf(80, 5) + "\nthe end.\n", lineOf(80, 5) + " the end.\n"},
		{"81 characters", lineOf(81, 5) + "\nthe end.\n", ""},
		{"a word that had room", lineOf(72, 5) + "\nshort\nthe end.\n", ""},
		{"indented", lineOf(72, 5) + "\n  the end.\n", ""},
		{"a list", "- " + lineOf(70, 5) + "\n- the end.\n", ""},
		{"a numbered list", "1. " + lineOf(69, 5) + "\n2. the end.\n", ""},
		{"a table", lineOf(72, 5) + "\na | b\n", ""},
		{"a quotation", "> " + lineOf(72, 5) + "\n> the end.\n", "> " + lineOf(72, 5) + " the end.\n"},
		{"another depth", "> " + lineOf(72, 5) + "\nthe end.\n", ""},
		{"an address longer than a line", lineOf(72, 5) + "\n" + long + "\nthe end.\n", lineOf(72, 5) + " " + long + " the end.\n"},
		{"only such an address", long + "\nthe end.\n", ""},
		{"Chinese", strings.Repeat("茶", 70) + "\n" + "好。\n", strings.Repeat("茶", 70) + "好。\n"},
		{"Chinese in 36 characters", strings.Repeat("茶", 36) + "\n" + "好。\n", ""},
		{"accents", strings.Repeat("é", 66) + "\nfin\n", strings.Repeat("é", 66) + " fin\n"},
		{"a word held by a no-break space", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\nquand\u00a0? Fin.\n", lineOf(66, 5) + " " + lineOf(60, 5) + " quand ? Fin.\n"},
		{"held by a narrow one", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\n«\u202fMoi\u202f» dit-il.\n", lineOf(66, 5) + " " + lineOf(60, 5) + " « Moi » dit-il.\n"},
		{"the same by spaces", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\nquand ? Fin.\n", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\nquand ? Fin.\n"},
		{"held behind the first word", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\nquand il\u00a0? Fin.\n", lineOf(66, 5) + "\n" + lineOf(60, 5) + "\nquand il ? Fin.\n"},
		{"held and still with room", lineOf(66, 5) + "\n" + lineOf(58, 5) + "\nquand\u00a0? Fin.\n", lineOf(66, 5) + "\n" + lineOf(58, 5) + "\nquand ? Fin.\n"},
		{"held in a quotation", "> " + lineOf(66, 5) + "\n> " + lineOf(60, 5) + "\n> quand\u00a0?\n", "> " + lineOf(66, 5) + " " + lineOf(60, 5) + " quand ?\n"},
		{"an address with a mark held to it", lineOf(72, 5) + "\n" + long + "\u00a0;\nthe end.\n", lineOf(72, 5) + " " + long + " ; the end.\n"},
		{"no-break spaces that hold nothing", "\u00a0a\u00a0\u00a0b >\u00a0c \u00a0\n>\u00a0d\n", " a  b > c\n> d\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "" {
				c.want = c.in
			}
			if clean, _, _ := Clean(c.in, Keep{}); clean != c.want {
				t.Errorf("%q becomes %q", c.in, clean)
			}
		})
	}
}

func TestQuotes(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"marks", ">a\n> b\n>>c\n>> >d\n> > > > e\n", "> a\n> b\n> > c\n> > > d\n> > > > e\n"},
		{"indented within", ">   a\n>  > b\n", ">   a\n>  > b\n"},
		{"blank at the ends", "\n>\n> a\n>\n\nb\n", "> a\n\nb\n"},
		{"between two", "> a\n>\n> b\n\n> c\n", "> a\n>\n> b\n\n> c\n"},
		{"none between", "> a\nb\n> c\n", "> a\nb\n> c\n"},
		{"nested", "> a\n>\n> > b\n>\n> c\n", "> a\n>\n> > b\n>\n> c\n"},
		{"two markers", "They wrote:\n\nForwarded message:\n\na\n", "Forwarded message:\n\na\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if clean, _, _ := Clean(c.in, Keep{}); clean != c.want {
				t.Errorf("%q becomes %q, want %q", c.in, clean, c.want)
			}
		})
	}
}

// TestFrom has lines of a mailbox that begin with "From ".
func TestFrom(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"alone", ">From Bern by train.\n", "From Bern by train.\n"},
		{"among others", "The way:\n\n>From Bern by train.\nThen on foot.\n", "The way:\n\nFrom Bern by train.\nThen on foot.\n"},
		{"several", "a\n>From Bern\n>From Thun\n\n>From Spiez\nb\n", "a\nFrom Bern\nFrom Thun\n\nFrom Spiez\nb\n"},
		{"in a wrapped paragraph", lineOf(72, 5) + "\n>From " + lineOf(65, 5) + "\nthe end.\n", lineOf(72, 5) + " From " + lineOf(65, 5) + " the end.\n"},
		{"below a quotation", "> a\n\nb\n>From Bern\n", "> a\n\nb\nFrom Bern\n"},
		{"quoted with a space", "> From Bern by train.\n", ""},
		{"part of a quotation", ">From Bern by train.\n>Then on foot.\n", "> From Bern by train.\n> Then on foot.\n"},
		{"the end of a quotation", ">The way:\n>\n>From Bern by train.\n", "> The way:\n>\n> From Bern by train.\n"},
		{"twice quoted", "> >From Bern by train.\n", "> > From Bern by train.\n"},
		{"beside one that is not barred", "From Thun by boat.\n>From Bern by train.\n", "From Thun by boat.\n> From Bern by train.\n"},
		{"introduced", "Anna wrote:\n>From Bern by train.\n", "They wrote:\n> From Bern by train.\n"},
		{"no mailbox's", ">from Bern\n", "> from Bern\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "" {
				c.want = c.in
			}
			if clean, _, _ := Clean(c.in, Keep{}); clean != c.want {
				t.Errorf("%q becomes %q", c.in, clean)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"Write to anna@example.org.\n", false},
		{"> Write to anna@example.org.\n", true},
		{"> This is @ home. a@b\n", false},
		{"a\n\nFrom: A\nSent: today\nTo: B\n\nWrite to anna@example.org.\n", true},
	} {
		if _, _, warnings := Clean(c.in, Keep{}); (len(warnings) > 0) != c.want {
			t.Errorf("%q: %q", c.in, warnings)
		}
	}
}

func TestInvisible(t *testing.T) {
	for _, c := range []struct {
		in   string
		want bool
	}{
		{"\ufeffHello é\r\n", false},
		{"He\u200bllo\n", true},
		{"He\u202ello\n", true},
		{"\u0e01👩\u200d💻\n", false},
		{"a\x07\n", true},
	} {
		if _, removed, _ := Clean(c.in, Keep{}); slices.Contains(removed, Invisible) != c.want {
			t.Errorf("%q: %q", c.in, removed)
		}
	}
}

func TestLinks(t *testing.T) {
	in := "See https://example.org/a?utm_source=x&b=1, or (HTTP://example.org/?fbclid=1).\n"
	clean, removed, _ := Clean(in, Keep{})
	if want := "See https://example.org/a?b=1, or (HTTP://example.org/).\n"; clean != want || !slices.Equal(removed, []string{Tracking}) {
		t.Errorf("becomes %q, removed %q", clean, removed)
	}
}
