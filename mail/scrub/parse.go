package scrub

import (
	"bufio"
	"bytes"
	"errors"
	"mime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/emersion/go-message/textproto"
)

// MaxLine is how long a line may be before decoding, in bytes without its end.
const MaxLine = 64 << 10

// MaxNamed is how many of the ids that a mail's header names are looked at. Threads
// are longer, but of those only the last matter.
const MaxNamed = 50

// Bounds on a mail as it is written, far above what mail programs write.
const (
	maxHeader   = 64 << 10 // bytes of a header, the mail's or a part's
	maxFields   = 1000     // fields of a header
	maxParts    = 100      // in all
	maxDepth    = 10       // of parts within parts
	maxBoundary = 70       // characters, RFC 2046 section 5.1.1
	maxID       = 998      // bytes of an id: a line's, RFC 5322 section 2.1.1
)

// part is a part of a mail, or the mail itself: a MIME entity (RFC 2045 section 2.4).
type part struct {
	header    textproto.Header
	body      []byte // not decoded
	mediaType string // lower case
	params    map[string]string
	inner     func() ([]*part, error) // what children found
	attached  bool                    // its writer attached it, and it is not to be shown with the text
	named     bool                    // it has a file's name
	table     bool                    // it is said to be comma-separated values
}

// parse reads a mail or the mail within a part.
func parse(data []byte) (*part, error) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, refuse("The mail has a NUL byte in it. Send it again from another mail program, its attachments in base64.")
	}
	if err := checkLines(data); err != nil {
		return nil, err
	}
	head, body, err := splitHeader(data)
	if err != nil {
		return nil, err
	}
	return newPart(head, body)
}

// CheckWire refuses a mail with lines that end otherwise than by CR LF, which programs
// on a mail's way read differently (RFC 5321 section 2.3.8).
func CheckWire(data []byte) error {
	for line := range bytes.Lines(data) {
		inner, whole := bytes.CutSuffix(line, []byte("\n"))
		inner, ended := bytes.CutSuffix(inner, []byte("\r"))
		if whole && !ended {
			return refuse("The mail has a line that ends with LF alone. Lines must end with CR LF: most programs do this by themselves, curl does with --crlf.")
		}
		if bytes.IndexByte(inner, '\r') >= 0 || ended && !whole {
			return refuse("The mail has a CR that no LF follows. Lines must end with CR LF.")
		}
	}
	return nil
}

// checkLines holds all lines to MaxLine.
func checkLines(data []byte) error {
	for len(data) > 0 {
		end := bytes.IndexAny(data[:min(len(data), MaxLine+1)], "\r\n")
		if end < 0 && len(data) > MaxLine {
			return refuse("The mail has a line of more than %d bytes. Break it into shorter ones.", MaxLine)
		}
		if end < 0 {
			return nil
		}
		data = data[end+1:]
	}
	return nil
}

// splitHeader returns the header with its line ends, and the body after the empty line.
func splitHeader(data []byte) (head, body []byte, err error) {
	for start := 0; start < len(data); {
		line, _, _ := bytes.Cut(data[start:], []byte("\n"))
		end := min(start+len(line)+1, len(data))
		if len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return data[:start], data[end:], nil
		}
		if start = end; start > maxHeader {
			return nil, nil, refuse("The mail's header is larger than %d bytes. It must begin with a few fields such as \"Subject: Hello\", then an empty line, then the text.", maxHeader)
		}
	}
	return data, nil, nil // no empty line: there is no body (RFC 5322 section 3.5)
}

// singular are the fields that say what a part is, of which RFC 5322 section 3.6 and
// RFC 2045 section 3 allow one each. Two would be read differently by different
// programs.
var singular = []string{"From", "Subject", "Message-Id", "Mime-Version",
	"Content-Type", "Content-Transfer-Encoding", "Content-Disposition"}

// newPart reads a part's header.
func newPart(head, body []byte) (*part, error) {
	header, err := parseHeader(head)
	if err != nil {
		return nil, err
	}
	p := &part{header: *header, body: body, mediaType: "text/plain"}
	if field := header.Get("Content-Type"); strings.TrimSpace(field) != "" {
		// A parameter that cannot be read is as good as none: what needs it refuses.
		if p.mediaType, p.params, err = mime.ParseMediaType(field); err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
			return nil, refuse("The mail has a part whose Content-Type cannot be read. Send it again from another mail program.")
		}
	}
	if field := header.Get("Content-Disposition"); strings.TrimSpace(field) != "" {
		// What cannot be read is not taken for text.
		disposition, params, err := mime.ParseMediaType(field)
		p.attached = disposition != "inline" || err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)
		p.named, p.table = params["filename"] != "", isTable(params["filename"])
	}
	p.named = p.named || p.params["name"] != ""
	p.table = p.table || p.mediaType == "text/csv" || isTable(p.params["name"])
	return p, nil
}

func isTable(name string) bool { return strings.HasSuffix(strings.ToLower(name), ".csv") }

