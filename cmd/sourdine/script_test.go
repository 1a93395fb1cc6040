package main

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sourdine": main})
}

// The scripts in testdata/script use the program as people do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"bound": bound},
	})
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
