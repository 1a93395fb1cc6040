//go:build long && linux

package scrub

import (
	"bytes"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/internal/sample"
	"codeberg.org/sourdine/sourdine/mail"
)

// What any mail of the permitted size may take.
const (
	worstTime   = 30 * time.Second // of a core
	worstMemory = 1 << 30          // bytes of the process, resident
)

// An ingredient is a part of a mail: a header and a body.
type ingredient = sample.Heavy

// ingredients are all parts of which mails are made: files, then texts, then what has parts.
var ingredients = slices.Concat(
	files("image/png", sample.HeavyPictures),
	files("application/pdf", sample.HeavyPDFs),
	heavyTexts,
	heavyFiles,
)

// files are parts with attached files.
func files(media string, heavy []sample.Heavy) []ingredient {
	var all []ingredient
	for _, h := range heavy {
		all = append(all, ingredient{Name: h.Name, Make: func(size float64) []byte {
			return entity(media+"\r\nContent-Disposition: attachment", "base64", inLines(h.Make(size)))
		}})
	}
	return all
}

// entity is a part of a media type, in a transfer encoding.
func entity(media, encoding string, body []byte) []byte {
	return fmt.Appendf(nil, "Content-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n%s", media, encoding, body)
}

// inLines is data in base64.
func inLines(data []byte) []byte {
	var b bytes.Buffer
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(data)), 76) {
		b.Write(line)
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// mixed is a multipart of parts.
func mixed(sub string, depth int, parts ...[]byte) []byte {
	boundary := fmt.Sprintf("=_%d", depth)
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/%s; boundary=\"%s\"\r\n\r\n", sub, boundary)
	for _, part := range parts {
		fmt.Fprintf(&b, "--%s\r\n%s\r\n", boundary, part)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return b.Bytes()
}

// times is s so often that it has about size of n bytes.
func times(s string, n int, size float64) []byte {
	return bytes.Repeat([]byte(s), max(1, int(float64(n)*size)/len(s)))
}

// repeated makes parts of times.
func repeated(media, encoding, s string, n int) func(float64) []byte {
	return func(size float64) []byte { return entity(media, encoding, times(s, n, size)) }
}

const htmlType = "text/html; charset=utf-8"

// heavyTexts are texts of as many bytes as can be read, or written as few that become many.
var heavyTexts = []ingredient{
	{Name: "text of lines that a program wrapped", Make: repeated("text/plain; charset=utf-8", "8bit", "> the evening wind came over the hills and through the garden, and nobody\r\n", 4_300_000)},
	{Name: "text of lines that introduce quotations", Make: repeated("text/plain; charset=utf-8", "8bit", "On 1.2.2020 at 10:12, Anna Smith <anna@example.org>\r\nwrote this and that: 1.\r\n> yes:\r\n\r\n", 4_300_000)},
	{Name: "text of lines that name devices", Make: repeated("text/plain; charset=utf-8", "8bit", "Sent from my iPhone\r\n", 4_300_000)},
	{Name: "text of quoted headers", Make: repeated("text/plain; charset=utf-8", "8bit", "-----Original Message-----\r\nFrom: x@example.org\r\nSent: 1\r\nTo: y\r\n\r\n", 4_300_000)},
	{Name: "text of addresses that follow readers", Make: repeated("text/plain; charset=utf-8", "8bit", "https://l.facebook.com/l.php?u=https%3A%2F%2Fwww.google.com%2Furl%3Fq%3Dhttps%253A%252F%252Fexample.org%252F%253Futm_source%253Dx\r\n", 4_300_000)},
	{Name: "text of marks and signs to compose", Make: repeated("text/plain; charset=utf-8", "8bit", "\U0001D160\u0344\u0958a\u0315\u0300\u05ae\u0300\u0062\u0f73\r\n", 4_300_000)},
	{Name: "HTML of many elements with all attributes", Make: repeated(htmlType, "8bit", strings.Repeat("<b alt=1 border=1 class=1 height=1 hidden href=1 id=1 role=1 src=1 start=1 style=1 type=1 value=1 width=1></b>", 500)+"\r\n", 16<<20)},
	{Name: "HTML of many deep elements", Make: func(size float64) []byte {
		return entity(htmlType, "8bit", slices.Concat(times("<b>", 990*3, 1), times(strings.Repeat("<i class=x>y</i>", 1000)+"\r\n", 3_190_000, size)))
	}},
	{Name: "HTML of ends of what is deep outside", Make: func(size float64) []byte {
		return entity(htmlType, "8bit", slices.Concat([]byte("<b><table><td>"), times("<span>\r\n", 985*8, 1), times(strings.Repeat("</b>", 15_000)+"\r\n", 16_500_000, size)))
	}},
	{Name: "HTML of tables", Make: repeated(htmlType, "8bit", "<table><tr><td>a<td>b<tr><td>c<td>d</table>\r\n", 1_550_000)},
	{Name: "HTML of links", Make: repeated(htmlType, "8bit", "<a href=\"https://www.example.org/?utm_source=x&utm_medium=y&a=b\">www.example.org</a>\r\n", 10_000_000)},
	{Name: "HTML of links within links", Make: func(size float64) []byte {
		one := strings.Repeat("<a href=\"https://www.example.org/?a=b\"><table><td>", 320) + strings.Repeat("word www.example.org ", 1600) + strings.Repeat("</table></a>", 320) + "\r\n"
		return entity(htmlType, "8bit", times(one, 120*len(one), size))
	}},
	{Name: "HTML of styles", Make: repeated(htmlType, "8bit", "<p style=\""+strings.Repeat("margin:0 0 0;", 1000)+"\">\r\n", 16<<20)},
	{Name: "HTML of entities", Make: repeated(htmlType, "8bit", "&amp;&CounterClockwiseContourIntegral;&#x1D160;&notit;\r\n", 16<<20)},
	{Name: "HTML whose quotations become 4 MB, twenty times", Make: func(size float64) []byte {
		part := entity(htmlType, "8bit", slices.Concat(times("<blockquote>\r\n", 990*14, 1), times("<br>x\r\n", 2000*7, 1)))
		return mixed("mixed", 1, slices.Repeat([][]byte{part}, max(1, int(20*size)))...)
	}},
	{Name: "empty lines in eight multiparts", Make: func(size float64) []byte {
		part := entity("text/plain; charset=utf-8", "8bit", times("\n", 33_000_000, size))
		for depth := range 8 {
			part = mixed("mixed", 1+depth, part)
		}
		return part
	}},
	{Name: "empty lines in eight forwarded mails", Make: func(size float64) []byte {
		part := entity("text/plain; charset=utf-8", "8bit", times("\n", 33_000_000, size))
		for range 8 {
			part = entity("message/rfc822", "8bit", part)
		}
		return part
	}},
	{Name: "alternatives in alternatives", Make: func(size float64) []byte {
		part := entity("text/plain; charset=utf-8", "8bit", times("\n", 8_000_000, size))
		for depth := range 8 {
			part = mixed("alternative", 1+depth, []byte("\r\nx"), part)
		}
		return part
	}},
	{Name: "text in quoted-printable", Make: repeated("text/plain; charset=utf-8", "quoted-printable", "=41=42=43=44=45=46=47=\r\n", 33_000_000)},
	{Name: "text in a charset of two bytes", Make: repeated("text/plain; charset=gb18030", "8bit", "\xb0\xa1\xb0\xa2\xb0\xa3\r\n", 33_000_000)},
	{Name: "an encrypted mail", Make: func(size float64) []byte {
		packets := slices.Concat([]byte{0xd2, 0xff, 1, 0x80, 0, 0}, make([]byte, 0x1800000))
		return entity("text/plain", "7bit", slices.Concat([]byte("-----BEGIN PGP MESSAGE-----\r\n\r\n"), inLines(packets[:int(float64(len(packets))*size)]), []byte("-----END PGP MESSAGE-----\r\n")))
	}},
}

// heavyFiles are attached texts.
var heavyFiles = []ingredient{
	{Name: "attached text of signs that become three", Make: repeated("text/plain; charset=windows-1252\r\nContent-Disposition: attachment", "8bit", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\r\n", maxText)},
	{Name: "attached text in UTF-16", Make: func(size float64) []byte {
		return entity("text/plain\r\nContent-Disposition: attachment", "base64", inLines(append([]byte("\xff\xfe"), times("\x01\x30\x58\x09\x0a\x00", maxText-2, size)...)))
	}},
	{Name: "attached text of marks", Make: repeated("text/plain; charset=utf-8\r\nContent-Disposition: attachment", "8bit", "\U0001D160a\u0315\u0300\u05ae\u0300\u0062\r\n", maxText)},
	{Name: "attached table", Make: repeated("text/csv; charset=utf-8\r\nContent-Disposition: attachment", "8bit", "a,b,c\r\n", 900_000)},
	{Name: "a file in capital letters", Make: func(size float64) []byte {
		return entity("application/octet-stream\r\nContent-Disposition: attachment", "base64", inLines(times("\xff\xfeA\x01", 25_000_000, size)))
	}},
}

// A portion is an ingredient in a size.
type portion struct {
	name string
	size float64 // of what may be, from 0 to 1
}

// A worstMail is a mail of parts, and the room there is for what becomes of it.
type worstMail struct {
	room     int
	portions []portion
}

func (m worstMail) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "{%d, []portion{", m.room)
	for i, p := range m.portions {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "{%q, %g}", p.name, p.size)
	}
	return b.String() + "}}"
}

