package testnet

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
	firstPort   = 10_240
	defaultLast = 32_768 // exclusive; Linux's default ip_local_port_range begins there
	fewestPorts = 2_000
)

// given are the addresses of this process's networks. On some nobody listens for a
// while: before the gateway starts, or between two lives of a process.
var given = struct {
	sync.Mutex
	addresses map[string]bool
}{addresses: map[string]bool{}}

// returnPorts gives back what freePorts returned.
func returnPorts(addresses []string) {
	given.Lock()
	defer given.Unlock()
	for _, a := range addresses {
		delete(given.addresses, a)
	}
}

// freePorts returns count addresses on loopback on which nobody listens, and that no
// other network of this process has, until returnPorts.
func freePorts(count int) ([]string, error) {
	last := defaultLast
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		var low, high int
		if _, err := fmt.Sscan(string(b), &low, &high); err == nil {
			last = min(last, low)
		}
	}
	given.Lock()
	defer given.Unlock()
	var addresses []string
	for attempt := 0; len(addresses) < count; attempt++ {
		if attempt == 100*count {
			return nil, fmt.Errorf("found only %d of %d free ports on 127.0.0.1", len(addresses), count)
		}
		port := 0 // the system chooses, where it leaves us too few
		if last-firstPort >= fewestPorts {
			port = firstPort + rand.IntN(last-firstPort)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		defer l.Close() // when all are found, so that none is found twice
		if a := l.Addr().String(); !given.addresses[a] {
			addresses = append(addresses, a)
		}
	}
	for _, a := range addresses {
		given.addresses[a] = true
	}
	return addresses, nil
}
