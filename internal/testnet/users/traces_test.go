package users_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
)

// The marked words stand in a subject, a body, and the two halves of an address.
var marked = []string{"Zwiebelfisch-7391", "Grüngürtel-8642", "kormoran-5517", "eisvogel-2290"}

// forms returns a word as files may hold it.
func forms(word string) map[string][]byte {
	utf := utf16.Encode([]rune(word))
	var le, be []byte
	for _, c := range utf {
		le, be = append(le, byte(c), byte(c>>8)), append(be, byte(c>>8), byte(c))
	}
	var qp bytes.Buffer
	w := quotedprintable.NewWriter(&qp)
	io.WriteString(w, word)
	w.Close()
	f := map[string][]byte{
		"raw": []byte(word), "quoted-printable": qp.Bytes(), "UTF-16LE": le, "UTF-16BE": be,
		"hex": []byte(hex.EncodeToString([]byte(word))), "HEX": []byte(strings.ToUpper(hex.EncodeToString([]byte(word)))),
	}
	for shift := range 3 { // what of the word's base64 does not depend on its neighbours
		b := base64.StdEncoding.EncodeToString(append(make([]byte, shift), word...))
		from := []int{0, 2, 3}[shift]
		to := len(strings.TrimRight(b, "="))
		if (len(word)+shift)%3 != 0 {
			to--
		}
		f[fmt.Sprintf("base64 at %d", shift)] = []byte(b[from:to])
	}
	return f
}

// traces names the words that data holds in some form, compressed streams in it
// included.
func traces(data []byte) (found []string) {
	for _, word := range marked {
		for form, b := range forms(word) {
			if bytes.Contains(data, b) {
				found = append(found, fmt.Sprintf("%s (%s)", word, form))
			}
		}
	}
	inflate := func(r io.Reader, err error) {
		if err != nil {
			return
		}
		if plain, _ := io.ReadAll(io.LimitReader(r, 64<<20)); len(plain) > 0 {
			for _, word := range marked {
				if bytes.Contains(plain, []byte(word)) {
					found = append(found, word+" (inflated)")
				}
			}
		}
	}
	for i := range len(data) - 2 {
		switch {
		case data[i] == 0x1f && data[i+1] == 0x8b:
			r, err := gzip.NewReader(bytes.NewReader(data[i:]))
			inflate(r, err)
		case data[i] == 0x78 && (uint(data[i])<<8|uint(data[i+1]))%31 == 0:
			r, err := zlib.NewReader(bytes.NewReader(data[i:]))
			inflate(r, err)
		}
	}
	return found
}

// What a user writes is nowhere on the disks of gateway and exit, nor in their
// logs: while a mail waits at one or the other, and after it went.
func TestNoTraces(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	n := trial.Start(t, testnet.Options{})
	search := func(when string) {
		for _, name := range []string{testnet.Gateway, testnet.Exit} {
			if found := traces([]byte(n.Process(name).Log())); len(found) > 0 {
				t.Errorf("%s: %s's log holds %q", when, name, found)
			}
			err := filepath.WalkDir(n.Path(name), func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				b, err := os.ReadFile(path)
				if found := traces(b); len(found) > 0 {
					t.Errorf("%s: %s holds %q", when, filepath.Join(name, d.Name()), found)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	if err := n.Process(testnet.Sink).Stop(); err != nil {
		t.Fatal(err)
	}
	if err := n.Process("mix2").Stop(); err != nil { // the mail cannot leave
		t.Fatal(err)
	}
	to := marked[2] + "@" + marked[3] + ".example"
	trial.Submit(t, n, to, marked[0], "The "+marked[1]+".\n")
	search("while the mail is at the gateway")
	if err := n.Process("mix2").Start(); err != nil {
		t.Fatal(err)
	}
	trial.State(t, ctx, n, marked[0], "at exit")
	search("while the mail is at the exit")
	if err := n.Process(testnet.Sink).Start(); err != nil {
		t.Fatal(err)
	}
	trial.Arrival(t, ctx, n, marked[0])
	search("after the mail went")

	// The same search finds the words in the mail, and in every form.
	list, err := n.Received()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	all := strings.Join(traces(list[0].Data), " ")
	for _, word := range marked {
		if !strings.Contains(all, word) {
			t.Errorf("the search does not find %q in the mail", word)
		}
	}
}

func TestTracesAreFoundInEveryForm(t *testing.T) {
	for _, word := range marked {
		for form, b := range forms(word) {
			if len(traces(append([]byte("before"), append(b, "after"...)...))) == 0 {
				t.Errorf("%s as %s is not found", word, form)
			}
		}
		for shift := range 3 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + word + " and more"))
			if len(traces([]byte(text))) == 0 {
				t.Errorf("%s in base64 behind %d bytes is not found", word, shift)
			}
		}
		var z, g bytes.Buffer
		zw := zlib.NewWriter(&z)
		gw := gzip.NewWriter(&g)
		for _, w := range []io.WriteCloser{zw, gw} {
			io.WriteString(w, strings.Repeat("some text ", 50)+word)
			w.Close()
		}
		for _, b := range [][]byte{z.Bytes(), g.Bytes()} {
			if len(traces(append([]byte{1, 2, 3}, b...))) == 0 {
				t.Errorf("%s in a compressed stream is not found", word)
			}
		}
	}
	random := make([]byte, 1<<20)
	for i := range random {
		random[i] = byte(i * i >> 3)
	}
	if found := traces(random); len(found) > 0 {
		t.Errorf("found %q where nothing is", found)
	}
}
