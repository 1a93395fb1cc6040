package prose

import "strings"

// The phrases of mail programs, in lower case. One line is one language or
// one program where they can be told apart.

func set(words ...string) map[string]bool {
	s := map[string]bool{}
	for _, list := range words {
		for word := range strings.SplitSeq(list, "|") {
			s[word] = true
		}
	}
	return s
}

// fieldNames are the names of header fields as mail programs translate them.
var fieldNames = func() map[string]int {
	names := map[string]int{}
	for _, n := range []struct {
		kind int
		list string
	}{
		{from, "from|von|de|da|van|från|fra|od|lähettäjä|feladó|de la|от|от кого|від|від кого|gönderen|kimden|από|差出人|送信者|发件人|寄件者|寄件人|보낸 사람|" +
			"pošiljatelj|šalje|nuo|no|saatja|מאת|من|จาก|từ|dari|expéditeur|mittente|remitente|remetente|afzender|avsändare|afsender|avsender|absender|odesílatel|odosielateľ|nadawca"},
		{date, "sent|date|sent at|datum|gesendet|gesendet am|envoyé|envoyé le|enviado|enviado el|enviado em|enviada em|enviada|fecha|data|inviato|data invio|" +
			"verzonden|skickat|skickat den|sendt|dato|wysłano|wysłane|data wysłania|odesláno|odoslané|dátum|lähetetty|päiväys|päivämäärä|elküldve|küldve|trimis|data trimiterii|" +
			"отправлено|дата|надіслано|gönderildi|gönderme tarihi|tarih|ημερομηνία|στάλθηκε|εστάλη|送信日時|日付|发送时间|发送日期|日期|時間|寄件日期|날짜|보낸 날짜|보낸 시간|" +
			"poslano|datum slanja|išsiųsta|saadetud|נשלח|תאריך|تاريخ|تم الإرسال|ส่ง|วันที่|đã gửi|ngày|dikirim|tanggal|vrijeme"},
		{to, "to|an|à|a|pour|para|aan|till|til|do|komu|dla|vastaanottaja|kenelle|címzett|către|la|pentru|кому|kime|alıcı|προς|宛先|收件人|받는 사람|" +
			"prima|za|kam|destinataire|destinatario|destinatário|destinatari|empfänger|ontvanger|mottagare|modtager|mottaker|אל|إلى|ถึง|đến|tới|kepada"},
		{subject, "subject|betreff|betr|objet|sujet|asunto|oggetto|onderwerp|ämne|emne|temat|předmět|predmet|vec|aihe|tárgy|subiect|тема|konu|θέμα|件名|主题|主旨|主題|제목|" +
			"assunto|assumpte|naslov|zadeva|tēma|teema|נושא|الموضوع|เรื่อง|chủ đề|perihal|subjek|assumpto"},
		{other, "cc|bcc|kopie|copie|copia|copie à|cópia|kopia|kopi|kopio|másolat|копия|копія|bilgi|抄送|副本|참조|コピー|kopija|cci|cco|ccn|" +
			"importance|wichtigkeit|priority|priorität|attachments|anlagen|anlage|pièces jointes|allegati|adjuntos|reply-to|antwort an|répondre à|rispondi a|" +
			"organization|organisation|message-id|user-agent|resent-from|resent-to|resent-date|newsgroups|sent by|by|mailed-by|signed-by|" +
			"in-reply-to|references|sender|return-path|received|x-mailer|mime-version|content-type|content-transfer-encoding|content-disposition|content-language|content-id|status|x-status"},
	} {
		for name := range strings.SplitSeq(n.list, "|") {
			if names[name] == 0 {
				names[name] = n.kind
			}
		}
	}
	return names
}()

var replyTitles = set(
	"original message|original mail|original email|original e-mail|reply message|original appointment|quoted message",
	"ursprüngliche nachricht|originalnachricht|original-nachricht|ursprüngliche mail|ursprüngliche e-mail|originale nachricht",
	"message d'origine|message d’origine|message original|message initial|courriel original",
	"mensaje original|mensaje de origen|correo original", "messaggio originale|messaggio original", "mensagem original",
	"oorspronkelijk bericht|origineel bericht", "originalmeddelande|ursprungligt meddelande|ursprungligt mail",
	"oprindelig meddelelse|original meddelelse|opprinnelig melding|original melding|opprinnelig e-post", "alkuperäinen viesti",
	"wiadomość oryginalna|oryginalna wiadomość|treść oryginalnej wiadomości", "původní zpráva|originální zpráva|původní e-mail", "pôvodná správa",
	"eredeti üzenet|eredeti levél", "mesaj original|mesajul original", "исходное сообщение|оригинальное сообщение|исходное письмо",
	"оригінальне повідомлення|початкове повідомлення", "özgün ileti|orijinal mesaj|özgün mesaj", "αρχικό μήνυμα|πρωτότυπο μήνυμα", "missatge original",
	"原邮件|原始邮件|原始郵件|邮件原件|原始信件", "元のメッセージ|オリジナルメッセージ", "원본 메시지|원본 메일|원본메시지",
	"izvorna poruka|originalna poruka|izvirno sporočilo", "הודעה מקורית", "الرسالة الأصلية", "thư gốc|tin nhắn gốc", "pesan asli")

