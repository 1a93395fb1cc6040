// Package link takes out of web addresses what tells who was sent them: the
// parameters that advertisers, newsletters and social networks append, and the
// wrapping by which a mail provider counts clicks or names the reader's account.
//
// It follows no link and resolves no name. What it does not know it leaves to
// the byte. It imports the standard library only.
package link

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode/utf8"
)

// maxWrappings is how many wrappings and rounds of parameters an address can have. Each
// costs time in proportion to its length.
const maxWrappings = 20

// Clean returns a web address without wrapping and tracking parameters, and
// whether it had any. What is no http or https address it returns unchanged.
// Clean changes nothing in its own result.
func Clean(address string) (clean string, tracked bool) {
	clean = address
	for range maxWrappings {
		next := dropParameters(unwrap(clean))
		if len(next) >= len(clean) {
			return clean, clean != address
		}
		clean = next
	}
	return address, false // nobody's program does this
}

// split cuts an address behind its host, without regard to a user name and a
// port, which no wrapper uses.
func split(address string) (host, rest string, ok bool) {
	scheme, after, found := strings.Cut(address, "://")
	if !found || !strings.EqualFold(scheme, "https") && !strings.EqualFold(scheme, "http") {
		return "", "", false
	}
	end := strings.IndexAny(after, "/?#")
	if end < 0 {
		end = len(after)
	}
	return strings.ToLower(after[:end]), after[end:], true
}

// wrappers are services that lead to the address in one of their parameters.
var wrappers = []struct{ host, path, parameter string }{
	{".safelinks.protection.outlook.com", "/", "url"}, // its "data" names the reader's mail address
	{"deref-gmx.net", "/mail/client/", "redirectUrl"},
	{"deref-gmx.com", "/mail/client/", "redirectUrl"},
	{"deref-web.de", "/mail/client/", "redirectUrl"},
	{"deref-mail.com", "/mail/client/", "redirectUrl"},
	{"www.google.com", "/url", "q"},
	{"www.google.com", "/url", "url"},
	{"l.facebook.com", "/l.php", "u"},
	{"lm.facebook.com", "/l.php", "u"},
	{"l.instagram.com", "/", "u"},
	{"l.messenger.com", "/l.php", "u"},
	{"www.youtube.com", "/redirect", "q"},
	{"out.reddit.com", "/", "url"},
}

// unwrap returns the address that a wrapping one leads to, or the address
// itself.
func unwrap(address string) string {
	host, rest, ok := split(address)
	if !ok {
		return address
	}
	var target string
	if host == "urldefense.com" || host == "urldefense.proofpoint.com" {
		target = undefend(rest)
	}
	path, query, _ := strings.Cut(rest, "?")
	query, _, _ = strings.Cut(query, "#")
	for _, w := range wrappers {
		if strings.HasSuffix(host, w.host) && strings.HasPrefix(path, w.path) && target == "" {
			target = parameter(query, w.parameter)
		}
	}
	if _, _, ok := split(target); !ok || !utf8.ValidString(target) {
		return address
	}
	return escape(target)
}

// parameter returns the decoded value of a query's first parameter of a name.
func parameter(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(strings.TrimPrefix(pair, "amp;"), "=")
		if strings.EqualFold(key, name) {
			decoded, err := url.QueryUnescape(value)
			if err != nil {
				return ""
			}
			return decoded
		}
	}
	return ""
}

// undefend returns the address in one of Proofpoint's, in its second form
// ("-" and "_" for "%" and "/") or its third (characters beside the plain ones
// are "*" and follow, in base64, behind the address).
func undefend(rest string) string {
	if query, found := strings.CutPrefix(rest, "/v2/url?"); found {
		target := parameter(strings.NewReplacer("-", "%25", "_", "%2F").Replace(query), "u")
		decoded, err := url.PathUnescape(target)
		if err != nil {
			return ""
		}
		return decoded
	}
	_, after, found := strings.Cut(rest, "/v3/__")
	if !found {
		return ""
	}
	end := strings.LastIndex(after, "__;")
	if end < 0 {
		return ""
	}
	target := after[:end]
	encoded, _, found := strings.Cut(after[end+len("__;"):], "!!")
	replaced, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(encoded, "="))
	characters := []rune(string(replaced))
	if !found || err != nil || strings.Contains(target, "**") || strings.Count(target, "*") != len(characters) {
		return ""
	}
	var b strings.Builder
	for i, piece := range strings.Split(target, "*") {
		if i > 0 {
			b.WriteRune(characters[i-1])
		}
		b.WriteString(piece)
	}
	// Proofpoint writes one slash behind the scheme.
	return strings.Replace(strings.Replace(b.String(), ":/", "://", 1), ":///", "://", 1)
}

