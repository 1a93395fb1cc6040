//go:build !goexperiment.runtimesecret

package forget

import "runtime"

// Complete says whether [Stack] wipes whatever the runtime made of what f did: places
// that a stack was moved from, and registers of a thread that was stopped. This build
// cannot; one with GOEXPERIMENT=runtimesecret can.
const Complete = false

// depth is how much of the stack is wiped, in bytes: more than any function of ours
// that handles secrets goes down.
const depth = 64 << 10

// Stack calls f and wipes what it left on the stack. The stack is made deep enough
// before, for one that grows leaves its old place behind as it is.
func Stack(f func()) {
	burn()
	f()
	burn()
}

//go:noinline
func burn() {
	var frame [depth]byte
	clear(frame[:])
	runtime.KeepAlive(&frame)
}
