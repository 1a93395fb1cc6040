package link

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClean(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"https://example.org/", "https://example.org/"},
		{"https://example.org/a?id=1&b#c", "https://example.org/a?id=1&b#c"},
		{"https://example.org/a?utm_source=x&utm_medium=mail", "https://example.org/a"},
		{"https://example.org/a?id=1&UTM_Source=x&b=2#part", "https://example.org/a?id=1&b=2#part"},
		{"https://example.org?fbclid=Iw&amp;id=1", "https://example.org?id=1"},
		{"https://example.org/a?id=1&amp;fbclid=Iw&amp;b=2", "https://example.org/a?id=1&amp;b=2"},
		{"https://example.org/#a?utm_source=x", "https://example.org/#a?utm_source=x"},
		{"https://example.org/?q=utm_source", "https://example.org/?q=utm_source"},
		{"http://example.org/?gclid=1&msclkid=2&mc_eid=3&mc_cid=4&mkt_tok=5&_hsenc=6&igsh=7", "http://example.org/"},
		{"https://youtu.be/abc?si=who&t=30", "https://youtu.be/abc?t=30"},
		{"https://www.youtube.com/watch?v=abc&si=who", "https://www.youtube.com/watch?v=abc"},
		{"https://example.org/watch?si=unit", "https://example.org/watch?si=unit"},
		{"https://notx.com/a?s=1", "https://notx.com/a?s=1"},
		{"https://x.com/a/status/1?s=20&t=abc", "https://x.com/a/status/1"},
		{"https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.org%2Fa%3Fb%3D1&data=05%7C02%7Canna%40example.com%7C&reserved=0", "https://example.org/a?b=1"},
		{"https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fexample.org%2F%C3%A4%20b%3Futm_source%3Dx&amp;data=05", "https://example.org/%C3%A4%20b"},
		{"https://nam02.safelinks.protection.outlook.com/?url=javascript%3Aalert(1)&data=1", "https://nam02.safelinks.protection.outlook.com/?url=javascript%3Aalert(1)&data=1"},
		{"https://deref-gmx.net/mail/client/abc/dereferrer/?redirectUrl=https%3A%2F%2Fexample.org%2F", "https://example.org/"},
		{"https://www.google.com/url?q=https://example.org/a&sa=D&ust=1", "https://example.org/a"},
		{"https://urldefense.com/v3/__https://example.org/a*b__;Iw!!AbC!token$", "https://example.org/a#b"},
		{"https://urldefense.com/v3/__https:/example.org/a__;!!AbC!token$", "https://example.org/a"},
		{"https://urldefense.com/v3/__https://example.org/a**B__;Iw!!AbC!token$", "https://urldefense.com/v3/__https://example.org/a**B__;Iw!!AbC!token$"},
		{"https://urldefense.proofpoint.com/v2/url?u=https-3A__example.org_a-3Fb-3D1&d=x&c=y", "https://example.org/a?b=1"},
		{"mailto:a@example.org?subject=utm_source", "mailto:a@example.org?subject=utm_source"},
	} {
		got, tracked := Clean(c.in)
		if got != c.want || tracked != (c.in != c.want) {
			t.Errorf("Clean(%q) = %q, %v, want %q", c.in, got, tracked, c.want)
		}
	}
}

func TestSame(t *testing.T) {
	for _, c := range []struct {
		words, address string
		want           bool
	}{
		{"https://example.org/a", "https://example.org/a", true},
		{"example.org", "http://www.example.org/", true},
		{"www.Example.org/a b", "https://example.org/a%20b", true},
		{"anna@example.org", "mailto:anna@example.org", true},
		{"here", "https://example.org/", false},
		{"https://bank.example", "https://thief.example", false},
	} {
		if got := Same(c.words, c.address); got != c.want {
			t.Errorf("Same(%q, %q) = %v", c.words, c.address, got)
		}
	}
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{
		"https://a.example/?utm_source=1&b=2#c",
		"https://a.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.google.com%2Furl%3Fq%3Dhttps://a.example/",
		"https://urldefense.com/v3/__https://example.org/a*b__;Iw!!AbC!token$",
		"https://urldefense.proofpoint.com/v2/url?u=https-3A__example.org_a-3Fb-3D1&d=x&c=y",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean, tracked := Clean(s)
		if len(clean) > len(s) || tracked != (clean != s) {
			t.Fatalf("Clean(%q) = %q, %v", s, clean, tracked)
		}
		if again, _ := Clean(clean); again != clean {
			t.Fatalf("%q becomes %q, then %q", s, clean, again)
		}
		if utf8.ValidString(s) && !utf8.ValidString(clean) {
			t.Fatalf("Clean(%q) = %q", s, clean)
		}
		if !strings.ContainsAny(s, " <>\n") && strings.ContainsAny(clean, " <>\n") {
			t.Fatalf("Clean(%q) = %q", s, clean)
		}
	})
}
