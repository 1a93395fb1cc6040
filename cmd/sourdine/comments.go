package main

import "strings"

// nodeComments say what the keys of a node's configuration mean.
var nodeComments = map[string]string{
	"role":    "mix, entry or exit. This, the name, the operator and the layer are in what the authorities admitted.",
	"address": "Where others reach the node. A new one is published with the next descriptor: systemctl reload.",
	"bind":    "Where the node listens, if that is not its address, as behind a router.",
	"router":  "The home's router is asked for the port and the public address: auto, or the router's IP.",
	"network": "The network's signed file. Paths are relative to this file.",
	"keys":    "How the keys are sealed: systemd, passphrase or plain. `sourdine node keys reseal` changes it.",
	"metrics": "Where Prometheus finds counts, on this machine alone.",

	"[budget]":  "What the node may use. `systemctl reload` makes a change hold at once.",
	"memory_mb": "For packets that wait, and to know those that came. The process takes up to 100 MB besides.",
	"rate_kbit": "Each way, in 1,000 bits a second; 0: what the line carries.",
	"month_gb":  "Both ways together, in a calendar month; 0: no end.",

	"[exit]":      "The post office. docs/exit.md has each key.",
	"from":        "The sender of every mail.",
	"hold":        "Mean time between a mail's last packet and its delivery. Longer protects more.",
	"retry":       "Mean time before a delivery is tried again.",
	"expiry":      "Epochs that a mail is tried at most.",
	"max_loss":    "Share of lost packets above which gateways hold their mail back.",
	"space":       "Bytes that incomplete mails may take, and complete ones until they are delivered.",
	"relay":       "The SMTP server that takes the mail, and how: none, starttls or tls.",
	"relay_hello": "The name given in EHLO.",
}

// commented puts a comment above each line of a TOML text whose key or section has
// one.
func commented(text string, comments map[string]string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		key, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if comment := comments[key]; comment != "" {
			indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
			b.WriteString(indent + "# " + comment + "\n")
		}
		b.WriteString(line)
	}
	return b.String()
}
