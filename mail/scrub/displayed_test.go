package scrub

import (
	"cmp"
	"fmt"
	"html"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/text/unicode/norm"

	"codeberg.org/sourdine/sourdine/internal/golden"
	"codeberg.org/sourdine/sourdine/mail"
)

// What is lost of a mail's text is only what must be: mails as programs write them, in
// testdata/displayed and testdata/clients, beside the text that a mail program shows of
// them, NAME.txt. What leaves has the same words in the same order, each in a quotation of
// the same depth; how lines are wrapped may differ. Where words differ, differences.txtar says
// so and why, and TestDisplayed holds it to that: a difference that is not in it fails,
// as does one in it that there is none of. -update writes what there is, with the reason
// that fits; whoever does so reads it.

// minDisplayed is how many mails are recorded at least, beside those of TestClients.
const minDisplayed = 50

// lineForLine are the mails of which the very lines leave that are displayed: poems,
// programs, drawn tables and paragraphs of one long line among them. In all others a
// program wrapped lines, drew lists, or something is different.
var lineForLine = strings.Fields(`long-curl long-go-message long-msmtp long-s-nail long-smtplib long-swaks long-thunderbird-html
	mutt-gb2312 mutt-iso-2022-jp mutt-koi8-r neomutt-euc-kr neomutt-poem-code-table neomutt-windows-1252 python-base64-emoji
	short-thunderbird-html`)

var spacesAtEnds = regexp.MustCompile(`(?m)[ \t\r]+$`)

// displayedWord is a word of a text and how deep it is quoted.
type displayedWord struct {
	depth int
	text  string
}

// difference is a place where what leaves has other words than what is displayed.
type difference struct {
	why             string
	displayed, left []displayedWord
}

// recording is a mail, what was displayed of it, and what leaves.
type recording struct {
	written string
	result  *Result
}

