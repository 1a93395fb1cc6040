package testnet_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"codeberg.org/sourdine/sourdine/internal/testnet"
)

// program is the path of the program under test, built once.
var program string

// networksAtOnce is how many networks run beside each other. They wait more than
// they compute, unless the race detector slows them.
func networksAtOnce() string {
	if raceEnabled {
		return "1"
	}
	return "4"
}

func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", networksAtOnce()); err != nil {
		panic(err)
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "sourdine-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "sourdine")
		args := []string{"build", "-o", program}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "codeberg.org/sourdine/sourdine/cmd/sourdine")...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the program:", err)
			return 1
		}
		return m.Run()
	}())
}

// start starts a network that ends with the test, and bounds the test's time.
func start(t *testing.T, o testnet.Options) *testnet.Network {
	t.Helper()
	o.Binary = program
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n, err := testnet.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// readMail returns a mail's subject and its text with LF line ends.
func readMail(t *testing.T, data []byte) (subject, body string) {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("a mail that arrived does not parse: %v", err)
	}
	r := m.Body
	if m.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
		r = quotedprintable.NewReader(r)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("a mail that arrived does not decode: %v", err)
	}
	return m.Header.Get("Subject"), strings.ReplaceAll(string(b), "\r\n", "\n")
}
