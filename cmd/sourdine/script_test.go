package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sourdine": main, "burglar": burglar, "lookup": lookup})
}

// The scripts in testdata/script use the program as people do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Cmds:  map[string]func(*testscript.TestScript, bool, []string){"bound": bound, "until": until},
		Setup: startRouter,
	})
}

// until runs a program until it prints what matches a pattern.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(args[0])
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
	}
	ts.Fatalf("it does not say %q", pattern)
}

// startRouter starts a router that speaks NAT-PMP (RFC 6886) at the address $ROUTER, and
// gives everybody its port 7777.
func startRouter(env *testscript.Env) error {
	address := netip.AddrFrom4([4]byte{127, byte(1 + rand.IntN(254)), byte(rand.IntN(256)), byte(1 + rand.IntN(254))})
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, 5351)))
	if err != nil {
		return err
	}
	env.Defer(func() { conn.Close() })
	env.Setenv("ROUTER", address.String())
	go func() {
		for {
			b := make([]byte, 12)
			_, from, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			answer := []byte{0, b[1] | 128, 0, 0, 0, 0, 0, 1, 203, 0, 113, 7}
			if b[1] == 2 {
				answer = append(append(answer[:8], b[4], b[5], 7777>>8, 7777&0xff), b[8:]...)
			}
			_, _ = conn.WriteToUDPAddrPort(answer, from)
		}
	}()
	return nil
}

// bound runs a program that permissions bind even if root runs the tests: without
// capabilities, and without those that root otherwise has after execve
// (capabilities(7), SECBIT_NOROOT).
func bound(ts *testscript.TestScript, neg bool, args []string) {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with what it lost
		if os.Geteuid() == 0 {
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			err := unix.Prctl(unix.PR_SET_SECUREBITS, 1, 0, 0, 0) // SECBIT_NOROOT
			if err == nil {
				err = unix.Capset(&header, &none[0])
			}
			if err != nil {
				panic(fmt.Sprint("giving up root's rights: ", err))
			}
		}
		result <- ts.Exec(args[0], args[1:]...)
	}()
	err := <-result
	ts.Logf("[%v]", err)
	if (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}
