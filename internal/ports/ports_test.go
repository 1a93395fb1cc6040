package ports

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// As a child, this program takes ports and keeps them until its input ends.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "take" {
		addresses, err := Take(1000)
		if err != nil {
			panic(err)
		}
		fmt.Println(strings.Join(addresses, " "))
		_, _ = os.Stdin.Read(make([]byte, 1))
		return
	}
	os.Exit(m.Run())
}

// What was taken is free to listen on, and is given to nobody else, here or in
// another process, though nobody listens.
func TestTake(t *testing.T) {
	child := exec.Command(os.Args[0], "take")
	hold, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Wait()
	defer hold.Close()
	seen := map[string]bool{}
	for range 1000 {
		var a string
		if _, err := fmt.Fscan(out, &a); err != nil {
			t.Fatal(err)
		}
		seen[a] = true
	}
	for range 40 { // together a tenth of all
		addresses, err := Take(50)
		if err != nil {
			t.Fatal(err)
		}
		defer Return(addresses...)
		for _, a := range addresses {
			if seen[a] {
				t.Fatalf("%s is given twice", a)
			}
			seen[a] = true
		}
		l, err := net.Listen("tcp", addresses[0])
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
}

// What is returned is given again.
func TestReturn(t *testing.T) {
	addresses, err := Take(1)
	if err != nil {
		t.Fatal(err)
	}
	Return(addresses...)
	mark, err := net.ListenPacket("udp", addresses[0])
	if err != nil {
		t.Fatal(err)
	}
	mark.Close()
}
