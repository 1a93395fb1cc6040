package testnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Usage is what a network's processes take.
type Usage struct {
	Processes int
	// Memory in bytes: the pages that each process has for itself, and once the
	// largest share of the program's file, which they all map.
	Memory int64
}

// Usage measures the network's processes now.
func (n *Network) Usage() Usage {
	var u Usage
	var program int64
	for _, p := range n.processes {
		if !p.alive() {
			continue
		}
		for _, pid := range groupMembers(p.Pid()) {
			private, mapped, err := memoryOf(pid)
			if err != nil {
				continue // it has just ended
			}
			u.Processes++
			u.Memory += private
			program = max(program, mapped)
		}
	}
	u.Memory += program
	return u
}

// memoryOf reads a process's resident memory in bytes, its own and mapped from
// files (proc_pid_status(5)).
func memoryOf(pid int) (private, mapped int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		kB, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "RssAnon", "RssShmem":
			private += kB << 10
		case "RssFile":
			mapped = kB << 10
		}
	}
	return private, mapped, nil
}

// groupMembers returns the processes of a process group, but for those that have
// ended and that nobody has waited for.
func groupMembers(group int) []int {
	if group == 0 {
		return nil
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	var members []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has just ended
		}
		// pid (name) state ppid pgrp …; the name may hold anything (proc_pid_stat(5)).
		end := bytes.LastIndexByte(b, ')')
		if end < 0 {
			continue
		}
		fields := strings.Fields(string(b[end+1:]))
		if len(fields) < 3 || fields[0] == "Z" || fields[0] == "X" || fields[2] != strconv.Itoa(group) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			members = append(members, pid)
		}
	}
	return members
}
