package nodes_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"codeberg.org/sourdine/sourdine/gateway"
	"codeberg.org/sourdine/sourdine/internal/link"
	"codeberg.org/sourdine/sourdine/internal/ports"
	"codeberg.org/sourdine/sourdine/internal/testnet"
	"codeberg.org/sourdine/sourdine/internal/testnet/trial"
	"codeberg.org/sourdine/sourdine/mail"
	"codeberg.org/sourdine/sourdine/sphinx"
)

// stranger is where the test's gateway connects from: an address of this machine that
// nothing else has.
var stranger = net.IPv4(127, 93, 181, 207)

// Whatever a gateway does at its entry, nothing that a node writes, shows or leaves
// behind names the gateway's address, what it calls itself, a reply it waits for, or a
// key. A node that is made to end leaves no core.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	nodes := []string{testnet.Entry, "mix1", "mix2", "mix3", testnet.Exit}
	free, err := ports.Take(len(nodes))
	if err != nil {
		t.Fatal(err)
	}
	metrics := map[string]string{}
	for i, name := range nodes {
		metrics[name] = free[i]
	}
	n := trial.Start(t, testnet.Options{Slot: 250 * time.Millisecond, Payload: 4000, Edit: func(process string, c map[string]any) {
		if address, ok := metrics[process]; ok {
			c["metrics"] = address
		}
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 2*trial.Patience)
	defer cancel()
	secrets := map[string][]byte{"the gateway's address": []byte(stranger.String())}
	asStranger(t, ctx, n, secrets)
	keys(t, n, nodes, secrets)

	said := map[string][]byte{}
	for _, name := range nodes {
		p := n.Process(name)
		for _, pid := range append(p.Children(), p.Pid()) {
			limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", pid))
			if err != nil {
				t.Fatal(err)
			}
			if _, core, _ := strings.Cut(string(limits), "Max core file size"); len(strings.Fields(core)) < 2 || strings.Fields(core)[0] != "0" || strings.Fields(core)[1] != "0" {
				t.Errorf("%s may leave a core: %s", name, core[:min(len(core), 60)])
			}
		}
		status, err := n.Run(ctx, "node", "status", "--json", "-c", n.Path(name, "node.toml"))
		if err != nil {
			t.Fatal(err)
		}
		said[name+"'s status"] = []byte(status)
		said[name+"'s metrics"] = fetch(t, ctx, "http://"+metrics[name]+"/metrics")
	}
	// SIGQUIT makes a Go program say what all of it was doing, and end.
	for _, name := range nodes {
		p := n.Process(name)
		p.LetEnd()
		ended := p.Ended()
		if err := syscall.Kill(p.Pid(), syscall.SIGQUIT); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ended:
		case <-ctx.Done():
			t.Fatalf("%s did not end", name)
		}
		log := p.Log()
		if !strings.Contains(log, "goroutine ") {
			t.Errorf("%s did not say what it was doing", name)
		}
		said[name+"'s log"] = []byte(log)
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Listening(ctx, nodes...); err != nil {
		t.Fatal(err)
	}
	for where, text := range said {
		if len(text) == 0 {
			t.Errorf("%s is empty", where)
		}
		for what, secret := range secrets {
			for how, form := range forms(secret) {
				if bytes.Contains(text, form) {
					t.Errorf("%s tells %s, %s", where, what, how)
				}
			}
		}
	}
	err = filepath.WalkDir(n.Path(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasPrefix(d.Name(), "core") {
			t.Errorf("%s was left behind", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// forms are how a secret may be written.
func forms(secret []byte) map[string][]byte {
	return map[string][]byte{
		"as it is": secret, "in base64": []byte(strings.TrimRight(base64.StdEncoding.EncodeToString(secret), "=")),
		"in hexadecimal": []byte(hex.EncodeToString(secret)), "in capitals": []byte(strings.ToUpper(hex.EncodeToString(secret))),
		"in numbers": []byte(strings.Trim(fmt.Sprint(secret), "[]")),
	}
}

// asStranger is a gateway that connects from an address of its own, gets a reply to a
// packet, sends the packet again, more than it may, and then what is no packet and no
// handshake. It adds what nobody may tell.
func asStranger(t *testing.T, ctx context.Context, n *testnet.Network, secrets map[string][]byte) {
	t.Helper()
	network, err := gateway.TrustedNetwork(n.Path(testnet.Gateway, "network.toml"))
	if err != nil {
		t.Fatal(err)
	}
	g, err := network.Parameters.Geometry()
	if err != nil {
		t.Fatal(err)
	}
	id, err := link.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: stranger}}
	dial := func() net.Conn {
		socket, err := dialer.DialContext(ctx, "tcp", network.Entries[0].Address)
		if err != nil {
			t.Fatal(err)
		}
		return socket
	}
	conn, err := link.Handshake(ctx, dial(), id, network.Entries[0], g, trial.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer context.AfterFunc(ctx, conn.Close)()
	defer conn.Close()
	epoch := n.Epoch()
	if err := conn.RequestConsensus(epoch); err != nil {
		t.Fatal(err)
	}
	document := await[*link.Consensus](t, conn, func(c *link.Consensus) bool { return c.Raw != nil })
	view, err := network.Verify(document.Raw, epoch)
	if err != nil {
		t.Fatal(err)
	}
	client := id.Client()
	var reply sphinx.ReplyID
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	for i := range reply {
		reply[i] = byte(rng.Uint32())
	}
	route, err := view.Route(rng, epoch, view.Entries[0].ID, view.Exits[0].ID, client, reply)
	if err != nil {
		t.Fatal(err)
	}
	packets := sphinx.New(g)
	block, _, err := packets.NewReplyBlock(route.Back)
	if err != nil {
		t.Fatal(err)
	}
	cover, err := (&mail.Request{Kind: mail.Cover}).Marshal(g.UserPayloadLength)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := g.Plaintext(block, cover)
	if err != nil {
		t.Fatal(err)
	}
	packet, err := packets.Wrap(route.Forward, plain)
	if err != nil {
		t.Fatal(err)
	}
	secrets["what the gateway calls itself"], secrets["a reply's id"] = client[:], reply[:]
	secrets["a packet"] = bytes.Clone(packet[:64])
	if err := conn.SendSlot(packet, nil); err != nil {
		t.Fatal(err)
	}
	await(t, conn, func(r *link.Reply) bool { return r.ID == reply })
	before := trial.NodeStatus(t, ctx, n, testnet.Entry).Dropped.Replayed
	for range 100 {
		if err := conn.SendSlot(packet, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Wait(ctx, "the entry to notice a replay", func() (bool, error) {
		return trial.NodeStatus(t, ctx, n, testnet.Entry).Dropped.Replayed > before, nil
	}); err != nil {
		t.Fatal(err)
	}
	garbage := dial()
	defer garbage.Close()
	if _, err := garbage.Write(bytes.Repeat([]byte{0xff}, 4000)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, garbage) // until the entry has had enough
}

// await receives until a message is right.
func await[T any](t *testing.T, conn *link.Conn, right func(T) bool) T {
	t.Helper()
	for {
		m, err := conn.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if v, ok := m.(T); ok && right(v) {
			return v
		}
	}
}

// keys adds a piece of each private key in the nodes' state, which lie there plain.
func keys(t *testing.T, n *testnet.Network, nodes []string, secrets map[string][]byte) {
	t.Helper()
	for _, name := range nodes {
		found := 0
		err := filepath.WalkDir(n.Path(name), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".key") && !strings.HasSuffix(path, ".private.pem") {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return nil // of an epoch that is over
			}
			piece := b[max(0, len(b)-64):] // a mix key's private half, before its checksum
			if strings.HasSuffix(path, ".pem") {
				_, piece, _ = bytes.Cut(b, []byte("\n"))
			}
			secrets["the key in "+path] = bytes.Clone(piece[:min(len(piece), 24)])
			found++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if found < 3 { // identity, link and a mix key
			t.Fatalf("%s has %d keys", name, found)
		}
	}
}

func fetch(t *testing.T, ctx context.Context, url string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
