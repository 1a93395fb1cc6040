package mixnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/internal/router"
	"codeberg.org/sourdine/sourdine/sphinx/forget"
)

// Finding is what Check says of one thing that a node needs.
type Finding struct {
	About string `json:"about"`
	Grade Grade  `json:"grade"`
	Says  string `json:"says"`
	Do    string `json:"do,omitempty"` // what mends it
}

// Grade is how good it is.
type Grade string

// The grades.
const (
	Good Grade = "ok"
	Weak Grade = "warning" // the node runs, and could be better
	Bad  Grade = "wrong"   // the node does not run, or is of no use
)

// What a node should have.
const (
	roomOnDisk = 1 << 30                // bytes
	filesOpen  = 4096                   // an entry: one for each gateway
	syncTime   = 200 * time.Millisecond // hidden in the delay at a mix
	syncTimes  = 16
)

// Check looks at everything that a node needs from its machine, its line and the
// network, and says what to do about what is missing. Some of it takes a running
// node, some one that does not run.
func Check(ctx context.Context, c *Config, network *directory.Network) ([]Finding, error) {
	st, err := AskStatus(c)
	running := err == nil
	reached, err := askAuthorities(ctx, network, wallClock)
	if err != nil {
		return nil, err
	}
	list := []Finding{
		checkMachineClock(reached, network.Parameters.Epoch), checkReach(reached),
		checkPort(c, running), checkOwnAddress(ctx, c), checkFromOutside(ctx, st),
		checkDisk(c.State), checkSync(c.State), checkEntropy(), checkForgetting(), checkFiles(c), checkMemory(c),
	}
	if running {
		list = append(list, checkRunning(st)...)
	}
	return list, nil
}

func checkMachineClock(reached []Reach, period time.Duration) Finding {
	f := Finding{About: "clock"}
	off, ok := ahead(reached)
	if !ok {
		f.Grade, f.Says, f.Do = Weak, "no authority answers, so it cannot be compared", "see what is said of the authorities"
	} else if err := clockError(off, period); err != nil {
		f.Grade, f.Says, f.Do = Bad, fmt.Sprintf("%v from the authorities'", off.Abs().Round(time.Second)), "set it, and let a time daemon keep it: timedatectl set-ntp true"
	} else {
		f.Grade, f.Says = Good, "as the authorities'"
	}
	return f
}

func checkReach(reached []Reach) Finding {
	var away []string
	for _, r := range reached {
		if r.Err != nil {
			away = append(away, r.Name)
		}
	}
	f := Finding{About: "authorities", Grade: Good, Says: fmt.Sprintf("%d of %d answer", len(reached)-len(away), len(reached))}
	if len(away) == 0 {
		return f
	}
	f.Grade, f.Says = Weak, fmt.Sprintf("%s; not %s", f.Says, away)
	f.Do = "let outgoing connections through to their addresses, which `sourdine network show` prints; if only these are away, ask their operators"
	if 2*(len(reached)-len(away)) <= len(reached) {
		f.Grade = Bad
	}
	return f
}

func checkPort(c *Config, running bool) Finding {
	if running {
		return Finding{About: "port", Grade: Good, Says: c.listens() + " is the node's"}
	}
	return CheckPort(c.listens())
}

// CheckPort says whether a node can listen at an address and port of this machine.
func CheckPort(listens string) Finding {
	f := Finding{About: "port"}
	l, err := net.Listen("tcp", listens)
	switch {
	case err == nil:
		l.Close()
		f.Grade, f.Says = Good, listens+" is free"
	case errors.Is(err, syscall.EADDRINUSE):
		f.Grade, f.Says, f.Do = Bad, listens+" is in use", "end the program that has it (`ss -ltnp` names it), or write another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		f.Grade, f.Says, f.Do = Bad, listens+" is not this machine's", "behind a router, write this machine's own address as bind = \"…\" and let the router forward the port"
	case errors.Is(err, syscall.EACCES):
		f.Grade, f.Says, f.Do = Bad, listens+" may not be used by this user", "write a port above 1023"
	default:
		f.Grade, f.Says, f.Do = Bad, err.Error(), "write another address or port"
	}
	return f
}

func checkOwnAddress(ctx context.Context, c *Config) Finding {
	if c.Router != "" {
		return checkRouter(ctx, c)
	}
	return CheckAddress(c.Address)
}

// CheckAddress says who can reach an IP address with a port, by its kind.
func CheckAddress(address string) Finding {
	a := netip.MustParseAddrPort(address).Addr() // directory.CheckAddress took it
	f := Finding{About: "address", Grade: Good, Says: address + " can be reached from everywhere, by its kind"}
	switch {
	case a.IsLoopback():
		f.Grade, f.Says, f.Do = Weak, address+" is this machine alone", "for more than a rehearsal, write the address at which others reach it"
	case a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast():
		f.Grade, f.Says, f.Do = Bad, address+" is no address that others can connect to", "write the one at which they reach it"
	case a.IsPrivate(), sharedSpace.Contains(a):
		f.Grade, f.Says, f.Do = Weak, address+" is of a local network: only others there reach it", "write the router's address on the outside, and this one as bind = \"…\""
	}
	return f
}

// sharedSpace is what providers give to customers who share an address (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// checkRouter asks the router who it is on the outside, and for nothing else.
func checkRouter(ctx context.Context, c *Config) Finding {
	f := Finding{About: "router", Grade: Good}
	public, err := c.router().Public(ctx)
	if err == nil {
		f.Says = "it answers, and is " + public.String() + " on the outside"
		return f
	}
	f.Grade, f.Says, f.Do = Weak, err.Error(), "write the router's address instead of auto, or forward the port there by hand"
	if t := (*router.Trouble)(nil); errors.As(err, &t) {
		f.Says, f.Do = t.Says, t.Do
	}
	if directory.CheckAddress(c.Address) != nil { // there is none to publish instead
		f.Grade = Bad
	}
	return f
}

