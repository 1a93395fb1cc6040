package router

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"strconv"
)

// Flags of a route (linux/route.h).
const (
	routeUp      = 1
	routeGateway = 2
)

// maxRoutes bounds what is read of the kernel's routes, in bytes.
const maxRoutes = 1 << 20

// defaultRouter returns the router that this machine sends to what is not near. The
// kernel's table is a file: a node's unit allows no netlink.
func defaultRouter() (netip.Addr, error) {
	f, err := os.Open("/proc/net/route")
	if err != nil {
		return netip.Addr{}, err
	}
	defer f.Close()
	table, err := io.ReadAll(io.LimitReader(f, maxRoutes))
	if err != nil {
		return netip.Addr{}, err
	}
	return parseRoutes(table)
}

// parseRoutes finds in the kernel's table of IPv4 routes (proc(5), /proc/net/route) the
// router of the default route with the lowest metric.
func parseRoutes(table []byte) (router netip.Addr, err error) {
	best := uint64(0)
	for line := range bytes.Lines(table) {
		f := bytes.Fields(line)
		if len(f) < 8 || string(f[1]) != "00000000" || string(f[7]) != "00000000" {
			continue
		}
		flags, err := strconv.ParseUint(string(f[3]), 16, 16)
		if err != nil || flags&routeUp == 0 || flags&routeGateway == 0 {
			continue
		}
		metric, err := strconv.ParseUint(string(f[6]), 10, 32)
		if err != nil || router.IsValid() && metric >= best {
			continue
		}
		gateway, err := hex.DecodeString(string(f[2]))
		if err != nil || len(gateway) != 4 {
			continue
		}
		// It is printed as a number, and is in the order of the network.
		var a [4]byte
		binary.NativeEndian.PutUint32(a[:], binary.BigEndian.Uint32(gateway))
		router, best = netip.AddrFrom4(a), metric
	}
	if !router.IsValid() {
		return router, ErrNoRoute
	}
	return router, nil
}
