package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// udp answers each datagram at a loopback port, and returns the port.
func udp(t *testing.T, answer func([]byte) []byte) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			b := make([]byte, 2048)
			n, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if a := answer(b[:n]); a != nil {
				_, _ = conn.WriteToUDPAddrPort(a, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// closed is a UDP port at which nobody listens.
func closed(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
}

// at is a router on loopback, for which there is no group.
func at(pmpPort, ssdpPort uint16) *Router {
	r := New(loopback, 4242, 4243)
	r.pmpPort, r.ssdpPort, r.group = pmpPort, ssdpPort, loopback
	return r
}

// fakePMP is a router that speaks NAT-PMP.
type fakePMP struct {
	mu      sync.Mutex
	public  [4]byte
	outer   uint16 // that it gives; 0: what is asked for
	seconds uint32 // for which it gives a port; 0: what is asked for
	result  [2]uint16
	spoil   func([]byte) []byte // its answers
	lost    int                 // questions that do not reach it
	lasts   map[uint16]uint32   // mappings: seconds by inner port
}

func (f *fakePMP) answer(b []byte) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.lost > 0 {
		f.lost--
		return nil
	}
	if f.spoil != nil {
		return f.spoil(b)
	}
	a := []byte{0, b[1] | 128}
	if b[1] == pmpPublic {
		a = binary.BigEndian.AppendUint16(a, f.result[0])
		return append(append(a, 0, 0, 0, 9), f.public[:]...)
	}
	inner, outer, seconds := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:]), binary.BigEndian.Uint32(b[8:])
	if seconds == 0 {
		delete(f.lasts, inner)
	} else {
		if f.outer != 0 {
			outer = f.outer
		}
		if f.seconds != 0 {
			seconds = f.seconds
		}
		f.lasts[inner] = seconds
	}
	a = binary.BigEndian.AppendUint16(a, f.result[1])
	a = binary.BigEndian.AppendUint16(append(a, 0, 0, 0, 9), inner)
	a = binary.BigEndian.AppendUint16(a, outer)
	return binary.BigEndian.AppendUint32(a, seconds)
}

func TestNATPMP(t *testing.T) {
	public := [4]byte{203, 0, 113, 7}
	for name, test := range map[string]struct {
		router *fakePMP
		want   string
		lasts  time.Duration
		err    error
	}{
		"a port":               {&fakePMP{public: public}, "203.0.113.7:4243", lease, nil},
		"another port":         {&fakePMP{public: public, outer: 7777}, "203.0.113.7:7777", lease, nil},
		"a short time":         {&fakePMP{public: public, seconds: 120}, "203.0.113.7:4243", 2 * time.Minute, nil},
		"lost questions":       {&fakePMP{public: public, lost: 2}, "203.0.113.7:4243", lease, nil},
		"no line":              {&fakePMP{}, "", 0, ErrOffline},
		"no lease":             {&fakePMP{result: [2]uint16{3, 0}}, "", 0, ErrOffline},
		"refuses":              {&fakePMP{public: public, result: [2]uint16{0, 2}}, "", 0, ErrRefused},
		"full":                 {&fakePMP{public: public, result: [2]uint16{0, 4}}, "", 0, ErrRefused},
		"speaks PCP alone":     {&fakePMP{result: [2]uint16{1, 0}}, "", 0, ErrSilent},
		"behind carrier's NAT": {&fakePMP{public: [4]byte{100, 64, 0, 1}}, "", 0, ErrBehind},
		"behind a router":      {&fakePMP{public: [4]byte{192, 168, 1, 1}}, "", 0, ErrBehind},
		"loopback":             {&fakePMP{public: [4]byte{127, 0, 0, 1}}, "", 0, ErrOdd},
		"truncated":            {&fakePMP{spoil: func(b []byte) []byte { return []byte{0, b[1] | 128, 0, 0, 1} }}, "", 0, ErrOdd},
		"another inner port": {&fakePMP{spoil: func(b []byte) []byte {
			if b[1] == pmpPublic {
				return []byte{0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7}
			}
			return []byte{0, 130, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 1, 0}
		}}, "", 0, ErrOdd},
		"no port": {&fakePMP{spoil: func(b []byte) []byte {
			if b[1] == pmpPublic {
				return []byte{0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7}
			}
			return []byte{0, 130, 0, 0, 0, 0, 0, 1, 16, 146, 0, 0, 0, 0, 1, 0}
		}}, "", 0, ErrOdd},
		"garbage": {&fakePMP{spoil: func([]byte) []byte { return []byte("garbage") }}, "", 0, ErrSilent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.router.lasts = map[uint16]uint32{}
			r := at(udp(t, test.router.answer), closed(t))
			r.wait = time.Millisecond // for what does not come
			m, err := r.Map(t.Context())
			if !errors.Is(err, test.err) {
				t.Fatalf("%v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			if m.Public.String() != test.want || m.Lasts != test.lasts {
				t.Errorf("%v, want %s for %v", m, test.want, test.lasts)
			}
			if a, err := r.Public(t.Context()); err != nil || a != m.Public.Addr() {
				t.Errorf("alone its address is %v, %v", a, err)
			}
			if again, err := r.Map(t.Context()); err != nil || again != m {
				t.Errorf("asked again, %v, %v", again, err)
			}
			if err := r.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			test.router.mu.Lock()
			defer test.router.mu.Unlock()
			if len(test.router.lasts) != 0 {
				t.Errorf("after the release it forwards %v", test.router.lasts)
			}
		})
	}
}

