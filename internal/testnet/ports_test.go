package testnet

import (
	"net"
	"testing"
)

func TestFreePorts(t *testing.T) {
	addresses, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
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
