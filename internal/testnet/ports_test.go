package testnet

import (
	"net"
	"testing"
)

// No network is given what another has and does not use at the moment.
func TestPortsOfManyNetworks(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		addresses, err := freePorts(50)
		if err != nil {
			t.Fatal(err)
		}
		defer returnPorts(addresses)
		for _, a := range addresses {
			if seen[a] {
				t.Fatalf("%s is given twice", a)
			}
			seen[a] = true
		}
	}
}

func TestFreePorts(t *testing.T) {
	addresses, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	defer returnPorts(addresses)
	seen := map[string]bool{}
	for _, a := range addresses {
		if seen[a] {
			t.Errorf("%s is given twice", a)
		}
		seen[a] = true
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Errorf("%s is not free: %v", a, err)
			continue
		}
		defer l.Close()
	}
	if len(seen) != 50 {
		t.Errorf("%d addresses, want 50", len(seen))
	}
}
