package gateway

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway/submission"
	"codeberg.org/sourdine/sourdine/internal/keyring"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// accepted submits a letter and returns what the exit then opens.
func accepted(t *testing.T, g *Gateway, l *submission.Letter) *mail.Parcel {
	t.Helper()
	if err := g.accept(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	out := g.sender.(*outbox)
	added := out.added[len(out.added)-1]
	m, err := g.queue.Get(mail.ParcelID(added.ID))
	if err != nil {
		t.Fatal(err)
	}
	data, err := g.queue.Data(m.ID)
	if err != nil {
		t.Fatal(err)
	}
	p, err := mail.OpenParcel(mail.Sealed{ID: m.ID, Key: m.Key, Expires: m.Expires, Data: data}, out.private)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A letter's persona, disclosure and attachments reach the exit.
func TestLetterReachesTheExit(t *testing.T) {
	g, key := newGateway(t)
	l := letter(key, "<1@x>")
	l.Disclosed = true
	l.Message.Attachments = []mail.Attachment{{Type: mail.CSV, Data: []byte("a,b\n")}, {Type: mail.PDF, Data: []byte("%PDF-1.7")}}
	p := accepted(t, g, l)
	if p.From != "Ann" || !p.Disclosed || len(p.References) != 0 || !reflect.DeepEqual(p.Message, *l.Message) || !reflect.DeepEqual(p.Recipients, l.Recipients) {
		t.Errorf("the exit opens %+v", p)
	}
	l = letter(key, "<2@x>")
	l.Persona.Name = ""
	if p := accepted(t, g, l); p.From != "" || p.Disclosed || p.Attachments != nil {
		t.Errorf("the exit opens %+v", p)
	}
}

// A mail refers to the earlier ones that it names, if the same persona wrote them and
// the same exit handed them over, and to nothing else.
func TestReferences(t *testing.T) {
	g, key := newGateway(t)
	out := g.sender.(*outbox)
	ids := map[string][mail.MessageIDLength]byte{}
	for i := range 12 {
		id := fmt.Sprintf("<%d@x>", i)
		ids[id] = accepted(t, g, letter(key, id)).MessageID
	}
	other := letter(key, "<other@x>")
	other.Persona = submission.Persona{Login: "pen", Name: "The Pen"}
	accepted(t, g, other)
	renamed := letter(key, "<renamed@x>")
	renamed.Persona.Name = "Bea"
	accepted(t, g, renamed)
	exit := out.by.Exit
	out.setExit(sphinx.NodeID{2})
	accepted(t, g, letter(key, "<elsewhere@x>"))
	out.setExit(exit)
	accepted(t, g, letter(key, ""))

	for i, c := range []struct {
		name  string
		named []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"an answer", []string{"<3@x>"}, []string{"<3@x>"}},
		{"a thread, another's mails in it", []string{"<1@x>", "<theirs@y>", "<3@x>", "<again@y>"}, []string{"<1@x>", "<3@x>"}},
		{"a long one", []string{"<0@x>", "<1@x>", "<2@x>", "<3@x>", "<4@x>", "<5@x>", "<6@x>", "<7@x>", "<8@x>", "<9@x>"},
			[]string{"<2@x>", "<3@x>", "<4@x>", "<5@x>", "<6@x>", "<7@x>", "<8@x>", "<9@x>"}},
		{"another persona's", []string{"<other@x>"}, nil},
		{"of the persona when it had another name", []string{"<renamed@x>"}, nil},
		{"another exit's", []string{"<elsewhere@x>"}, nil},
		{"somebody else's", []string{"<1@y>", "", "<>"}, nil},
	} {
		l := letter(key, fmt.Sprintf("<answer%d@x>", i))
		l.References = c.named
		var want [][mail.MessageIDLength]byte
		for _, id := range c.want {
			want = append(want, ids[id])
		}
		if got := accepted(t, g, l).References; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: refers to %x, want %x", c.name, got, want)
		}
	}

	// A mail handed in twice is the first one; and one that names itself refers to nothing.
	again := letter(key, "<3@x>")
	if err := g.accept(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	l := letter(key, "<answer to 3@x>")
	l.References = []string{"<answer to 3@x>", "<3@x>"}
	if got := accepted(t, g, l).References; len(got) != 1 || got[0] != ids["<3@x>"] {
		t.Errorf("refers to %x", got)
	}
}

// What is remembered is forgotten after its time, and found until then.
func TestReferencesExpire(t *testing.T) {
	g, key := newGateway(t)
	out := g.sender.(*outbox)
	accepted(t, g, letter(key, "<1@x>"))
	answer := func(id string, days int) int {
		t.Helper()
		out.ahead = time.Duration(days) * 24 * time.Hour
		l := letter(key, id)
		l.References = []string{"<1@x>"}
		return len(accepted(t, g, l).References)
	}
	if n := answer("<2@x>", referenceDays); n != 1 {
		t.Errorf("after %d days the mail is not referred to", referenceDays)
	}
	tag := referenceTag(key, letter(key, "").Persona, out.by.Exit, "<1@x>")
	if _, err := g.queue.Reference(tag); err != nil {
		t.Error(err)
	}
	if n := answer("<3@x>", referenceDays+1); n != 0 {
		t.Errorf("after %d days the mail is referred to", referenceDays+1)
	}
	if _, err := g.queue.Reference(tag); err == nil {
		t.Error("it is still on the disk")
	}
	if _, err := g.queue.Reference(referenceTag(key, letter(key, "").Persona, out.by.Exit, "<2@x>")); err != nil {
		t.Errorf("a younger one is gone: %v", err)
	}
}

// A thief of the disk finds nothing of what ties mails together.
func TestReferencesAreSealed(t *testing.T) {
	g, key := newGateway(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	thief, err := keyring.CreateWithCost(path, "me", []byte("secret"), keyring.Cost{Memory: 8, Passes: 1, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	l := letter(key, "<marked.secret@home.example>")
	l.Persona.Name = "A marked name"
	p := accepted(t, g, l)
	stolen, err := thief.Unlock([]byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.queue.Reference(referenceTag(stolen, l.Persona, g.sender.(*outbox).by.Exit, "<marked.secret@home.example>")); err == nil {
		t.Error("found with another key")
	}
	sealed, err := g.queue.Reference(referenceTag(key, l.Persona, g.sender.(*outbox).by.Exit, "<marked.secret@home.example>"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := openReference(stolen, sealed); err == nil {
		t.Error("opened with another key")
	}
	if id, day, err := openReference(key, sealed); err != nil || id != p.MessageID || day != p.Date {
		t.Errorf("opened %x of day %d, %v", id, day, err)
	}
	file, err := os.ReadFile(filepath.Join(g.cfg.dir, "queue.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range [][]byte{[]byte("marked"), p.MessageID[:]} {
		if bytes.Contains(file, secret) {
			t.Errorf("the disk has %q", secret)
		}
	}
}
