//go:build goexperiment.runtimesecret

package forget

import (
	"runtime"
	"runtime/secret"
)

// Complete says whether [Stack] wipes whatever the runtime made of what f did. The
// runtime does, where it has been taught to.
const Complete = runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")

// Stack calls f and wipes what it left on the stack, in registers, where the runtime
// copied them, and, when it is not used any more, on the heap.
func Stack(f func()) { secret.Do(f) }
