package prose

import (
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
	for _, unit := range []string{
		">", "> ", ">\n", "a:\n", "a@b.c wrote:\n", "On 2026 a@b.cc wrote:\n", "From: a\n", "From: a\nDate: b\nTo: c\n", "From: a\n\n",
		"-- \na\n", "--\na\n", "Sent from my iPhone\n", "> a\n>> b\n", "____\n", "_____\nunsubscribe\n", "https://a.example/?utm_x=1 ",
		lineOf(70, 5) + "\n", "-- \n\n", "They wrote:\n", "> They wrote:\n", "confidential ", "://", "a@", "\u200b", "Disclaimer\n\n",
		"This e-mail is confidential, only for the intended recipient, and not for anybody else.\n\n",
	} {
		text := strings.Repeat(unit, (1<<19)/len(unit))
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
