package mail

import (
	"strings"
	"testing"
)

func TestCleanText(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"empty", "", ""},
		{"only blank", " \n\t\n\u3000\n", ""},
		{"plain", "Hello,\nworld.\n", "Hello,\nworld.\n"},
		{"no final line end", "a", "a\n"},
		{"many final line ends", "a\n\n \n", "a\n"},
		{"blank lines inside and before", "\n\na\n\n\nb\n", "\n\na\n\n\nb\n"},
		{"every kind of line end", "a\r\nb\rc\u2028d\u2029e\n", "a\nb\nc\nd\ne\n"},
		{"spaces at the end of lines", "a \t\n-- \nb\u00a0\u3000\n", "a\n--\nb\n"},
		{"indentation and tabs", "  a\tb\n", "  a\tb\n"},
		{"NFC", "e\u0301 A\u030a\u0301\n", "é Ǻ\n"},
		{"marks beyond U+FFFF", "\U00010041\u0301 e\u0301\n\U00011131\U00011127\n", "\U00010041\u0301 é\n\U0001112e\n"},
		{"NFC keeps compatibility characters", "ﬁ ² Ⅳ\n", "ﬁ ² Ⅳ\n"},
		{"controls", "a\x07\x1b[0m\x7f\u0085b\x00\n", "a[0mb\n"},
		{"BOM, soft hyphen, word joiner", "\ufeffa\u00adb\u2060c\n", "abc\n"},
		{"zero-width marks in Latin text", "a\u200bb\u200cc\u200dd\n", "abcd\n"},
		{"they do not hide an accent", "e\u200b\u0301\n", "é\n"},
		{"bidi controls", "\u200ea\u202eb\u2066c\u2069\u200f\u061c\n", "abc\n"},
		{"tags, fillers, invisible operators", "a\U000e0041\u3164\u034f\u2063b\n", "ab\n"},
		{"no-break and thin spaces", "10\u00a0000\u202f€\u2009!\n", "10 000 €\u0020!\n"},
		{"an ideographic space", "あ\u3000い\n", "あ\u3000い\n"},
		{"smart quotes and dashes", "“a” – ‘b’ … «c»\n", "“a” – ‘b’ … «c»\n"},
		{"Persian", "می\u200cخواهم\n", "می\u200cخواهم\n"},
		{"a joiner twice", "می\u200c\u200cخ\n", "می\u200cخ\n"},
		{"Malayalam with a joiner at the end of a word", "അവന്\u200d ഉണ്ട്\n", "അവന്\u200d ഉണ്ട്\n"},
		{"Arabic number sign", "\u0600١\n", "\u0600١\n"},
		{"emoji of several people", "👩\u200d💻 👨🏽\u200d🚀 ❤\ufe0f\u200d🔥\n", "👩\u200d💻 👨🏽\u200d🚀 ❤\ufe0f\u200d🔥\n"},
		{"a keycap", "1\ufe0f\u20e3\n", "1\ufe0f\u20e3\n"},
		{"selectors that select nothing", "1\ufe0fa\ufe0f\ufe0e\U000e0100\n", "1a\n"},
		{"many selectors behind an emoji", "❤\ufe0f\ufe0e\ufe00\U000e0100\n", "❤\ufe0f\n"},
		{"a Japanese name", "葛\U000e0100城\n", "葛\U000e0100城\n"},
		{"Mongolian", "ᠠ\u180b\u180e\n", "ᠠ\u180b\n"},
		{"too many marks", "a" + strings.Repeat("\u0323\u0344", 40) + "b\n", "ạ" + strings.Repeat("\u0323", 9) + strings.Repeat("\u0308\u0301", 3) + "b\n"},
		{"private use and unassigned", "\ue000\U0001fadd\n", "\ue000\U0001fadd\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := CleanText(c.in)
			if got != c.want {
				t.Errorf("CleanText(%+q) = %+q, want %+q", c.in, got, c.want)
			}
			if again := CleanText(got); again != got {
				t.Errorf("CleanText again gives %+q", again)
			}
		})
	}
}

func TestCleanSubject(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{" a\t b\r\n  c ", "a b c"},
		{"a\u00a0\u3000b\u200b", "a b"},
		{"cafe\u0301", "café"},
		{"Re: a", "Re: a"},
		{"RE:a", "Re: a"},
		{"re : a", "Re: a"},
		{"AW: a", "Re: a"},
		{"Antw: a", "Re: a"},
		{"SV: VS: a", "Re: a"},
		{"RÉF : a", "Re: a"},
		{"Re[2]: a", "Re: a"},
		{"Re(3): a", "Re: a"},
		{"Re^2: a", "Re: a"},
		{"回复：a", "Re: a"},
		{"Re: AW: Re: a", "Re: a"},
		{"Fw: a", "Fwd: a"},
		{"WG: TR: a", "Fwd: a"},
		{"RE: TR: a", "Re: Fwd: a"},
		{"Re: Fwd: Re: a", "Re: Fwd: Re: a"},
		{"R: I: a", "Re: Fwd: a"},
		{"i: a", "i: a"},
		{"r: a", "r: a"},
		{"Ang: a", "Re: a"},
		{"رد: a", "Re: a"},
		{"إعادة توجيه: a", "Fwd: a"},
		{"a (fwd)", "Fwd: a"},
		{"Re: a (Fwd)", "Fwd: Re: a"},
		{"Fwd: a (fwd) (fwd)", "Fwd: a"},
		{"(fwd)", "(fwd)"},
		{"a (fwd) b", "a (fwd) b"},
		{"Re:", "Re:"},
		{"Reply: a", "Reply: a"},
		{"Already: re: a", "Already: re: a"},
		{"Transport: a", "Transport: a"},
	} {
		got := CleanSubject(c.in)
		if got != c.want {
			t.Errorf("CleanSubject(%+q) = %+q, want %+q", c.in, got, c.want)
		}
		if again := CleanSubject(got); again != got {
			t.Errorf("CleanSubject(%+q) again gives %+q", c.in, again)
		}
	}
}

// TestCleanTextTime cleans the worst of texts: it costs time in proportion to
// their length.
func TestCleanTextTime(t *testing.T) {
	for _, unit := range []string{"e\u0301\u0323", "\u0300", "\u200d", "\n ", "葛\U000e0100", "\ufdfa"} {
		text := strings.Repeat(unit, (1<<20)/len(unit))
		if got := CleanText(text); CleanText(got) != got {
			t.Errorf("a megabyte of %+q is not clean when cleaned", unit)
		}
	}
}