var forwardTitles = set(
	"forwarded message|forwarded messages|begin forwarded message|forwarded mail|forwarded email|start of forwarded message",
	"weitergeleitete nachricht|anfang der weitergeleiteten nachricht|anfang der weitergeleiteten e-mail|weitergeleitete mail|weitergeleitete e-mail",
	"message transféré|message transfere|début du message transféré|début du message réexpédié|message réexpédié|courriel transféré",
	"mensaje reenviado|inicio del mensaje reenviado", "messaggio inoltrato|inizio messaggio inoltrato",
	"doorgestuurd bericht|begin doorgestuurd bericht", "mensagem encaminhada|mensagem reencaminhada|início da mensagem encaminhada|início da mensagem reencaminhada",
	"vidarebefordrat meddelande|vidarebefordrat brev|vidarebefordrat mail|vidarebefordrat mejl|börja vidarebefordrat brev",
	"videresendt meddelelse|videresendt besked|videresendt melding|start på videresendt besked|start på videresendt e-mail|videresendt e-post",
	"välitetty viesti|edelleenlähetetty viesti|lähetetty edelleen|välitetty viesti alkaa",
	"wiadomość przekazana dalej|przekazana wiadomość|przesłana wiadomość|wiadomość przekazana|początek przekazywanej wiadomości|początek przekierowanej wiadomości|treść przekazanej wiadomości",
	"přeposlaná zpráva|předaná zpráva|začátek přeposílané zprávy", "preposlaná správa|začiatok preposlanej správy",
	"továbbított üzenet|továbbított levél|továbbított üzenet kezdete", "mesaj redirecționat|mesaj redirectionat|mesaj transmis|începutul mesajului redirecționat",
	"пересланное сообщение|пересылаемое сообщение|перенаправленное сообщение|начало переадресованного сообщения", "переслане повідомлення|пересланий лист|початок листа, що пересилається",
	"yönlendirilmiş ileti|iletilmiş mesaj|iletilen ileti|yönlendirilen ileti|başlangıçta iletilen ileti", "προωθημένο μήνυμα|έναρξη προωθημένου μηνύματος", "missatge reenviat",
	"转发的邮件|转发邮件信息|轉寄郵件|轉寄的郵件|转发邮件|已转发邮件|下面是被转发的邮件", "転送されたメッセージ|転送メッセージ|転送メール|転送されたメール", "전달된 메일|전달된 메시지|전달된 메시지의 시작",
	"proslijeđena poruka|posredovano sporočilo|persiųstas laiškas|pārsūtīta vēstule|edastatud kiri|препратено писмо|препратено съобщение|прослеђена порука",
	"הודעה שהועברה|הודעה מועברת", "رسالة محولة|رسالة مُعاد توجيهها", "پیام بازارسال شده", "ข้อความที่ส่งต่อ", "thư đã chuyển tiếp|tin nhắn được chuyển tiếp", "pesan terusan|pesan yang diteruskan")

var forwardPrefixes = []string{"forwarded message from ", "forwarded mail from ", "forwarded by ", "weitergeleitete nachricht von ", "message transféré de ",
	"message transféré par ", "mensaje reenviado de ", "messaggio inoltrato da ", "doorgestuurd bericht van "}

// verbs are the words for "wrote", "quoting" and the like in attribution lines.
var verbs = set("wrote|writes|quoting|quoth", "schrieb|schrieben|geschrieben|schreibt|zitat", "écrit|ecrit|écrivait|citation", "escribió|escribio|escribía|citando",
	"scritto|scrisse|scriveva", "escreveu|escrevia", "schreef|schrijft|schreven", "skrev|skriver", "kirjoitti|kirjoittaa", "napisał|napisała|pisze|napisali",
	"napsal|napsala|píše", "napísal|napísala", "írta|ezt", "scris", "написал|написала|пишет|писал|писала", "написав|написала|пише|писав", "написа|написао|писао",
	"yazdı|yazmış", "έγραψε|έγραφε", "napisao|napisala|piše|napisal", "rašė|parašė", "rakstīja", "kirjutas|kirjutab", "escriure|escrigué|escriví",
	"escribiu", "idatzi", "skrifaði", "כתב|כתבה|מאת", "كتب|كتبت", "نوشت", "लिखा", "viết", "menulis|tulis")

