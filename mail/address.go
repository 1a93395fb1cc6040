package mail

import "strings"

// Address is a mail address "local@domain" in the one form that Sourdine
// sends to, as [ParseAddress] checks it: ASCII, at most 254 bytes, its domain
// in lower case.
type Address string

// Lengths in bytes, RFC 5321 section 4.5.3.1 (a path of 256 includes < and >)
// and RFC 1035 section 2.3.4.
const (
	maxAddress = 254
	maxLocal   = 64
	maxDomain  = 253
	maxLabel   = 63
)

// ParseAddress checks s against a strict subset of the addr-spec of RFC 5321
// section 4.1.2: a dot-atom local part, and a domain name of at least two LDH
// labels whose last is not a number. Quoted local parts, address literals,
// single-label domains and anything outside ASCII are refused, so that an
// Address can stand in an SMTP command or a header as it is. The domain is
// lower-cased, the local part is kept. The error is a *[Refusal].
func ParseAddress(s string) (Address, error) {
	at := strings.LastIndexByte(s, '@')
	switch {
	case at < 0:
		return "", refuse("An address has no @: write it as name@domain.")
	case len(s) > maxAddress || at > maxLocal:
		return "", refuse("An address is too long: at most 64 characters can stand before the @, and 254 in all.")
	case !isDotAtom(s[:at]):
		return "", refuse("An address has something before its @ that cannot be sent: use letters, digits and single dots; quotes, spaces and accents are not possible.")
	case !isDomain(s[at+1:]):
		return "", refuse("An address has something after its @ that is not a full domain name such as example.org: write an international name in its xn-- form; bare host names and IP addresses are not possible.")
	}
	return Address(s[:at+1] + strings.ToLower(s[at+1:])), nil
}

// Domain returns what stands after the @.
func (a Address) Domain() string {
	return string(a[strings.LastIndexByte(string(a), '@')+1:])
}

// isDotAtom reports whether s is a dot-atom-text of RFC 5322 section 3.2.3.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAlnum(atom[i]) && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", atom[i]) < 0 {
				return false
			}
		}
	}
	return true
}

// isDomain reports whether s is a host name of RFC 1123 section 2.1 with at
// least one dot, and cannot be taken for an IPv4 address.
func isDomain(s string) bool {
	labels := strings.Split(s, ".")
	if len(labels) < 2 || len(s) > maxDomain {
		return false
	}
	for _, label := range labels {
		if label == "" || len(label) > maxLabel || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