// fakeIGD is a router that speaks UPnP, on one port of loopback for its web server.
type fakeIGD struct {
	mu          sync.Mutex
	kind        string // of its service; "": WANIPConnection:1
	address     string
	location    func(server string) string // that it gives; nil: its own
	description func(server string) string // nil: its own
	control     http.HandlerFunc           // nil: its own
	taken       map[uint16]int             // errors by outer port
	permanent   bool                       // it knows no leases
	same        bool                       // it wants the same ports
	mapped      map[string]string          // inner by outer port
	leases      []string
}

const soapHead = `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`

func (f *fakeIGD) fail(w http.ResponseWriter, code int) {
	w.WriteHeader(http.StatusInternalServerError)
	fmt.Fprintf(w, soapHead+`<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail><UPnPError xmlns="urn:schemas-upnp-org:control-1-0"><errorCode>%d</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>`, code)
}

func (f *fakeIGD) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	server := "http://" + r.Host
	if r.URL.Path == "/description.xml" {
		if f.description != nil {
			io.WriteString(w, f.description(server))
			return
		}
		io.WriteString(w, f.own())
		return
	}
	if f.control != nil {
		f.control(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	argument := func(name string) string {
		_, after, _ := strings.Cut(string(body), "<"+name+">")
		value, _, _ := strings.Cut(after, "</"+name+">")
		return value
	}
	_, action, _ := strings.Cut(strings.Trim(r.Header.Get("SOAPACTION"), `"`), "#")
	result := ""
	switch action {
	case "GetExternalIPAddress":
		result = "<NewExternalIPAddress>" + f.address + "</NewExternalIPAddress>"
	case "AddPortMapping":
		var outer uint16
		fmt.Sscan(argument("NewExternalPort"), &outer)
		switch {
		case f.permanent && argument("NewLeaseDuration") != "0":
			f.fail(w, onlyPermanent)
			return
		case f.same && argument("NewExternalPort") != argument("NewInternalPort"):
			f.fail(w, samePorts)
			return
		case f.taken[outer] != 0:
			f.fail(w, f.taken[outer])
			return
		case f.taken[0] != 0: // every port
			f.fail(w, f.taken[0])
			return
		}
		f.mapped[argument("NewExternalPort")] = argument("NewInternalClient") + ":" + argument("NewInternalPort")
		f.leases = append(f.leases, argument("NewLeaseDuration"))
	case "DeletePortMapping":
		if f.mapped[argument("NewExternalPort")] == "" {
			f.fail(w, noSuchEntry)
			return
		}
		delete(f.mapped, argument("NewExternalPort"))
	}
	fmt.Fprintf(w, soapHead+`<u:%sResponse xmlns:u="%s">%s</u:%[1]sResponse></s:Body></s:Envelope>`, action, f.kind, result)
}

// own is its description, as routers write it: the services lie in a device's device.
func (f *fakeIGD) own() string {
	return `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>
<serviceList><service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/no</controlURL></service></serviceList>
<deviceList><device><deviceList><device><serviceList><service>
<serviceType>` + f.kind + `</serviceType><controlURL>/control</controlURL>
</service></serviceList></device></deviceList></device></deviceList></device></root>`
}

// start starts it, and returns it as a router that does not speak NAT-PMP.
func (f *fakeIGD) start(t *testing.T) *Router {
	t.Helper()
	f.mapped = map[string]string{}
	if f.kind == "" {
		f.kind = services[1]
	}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	location := server.URL + "/description.xml"
	if f.location != nil {
		location = f.location(server.URL)
	}
	return at(closed(t), udp(t, func(question []byte) []byte {
		if !strings.HasPrefix(string(question), "M-SEARCH * HTTP/1.1\r\n") {
			return nil
		}
		return []byte("HTTP/1.1 200 OK\r\nST: " + gateways[0] + "\r\nUSN: uuid:1\r\nEXT:\r\nLOCATION: " + location + "\r\n\r\n")
	}))
}

func TestUPnP(t *testing.T) {
	const address = "203.0.113.7"
	for name, test := range map[string]struct {
		router *fakeIGD
		want   string // "": another port than the one wanted
		lasts  time.Duration
		err    error
	}{
		"a port":                  {&fakeIGD{address: address}, "203.0.113.7:4243", lease, nil},
		"version 2":               {&fakeIGD{address: address, kind: services[0]}, "203.0.113.7:4243", lease, nil},
		"PPP":                     {&fakeIGD{address: address, kind: services[2]}, "203.0.113.7:4243", lease, nil},
		"spaces":                  {&fakeIGD{address: " 203.0.113.7\n"}, "203.0.113.7:4243", lease, nil},
		"no leases":               {&fakeIGD{address: address, permanent: true}, "203.0.113.7:4243", 0, nil},
		"same ports":              {&fakeIGD{address: address, same: true}, "203.0.113.7:4242", lease, nil},
		"both":                    {&fakeIGD{address: address, same: true, permanent: true}, "203.0.113.7:4242", 0, nil},
		"taken":                   {&fakeIGD{address: address, taken: map[uint16]int{4243: conflict}}, "", lease, nil},
		"taken, by name":          {&fakeIGD{address: address, taken: map[uint16]int{4243: otherConflict}}, "", lease, nil},
		"all are taken":           {&fakeIGD{address: address, taken: map[uint16]int{0: conflict}}, "", 0, ErrRefused},
		"refuses":                 {&fakeIGD{address: address, taken: map[uint16]int{0: 606}}, "", 0, ErrRefused},
		"wants the same for ever": {&fakeIGD{address: address, taken: map[uint16]int{0: samePorts}}, "", 0, ErrRefused},
		"no lease for ever":       {&fakeIGD{address: address, taken: map[uint16]int{0: onlyPermanent}}, "", 0, ErrRefused},
		"no address":              {&fakeIGD{}, "", 0, ErrOffline},
		"address 0":               {&fakeIGD{address: "0.0.0.0"}, "", 0, ErrOffline},
		"carrier's NAT":           {&fakeIGD{address: "100.127.255.255"}, "", 0, ErrBehind},
		"no IP address":           {&fakeIGD{address: "fritz.box"}, "", 0, ErrOdd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := test.router.start(t)
			m, err := r.Map(t.Context())
			if !errors.Is(err, test.err) {
				t.Fatalf("%v, want %v", err, test.err)
			}
			if err != nil {
				if err := r.Release(t.Context()); err != nil {
					t.Errorf("nothing was open, and the release says %v", err)
				}
				return
			}
			if m.Lasts != test.lasts || test.want != "" && m.Public.String() != test.want || test.want == "" && m.Public.Port() == 4243 {
				t.Errorf("%v, want %s for %v", m, test.want, test.lasts)
			}
			if again, err := r.Map(t.Context()); err != nil || again != m {
				t.Errorf("asked again, %v, %v", again, err)
			}
			f := test.router
			f.mu.Lock()
			if got := f.mapped[port(m.Public.Port())]; len(f.mapped) != 1 || got != "127.0.0.1:4242" {
				t.Errorf("it forwards %v", f.mapped)
			}
			f.mu.Unlock()
			for range 2 { // one that is gone is gone
				if err := r.Release(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if len(f.mapped) != 0 {
				t.Errorf("after the release it forwards %v", f.mapped)
			}
		})
	}
}

// Whatever a router answers costs bounded time and memory, leads nowhere else, and
// is no port.
func TestHostile(t *testing.T) {
	elsewhere := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("somebody else was asked for %s", r.URL)
	}))
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere.Listener.Close()
	elsewhere.Listener = l
	elsewhere.Start()
	t.Cleanup(elsewhere.Close)
	const service = `<device><serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType><controlURL>%s</controlURL></service></serviceList></device>`
	described := func(root string) func(string) string {
		return func(string) string { return `<root xmlns="urn:schemas-upnp-org:device-1-0">` + root + `</root>` }
	}
	long := strings.Repeat("<a></a>", maxAnswer)
	released := make(chan struct{})
	t.Cleanup(func() { close(released) })
	for name, test := range map[string]struct {
		router *fakeIGD
		err    error
	}{
		"described elsewhere":  {&fakeIGD{location: func(string) string { return elsewhere.URL }}, ErrSilent},
		"described by name":    {&fakeIGD{location: func(s string) string { return strings.Replace(s, "127.0.0.1", "localhost", 1) }}, ErrSilent},
		"described over TLS":   {&fakeIGD{location: func(s string) string { return strings.Replace(s, "http:", "https:", 1) }}, ErrSilent},
		"described in a file":  {&fakeIGD{location: func(string) string { return "file:///etc/passwd" }}, ErrSilent},
		"described nowhere":    {&fakeIGD{location: func(string) string { return "" }}, ErrSilent},
		"closed":               {&fakeIGD{location: func(string) string { return "http://127.0.0.1:1/" }}, ErrOdd},
		"controlled elsewhere": {&fakeIGD{description: described(fmt.Sprintf(service, elsewhere.URL+"/control"))}, ErrSilent},
		"based elsewhere":      {&fakeIGD{description: described("<URLBase>" + elsewhere.URL + "</URLBase>" + fmt.Sprintf(service, "/control"))}, ErrSilent},
		"a base that is none":  {&fakeIGD{description: described("<URLBase>http://[</URLBase>" + fmt.Sprintf(service, "/control"))}, ErrOdd},
		"another device":       {&fakeIGD{description: described("<device></device>")}, ErrSilent},
		"no XML":               {&fakeIGD{description: func(string) string { return "<html>" }}, ErrOdd},
		"nothing":              {&fakeIGD{description: func(string) string { return "" }}, ErrOdd},
		"a long description":   {&fakeIGD{description: described(long + fmt.Sprintf(service, "/control"))}, ErrOdd},
		"a deep description":   {&fakeIGD{description: described(strings.Repeat("<deviceList><device>", 12_000))}, ErrOdd},
		"redirected elsewhere": {&fakeIGD{control: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}}, ErrOdd},
		"a long answer": {&fakeIGD{control: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, soapHead+long) }}, ErrOdd},
		"a long head": {&fakeIGD{control: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("A", strings.Repeat("a", 2*maxHead))
		}}, ErrOdd},
		"another action's answer": {&fakeIGD{control: func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, soapHead+`<OtherResponse><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress></OtherResponse></s:Body></s:Envelope>`)
		}}, ErrOdd},
		"a web page": {&fakeIGD{control: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html></html>") }}, ErrOdd},
		"a slow drip": {&fakeIGD{control: func(w http.ResponseWriter, r *http.Request) {
			for {
				select {
				case <-released:
					return
				case <-r.Context().Done():
					return
				case <-time.After(50 * time.Millisecond):
					io.WriteString(w, " ")
					w.(http.Flusher).Flush()
				}
			}
		}}, ErrOdd},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := test.router.start(t)
			if test.router.location != nil && test.err == ErrSilent {
				r.wait = 100 * time.Millisecond // the answer counts for nothing
			}
			m, err := r.Map(t.Context())
			if !errors.Is(err, test.err) {
				t.Errorf("%v, %v, want %v", m, err, test.err)
			}
			if err != nil && strings.Contains(err.Error(), "127.0.0") {
				t.Errorf("an address is in the error: %v", err)
			}
		})
	}
}

