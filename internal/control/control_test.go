package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAsk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	if err := Ask(path, "status", new(int)); !errors.Is(err, ErrNotRunning) {
		t.Errorf("where nothing is: %v", err)
	}
	// What an earlier run left is no hindrance.
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	serve, err := Listen(path, Answers{
		"status": func() (any, error) { return map[string]int{"packets": 7}, nil },
		"broken": func() (any, error) { return nil, errors.New("the disk is gone") },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- serve(ctx) }()

	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket's permissions are %v, %v", info.Mode(), err)
	}
	var got struct{ Packets int }
	if err := Ask(path, "status", &got); err != nil || got.Packets != 7 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := Ask(path, "broken", &got); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("an answer that fails: %v", err)
	}
	if err := Ask(path, "nothing", &got); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("what cannot be asked: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := Ask(path, "status", &got); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestPathTooLong(t *testing.T) {
	if _, err := Listen("/"+strings.Repeat("x", longest), nil); err == nil || !strings.Contains(err.Error(), "at most 103") {
		t.Error(err)
	}
}
