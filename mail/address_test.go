package mail

import (
	"errors"
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	label63 := strings.Repeat("d", 63)
	long := strings.Repeat("l", 64) + "@" + label63 + "." + label63 + "." + strings.Repeat("d", 57) + ".ab" // 253 bytes
	for _, c := range []struct {
		in   string
		want Address // empty: refused
	}{
		{"bob@example.net", "bob@example.net"},
		{"Bob.Smith+tag@Mail.EXAMPLE.Net", "Bob.Smith+tag@mail.example.net"},
		{"!#$%&'*+-/=?^_`{|}~@a.bc", "!#$%&'*+-/=?^_`{|}~@a.bc"},
		{"1@2.a3", "1@2.a3"},
		{"a@xn--caf-dma.example", "a@xn--caf-dma.example"},
		{"a@a-b.example", "a@a-b.example"},
		{long, Address(long)},
		{long + "c", Address(long + "c")},
		{long + "cd", ""},
		{strings.Repeat("l", 65) + "@a.bc", ""},
		{"a@" + label63 + "d.bc", ""},
		{"", ""},
		{"bob", ""},
		{"@example.net", ""},
		{"bob@", ""},
		{"bob@localhost", ""},
		{"bob@example.net.", ""},
		{"bob@.example.net", ""},
		{"bob@example..net", ""},
		{"bob@-example.net", ""},
		{"bob@example-.net", ""},
		{"bob@exa_mple.net", ""},
		{"bob@[127.0.0.1]", ""},
		{"bob@127.0.0.1", ""},
		{"bob@[IPv6:::1]", ""},
		{"bob@caf\u00e9.example", ""},
		{"b\u00f6b@example.net", ""},
		{".bob@example.net", ""},
		{"bob.@example.net", ""},
		{"b..ob@example.net", ""},
		{`"bob"@example.net`, ""},
		{"bob smith@example.net", ""},
		{"bob@alice@example.net", ""},
		{"bob@example.net ", ""},
		{" bob@example.net", ""},
		{"bob@example.net\r\n", ""},
		{"bob\x00@example.net", ""},
		{"a> SIZE=1<@b.example", ""},
		{"<bob@example.net>", ""},
		{"bob@example.net,carol@example.com", ""},
		{"@relay.example:bob@example.net", ""},
		{"bob(comment)@example.net", ""},
	} {
		got, err := ParseAddress(c.in)
		if got != c.want {
			t.Errorf("ParseAddress(%q) = %q, %v; want %q", c.in, got, err, c.want)
		}
		var refusal *Refusal
		if (c.want == "") != errors.As(err, &refusal) {
			t.Errorf("ParseAddress(%q) fails with %v", c.in, err)
		}
		if err != nil && (strings.Contains(err.Error(), "bob") || !isASCII(err.Error())) {
			t.Errorf("the refusal %q quotes the address or is not ASCII", err)
		}
	}
}

func TestAddressDomain(t *testing.T) {
	if got := Address("a@b.example").Domain(); got != "b.example" {
		t.Errorf("Domain is %q", got)
	}
}
