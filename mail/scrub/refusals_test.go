package scrub

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/golden"
)

// TestRefusalsAreDocumented finds every refusal in the source, holds it to what a mail
// program's dialogue can show, and compares docs/refusals.md with them all.
func TestRefusalsAreDocumented(t *testing.T) {
	const file = "../../docs/refusals.md"
	var b strings.Builder
	b.WriteString(`# What can be refused, and what to do

A mail that cannot be sent is refused when your mail program hands it in: the program shows the reason, and
the mail stays with it. These are all the reasons. A number stands where N is, a word of the mail program's or the file's kind where … is;
nothing of what you wrote is in them. A reason about a file begins with "Attachment 2" or the like.
`)
	for _, group := range []struct{ title, files string }{
		{"The mail and its parts", "*.go"},
		{"Addresses, names, size", "../*.go"},
		{"Formatted text", "hypertext/*.go"},
		{"Pictures", "picture/*.go"},
		{"PDFs", "pdf/*.go"},
	} {
		reasons := refusals(t, group.files)
		if len(reasons) == 0 {
			t.Errorf("no refusals found in %s", group.files)
		}
		b.WriteString("\n## " + group.title + "\n\n")
		for _, r := range reasons {
			if len(r) > maxReason-60 { // what stands before it, and longer numbers
				t.Errorf("%d characters are more than a dialogue shows: %q", len(r), r)
			}
			b.WriteString("- " + strings.ReplaceAll(r, "<", "&lt;") + "\n")
		}
	}
	if got := golden.File(t, file, func() []byte { return []byte(b.String()) }); string(got) != b.String() {
		t.Error("docs/refusals.md does not list the refusals as they are: go test ./mail/scrub -update")
	}
}

var verb = regexp.MustCompile(`%[ds]`)

// refusals are the sentences in Go files, tests apart, that tell a writer something.
func refusals(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			if err != nil || !isSentence(text) {
				return true
			}
			text = verb.ReplaceAllStringFunc(text, func(v string) string { return map[string]string{"%d": "N", "%s": "…"}[v] })
			if !slices.Contains(all, text) {
				all = append(all, text)
			}
			return true
		})
	}
	slices.Sort(all)
	return all
}

func isSentence(s string) bool {
	return len(s) > 30 && 'A' <= s[0] && s[0] <= 'Z' && strings.HasSuffix(s, ".") && strings.Contains(s, " ")
}