// unspaced are those that stand within other words or without spaces.
var unspaced = []string{"写道", "寫道", "的来信", "のメール", "は書きました", "書きました", "さんは", "님이 작성", "작성했습니다", "님이 씀", "썼습니다", "เขียนว่า", "เขียน"}

// auxiliaries stand beside a verb; particles are parts of names.
var (
	auxiliaries = set("a|ha|va|has|je|el|le|on|av|dne|dnia|von|de|da|van|by|from")
	particles   = set("van|von|der|den|de|del|della|di|da|dos|du|la|le|bin|al|el|ter|zu|af|y|e|und|and|via")
	pronouns    = set("i|you|he|she|we|they|it|who|ich|du|er|sie|wir|ihr|je|tu|il|elle|on|nous|vous|ils|elles|yo|tú|él|ella|ellos|io|lui|lei|noi|voi|loro|" +
		"jij|hij|zij|wij|jag|han|hon|vi|ja|ty|my|wy|on|ona|я|ты|он|она|мы|вы|они|as|where|what|someone|somebody|man|wer|jemand|author|the|ein|eine|une|un|uno")
)

// openers are the words with which attribution lines begin: prepositions,
// weekdays and their short forms.
var openers = set(
	"on|at|quoting|mon|tue|wed|thu|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday",
	"am|zitat|mo|di|mi|do|fr|sa|so|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonnabend|sonntag",
	"le|lun|mar|mer|jeu|ven|sam|dim|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|citation",
	"el|mié|jue|vie|sáb|dom|lunes|martes|miércoles|jueves|viernes|sábado|domingo", "il|in|gio|sab|lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica",
	"em|no|na|a|seg|ter|qua|qui|sex|segunda|terça|quarta|quinta|sexta", "op|ma|wo|vr|za|zo|maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag",
	"den|mån|tis|ons|tor|tors|fre|lör|sön|måndag|tisdag|onsdag|torsdag|fredag|lördag|söndag", "d|man|tir|tirs|lør|søn|mandag|tirsdag|lørdag|søndag", "på",
	"ti|ke|to|pe|la|su|maanantaina|tiistaina|keskiviikkona|torstaina|perjantaina|lauantaina|sunnuntaina",
	"dnia|w|pon|wt|śr|czw|pt|sob|niedz|nd|poniedziałek|wtorek|środa|czwartek|piątek|sobota|niedziela", "dne|po|út|st|čt|pá|ne", "dňa|ut|št|pi",
	"în|pe|joi|vin|sâm|dum", "в|во|вт|ср|чт|пт|сб|вс|пн|понедельник|вторник|среда|четверг|пятница|суббота|воскресенье", "у|нд|понеділок|вівторок|середа|четвер|п'ятниця|субота|неділя|на",
	"στις|την|pzt|sal|çar|per|cum|cmt|paz", "u|dana|uto|sri|čet|pet|sub|ned|v|tor|kuupäev|missatge|vào|pada", "בתאריך|ב", "في", "در", "ในวันที่|เมื่อ")