// known are the worst mails that searches have found: those that take longest, then those that take
// most memory.
var known = []worstMail{
	{1_077_000, append([]portion{{"text of marks and signs to compose", 0.5}, {"text of marks and signs to compose", 0.5}}, slices.Repeat([]portion{{"WebP lossless of many codes", 1}}, mail.MaxAttachments)...)},
	{1_077_000, []portion{{"PDF of JPEGs in inks, 200 megapixels", 1}, {"PDF of JPEGs in inks, 200 megapixels", 1}}},
	{1_077_000, []portion{{"PDF of pages of empty content", 1}}},
	{10_000, []portion{{"PNG 16-bit RGB interlaced, 26 megapixels", 0.15}, {"HTML of ends of what is deep outside", 0.15}, {"PDF of strings within strings", 0.3}, {"PDF of two colours in turn, 200 megapixels", 0.3}}},
	{1_077_000, []portion{{"PDF of a matte, 200 megapixels", 1}, {"PDF of a matte, 200 megapixels", 1}}},
	{1_077_000, []portion{{"PDF of pages of empty content", 1}, {"PNG 16-bit RGB interlaced, 26 megapixels", 1}, {"PNG 8-bit RGB of 100 megapixels", 1}}},
}

// A maker makes mails, and keeps their parts, some of which take long to make.
type maker struct {
	made map[portion][]byte
	size int
}

