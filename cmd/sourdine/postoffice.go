package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"codeberg.org/sourdine/sourdine/directory"
	"codeberg.org/sourdine/sourdine/exit"
	"codeberg.org/sourdine/sourdine/internal/seal"
	"codeberg.org/sourdine/sourdine/mixnode"
)

// exitSection is the section [exit] of a node's TOML file.
type exitSection struct {
	From         string        `toml:"from"`        // the address all mail comes from
	Hold         time.Duration `toml:"hold"`        // mean time between a mail's arrival and its delivery
	Retry        time.Duration `toml:"retry"`       // mean time before the first retry
	Expiry       uint64        `toml:"expiry"`      // epochs that a mail is tried at most
	MaxLoss      float64       `toml:"max_loss"`    // share of lost packets above which gateways hold mail back
	Space        int64         `toml:"space"`       // bytes that incomplete mails may take
	Kept         int64         `toml:"kept_space"`  // bytes that complete mails and what is remembered of them may take
	Relay        string        `toml:"relay"`       // host:port of the SMTP server that takes the mail
	TLS          string        `toml:"relay_tls"`   // none, starttls or tls
	Hello        string        `toml:"relay_hello"` // the name given in EHLO
	User         string        `toml:"relay_user,omitempty"`
	PasswordFile string        `toml:"relay_password_file,omitempty"`
}

func (e *exitSection) relay() exit.Relay {
	return exit.Relay{Address: e.Relay, TLS: e.TLS, Hello: e.Hello, Username: e.User, PasswordFile: e.PasswordFile}
}

// changes names the keys in which the section of a running exit differs from one that was
// read anew; either is nil where a node is no exit, which its role says.
func (e *exitSection) changes(now *exitSection) (keys []string) {
	if e == nil || now == nil {
		return nil
	}
	a, b := reflect.ValueOf(*e), reflect.ValueOf(*now)
	for i := range a.NumField() {
		if !a.Field(i).Equal(b.Field(i)) {
			key, _, _ := strings.Cut(a.Type().Field(i).Tag.Get("toml"), ",")
			keys = append(keys, "exit."+key)
		}
	}
	return keys
}

// mailDir is where, in a node's state directory, an exit's mail lies.
const mailDir = "mail"

// handler describes the process that does an exit's work. It is given what opens
// its own keys, and no more.
func (f *nodeFile) handler(path string, s *seal.Sealer) (*mixnode.Handler, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	office, err := s.Part(exit.Part)
	if err != nil {
		return nil, err
	}
	defer office.Wipe()
	signing, err := exit.PublicKey(filepath.Join(f.State, mailDir), office)
	if err != nil {
		return nil, err
	}
	info := directory.ExitInfo{
		Operator: f.Operator, SigningKey: signing, From: f.Exit.From,
		Expiry: f.Exit.Expiry, Hold: f.Exit.Hold, MaxLoss: f.Exit.MaxLoss,
	}
	if err := info.Check(); err != nil {
		return nil, fmt.Errorf("%s: [exit]: %w", path, err)
	}
	return &mixnode.Handler{Command: self, Argument: path, Dir: f.State, Secret: office.Secret(), Advertise: info.Advertise(), Log: os.Stderr}, nil
}

// countsEvery is how often a post office logs its counts.
const countsEvery = time.Hour

// runPostOffice is the process that an exit's node starts. What opens its keys comes
// over the file descriptor; -1 stands for none, and keys that are plain.
func runPostOffice(ctx context.Context, path string, fd int) error {
	f, n, err := loadNode(path)
	if err != nil {
		return err
	}
	secret, err := readHanded(fd)
	if err != nil {
		return err
	}
	sealer, err := seal.OpenPart(f.State, secret)
	clear(secret)
	if err != nil {
		return err
	}
	defer sealer.Wipe()
	if f.Exit == nil {
		return errors.New("this node is no exit")
	}
	node, err := mixnode.DialNode(f.State)
	if err != nil {
		return err
	}
	defer node.Close()
	log := slog.New(slog.NewTextHandler(node, nil)).With("part", "post office")
	err = confineMail(f, log)
	if err == nil {
		err = serveMail(ctx, f, n, sealer, node, log)
	}
	if err != nil {
		log.Error("the post office ends", "error", err)
	}
	return err
}

func serveMail(ctx context.Context, f *nodeFile, n *directory.Network, s *seal.Sealer, node *mixnode.Node, log *slog.Logger) (err error) {
	e := f.Exit
	office, err := exit.Open(exit.Config{
		Dir: filepath.Join(f.State, mailDir), From: e.From,
		Relay: e.relay(), Hold: e.Hold, RetryMean: e.Retry, Expiry: e.Expiry, MaxSpace: e.Space, MaxKept: e.Kept,
	}, s, func() uint64 { return n.Epoch(time.Now()) }, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, office.Close()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	delivering := make(chan error, 1)
	go func() {
		defer cancel()
		delivering <- office.Run(ctx)
	}()
	go logCounts(ctx, office, node, log)
	err = node.Serve(ctx, office.Handle)
	cancel()
	return errors.Join(err, <-delivering)
}

func logCounts(ctx context.Context, office *exit.Office, node *mixnode.Node, log *slog.Logger) {
	tick := time.NewTicker(countsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			log.Info("since the start", "counts", office.Counts(), "answers too late", node.Late())
		}
	}
}
