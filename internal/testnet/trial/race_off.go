//go:build !race

package trial

const Race = false