func (mk *maker) part(p portion) []byte {
	if part, ok := mk.made[p]; ok {
		return part
	}
	if mk.size > 500<<20 || mk.made == nil {
		mk.made, mk.size = map[portion][]byte{}, 0
	}
	i := slices.IndexFunc(ingredients, func(i ingredient) bool { return i.Name == p.name })
	part := ingredients[i].Make(p.size)
	mk.made[p] = part
	mk.size += len(part)
	return part
}

// write is the mail as it is submitted, without the parts that it has no room for.
func (mk *maker) write(m worstMail) []byte {
	var parts [][]byte
	size := 1000
	for _, p := range m.portions {
		part := mk.part(p)
		if size+len(part)+20 <= MaxSubmission {
			size += len(part) + 20
			parts = append(parts, part)
		}
	}
	if len(parts) == 1 {
		return append([]byte("Subject: x\r\n"), parts[0]...)
	}
	return append([]byte("Subject: x\r\n"), mixed("mixed", 0, parts...)...)
}

// taken is what a mail takes to scrub.
type taken struct {
	time    time.Duration // of a core
	memory  int           // bytes of the process, at most
	outcome string
}

func (r taken) String() string {
	return fmt.Sprintf("%.1f s of a core, %d MiB: %s", r.time.Seconds(), r.memory>>20, r.outcome)
}

// Bounds on the process that scrubs, far above what it may take.
const (
	stopTime   = 4 * worstTime
	stopMemory = 6 * worstMemory
)

// take scrubs a mail in a process of its own.
func (mk *maker) take(t *testing.T, m worstMail) taken {
	t.Helper()
	written := mk.write(m)
	cmd := exec.Command(os.Args[0], "-test.run=^TestWorst$")
	cmd.Env = append(os.Environ(), fmt.Sprintf("SCRUB_WORST=%d %d", len(written), m.room))
	cmd.Stdin = bytes.NewReader(written)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	r := taken{time: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	_, peak, found := strings.Cut(string(out), "PEAK ")
	if err != nil || !found {
		// It was stopped, or is faulty: there is no figure of its memory then.
		first, _, _ := strings.Cut(string(out), "\n")
		r.memory, r.outcome = stopMemory, fmt.Sprintf("%v: %.200s", err, first)
		return r
	}
	kilobytes, outcome, _ := strings.Cut(peak, " ")
	n, err := strconv.Atoi(kilobytes)
	if err != nil {
		t.Fatal(err)
	}
	r.memory = n << 10
	r.outcome, _, _ = strings.Cut(outcome, "\n")
	return r
}

// scrubOnce is what the process does that take starts.
func scrubOnce(t *testing.T, sizes string) {
	for resource, limit := range map[int]uint64{syscall.RLIMIT_CPU: uint64(stopTime / time.Second), syscall.RLIMIT_DATA: stopMemory} {
		if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			t.Fatal(err)
		}
	}
	var length, room int
	if _, err := fmt.Sscan(sizes, &length, &room); err != nil {
		t.Fatal(err)
	}
	written := make([]byte, length)
	if _, err := io.ReadFull(os.Stdin, written); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	s := &scrubber{room: room}
	err := s.scrub(written)
	outcome := fmt.Sprint(err)
	if err == nil {
		outcome = fmt.Sprintf("%d bytes", s.Message.Size())
	}
	if s.pictures != nil {
		outcome += fmt.Sprintf(" (%.1f s by its own account)", float64(s.pictures.Spent())/1e9)
	}
	status, err := os.ReadFile("/proc/self/status") // proc(5)
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Printf("PEAK %s %s\n", strings.Fields(peak)[0], outcome)
}

