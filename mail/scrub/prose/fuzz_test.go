package prose

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"codeberg.org/sourdine/sourdine/mail"
)

func FuzzClean(f *testing.F) {
	files, err := filepath.Glob("../hypertext/testdata/mails/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b), false)
	}
	f.Add(lineOf(72, 5)+"\n"+lineOf(70, 5)+"\nend\n--\nAnna\n", true)
	f.Add("> > They wrote:\n> > a\n>\n> On 1.2.2026, a@example.org wrote:\n>> b\n> -- \n> c\n\nd", false)
	f.Add("-- \n_____\nmailing list\nSent from my iPhone\n\nThis e-mail is confidential, not for others than the intended recipient.", false)
	f.Fuzz(func(t *testing.T, text string, signature bool) {
		if !utf8.ValidString(text) {
			return
		}
		keep := Keep{Signature: signature}
		clean, _, _ := Clean(text, keep)
		if !utf8.ValidString(clean) || mail.CleanText(clean) != clean {
			t.Fatalf("%q is not canonical", clean)
		}
		// A quote mark can become two characters; an introduction can be
		// shorter than its marker; normalisation can lengthen.
		if len(clean) > 3*len(mail.CleanText(text))+64 {
			t.Fatalf("%d bytes become %d", len(text), len(clean))
		}
		again, removed, _ := Clean(clean, keep)
		if again != clean || len(removed) > 0 {
			t.Fatalf("%q becomes %q, then %q, removed %q", text, clean, again, removed)
		}
	})
}

// pieces are lines that mean something to Clean, alone or together.
var pieces = []string{"", "", "", "Hello Bob,", "Anna", "They wrote:", "Forwarded message:", "On Tue, 3 Mar 2026 at 10:12, Anna <anna@example.org> wrote:",
	"On Tue, 3 Mar 2026 at 10:12, Anna", "<anna@example.org> wrote:", "Anna wrote:", "wrote:", "2026-03-03 10:12 Anna <anna@example.org>:",
	"From: Anna <anna@example.org>", "Sent: Tuesday", "To: Bob <bob@example.net>;", "Carl <carl@example.net>", "Subject: Tea", "-----Original Message-----",
	"---------- Forwarded message ---------", "----- End forwarded message -----", "________________________________", "----------", "-- ", "--", "-- ",
	"Sent from my iPhone", "This e-mail is confidential and meant for the intended recipient alone, nobody else.", "Disclaimer:", "Please consider the environment.",
	"tea mailing list", "Virus-free. www.avast.com", "- an item", "a | b", "  indented", lineOf(72, 5), lineOf(70, 5), lineOf(66, 5), lineOf(60, 5), lineOf(12, 5),
	"https://example.org/?utm_source=x", "https://example.org/" + strings.Repeat("a", 90), strings.Repeat("茶", 70), "好。", ">", "\u0301a", "a:", "3.3.2026:",
	">From Bern by train", "quand\u00a0? \u00ab\u202fMoi\u202f\u00bb", lineOf(60, 5) + "\u00a0\u2007\ufdd0a"}

// compose makes a text of pieces: each two bytes give a depth and a piece.
func compose(b []byte) string {
	var text strings.Builder
	for i := 0; i+1 < len(b); i += 2 {
		text.WriteString(strings.Repeat("> ", int(b[i])%8/2%3) + pieces[int(b[i+1])%len(pieces)] + "\n")
	}
	return text.String()
}

func checkComposed(t *testing.T, b []byte, signature bool) {
	text, keep := compose(b), Keep{Signature: signature}
	clean, _, _ := Clean(text, keep)
	if again, removed, _ := Clean(clean, keep); again != clean || len(removed) > 0 || mail.CleanText(clean) != clean {
		t.Fatalf("%q becomes\n%s\nthen\n%s\nremoved %q", text, clean, again, removed)
	}
}

// TestComposed cleans many texts of lines that mean something.
func TestComposed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, 2*rng.IntN(20))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		checkComposed(t, b, rng.IntN(4) == 0)
	}
}

func FuzzComposed(f *testing.F) {
	f.Add([]byte{0, 3, 0, 7, 2, 3, 2, 23, 2, 4}, false)
	f.Add([]byte{0, 13, 0, 14, 0, 15, 0, 17, 0, 0, 0, 3}, true)
	f.Fuzz(checkComposed)
}

func FuzzUnflow(f *testing.F) {
	f.Add("a \nb\n> c \n> d\n-- \ne", false)
	f.Add("a \n>> b", true)
	f.Fuzz(func(t *testing.T, text string, delsp bool) {
		if flat := Unflow(text, delsp); len(flat) > 3*len(text)+2 {
			t.Fatalf("%d bytes become %d", len(text), len(flat))
		}
	})
}

// TestTime cleans the worst of texts: it costs time in proportion to their length.
func TestTime(t *testing.T) {
	const half, most = 1 << 19, 1 << 22 // bytes, the latter what package scrub takes
	for unit, size := range map[string]int{" to:\n": most, " from: x\n": most, "https://www.google.com/url?q=": most, "https://a.example/?utm_x=1&": most} {
		start := time.Now()
		Clean(strings.Repeat(unit, size/len(unit)), Keep{})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%d bytes of %q take %v", size, unit, took)
		}
	}
	for _, unit := range []string{
		">From a\n", ">From a\n\n", "a\u00a0", lineOf(69, 5) + "\na\u00a0",
		">", "> ", ">\n", "a:\n", "a@b.c wrote:\n", "On 2026 a@b.cc wrote:\n", "From: a\n", "From: a\nDate: b\nTo: c\n", "From: a\n\n",
		"-- \na\n", "--\na\n", "Sent from my iPhone\n", "> a\n>> b\n", "____\n", "_____\nunsubscribe\n", "https://a.example/?utm_x=1 ",
		lineOf(70, 5) + "\n", "-- \n\n", "They wrote:\n", "> They wrote:\n", "confidential ", "://", "a@", "\u200b", "Disclaimer\n\n",
		"This e-mail is confidential, only for the intended recipient, and not for anybody else.\n\n",
	} {
		text := strings.Repeat(unit, half/len(unit))
		start := time.Now()
		clean, _, _ := Clean(text, Keep{})
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("half a megabyte of %q take %v", unit, took)
		}
		if again, _, _ := Clean(clean, Keep{}); again != clean {
			t.Errorf("half a megabyte of %q are not clean when cleaned", unit)
		}
	}
}

func BenchmarkClean(b *testing.B) {
	var mails strings.Builder
	files, err := filepath.Glob("../hypertext/testdata/mails/*.txt")
	if err != nil || len(files) == 0 {
		b.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		mails.Write(text)
	}
	for name, text := range map[string]string{
		"plain": strings.Repeat(lineOf(72, 5)+"\n"+lineOf(70, 5)+"\nthe end.\n\n", 5000),
		"mails": strings.Repeat(mails.String(), 200),
		"é":     strings.Repeat(strings.Repeat("é ", 40)+"\n\n", 5000),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				Clean(text, Keep{})
			}
		})
	}
}
