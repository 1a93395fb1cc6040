package systemd

import (
	"strings"
	"testing"
)

// Whatever a path is made of, systemd takes it as it is.
func TestQuoting(t *testing.T) {
	unit := Gateway("/home/a b/$x/50%", `/home/"me"/$HOME/50%`)
	want := `ExecStart="/home/a b/$x/50%%" gateway -c "/home/\"me\"/$$HOME/50%%"`
	if !strings.Contains(unit, want+"\n") {
		t.Errorf("the unit is\n%s\nwant in it %s", unit, want)
	}
}

// A node's unit names what it needs, and hides people's directories except its own.
func TestNodeUnit(t *testing.T) {
	n := &Node{
		Role: "mix", Name: "mix1", User: "sourdine", Program: "/usr/local/bin/sourdine",
		Config: "/var/lib/sourdine/mix1/node.toml", Dir: "/var/lib/sourdine/mix1", Lines: []string{"LoadCredential=a:b"},
	}
	if got := n.FileName(); got != "sourdine-mix1.service" {
		t.Errorf("its name is %s", got)
	}
	for _, line := range []string{
		`ExecStart="/usr/local/bin/sourdine" node -c "/var/lib/sourdine/mix1/node.toml"`, `ReadWritePaths="/var/lib/sourdine/mix1"`,
		"User=sourdine", "Type=notify", "SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self", "LoadCredential=a:b", "ProtectHome=yes", "Description=Sourdine mix mix1",
	} {
		if !strings.Contains(n.Unit(), "\n"+line+"\n") {
			t.Errorf("no line %s in\n%s", line, n.Unit())
		}
	}
	for dir, hidden := range map[string]bool{
		"/home/me/mix1": false, "/root/mix1": false, "/root": false, "/homes/me": true, "/srv/home/me": true,
	} {
		n.Dir = dir
		if got := strings.Contains(n.Unit(), "ProtectHome=yes\n"); got != hidden {
			t.Errorf("%s: hidden is %v", dir, got)
		}
		if got := strings.Contains(n.Unit(), "BindPaths=\""+dir+"\"\n"); got == hidden {
			t.Errorf("%s: bound is %v", dir, got)
		}
	}
}
