package hypertext

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/mail/scrub/prose"
)

// TestMails reads the HTML and the text that mail programs write for one mail:
// both become the same.
func TestMails(t *testing.T) {
	files, err := filepath.Glob("testdata/mails/*.html")
	if err != nil || len(files) < 9 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".html")
		t.Run(filepath.Base(name), func(t *testing.T) {
			html, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(name + ".want")
			if err != nil {
				t.Fatal(err)
			}
			text, _, err := Text(string(html))
			if err != nil {
				t.Fatal(err)
			}
			if clean, _, _ := prose.Clean(text, prose.Keep{}); clean != string(want) {
				t.Errorf("the HTML becomes\n%s\nwant\n%s\nfrom the text\n%s", clean, want, text)
			}
			plain, err := os.ReadFile(name + ".txt")
			if err != nil {
				plain, err = os.ReadFile(name + ".flowed.txt")
				plain = []byte(prose.Unflow(string(plain), false))
			}
			if err != nil {
				t.Fatal(err)
			}
			clean, _, _ := prose.Clean(string(plain), prose.Keep{})
			if filepath.Base(name) == "outlook" {
				// It puts blank lines between all paragraphs, spaces around links and other marks before items.
				squeeze := strings.NewReplacer(" ", "", "\n", "", "-", "", "*", "")
				if squeeze.Replace(clean) != squeeze.Replace(string(want)) {
					t.Errorf("the text becomes\n%s\nwant, but for space and marks\n%s", clean, want)
				}
			} else if clean != string(want) {
				t.Errorf("the text becomes\n%s\nwant\n%s", clean, want)
			}
		})
	}
}

