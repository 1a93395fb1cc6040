// Package systemd writes the units by which systemd keeps our programs running.
package systemd

import (
	"fmt"
	"strconv"
	"strings"
)

// Gateway is a unit of a person's own systemd for a gateway.
func Gateway(program, config string) string {
	return fmt.Sprintf(`[Unit]
Description=Sourdine gateway: mail through a mix network
Documentation=https://codeberg.org/sourdine/sourdine
After=network.target

[Service]
ExecStart=%s gateway -c %s
Restart=always
RestartSec=10
LimitCORE=0
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy=default.target
`, quote(program), argument(config))
}

// Node is a node of the network, as its unit needs it. Paths are absolute.
type Node struct {
	Role    string   // mix, entry or exit
	Name    string   // in the network
	User    string   // of the machine, who owns Dir
	Program string   // path
	Config  string   // path
	Dir     string   // the node's directory
	Lines   []string // of [Service], besides
}

// FileName is what the unit is called.
func (n *Node) FileName() string { return "sourdine-" + n.Name + ".service" }

// Unit is a unit of the machine's systemd. It gives the node its own directory to
// write and the network, and nothing else (systemd.exec(5)).
func (n *Node) Unit() string {
	return fmt.Sprintf(`[Unit]
Description=Sourdine %s %s
Documentation=https://codeberg.org/sourdine/sourdine
After=network-online.target time-sync.target
Wants=network-online.target

[Service]
# It says when it is up, and is started again if it is silent for a minute.
Type=notify
WatchdogSec=60
User=%s
ExecStart=%s node -c %s
ExecReload=kill -HUP $MAINPID
# With success it ends only when it has left the network.
Restart=on-failure
RestartSec=10
# Asked to end, it lets the packets that wait in it leave.
TimeoutStopSec=330
%s
ReadWritePaths=%s
UMask=0077
LimitCORE=0
LimitNOFILE=16384
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
%s
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
# An exit confines its post office by these, which older versions of systemd do not count in.
SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self

[Install]
WantedBy=multi-user.target
`, n.Role, n.Name, n.User, quote(n.Program), argument(n.Config),
		strings.Join(append([]string{""}, n.Lines...), "\n"), quote(n.Dir), n.home())
}

// home hides people's directories, but the node's own if it lies among then.
func (n *Node) home() string {
	for _, home := range []string{"/home/", "/root/", "/run/user/"} {
		if strings.HasPrefix(n.Dir+"/", home) {
			return "ProtectHome=tmpfs\nBindPaths=" + quote(n.Dir)
		}
	}
	return "ProtectHome=yes"
}

// quote quotes a word for a unit, where a percent sign begins a specifier
// (systemd.unit(5)).
func quote(s string) string { return strings.ReplaceAll(strconv.Quote(s), "%", "%%") }

// argument quotes a program's argument, where a dollar sign begins a variable
// (systemd.service(5)).
func argument(s string) string { return strings.ReplaceAll(quote(s), "$", "$$") }