// checkFromOutside tries the address that a running node publishes.
func checkFromOutside(ctx context.Context, st *Status) Finding {
	f := Finding{About: "way in", Grade: Weak, Says: "not tried: the node does not run", Do: "start it, and check again"}
	if st == nil {
		return f
	}
	if st.Address == "" {
		f.Says, f.Do = "not tried: the node has no address yet", "see what is said of the router"
		return f
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", st.Address)
	if err != nil {
		f.Says = "from this machine " + st.Address + " does not answer"
		f.Do = "many routers do not let a machine in by its own outside; if no neighbour is connected below either, forward the port"
		return f
	}
	conn.Close()
	return Finding{About: "way in", Grade: Good, Says: st.Address + " answers"}
}

func checkDisk(dir string) Finding {
	f := Finding{About: "disk"}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		f.Grade, f.Says, f.Do = Bad, err.Error(), "the state directory must be there: `sourdine node init` makes it"
		return f
	}
	free := st.Bavail * uint64(st.Bsize)
	f.Grade, f.Says = Good, fmt.Sprintf("%.1f GB free for %s", float64(free)/1e9, dir)
	if free < roomOnDisk {
		f.Grade, f.Do = Weak, "replay tags take six bytes a packet, about 60 MB in a busy hour: make room for 1 GB"
	}
	return f
}

// checkSync measures how long the disk takes to hold what it was given.
func checkSync(dir string) Finding {
	f := Finding{About: "sync"}
	took, err := syncs(dir)
	if err != nil {
		f.Grade, f.Says, f.Do = Bad, err.Error(), "the node's user must be able to write there: chown -R it to that user"
		return f
	}
	slices.Sort(took)
	median := took[len(took)/2]
	f.Grade, f.Says = Good, fmt.Sprintf("the disk takes %v to store a packet's tag", median.Round(10*time.Microsecond))
	if median > syncTime {
		f.Grade, f.Do = Weak, "packets wait for it: a disk that is not shared, or no SD card, is better"
	}
	return f
}

func syncs(dir string) (took []time.Duration, err error) {
	file, err := os.CreateTemp(dir, ".check.*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	for range syncTimes {
		start := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
	}
	return took, nil
}

func checkEntropy() Finding {
	var b [1]byte
	if _, err := unix.Getrandom(b[:], unix.GRND_NONBLOCK); err != nil {
		return Finding{"entropy", Bad, "the kernel has not gathered enough since it started", "wait a minute; on a small box without a clock or a disk install a daemon that gathers it (jitterentropy-rngd)"}
	}
	return Finding{About: "entropy", Grade: Good, Says: "the kernel has enough"}
}

func checkForgetting() Finding {
	if !forget.Complete {
		return Finding{"old keys", Weak, "wiped from memory, but for copies that this build's runtime may leave", "a program built with GOEXPERIMENT=runtimesecret leaves none; without, a copy lasts until its memory is used again"}
	}
	return Finding{About: "old keys", Grade: Good, Says: "wiped from memory with every copy"}
}

func checkFiles(c *Config) Finding {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return Finding{"open files", Weak, err.Error(), ""}
	}
	f := Finding{About: "open files", Grade: Good, Says: fmt.Sprintf("%d at once", limit.Max)}
	if limit.Max < filesOpen && c.Role == directory.RoleEntry {
		f.Grade, f.Do = Weak, fmt.Sprintf("an entry needs one for each gateway: LimitNOFILE=%d in the unit", clientsAtOnce+1000)
	}
	return f
}

func checkMemory(c *Config) Finding {
	f := Finding{About: "memory"}
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return Finding{"memory", Weak, err.Error(), ""}
	}
	total, need := info.Totalram*uint64(info.Unit), uint64(c.Budget.Memory()+Overhead)
	f.Grade, f.Says = Good, fmt.Sprintf("%d MB at most of the machine's %d", need>>20, total>>20)
	if need > total*3/4 {
		f.Grade, f.Do = Weak, "write a smaller memory_mb in [budget], or the system may kill the node when packets pile up"
	}
	return f
}

// checkRunning says what a running node says of itself.
func checkRunning(st *Status) []Finding {
	f := Finding{About: "consensus", Grade: Good, Says: "it lists this node"}
	if !st.Listed {
		f.Grade, f.Says, f.Do = Bad, "it does not list this node", st.Waits
	}
	list := []Finding{f}
	if st.Listed {
		f := Finding{About: "neighbours", Grade: Good, Says: fmt.Sprintf("%d of %d came in, %d of %d let it in", st.FromNow, st.From, st.ToNow, st.To)}
		switch {
		case st.From > 0 && st.FromNow == 0:
			f.Grade, f.Do = Bad, "nobody can reach this node: let incoming connections to its port through the firewall, and let the router forward it"
		case st.To > 0 && st.ToNow == 0:
			f.Grade, f.Do = Bad, "this node reaches nobody: let its outgoing connections through the firewall"
		case st.FromNow < st.From || st.ToNow < st.To:
			f.Grade, f.Do = Weak, "nothing, if it lasts for an hour at most: others restart, too"
		}
		list = append(list, f)
	}
	for _, t := range st.Troubles {
		list = append(list, Finding{About: "trouble", Grade: Weak, Says: t})
	}
	return list
}
