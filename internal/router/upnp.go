package router

import (
	"bufio"
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// What is looked for: a gateway of version 1, which one of version 2 has to answer,
// too, and yet not every one does (UPnP Device Architecture 1.1, 1.3.2).
var gateways = []string{
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
}

// The services that forward ports. They do so by the same actions.
var services = []string{
	"urn:schemas-upnp-org:service:WANIPConnection:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

const (
	searches     = 2                       // a question can get lost
	searchWait   = 1500 * time.Millisecond // for its answers, which come within a second (MX)
	requestWait  = 5 * time.Second         // for an answer over HTTP, until its last byte
	maxAnswer    = 256 << 10               // bytes of it
	maxHead      = 16 << 10                // bytes of its head
	maxWays      = 4                       // services of a router that are tried
	openingTries = 6                       // with other ports, or as the router wants it
)

// discover returns the ways in which the router at an address speaks UPnP.
func (r *Router) discover(ctx context.Context, address netip.Addr) ([]protocol, error) {
	self, err := local(address)
	if err != nil {
		return nil, err
	}
	location, err := r.search(ctx, self, address)
	if err != nil {
		return nil, err
	}
	client := only(address)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, location.String(), nil)
	if err != nil {
		return nil, ErrOdd
	}
	description, status, err := fetch(client, request)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, ErrOdd
	}
	found, err := parseDescription(description, location)
	if err != nil {
		return nil, err
	}
	var ways []protocol
	for _, s := range found {
		ways = append(ways, &igd{client, s.control, s.kind, address})
	}
	return ways, nil
}

// search asks where the router describes itself. The question goes to the group and
// to the router itself: many firewalls let no answer in to the first, and some
// routers do not hear the second.
func (r *Router) search(ctx context.Context, self, router netip.Addr) (*url.URL, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(self, 0)))
	if err != nil {
		return nil, ErrSilent
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	for range searches {
		for _, to := range []netip.Addr{r.group, router} {
			for _, kind := range gateways {
				question := "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: " + kind + "\r\n\r\n"
				// What cannot be sent has no answer.
				_, _ = conn.WriteToUDPAddrPort([]byte(question), netip.AddrPortFrom(to, r.ssdpPort))
			}
		}
		if err := conn.SetReadDeadline(time.Now().Add(r.wait)); err != nil {
			return nil, ErrSilent
		}
		for {
			var b [2048]byte
			n, from, err := conn.ReadFromUDPAddrPort(b[:])
			if err != nil {
				break
			}
			if from.Addr() != router {
				continue
			}
			if location := parseLocation(b[:n], router); location != nil {
				return location, nil
			}
		}
	}
	return nil, ErrSilent
}

// parseLocation returns where an answer to a search says that the router describes
// itself; nil if it is no such answer.
func parseLocation(answer []byte, router netip.Addr) *url.URL {
	response, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(answer)), nil)
	if err != nil {
		return nil
	}
	response.Body.Close()
	kind := response.Header.Get("ST")
	if response.StatusCode != http.StatusOK || kind != gateways[0] && kind != gateways[1] {
		return nil
	}
	u, err := url.Parse(response.Header.Get("Location"))
	if err != nil || !isAt(u, router) {
		return nil
	}
	return u
}

// isAt says whether a URL is of a web server at an address.
func isAt(u *url.URL, router netip.Addr) bool {
	return u.Scheme == "http" && u.Hostname() == router.String()
}

// only is a client that connects to the router, whatever it is told.
func only(router netip.Addr) *http.Client {
	return &http.Client{
		Timeout:       requestWait,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if host, _, err := net.SplitHostPort(address); err != nil || host != router.String() {
					return nil, errElsewhere
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			},
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHead,
		},
	}
}

var errElsewhere = errors.New("that is not the router's address")