func TestText(t *testing.T) {
	for _, c := range []struct {
		name, html, want string
		removed          []string
	}{
		{"nothing", "", "", nil},
		{"white space alone", " \n\t<p> </p><div> <br> </div>", "", nil},
		{"white space", "a\n b\t<b> c</b>  <i>d</i>", "a b c d\n", nil},
		{"no-break spaces", "a&nbsp;&nbsp;b &nbsp; c", "a  b   c\n", nil},
		{"paragraphs", "<p>a<p>b</p>c", "a\n\nb\n\nc\n", nil},
		{"divisions", "<div>a</div><div>b<div>c</div></div>d", "a\nb\nc\nd\n", nil},
		{"an empty division", "<div>a</div><div><br></div><div>b</div>", "a\n\nb\n", nil},
		{"line breaks", "a<br>b<br><br>c<br>", "a\nb\n\nc\n", nil},
		{"a paragraph of a break", "<p>a</p><p><br></p><p>b</p>", "a\n\nb\n", nil},
		{"headings", "<h1>A</h1>b<h2>C</h3>d", "A\n\nb\n\nC\n\nd\n", nil},
		{"entities", "&lt;a&gt; &amp;amp; &eacute; &#8364; &#x20ac; &hellip; &notit;", "<a> &amp; é € € … ¬it;\n", nil},
		{"emphasis", "<b>a</b> <i>b</i> <u>c</u> <font color=red>d</font> *e* _f_", "a b c d *e* _f_\n", nil},
		{"struck out", "a <s>b</s>", "a b\n", []string{StruckOut}},
		{"a rule", "a<hr>b", "a\n\n----------\n\nb\n", nil},
		{"raised and lowered", "x<sup>2</sup> H<sub>2</sub>O 1<sup>st</sup> 10<sup>-3</sup>", "x² H₂O 1st 10⁻³\n", nil},
		{"quotation marks", "<q>a</q>", "“a”\n", nil},
		{"a link", `<a href="https://example.org/a">the page</a>.`, "the page <https://example.org/a>.\n", nil},
		{"a link that says its address", `<a href="https://www.example.org/">example.org</a>`, "example.org\n", nil},
		{"a link that says another", `<a href="https://thief.example/">https://bank.example/</a>`, "https://bank.example/ <https://thief.example/>\n", nil},
		{"a tracked link", `<a href="https://example.org/?a=1&amp;utm_source=x">go</a>`, "go <https://example.org/?a=1>\n", []string{Tracking}},
		{"a tracked link that says its address", `<a href="https://example.org/?fbclid=1">https://example.org/?fbclid=1</a>`, "https://example.org/?fbclid=1\n", []string{Tracking}},
		{"mail addresses", `<a href="mailto:a@example.org?subject=x">Anna</a> <a href="mailto:a@example.org">a@example.org</a>`, "Anna <a@example.org> a@example.org\n", nil},
		{"a telephone", `<a href="tel:+331234">+331234</a> <a href="tel:+331234">call</a>`, "+331234 call <tel:+331234>\n", nil},
		{"links to nowhere", `<a href="javascript:alert(1)">a</a> <a href="data:text/html,x">b</a> <a href="cid:1">c</a> <a href="file:///home/anna/x">d</a> <a href="/x">e</a>`, "a b c d e\n", []string{OddLinks}},
		{"a link in the page", `<a href="#top">a</a> <a name="x">b</a>`, "a b\n", nil},
		{"an odd address", "<a href=\" https://example.org/a b\n<c> \">d</a>", "d <https://example.org/a%20b%3Cc%3E>\n", nil},
		{"a link around blocks", `<a href="https://example.org/"><div>a</div></a>b`, "a\n<https://example.org/>b\n", nil},
		{"a link around nothing", `a<a href="https://example.org/"></a>b`, "ab\n", nil},
		{"an unordered list", "<p>x</p><ul><li>a<li>b<ul><li>c</ul></ul>y", "x\n\n- a\n- b\n  - c\n\ny\n", nil},
		{"an ordered list", `<ol start=9><li>a</li><li>b<br>c</li><li value=20>d</li></ol>`, "9. a\n10. b\n    c\n20. d\n", nil},
		{"letters", `<ol type=a><li>x</li><li>y</li></ol>`, "a. x\nb. y\n", nil},
		{"a list in a list", "<ol><li>a</li><ul><li>b</li></ul><li>c</li></ol>", "1. a\n  - b\n2. c\n", nil},
		{"paragraphs in a list", "<ul><li><p>a</p><p>b</p></li><li><p>c</p></li></ul>", "- a\n\n  b\n- c\n", nil},
		{"a definition list", "<dl><dt>a<dd>b<dt>c<dd>d</dl>", "a\n  b\nc\n  d\n", nil},
		{"Word's list", `<p class=MsoListParagraph style='mso-list:l0 level2 lfo1'><span style='mso-list:Ignore'>1)&nbsp;&nbsp;</span>a</p>`, "  1) a\n", nil},
		{"Word's paragraphs", "<p class=MsoNormal>a<o:p></o:p></p><p class=MsoNormal><o:p>&nbsp;</o:p></p><p class=MsoNormal>b</p><p class=MsoNormal>c</p>", "a\n\nb\nc\n", nil},
		{"paragraphs without space", `<p style="margin:0">a</p><p style="margin-top:0;margin-bottom:0">b</p>`, "a\nb\n", nil},
		{"quotations", "a<blockquote>b<p>c</p><blockquote type=cite>d</blockquote>e</blockquote>f", "a\n\n> b\n>\n> c\n>\n> > d\n>\n> e\n\nf\n", nil},
		{"Gmail's indentation", `<blockquote style="margin:0 0 0 40px;border:none;padding:0px">a</blockquote>`, "a\n", nil},
		{"Outlook's line at the left", `<div style="border:none;border-left:solid blue 1.5pt;padding:0cm 0cm 0cm 4.0pt"><p>a</p></div>b`, "> a\n\nb\n", nil},
		{"no line at the left", `<div style="border-left:none">a</div>`, "a\n", nil},
		{"preformatted", "<pre>\na\n  b\t c\n\nd</pre>e", "a\n  b\t c\n\nd\n\ne\n", nil},
		{"white-space", `<div style="white-space: pre-wrap">a  b
c</div>d   e`, "a  b\nc\nd e\n", nil},
		{"a table of data", "<table><tr><th>a<th>bb<tr><td>ccc<td>d<tr><td>茶<td>e</table>", "a   | bb\n----+---\nccc | d\n茶  | e\n", nil},
		{"names and values", "<table><tr><td>Name:<td>Anna<tr><td>Town:<td>Lyon</table>", "Name: Anna\nTown: Lyon\n", nil},
		{"a wide table", "<table><tr><td>" + strings.Repeat("a", 77) + "<td>b<td>c<tr><td>d<td>e<td>f</table>", strings.Repeat("a", 77) + " | b | c\nd | e | f\n", nil},
		{"a table for layout", "<table><tr><td><p>a</p><p>b</p><td>c</table>", "a\n\nb\n\nc\n", nil},
		{"tables in tables", "<table><tr><td><table><tr><td>a<td>b<tr><td>c<td>d</table><td>e</table>", "a | b\nc | d\n\ne\n", nil},
		{"presentation", "<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>", "a\nb\nc\nd\n", nil},
		{"a caption", "<table><caption>x</caption><tr><td>a<td>b<tr><td>c<td>d</table>", "x\na | b\nc | d\n", nil},
		{"pictures", `<img src="cid:1" alt="IMG_1.jpg"><img src="https://example.org/a.png" alt="A cat"><img src="https://example.org/b.png"><img src="data:image/png;base64,AA==">`, "[picture][A cat][picture]\n", []string{WebPictures, DataPicture}},
		{"an emoji", `a <img alt="😀" src="https://example.org/1f600.png"> b`, "a 😀 b\n", []string{WebPictures}},
		{"a tracking pixel", `a<img src="https://example.org/open?id=1" width="1" height="1" alt="x">`, "a\n", []string{Pixels}},
		{"a tracking pixel by style", `a<img src="https://example.org/open?id=1" style="width:0px;height:0px">`, "a\n", []string{Pixels}},
		{"hidden", `a<div style="display:none">b</div><span style="VISIBILITY: hidden">c</span><p hidden>d</p><span style="font-size:0px">e</span><span style="opacity:0">f</span><div style="max-height:0;overflow:hidden">g</div><div style="position:absolute;left:-9999px">h</div>i`, "ai\n", []string{Hidden}},
		{"hidden nothing", `a<div style="display:none"> &nbsp;</div>`, "a\n", nil},
		{"small outside, readable inside", `<div style="font-size:0"><span style="font-size:14px">a</span> b</div>`, "a\n", []string{Hidden}},
		{"comments", "a<!-- Anna's note -->b<!--[if mso]>c<![endif]-->", "ab\n", []string{Comments}},
		{"conditional text", "a<!--[if !mso]><!-->b<!--<![endif]--><![if !vml]>c<![endif]>", "abc\n", nil},
		{"scripts and styles", "<head><title>x</title><style>p{}</style></head>a<script>b()</script><noscript>c</noscript>", "ac\n", []string{Scripts}},
		{"forms", "a<form><input name=x><select><option>b</select><textarea>c</textarea><button>d</button></form>e", "a\ne\n", []string{Forms}},
		{"frames", `a<iframe src="https://example.org"></iframe><object data=x>b</object><video>c</video>`, "ab\n", []string{Frames}},
		{"drawings", "a<svg><text>b</text></svg>c<svg><p>d", "ac\n\nd\n", []string{Drawings}},
		{"misnested", "<b>a<p>b</b>c</p>d</i></div>e", "a\n\nbc\n\nde\n", nil},
		{"a signature", `a<div class="gmail_signature">Anna</div>`, "a\n-- \nAnna\n", nil},
		{"a signature with its line", `a<br><span class="gmail_signature_prefix">-- </span><br><div class="gmail_signature">Anna</div>`, "a\n-- \nAnna\n", nil},
		{"no signature", `a<div class="gmail_signature"></div><div>b</div>`, "a\nb\n", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, removed, err := Text(c.html)
			if err != nil || got != c.want || !slices.Equal(removed, c.removed) {
				t.Errorf("%q becomes %q, removed %q, %v, want %q, %q", c.html, got, removed, err, c.want, c.removed)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for name, html := range map[string]string{
		"too large":      strings.Repeat("a", MaxHTML+1),
		"too deep":       strings.Repeat("<div>", maxDepth+1),
		"too many":       strings.Repeat("<br>", maxNodes+1),
		"too much text":  strings.Repeat("a", maxText+1),
		"too many links": strings.Repeat("<a href=x><table><td>", maxLinks+1),
		"deep quotation": strings.Repeat("<blockquote>", 900) + strings.Repeat("a<br>", 10_000),
	} {
		_, _, err := Text(html)
		var refusal *mail.Refusal
		if !errors.As(err, &refusal) || len(refusal.Reason) > 250 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestTime reads the worst that was found, each of the permitted size.
func TestTime(t *testing.T) {
	fill := func(unit string, n int) string { return strings.Repeat(unit, min(n, (MaxHTML-10_000)/len(unit))) }
	for name, html := range map[string]string{
		"misnested formatting": "<p>" + strings.Repeat("<b a=1>", 900) + fill("<p>x", 190_000),
		"end tags":             strings.Repeat("<div>", 990) + fill("</x>a", 390_000),
		"end tags that match":  "<section>" + strings.Repeat("<div>", 980) + fill("</section>", MaxHTML),
		"nested tables":        strings.Repeat("<table><tr><td>", 300) + fill("a<br>", 100_000),
		"nested links":         fill("<a href=https://e.example/><object>", 490) + fill("a ", 1_900_000),
		"hidden":               strings.Repeat("<div hidden>", 900) + fill("<i></i>", 390_000),
		"attributes":           "<a " + fill("a=b ", MaxHTML) + ">",
		"one attribute":        "<a href='" + fill("x", MaxHTML-20) + "'>a</a>",
		"a comment":            "<!--" + fill("-", MaxHTML-20),
		"cells":                "<table>" + fill("<tr><td>a<td>b", 60_000),
		"Word's lists":         strings.Repeat("<p style='mso-list:x level1'>", 300) + fill("<object><p style='mso-list:x level1'>", 300) + fill("<i></i>", 100_000),
		"entities":             fill("&amp;", MaxHTML),
		"links":                fill("<a href=https://e.example/>a</a> ", 130_000),
		"styles":               "<p style='" + fill("margin:0;", MaxHTML-20) + "'>a",
		"blank lines":          fill("<p><br>", 190_000) + "a",
	} {
		start := time.Now()
		text, _, err := Text(html)
		took := time.Since(start)
		t.Logf("%s: %d kB to %d kB, %v, in %v", name, len(html)>>10, len(text)>>10, err, took)
		if took > 30*time.Second {
			t.Errorf("%s takes %v", name, took)
		}
	}
}

func FuzzText(f *testing.F) {
	files, err := filepath.Glob("testdata/mails/*.html")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	f.Add("<ol><li><blockquote><ul><li>a<pre>\nb</pre><table><tr><td>c<td>d<tr><td>e<td>f</table>")
	f.Add("<p style='mso-list:l0 level3'><span style='mso-list:Ignore'>a)</span>b<a href=https://a.example?utm_x=1>c<table><tr><td>d")
	f.Fuzz(func(t *testing.T, html string) {
		if !utf8.ValidString(html) {
			return
		}
		text, removed, err := Text(html)
		if err != nil {
			var refusal *mail.Refusal
			if !errors.As(err, &refusal) {
				t.Fatal(err)
			}
			return
		}
		if !utf8.ValidString(text) || text != "" && !strings.HasSuffix(text, "\n") {
			t.Fatalf("%q becomes %q", html, text)
		}
		again, removedAgain, err := Text(html)
		if again != text || err != nil || !slices.Equal(removed, removedAgain) {
			t.Fatalf("%q becomes %q, then %q", html, text, again)
		}
		clean, _, _ := prose.Clean(text, prose.Keep{})
		if twice, _, _ := prose.Clean(clean, prose.Keep{}); twice != clean {
			t.Fatalf("%q is cleaned to %q, then %q", text, clean, twice)
		}
	})
}

// tokens are pieces of HTML that mean something to Text.
var tokens = []string{"a", " b ", "\n", "&nbsp;", "-- ", "--", "Anna wrote:", "茶", "<p>", "</p>", "<div>", "</div>", "<br>", "<hr>", "<ul>", "</ul>", "<ol start=9>", "</ol>", "<li>", "</li>",
	"<blockquote>", "</blockquote>", "<blockquote type=cite>", "<div style='border-left:solid blue'>", "<table>", "</table>", "<tr>", "</tr>", "<td>", "</td>", "<th>", "<caption>", "<pre>", "</pre>",
	"<a href='https://e.example/?utm_x=1'>", "<a href='mailto:a@e.example'>", "</a>", "<b>", "</b>", "<span style='display:none'>", "</span>", "<span style='white-space:pre'>", "<div class=gmail_signature>",
	"<p class=MsoNormal>", "<p style='mso-list:l0 level2'>", "<span style='mso-list:Ignore'>", "1.", "<sup>2</sup>", "<img src=cid:1>", "<img alt=x src=https://e.example/>", "<svg>", "</svg>", "<dl>", "<dt>", "<dd>", "<h1>", "</h2>",
	"<span style='display:block'>", "<font>", "</font>", "<section>", "</section>", "<noscript>", "</noscript>", "<script>", "</script>", "<!-- x -->", "<![endif]>"}

func checkComposed(t *testing.T, b []byte) {
	var html strings.Builder
	for _, c := range b {
		html.WriteString(tokens[int(c)%len(tokens)])
	}
	text, _, err := Text(html.String())
	if err != nil {
		var refusal *mail.Refusal
		if !errors.As(err, &refusal) {
			t.Fatal(err)
		}
		return
	}
	if strings.HasPrefix(text, "\n") || strings.HasSuffix(text, "\n\n") || strings.Contains(text, " \n") && !strings.Contains(text, "-- \n") {
		t.Fatalf("%q becomes %q", html.String(), text)
	}
	clean, _, _ := prose.Clean(text, prose.Keep{})
	if again, removed, _ := prose.Clean(clean, prose.Keep{}); again != clean || len(removed) > 0 {
		t.Fatalf("%q becomes\n%s\nthen\n%s\nremoved %q", html.String(), clean, again, removed)
	}
}

// TestComposed reads much HTML made of what means something, in any order.
func TestComposed(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := make([]byte, rng.IntN(60))
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		checkComposed(t, b)
	}
}

func FuzzComposed(f *testing.F) {
	f.Add([]byte{8, 0, 20, 1, 14, 18, 0, 18, 1, 24, 26, 28, 0})
	f.Fuzz(checkComposed)
}

func BenchmarkText(b *testing.B) {
	for _, name := range []string{"thunderbird", "gmail", "outlook"} {
		html, err := os.ReadFile("testdata/mails/" + name + ".html")
		if err != nil {
			b.Fatal(err)
		}
		whole := strings.Repeat(string(html), 100)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(whole)))
			for b.Loop() {
				if _, _, err := Text(whole); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