// differences are the reasons that there can be, each with what it must look like. The
// first whose rule fits is written by -update.
var differences = []struct {
	why  string
	fits func(r recording, displayed, left []displayedWord) bool
}{
	// What is below "-- " is removed.
	{"signature", func(r recording, displayed, left []displayedWord) bool {
		return len(left) == 0 && len(displayed) > 1 && len(displayed) < 20 && displayed[0].text == "--"
	}},
	// The line before a quotation or a forwarded mail, in whatever language, has one form.
	{"attribution", func(r recording, displayed, left []displayedWord) bool {
		return (is(left, "They wrote:") || is(left, "Forwarded message:")) && len(displayed) > 1 && len(displayed) < 24 && !isField(displayed[0]) && isIntroduction(displayed)
	}},
	// So has the header of a quoted or a forwarded mail, with what programs draw around it.
	{"header", func(r recording, displayed, left []displayedWord) bool {
		if name := slices.IndexFunc(displayed, func(w displayedWord) bool { return strings.HasSuffix(w.text, ".eml") }); name >= 0 && name < 8 {
			displayed = displayed[name+1:] // what Thunderbird calls an attached mail
		}
		one := len(left) == 0 || is(left, "They wrote:") || is(left, "Forwarded message:")
		if len(displayed) > 3 && isField(displayed[2]) {
			displayed = displayed[2:] // "Begin forwarded message:"
		}
		return one && len(displayed) > 2 && len(displayed) < 80 && (isDrawn(displayed[0]) || isField(displayed[0]))
	}},
	// A link has its address beside it.
	{"link", func(r recording, displayed, left []displayedWord) bool {
		var words []displayedWord
		for _, w := range left {
			head, address, found := strings.Cut(w.text, "<")
			address, tail, closed := strings.Cut(address, ">")
			if !found || !closed || !strings.Contains(html.UnescapeString(r.written), address+`"`) {
				words = append(words, w)
				continue
			}
			if head != "" {
				return false
			}
			if tail != "" && len(words) == 0 {
				return false
			}
			if tail != "" {
				words[len(words)-1].text += tail
			}
		}
		return len(words) < len(left) && slices.Equal(words, displayed)
	}},
	// The mark of a list's item, which is drawn, is written.
	{"list", func(r recording, displayed, left []displayedWord) bool {
		return len(left) == 1 && len(displayed) <= 1 && isMark(left[0]) && (len(displayed) == 0 || isMark(displayed[0]))
	}},
	// So are the lines between a table's cells.
	{"table", func(r recording, displayed, left []displayedWord) bool {
		return len(displayed) == 0 && !slices.ContainsFunc(left, func(w displayedWord) bool { return strings.Trim(w.text, "|-+") != "" })
	}},
	// A line across the page is drawn with what there is on keyboards.
	{"rule", func(r recording, displayed, left []displayedWord) bool {
		return is(left, "----------") && len(displayed) == 0 && strings.Contains(r.written, "<hr")
	}},
	{"picture", func(r recording, displayed, left []displayedWord) bool {
		return is(left, "[picture]") && len(displayed) <= 1 && strings.Contains(r.written, "<img")
	}},
	// A raised or lowered number is another one than on the line.
	{"raised", func(r recording, displayed, left []displayedWord) bool {
		return len(displayed) == 1 && len(left) == 1 && left[0].text != displayed[0].text && norm.NFKC.String(left[0].text) == displayed[0].text
	}},
	// A quotation of HTML's that the program only indented has quote marks.
	{"indented", func(r recording, displayed, left []displayedWord) bool {
		return len(displayed) > 0 && strings.Contains(r.written, "<blockquote>") &&
			slices.EqualFunc(displayed, left, func(d, l displayedWord) bool { return d.text == l.text && d.depth < l.depth })
	}},
	// The mark that a program put before "From " was displayed as one of a quotation.
	{"mailbox", func(r recording, displayed, left []displayedWord) bool {
		return len(displayed) > 0 && len(displayed) == len(left) && left[0] == displayedWord{0, "From"} &&
			!slices.ContainsFunc(displayed, func(w displayedWord) bool { return w.depth != 1 }) &&
			slices.EqualFunc(displayed, left, func(d, l displayedWord) bool { return d.text == l.text && l.depth == 0 })
	}},
	// A text that is a file was displayed below the mail's.
	{"attached", func(r recording, displayed, left []displayedWord) bool {
		return len(left) == 0 && slices.ContainsFunc(r.result.Message.Attachments, func(a mail.Attachment) bool {
			return (a.Type == mail.Text || a.Type == mail.CSV) && slices.Equal(displayed, displayedWords(string(a.Data)))
		})
	}},
}

func is(words []displayedWord, text string) bool { return len(words) == 1 && words[0].text == text }

func isField(w displayedWord) bool { return len(w.text) > 2 && strings.HasSuffix(w.text, ":") }

func isDrawn(w displayedWord) bool { return len(w.text) > 2 && strings.Trim(w.text, "-") == "" }

func isMark(w displayedWord) bool {
	return w.text == "-" || w.text == "*" || w.text == "•" || strings.Trim(w.text, "0123456789") == "."
}

// isIntroduction reports whether words are one paragraph of one depth that ends in a colon.
func isIntroduction(words []displayedWord) bool {
	last := words[len(words)-1]
	return strings.HasSuffix(last.text, ":") && !slices.ContainsFunc(words, func(w displayedWord) bool { return w.depth != last.depth })
}

// listed has a list of differences for each mail that has any.
const listed = "testdata/displayed/differences.txtar"

func readLists(t *testing.T) map[string]string {
	t.Helper()
	lists := map[string]string{}
	archive, err := txtar.ParseFile(listed)
	if err != nil && !*golden.Update {
		t.Fatal(err)
	}
	if archive != nil {
		for _, f := range archive.Files {
			lists[f.Name] = string(f.Data)
		}
	}
	return lists
}