// The beginnings and ends of lines in which devices and programs name
// themselves, and the names of which one must be in such a line.
var (
	deviceStarts = []string{"sent from ", "sent via ", "sent with ", "sent using ", "get outlook for ", "get yahoo mail",
		"von meinem ", "von meiner ", "gesendet ", "versendet ", "verschickt ", "diese nachricht wurde von mein", "diese e-mail wurde von mein", "holen sie sich outlook", "outlook für ",
		"envoyé ", "envoyée ", "télécharger outlook", "obtenez outlook", "obtenir outlook", "enviado ", "enviada ", "obtener outlook", "obtenga outlook", "obter o outlook", "obtenha o outlook", "inviato ", "inviata ", "ottieni outlook", "scarica outlook",
		"verzonden ", "verstuurd ", "outlook voor ", "download outlook", "skickat ", "hämta outlook", "sendt ", "hent outlook", "få outlook", "lähetetty ", "hanki outlook", "wysłane ", "wysłano ", "pobierz outlook", "odesláno ", "získejte outlook", "odoslané ", "získajte outlook",
		"elküldve ", "küldve ", "trimis ", "отправлено ", "надіслано ", "στάλθηκε ", "εστάλη ", "poslano ", "poslato ", "enviat ", "发自", "發自", "从我的", "從我的"}
	deviceEnds = []string{" gesendet", " gesendet.", "gönderildi", "から送信", "에서 보냄", "에서 전송", " küldve", "-omról küldve"}
	products   = []string{"iphone", "iphonu", "ipad", "ipod", "mac", "android", "samsung", "galaxy", "huawei", "xiaomi", "redmi", "pixel", "oneplus", "motorola", "nokia", "sony", "htc",
		"fairphone", "blackberry", "windows", "outlook", "yahoo", "proton", "gmail", "gmx", "web.de", "t-online", "telekom", "thunderbird", "k-9", "k9", "fairemail", "aol", "spark",
		"mailbird", "tuta", "fastmail", "posteo", "mailbox.org", "bluemail", "canary", "airmail", "edison", "newton", "superhuman", "zoho", "mail.ru", "yandex", "libero", "orange",
		"free mobile", "sfr mail", "laposte", "vodafone", "telefon", "phone", "handy", "smartphone", "tablet", "mobile", "mobil", "portable", "móvil", "movil", "celular", "mobiel",
		"telefoon", "matkapuhelin", "telefonu", "komórk", "мобиль", "мобіль", "телефон", "手机", "手機", "mail app", "mail-app", "hey.com", "mailspring", "evolution", "hushmail", "icloud"}
)

// A notice is legal if it speaks of the mail itself, of secrecy, and of those
// who should not have it.
var (
	legalMail      = []string{"message", "e-mail", "email", "mail", "nachricht", "courriel", "mensaje", "correo", "messaggio", "comunicazione", "bericht", "mensagem", "communication", "transmission", "wiadomość"}
	legalSecret    = []string{"confiden", "privileged", "vertraulich", "confidentiel", "riservat", "vertrouwelijk", "geschützte", "proprietary", "privileg", "legally protected", "poufn"}
	legalRecipient = []string{"intended recipient", "intended only", "intended solely", "solely for", "addressee", "in error", "by mistake", "unauthorized", "unauthorised", "named above", "not the intended",
		"irrtümlich", "richtige adressat", "richtiger adressat", "unbefugte", "vorgesehene empfänger", "bestimmungsgemäß", "beabsichtigte empfänger", "versehentlich",
		"par erreur", "destinataire", "non autorisé", "por error", "destinatari", "no autorizad", "per errore", "non autorizzat", "abusievelijk", "per abuis", "ten onrechte", "geadresseerde", "bestemd voor", "por engano", "adresat"}
	legalTitles = set("confidentiality notice|disclaimer|legal notice|legal disclaimer|confidential|confidentiality|email disclaimer|notice|important notice|privacy notice|" +
		"hinweis|vertraulichkeitshinweis|rechtlicher hinweis|haftungsausschluss|avis de confidentialité|avis|confidentialité|aviso legal|aviso de confidencialidad|aviso|" +
		"avviso di riservatezza|riservatezza|avvertenza|vertrouwelijkheid|vertrouwelijkheidsclausule|disclaimer e-mail")
	environment = [][]string{{"consider the environment"}, {"think of the environment"}, {"think about the environment"}, {"think before you print"}, {"save paper"}, {"before printing"},
		{"umwelt", "druck"}, {"umwelt", "ausdruck"}, {"environnement", "imprim"}, {"medio ambiente", "imprim"}, {"ambiente", "stamp"}, {"milieu", "print"}, {"milieu", "afdruk"}, {"meio ambiente", "imprim"}}
	adverts = [][]string{{"virus-free"}, {"virus free", "checked"}, {"virenfrei"}, {"avast"}, {"avg.com"}, {"virengeprüft"}, {"auf viren", "geprüft"}, {"auf viren", "überprüft"}, {"sans virus"}, {"libre de virus"}, {"privo di virus"},
		{"privo de virus"}, {"virusvrij"}, {"checked for viruses"}, {"checked by avg"}, {"scanned for viruses"}, {"scanned by mailscanner"}, {"antivirus", "checked"}, {"do you yahoo"}, {"yahoo mail:"}, {"gmx freemail"},
		{"freemail", "kostenlos"}, {"проверено", "вирус"}, {"перевірено", "вірус"}, {"sprawdzone", "wirus"}, {"wolna od wirusów"}, {"bez virů"}}
	lists = []string{"mailing list", "mailinglist", "mailing-list", "mailing liste", "mailingliste", "listinfo", "unsubscribe", "liste de diffusion", "lista de correo", "lista de distribu",
		"abmelden", "abbestellen", "désabonne", "désinscri", "groups.google", "google groups", "-leave@", "-request@", "mailman", "sympa", "postorius"}
)