// escape percent-encodes what may not stand in an address within text.
func escape(address string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// dropParameters takes the tracking parameters out of a web address.
func dropParameters(address string) string {
	host, rest, ok := split(address)
	if !ok {
		return address
	}
	path, query, found := strings.Cut(rest, "?")
	if !found || strings.Contains(path, "#") {
		return address // what stands behind a "#" is never sent, and belongs to the page
	}
	query, fragment, hasFragment := strings.Cut(query, "#")
	var kept []string
	dropped := false
	for pair := range strings.SplitSeq(query, "&") {
		key, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(pair, "amp;")), "=")
		if tracks(host, key) {
			dropped = true
		} else {
			kept = append(kept, pair)
		}
	}
	if !dropped {
		return address
	}
	address = strings.TrimSuffix(address, rest) + path
	if len(kept) > 0 {
		address += "?" + strings.TrimPrefix(strings.Join(kept, "&"), "amp;")
	}
	if hasFragment {
		address += "#" + fragment
	}
	return address
}

// tracks reports whether a parameter in lower case serves to follow readers.
func tracks(host, key string) bool {
	for _, prefix := range trackingPrefixes {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	if trackingKeys[key] {
		return true
	}
	for _, t := range trackingAt {
		if key == t.key && (host == t.host || strings.HasSuffix(host, "."+t.host)) {
			return true
		}
	}
	return false
}

// The parameters by which these services mark links, as their own
// documentation or the links themselves show.
var (
	trackingPrefixes = []string{
		"utm_",                  // Google Analytics and everybody since
		"mtm_", "pk_", "piwik_", // Matomo
		"__hs", "_hs", // HubSpot
		"__cft__", "__tn__", // Facebook
		"bsft_",      // Blueshift
		"oly_",       // Omeda
		"vero_",      // Vero
		"ml_subscr",  // MailerLite
		"pd_rd_",     // Amazon
		"elqtrack",   // Eloqua
		"trk_",       // Listrak
		"hsctatrack", // HubSpot
	}
	trackingKeys = map[string]bool{
		"fbclid": true, "mibextid": true, // Facebook
		"gclid": true, "gclsrc": true, "dclid": true, "gbraid": true, "wbraid": true, "srsltid": true, // Google
		"msclkid": true,                 // Microsoft
		"mc_eid":  true, "mc_cid": true, // Mailchimp
		"mkt_tok": true,               // Marketo
		"igshid":  true, "igsh": true, // Instagram
		"yclid": true, "ysclid": true, "_openstat": true, // Yandex
		"twclid": true, "ttclid": true, "li_fat_id": true, "rdt_cid": true, "epik": true, "sccid": true,
		"wickedid": true, "rb_clickid": true, "s_cid": true, "irclickid": true, "cjevent": true,
		"ck_subscriber_id": true, "_ke": true, "_kx": true, "dm_i": true, "ss_email_id": true,
		"ref_src": true, "ref_url": true, // Twitter
	}
	trackingAt = []struct{ host, key string }{
		{"youtube.com", "si"}, {"youtu.be", "si"}, {"spotify.com", "si"}, // who shared it
		{"twitter.com", "s"}, {"twitter.com", "t"}, {"x.com", "s"}, {"x.com", "t"},
		{"tiktok.com", "_t"}, {"tiktok.com", "_r"},
		{"linkedin.com", "trk"}, {"linkedin.com", "trackingid"}, {"linkedin.com", "lipi"},
	}
)

// Same reports whether words already show an address: they differ at most in
// the scheme, a "www.", a slash at the end, escapes and letter case.
func Same(words, address string) bool {
	return bare(words) == bare(address)
}

func bare(address string) string {
	address = strings.TrimSpace(address)
	if decoded, err := url.PathUnescape(address); err == nil {
		address = decoded
	}
	address = strings.ToLower(address)
	for _, prefix := range []string{"mailto:", "tel:", "xmpp:", "http://", "https://", "ftp://"} {
		if rest, found := strings.CutPrefix(address, prefix); found {
			address = rest
			break
		}
	}
	return strings.TrimRight(strings.TrimPrefix(address, "www."), "/")
}