// judge fails if a mail takes more than it may.
func judge(t *testing.T, m worstMail, r taken) {
	t.Helper()
	if r.time > worstTime || r.memory > worstMemory {
		t.Errorf("%v takes %v", m, r)
	}
}

var (
	worstTries = flag.Int("worst.tries", 40, "how many mails TestWorst tries for each of time and memory")
	worstSeed  = flag.Uint64("worst.seed", 1, "of the search of TestWorst")
)

// TestWorst holds each ingredient alone, the worst mails that are known, and those that a search finds to what
// any mail may take.
func TestWorst(t *testing.T) {
	if sizes := os.Getenv("SCRUB_WORST"); sizes != "" {
		scrubOnce(t, sizes)
		return
	}
	var mk maker
	longest := search{by: func(r taken) int { return int(r.time) }}
	largest := search{by: func(r taken) int { return r.memory }}
	try := func(t *testing.T, m worstMail) {
		r := mk.take(t, m)
		t.Logf("%v: %v", m, r)
		judge(t, m, r)
		longest.note(found{m, r})
		largest.note(found{m, r})
	}
	t.Run("ingredients", func(t *testing.T) {
		for _, i := range ingredients {
			t.Run(i.Name, func(t *testing.T) { try(t, worstMail{rooms[0], []portion{{i.Name, 1}}}) })
		}
	})
	t.Run("known", func(t *testing.T) {
		for _, m := range known {
			try(t, m)
		}
	})
	t.Run("search", func(t *testing.T) {
		rng := rand.New(rand.NewPCG(*worstSeed, 0))
		for range *worstTries {
			try(t, longest.next(rng))
			try(t, largest.next(rng))
		}
	})
	t.Logf("the longest of all, seed %d, %d tries: %v: %v", *worstSeed, 2**worstTries, longest.worst[0].mail, longest.worst[0].taken)
	t.Logf("the largest of all, seed %d, %d tries: %v: %v", *worstSeed, 2**worstTries, largest.worst[0].mail, largest.worst[0].taken)
}

// rooms are what a mail may become: what there is in a default network, much, and so little that no
// size of pictures fits or the smallest does.
var rooms = []int{1_077_000, 20_000_000, 300_000, 80_000, 10_000}

// sizes are those of ingredients.
var sizes = []float64{1, 0.75, 0.5, 0.3, 0.15, 0.05}

// A search climbs from the worst mails that were found to worse ones.
type search struct {
	by    func(taken) int
	worst []found // the worst first
}

type found struct {
	mail  worstMail
	taken taken
}

const worstKept = 6

func (s *search) note(f found) {
	s.worst = append(s.worst, f)
	slices.SortStableFunc(s.worst, func(a, b found) int { return s.by(b.taken) - s.by(a.taken) })
	s.worst = s.worst[:min(len(s.worst), worstKept)]
}

// next is another mail: a change of one of the worst, or one in four times a new one.
func (s *search) next(rng *rand.Rand) worstMail {
	some := func() portion {
		return portion{ingredients[rng.IntN(len(ingredients))].Name, sizes[rng.IntN(len(sizes))]}
	}
	if len(s.worst) == 0 || rng.IntN(4) == 0 {
		m := worstMail{room: rooms[rng.IntN(len(rooms))]}
		for range 1 + rng.IntN(6) {
			m.portions = append(m.portions, some())
		}
		return m
	}
	from := s.worst[rng.IntN(len(s.worst))].mail
	m := worstMail{from.room, slices.Clone(from.portions)}
	for range 1 + rng.IntN(2) {
		i := rng.IntN(len(m.portions))
		switch rng.IntN(7) {
		case 0:
			m.room = rooms[rng.IntN(len(rooms))]
		case 1:
			m.portions[i] = some()
		case 2:
			m.portions[i].size = sizes[rng.IntN(len(sizes))]
		case 3: // the same once more
			m.portions = append(m.portions, m.portions[i])
		case 4:
			if len(m.portions) > 1 {
				m.portions = slices.Delete(m.portions, i, i+1)
			}
		case 5: // two of the worst in one
			m.portions = append(m.portions, s.worst[rng.IntN(len(s.worst))].mail.portions...)
		default: // before or behind the others: what comes first gets what there is
			m.portions = slices.Insert(m.portions, rng.IntN(len(m.portions)+1), some())
		}
	}
	return m
}
