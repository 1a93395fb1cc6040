//go:build peers

package mail

import (
	"bytes"
	"os/exec"
	"testing"
)

// TestPeersGnuPG has GnuPG read the armour, which has no checksum.
func TestPeersGnuPG(t *testing.T) {
	gpg, err := exec.LookPath("gpg")
	if err != nil {
		t.Fatal("install gnupg: ", err)
	}
	// A symmetric-key encrypted message of GnuPG 2.2: of packets, only their headers matter here.
	home := t.TempDir()
	run := func(in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(gpg, append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "x"}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		var complaint bytes.Buffer
		cmd.Stderr = &complaint
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v: %s", args, err, &complaint)
		}
		return out
	}
	p := &Parcel{Recipients: []Address{"b@example.net"}, Message: Message{Attachments: []Attachment{{OpenPGP, run([]byte("secret\n"), "-c")}}}}
	checkRendered(t, p, "post@exit.example", 0)
	_, armor, _ := bytes.Cut(p.Render("post@exit.example", 0), []byte("octet-stream\r\n\r\n"))
	armor, _, _ = bytes.Cut(armor, []byte("\r\n\r\n--=_"))
	if got := run(armor, "-d"); string(got) != "secret\n" {
		t.Errorf("gpg decrypts %q", got)
	}
	_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
}
