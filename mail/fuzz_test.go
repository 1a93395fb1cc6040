package mail

import (
	"bytes"
	"testing"
)

func FuzzParseAddress(f *testing.F) {
	for _, s := range []string{"bob@example.net", "a> SIZE=1<@b.example", "B!#@XN--A.b-c", "a@[1.2.3.4]", "a@1.2.3.4", "\"a b\"@c.d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			return
		}
		if again, err := ParseAddress(string(a)); err != nil || again != a {
			t.Fatalf("%q parses again as %q, %v", a, again, err)
		}
		if bytes.ContainsAny([]byte(a), " <>()[]\\,;:\"\r\n\t\x00") || !isASCII(string(a)) || len(a) > 254 {
			t.Fatalf("accepted %q", a)
		}
	})
}

func FuzzOpenPlain(f *testing.F) {
	b, err := sample().marshal(300)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:sample().Size()])
	for _, change := range []func(*Parcel){
		func(p *Parcel) {},
		func(p *Parcel) { p.Body, p.Attachments = "", p.Attachments[5:] },
		func(p *Parcel) { p.Body = "--" + p.boundary() + "\n" },
	} {
		p := full()
		change(p)
		if b, err = p.marshal(p.Size()); err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := unmarshalParcel(b)
		if err != nil {
			return
		}
		again, err := p.marshal(len(b))
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x marshals again as %x, %v", b, again, err)
		}
		p.clean()
		for i := range p.Recipients {
			p.Render("post@exit.example", i)
		}
		if len(p.Subject) <= MaxSubject && len(p.From) <= MaxName {
			checkRendered(t, p, "post@exit.example", 0)
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	for _, r := range []*Request{{}, NewQuery(ParcelID{1}, 2), {Kind: Fragment, Parcel: ParcelID{1}, Count: 2, Data: make([]byte, 28)}} {
		f.Add(rawRequest(r, 64))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			return
		}
		if again, err := r.Marshal(len(b)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x marshals again as %x, %v", b, again, err)
		}
	})
}

func FuzzParseReply(f *testing.F) {
	id := ParcelID{1}
	for _, r := range []*Reply{
		{Keys: []SignedKey{signedKey(1)}},
		{Parcel: id, State: StateIncomplete, Missing: 2},
		{Parcel: id, State: StateRefused, Reason: "no"},
		{Parcel: id, State: StateDone, Results: []Result{{Failed, "550 no"}, {Delivered, ""}}},
	} {
		f.Add(rawReply(r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReply(b)
		if err != nil {
			return
		}
		if again, err := r.Marshal(len(b)); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x marshals again as %x, %v", b, again, err)
		}
		for _, k := range r.Keys {
			k.Verify(make([]byte, 32))
		}
	})
}