// TestDisplayed compares what leaves of mails with what mail programs display of them.
func TestDisplayed(t *testing.T) {
	files, err := filepath.Glob("testdata/displayed/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := filepath.Glob("testdata/displayed/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if len(recorded) < minDisplayed {
		t.Errorf("%d mails are recorded, want %d or more", len(recorded), minDisplayed)
	}
	for _, file := range recorded {
		if !slices.Contains(files, strings.TrimSuffix(file, ".eml")+".txt") {
			t.Errorf("what is displayed of %s is not recorded", file)
		}
	}
	lists, sum := readLists(t), map[string]int{}
	unread := maps.Clone(lists)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run(name, func(t *testing.T) {
			shown, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r := readRecording(t, name)
			found := compare(displayedWords(string(shown)), displayedWords(r.result.Message.Body))
			// What was written by hand, where several differences stand beside one another, stays.
			if *golden.Update && len(explain(r, found, parseDifferences(t, lists[name]))) > 0 {
				lists[name] = formatDifferences(r, found)
			}
			listed := parseDifferences(t, lists[name])
			delete(unread, name)
			for _, fault := range explain(r, found, listed) {
				t.Error(fault)
			}
			for _, d := range listed {
				sum[d.why]++
			}
			displayed := strings.TrimSpace(spacesAtEnds.ReplaceAllString(strings.ReplaceAll(string(shown), "\u00a0", " "), ""))
			if same := displayed == strings.TrimSpace(r.result.Message.Body); same != slices.Contains(lineForLine, name) {
				t.Errorf("line for line the same: %v", same)
			}
		})
	}
	for name := range unread {
		t.Errorf("differences are listed of %s, which is not compared", name)
	}
	if *golden.Update {
		archive := &txtar.Archive{Comment: []byte("Where what leaves differs from what is displayed (README.md).\n\n")}
		for _, name := range slices.Sorted(maps.Keys(lists)) {
			if lists[name] != "" {
				archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(lists[name])})
			}
		}
		golden.File(t, listed, func() []byte { return txtar.Format(archive) })
	}
	for _, d := range differences {
		t.Logf("%s: %d", d.why, sum[d.why])
		if sum[d.why] == 0 && !t.Failed() {
			t.Errorf("no difference has the reason %s", d.why)
		}
	}
}

