package prose

import "testing"

func TestUnflow(t *testing.T) {
	for _, c := range []struct {
		name  string
		in    string
		delsp bool
		want  string
	}{
		{"fixed lines", "a\nb\n", false, "a\nb\n"},
		{"one paragraph", "a \nb \nc\nd\n", false, "a b c\nd\n"},
		{"CRLF", "a \r\nb\r\n", false, "a b\n"},
		{"delsp", "日 \n本\n", true, "日\u672c\n"},
		{"a signature", "a \n-- \nme\n", false, "a \n-- \nme\n"},
		{"a quoted signature", "> a \n> -- \n> me\n", false, "> a \n> -- \n> me\n"},
		{"stuffing", " From here\n >not quoted\n  indented\n", false, "From here\n>not quoted\n indented\n"},
		{"quotes", ">a \n>b\n>> c \n>> d\n", false, "> a b\n>> c d\n"},
		{"another depth ends a paragraph", "a \n> b \nc\n", false, "a \n> b \nc\n"},
		{"an empty line ends a paragraph", "a \n\nb \n>\n", false, "a \n\nb \n> \n"},
		{"left open", "a \n", false, "a "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Unflow(c.in, c.delsp); got != c.want {
				t.Errorf("Unflow(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}
