// Package ports gives out TCP ports of loopback for processes that are yet to listen.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

// Ports are taken from below those that the system gives to outgoing
// connections, so that a process finds its own free when it starts again.
const (
	first       = 10_240
	defaultLast = 32_768 // exclusive; Linux's default ip_local_port_range begins there
	fewest      = 2_000
)

// taken has, for each address that this process has, a socket on the UDP port of the
// same number, which nobody uses otherwise. So other processes that take ports know,
// too, and are not deceived by a TCP port on which nobody listens for a while.
var taken = struct {
	sync.Mutex
	marks map[string]net.PacketConn
}{marks: map[string]net.PacketConn{}}

// Return gives addresses back that Take returned.
func Return(addresses ...string) {
	taken.Lock()
	defer taken.Unlock()
	for _, a := range addresses {
		if mark := taken.marks[a]; mark != nil {
			mark.Close()
			delete(taken.marks, a)
		}
	}
}

// Take returns count addresses on loopback on which nobody listens, and that nobody
// else is given until Return or this process's end.
func Take(count int) ([]string, error) {
	last := defaultLast
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var low, high int
		if _, err := fmt.Sscan(string(b), &low, &high); err == nil {
			last = min(last, low)
		}
	}
	taken.Lock()
	defer taken.Unlock()
	var addresses []string
	for attempt := 0; len(addresses) < count; attempt++ {
		if attempt == 100*count {
			return nil, fmt.Errorf("found only %d of %d free ports on 127.0.0.1", len(addresses), count)
		}
		port := 0 // the system chooses, where it leaves us too few
		if last-first >= fewest {
			port = first + rand.IntN(last-first)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		a := l.Addr().String()
		mark, err := net.ListenPacket("udp", a)
		l.Close()
		if err != nil {
			continue
		}
		taken.marks[a] = mark
		addresses = append(addresses, a)
	}
	return addresses, nil
}