// TestDisplayedFails holds a list of differences against texts of which a word is lost,
// moved, quoted at another depth or put together with the next, and lists against the
// right text that say too much, too little, or a wrong reason.
func TestDisplayedFails(t *testing.T) {
	const name = "emacs-reply-interleaved"
	r := readRecording(t, name)
	text, err := os.ReadFile("testdata/displayed/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	shown, list, body := displayedWords(string(text)), readLists(t)[name], r.result.Message.Body
	if faults := explain(r, compare(shown, displayedWords(body)), parseDifferences(t, list)); faults != nil {
		t.Fatalf("the right text and list fail: %q", faults)
	}
	for what, changed := range map[string]string{
		"a word lost":         strings.Replace(body, "long rope", "rope", 1),
		"a word more":         strings.Replace(body, "long rope", "very long rope", 1),
		"two words changed":   strings.Replace(body, "long rope", "rope long", 1),
		"another depth":       strings.Replace(body, "> > Thank", "> Thank", 1),
		"words put together":  strings.Replace(body, "long rope", "longrope", 1),
		"an attribution kept": strings.Replace(body, "They wrote:", "Ben Hollow <ben@example.org> writes:", 1),
	} {
		if changed == body {
			t.Fatalf("%s: nothing is changed in %q", what, body)
		}
		if explain(r, compare(shown, displayedWords(changed)), parseDifferences(t, list)) == nil {
			t.Errorf("%s passes", what)
		}
	}
	for what, changed := range map[string]string{
		"an entry too many":          list + "signature\n- -- Ben Hollow\n",
		"a wrong reason":             strings.Replace(list, "attribution\n", "header\n", 1),
		"no reason":                  strings.Replace(list, "attribution\n", "?\n", 1),
		"an entry missing":           list[strings.Index(list[1:], "attribution\n")+1:],
		"a word more than there was": strings.Replace(list, "- Ben", "- Dear Ben", 1),
	} {
		if changed == list {
			t.Fatalf("%s: nothing is changed in %q", what, list)
		}
		if explain(r, compare(shown, displayedWords(body)), parseDifferences(t, changed)) == nil {
			t.Errorf("a list with %s passes", what)
		}
	}
}

// readRecording scrubs a mail of testdata/displayed, or of testdata/clients for the names
// short-PROGRAM and long-PROGRAM.
func readRecording(t *testing.T, name string) recording {
	t.Helper()
	file := filepath.Join("testdata/displayed", name+".eml")
	if group, program, _ := strings.Cut(name, "-"); group == "short" || group == "long" {
		file = filepath.Join("testdata/clients", group, program+".eml")
	}
	written, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	result, err := submit(written)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Scrub(rendered(result), Options{Room: room + room/20})
	if err != nil || again.Message.Body != result.Message.Body {
		t.Errorf("scrubbed again, %q becomes another text (%v)", result.Message.Body, err)
	}
	decoded := string(written)
	for _, leaf := range leaves(written) {
		decoded += "\n" + string(leaf)
	}
	return recording{decoded, result}
}

// explain says what is found and not listed, or listed and not found, or for no reason.
func explain(r recording, found, listed []difference) (faults []string) {
	rest := listed
	for _, f := range found {
		var of difference // that are listed, one beside the other
		for len(rest) > 0 && (len(of.displayed) < len(f.displayed) || len(of.left) < len(f.left)) {
			of.displayed, of.left = append(of.displayed, rest[0].displayed...), append(of.left, rest[0].left...)
			rest = rest[1:]
		}
		if !slices.Equal(of.displayed, f.displayed) || !slices.Equal(of.left, f.left) {
			return append(faults, fmt.Sprintf("what leaves differs from what is displayed in\n%swhere the list has\n%s", f, of))
		}
	}
	for _, l := range rest {
		faults = append(faults, fmt.Sprintf("there is no such difference:\n%s", l))
	}
	for _, l := range listed {
		known := false
		for _, d := range differences {
			known = known || d.why == l.why && d.fits(r, l.displayed, l.left)
		}
		if !known {
			faults = append(faults, fmt.Sprintf("that is no reason for\n%s", l))
		}
	}
	return faults
}

// displayedWords cuts a text into words. Chinese and Japanese, which is wrapped anywhere,
// is cut into characters. The lines that programs put above quotations are one word each
// in the form that all leave in. What mutt says of parts is no text.
func displayedWords(text string) (words []displayedWord) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if strings.HasPrefix(line, "[-- ") && strings.HasSuffix(line, " --]") {
			continue
		}
		depth := 0
		for strings.HasPrefix(line, ">") {
			depth++
			line = strings.TrimPrefix(line[1:], " ")
		}
		words = append(words, wordsOf(depth, line)...)
	}
	return words
}

func wordsOf(depth int, line string) (words []displayedWord) {
	if line == "They wrote:" || line == "Forwarded message:" {
		return []displayedWord{{depth, line}}
	}
	for _, field := range strings.Fields(line) {
		word := ""
		for _, r := range field {
			if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || 0x3000 <= r && r < 0x3040 || 0xff00 <= r && r < 0xfff0 {
				if word != "" {
					words = append(words, displayedWord{depth, word})
				}
				words, word = append(words, displayedWord{depth, string(r)}), ""
			} else {
				word += string(r)
			}
		}
		if word != "" {
			words = append(words, displayedWord{depth, word})
		}
	}
	return words
}