// fetch makes a request, and returns the answer's body and status.
func fetch(client *http.Client, request *http.Request) ([]byte, int, error) {
	response, err := client.Do(request)
	if err != nil {
		return nil, 0, ErrOdd // the error names addresses
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil || len(body) > maxAnswer {
		return nil, 0, ErrOdd
	}
	return body, response.StatusCode, nil
}

// device is what is read of a description (UPnP Device Architecture 1.1, 2.3).
type device struct {
	Services []struct {
		Kind    string `xml:"serviceType"`
		Control string `xml:"controlURL"`
	} `xml:"serviceList>service"`
	Devices []device `xml:"deviceList>device"`
}

// service is one of [services], and where it is controlled.
type service struct {
	kind, control string
}

// parseDescription finds in a router's description, read at location, the services that
// forward ports. They are at the same address.
func parseDescription(description []byte, location *url.URL) (found []service, err error) {
	var root struct {
		XMLName xml.Name `xml:"root"`
		Base    string   `xml:"URLBase"`
		Device  device   `xml:"device"`
	}
	if err := xml.Unmarshal(description, &root); err != nil {
		return nil, ErrOdd
	}
	router, err := netip.ParseAddr(location.Hostname())
	if err != nil {
		return nil, ErrOdd
	}
	base := location
	if root.Base != "" {
		if base, err = url.Parse(strings.TrimSpace(root.Base)); err != nil {
			return nil, ErrOdd
		}
	}
	for _, kind := range services {
		root.Device.each(func(k, control string) {
			u, err := base.Parse(strings.TrimSpace(control))
			if strings.TrimSpace(k) == kind && err == nil && isAt(u, router) && len(found) < maxWays {
				found = append(found, service{kind, u.String()})
			}
		})
	}
	if len(found) == 0 {
		return nil, ErrSilent // another kind of device
	}
	return found, nil
}

func (d *device) each(do func(kind, control string)) {
	for _, s := range d.Services {
		do(s.Kind, s.Control)
	}
	for i := range d.Devices {
		d.Devices[i].each(do)
	}
}

// igd speaks to a service that forwards ports (WANIPConnection:2 Service, 2.5).
type igd struct {
	client  *http.Client
	control string
	service string
	router  netip.Addr
}

// Errors of a service (WANIPConnection:2 Service, 2.5.16.4, and version 1's).
const (
	noSuchEntry   = 714
	conflict      = 718
	samePorts     = 724 // outer and inner one
	onlyPermanent = 725
	otherConflict = 729
)

func (g *igd) public(ctx context.Context) (netip.Addr, error) {
	said, err := g.call(ctx, "GetExternalIPAddress")
	if err != nil {
		return netip.Addr{}, refused(err)
	}
	if said == "" {
		return netip.Addr{}, ErrOffline
	}
	a, err := netip.ParseAddr(said)
	if err != nil {
		return a, ErrOdd
	}
	return a, nil
}

func (g *igd) open(ctx context.Context, inner, outer uint16) (uint16, time.Duration, error) {
	self, err := local(g.router) // to which the port is forwarded: it may have changed
	if err != nil {
		return 0, 0, err
	}
	lasts := lease
	for range openingTries {
		_, err := g.call(ctx, "AddPortMapping",
			"NewRemoteHost", "", "NewExternalPort", port(outer), "NewProtocol", "TCP",
			"NewInternalPort", port(inner), "NewInternalClient", self.String(), "NewEnabled", "1",
			"NewPortMappingDescription", "sourdine", "NewLeaseDuration", strconv.Itoa(int(lasts/time.Second)))
		var f fault
		switch {
		case err == nil:
			return outer, lasts, nil
		case !errors.As(err, &f):
			return 0, 0, err
		case f == onlyPermanent && lasts > 0:
			lasts = 0
		case f == samePorts && outer != inner:
			outer = inner
		case f == conflict, f == otherConflict:
			outer = uint16(1024 + rand.IntN(1<<16-1024))
		default:
			return 0, 0, ErrRefused
		}
	}
	return 0, 0, ErrRefused
}

// close takes the mapping back. One that is gone is no error.
func (g *igd) close(ctx context.Context, _, outer uint16) error {
	_, err := g.call(ctx, "DeletePortMapping", "NewRemoteHost", "", "NewExternalPort", port(outer), "NewProtocol", "TCP")
	if errors.Is(err, fault(noSuchEntry)) {
		return nil
	}
	return refused(err)
}

func port(p uint16) string { return strconv.Itoa(int(p)) }

// fault is an error that a service answers, by its code.
type fault int

func (f fault) Error() string { return fmt.Sprintf("error %d", int(f)) }

// refused turns a service's error into what it means.
func refused(err error) error {
	if f := fault(0); errors.As(err, &f) {
		return ErrRefused
	}
	return err
}

// call makes a service do something (UPnP Device Architecture 1.1, 3.2.1). Arguments
// are names and values in turn, which need no escaping. It returns the address that
// the answer has, if it has one.
func (g *igd) call(ctx context.Context, action string, arguments ...string) (address string, err error) {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?>` + "\r\n" + `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>`)
	fmt.Fprintf(&b, `<u:%s xmlns:u="%s">`, action, g.service)
	for i := 0; i < len(arguments); i += 2 {
		fmt.Fprintf(&b, "<%[1]s>%[2]s</%[1]s>", arguments[i], arguments[i+1])
	}
	fmt.Fprintf(&b, "</u:%s></s:Body></s:Envelope>\r\n", action)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, g.control, strings.NewReader(b.String()))
	if err != nil {
		return "", ErrOdd
	}
	request.Header.Set("Content-Type", `text/xml; charset="utf-8"`)
	request.Header["SOAPACTION"] = []string{`"` + g.service + "#" + action + `"`} // as it is written there
	answer, _, err := fetch(g.client, request)
	if err != nil {
		return "", err
	}
	return parseAnswer(answer, action)
}

// parseAnswer reads what a service answers to an action: an address, where there is
// one, or a fault.
func parseAnswer(answer []byte, action string) (address string, err error) {
	var envelope struct {
		XMLName xml.Name `xml:"Envelope"`
		Body    struct {
			Fault *struct {
				Code int `xml:"detail>UPnPError>errorCode"`
			} `xml:"Fault"`
			Answer struct {
				XMLName xml.Name
				Address string `xml:"NewExternalIPAddress"`
			} `xml:",any"`
		} `xml:"Body"`
	}
	if err := xml.Unmarshal(answer, &envelope); err != nil {
		return "", ErrOdd
	}
	if f := envelope.Body.Fault; f != nil {
		return "", fault(f.Code)
	}
	if envelope.Body.Answer.XMLName.Local != action+"Response" {
		return "", ErrOdd
	}
	return strings.TrimSpace(envelope.Body.Answer.Address), nil
}