// A router that is silent both ways is waited for only so long, or until the one who
// asks gives up.
func TestSilence(t *testing.T) {
	t.Parallel()
	silent := func([]byte) []byte { return nil }
	r := at(udp(t, silent), udp(t, silent))
	if _, err := r.Map(t.Context()); !errors.Is(err, ErrSilent) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Public(ctx); !errors.Is(err, ErrSilent) {
		t.Errorf("when asked to end: %v", err)
	}
}

// What went wrong where the router got furthest is what is said; and one that has
// learnt NAT-PMP, or forgotten it, is asked the other way.
func TestBothWays(t *testing.T) {
	t.Parallel()
	old := fakePMP{public: [4]byte{203, 0, 113, 7}, result: [2]uint16{0, 2}, lasts: map[uint16]uint32{}}
	igd := fakeIGD{address: "203.0.113.8"}
	r := igd.start(t)
	r.pmpPort = udp(t, old.answer)
	if m, err := r.Map(t.Context()); err != nil || m.Public.String() != "203.0.113.8:4243" {
		t.Errorf("UPnP alone opens: %v, %v", m, err)
	}
	igd.mu.Lock()
	igd.taken = map[uint16]int{0: 501}
	igd.mu.Unlock()
	if _, err := r.Map(t.Context()); !errors.Is(err, ErrRefused) {
		t.Errorf("none opens: %v", err)
	}
	old.mu.Lock()
	old.result = [2]uint16{}
	old.mu.Unlock()
	if m, err := r.Map(t.Context()); err != nil || m.Public.String() != "203.0.113.7:4243" {
		t.Errorf("NAT-PMP alone opens: %v, %v", m, err)
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]error{
		"198.51.100.1": nil, "8.8.8.8": nil, "100.63.255.255": nil, "100.128.0.0": nil, "172.32.0.1": nil,
		"0.0.0.0": ErrOffline, "0.1.2.3": ErrOdd,
		"10.0.0.1": ErrBehind, "172.16.0.1": ErrBehind, "192.168.0.1": ErrBehind, "100.64.0.1": ErrBehind, "192.0.0.2": ErrBehind,
		"127.0.0.1": ErrOdd, "169.254.1.1": ErrOdd, "224.0.0.1": ErrOdd, "240.0.0.1": ErrOdd, "255.255.255.255": ErrOdd,
		"2001:db8::1": ErrOdd, "::ffff:8.8.8.8": ErrOdd,
	} {
		if _, err := reachable(netip.MustParseAddr(address), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
}

func TestParseRoutes(t *testing.T) {
	const head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
	for name, test := range map[string]struct{ table, want string }{
		"one":             {"eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", "192.168.1.1"},
		"two":             {"wlan0\t00000000\tFE01A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n", "192.168.1.1"},
		"without gateway": {"ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0\n", ""},
		"down":            {"eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0\n", ""},
		"half of all":     {"tun0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000080\t0\t0\t0\n", ""},
		"near":            {"eth0\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n", ""},
		"none":            {"", ""},
		"damaged":         {"eth0\t00000000\t0101A8\t0003\t0\t0\t0\t00000000\neth0 00000000\neth0\t00000000\t0101A8C0\tx\t0\t0\ty\t00000000", ""},
	} {
		// The table is written in the order of the machine: these are a little-endian one's.
		got, err := parseRoutes([]byte(head + test.table))
		if (err == nil) != (test.want != "") || err == nil && got.String() != test.want {
			t.Errorf("%s: %v, %v, want %q", name, got, err, test.want)
		}
		if err != nil && !errors.Is(err, ErrNoRoute) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No answer of a router makes its reader fail, or connect to somebody else.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{0, 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7})
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: " + gateways[0] + "\r\nLOCATION: http://127.0.0.1:5000/d.xml\r\n\r\n"))
	f.Add([]byte((&fakeIGD{kind: services[1]}).own()))
	f.Add([]byte(soapHead + `<u:GetExternalIPAddressResponse><NewExternalIPAddress>203.0.113.7</NewExternalIPAddress></u:GetExternalIPAddressResponse></s:Body></s:Envelope>`))
	f.Add([]byte(soapHead + `<s:Fault><detail><UPnPError><errorCode>718</errorCode></UPnPError></detail></s:Fault></s:Body></s:Envelope>`))
	f.Add([]byte("eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parsePMP(b, pmpMapTCP, 16); err == nil && len(a) != 16 {
			t.Errorf("%d bytes of NAT-PMP", len(a))
		}
		location := parseLocation(b, loopback)
		if location != nil && !isAt(location, loopback) {
			t.Errorf("described at %s", location)
		}
		if location == nil {
			location = parseLocation([]byte("HTTP/1.1 200 OK\r\nST: "+gateways[0]+"\r\nLOCATION: http://127.0.0.1:5000/a/d.xml\r\n\r\n"), loopback)
		}
		found, err := parseDescription(b, location)
		if err == nil && (len(found) == 0 || len(found) > maxWays) {
			t.Errorf("%d services", len(found))
		}
		for _, s := range found {
			if request, err := http.NewRequest(http.MethodPost, s.control, nil); err == nil && !isAt(request.URL, loopback) {
				t.Errorf("controlled at %s", s.control)
			}
		}
		_, _ = parseAnswer(b, "GetExternalIPAddress")
		if a, err := parseRoutes(b); err == nil && !a.Is4() {
			t.Errorf("the router is %v", a)
		}
	})
}