// compare returns where two texts differ, by a longest common subsequence of their words.
func compare(displayed, left []displayedWord) (found []difference) {
	common := make([][]int, len(displayed)+1) // of what begins at i and j
	for i := range common {
		common[i] = make([]int, len(left)+1)
	}
	for i := len(displayed) - 1; i >= 0; i-- {
		for j := len(left) - 1; j >= 0; j-- {
			if displayed[i] == left[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var d difference
	for i, j := 0, 0; i < len(displayed) || j < len(left); {
		switch {
		case i < len(displayed) && j < len(left) && displayed[i] == left[j]:
			if d.displayed != nil || d.left != nil {
				found, d = append(found, d), difference{}
			}
			i, j = i+1, j+1
		case j == len(left) || i < len(displayed) && common[i+1][j] >= common[i][j+1]:
			d.displayed = append(d.displayed, displayed[i])
			i++
		default:
			d.left = append(d.left, left[j])
			j++
		}
	}
	if d.displayed != nil || d.left != nil {
		found = append(found, d)
	}
	return found
}

// String is the form of a difference in a list: its reason on a line, then what is
// displayed after "-" and what leaves after "+", a line for each depth.
func (d difference) String() string {
	var b strings.Builder
	b.WriteString(cmp.Or(d.why, "?") + "\n")
	for _, side := range []struct {
		sign  string
		words []displayedWord
	}{{"-", d.displayed}, {"+", d.left}} {
		for i, w := range side.words {
			switch {
			case i == 0 || w.depth != side.words[i-1].depth:
				if i > 0 {
					b.WriteByte('\n')
				}
				b.WriteString(side.sign + strings.Repeat(">", w.depth) + " " + w.text)
			default:
				b.WriteString(" " + w.text)
			}
		}
		if len(side.words) > 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func formatDifferences(r recording, found []difference) string {
	var b strings.Builder
	for _, f := range apart(found) {
		for _, d := range differences {
			if d.fits(r, f.displayed, f.left) {
				f.why = d.why
				break
			}
		}
		b.WriteString(f.String())
	}
	return b.String()
}

// apart cuts differences that stand beside one another.
func apart(found []difference) (all []difference) {
	for _, f := range found {
		var parts []difference
		for i, w := range f.displayed {
			before := displayedWord{}
			if i > 0 {
				before = f.displayed[i-1]
			}
			begins := i == 0 || w.depth != before.depth || w.text == "--" || isDrawn(w) && len(parts[len(parts)-1].displayed) > 5 && parts[len(parts)-1].displayed[0].text == "--"
			if begins {
				parts = append(parts, difference{})
			}
			last := &parts[len(parts)-1]
			last.displayed = append(last.displayed, w)
		}
		if len(parts) <= 1 {
			all = append(all, f)
			continue
		}
		left := f.left
		for i := range parts {
			p := &parts[i]
			for len(left) > 0 && (left[0].depth == p.displayed[0].depth && len(p.left) == 0 || i == len(parts)-1) {
				p.left, left = append(p.left, left[0]), left[1:]
			}
		}
		all = append(all, parts...)
	}
	return all
}

func parseDifferences(t *testing.T, list string) (listed []difference) {
	t.Helper()
	for line := range strings.Lines(list) {
		line = strings.TrimSuffix(line, "\n")
		sign, rest := line[:1], line[1:]
		if sign != "-" && sign != "+" {
			listed = append(listed, difference{why: line})
			continue
		}
		marks, text, found := strings.Cut(rest, " ")
		if !found || len(listed) == 0 || strings.Trim(marks, ">") != "" {
			t.Fatalf("the list has the line %q", line)
		}
		words := wordsOf(len(marks), text)
		if last := &listed[len(listed)-1]; sign == "-" {
			last.displayed = append(last.displayed, words...)
		} else {
			last.left = append(last.left, words...)
		}
	}
	return listed
}
