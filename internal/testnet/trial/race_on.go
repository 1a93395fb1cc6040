//go:build race

package trial

const Race = true