// parseHeader checks and parses a header.
func parseHeader(head []byte) (*textproto.Header, error) {
	if !utf8.Valid(head) {
		return nil, refuse("The mail's header has bytes that are not UTF-8. Set the mail program to UTF-8.")
	}
	for line := range bytes.Lines(head) {
		name, _, found := bytes.Cut(line, []byte(":"))
		continued := (line[0] == ' ' || line[0] == '\t') && &line[0] != &head[0]
		if !continued && (!found || len(name) == 0 || bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })) {
			return nil, refuse("The mail's header has a line that is no field. A mail begins with fields such as \"Subject: Hello\", then comes an empty line, then the text.")
		}
	}
	header, err := textproto.ReadHeader(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		// The library's error quotes the header.
		return nil, refuse("The mail's header cannot be read. A mail begins with fields such as \"Subject: Hello\", then comes an empty line, then the text.")
	}
	if header.Len() > maxFields {
		return nil, refuse("The mail's header has more than %d fields. Leave some out: only the subject is sent.", maxFields)
	}
	for _, name := range singular {
		if len(header.Values(name)) > 1 {
			return nil, refuse("The mail's header has the field %s more than once. Keep one.", name)
		}
	}
	return &header, nil
}

// children are the parts of a multipart (RFC 2046 section 5.1). What stands before the
// first and behind the last is for programs that know no MIME.
func (p *part) children() ([]*part, error) {
	if p.inner == nil {
		p.inner = sync.OnceValues(p.readChildren)
	}
	return p.inner()
}

func (p *part) readChildren() ([]*part, error) {
	boundary := p.params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary {
		return nil, refuse("The mail does not say where its parts begin. Send it again from another mail program.")
	}
	entities, err := between(p.body, boundary)
	if err != nil {
		return nil, err
	}
	var parts []*part
	for _, entity := range entities {
		head, body, err := splitHeader(entity)
		if err != nil {
			return nil, err
		}
		child, err := newPart(head, body)
		if err != nil {
			return nil, err
		}
		if p.mediaType == "multipart/digest" && !child.header.Has("Content-Type") {
			child.mediaType = "message/rfc822" // RFC 2046 section 5.1.5
		}
		parts = append(parts, child)
	}
	return parts, nil
}

// between returns what stands between the lines that delimit the parts of a multipart,
// without the line end before each, which belongs to the delimiter.
func between(body []byte, boundary string) ([][]byte, error) {
	var parts [][]byte
	delimiter, begin := "--"+boundary, -1 // where a part begins; none yet
	for start := 0; start < len(body); {
		line, _, _ := bytes.Cut(body[start:], []byte("\n"))
		next := min(start+len(line)+1, len(body))
		rest, is := strings.CutPrefix(strings.TrimRight(string(line[:min(len(line), MaxLine)]), " \t\r"), delimiter)
		if is && (rest == "" || rest == "--") {
			if begin >= 0 {
				end := bytes.TrimSuffix(bytes.TrimSuffix(body[begin:max(begin, start)], []byte("\n")), []byte("\r"))
				if parts = append(parts, end); len(parts) > maxParts {
					return nil, tooManyParts()
				}
			}
			if rest == "--" {
				if len(parts) == 0 {
					return nil, refuse("A part of the mail says that it has parts, and there are none. Send the mail again from another mail program.")
				}
				return parts, nil
			}
			begin = next
		}
		start = next
	}
	return nil, refuse("The mail is cut off: its last part has no end. Send it again.")
}

func tooManyParts() error {
	return refuse("The mail has more than %d parts. Attach fewer files, or forward fewer mails at once.", maxParts)
}

// messageID is the id that the writer's program gave the mail, without white space.
func (p *part) messageID() string {
	id := strings.Join(strings.Fields(p.header.Get("Message-Id")), "")
	if id == "<>" {
		return "" // or all mails that have it would be one
	}
	if end := strings.IndexByte(id, '>'); strings.HasPrefix(id, "<") && end > 0 {
		id = id[:end+1] // without a comment behind it
	}
	return id[:min(len(id), maxID)]
}

// references are the ids of earlier mails that the header names, each once: those of
// References (RFC 5322 section 3.6.4), the oldest first, then those of In-Reply-To. Of
// more than MaxNamed they are the last.
func (p *part) references() []string {
	var ids []string
	for _, name := range []string{"References", "In-Reply-To"} {
		rest := p.header.Get(name)
		for {
			_, after, begun := strings.Cut(rest, "<")
			id, after, ended := strings.Cut(after, ">")
			if !begun || !ended {
				break
			}
			rest = after
			id = "<" + strings.Join(strings.Fields(id), "") + ">"
			if len(id) > maxID {
				continue
			}
			if i := slices.Index(ids, id); i >= 0 {
				ids = slices.Delete(ids, i, i+1)
			}
			if ids = append(ids, id); len(ids) > MaxNamed {
				ids = ids[1:]
			}
		}
	}
	return ids
}
